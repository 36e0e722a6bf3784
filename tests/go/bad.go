package main

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// bad: what a broker must refuse. It creates no topics by itself, which the test sees to.
func bad() {
	adm := create("t", 1)
	producer := client(kgo.ProducerBatchMaxBytes(4<<20), kgo.ProducerBatchCompression(kgo.NoCompression()),
		kgo.UnknownTopicRetries(1), kgo.AllowAutoTopicCreation())
	produce(producer, "t", 0, 100)

	large := &kgo.Record{Topic: "t", Value: make([]byte, 2<<20)}
	fails(producer.ProduceSync(ctx, large).FirstErr(), kerr.MessageTooLarge)
	fmt.Println("too large")

	fails(producer.ProduceSync(ctx, record("unknown", 0)).FirstErr(), kerr.UnknownTopicOrPartition)
	_, err := adm.DescribeTopicConfigs(ctx, "unknown")
	ok(err)
	check(!must(adm.ListTopics(ctx)).Has("unknown"), "it was not created")
	fmt.Println("unknown topic")

	ok(must(adm.DeleteRecords(ctx, kadm.Offsets{"t": {0: {Topic: "t", Partition: 0, At: 50}}})).Error())
	from := func(at, reset kgo.Offset) *kgo.Client {
		return client(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{"t": {0: at}}), kgo.ConsumeResetOffset(reset))
	}
	once(read(from(kgo.NewOffset().At(10), kgo.NewOffset().AtStart()), 50), 50, 100)
	latest := from(kgo.NewOffset().At(10), kgo.NewOffset().AtEnd())
	polled, cancel := context.WithTimeout(ctx, time.Second)
	check(latest.PollFetches(polled).NumRecords() == 0, "the end is after all records")
	cancel()
	produce(producer, "t", 100, 101)
	once(read(latest, 1), 100, 101)
	none := from(kgo.NewOffset().At(10), kgo.NoResetOffset())
	fails(none.PollFetches(ctx).Err(), kerr.OffsetOutOfRange)
	fmt.Println("out of range")
}
