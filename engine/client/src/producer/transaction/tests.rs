//! Transactions on a real broker in this process.
#![cfg(feature = "embedded")]

use brooklet_broker::{Broker, BrokerConfig, Storage};
use brooklet_protocol::messages::kafka::FetchRequest;
use brooklet_protocol::messages::kafka::fetch_request::{FetchPartition, FetchTopic};
use brooklet_protocol::messages::{ApiKey, Request, Response, ResponseKind, StrBytes};
use brooklet_protocol::{BrokerId, Offset, PartitionId};
use bytes::Bytes;
use std::time::Duration;

use parking_lot::Mutex;

use super::*;
use crate::testing::values_of;
use crate::transport::{Embedded, Node, Tcp, TcpConfig, Transport, TransportError};
use crate::{Consumer, ConsumerConfig, Isolation};

fn topic() -> TopicName {
    TopicName::new("t").unwrap()
}

fn place(number: i32) -> TopicPartition {
    TopicPartition::new(topic(), PartitionId(number))
}

fn record(partition: i32, value: &str) -> NewRecord {
    NewRecord {
        partition: Some(PartitionId(partition)),
        value: Some(Bytes::copy_from_slice(value.as_bytes())),
        ..NewRecord::default()
    }
}

/// A broker without a port, and a client in its process.
async fn started() -> (Broker, Client) {
    let config = BrokerConfig {
        storage: Storage::Ephemeral,
        kafka: None,
        num_partitions: 2,
        ..BrokerConfig::default()
    };
    let broker = Broker::start(config).await.unwrap();
    let client = Client::embedded(broker.clone(), "test");
    (broker, client)
}

async fn producer(client: &Client) -> TransactionalProducer {
    let config = ProducerConfig::transactional("tx");
    TransactionalProducer::new(client.clone(), config)
        .await
        .unwrap()
}

/// What was asked, and in which version.
type Asked = Vec<(ApiKey, i16)>;

/// The way into a broker, which notes what is asked.
#[derive(Debug)]
struct Recorder {
    broker: Embedded,
    /// Whether the broker seems not to know version 2 of transactions.
    is_old: bool,
    asked: Mutex<Asked>,
    /// These are answered, but nobody hears of it.
    lost: Mutex<Vec<ApiKey>>,
    /// What the next answer to a Produce says, whatever the broker has done.
    forged: Mutex<Option<ErrorCode>>,
}

impl Transport for Recorder {
    fn call(
        &self,
        node: Node,
        request: Request,
    ) -> BoxFuture<'_, Result<Response, TransportError>> {
        let (api, version) = (request.api(), request.version);
        self.asked.lock().push((api, version));
        Box::pin(async move {
            let mut answer = self.broker.call(node, request).await?;
            if let (true, ResponseKind::ApiVersions(versions)) = (self.is_old, &mut answer) {
                versions.finalized_features.clear();
            }
            if let ResponseKind::Produce(produced) = &mut answer
                && let Some(code) = self.forged.lock().take()
            {
                let topics = produced.responses.iter_mut();
                for partition in topics.flat_map(|topic| &mut topic.partition_responses) {
                    partition.error_code = code.code();
                }
            }
            let mut lost = self.lost.lock();
            if let Some(index) = lost.iter().position(|lost| *lost == api) {
                lost.remove(index);
                let (address, reason) = ("b:1".into(), "as planned".into());
                return Err(TransportError::Broken { address, reason });
            }
            Ok(answer)
        })
    }

    fn learn(&self, _: &[(BrokerId, String)]) {}
}

impl Recorder {
    /// What was asked since the last time, sorted.
    fn take(&self) -> Asked {
        let mut asked = std::mem::take(&mut *self.asked.lock());
        asked.sort_by_key(|(api, version)| (format!("{api:?}"), *version));
        asked
    }
}

/// A recorder, and a client behind it.
fn recorded(broker: &Broker, is_old: bool) -> (Arc<Recorder>, Client) {
    let recorder = Arc::new(Recorder {
        broker: Embedded::new(broker.clone(), "test"),
        is_old,
        asked: Mutex::default(),
        lost: Mutex::default(),
        forged: Mutex::default(),
    });
    let client = Client::new(Arc::clone(&recorder) as Arc<dyn Transport>);
    (recorder, client)
}

