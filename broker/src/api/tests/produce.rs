use std::time::Duration;

use brooklet_protocol::messages::kafka::produce_request::TopicProduceData;
use brooklet_protocol::messages::{ErrorCode, RequestKind, ResponseKind};
use brooklet_protocol::records::{BatchBuilder, Batches, Compression};
use brooklet_protocol::{ProducerEpoch, ProducerId, Timestamp};
use bytes::{Bytes, BytesMut};

use super::{Fixture, batch, body, code, compressed_batch, fetch, produce_request};

/// A batch with one byte changed, and with a checksum that fits again where asked.
fn altered(position: usize, value: u8) -> Bytes {
    let mut bytes = BytesMut::from(&batch(&["a", "b"])[..]);
    bytes[position] = value;
    let crc = brooklet_protocol::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    bytes.freeze()
}

#[tokio::test]
async fn offsets_follow_each_other_in_every_version_and_with_every_acks() {
    let fixture = Fixture::start().await;
    let id = fixture.create("clicks", 1).await;
    let mut next = 0;
    for version in 3..=13 {
        for acks in [-1, 0, 1] {
            let mut request = produce_request("clicks", 0, acks, Some(batch(&["a", "b"])));
            if version >= 13 {
                request.topic_data[0].topic_id = id;
                request.topic_data[0].name = super::topic("");
            }
            let response = fixture.call(version, RequestKind::Produce(request)).await;
            let topic = body!(Produce, response).responses.remove(0);
            let partition = &topic.partition_responses[0];
            assert_eq!(partition.error_code, 0, "version {version}: {partition:?}");
            assert_eq!(partition.base_offset, next);
            assert_eq!(partition.log_append_time_ms, -1);
            assert_eq!(
                partition.log_start_offset,
                if version >= 5 { 0 } else { -1 }
            );
            next += 2;
        }
    }
}

#[tokio::test]
async fn bad_batches_are_refused_by_name() {
    let fixture = Fixture::start().await;
    fixture.create("clicks", 1).await;
    let good = batch(&["a"]);
    let mut two = BytesMut::from(&good[..]);
    two.extend_from_slice(&good);
    let mut bit_flipped = BytesMut::from(&good[..]);
    bit_flipped[65] ^= 1;
    let cases = [
        ("none", None, ErrorCode::InvalidRecord),
        ("empty", Some(Bytes::new()), ErrorCode::InvalidRecord),
        ("two", Some(two.freeze()), ErrorCode::InvalidRecord),
        (
            "cut off",
            Some(good.slice(..good.len() - 1)),
            ErrorCode::CorruptMessage,
        ),
        (
            "header cut off",
            Some(good.slice(..40)),
            ErrorCode::CorruptMessage,
        ),
        (
            "bit flipped",
            Some(bit_flipped.freeze()),
            ErrorCode::CorruptMessage,
        ),
        ("magic 1", Some(altered(16, 1)), ErrorCode::InvalidRecord),
        ("control", Some(altered(22, 0x20)), ErrorCode::InvalidRecord),
        (
            "base offset 1",
            Some(altered(7, 1)),
            ErrorCode::InvalidRecord,
        ),
        ("count", Some(altered(60, 3)), ErrorCode::InvalidRecord),
        (
            "codec 5",
            Some(altered(22, 5)),
            ErrorCode::UnsupportedCompressionType,
        ),
    ];
    for (name, records, expected) in cases {
        let answer = fixture.produce(9, "clicks", -1, records).await;
        assert_eq!(answer.error_code, code(expected), "{name}: {answer:?}");
        assert!(answer.record_errors.is_empty(), "{name}");
        assert_eq!(
            (answer.base_offset, answer.log_start_offset),
            (-1, -1),
            "{name}"
        );
        assert!(answer.error_message.is_some(), "{name}");
    }
    let first = fixture.produce(9, "clicks", -1, Some(good)).await;
    assert_eq!(
        first.base_offset, 0,
        "nothing that was refused is in the log"
    );
}

