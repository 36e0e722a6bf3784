//! Members against a real broker, in this process and over TCP.
#![cfg(feature = "embedded")]

use super::*;
use crate::testing::values_of;
use crate::{Assignor, ConsumerConfig, NewRecord, Producer, ProducerConfig};
use brooklet_broker::Broker;
use brooklet_protocol::PartitionId;
use brooklet_protocol::messages::ErrorCode;

mod exactly_once;
mod starts;

struct World {
    broker: Broker,
    client: Client,
    topic: TopicName,
    producer: Producer,
}

impl World {
    /// A broker with one topic.
    async fn new(partition_count: i32) -> Self {
        let broker = Broker::ephemeral().await.unwrap();
        let client = Client::embedded(broker.clone(), "test");
        let topic = TopicName::new("t").unwrap();
        let settings = BTreeMap::new();
        client
            .create_topic(&topic, Some(partition_count), &settings)
            .await
            .unwrap();
        let producer = Producer::new(client.clone(), ProducerConfig::default())
            .await
            .unwrap();
        Self {
            broker,
            client,
            topic,
            producer,
        }
    }

    async fn tcp(&self) -> Client {
        let address = self.broker.kafka_address().unwrap().to_string();
        Client::connect(&address, "test").await.unwrap()
    }

    fn place(&self, partition: i32) -> TopicPartition {
        TopicPartition::new(self.topic.clone(), PartitionId(partition))
    }

    /// Stores the numbers, in one partition after the other.
    async fn put(&self, numbers: std::ops::Range<i32>) {
        let count = self.client.partition_count(&self.topic).await.unwrap();
        for number in numbers {
            let record = NewRecord {
                partition: Some(PartitionId(number % count)),
                value: Some(number.to_string().into()),
                ..NewRecord::default()
            };
            self.producer.send(&self.topic, record).await.unwrap();
        }
        self.producer.flush().await.unwrap();
    }

    fn member(&self, client: &Client, config: GroupConfig) -> Reader {
        let topics = [self.topic.clone()];
        Reader {
            consumer: GroupConsumer::subscribe(client.clone(), config, topics),
            read: Vec::new(),
            events: Vec::new(),
        }
    }
}

fn config(assignor: Assignor) -> GroupConfig {
    GroupConfig {
        heartbeat_interval: Duration::from_millis(20),
        assignors: vec![assignor],
        offset_reset: OffsetReset::Earliest,
        consumer: ConsumerConfig {
            fetch_wait_max: Duration::from_millis(10),
            ..ConsumerConfig::default()
        },
        ..GroupConfig::new("g")
    }
}

/// A member and what it was told.
struct Reader {
    consumer: GroupConsumer,
    read: Vec<i32>,
    events: Vec<Polled>,
}

impl Reader {
    async fn poll(&mut self) -> Result<(), ClientError> {
        match self.consumer.poll().await? {
            Polled::Records(fetched) => {
                for fetched in fetched {
                    let values = fetched.batches.iter();
                    let values = values.flat_map(|batch| values_of(batch, fetched.position.0));
                    self.read
                        .extend(values.map(|value| value.parse::<i32>().unwrap()));
                }
            }
            event => self.events.push(event),
        }
        Ok(())
    }

    fn share(&self) -> usize {
        self.consumer.assignment().len()
    }
}

/// Polls all in turn until it is so.
async fn poll_until<const N: usize>(
    mut readers: [&mut Reader; N],
    is_so: impl Fn(&[&mut Reader; N]) -> bool,
) {
    while !is_so(&readers) {
        for reader in &mut readers {
            reader.poll().await.unwrap();
        }
    }
}

fn sorted(numbers: impl IntoIterator<Item = i32>) -> Vec<i32> {
    let mut numbers: Vec<_> = numbers.into_iter().collect();
    numbers.sort_unstable();
    numbers
}

#[tokio::test]
async fn a_group_goes_on_where_it_was_whichever_way_its_members_come() {
    let world = World::new(2).await;
    let (embedded, tcp) = (world.client.clone(), world.tcp().await);
    for (round, client) in (0..).zip([&embedded, &tcp, &embedded]) {
        let numbers = round * 10..round * 10 + 10;
        world.put(numbers.clone()).await;
        let mut reader = world.member(client, config(Assignor::Range));
        poll_until([&mut reader], |[reader]| reader.read.len() >= 10).await;
        assert_eq!(sorted(reader.read.clone()), numbers.collect::<Vec<_>>());
        reader.consumer.close().await.unwrap();
        let described = client.describe_group("g").await.unwrap();
        assert!(described.members.is_empty(), "it has left: {described:?}");
    }
}

