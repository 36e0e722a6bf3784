//! A broker for tests: in memory, one node, and it fails as it is told.
//!
//! It keeps to what the client relies on: offsets are dense, a sequence that was seen is answered
//! with the offset it got, a gap is refused. Faults are queued per API and used up one per request.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use brooklet_log::clock::Sleep;

use brooklet_protocol::messages::kafka::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult,
};
use brooklet_protocol::messages::kafka::fetch_response::{FetchableTopicResponse, PartitionData};
use brooklet_protocol::messages::kafka::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use brooklet_protocol::messages::kafka::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use brooklet_protocol::messages::kafka::produce_response::{
    BatchIndexAndErrorMessage, PartitionProduceResponse, TopicProduceResponse,
};
use brooklet_protocol::messages::kafka::{
    DescribeConfigsResponse, FetchRequest, FetchResponse, InitProducerIdResponse,
    ListOffsetsRequest, ListOffsetsResponse, MetadataRequest, MetadataResponse, ProduceRequest,
    ProduceResponse,
};
use brooklet_protocol::messages::{ErrorCode, Request, RequestKind, Response, StrBytes};
use brooklet_protocol::records::{BatchBuilder, Compression, RecordBatch};
use brooklet_protocol::{BrokerId, Monotonic, Timestamp};
use bytes::{BufMut, Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;
use uuid::Uuid;

use crate::Client;
use crate::clock::{Clock, SystemClock};
use crate::transport::{BoxFuture, Node, Transport, TransportError};

/// What goes wrong with the next request of its kind.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// The connection breaks before the request arrives.
    LoseRequest,
    /// The request is carried out, then the connection breaks.
    LoseAnswer,
    /// Every partition is answered with this code, and nothing is done.
    Refuse(ErrorCode),
    /// There is never an answer.
    Hang,
}

#[derive(Debug, Default)]
struct State {
    topics: BTreeMap<String, Vec<Vec<RecordBatch>>>,
    /// Partitions of a topic that is created by itself; 0: none is.
    auto_create: usize,
    produce_faults: VecDeque<Fault>,
    fetch_faults: VecDeque<Fault>,
    /// What DescribeConfigs tells of every topic; `None`: it is not allowed.
    settings: Option<BTreeMap<&'static str, String>>,
    /// The largest batch that is taken.
    batch_bytes_max: Option<usize>,
    /// Records with this value are refused, by their index or only by the error.
    refused_value: Option<(&'static str, bool)>,
    /// Next sequence by producer, topic and partition.
    sequences: HashMap<(i64, String, i32), i32>,
    producer_ids: i64,
    requests: Vec<&'static str>,
}

/// The broker.
#[derive(Debug, Default)]
pub(crate) struct FakeBroker {
    state: Mutex<State>,
    appended: Notify,
}

/// A batch as a broker has it: its base offset stamped in place.
pub(crate) fn at_offset(batch: &RecordBatch, base_offset: i64) -> RecordBatch {
    let mut bytes = BytesMut::from(&batch.bytes()[..]);
    (&mut bytes[..8]).put_i64(base_offset);
    RecordBatch::split_from(&mut bytes.freeze()).unwrap()
}

/// A batch of these values.
pub(crate) fn batch_of(base_offset: i64, values: &[&str]) -> RecordBatch {
    let mut builder = BatchBuilder::new(Compression::None);
    for value in values {
        builder.append(Timestamp(0), None, Some(value.as_bytes()), &[]);
    }
    at_offset(&builder.build(), base_offset)
}

/// The values of a batch's records, from an offset on.
pub(crate) fn values_of(batch: &RecordBatch, from: i64) -> Vec<String> {
    let records = batch.records(1 << 20).unwrap();
    let records = records
        .iter()
        .map(Result::unwrap)
        .filter(|record| record.offset.0 >= from);
    records
        .map(|record| String::from_utf8(record.value.unwrap().to_vec()).unwrap())
        .collect()
}

/// Tokio's time, which a test can pause: then it jumps to the next deadline whenever all tasks
/// wait.
#[derive(Debug)]
pub(crate) struct PausedClock {
    start: Instant,
}

impl PausedClock {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            start: Instant::now(),
        })
    }
}

impl Clock for PausedClock {
    fn wall(&self) -> Timestamp {
        SystemClock::new().wall()
    }

    fn monotonic(&self) -> Monotonic {
        Monotonic(self.start.elapsed())
    }

    fn sleep_until(&self, deadline: Monotonic) -> Sleep {
        Box::pin(tokio::time::sleep_until(self.start + deadline.0))
    }
}