/// A batch whose checksum is right, with these bytes as its body.
fn with_body(attributes: u8, record_count: i32, body: &[u8]) -> Bytes {
    let mut bytes = BytesMut::from(&batch(&["a"])[..61]);
    bytes[22] = attributes;
    bytes[23..27].copy_from_slice(&(record_count - 1).to_be_bytes());
    bytes[57..61].copy_from_slice(&record_count.to_be_bytes());
    bytes.extend_from_slice(body);
    let length = (bytes.len() as i32 - 12).to_be_bytes();
    bytes[8..12].copy_from_slice(&length);
    let crc = brooklet_protocol::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    bytes.freeze()
}

/// Kafka 3.9.1 and 4.1.0 refuse all of these.
#[tokio::test]
async fn a_batch_is_refused_if_its_records_are_not_what_its_header_says() {
    let fixture = Fixture::start().await;
    fixture.create("clicks", 1).await;
    let two = batch(&["a", "b"]);
    let body = &two[61..];
    let (first, second) = body.split_at(body.len() / 2);
    let gzip = {
        let mut builder = BatchBuilder::new(Compression::Gzip);
        builder.append(Timestamp(1), None, Some(&[b'v'; 1000]), &[]);
        builder.build().bytes().slice(61..)
    };
    let cases = [
        (
            "three records said, two there",
            0,
            3,
            body.to_vec(),
            Some(2),
        ),
        ("one record said, two there", 0, 1, body.to_vec(), Some(1)),
        ("no record", 0, 1, Vec::new(), None),
        ("garbage", 0, 2, vec![0xff; 20], Some(0)),
        ("bytes behind", 0, 2, [body, &[0; 5]].concat(), Some(2)),
        ("an offset twice", 0, 2, [first, first].concat(), Some(1)),
        ("offsets from 1", 0, 2, [second, first].concat(), Some(0)),
        (
            "a length too long",
            0,
            1,
            vec![200, 1, 0, 0, 0, 1, 1, 0],
            Some(0),
        ),
        ("gzip cut off", 1, 1, gzip[..gzip.len() / 2].to_vec(), None),
        ("gzip that is none", 1, 2, body.to_vec(), None),
    ];
    for (name, attributes, record_count, body, index) in cases {
        let records = with_body(attributes, record_count, &body);
        let answer = fixture.produce(9, "clicks", -1, Some(records)).await;
        assert_eq!(
            answer.error_code,
            code(ErrorCode::InvalidRecord),
            "{name}: {answer:?}"
        );
        let blamed: Vec<_> = answer.record_errors.iter().map(|e| e.batch_index).collect();
        assert_eq!(blamed, index.into_iter().collect::<Vec<_>>(), "{name}");
    }
    let good = with_body(0, 2, body);
    let first = fixture.produce(9, "clicks", -1, Some(good)).await;
    assert_eq!(
        (first.error_code, first.base_offset),
        (0, 0),
        "nothing was stored"
    );
}

#[tokio::test]
async fn the_max_timestamp_is_computed_from_the_records() {
    let fixture = Fixture::start().await;
    fixture.create("clicks", 1).await;
    let now = 1_000_000;
    let built = |codec| {
        let mut builder = BatchBuilder::new(codec);
        builder.append(Timestamp(1000), None, Some(b"old"), &[]);
        builder.append(Timestamp(now), None, Some(b"fresh"), &[]);
        builder.build()
    };
    // -1 is what sarama up to 1.44 says, 1000 what kafkajs 2.2.4 says; the last is ten years ahead.
    let claims = [-1, 1000, now + 315_360_000_000];
    for (count, claimed) in claims.into_iter().enumerate() {
        for (number, codec) in Compression::ALL.into_iter().enumerate() {
            let lying = built(codec).with_max_timestamp(Timestamp(claimed));
            let answer = fixture
                .produce(9, "clicks", -1, Some(lying.bytes().clone()))
                .await;
            assert_eq!(answer.error_code, 0, "{codec} {claimed}: {answer:?}");
            let base = (count * Compression::ALL.len() + number) as i64 * 2;
            assert_eq!(answer.base_offset, base);
        }
    }
    let wanted = fetch::request("clicks", vec![fetch::partition(0, 0)]);
    let stored = fetch::fetch_partitions(&fixture, wanted).await.remove(0);
    for batch in Batches(stored.records.unwrap()) {
        let batch = batch.unwrap();
        batch.verify_crc().unwrap();
        assert_eq!(batch.header().max_timestamp, Timestamp(now));
    }
    let mut builder = BatchBuilder::new(Compression::None);
    builder.append(Timestamp(now + 7_200_000), None, Some(b"ahead"), &[]);
    let ahead = builder.build().with_max_timestamp(Timestamp(now));
    let answer = fixture
        .produce(9, "clicks", -1, Some(ahead.bytes().clone()))
        .await;
    assert_eq!(
        answer.error_code,
        code(ErrorCode::InvalidTimestamp),
        "not slipped past"
    );
}