#[tokio::test]
async fn members_share_and_take_over_with_each_assignor() {
    for assignor in Assignor::ALL {
        let world = World::new(4).await;
        let mut first = world.member(&world.client, config(assignor));
        poll_until([&mut first], |[first]| first.share() == 4).await;
        world.put(0..20).await;
        poll_until([&mut first], |[first]| first.read.len() == 20).await;

        let mut second = world.member(&world.tcp().await, config(assignor));
        let halves = |readers: &[&mut Reader; 2]| readers.iter().all(|reader| reader.share() == 2);
        poll_until([&mut first, &mut second], halves).await;
        assert!(
            first
                .consumer
                .assignment()
                .is_disjoint(&second.consumer.assignment())
        );
        world.put(20..40).await;
        let all = |readers: &[&mut Reader; 2]| {
            readers
                .iter()
                .map(|reader| reader.read.len())
                .sum::<usize>()
                >= 40
        };
        poll_until([&mut first, &mut second], all).await;
        assert_eq!(second.read.len(), 10, "{assignor}");
        let both = [first.read.clone(), second.read.clone()].concat();
        assert_eq!(
            sorted(both),
            (0..40).collect::<Vec<_>>(),
            "{assignor}: each once"
        );

        first.consumer.close().await.unwrap();
        poll_until([&mut second], |[second]| second.share() == 4).await;
        world.put(40..60).await;
        poll_until([&mut second], |[second]| second.read.len() >= 30).await;
        assert_eq!(
            sorted(second.read[10..].to_vec()),
            (40..60).collect::<Vec<_>>()
        );
    }
}

#[tokio::test]
async fn only_what_moves_is_revoked_from_a_cooperative_member() {
    for (assignor, revoked) in [(Assignor::CooperativeSticky, 2), (Assignor::Sticky, 4)] {
        let world = World::new(4).await;
        let mut first = world.member(&world.client, config(assignor));
        poll_until([&mut first], |[first]| first.share() == 4).await;
        let mut second = world.member(&world.client, config(assignor));
        let halves = |readers: &[&mut Reader; 2]| readers.iter().all(|reader| reader.share() == 2);
        poll_until([&mut first, &mut second], halves).await;
        let gone = first.events.iter().filter_map(|event| match event {
            Polled::Revoked(gone) => Some(gone.len()),
            _ => None,
        });
        assert_eq!(gone.collect::<Vec<_>>(), [revoked], "{assignor}");
    }
}

#[tokio::test]
async fn records_are_committed_by_the_poll_after_the_one_that_returned_them() {
    let world = World::new(1).await;
    world.put(0..5).await;
    let often = GroupConfig {
        auto_commit_interval: Duration::ZERO,
        ..config(Assignor::Range)
    };
    let mut reader = world.member(&world.client, often);
    poll_until([&mut reader], |[reader]| reader.read.len() == 5).await;
    let committed = || async {
        let committed = world.client.committed_offsets("g").await.unwrap();
        committed.get(&world.place(0)).map_or(0, |offset| offset.0)
    };
    assert_eq!(committed().await, 0, "the program may still be at work");
    while committed().await != 5 {
        reader.poll().await.unwrap();
    }
}

#[tokio::test]
async fn a_member_that_commits_by_itself_commits_what_it_says() {
    let world = World::new(1).await;
    world.put(0..5).await;
    let by_hand = GroupConfig {
        auto_commit: false,
        ..config(Assignor::Range)
    };
    let mut reader = world.member(&world.client, by_hand);
    poll_until([&mut reader], |[reader]| reader.read.len() == 5).await;
    let place = world.place(0);
    let at = |offset| [(place.clone(), Offset(offset))].into();
    let first = reader.consumer.commit_async(at(2));
    reader.consumer.commit_sync(&at(3)).await.unwrap();
    first.wait().await.unwrap();
    let places = [place.clone()].into();
    assert_eq!(
        reader.consumer.committed(&places).await.unwrap(),
        at(3),
        "the later one is last"
    );
    reader.consumer.close().await.unwrap();
    assert_eq!(world.client.committed_offsets("g").await.unwrap(), at(3));
}

