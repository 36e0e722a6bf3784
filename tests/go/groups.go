package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// member is a consumer of a group that polls on its own.
type member struct {
	*kgo.Client
	values   []string
	assigned map[int32]bool
	sync.Mutex
}

func join(group, topic string, balancer kgo.GroupBalancer, opts ...kgo.Opt) *member {
	m := &member{assigned: map[int32]bool{}}
	change := func(to bool) func(context.Context, *kgo.Client, map[string][]int32) {
		return func(ctx context.Context, cl *kgo.Client, partitions map[string][]int32) {
			if !to {
				// What was read is committed before another reads on.
				ok(cl.CommitUncommittedOffsets(ctx))
			}
			m.Lock()
			defer m.Unlock()
			for _, p := range partitions[topic] {
				if m.assigned[p] = to; !to {
					delete(m.assigned, p)
				}
			}
		}
	}
	m.Client = client(append(opts, kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.Balancers(balancer),
		kgo.HeartbeatInterval(300*time.Millisecond), kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(),
		kgo.OnPartitionsAssigned(change(true)), kgo.OnPartitionsRevoked(change(false)))...)
	go func() {
		for {
			fetches := m.PollFetches(ctx)
			if fetches.IsClientClosed() {
				return
			}
			m.Lock()
			fetches.EachRecord(func(r *kgo.Record) { m.values = append(m.values, string(r.Value)) })
			m.Unlock()
			m.AllowRebalance()
		}
	}()
	return m
}

func (m *member) has() int {
	m.Lock()
	defer m.Unlock()
	return len(m.assigned)
}

func (m *member) read() []string {
	m.Lock()
	defer m.Unlock()
	return append([]string(nil), m.values...)
}

func until(what string, condition func() bool) {
	for tick := time.NewTicker(20 * time.Millisecond); !condition(); {
		select {
		case <-tick.C:
		case <-ctx.Done():
			panic("never: " + what)
		}
	}
}

func groups() {
	for _, balancer := range []kgo.GroupBalancer{
		kgo.RangeBalancer(), kgo.RoundRobinBalancer(), kgo.StickyBalancer(), kgo.CooperativeStickyBalancer(),
	} {
		topic := balancer.ProtocolName()
		group := "group-" + topic
		adm := create(topic, 4)
		producer := client()
		first := join(group, topic, balancer)
		produce(producer, topic, 0, 400)
		until("one reads all", func() bool { return len(first.read()) == 400 })
		second := join(group, topic, balancer)
		until("two share", func() bool { return first.has() == 2 && second.has() == 2 })
		produce(producer, topic, 400, 800)
		both := func() []string { return append(first.read(), second.read()...) }
		until("two read all", func() bool { return len(both()) >= 800 })
		described := must(adm.DescribeGroups(ctx, group))[group]
		check(described.State == "Stable" && described.Protocol == topic && len(described.Members) == 2, described)

		first.CloseAllowingRebalance()
		until("one has all", func() bool { return second.has() == 4 })
		produce(producer, topic, 800, 1200)
		until("one reads the rest", func() bool { return len(both()) >= 1200 })
		once(both(), 0, 1200)
		ok(second.CommitUncommittedOffsets(ctx))
		lag := must(adm.Lag(ctx, group))[group]
		check(lag.Lag.Total() == 0, "lag", lag.Lag.Total())
		second.CloseAllowingRebalance()
		_, err := adm.DeleteGroup(ctx, group)
		ok(err)
		fmt.Println(topic + ": shared")
	}
	rebalancedAway()
}

// rebalancedAway: a member that does not poll in time is put out of its group, and may not commit.
func rebalancedAway() {
	topic, group := "slow", "group-slow"
	create(topic, 2)
	produce(client(), topic, 0, 100)
	// A group waits as long as the most patient of its members.
	patience := kgo.RebalanceTimeout(time.Second)
	slow := client(kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit(),
		kgo.Balancers(kgo.RangeBalancer()), patience, kgo.HeartbeatInterval(200*time.Millisecond),
		kgo.BlockRebalanceOnPoll())
	var held []*kgo.Record
	for len(held) < 100 {
		held = append(held, slow.PollFetches(ctx).Records()...)
	}
	// It holds its records, and a second one comes.
	second := join(group, topic, kgo.RangeBalancer(), patience)
	until("the second has all", func() bool { return second.has() == 2 })
	fails(slow.CommitRecords(ctx, held...), kerr.UnknownMemberID, kerr.IllegalGeneration, kerr.RebalanceInProgress)
	until("the second reads what was not committed", func() bool { return len(second.read()) == 100 })
	slow.AllowRebalance()
	until("the slow one is back", func() bool { return second.has() == 1 })
	slow.CloseAllowingRebalance()
	second.CloseAllowingRebalance()
	fmt.Println("rebalanced away")
}