impl FakeBroker {
    /// A broker with one topic, `t`.
    pub(crate) fn new(partition_count: usize) -> Arc<Self> {
        let broker = Self::default();
        broker
            .state
            .lock()
            .topics
            .insert("t".into(), vec![vec![]; partition_count]);
        Arc::new(broker)
    }

    pub(crate) fn client(self: &Arc<Self>) -> Client {
        Client::with_clock(Arc::clone(self) as Arc<dyn Transport>, PausedClock::new())
    }

    /// Batches may have so many bytes; DescribeConfigs tells it.
    pub(crate) fn limit_batches(&self, bytes_max: usize) {
        let mut state = self.state.lock();
        state.batch_bytes_max = Some(bytes_max);
        let told = ("max.message.bytes", bytes_max.to_string());
        state.settings.get_or_insert_default().extend([told]);
    }

    /// Records with this value are refused; the answer may or may not say which ones.
    pub(crate) fn refuse_value(&self, value: &'static str, tells_which: bool) {
        self.state.lock().refused_value = Some((value, tells_which));
    }

    pub(crate) fn auto_create(&self, partition_count: usize) {
        self.state.lock().auto_create = partition_count;
    }

    pub(crate) fn fail_produce(&self, faults: impl IntoIterator<Item = Fault>) {
        self.state.lock().produce_faults.extend(faults);
    }

    pub(crate) fn fail_fetch(&self, faults: impl IntoIterator<Item = Fault>) {
        self.state.lock().fetch_faults.extend(faults);
    }

    /// Puts a batch into a partition of `t` as it is.
    pub(crate) fn put(&self, partition: usize, batch: RecordBatch) {
        self.state.lock().topics.get_mut("t").unwrap()[partition].push(batch);
        self.appended.notify_waiters();
    }

    /// What is stored in a partition of `t`.
    pub(crate) fn batches(&self, partition: usize) -> Vec<RecordBatch> {
        self.state.lock().topics["t"][partition].clone()
    }

    pub(crate) fn values(&self, partition: usize) -> Vec<String> {
        self.batches(partition)
            .iter()
            .flat_map(|batch| values_of(batch, 0))
            .collect()
    }

    /// How many requests of a kind have come.
    pub(crate) fn count(&self, api: &str) -> usize {
        self.state
            .lock()
            .requests
            .iter()
            .filter(|request| **request == api)
            .count()
    }

    async fn answer(&self, request: Request) -> Result<Response, TransportError> {
        match request.body {
            RequestKind::Metadata(request) => Ok(self.metadata(&request).into()),
            RequestKind::InitProducerId(_) => {
                let mut state = self.state.lock();
                state.requests.push("InitProducerId");
                state.producer_ids += 1;
                let id = state.producer_ids;
                Ok(InitProducerIdResponse::default()
                    .with_producer_id(id.into())
                    .into())
            }
            RequestKind::Produce(request) => {
                let fault = {
                    let mut state = self.state.lock();
                    state.requests.push("Produce");
                    state.produce_faults.pop_front()
                };
                match fault {
                    None => Ok(self.produce(&request, None).into()),
                    Some(Fault::Refuse(code)) => Ok(self.produce(&request, Some(code)).into()),
                    Some(Fault::LoseRequest) => Err(broken()),
                    Some(Fault::LoseAnswer) => {
                        self.produce(&request, None);
                        Err(broken())
                    }
                    Some(Fault::Hang) => std::future::pending().await,
                }
            }
            RequestKind::Fetch(request) => {
                let fault = {
                    let mut state = self.state.lock();
                    state.requests.push("Fetch");
                    state.fetch_faults.pop_front()
                };
                match fault {
                    None => Ok(self.fetch_or_wait(&request).await.into()),
                    Some(Fault::Refuse(code)) => Ok(self.fetch(&request, Some(code)).0.into()),
                    Some(Fault::LoseRequest | Fault::LoseAnswer) => Err(broken()),
                    Some(Fault::Hang) => std::future::pending().await,
                }
            }
            RequestKind::ListOffsets(request) => Ok(self.list_offsets(&request).into()),
            RequestKind::DescribeConfigs(_) => Ok(self.describe_configs().into()),
            other => panic!("not played: {other:?}"),
        }
    }

