//! What comes over the wire: batches that are no batches, requests that are no requests, frames
//! that are no frames.

use brooklet_protocol::Timestamp;
use brooklet_protocol::messages::kafka::create_topics_request::CreatableTopic;
use brooklet_protocol::messages::kafka::fetch_request::{FetchPartition, FetchTopic};
use brooklet_protocol::messages::kafka::list_offsets_request::{
    ListOffsetsPartition, ListOffsetsTopic,
};
use brooklet_protocol::messages::kafka::produce_request::{PartitionProduceData, TopicProduceData};
use brooklet_protocol::messages::kafka::{
    ApiVersionsRequest, CreateTopicsRequest, DeleteTopicsRequest, FetchRequest,
    InitProducerIdRequest, ListOffsetsRequest, MetadataRequest, ProduceRequest, TopicName,
};
use brooklet_protocol::messages::{
    ApiKey, ErrorCode, Request, ResponseKind, StrBytes, decode_response,
};
use brooklet_protocol::records::{BatchBuilder, Compression};
use brooklet_tests::Server;
use brooklet_tests::socket::{Socket, frame_of, request};
use bytes::Bytes;

use crate::assert_calm;

/// `socket.request.max.bytes`.
const FRAME_BYTES_MAX: u32 = 100 << 20;

fn name(topic: &str) -> TopicName {
    TopicName(StrBytes::from_string(topic.to_owned()))
}

pub(crate) fn produce_request(topic: &str, records: Option<Bytes>) -> ProduceRequest {
    let partition = PartitionProduceData::default().with_records(records);
    let topic = TopicProduceData::default()
        .with_name(name(topic))
        .with_partition_data(vec![partition]);
    ProduceRequest::default()
        .with_acks(-1)
        .with_timeout_ms(30_000)
        .with_topic_data(vec![topic])
}

/// Produces to partition 0; the base offset, or the error.
pub(crate) fn produce(
    socket: &mut Socket,
    topic: &str,
    records: impl Into<Option<Bytes>>,
) -> Result<i64, ErrorCode> {
    let answer = socket.ask(9, produce_request(topic, records.into()));
    let ResponseKind::Produce(answer) = answer else {
        panic!("expected an answer to Produce, found {answer:?}")
    };
    let partition = &answer.responses[0].partition_responses[0];
    match ErrorCode::try_from_code(partition.error_code) {
        None => Ok(partition.base_offset),
        Some(code) => Err(code),
    }
}

fn batch(values: &[&str]) -> Vec<u8> {
    let mut builder = BatchBuilder::new(Compression::None);
    for value in values {
        builder.append(Timestamp(1), None, Some(value.as_bytes()), &[]);
    }
    builder.build().bytes().to_vec()
}

/// A batch that was changed after its checksum was made.
fn spoiled(change: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    let mut bytes = batch(&["a", "b", "c"]);
    change(&mut bytes);
    bytes.into()
}

fn with_length(change: i32) -> Bytes {
    spoiled(|bytes| {
        let length = i32::from_be_bytes(bytes[8..12].try_into().unwrap());
        bytes[8..12].copy_from_slice(&(length + change).to_be_bytes());
    })
}

#[test]
fn batches_that_are_none_are_refused_with_kafkas_codes_and_leave_nothing() {
    use ErrorCode::{CorruptMessage, InvalidRecord, MessageTooLarge};

    let server = Server::ephemeral();
    server.stdout_of(&["topic", "create", "t"], b"");
    let mut socket = Socket::connect(server.kafka());
    let two = [batch(&["a"]), batch(&["b"])].concat();
    let cases: [(&str, Option<Bytes>, ErrorCode); 14] = [
        ("crc", Some(spoiled(|b| b[17] ^= 1)), CorruptMessage),
        (
            "body",
            Some(spoiled(|b| *b.last_mut().unwrap() ^= 1)),
            CorruptMessage,
        ),
        ("length + 1", Some(with_length(1)), CorruptMessage),
        ("length - 1", Some(with_length(-1)), CorruptMessage),
        (
            "length 0",
            Some(spoiled(|b| b[8..12].fill(0))),
            CorruptMessage,
        ),
        (
            "length -1",
            Some(spoiled(|b| b[8..12].fill(0xff))),
            CorruptMessage,
        ),
        (
            "length 2 GiB",
            Some(spoiled(|b| b[8] = 0x7f)),
            MessageTooLarge,
        ),
        (
            "cut in the header",
            Some(spoiled(|b| b.truncate(40))),
            CorruptMessage,
        ),
        (
            "cut in the body",
            Some(spoiled(|b| b.truncate(65))),
            CorruptMessage,
        ),
        ("magic 1", Some(spoiled(|b| b[16] = 1)), InvalidRecord),
        ("magic 3", Some(spoiled(|b| b[16] = 3)), CorruptMessage),
        ("two batches", Some(two.into()), InvalidRecord),
        ("none", Some(Bytes::new()), InvalidRecord),
        ("null", None, InvalidRecord),
    ];
    for (what, records, code) in cases {
        assert_eq!(produce(&mut socket, "t", records), Err(code), "{what}");
    }
    let good = Bytes::from(batch(&["good"]));
    assert_eq!(produce(&mut socket, "t", good), Ok(0), "nothing was stored");
    assert_eq!(server.stdout_of(&["consume", "t", "-e"], b""), "good\n");
    assert_calm(&server.errors());
}