/// High watermark and last stable offset of a partition.
async fn ends(client: &Client, number: i32) -> (i64, i64) {
    let partition = FetchPartition::default()
        .with_partition(number)
        .with_current_leader_epoch(-1)
        .with_partition_max_bytes(1);
    let asked = FetchTopic::default()
        .with_topic(StrBytes::from_static_str("t").into())
        .with_partitions(vec![partition]);
    let request = FetchRequest::default()
        .with_session_epoch(-1)
        .with_topics(vec![asked]);
    match client.ask(Node::Any, 11, request.into()).await.unwrap() {
        ResponseKind::Fetch(mut answer) => {
            let data = answer.responses.remove(0).partitions.remove(0);
            (data.high_watermark, data.last_stable_offset)
        }
        other => panic!("{other:?}"),
    }
}

/// The first values of partition 0 that count.
async fn read_committed(client: &Client, count: usize) -> Vec<String> {
    let config = ConsumerConfig {
        isolation: Isolation::ReadCommitted,
        ..ConsumerConfig::default()
    };
    let mut consumer = Consumer::new(client.clone(), config);
    consumer.assign([(place(0), Offset(0))]);
    let mut values = Vec::new();
    while values.len() < count {
        for fetched in consumer.poll().await.unwrap() {
            let batches = fetched.batches.iter();
            values.extend(batches.flat_map(|batch| values_of(batch, fetched.position.0)));
        }
    }
    values
}

#[tokio::test]
async fn what_is_sent_counts_with_its_transaction() {
    let (broker, client) = started().await;
    let mut producer = producer(&client).await;
    producer.begin().unwrap();
    let sent = producer.send(&topic(), record(0, "a")).await.unwrap();
    producer.send(&topic(), record(1, "b")).await.unwrap();
    producer.flush().await.unwrap();
    assert_eq!(sent.wait().await.unwrap().1, Offset(0));
    assert_eq!(ends(&client, 0).await, (1, 0));
    producer.commit().await.unwrap();
    // The next transaction waits for the markers of the one before.
    producer.begin().unwrap();
    producer.send(&topic(), record(0, "c")).await.unwrap();
    producer.flush().await.unwrap();
    assert_eq!(
        (ends(&client, 0).await, ends(&client, 1).await),
        ((3, 2), (2, 2))
    );
    producer.abort().await.unwrap();
    producer.begin().unwrap();
    producer.commit().await.unwrap();
    broker.shutdown().await.unwrap();
}

