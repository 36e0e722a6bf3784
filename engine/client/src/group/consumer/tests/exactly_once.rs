//! Members that commit what they have read with their transactions (KIP-447), as the stream engine
//! does.

use brooklet_protocol::messages::kafka::leave_group_request::MemberIdentity;
use brooklet_protocol::messages::kafka::{GroupId, LeaveGroupRequest};

use super::*;
use crate::coordinators::text;
use crate::transport::Node;
use crate::{NewRecord, OffsetAndMetadata, TransactionalProducer};

/// Copies numbers from `t` to `out`, in transactions over several polls.
struct Worker {
    consumer: GroupConsumer,
    producer: TransactionalProducer,
    /// What the open transaction has read, by the offset to go on from; empty if none is open.
    read: BTreeMap<TopicPartition, OffsetAndMetadata>,
    lost: Partitions,
    revoked: usize,
}

fn out() -> TopicName {
    TopicName::new("out").unwrap()
}

/// By hand, and only what counts.
fn committed_config(assignor: Assignor) -> GroupConfig {
    let config = config(assignor);
    GroupConfig {
        auto_commit: false,
        consumer: ConsumerConfig {
            isolation: Isolation::ReadCommitted,
            ..config.consumer
        },
        ..config
    }
}

impl Worker {
    async fn new(world: &World, id: &str, assignor: Assignor) -> Self {
        let client = world.tcp().await;
        let topics = [world.topic.clone()];
        let config = committed_config(assignor);
        let consumer = GroupConsumer::subscribe(client.clone(), config, topics);
        let config = ProducerConfig::transactional(id);
        Self {
            consumer,
            producer: TransactionalProducer::new(client, config).await.unwrap(),
            read: BTreeMap::new(),
            lost: Partitions::new(),
            revoked: 0,
        }
    }

    /// Reads and writes on, and gives up what it is asked to.
    async fn step(&mut self) {
        match self.consumer.poll().await.unwrap() {
            Polled::Records(fetched) => {
                for fetched in fetched {
                    self.copy(fetched).await;
                }
            }
            Polled::Assigned(_) => {}
            Polled::Revoked(gone) => {
                self.revoked += gone.len();
                self.commit().await.unwrap();
            }
            Polled::Lost(gone) => self.lost.extend(gone),
        }
    }

    async fn copy(&mut self, fetched: Fetched) {
        if self.read.is_empty() {
            self.producer.begin().unwrap();
        }
        let batches = fetched.batches.iter();
        for value in batches.flat_map(|batch| values_of(batch, fetched.position.0)) {
            let record = NewRecord {
                partition: Some(PartitionId(0)),
                value: Some(value.into()),
                ..NewRecord::default()
            };
            self.producer.send(&out(), record).await.unwrap();
        }
        let next = self.consumer.position(&fetched.partition).unwrap();
        self.read.insert(fetched.partition, next.into());
    }

    /// Commits what is read and written, if there is any.
    async fn commit(&mut self) -> Result<(), ClientError> {
        if self.read.is_empty() {
            return Ok(());
        }
        let group = self.consumer.group_metadata().expect("in a generation");
        self.commit_as(&group).await
    }

    async fn commit_as(&mut self, group: &GroupMetadata) -> Result<(), ClientError> {
        let read = std::mem::take(&mut self.read);
        self.producer.send_offsets(&read, group).await?;
        self.producer.commit().await
    }
}

/// The numbers in `out` that count, once there are at least `count`.
async fn copied(world: &World, count: usize) -> Vec<i32> {
    let config = GroupConfig {
        group: "readers".into(),
        ..committed_config(Assignor::Range)
    };
    let mut reader = Reader {
        consumer: GroupConsumer::subscribe(world.client.clone(), config, [out()]),
        read: Vec::new(),
        events: Vec::new(),
    };
    poll_until([&mut reader], |[reader]| reader.read.len() >= count).await;
    reader.poll().await.unwrap();
    sorted(reader.read)
}

