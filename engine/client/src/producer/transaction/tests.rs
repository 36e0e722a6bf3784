//! Transactions on a real broker in this process.
#![cfg(feature = "embedded")]

use brooklet_broker::{Broker, BrokerConfig, Storage};
use brooklet_protocol::messages::kafka::FetchRequest;
use brooklet_protocol::messages::kafka::fetch_request::{FetchPartition, FetchTopic};
use brooklet_protocol::messages::{ResponseKind, StrBytes};
use brooklet_protocol::{Offset, PartitionId};
use bytes::Bytes;
use std::time::Duration;

use super::*;
use crate::transport::Node;

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
