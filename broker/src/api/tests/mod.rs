//! Every API through the one door, each answer through the encoder and the decoder, so that a test
//! sees what a client would.

use std::path::PathBuf;
use std::sync::Arc;

use brooklet_log::clock::ManualClock;
use brooklet_protocol::Timestamp;
use brooklet_protocol::frame::split_frame;
use brooklet_protocol::messages::kafka::create_topics_request::CreatableTopic;
use brooklet_protocol::messages::kafka::produce_request::{PartitionProduceData, TopicProduceData};
use brooklet_protocol::messages::kafka::produce_response::PartitionProduceResponse;
use brooklet_protocol::messages::kafka::{self, CreateTopicsRequest, ProduceRequest};
use brooklet_protocol::messages::{
    ErrorCode, Request, RequestKind, ResponseKind, StrBytes, decode_response, encode_response,
};
use brooklet_protocol::records::{BatchBuilder, Compression};
use bytes::{Bytes, BytesMut};
use uuid::Uuid;

use crate::partition::testing::GatedVfs;
use crate::{Broker, BrokerConfig, Environment, Storage};

mod cluster;
mod configs;
mod features;
mod fetch;
mod fetch_sessions;
mod groups;
mod leader_epochs;
mod limits;
mod offline;
mod offsets_and_ids;
mod produce;
mod refusals;
mod replicas;
mod security;
mod topics;
mod transactions;

/// A broker without sockets, on a disk and a clock of its own.
struct Fixture {
    broker: Broker,
    clock: ManualClock,
    vfs: GatedVfs,
}

/// Takes the body out of a response.
macro_rules! body {
    ($kind:ident, $response:expr) => {
        match $response {
            ResponseKind::$kind(body) => body,
            other => panic!("expected {}, got {other:?}", stringify!($kind)),
        }
    };
}
use body;

impl Fixture {
    async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    async fn start_with(adjust: impl FnOnce(&mut BrokerConfig)) -> Self {
        Self::start_on(GatedVfs::new(1), adjust).await
    }

    async fn start_on(vfs: GatedVfs, adjust: impl FnOnce(&mut BrokerConfig)) -> Self {
        let clock = ManualClock::new(Timestamp(1_000_000));
        let environment = Environment {
            vfs: Arc::new(vfs.clone()),
            clock: Arc::new(clock.clone()),
            seed: 42,
        };
        let mut config = BrokerConfig {
            storage: Storage::Directory(PathBuf::from("/data")),
            kafka: None,
            ..BrokerConfig::default()
        };
        adjust(&mut config);
        let broker = Broker::start_in(environment, config).await.unwrap();
        Self { broker, clock, vfs }
    }

    /// Another broker on what is left after the loss of power.
    async fn restart_after_crash(&self) -> Self {
        Self::start_on(self.vfs.crash(), |_| {}).await
    }

    async fn call(&self, version: i16, body: RequestKind) -> ResponseKind {
        call(&self.broker, version, body).await
    }

    /// Creates a topic, and gives its id.
    async fn create(&self, name: &str, partitions: i32) -> Uuid {
        let request = CreateTopicsRequest::default().with_topics(vec![
            CreatableTopic::default()
                .with_name(topic(name))
                .with_num_partitions(partitions)
                .with_replication_factor(1),
        ]);
        let response = self.call(7, RequestKind::CreateTopics(request)).await;
        let result = body!(CreateTopics, response).topics.remove(0);
        assert_eq!((result.error_code, &result.error_message), (0, &None));
        result.topic_id
    }

    /// Produces to partition 0 with `acks`.
    async fn produce(
        &self,
        version: i16,
        name: &str,
        acks: i16,
        records: Option<Bytes>,
    ) -> PartitionProduceResponse {
        let request = produce_request(name, 0, acks, records);
        let response = self.call(version, RequestKind::Produce(request)).await;
        let mut topic = body!(Produce, response).responses.remove(0);
        topic.partition_responses.remove(0)
    }
}

async fn call(broker: &Broker, version: i16, body: RequestKind) -> ResponseKind {
    let request = Request {
        version,
        client_id: None,
        body,
    };
    let api = request.api();
    let response = broker.call(request).await;
    let mut out = BytesMut::new();
    encode_response(&mut out, 7, version, &response).unwrap();
    let frame = split_frame(&mut out, usize::MAX).unwrap().unwrap();
    let (correlation_id, decoded) = decode_response(frame, api, version).unwrap();
    assert_eq!(correlation_id, 7);
    decoded
}

fn topic(name: &str) -> kafka::TopicName {
    kafka::TopicName(StrBytes::from_string(name.to_owned()))
}

fn batch(values: &[&str]) -> Bytes {
    compressed_batch(Compression::None, values)
}

fn compressed_batch(codec: Compression, values: &[&str]) -> Bytes {
    let mut batch = BatchBuilder::new(codec);
    for (n, value) in (0..).zip(values) {
        batch.append(
            Timestamp(100 + n),
            Some(b"key"),
            Some(value.as_bytes()),
            &[],
        );
    }
    batch.build().bytes().clone()
}

fn produce_request(
    name: &str,
    partition: i32,
    acks: i16,
    records: Option<Bytes>,
) -> ProduceRequest {
    let data = PartitionProduceData::default()
        .with_index(partition)
        .with_records(records);
    ProduceRequest::default()
        .with_acks(acks)
        .with_timeout_ms(1000)
        .with_topic_data(vec![
            TopicProduceData::default()
                .with_name(topic(name))
                .with_partition_data(vec![data]),
        ])
}

fn code(error: ErrorCode) -> i16 {
    error.code()
}