#[tokio::test]
async fn many_at_once_count_and_fail_with_their_transaction() {
    let (broker, client) = started().await;
    let small = [("max.message.bytes".to_owned(), "100".to_owned())].into();
    client
        .create_topic(&topic(), Some(2), &small)
        .await
        .unwrap();
    let mut producer = producer(&client).await;
    let values = |count: usize| {
        let value = RecordRef {
            value: Some(b"0123456789"),
            ..RecordRef::default()
        };
        vec![value; count]
    };
    assert!(
        producer.send_all(&place(0), &values(1)).await.is_err(),
        "none is open"
    );
    producer.begin().unwrap();
    producer.send_all(&place(0), &values(7)).await.unwrap();
    producer.send_all(&place(1), &values(2)).await.unwrap();
    producer.commit().await.unwrap();
    producer.begin().unwrap();
    producer.send_all(&place(1), &values(1)).await.unwrap();
    producer.flush().await.unwrap();
    let found = (ends(&client, 0).await, ends(&client, 1).await);
    assert_eq!(found, ((8, 8), (4, 3)));
    let long = [0; 99];
    let long = RecordRef {
        value: Some(&long),
        ..RecordRef::default()
    };
    producer.send_all(&place(0), &[long]).await.unwrap();
    let error = producer.commit().await.unwrap_err();
    assert!(
        matches!(error, ClientError::RecordTooLarge { .. }),
        "{error}"
    );
    producer.abort().await.unwrap();
    broker.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_commit_asks_no_more_than_it_must() {
    use ApiKey::{AddOffsetsToTxn, AddPartitionsToTxn, EndTxn, Produce, TxnOffsetCommit};
    let (broker, _) = started().await;
    let old: Asked = vec![
        (AddOffsetsToTxn, 3),
        (AddPartitionsToTxn, 3),
        (EndTxn, 3),
        (Produce, 11),
        (TxnOffsetCommit, 3),
    ];
    let new: Asked = vec![(EndTxn, 5), (Produce, 12), (TxnOffsetCommit, 5)];
    for (is_old, expected) in [(true, old), (false, new)] {
        let (recorder, client) = recorded(&broker, is_old);
        let mut producer = producer(&client).await;
        let offsets = [(place(0), Offset(5).into())].into();
        let group = GroupMetadata::of("g");
        for round in 0..3 {
            recorder.take();
            producer.begin().unwrap();
            producer.send(&topic(), record(0, "a")).await.unwrap();
            producer.send(&topic(), record(1, "b")).await.unwrap();
            producer.send_offsets(&offsets, &group).await.unwrap();
            producer.commit().await.unwrap();
            let asked = recorder.take();
            // The first time, topic and coordinator are looked up.
            assert!(round == 0 || asked == expected, "{asked:?}");
        }
        producer.begin().unwrap();
        producer.commit().await.unwrap();
        producer.begin().unwrap();
        producer.abort().await.unwrap();
        assert_eq!(recorder.take(), [], "nothing was begun");
    }
    broker.shutdown().await.unwrap();
}

#[tokio::test]
async fn with_either_protocol_what_is_aborted_does_not_count_and_the_next_does() {
    for is_old in [true, false] {
        let (broker, _) = started().await;
        let (recorder, client) = recorded(&broker, is_old);
        let mut producer = producer(&client).await;
        for round in 0..3 {
            producer.begin().unwrap();
            producer.send(&topic(), record(0, "no")).await.unwrap();
            if round == 1 {
                producer.flush().await.unwrap();
            }
            producer.abort().await.unwrap();
            producer.begin().unwrap();
            producer.send(&topic(), record(0, "yes")).await.unwrap();
            producer.send(&topic(), record(0, "yes")).await.unwrap();
            producer.commit().await.unwrap();
        }
        assert_eq!(read_committed(&client, 6).await, vec!["yes"; 6]);
        let api = |(api, _): &(ApiKey, i16)| *api;
        let asked: Vec<_> = recorder.take().iter().map(api).collect();
        let inits = asked.iter().filter(|api| **api == ApiKey::InitProducerId);
        assert_eq!(inits.count(), 1, "no sequence was in doubt");
        broker.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn an_end_whose_answer_is_lost_is_asked_for_again() {
    for is_old in [true, false] {
        let (broker, _) = started().await;
        let (recorder, client) = recorded(&broker, is_old);
        let mut producer = producer(&client).await;
        for value in ["a", "b"] {
            producer.begin().unwrap();
            producer.send(&topic(), record(0, value)).await.unwrap();
            let offsets = [(place(0), Offset(5).into())].into();
            let lost = [ApiKey::EndTxn, ApiKey::TxnOffsetCommit, ApiKey::Produce];
            recorder.lost.lock().extend(lost);
            let group = GroupMetadata::of("g");
            producer.send_offsets(&offsets, &group).await.unwrap();
            producer.commit().await.unwrap();
            assert!(recorder.lost.lock().is_empty());
        }
        assert_eq!(read_committed(&client, 2).await, ["a", "b"]);
        broker.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn a_failure_that_leaves_sequences_in_doubt_ends_at_once_and_is_mended_by_the_abort() {
    for is_old in [true, false] {
        let (broker, _) = started().await;
        let (recorder, client) = recorded(&broker, is_old);
        let config = ProducerConfig {
            batch_bytes: 1,
            ..ProducerConfig::transactional("tx")
        };
        let producer = TransactionalProducer::new(client.clone(), config);
        let mut producer = producer.await.unwrap();
        producer.begin().unwrap();
        producer.send(&topic(), record(0, "a")).await.unwrap();
        producer.flush().await.unwrap();
        *recorder.forged.lock() = Some(ErrorCode::OutOfOrderSequenceNumber);
        let mut deliveries = Vec::new();
        for value in ["b", "c", "d"] {
            for partition in [0, 1] {
                let record = record(partition, value);
                deliveries.push(producer.send(&topic(), record).await.unwrap());
            }
        }
        let error = producer.commit().await.unwrap_err().to_string();
        assert!(error.ends_with("OutOfOrderSequenceNumber"), "{error}");
        // What waited behind it does not wait for its delivery timeout.
        let last = deliveries.pop().unwrap().wait().await.unwrap_err();
        assert_eq!(last.to_string(), error);
        producer.abort().await.unwrap();
        producer.begin().unwrap();
        producer.send(&topic(), record(0, "yes")).await.unwrap();
        producer.commit().await.unwrap();
        assert_eq!(read_committed(&client, 1).await, ["yes"]);
        let inits = recorder.take();
        let inits = inits
            .iter()
            .filter(|(api, _)| *api == ApiKey::InitProducerId);
        assert_eq!(inits.count(), if is_old { 2 } else { 1 });
        broker.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn a_coordinator_is_found_before_anything_else_is_asked() {
    let broker = Broker::ephemeral().await.unwrap();
    let address = broker.kafka_address().unwrap().to_string();
    let transport = Tcp::new(&address, TcpConfig::default());
    let client = Client::new(Arc::new(transport));
    let mut producer = producer(&client).await;
    producer.begin().unwrap();
    producer.send(&topic(), record(0, "a")).await.unwrap();
    producer.commit().await.unwrap();
    broker.shutdown().await.unwrap();
}

#[tokio::test]
async fn offsets_count_with_it() {
    let (broker, client) = started().await;
    let mut producer = producer(&client).await;
    client.partition_count(&topic()).await.unwrap_err();
    for (offset, committed, expected) in [(5, true, 5), (7, false, 5), (9, true, 9)] {
        producer.begin().unwrap();
        producer.send(&topic(), record(0, "a")).await.unwrap();
        let offsets = [(place(0), Offset(offset).into())].into();
        producer
            .send_offsets(&offsets, &GroupMetadata::of("g"))
            .await
            .unwrap();
        if committed {
            producer.commit().await.unwrap();
        } else {
            producer.abort().await.unwrap();
        }
        producer.begin().unwrap();
        producer.send(&topic(), record(0, "b")).await.unwrap();
        producer.flush().await.unwrap();
        let found = client.committed_offsets("g").await.unwrap();
        assert_eq!(found.get(&place(0)), Some(&Offset(expected)));
        producer.abort().await.unwrap();
    }
    broker.shutdown().await.unwrap();
}

#[tokio::test]
async fn metadata_comes_back_once_its_transaction_is_committed() {
    let (broker, client) = started().await;
    let mut producer = producer(&client).await;
    let noted = |offset, metadata: &str| OffsetAndMetadata {
        offset: Offset(offset),
        metadata: metadata.to_owned(),
    };
    let stable = async |partitions: Option<&_>| {
        let found = client.stable_offsets("g", partitions, Duration::ZERO).await;
        found.map_err(|error| error.to_string())
    };
    producer.begin().unwrap();
    producer.send(&topic(), record(0, "a")).await.unwrap();
    let offsets: BTreeMap<_, _> = [
        (place(0), noted(5, "stream time 7")),
        (place(1), noted(6, "")),
    ]
    .into();
    let group = GroupMetadata::of("g");
    producer.send_offsets(&offsets, &group).await.unwrap();
    let unstable = "look up the offsets of group 'g': UnstableOffsetCommit";
    assert_eq!(stable(None).await.unwrap_err(), unstable);
    producer.commit().await.unwrap();
    // The next transaction begins once the one before has ended.
    producer.begin().unwrap();
    producer.send(&topic(), record(0, "b")).await.unwrap();
    producer.flush().await.unwrap();
    assert_eq!(stable(None).await.unwrap(), offsets);
    let some = [place(0), place(9)].into();
    let expected = [(place(0), noted(5, "stream time 7"))].into();
    assert_eq!(stable(Some(&some)).await.unwrap(), expected);

    let long = [(place(0), noted(9, &"x".repeat(4097)))].into();
    let refused = producer.send_offsets(&long, &group).await.unwrap_err();
    let words = "commit offsets of group 'g' as 'tx': OffsetMetadataTooLarge (the metadata of t-0 \
                 has 4097 bytes, and the broker's offset.metadata.max.bytes allows fewer)";
    assert_eq!(refused.to_string(), words);
    producer.commit().await.unwrap_err();
    producer.abort().await.unwrap();
    producer.begin().unwrap();
    let fits = [(place(0), noted(9, &"x".repeat(4096)))].into();
    producer.send_offsets(&fits, &group).await.unwrap();
    producer.commit().await.unwrap();
    broker.shutdown().await.unwrap();
}

#[tokio::test]
async fn who_comes_later_fences_who_was_there_before() {
    let (broker, client) = started().await;
    let mut first = producer(&client).await;
    first.begin().unwrap();
    first.send(&topic(), record(0, "a")).await.unwrap();
    first.flush().await.unwrap();
    let mut second = producer(&client).await;
    first.send(&topic(), record(0, "b")).await.unwrap();
    let fenced = first.commit().await.unwrap_err();
    assert!(is_fenced(&fenced), "{fenced}");
    assert!(is_fenced(&first.abort().await.unwrap_err()));
    assert!(is_fenced(&first.begin().unwrap_err()));
    second.begin().unwrap();
    second.send(&topic(), record(0, "c")).await.unwrap();
    second.commit().await.unwrap();
    broker.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_transaction_that_has_failed_can_only_be_aborted() {
    let (broker, client) = started().await;
    let mut producer = producer(&client).await;
    producer.begin().unwrap();
    producer.send(&topic(), record(0, "a")).await.unwrap();
    let far = producer.send(&topic(), record(9, "b")).await.unwrap_err();
    assert!(matches!(far, ClientError::Broker { .. }), "{far}");
    producer.flush().await.unwrap();
    let topic_config = [("max.message.bytes".to_owned(), "100".to_owned())];
    let small = TopicName::new("small").unwrap();
    client
        .create_topic(&small, Some(1), &topic_config.into())
        .await
        .unwrap();
    let large = producer
        .send(&small, record(0, &"x".repeat(200)))
        .await
        .unwrap();
    let error = producer.commit().await.unwrap_err();
    assert!(error.to_string().contains("max.message.bytes"), "{error}");
    large.wait().await.unwrap_err();
    let refused = producer.commit().await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the transaction has failed: abort it first"
    );
    producer.abort().await.unwrap();
    producer.begin().unwrap();
    producer.send(&topic(), record(0, "c")).await.unwrap();
    producer.commit().await.unwrap();
    broker.shutdown().await.unwrap();
}

#[tokio::test]
async fn what_is_not_sent_yet_is_not_sent_after_an_abort() {
    let (broker, client) = started().await;
    let config = ProducerConfig {
        linger: std::time::Duration::from_secs(3600),
        ..ProducerConfig::transactional("tx")
    };
    let mut producer = TransactionalProducer::new(client.clone(), config)
        .await
        .unwrap();
    producer.begin().unwrap();
    let given_up = producer.send(&topic(), record(0, "a")).await.unwrap();
    producer.abort().await.unwrap();
    let error = given_up.wait().await.unwrap_err();
    assert_eq!(error.to_string(), "the transaction was aborted");
    producer.begin().unwrap();
    producer.send(&topic(), record(0, "b")).await.unwrap();
    producer.commit().await.unwrap();
    assert_eq!(ends(&client, 0).await.0, 2, "one record and its marker");
    broker.shutdown().await.unwrap();
}

#[tokio::test]
async fn misuse_is_told() {
    let (broker, client) = started().await;
    let plain = TransactionalProducer::new(client.clone(), ProducerConfig::default()).await;
    assert_eq!(
        plain.unwrap_err().to_string(),
        "a transactional producer needs a transactional.id"
    );
    let config = ProducerConfig::transactional("tx");
    assert!(Producer::new(client.clone(), config).await.is_err());
    let mut producer = producer(&client).await;
    assert!(producer.send(&topic(), record(0, "a")).await.is_err());
    assert!(producer.commit().await.is_err());
    assert!(producer.abort().await.is_err());
    producer.begin().unwrap();
    assert!(producer.begin().is_err());
    broker.shutdown().await.unwrap();
}