#[test]
fn garbage_for_a_batch_is_refused() {
    let server = Server::ephemeral();
    server.stdout_of(&["topic", "create", "t"], b"");
    let mut socket = Socket::connect(server.kafka());
    let mut random = Random(1);
    for size in 1..300 {
        let garbage: Vec<u8> = (0..size).map(|_| random.byte()).collect();
        let refused = produce(&mut socket, "t", Bytes::from(garbage));
        assert!(refused.is_err(), "{size} random bytes were stored");
    }
    let good = Bytes::from(batch(&["good"]));
    assert_eq!(produce(&mut socket, "t", good), Ok(0), "nothing was stored");
    assert_calm(&server.errors());
}

#[test]
fn a_batch_beyond_the_limit_is_too_large() {
    let server = Server::ephemeral();
    server.stdout_of(&["topic", "create", "t"], b"");
    let mut socket = Socket::connect(server.kafka());
    let large = Bytes::from(batch(&[&"x".repeat(1_048_588)]));
    let refused = produce(&mut socket, "t", large);
    assert_eq!(refused, Err(ErrorCode::MessageTooLarge));
    let unknown = produce(&mut socket, "none", Bytes::from(batch(&["a"])));
    assert_eq!(unknown, Err(ErrorCode::UnknownTopicOrPartition));
}

/// The head of a request with this key and version, correlation id 7, no client id.
fn head(key: i16, version: i16) -> Vec<u8> {
    let (key, version) = (key.to_be_bytes(), version.to_be_bytes());
    [&key[..], &version, &7_i32.to_be_bytes(), &[0xff, 0xff]].concat()
}

#[test]
fn an_unknown_version_of_api_versions_is_answered_in_version_0() {
    let server = Server::ephemeral();
    let mut socket = Socket::connect(server.kafka());
    assert!(socket.send_frame(&[&head(18, 99)[..], &[0, 1, 2, 3]].concat()));
    let (id, answer) =
        decode_response(socket.read_frame().unwrap(), ApiKey::ApiVersions, 0).unwrap();
    let ResponseKind::ApiVersions(answer) = answer else {
        panic!("expected an answer to ApiVersions, found {answer:?}")
    };
    assert_eq!((id, answer.error_code), (7, 35));
    let own = answer.api_keys.iter().find(|api| api.api_key == 18);
    assert_eq!(
        own.map(|api| (api.min_version, api.max_version)),
        Some((0, 4))
    );
    // The client picks a version and asks again, on the same connection.
    let ResponseKind::ApiVersions(answer) = socket.ask(3, api_versions()) else {
        panic!("expected an answer to ApiVersions")
    };
    assert_eq!(answer.error_code, 0);
}

fn api_versions() -> ApiVersionsRequest {
    let text = || StrBytes::from_static_str("test");
    ApiVersionsRequest::default()
        .with_client_software_name(text())
        .with_client_software_version(text())
}

#[test]
fn what_is_no_request_closes_its_connection_and_no_other() {
    let server = Server::ephemeral();
    let mut other = Socket::connect(server.kafka());
    let half = [&100_u32.to_be_bytes()[..], &head(3, 1)].concat();
    let framed = |frame: &[u8]| [&(frame.len() as u32).to_be_bytes()[..], frame].concat();
    let cases: [(&str, Vec<u8>); 11] = [
        ("unknown api", framed(&head(999, 0))),
        ("negative api", framed(&head(-1, 0))),
        ("an api of brokers", framed(&head(4, 0))),
        ("unknown version", framed(&head(3, 99))),
        ("negative version", framed(&head(3, -1))),
        (
            "negative version of ApiVersions, cut short",
            framed(&head(18, -1)[..6]),
        ),
        ("empty frame", framed(&[])),
        ("no body", framed(&head(0, 9))),
        (
            "more topics than bytes",
            framed(&[&head(3, 1)[..], &[0x7f, 0xff, 0xff, 0xff]].concat()),
        ),
        (
            "beyond the limit",
            (FRAME_BYTES_MAX + 1).to_be_bytes().to_vec(),
        ),
        ("negative length", vec![0xff; 4]),
    ];
    for (what, bytes) in cases {
        let mut socket = Socket::connect(server.kafka());
        // Half a frame on another connection holds nobody up.
        let mut halfway = Socket::connect(server.kafka());
        assert!(halfway.send(&half));
        assert!(socket.send(&bytes));
        assert_eq!(socket.read_frame(), None, "{what}");
        let ResponseKind::Metadata(answer) = other.ask(1, MetadataRequest::default()) else {
            panic!("expected an answer to Metadata")
        };
        assert_eq!(answer.brokers.len(), 1, "{what}");
    }
    assert_calm(&server.errors());
}