#[tokio::test]
async fn acks_other_than_0_1_and_all_are_refused() {
    let fixture = Fixture::start().await;
    fixture.create("clicks", 1).await;
    for acks in [2, -2] {
        let answer = fixture
            .produce(9, "clicks", acks, Some(batch(&["a"])))
            .await;
        assert_eq!(answer.error_code, code(ErrorCode::InvalidRequiredAcks));
    }
}

#[tokio::test]
async fn a_batch_beyond_the_limit_is_too_large() {
    let fixture = Fixture::start_with(|config| config.log.message_bytes_max = 200).await;
    fixture.create("clicks", 1).await;
    let large = batch(&[&"x".repeat(200)]);
    for records in [large.clone(), large.slice(..100)] {
        let answer = fixture.produce(9, "clicks", -1, Some(records)).await;
        assert_eq!(answer.error_code, code(ErrorCode::MessageTooLarge));
    }
    let answer = fixture.produce(9, "clicks", -1, Some(batch(&["x"]))).await;
    assert_eq!(answer.error_code, 0);
}

#[tokio::test]
async fn zstd_needs_version_7() {
    let fixture = Fixture::start().await;
    fixture.create("clicks", 1).await;
    let zstd = compressed_batch(Compression::Zstd, &["a"]);
    let answer = fixture.produce(6, "clicks", -1, Some(zstd.clone())).await;
    assert_eq!(
        answer.error_code,
        code(ErrorCode::UnsupportedCompressionType)
    );
    let answer = fixture.produce(7, "clicks", -1, Some(zstd)).await;
    assert_eq!(answer.error_code, 0);
}

#[tokio::test]
async fn unknown_topics_partitions_and_ids_are_told_apart() {
    let fixture = Fixture::start().await;
    fixture.create("clicks", 2).await;
    let answer = fixture.produce(9, "nowhere", -1, Some(batch(&["a"]))).await;
    assert_eq!(answer.error_code, code(ErrorCode::UnknownTopicOrPartition));
    for partition in [2, -1] {
        let request = produce_request("clicks", partition, -1, Some(batch(&["a"])));
        let response = fixture.call(9, RequestKind::Produce(request)).await;
        let topic = body!(Produce, response).responses.remove(0);
        let answer = &topic.partition_responses[0];
        assert_eq!(answer.error_code, code(ErrorCode::UnknownTopicOrPartition));
    }
    let answer = fixture.produce(13, "", -1, Some(batch(&["a"]))).await;
    assert_eq!(answer.error_code, code(ErrorCode::UnknownTopicId));
}

#[tokio::test]
async fn one_bad_partition_does_not_keep_the_others_out() {
    let fixture = Fixture::start().await;
    fixture.create("clicks", 1).await;
    let mut request = produce_request("clicks", 0, -1, Some(batch(&["a"])));
    let other = produce_request("nowhere", 0, -1, Some(batch(&["a"])));
    let other: TopicProduceData = other.topic_data[0].clone();
    request.topic_data.insert(0, other);
    let response = fixture.call(9, RequestKind::Produce(request)).await;
    let codes: Vec<_> = body!(Produce, response)
        .responses
        .iter()
        .map(|topic| topic.partition_responses[0].error_code)
        .collect();
    assert_eq!(codes, [code(ErrorCode::UnknownTopicOrPartition), 0]);
}