    fn metadata(&self, request: &MetadataRequest) -> MetadataResponse {
        let mut state = self.state.lock();
        state.requests.push("Metadata");
        let all = state.topics.keys().cloned().collect::<Vec<_>>();
        let names = request.topics.as_ref().map_or(all, |topics| {
            topics
                .iter()
                .map(|topic| topic.name.as_ref().unwrap().0.to_string())
                .collect()
        });
        let mut topics = Vec::new();
        for name in names {
            let count = state.auto_create;
            if request.allow_auto_topic_creation && count > 0 {
                state
                    .topics
                    .entry(name.clone())
                    .or_insert_with(|| vec![vec![]; count]);
            }
            let partition = |index| {
                MetadataResponsePartition::default()
                    .with_partition_index(index as i32)
                    .with_leader_id(1.into())
            };
            let partitions = state.topics.get(&name).map(Vec::len);
            let topic = MetadataResponseTopic::default()
                .with_name(Some(StrBytes::from_string(name.clone()).into()))
                .with_error_code(if partitions.is_none() { 3 } else { 0 })
                .with_topic_id(Uuid::from_u128(1 + name.len() as u128))
                .with_partitions((0..partitions.unwrap_or(0)).map(partition).collect());
            topics.push(topic);
        }
        let broker = MetadataResponseBroker::default()
            .with_node_id(1.into())
            .with_host(StrBytes::from_static_str("fake"))
            .with_port(9092);
        MetadataResponse::default()
            .with_brokers(vec![broker])
            .with_controller_id(1.into())
            .with_topics(topics)
    }

    fn describe_configs(&self) -> DescribeConfigsResponse {
        let mut state = self.state.lock();
        state.requests.push("DescribeConfigs");
        let refused = ErrorCode::TopicAuthorizationFailed.code();
        let config = |(name, value): (&&'static str, &String)| {
            DescribeConfigsResourceResult::default()
                .with_name(StrBytes::from_static_str(name))
                .with_value(Some(StrBytes::from_string(value.clone())))
        };
        let configs = state.settings.iter().flatten().map(config);
        let result = DescribeConfigsResult::default()
            .with_error_code(if state.settings.is_some() { 0 } else { refused })
            .with_configs(configs.collect());
        DescribeConfigsResponse::default().with_results(vec![result])
    }

    fn produce(&self, request: &ProduceRequest, refusal: Option<ErrorCode>) -> ProduceResponse {
        let mut state = self.state.lock();
        let mut topics = Vec::new();
        for topic in &request.topic_data {
            let mut partitions = Vec::new();
            for data in &topic.partition_data {
                let records = data.records.clone().unwrap();
                let (refusal, culprits) = match state.refusal(&records) {
                    Some((code, culprits)) => (Some(code), culprits),
                    None => (refusal, Vec::new()),
                };
                let stored = match refusal {
                    Some(code) => Err(code),
                    None => state.append(&topic.name, data.index, records),
                };
                partitions.push(
                    PartitionProduceResponse::default()
                        .with_index(data.index)
                        .with_record_errors(culprits)
                        .with_error_code(stored.err().map_or(0, |code| code.code()))
                        .with_base_offset(stored.unwrap_or(-1)),
                );
            }
            topics.push(
                TopicProduceResponse::default()
                    .with_name(topic.name.clone())
                    .with_partition_responses(partitions),
            );
        }
        self.appended.notify_waiters();
        ProduceResponse::default().with_responses(topics)
    }

    async fn fetch_or_wait(&self, request: &FetchRequest) -> FetchResponse {
        let deadline = tokio::time::sleep(Duration::from_millis(request.max_wait_ms as u64));
        tokio::pin!(deadline);
        loop {
            let appended = self.appended.notified();
            tokio::pin!(appended);
            appended.as_mut().enable();
            let (answer, is_empty) = self.fetch(request, None);
            if !is_empty {
                return answer;
            }
            tokio::select! {
                () = appended => {}
                () = &mut deadline => return answer,
            }
        }
    }

    fn fetch(&self, request: &FetchRequest, refusal: Option<ErrorCode>) -> (FetchResponse, bool) {
        let state = self.state.lock();
        let mut is_empty = true;
        let mut topics = Vec::new();
        for topic in &request.topics {
            let mut partitions = Vec::new();
            for asked in &topic.partitions {
                let log = &state.topics[topic.topic.as_str()][asked.partition as usize];
                let end = log.last().map_or(0, |batch| batch.header().next_offset().0);
                let mut code = refusal;
                if asked.fetch_offset > end {
                    code = code.or(Some(ErrorCode::OffsetOutOfRange));
                }
                let mut records = BytesMut::new();
                let wanted = log
                    .iter()
                    .filter(|b| b.header().next_offset().0 > asked.fetch_offset);
                for batch in wanted.filter(|_| code.is_none()) {
                    records.extend_from_slice(batch.bytes());
                }
                is_empty &= records.is_empty() && code.is_none();
                partitions.push(
                    PartitionData::default()
                        .with_partition_index(asked.partition)
                        .with_error_code(code.map_or(0, |code| code.code()))
                        .with_high_watermark(end)
                        .with_records(Some(records.freeze())),
                );
            }
            // By id only, as from version 13 on.
            topics.push(
                FetchableTopicResponse::default()
                    .with_topic_id(topic.topic_id)
                    .with_partitions(partitions),
            );
        }
        (FetchResponse::default().with_responses(topics), is_empty)
    }