#[test]
fn a_frame_that_comes_byte_by_byte_is_answered() {
    let server = Server::ephemeral();
    let mut socket = Socket::connect(server.kafka());
    let frame = frame_of(&request(3, api_versions()));
    for byte in frame {
        assert!(socket.send(&[byte]));
    }
    assert!(socket.read_frame().is_some());
}

/// Marsaglia's xorshift: seeded, so that a failure comes again.
#[derive(Clone, Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn byte(&mut self) -> u8 {
        (self.next() >> 32) as u8
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() >> 16) as usize % end
    }
}

/// A good request of each kind, for mutation.
fn good_requests() -> Vec<Request> {
    let fetch = FetchTopic::default()
        .with_topic(name("t"))
        .with_partitions(vec![
            FetchPartition::default().with_partition_max_bytes(1 << 20),
        ]);
    let fetch = FetchRequest::default()
        .with_max_bytes(1 << 20)
        .with_topics(vec![fetch]);
    let offsets = ListOffsetsTopic::default()
        .with_name(name("t"))
        .with_partitions(vec![ListOffsetsPartition::default().with_timestamp(-1)]);
    let offsets = ListOffsetsRequest::default().with_topics(vec![offsets]);
    let created = CreatableTopic::default()
        .with_name(name("u"))
        .with_num_partitions(1)
        .with_replication_factor(1);
    let create = CreateTopicsRequest::default().with_topics(vec![created]);
    let delete = DeleteTopicsRequest::default().with_topic_names(vec![name("u")]);
    let records = Some(Bytes::from(batch(&["value"])));
    vec![
        request(3, produce_request("t", records.clone())),
        request(9, produce_request("t", records)),
        request(4, fetch.clone()),
        request(12, fetch),
        request(1, offsets.clone()),
        request(7, offsets),
        request(1, MetadataRequest::default().with_topics(None)),
        request(12, MetadataRequest::default().with_topics(None)),
        request(3, api_versions()),
        request(2, create.clone()),
        request(5, create),
        request(3, delete.clone()),
        request(4, delete),
        request(0, InitProducerIdRequest::default()),
        request(4, InitProducerIdRequest::default()),
    ]
}

/// Changes a few bytes, cuts, or makes longer; the length in front stays as it was one time in
/// four.
fn mutated(frame: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = frame.to_vec();
    match random.below(4) {
        0 => bytes.truncate(4 + random.below(bytes.len() - 4)),
        1 => bytes.extend((0..random.below(40)).map(|_| random.byte())),
        _ => {}
    }
    for _ in 0..random.below(4) {
        let at = 4 + random.below((bytes.len() - 4).max(1));
        if let Some(byte) = bytes.get_mut(at) {
            *byte = random.byte();
        }
    }
    if random.below(4) > 0 {
        let length = (bytes.len() - 4) as u32;
        bytes[..4].copy_from_slice(&length.to_be_bytes());
    }
    bytes
}

#[test]
fn thousands_of_spoiled_frames_do_no_harm() {
    let server = Server::ephemeral();
    server.stdout_of(&["produce", "kept"], b"one\ntwo\n");
    server.stdout_of(&["topic", "create", "t"], b"");
    let frames: Vec<Bytes> = good_requests().iter().map(frame_of).collect();
    let mut random = Random(0x5eed);
    let mut answered = 0;
    for _ in 0..3000 {
        let bytes = match random.below(10) {
            0 => (0..random.below(200)).map(|_| random.byte()).collect(),
            _ => mutated(&frames[random.below(frames.len())], &mut random),
        };
        let mut socket = Socket::connect(server.kafka());
        socket.send(&bytes);
        // Nothing more comes: a fetch need not wait, half a frame is no frame.
        socket.finish();
        while socket.read_frame().is_some() {
            answered += 1;
        }
    }
    assert!(
        (300..2900).contains(&answered),
        "{answered} of 3000 were answered"
    );
    assert_eq!(
        server.stdout_of(&["consume", "kept", "-e"], b""),
        "one\ntwo\n"
    );
    assert_calm(&server.errors());
    assert!(server.terminate().success());
}