#[tokio::test]
async fn without_a_reset_a_group_without_offsets_does_not_begin_by_itself() {
    let world = World::new(1).await;
    world.put(0..5).await;
    let strict = GroupConfig {
        offset_reset: OffsetReset::None,
        ..config(Assignor::Range)
    };
    let mut reader = world.member(&world.client, strict);
    let error = loop {
        match reader.poll().await {
            Ok(()) => {}
            Err(error) => break error,
        }
    };
    let words = "t-0: no offset was committed, and auto.offset.reset is none";
    assert_eq!(error.to_string(), words);
    reader.consumer.seek(&world.place(7), Offset(0));
    reader.consumer.seek(&world.place(0), Offset(3));
    poll_until([&mut reader], |[reader]| reader.read.len() == 2).await;
    assert_eq!(reader.read, [3, 4]);
    assert_eq!(reader.share(), 1, "what is another's is not read");
}

#[tokio::test]
async fn an_offset_that_is_gone_is_reset() {
    let world = World::new(1).await;
    world.put(0..5).await;
    let at = |offset| [(world.place(0), Offset(offset))].into();
    for (reset, next, expected) in [
        (OffsetReset::Earliest, 5, vec![3, 4, 5]),
        (OffsetReset::Latest, 6, vec![6]),
    ] {
        world.client.commit_offsets("g", &at(1)).await.unwrap();
        world.client.delete_records(&at(3)).await.unwrap();
        let config = GroupConfig {
            offset_reset: reset,
            ..config(Assignor::Range)
        };
        let mut reader = world.member(&world.client, config);
        while reader
            .consumer
            .position(&world.place(0))
            .is_none_or(|offset| offset < Offset(3))
        {
            reader.poll().await.unwrap();
        }
        world.put(next..next + 1).await;
        poll_until([&mut reader], |[reader]| {
            reader.read.len() >= expected.len()
        })
        .await;
        assert_eq!(reader.read, expected, "{reset:?}");
        reader.consumer.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_dropped_poll_loses_nothing() {
    let world = World::new(3).await;
    world.put(0..30).await;
    let mut reader = world.member(&world.client, config(Assignor::CooperativeSticky));
    while reader.read.len() < 30 {
        for _ in 0..5 {
            // Dropped at its first await that is not ready, wherever that is.
            tokio::select! {
                biased;
                polled = reader.poll() => polled.unwrap(),
                () = tokio::task::yield_now() => {}
            }
        }
    }
    assert_eq!(sorted(reader.read), (0..30).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_static_member_is_fenced_by_the_next_of_its_name() {
    let world = World::new(2).await;
    let named = || GroupConfig {
        instance_id: Some("i".into()),
        ..config(Assignor::Range)
    };
    let mut first = world.member(&world.client, named());
    poll_until([&mut first], |[first]| first.share() == 2).await;
    let mut second = world.member(&world.client, named());
    poll_until([&mut second], |[second]| second.share() == 2).await;
    let error = loop {
        match first.poll().await {
            Ok(()) => {}
            Err(error) => break error,
        }
    };
    let is_fenced = matches!(
        error,
        ClientError::Broker {
            code: ErrorCode::FencedInstanceId,
            ..
        }
    );
    assert!(is_fenced, "{error}");
    first.poll().await.unwrap();
    assert!(matches!(first.events.last(), Some(Polled::Lost(gone)) if gone.len() == 2));
}

#[tokio::test]
async fn a_program_that_hangs_is_told_what_it_has_lost() {
    let world = World::new(2).await;
    let hasty = GroupConfig {
        poll_interval_max: Duration::from_millis(200),
        ..config(Assignor::Range)
    };
    let mut hanging = world.member(&world.client, hasty);
    poll_until([&mut hanging], |[hanging]| hanging.share() == 2).await;
    let mut other = world.member(&world.client, config(Assignor::Range));
    poll_until([&mut other], |[other]| other.share() == 2).await;
    let is_lost = |[hanging, _]: &[&mut Reader; 2]| {
        let mut events = hanging.events.iter();
        events.any(|event| matches!(event, Polled::Lost(gone) if gone.len() == 2))
    };
    poll_until([&mut hanging, &mut other], is_lost).await;
    let halves = |readers: &[&mut Reader; 2]| readers.iter().all(|reader| reader.share() == 1);
    poll_until([&mut hanging, &mut other], halves).await;
}