#[tokio::test]
async fn a_failed_sync_is_a_storage_error_and_the_partition_is_listed_offline() {
    let fixture = Fixture::start().await;
    fixture.create("clicks", 1).await;
    fixture.vfs.sim.fail_next_sync();
    for acks in [-1, 1] {
        let answer = fixture
            .produce(9, "clicks", acks, Some(batch(&["a"])))
            .await;
        assert_eq!(answer.error_code, code(ErrorCode::KafkaStorageError));
    }
    let all = super::topics::metadata(&fixture, 13, None, true).await;
    let topic = all
        .topics
        .iter()
        .find(|t| t.name == Some(super::topic("clicks")));
    let partition = &topic.unwrap().partitions[0];
    assert_eq!(partition.offline_replicas.len(), 1);
    assert_eq!(
        (partition.error_code, partition.leader_id.0),
        (code(ErrorCode::LeaderNotAvailable), -1)
    );
}

#[tokio::test]
async fn a_sync_that_takes_too_long_answers_that_it_did() {
    let fixture = Fixture::start().await;
    fixture.create("clicks", 1).await;
    fixture.vfs.hold_syncs();
    let slow = fixture.produce(9, "clicks", -1, Some(batch(&["a"])));
    let time = async {
        fixture.vfs.sync_begun().await;
        fixture.clock.advance(Duration::from_secs(1));
    };
    let (answer, ()) = tokio::join!(slow, time);
    assert_eq!(answer.error_code, code(ErrorCode::RequestTimedOut));
    fixture.vfs.release_syncs();
    let next = fixture.produce(9, "clicks", -1, Some(batch(&["b"]))).await;
    assert_eq!(next.base_offset, 1);
}

#[tokio::test]
async fn acks_all_waits_for_the_disk_and_acks_1_does_not() {
    let fixture = Fixture::start().await;
    fixture.create("clicks", 1).await;
    let before = fixture.vfs.sync_count();
    fixture.produce(9, "clicks", 1, Some(batch(&["a"]))).await;
    assert_eq!(fixture.vfs.sync_count(), before);
    fixture.produce(9, "clicks", -1, Some(batch(&["b"]))).await;
    assert_eq!(fixture.vfs.sync_count(), before + 1);
}

#[tokio::test]
async fn acks_1_is_synced_within_the_flush_interval() {
    let fixture = Fixture::start().await;
    fixture.create("clicks", 1).await;
    fixture.produce(9, "clicks", 1, Some(batch(&["a"]))).await;
    let image = fixture.broker.controller().image();
    let clicks = image.topic("clicks").unwrap();
    let partition = clicks.partitions[0].open().unwrap();
    assert!(partition.is_dirty());
    fixture.vfs.hold_syncs();
    fixture.clock.advance(Duration::from_secs(1));
    fixture.vfs.sync_begun().await;
    fixture.vfs.release_syncs();
}

/// A batch of an idempotent producer with so many records from `sequence` on.
fn numbered(epoch: i16, sequence: i32, count: usize) -> Bytes {
    let mut builder = BatchBuilder::new(Compression::None).with_producer(
        ProducerId(7),
        ProducerEpoch(epoch),
        sequence,
    );
    for _ in 0..count {
        builder.append(Timestamp(1), None, Some(b"v"), &[]);
    }
    builder.build().bytes().clone()
}

#[tokio::test]
async fn a_batch_sent_twice_is_answered_twice_and_stored_once() {
    let fixture = Fixture::start().await;
    fixture.create("clicks", 1).await;
    let cases = [
        (numbered(0, 0, 3), 0, 0),
        (numbered(0, 3, 2), 0, 3),
        (numbered(0, 0, 3), 0, 0),
        (numbered(0, 3, 2), 0, 3),
        (
            numbered(0, 9, 1),
            code(ErrorCode::OutOfOrderSequenceNumber),
            -1,
        ),
        (numbered(1, 0, 1), 0, 5),
        (numbered(0, 5, 1), code(ErrorCode::InvalidProducerEpoch), -1),
    ];
    for (batch, error, base_offset) in cases {
        let request = produce_request("clicks", 0, -1, Some(batch));
        let response = fixture.call(9, RequestKind::Produce(request)).await;
        let topic = body!(Produce, response).responses.remove(0);
        let partition = &topic.partition_responses[0];
        let answer = (partition.error_code, partition.base_offset);
        assert_eq!(answer, (error, base_offset), "{partition:?}");
    }
}
