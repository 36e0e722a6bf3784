package main

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

func transactional(id string) *kgo.Client {
	return client(kgo.TransactionalID(id), kgo.TransactionTimeout(60*time.Second))
}

func transaction(cl *kgo.Client, topic string, from, to int, end kgo.TransactionEndTry) {
	ok(cl.BeginTransaction())
	produce(cl, topic, from, to)
	ok(cl.EndTransaction(ctx, end))
}

func committed(topic string) *kgo.Client {
	return client(kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
}

func transactions() {
	adm := create("t", 2)
	producer := transactional("tx")
	transaction(producer, "t", 0, 100, kgo.TryCommit)
	transaction(producer, "t", 1000, 1100, kgo.TryAbort)
	transaction(producer, "t", 100, 200, kgo.TryCommit)
	once(read(committed("t"), 200), 0, 200)
	check(len(read(client(kgo.ConsumeTopics("t")), 300)) == 300, "read_uncommitted has what was aborted, too")
	fmt.Println("aborted records are not read")

	killedWhileOpen(producer)
	fenced(adm)
	exactlyOnce()
}

// killedWhileOpen: a transaction outlives its broker, and is committed or aborted after it.
func killedWhileOpen(producer *kgo.Client) {
	create("killed", 2)
	for i, end := range []kgo.TransactionEndTry{kgo.TryCommit, kgo.TryAbort, kgo.TryCommit} {
		ok(producer.BeginTransaction())
		produce(producer, "killed", 100*i, 100*i+50)
		restart()
		produce(producer, "killed", 100*i+50, 100*i+100)
		ok(producer.EndTransaction(ctx, end))
	}
	values := read(committed("killed"), 200)
	var first, third []string
	for _, value := range values {
		if len(value) < 3 {
			first = append(first, value)
		} else {
			third = append(third, value)
		}
	}
	once(first, 0, 100)
	once(third, 200, 300)
	fmt.Println("killed while open")
}

// fenced: whoever takes a transactional id ends the transaction of who had it.
func fenced(adm *kadm.Client) {
	create("fenced", 1)
	old := transactional("fenced")
	ok(old.BeginTransaction())
	produce(old, "fenced", 1000, 1010)
	described := must(adm.DescribeTransactions(ctx, "fenced"))["fenced"]
	check(described.State == "Ongoing", described)
	transaction(transactional("fenced"), "fenced", 0, 10, kgo.TryCommit)
	results := old.ProduceSync(ctx, record("fenced", 1010))
	fails(results.FirstErr(), kerr.ProducerFenced, kerr.InvalidProducerEpoch, kerr.InvalidTxnState)
	err := old.EndTransaction(ctx, kgo.TryCommit)
	fails(err, kerr.ProducerFenced, kerr.InvalidProducerEpoch, kerr.OperationNotAttempted)
	once(read(committed("fenced"), 10), 0, 10)
	fmt.Println("fenced")
}

// exactlyOnce: two sessions copy a topic while members and brokers come and go.
func exactlyOnce() {
	const count = 3000
	create("in", 4)
	create("out", 4)
	session := func(id string) *kgo.GroupTransactSession {
		return must(kgo.NewGroupTransactSession(kgo.SeedBrokers(bootstrap), kgo.TransactionalID(id),
			kgo.ConsumerGroup("copy"), kgo.ConsumeTopics("in"), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
			kgo.RequireStableFetchOffsets(), kgo.HeartbeatInterval(300*time.Millisecond),
			kgo.SessionTimeout(6*time.Second)))
	}
	step := func(s *kgo.GroupTransactSession) {
		polled, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
		defer cancel()
		records := s.PollRecords(polled, 100).Records()
		if len(records) == 0 {
			return
		}
		ok(s.Begin())
		for _, r := range records {
			s.Produce(ctx, &kgo.Record{Topic: "out", Key: r.Key, Value: r.Value}, nil)
		}
		must(s.End(ctx, kgo.TryCommit))
	}
	work := func(s *kgo.GroupTransactSession) (stop func()) {
		done, stopped := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(stopped)
			for {
				select {
				case <-done:
					s.Close()
					return
				default:
					step(s)
				}
			}
		}()
		return func() { close(done); <-stopped }
	}
	input, output := client(), committed("out")
	first := work(session("copy-1"))
	produce(input, "in", 0, 1000)
	values := read(output, 500)
	second := work(session("copy-2"))
	produce(input, "in", 1000, 2000)
	values = append(values, read(output, 1200-len(values))...)
	first()
	produce(input, "in", 2000, 2500)
	// The second one has all partitions before the broker is killed, or the group would wait for the first.
	values = append(values, read(output, 2500-len(values))...)
	produce(input, "in", 2500, count)
	restart()
	values = append(values, read(output, count-len(values))...)
	second()
	once(values, 0, count)
	fmt.Println("copied exactly once")
}
