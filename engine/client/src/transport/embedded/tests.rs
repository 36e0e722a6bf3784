//! One broker, both ways in: the same requests get the same answers.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use brooklet_protocol::messages::kafka::fetch_request::{FetchPartition, FetchTopic};
use brooklet_protocol::messages::kafka::list_offsets_request::{
    ListOffsetsPartition, ListOffsetsTopic,
};
use brooklet_protocol::messages::kafka::metadata_request::MetadataRequestTopic;
use brooklet_protocol::messages::kafka::{
    CreateTopicsRequest, DeleteTopicsRequest, FetchRequest, ListOffsetsRequest, MetadataRequest,
    ProduceRequest,
};
use brooklet_protocol::messages::{encode_response, kafka};
use brooklet_protocol::{Offset, PartitionId, Timestamp, TopicName, TopicPartition};
use bytes::{Bytes, BytesMut};

use super::*;
use crate::testing::values_of;
use crate::transport::{Tcp, TcpConfig};
use crate::{
    Acks, Client, ClientError, Consumer, ConsumerConfig, NewRecord, OffsetSpec, Producer,
    ProducerConfig,
};

async fn broker() -> Broker {
    Broker::ephemeral().await.unwrap()
}

fn address_of(broker: &Broker) -> String {
    broker.kafka_address().unwrap().to_string()
}

/// A client for each way in.
async fn clients(broker: &Broker) -> [Client; 2] {
    let tcp = Client::connect(&address_of(broker), "test").await.unwrap();
    [Client::embedded(broker.clone(), "test"), tcp]
}

fn record(value: &str) -> NewRecord {
    NewRecord {
        timestamp: Some(Timestamp(1000)),
        key: Some(Bytes::from_static(b"key")),
        value: Some(Bytes::copy_from_slice(value.as_bytes())),
        headers: vec![("origin".into(), None)],
        ..NewRecord::default()
    }
}

async fn read(consumer: &mut Consumer, count: usize) -> Vec<String> {
    let mut values = Vec::new();
    while values.len() < count {
        for fetched in consumer.poll().await.unwrap() {
            for batch in fetched.batches {
                values.extend(values_of(&batch, fetched.position.0));
            }
        }
    }
    values
}

#[tokio::test]
async fn a_record_goes_round_either_way() {
    let broker = broker().await;
    for (name, client) in ["embedded", "tcp"].into_iter().zip(clients(&broker).await) {
        let topic = TopicName::new(name).unwrap();
        client
            .create_topic(&topic, Some(3), &BTreeMap::new())
            .await
            .unwrap();
        assert_eq!(client.partition_count(&topic).await.unwrap(), 3);
        let producer = Producer::new(client.clone(), ProducerConfig::default())
            .await
            .unwrap();
        for value in ["a", "b"] {
            producer.send(&topic, record(value)).await.unwrap();
        }
        let (partition, offset) = producer
            .send(&topic, record("c"))
            .await
            .unwrap()
            .wait()
            .await
            .unwrap();
        assert_eq!(offset, Offset(2));

        let mut consumer = Consumer::new(client.clone(), ConsumerConfig::default());
        consumer.assign([(partition.clone(), Offset(1))]);
        assert_eq!(read(&mut consumer, 2).await, ["b", "c"]);
        assert_eq!(consumer.position(&partition), Some(Offset(3)));

        // A fetch that waits is woken by the next record.
        let waiting = tokio::spawn(async move { read(&mut consumer, 1).await });
        producer.send(&topic, record("d")).await.unwrap();
        assert_eq!(waiting.await.unwrap(), ["d"]);

        let one = std::slice::from_ref(&partition);
        let latest = client.list_offsets(one, OffsetSpec::Latest).await.unwrap();
        assert_eq!(latest[&partition], Offset(4));
        let after_all = OffsetSpec::At(Timestamp(2000));
        assert_eq!(
            client.list_offsets(one, after_all).await.unwrap()[&partition],
            Offset(4)
        );

        client.delete_topic(&topic).await.unwrap();
        let gone = client.partition_count(&topic).await;
        assert!(
            matches!(gone, Err(ClientError::UnknownTopic(_))),
            "{name}: {gone:?}"
        );
    }
    broker.shutdown().await.unwrap();
}

/// Requests that change nothing, in the versions that the client speaks.
fn questions(topic: &str, id: uuid::Uuid) -> Vec<(i16, RequestKind)> {
    let name = || kafka::TopicName(StrBytes::from_string(topic.to_owned()));
    let fetch = |offset| {
        let partition = FetchPartition::default()
            .with_fetch_offset(offset)
            .with_partition_max_bytes(1 << 20);
        let topic = FetchTopic::default()
            .with_topic(name())
            .with_topic_id(id)
            .with_partitions(vec![partition]);
        FetchRequest::default()
            .with_max_wait_ms(1)
            .with_topics(vec![topic])
            .into()
    };
    let metadata = |name| {
        let topic = MetadataRequestTopic::default().with_name(Some(name));
        MetadataRequest::default()
            .with_topics(Some(vec![topic]))
            .with_allow_auto_topic_creation(false)
            .into()
    };
    let list = |time| {
        let partition = ListOffsetsPartition::default().with_timestamp(time);
        let topic = ListOffsetsTopic::default()
            .with_name(name())
            .with_partitions(vec![partition]);
        ListOffsetsRequest::default()
            .with_topics(vec![topic])
            .into()
    };
    let nowhere = kafka::TopicName(StrBytes::from_static_str("nowhere"));
    vec![
        (12, metadata(name())),
        (12, metadata(nowhere.clone())),
        (12, MetadataRequest::default().with_topics(None).into()),
        (12, fetch(0)),
        (12, fetch(99)),
        (17, fetch(0)),
        (17, fetch(1)),
        (7, list(-1)),
        (7, list(-2)),
        (7, list(500)),
        (
            5,
            DeleteTopicsRequest::default()
                .with_topic_names(vec![nowhere])
                .into(),
        ),
        (7, CreateTopicsRequest::default().into()),
        (12, ProduceRequest::default().with_acks(0).into()),
        (12, ProduceRequest::default().with_acks(1).into()),
    ]
}