#[tokio::test]
async fn what_is_revoked_is_committed_first_and_its_next_owner_goes_on_there() {
    for assignor in [Assignor::CooperativeCopartitioned, Assignor::Range] {
        let world = World::new(4).await;
        world
            .client
            .create_topic(&out(), Some(1), &BTreeMap::new())
            .await
            .unwrap();
        world.put(0..40).await;
        let mut first = Worker::new(&world, "first", assignor).await;
        while first.read.len() < 4 {
            first.step().await;
        }
        // Its transaction is open while the other one joins.
        let mut second = Worker::new(&world, "second", assignor).await;
        while second.consumer.assignment().len() < 2 {
            first.step().await;
            second.step().await;
        }
        assert!(first.revoked >= 2, "{assignor}: {}", first.revoked);
        world.put(40..80).await;
        while first.read.is_empty() || second.read.len() < 2 {
            first.step().await;
            second.step().await;
        }
        // One hangs up, and what it had in hand goes to the other.
        second.producer.abort().await.unwrap();
        second.consumer.close().await.unwrap();
        let ends = || async {
            let offsets = world.client.committed_offsets("g").await.unwrap();
            offsets.values().map(|offset| offset.0).sum::<i64>()
        };
        while ends().await < 80 {
            first.step().await;
            if first.consumer.group_metadata().is_some() {
                first.commit().await.unwrap();
            }
        }
        assert_eq!(
            copied(&world, 80).await,
            (0..80).collect::<Vec<_>>(),
            "{assignor}"
        );
        assert!(first.lost.is_empty());
        world.broker.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn a_member_stays_for_its_commit_and_joins_at_its_next_poll() {
    let assignor = Assignor::CooperativeCopartitioned;
    let world = World::new(2).await;
    world
        .client
        .create_topic(&out(), Some(1), &BTreeMap::new())
        .await
        .unwrap();
    world.put(0..10).await;
    let mut first = Worker::new(&world, "first", assignor).await;
    assert_eq!(
        first.consumer.group_metadata(),
        None,
        "it is in no generation"
    );
    while first.read.len() < 2 {
        first.step().await;
    }
    let group = first.consumer.group_metadata().unwrap();
    assert_eq!((group.group_id.as_str(), &group.instance_id), ("g", &None));
    let (member, generation) = first.consumer.member().unwrap();
    assert_eq!((&group.member_id, group.generation), (&member, generation));
    let mut second = Worker::new(&world, "second", assignor).await;
    let is_preparing = || async {
        let group = world.client.describe_group("g").await.unwrap();
        group.state == "PreparingRebalance"
    };
    while !is_preparing().await {
        second.step().await;
    }
    for _ in 0..10 {
        second.step().await;
    }
    assert!(is_preparing().await, "it waits for the first");
    first.commit_as(&group).await.unwrap();
    while second.consumer.assignment().is_empty() {
        first.step().await;
        second.step().await;
    }
    assert_eq!(copied(&world, 10).await, (0..10).collect::<Vec<_>>());
    world.broker.shutdown().await.unwrap();
}

#[tokio::test]
async fn whom_the_group_has_removed_commits_nothing_and_learns_what_is_lost() {
    let assignor = Assignor::CooperativeCopartitioned;
    let world = World::new(2).await;
    world
        .client
        .create_topic(&out(), Some(1), &BTreeMap::new())
        .await
        .unwrap();
    world.put(0..10).await;
    let mut worker = Worker::new(&world, "worker", assignor).await;
    while worker.read.len() < 2 {
        worker.step().await;
    }
    let group = worker.consumer.group_metadata().unwrap();
    let removed = MemberIdentity::default().with_member_id(text(&group.member_id));
    let leave = LeaveGroupRequest::default()
        .with_group_id(GroupId(text("g")))
        .with_members(vec![removed]);
    let answer = world.client.call(Node::Any, leave).await.unwrap();
    assert_eq!(answer.members[0].error_code, 0);
    let refused = worker.commit_as(&group).await.unwrap_err();
    let words = "commit offsets of group 'g' as 'worker': UnknownMemberId";
    assert_eq!(refused.to_string(), words);
    worker.producer.abort().await.unwrap();
    while worker.lost.len() < 2 {
        worker.step().await;
    }
    // It joins again, and begins where nothing is committed: at the start.
    while worker.read.len() < 2 {
        worker.step().await;
    }
    worker.commit().await.unwrap();
    assert_eq!(copied(&world, 10).await, (0..10).collect::<Vec<_>>());
    world.broker.shutdown().await.unwrap();
}
