package main

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

func admin() {
	adm := create("a", 2)
	again := must(adm.CreateTopics(ctx, 2, 1, nil, "a"))["a"]
	fails(again.Err, kerr.TopicAlreadyExists)
	ok(must(adm.ValidateCreateTopics(ctx, 2, 1, nil, "b"))["b"].Err)
	check(!must(adm.ListTopics(ctx)).Has("b"), "b was only validated")

	hour := "3600000"
	altered := must(adm.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Name: "retention.ms", Value: &hour}}, "a"))
	ok(altered[0].Err)
	configs := must(must(adm.DescribeTopicConfigs(ctx, "a")).On("a", nil))
	found := ""
	for _, config := range configs.Configs {
		if config.Key == "retention.ms" {
			found = config.MaybeValue()
		}
	}
	check(found == hour, "retention.ms", found)
	brokers := must(adm.ListBrokers(ctx))
	check(len(brokers) == 1, brokers)
	must(must(adm.DescribeBrokerConfigs(ctx, brokers[0].NodeID)).On(fmt.Sprint(brokers[0].NodeID), nil))

	ok(must(adm.CreatePartitions(ctx, 2, "a"))["a"].Err)
	producer := client(kgo.RecordPartitioner(kgo.ManualPartitioner()))
	produce(producer, "a", 0, 100)
	ends := must(adm.ListEndOffsets(ctx, "a"))
	check(len(ends["a"]) == 4 && ends["a"][0].Offset == 100, ends)
	deleted := must(adm.DeleteRecords(ctx, kadm.Offsets{"a": {0: {Topic: "a", Partition: 0, At: 40}}}))
	ok(deleted.Error())
	starts := must(adm.ListStartOffsets(ctx, "a"))
	check(starts["a"][0].Offset == 40, starts)
	dirs := must(adm.DescribeAllLogDirs(ctx, nil))
	check(len(dirs) == 1, dirs)

	ok(adm.CommitAllOffsets(ctx, "g", kadm.Offsets{"a": {0: {Topic: "a", Partition: 0, At: 50}}}))
	fetched := must(adm.FetchOffsets(ctx, "g"))
	check(fetched["a"][0].At == 50, fetched)
	lag := must(adm.Lag(ctx, "g"))["g"]
	check(lag.State == "Empty" && lag.Lag.Total() == 50, lag)
	ok(must(adm.DeleteOffsets(ctx, "g", kadm.TopicsSet{"a": {0: {}}})).Error())
	check(len(must(adm.FetchOffsets(ctx, "g"))) == 0, "the offset is deleted")

	gone := must(adm.DeleteTopics(ctx, "a", "unknown"))
	ok(gone["a"].Err)
	fails(gone["unknown"].Err, kerr.UnknownTopicOrPartition)
	fmt.Println("admin: as expected")
}
