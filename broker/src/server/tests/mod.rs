use std::sync::Arc;
use std::time::Duration;

use brooklet_log::clock::ManualClock;
use brooklet_log::vfs::sim::SimVfs;
use brooklet_protocol::Timestamp;
use brooklet_protocol::frame::split_frame;
use brooklet_protocol::messages::kafka::fetch_request::{FetchPartition, FetchTopic};
use brooklet_protocol::messages::kafka::metadata_request::MetadataRequestTopic;
use brooklet_protocol::messages::kafka::produce_request::{PartitionProduceData, TopicProduceData};
use brooklet_protocol::messages::kafka::{
    ApiVersionsRequest, FetchRequest, MetadataRequest, ProduceRequest, TopicName,
};
use brooklet_protocol::messages::{
    ApiKey, Request, RequestKind, ResponseKind, StrBytes, decode_response, encode_request,
};
use brooklet_protocol::records::{BatchBuilder, Compression};
use bytes::{BufMut, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::{Broker, BrokerConfig, Environment};

mod echo;
mod limits;
mod strangers;

/// A broker on a free port, and its clock.
async fn start(adjust: impl FnOnce(&mut BrokerConfig)) -> (Broker, ManualClock) {
    let clock = ManualClock::new(Timestamp(1000));
    let environment = Environment {
        vfs: Arc::new(SimVfs::new(1)),
        clock: Arc::new(clock.clone()),
        seed: 42,
    };
    let mut config = BrokerConfig {
        kafka: Some("127.0.0.1:0".to_owned()),
        ..BrokerConfig::default()
    };
    adjust(&mut config);
    let broker = Broker::start_in(environment, config).await.unwrap();
    (broker, clock)
}

struct Client {
    stream: TcpStream,
    input: BytesMut,
}

impl Client {
    async fn connect(broker: &Broker) -> Self {
        let address = broker.kafka_address().unwrap();
        Self {
            stream: TcpStream::connect(address).await.unwrap(),
            input: BytesMut::new(),
        }
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// The next answer; `None` once the broker has hung up.
    async fn receive(&mut self) -> Option<Bytes> {
        loop {
            if let Some(frame) = split_frame(&mut self.input, usize::MAX).unwrap() {
                return Some(frame);
            }
            match self.stream.read_buf(&mut self.input).await {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    async fn receive_as(&mut self, api: ApiKey, version: i16) -> (i32, ResponseKind) {
        let frame = self.receive().await.expect("an answer");
        decode_response(frame, api, version).unwrap()
    }
}

fn encoded(correlation_id: i32, version: i16, body: RequestKind) -> BytesMut {
    let request = Request {
        version,
        client_id: Some(StrBytes::from_static_str("test")),
        body,
    };
    let mut bytes = BytesMut::new();
    encode_request(&mut bytes, correlation_id, &request).unwrap();
    bytes
}

fn api_versions(correlation_id: i32) -> BytesMut {
    let body = ApiVersionsRequest::default()
        .with_client_software_name(StrBytes::from_static_str("test"))
        .with_client_software_version(StrBytes::from_static_str("1"));
    encoded(correlation_id, 3, RequestKind::ApiVersions(body))
}

fn name() -> TopicName {
    TopicName(StrBytes::from_static_str("clicks"))
}

fn create_topic(correlation_id: i32) -> BytesMut {
    let topic = MetadataRequestTopic::default().with_name(Some(name()));
    let body = MetadataRequest::default().with_topics(Some(vec![topic]));
    encoded(correlation_id, 9, RequestKind::Metadata(body))
}

fn produce(correlation_id: i32, partition: i32, acks: i16) -> BytesMut {
    let mut batch = BatchBuilder::new(Compression::None);
    batch.append(Timestamp(1), None, Some(b"a"), &[]);
    let data = PartitionProduceData::default()
        .with_index(partition)
        .with_records(Some(batch.build().bytes().clone()));
    let topic = TopicProduceData::default()
        .with_name(name())
        .with_partition_data(vec![data]);
    let body = ProduceRequest::default()
        .with_acks(acks)
        .with_topic_data(vec![topic]);
    encoded(correlation_id, 9, RequestKind::Produce(body))
}

fn fetch(correlation_id: i32, offset: i64) -> BytesMut {
    let partition = FetchPartition::default()
        .with_fetch_offset(offset)
        .with_partition_max_bytes(1000);
    let topic = FetchTopic::default()
        .with_topic(name())
        .with_partitions(vec![partition]);
    let body = FetchRequest::default()
        .with_max_wait_ms(i32::MAX)
        .with_min_bytes(1)
        .with_max_bytes(1000)
        .with_session_epoch(-1)
        .with_topics(vec![topic]);
    encoded(correlation_id, 11, RequestKind::Fetch(body))
}

/// Lets the others run until `condition` holds.
async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        tokio::task::yield_now().await;
    }
}

fn fetches_waiting(broker: &Broker) -> usize {
    let image = broker.controller().image();
    let topic = image.topic("clicks").expect("it was created");
    topic.partitions[0].open().unwrap().waiter_count()
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let (broker, _) = start(|_| {}).await;
    let mut client = Client::connect(&broker).await;
    let mut all = create_topic(1);
    all.unsplit(produce(2, 0, -1));
    all.unsplit(fetch(3, 0));
    all.unsplit(api_versions(4));
    // In pieces, so that frames arrive torn.
    for piece in all.chunks(7) {
        client.send(piece).await;
    }
    assert_eq!(client.receive_as(ApiKey::Metadata, 9).await.0, 1);
    assert_eq!(client.receive_as(ApiKey::Produce, 9).await.0, 2);
    let (correlation_id, fetched) = client.receive_as(ApiKey::Fetch, 11).await;
    assert_eq!(correlation_id, 3);
    let ResponseKind::Fetch(fetched) = fetched else {
        panic!("{fetched:?}");
    };
    assert_eq!(fetched.responses[0].partitions[0].high_watermark, 1);
    assert_eq!(client.receive_as(ApiKey::ApiVersions, 3).await.0, 4);
}

#[tokio::test]
async fn an_unknown_version_of_api_versions_is_answered_in_version_0() {
    let (broker, _) = start(|_| {}).await;
    let mut client = Client::connect(&broker).await;
    let mut request = BytesMut::new();
    request.put_i32(14);
    request.put_i16(ApiKey::ApiVersions as i16);
    request.put_i16(99);
    request.put_i32(5);
    request.put_slice(b"future");
    client.send(&request).await;
    let (correlation_id, answer) = client.receive_as(ApiKey::ApiVersions, 0).await;
    assert_eq!(correlation_id, 5);
    let ResponseKind::ApiVersions(answer) = answer else {
        panic!("{answer:?}");
    };
    assert_eq!(answer.error_code, 35);
    let range = &answer.api_keys[0];
    assert_eq!(
        (range.api_key, range.min_version, range.max_version),
        (18, 0, 4)
    );
    client.send(&api_versions(6)).await;
    assert_eq!(client.receive_as(ApiKey::ApiVersions, 3).await.0, 6);
}

#[tokio::test]
async fn what_is_no_request_closes_its_connection_and_no_other() {
    let (broker, _) = start(|_| {}).await;
    let mut bystander = Client::connect(&broker).await;
    let header = |key: i16, version: i16| {
        let mut bytes = BytesMut::new();
        bytes.put_i32(8);
        bytes.put_i16(key);
        bytes.put_i16(version);
        bytes.put_i32(1);
        bytes
    };
    let mut cut_off = api_versions(1);
    cut_off.truncate(20);
    cut_off[..4].copy_from_slice(&16_i32.to_be_bytes());
    let cases: [(&str, &[u8]); 8] = [
        ("negative", &(-1_i32).to_be_bytes()),
        ("http", b"GET / HTTP/1.1\r\n\r\n"),
        ("empty", &0_i32.to_be_bytes()),
        ("unknown api", &header(999, 0)),
        ("api that is not served", &header(11, 9)),
        ("version before the first", &header(1, 3)),
        ("version after the last", &header(3, 14)),
        ("cut off", &cut_off),
    ];
    for (case, bytes) in cases {
        let mut client = Client::connect(&broker).await;
        client.send(bytes).await;
        assert_eq!(client.receive().await, None, "{case}");
    }
    bystander.send(&api_versions(2)).await;
    assert_eq!(bystander.receive_as(ApiKey::ApiVersions, 3).await.0, 2);
}

#[tokio::test]
async fn clients_are_told_the_advertised_address() {
    let (broker, _) = start(|config| {
        config
            .apply("advertised.listeners", "PLAINTEXT://broker.example:0")
            .unwrap();
    })
    .await;
    let mut client = Client::connect(&broker).await;
    client.send(&create_topic(1)).await;
    let (_, answer) = client.receive_as(ApiKey::Metadata, 9).await;
    let ResponseKind::Metadata(answer) = answer else {
        panic!("{answer:?}");
    };
    let told = &answer.brokers[0];
    let port = i32::from(broker.kafka_address().unwrap().port());
    assert_eq!((told.host.as_str(), told.port), ("broker.example", port));
}

#[tokio::test]
async fn acks_0_has_no_answer_and_its_failure_closes_the_connection() {
    let (broker, _) = start(|_| {}).await;
    let mut client = Client::connect(&broker).await;
    client.send(&create_topic(1)).await;
    client.receive_as(ApiKey::Metadata, 9).await;
    client.send(&produce(2, 0, 0)).await;
    client.send(&produce(3, 0, 1)).await;
    let (correlation_id, answer) = client.receive_as(ApiKey::Produce, 9).await;
    assert_eq!(correlation_id, 3);
    let ResponseKind::Produce(answer) = answer else {
        panic!("{answer:?}");
    };
    assert_eq!(answer.responses[0].partition_responses[0].base_offset, 1);
    client.send(&produce(4, 99, 0)).await;
    assert_eq!(client.receive().await, None);
}

#[tokio::test]
async fn connections_beyond_the_limit_are_shed() {
    let (broker, _) = start(|config| config.max_connections = 1).await;
    let mut first = Client::connect(&broker).await;
    first.send(&api_versions(1)).await;
    first.receive_as(ApiKey::ApiVersions, 3).await;
    let mut second = Client::connect(&broker).await;
    assert_eq!(second.receive().await, None);
    first.send(&api_versions(2)).await;
    assert_eq!(first.receive_as(ApiKey::ApiVersions, 3).await.0, 2);
}

#[tokio::test]
async fn hanging_up_ends_a_waiting_fetch() {
    let (broker, _) = start(|_| {}).await;
    let mut client = Client::connect(&broker).await;
    client.send(&create_topic(1)).await;
    client.receive_as(ApiKey::Metadata, 9).await;
    client.send(&fetch(2, 0)).await;
    until(|| fetches_waiting(&broker) == 1).await;
    drop(client);
    until(|| fetches_waiting(&broker) == 0).await;
}

#[tokio::test]
async fn shutdown_answers_a_waiting_fetch_and_hangs_up() {
    let (broker, _) = start(|_| {}).await;
    let mut client = Client::connect(&broker).await;
    let mut idle = Client::connect(&broker).await;
    client.send(&create_topic(1)).await;
    client.receive_as(ApiKey::Metadata, 9).await;
    client.send(&fetch(2, 0)).await;
    until(|| fetches_waiting(&broker) == 1).await;
    broker.shutdown().await.unwrap();
    assert_eq!(client.receive_as(ApiKey::Fetch, 11).await.0, 2);
    assert_eq!(client.receive().await, None);
    assert_eq!(idle.receive().await, None);
    assert!(
        TcpStream::connect(broker.kafka_address().unwrap())
            .await
            .is_err()
    );
}