    fn list_offsets(&self, request: &ListOffsetsRequest) -> ListOffsetsResponse {
        let state = self.state.lock();
        let topics = request.topics.iter().map(|topic| {
            let partition = |asked: &brooklet_protocol::messages::kafka::list_offsets_request::ListOffsetsPartition| {
                let log = &state.topics[topic.name.as_str()][asked.partition_index as usize];
                let end = log.last().map_or(0, |batch| batch.header().next_offset().0);
                let offset = match asked.timestamp {
                    -2 => 0,
                    -1 => end,
                    time => log
                        .iter()
                        .find(|batch| batch.header().max_timestamp.0 >= time)
                        .map_or(-1, |batch| batch.header().base_offset.0),
                };
                ListOffsetsPartitionResponse::default()
                    .with_partition_index(asked.partition_index)
                    .with_offset(offset)
            };
            ListOffsetsTopicResponse::default()
                .with_name(topic.name.clone())
                .with_partitions(topic.partitions.iter().map(partition).collect())
        });
        ListOffsetsResponse::default().with_topics(topics.collect())
    }
}

impl State {
    /// What is against a batch.
    fn refusal(&self, records: &Bytes) -> Option<(ErrorCode, Vec<BatchIndexAndErrorMessage>)> {
        if self.batch_bytes_max.is_some_and(|max| records.len() > max) {
            return Some((ErrorCode::MessageTooLarge, Vec::new()));
        }
        let (refused, tells_which) = self.refused_value?;
        let batch = RecordBatch::split_from(&mut records.clone()).unwrap();
        let values = values_of(&batch, 0);
        let culprits = values.iter().enumerate().filter(|(_, v)| **v == refused);
        let culprits: Vec<_> = culprits.map(|(index, _)| culprit(index)).collect();
        let is_refused = !culprits.is_empty();
        let told = if tells_which { culprits } else { Vec::new() };
        is_refused.then_some((ErrorCode::InvalidRecord, told))
    }

    fn append(&mut self, topic: &str, partition: i32, records: Bytes) -> Result<i64, ErrorCode> {
        let batch = RecordBatch::split_from(&mut records.clone()).unwrap();
        batch.verify_crc().unwrap();
        let header = *batch.header();
        let log = &mut self.topics.get_mut(topic).unwrap()[partition as usize];
        if header.producer_id.0 >= 0 {
            let repeated = log.iter().find(|stored| {
                let stored = stored.header();
                stored.producer_id == header.producer_id
                    && stored.base_sequence == header.base_sequence
                    && stored.record_count == header.record_count
            });
            if let Some(stored) = repeated {
                return Ok(stored.header().base_offset.0);
            }
            let key = (header.producer_id.0, topic.to_owned(), partition);
            let next = self.sequences.entry(key).or_default();
            if *next != header.base_sequence {
                return Err(ErrorCode::OutOfOrderSequenceNumber);
            }
            *next += header.record_count;
        }
        let end = log.last().map_or(0, |batch| batch.header().next_offset().0);
        log.push(at_offset(&batch, end));
        Ok(end)
    }
}

fn culprit(index: usize) -> BatchIndexAndErrorMessage {
    BatchIndexAndErrorMessage::default()
        .with_batch_index(i32::try_from(index).unwrap())
        .with_batch_index_error_message(Some(StrBytes::from_static_str("not this one")))
}

impl Transport for FakeBroker {
    fn call(&self, _: Node, request: Request) -> BoxFuture<'_, Result<Response, TransportError>> {
        Box::pin(async move {
            // Time passes, and others get their turn, as on a network.
            tokio::time::sleep(Duration::from_millis(1)).await;
            self.answer(request).await
        })
    }

    fn learn(&self, brokers: &[(BrokerId, String)]) {
        assert_eq!(brokers, [(BrokerId(1), "fake:9092".to_owned())]);
    }
}

fn broken() -> TransportError {
    TransportError::Broken {
        address: "fake:9092".into(),
        reason: "as told".into(),
    }
}