#[tokio::test]
async fn the_same_question_gets_the_same_answer() {
    let broker = broker().await;
    let [client, _] = clients(&broker).await;
    let topic = TopicName::new("t").unwrap();
    client
        .create_topic(&topic, Some(1), &BTreeMap::new())
        .await
        .unwrap();
    let producer = Producer::new(client.clone(), ProducerConfig::default())
        .await
        .unwrap();
    producer
        .send(&topic, record("a"))
        .await
        .unwrap()
        .wait()
        .await
        .unwrap();
    let id = client.metadata(Some(&["t"])).await.unwrap().topics[0].id;

    let embedded = Embedded::new(broker.clone(), "test");
    let tcp = Tcp::new(&address_of(&broker), TcpConfig::default());
    for (version, body) in questions("t", id) {
        let words = format!("{body:?} in version {version}");
        let request = Request {
            version,
            client_id: None,
            body,
        };
        let one = embedded.call(Node::Any, request.clone()).await.unwrap();
        let other = tcp.call(Node::Any, request.clone()).await.unwrap();
        let versions = embedded.versions.get().unwrap();
        let version = versions.negotiate(request.api(), version).unwrap();
        assert_eq!(encoded(version, &one), encoded(version, &other), "{words}");
    }
    broker.shutdown().await.unwrap();
}

/// An answer as far as its version goes: embedded, fields that the version lacks are still there.
fn encoded(version: i16, answer: &Response) -> BytesMut {
    let mut frame = BytesMut::new();
    encode_response(&mut frame, 0, version, answer).unwrap();
    frame
}

#[tokio::test]
async fn what_the_broker_refuses_has_its_code_either_way() {
    let broker = broker().await;
    for client in clients(&broker).await {
        let (there, none) = (TopicName::new("there").unwrap(), BTreeMap::new());
        client.create_topic(&there, None, &none).await.ok();
        let again = client
            .create_topic(&there, Some(2), &none)
            .await
            .unwrap_err();
        let words = again.to_string();
        assert!(
            words.starts_with("create topic 'there': TopicAlreadyExists"),
            "{words}"
        );
        let nowhere = TopicName::new("nowhere").unwrap();
        let gone = client.delete_topic(&nowhere).await.unwrap_err();
        assert_eq!(gone.to_string(), "topic 'nowhere' does not exist");
    }
    broker.shutdown().await.unwrap();
}

#[tokio::test]
async fn what_no_version_fits_is_refused_either_way() {
    let broker = broker().await;
    for client in clients(&broker).await {
        let body = ProduceRequest::default().into();
        let request = Request {
            version: 2,
            client_id: None,
            body,
        };
        let answer = client.transport().call(Node::Any, request).await;
        assert!(
            matches!(answer, Err(TransportError::Unsupported { .. })),
            "{answer:?}"
        );
    }
    broker.shutdown().await.unwrap();
}

#[tokio::test]
async fn acks_are_as_durable_as_asked_and_all_are_counted() {
    let broker = broker().await;
    for client in clients(&broker).await {
        for acks in [Acks::None, Acks::Leader, Acks::All] {
            let config = ProducerConfig {
                acks,
                linger: Duration::ZERO,
                ..Default::default()
            };
            let producer = Producer::new(client.clone(), config).await.unwrap();
            let topic = TopicName::new("acks").unwrap();
            for value in ["a", "b", "c"] {
                producer.send(&topic, record(value)).await.unwrap();
            }
            producer.flush().await.unwrap();
        }
    }
    let [client, _] = clients(&broker).await;
    let partition = TopicPartition::new(TopicName::new("acks").unwrap(), PartitionId(0));
    let mut consumer = Consumer::new(client, ConsumerConfig::default());
    consumer.assign([(partition, Offset(0))]);
    assert_eq!(read(&mut consumer, 18).await.len(), 18);
    broker.shutdown().await.unwrap();
}

#[tokio::test]
async fn many_brokers_live_in_one_process() {
    const MANY: usize = 16;
    let mut brokers = Vec::new();
    for _ in 0..MANY {
        brokers.push(Broker::ephemeral().await.unwrap());
    }
    let ports: BTreeSet<_> = brokers
        .iter()
        .map(|broker| broker.kafka_address().unwrap().port())
        .collect();
    assert_eq!(ports.len(), MANY);
    let topic = TopicName::new("t").unwrap();
    for (number, broker) in brokers.iter().enumerate() {
        let client = Client::embedded(broker.clone(), "test");
        let partitions = i32::try_from(number).unwrap() + 1;
        client
            .create_topic(&topic, Some(partitions), &BTreeMap::new())
            .await
            .unwrap();
    }
    for (number, broker) in brokers.into_iter().enumerate() {
        let address = broker.kafka_address().unwrap().to_string();
        let client = Client::connect(&address, "test").await.unwrap();
        let count = client.partition_count(&topic).await.unwrap();
        assert_eq!(
            usize::try_from(count).unwrap(),
            number + 1,
            "each has its own topics"
        );
        let dir = broker.data_dir().to_owned();
        broker.shutdown().await.unwrap();
        assert!(!dir.exists(), "nothing is left");
    }
}
