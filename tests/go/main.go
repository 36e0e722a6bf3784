// franz-go against a broker: one scenario a run.
//
// Usage: franz idempotent|groups|transactions|admin|bad BOOTSTRAP
//
// The line "restart" on standard output asks the test to kill the broker (kill -9) and to start it
// again; "done" on standard input says that it did.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

var (
	bootstrap string
	ctx       context.Context
	answers   = bufio.NewScanner(os.Stdin)
)

func main() {
	bootstrap = os.Args[2]
	var cancel context.CancelFunc
	ctx, cancel = context.WithTimeout(context.Background(), 100*time.Second)
	defer cancel()
	scenarios := map[string]func(){
		"idempotent": idempotent, "groups": groups, "transactions": transactions, "admin": admin, "bad": bad,
	}
	scenarios[os.Args[1]]()
}

func check(condition bool, words ...any) {
	if !condition {
		panic(fmt.Sprintln(words...))
	}
}

// must returns the value of a call that may not fail.
func must[T any](value T, err error) T {
	ok(err)
	return value
}

func ok(err error) {
	if err != nil {
		panic(err)
	}
}

func fails(err error, with ...*kerr.Error) {
	for _, expected := range with {
		if errors.Is(err, expected) {
			return
		}
	}
	panic(fmt.Sprintln("expected", with, "found", err))
}

func client(opts ...kgo.Opt) *kgo.Client {
	return must(kgo.NewClient(append(opts, kgo.SeedBrokers(bootstrap))...))
}

func create(topic string, partitions int32) *kadm.Client {
	adm := kadm.NewClient(client())
	must(adm.CreateTopic(ctx, partitions, 1, nil, topic))
	return adm
}

func record(topic string, n int) *kgo.Record {
	return &kgo.Record{Topic: topic, Key: []byte(fmt.Sprint(n % 97)), Value: []byte(fmt.Sprint(n))}
}

func produce(cl *kgo.Client, topic string, from, to int) {
	var records []*kgo.Record
	for n := from; n < to; n++ {
		records = append(records, record(topic, n))
	}
	ok(cl.ProduceSync(ctx, records...).FirstErr())
}

// read polls for so many records and returns their values in the order in which they came.
func read(cl *kgo.Client, count int) []string {
	var values []string
	for len(values) < count {
		fetches := cl.PollFetches(ctx)
		for _, err := range fetches.Errors() {
			ok(err.Err)
		}
		fetches.EachRecord(func(r *kgo.Record) { values = append(values, string(r.Value)) })
	}
	return values
}

// once checks that the values are from..to, each once.
func once(values []string, from, to int) {
	seen := map[string]int{}
	for _, value := range values {
		seen[value]++
	}
	for n := from; n < to; n++ {
		check(seen[fmt.Sprint(n)] == 1, n, "was read", seen[fmt.Sprint(n)], "times")
	}
	check(len(values) == to-from, len(values), "records, expected", to-from)
}

func restart() {
	fmt.Println("restart")
	check(answers.Scan() && answers.Text() == "done", "the broker was not restarted")
}

func idempotent() {
	codecs := map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}
	for name, codec := range codecs {
		create(name, 4)
		producer := client(kgo.ProducerBatchCompression(codec), kgo.ProducerLinger(time.Millisecond))
		produce(producer, name, 0, 10_000)
		consumer := client(kgo.ConsumeTopics(name))
		once(read(consumer, 10_000), 0, 10_000)
		consumer.Close()
	}
	// What is in flight when the broker is killed is sent again, and stored once.
	create("killed", 4)
	producer := client(kgo.MaxBufferedRecords(2000))
	for n := range 2000 {
		producer.Produce(ctx, record("killed", n), func(_ *kgo.Record, err error) { ok(err) })
		if n == 1000 {
			restart()
		}
	}
	ok(producer.Flush(ctx))
	once(read(client(kgo.ConsumeTopics("killed")), 2000), 0, 2000)
	fmt.Println("idempotent: records equal")
}
