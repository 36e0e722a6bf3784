//! The producer against a broker that fails as it is told; tokio's clock is paused.

use super::*;
use crate::Acks;
use crate::testing::{FakeBroker, Fault};
use brooklet_protocol::messages::ErrorCode;
use brooklet_protocol::records::{Compression, RecordBatch};
use brooklet_protocol::{PartitionId, Timestamp};
use bytes::Bytes;
use proptest::prelude::*;
use tokio::time::Instant;

fn topic() -> TopicName {
    TopicName::new("t").unwrap()
}

fn record(value: &str) -> NewRecord {
    NewRecord {
        partition: Some(PartitionId(0)),
        timestamp: Some(Timestamp(0)),
        value: Some(Bytes::copy_from_slice(value.as_bytes())),
        ..NewRecord::default()
    }
}

/// One record per batch, so that every record is a request of its own.
fn one_by_one() -> ProducerConfig {
    ProducerConfig {
        batch_bytes: 1,
        linger: Duration::ZERO,
        ..ProducerConfig::default()
    }
}

async fn producer(broker: &Arc<FakeBroker>, config: ProducerConfig) -> Producer {
    Producer::new(broker.client(), config).await.unwrap()
}

async fn send(producer: &Producer, value: &str) -> Delivery {
    producer.send(&topic(), record(value)).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_delivery_tells_the_place_of_its_record() {
    let broker = FakeBroker::new(1);
    let producer = producer(&broker, ProducerConfig::default()).await;
    let deliveries = [send(&producer, "a").await, send(&producer, "b").await];
    for (expected, delivery) in deliveries.into_iter().enumerate() {
        let (partition, offset) = delivery.wait().await.unwrap();
        assert_eq!(partition, TopicPartition::new(topic(), PartitionId(0)));
        assert_eq!(offset, Offset(expected as i64));
    }
    assert_eq!(broker.count("Produce"), 1, "both went in one batch");
}

#[tokio::test(start_paused = true)]
async fn what_is_lost_on_the_way_is_sent_again_and_stored_once() {
    for fault in [Fault::LoseRequest, Fault::LoseAnswer] {
        let broker = FakeBroker::new(1);
        let producer = producer(&broker, one_by_one()).await;
        broker.fail_produce([fault]);
        let (a, b) = (send(&producer, "a").await, send(&producer, "b").await);
        assert_eq!(a.wait().await.unwrap().1, Offset(0));
        assert_eq!(b.wait().await.unwrap().1, Offset(1));
        assert_eq!(broker.values(0), ["a", "b"], "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_idempotence_a_lost_answer_is_a_duplicate() {
    let broker = FakeBroker::new(1);
    let config = ProducerConfig {
        idempotence: false,
        ..one_by_one()
    };
    let producer = producer(&broker, config).await;
    broker.fail_produce([Fault::LoseAnswer]);
    send(&producer, "a").await;
    producer.flush().await.unwrap();
    assert_eq!(broker.values(0), ["a", "a"]);
    assert_eq!(broker.count("InitProducerId"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_moved_leader_is_looked_up_again() {
    let broker = FakeBroker::new(1);
    let producer = producer(&broker, one_by_one()).await;
    broker.fail_produce([Fault::Refuse(ErrorCode::NotLeaderOrFollower)]);
    send(&producer, "a").await;
    producer.flush().await.unwrap();
    assert_eq!(broker.values(0), ["a"]);
    assert_eq!(broker.count("Metadata"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_refused_batch_fails_and_leaves_no_gap_in_the_sequence() {
    let broker = FakeBroker::new(1);
    let producer = producer(&broker, one_by_one()).await;
    send(&producer, "a").await;
    producer.flush().await.unwrap();
    broker.fail_produce([Fault::Refuse(ErrorCode::MessageTooLarge)]);
    let (b, c) = (send(&producer, "b").await, send(&producer, "c").await);
    let error = b.wait().await.unwrap_err();
    let words = "t-0: a record of 1 bytes makes a batch of 69 bytes (68 are added), \
                 the topic's max.message.bytes allows fewer";
    assert_eq!(error.to_string(), words);
    c.wait().await.unwrap();
    assert_eq!(broker.values(0), ["a", "c"]);
    assert_eq!(broker.count("InitProducerId"), 1);
    assert_eq!(
        producer.flush().await.unwrap_err().to_string(),
        error.to_string()
    );
    producer.flush().await.expect("an error is reported once");
}

#[tokio::test(start_paused = true)]
async fn a_lost_sequence_costs_one_batch_and_a_new_identity() {
    let broker = FakeBroker::new(1);
    let producer = producer(&broker, one_by_one()).await;
    broker.fail_produce([Fault::Refuse(ErrorCode::OutOfOrderSequenceNumber)]);
    let (a, b) = (send(&producer, "a").await, send(&producer, "b").await);
    a.wait().await.unwrap_err();
    b.wait().await.unwrap();
    assert_eq!(broker.values(0), ["b"]);
    assert_eq!(broker.count("InitProducerId"), 2);
    assert_eq!(broker.batches(0)[0].header().base_sequence, 0);
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_given_up_after_its_delivery_timeout() {
    let broker = FakeBroker::new(1);
    let config = ProducerConfig {
        delivery_timeout: Duration::from_secs(2),
        ..one_by_one()
    };
    let producer = producer(&broker, config).await;
    broker.fail_produce([Fault::LoseRequest; 20]);
    let error = send(&producer, "a").await.wait().await.unwrap_err();
    let words = "t-0: not acknowledged within 2s; the last attempt: \
                 the connection to fake:9092 broke: as told";
    assert_eq!(error.to_string(), words);
    assert!(producer.flush().await.is_err());
    assert!(broker.values(0).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_is_named_when_the_time_is_up() {
    let broker = FakeBroker::new(1);
    let config = ProducerConfig {
        delivery_timeout: Duration::from_secs(2),
        ..one_by_one()
    };
    let producer = producer(&broker, config).await;
    broker.fail_produce([Fault::Refuse(ErrorCode::KafkaStorageError); 20]);
    let error = send(&producer, "a").await.wait().await.unwrap_err();
    let words = "t-0: not acknowledged within 2s; the last attempt: send to t-0: KafkaStorageError \
                 (the broker cannot write to its disk)";
    assert_eq!(error.to_string(), words);
}

#[tokio::test(start_paused = true)]
async fn a_flush_does_not_linger() {
    let broker = FakeBroker::new(1);
    let hour = Duration::from_secs(3600);
    let config = ProducerConfig {
        linger: hour,
        delivery_timeout: 2 * hour,
        ..Default::default()
    };
    let producer = producer(&broker, config).await;
    let before = Instant::now();
    send(&producer, "a").await;
    producer.flush().await.unwrap();
    assert_eq!(broker.values(0), ["a"]);
    assert!(Instant::now() - before < hour);
}

#[tokio::test(start_paused = true)]
async fn a_full_buffer_makes_send_wait_but_not_linger() {
    let broker = FakeBroker::new(1);
    let hour = Duration::from_secs(3600);
    let config = ProducerConfig {
        linger: hour,
        delivery_timeout: 2 * hour,
        buffer_bytes: 100,
        ..Default::default()
    };
    let producer = producer(&broker, config).await;
    let before = Instant::now();
    // Each takes 37 bytes: only two have room at a time.
    for value in ["a", "b", "c", "d", "e"] {
        send(&producer, value).await;
    }
    producer.flush().await.unwrap();
    assert_eq!(broker.values(0), ["a", "b", "c", "d", "e"]);
    assert!(Instant::now() - before < hour);
    assert_eq!(
        producer.handle.shared.space.available_permits(),
        100,
        "all was given back"
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_queued_when_the_producer_is_dropped_is_still_sent() {
    let broker = FakeBroker::new(1);
    let producer = producer(&broker, ProducerConfig::default()).await;
    let delivery = send(&producer, "a").await;
    drop(producer);
    assert_eq!(delivery.wait().await.unwrap().1, Offset(0));
    assert_eq!(broker.values(0), ["a"]);
}

#[test]
fn a_runtime_that_ends_leaves_nobody_waiting() {
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_time().start_paused(true).build().unwrap()
    };
    let first = runtime();
    let broker = FakeBroker::new(1);
    let (producer, delivery) = first.block_on(async {
        broker.fail_produce([Fault::Hang]);
        let producer = producer(&broker, one_by_one()).await;
        let delivery = send(&producer, "a").await;
        (producer, delivery)
    });
    drop(first);
    runtime().block_on(async {
        assert!(matches!(delivery.wait().await, Err(ClientError::Closed)));
        let sent = producer.send(&topic(), record("b")).await;
        assert!(matches!(sent, Err(ClientError::Closed)));
    });
}

#[tokio::test(start_paused = true)]
async fn without_acks_nobody_knows_the_offset() {
    let broker = FakeBroker::new(1);
    let config = ProducerConfig {
        acks: Acks::None,
        ..ProducerConfig::default()
    };
    let producer = producer(&broker, config).await;
    assert_eq!(
        send(&producer, "a").await.wait().await.unwrap().1,
        Offset(-1)
    );
    assert_eq!(broker.values(0), ["a"]);
    assert_eq!(
        broker.count("InitProducerId"),
        0,
        "idempotence needs all acks"
    );
}

#[tokio::test(start_paused = true)]
async fn a_topic_is_created_for_a_producer_only() {
    let broker = FakeBroker::new(1);
    broker.auto_create(3);
    let name = TopicName::new("fresh").unwrap();
    let error = broker.client().partition_count(&name).await.unwrap_err();
    assert_eq!(error.to_string(), "topic 'fresh' does not exist");
    let modest = ProducerConfig {
        create_topics: false,
        ..ProducerConfig::default()
    };
    let modest = producer(&broker, modest).await;
    let error = modest.send(&name, record("a")).await.unwrap_err();
    assert_eq!(error.to_string(), "topic 'fresh' does not exist");
    let producer = producer(&broker, ProducerConfig::default()).await;
    producer
        .send(&name, record("a"))
        .await
        .unwrap()
        .wait()
        .await
        .unwrap();
    assert_eq!(broker.client().partition_count(&name).await.unwrap(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_record_that_cannot_be_sent_is_refused_at_once() {
    let broker = FakeBroker::new(1);
    let producer = producer(&broker, ProducerConfig::default()).await;
    let large = || NewRecord {
        value: Some(Bytes::from(vec![0; 1 << 20])),
        ..record("")
    };
    let error = producer.send(&topic(), large()).await.unwrap_err();
    let words = "t-0: a record of 1048576 bytes makes a batch of 1048650 bytes (74 are added), the limit \
                 is 1048576 (max.request.size); the topic's max.message.bytes cannot be looked up \
                 (describe topic 't': TopicAuthorizationFailed)";
    assert_eq!(error.to_string(), words);
    let elsewhere = NewRecord {
        partition: Some(PartitionId(5)),
        ..record("a")
    };
    let error = producer.send(&topic(), elsewhere).await.unwrap_err();
    assert!(
        error.to_string().contains("topic 't' has 1 partitions"),
        "{error}"
    );
}

/// A record whose batch has so many bytes; more than 8 KiB and less than 1 GiB.
fn record_of(batch_bytes: usize) -> NewRecord {
    let framing = if batch_bytes < (1 << 20) + 74 { 72 } else { 74 };
    NewRecord {
        value: Some(Bytes::from(vec![7; batch_bytes - framing])),
        ..record("")
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_may_be_as_large_as_its_topic_allows_and_not_a_byte_larger() {
    const LIMIT: usize = 3 << 20;
    let broker = FakeBroker::new(1);
    broker.limit_batches(LIMIT);
    let producer = producer(&broker, ProducerConfig::default()).await;
    for size in [LIMIT - 1, LIMIT] {
        let sent = producer.send(&topic(), record_of(size)).await.unwrap();
        sent.wait().await.unwrap();
        let stored = broker.batches(0);
        assert_eq!(stored.last().unwrap().bytes().len(), size);
    }
    let error = producer.send(&topic(), record_of(LIMIT + 1)).await;
    let words = "t-0: a record of 3145655 bytes makes a batch of 3145729 bytes (74 are added), \
                 the limit is 3145728 (max.message.bytes)";
    assert_eq!(error.unwrap_err().to_string(), words);
    assert_eq!(broker.count("Produce"), 2);
    assert_eq!(broker.count("DescribeConfigs"), 1, "it is remembered");
    broker.limit_batches(LIMIT + 1);
    tokio::time::sleep(Duration::from_secs(11)).await;
    let sent = producer.send(&topic(), record_of(LIMIT + 1)).await.unwrap();
    sent.wait().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_request_size_that_is_set_is_exact() {
    let broker = FakeBroker::new(1);
    let config = ProducerConfig {
        request_bytes_max: Some(2000),
        ..ProducerConfig::default()
    };
    let producer = producer(&broker, config).await;
    let of = |value_bytes| NewRecord {
        value: Some(Bytes::from(vec![7; value_bytes])),
        ..record("")
    };
    let sent = producer.send(&topic(), of(2000 - 70)).await.unwrap();
    sent.wait().await.unwrap();
    assert_eq!(broker.batches(0)[0].bytes().len(), 2000);
    let error = producer.send(&topic(), of(2000 - 69)).await.unwrap_err();
    let words = error.to_string();
    let sum = "makes a batch of 2001 bytes (70 are added), the limit is 2000 (max.request.size)";
    assert!(words.ends_with(sum), "{words}");
}

#[tokio::test(start_paused = true)]
async fn a_record_larger_than_the_buffer_has_it_for_itself() {
    let broker = FakeBroker::new(1);
    let config = ProducerConfig {
        buffer_bytes: 1000,
        ..one_by_one()
    };
    let producer = producer(&broker, config).await;
    for _ in 0..3 {
        producer.send(&topic(), record_of(9000)).await.unwrap();
        send(&producer, "small").await;
    }
    producer.flush().await.unwrap();
    assert_eq!(broker.values(0).len(), 6);
    let free = producer.handle.shared.space.available_permits();
    assert_eq!(free, 1000, "all was given back");
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_is_too_large_goes_in_pieces_and_in_order() {
    for compression in [Compression::None, Compression::Gzip] {
        let broker = FakeBroker::new(1);
        broker.limit_batches(200);
        let config = ProducerConfig {
            linger: Duration::from_secs(1),
            compression,
            ..ProducerConfig::default()
        };
        let producer = producer(&broker, config).await;
        let mut deliveries = Vec::new();
        for number in 0..100 {
            deliveries.push(send(&producer, &format!("record number {number}")).await);
        }
        let big = NewRecord {
            value: Some((0..400_u32).flat_map(|n| (n * n).to_be_bytes()).collect()),
            ..record("")
        };
        let big = producer.send(&topic(), big).await.unwrap();
        let after = send(&producer, "after").await;
        assert!(producer.flush().await.is_err());
        for (number, delivery) in deliveries.into_iter().enumerate() {
            assert_eq!(delivery.wait().await.unwrap().1, Offset(number as i64));
        }
        assert!(matches!(
            big.wait().await,
            Err(ClientError::RecordTooLarge { .. })
        ));
        assert_eq!(after.wait().await.unwrap().1, Offset(100));
        let values: Vec<_> = (0..100)
            .map(|number| format!("record number {number}"))
            .collect();
        assert_eq!(
            broker.values(0),
            [&values[..], &["after".to_owned()]].concat()
        );
        let free = producer.handle.shared.space.available_permits();
        assert_eq!(free, 32 << 20, "all was given back");
        assert_eq!(broker.count("InitProducerId"), 1, "no sequence is in doubt");
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_that_is_refused_takes_no_neighbour_with_it() {
    for tells_which in [true, false] {
        let broker = FakeBroker::new(1);
        broker.refuse_value("bad", tells_which);
        let config = ProducerConfig {
            linger: Duration::from_secs(1),
            ..ProducerConfig::default()
        };
        let producer = producer(&broker, config).await;
        let mut deliveries = Vec::new();
        for value in ["a", "bad", "b", "c", "bad", "d"] {
            deliveries.push(send(&producer, value).await);
        }
        let flushed = producer.flush().await.unwrap_err().to_string();
        let mut found = Vec::new();
        for delivery in deliveries {
            found.push(delivery.wait().await.map(|(_, offset)| offset.0).ok());
        }
        assert_eq!(found, [Some(0), None, Some(1), Some(2), None, Some(3)]);
        assert_eq!(broker.values(0), ["a", "b", "c", "d"]);
        if tells_which {
            assert_eq!(flushed, "send to t-0: InvalidRecord (not this one)");
            assert_eq!(broker.count("Produce"), 2);
        }
        let free = producer.handle.shared.space.available_permits();
        assert_eq!(free, 32 << 20, "all was given back");
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_chooses_its_codec_and_order_stays() {
    let broker = FakeBroker::new(1);
    let producer = producer(&broker, ProducerConfig::default()).await;
    for (value, codec) in [("a", None), ("b", Some(Compression::Gzip)), ("c", None)] {
        let compression = codec;
        let record = NewRecord {
            compression,
            ..record(value)
        };
        producer.send(&topic(), record).await.unwrap();
    }
    producer.flush().await.unwrap();
    assert_eq!(broker.values(0), ["a", "b", "c"]);
    let codec = |batch: &RecordBatch| batch.header().compression().unwrap();
    let codecs: Vec<_> = broker.batches(0).iter().map(codec).collect();
    assert_eq!(
        codecs,
        [Compression::None, Compression::Gzip, Compression::None]
    );
}

#[tokio::test(start_paused = true)]
async fn keyless_records_change_the_partition_with_the_batch() {
    let broker = FakeBroker::new(3);
    let config = ProducerConfig {
        batch_bytes: 150,
        ..ProducerConfig::default()
    };
    let producer = producer(&broker, config).await;
    for _ in 0..9 {
        let keyless = NewRecord {
            partition: None,
            ..record("0123456789")
        };
        producer.send(&topic(), keyless).await.unwrap();
    }
    producer.flush().await.unwrap();
    let counts: Vec<_> = (0..3)
        .map(|partition| broker.values(partition).len())
        .collect();
    assert_eq!(counts, [3, 3, 3]);
}

fn place(number: i32) -> TopicPartition {
    TopicPartition::new(topic(), PartitionId(number))
}

fn value_ref(value: &str) -> RecordRef<'_> {
    RecordRef {
        value: Some(value.as_bytes()),
        ..RecordRef::default()
    }
}

/// Sends values to partition 0 at once.
async fn send_all(producer: &Producer, values: &[&str]) -> Result<(), ClientError> {
    // They are the caller's again as soon as they are queued.
    let values: Vec<_> = values.iter().map(ToString::to_string).collect();
    let records: Vec<_> = values.iter().map(|value| value_ref(value)).collect();
    producer.send_all(&place(0), &records).await
}

#[tokio::test(start_paused = true)]
async fn many_at_once_keep_their_order_among_single_ones() {
    let broker = FakeBroker::new(1);
    let config = ProducerConfig {
        batch_bytes: 150,
        ..ProducerConfig::default()
    };
    let producer = producer(&broker, config).await;
    broker.fail_produce([Fault::LoseAnswer, Fault::LoseRequest]);
    let numbers: Vec<_> = (0..30).map(|number: i32| number.to_string()).collect();
    let numbers: Vec<_> = numbers.iter().map(String::as_str).collect();
    send(&producer, numbers[0]).await;
    send_all(&producer, &numbers[1..15]).await.unwrap();
    let single = send(&producer, numbers[15]).await;
    send_all(&producer, &[]).await.unwrap();
    send_all(&producer, &numbers[16..]).await.unwrap();
    producer.flush().await.unwrap();
    assert_eq!(broker.values(0), numbers);
    assert_eq!(single.wait().await.unwrap().1, Offset(15));
    assert!(
        broker
            .batches(0)
            .iter()
            .all(|batch| batch.bytes().len() <= 150)
    );
    let free = producer.handle.shared.space.available_permits();
    assert_eq!(free, 32 << 20, "all was given back");
}

#[tokio::test(start_paused = true)]
async fn many_at_once_wait_for_space() {
    let broker = FakeBroker::new(1);
    let hour = Duration::from_secs(3600);
    let config = ProducerConfig {
        linger: hour,
        delivery_timeout: 2 * hour,
        buffer_bytes: 100,
        ..ProducerConfig::default()
    };
    let producer = producer(&broker, config).await;
    let before = Instant::now();
    let huge = "h".repeat(200);
    // Only two of the small ones have room at a time, and the huge one has all of it.
    send_all(&producer, &["a", "b", "c", &huge, "d", "e"])
        .await
        .unwrap();
    producer.flush().await.unwrap();
    assert_eq!(broker.values(0), ["a", "b", "c", &huge, "d", "e"]);
    assert!(Instant::now() - before < hour);
    let free = producer.handle.shared.space.available_permits();
    assert_eq!(free, 100, "all was given back");
}

#[tokio::test(start_paused = true)]
async fn what_of_many_cannot_be_sent_is_refused_before_anything_is_queued() {
    let broker = FakeBroker::new(1);
    let producer = producer(&broker, ProducerConfig::default()).await;
    let large = "x".repeat(1 << 20);
    let refused = send_all(&producer, &["a", &large, "b"]).await.unwrap_err();
    assert!(
        matches!(refused, ClientError::RecordTooLarge { .. }),
        "{refused}"
    );
    let refused = producer.send_all(&place(5), &[]).await.unwrap_err();
    let words = refused.to_string();
    assert!(words.contains("topic 't' has 1 partitions"), "{words}");
    producer.flush().await.unwrap();
    assert!(broker.values(0).is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_failure_of_one_of_many_is_reported_by_the_flush() {
    let broker = FakeBroker::new(1);
    broker.refuse_value("bad", true);
    let producer = producer(&broker, ProducerConfig::default()).await;
    send_all(&producer, &["a", "bad", "b"]).await.unwrap();
    let error = producer.flush().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "send to t-0: InvalidRecord (not this one)"
    );
    assert_eq!(broker.values(0), ["a", "b"]);
    send_all(&producer, &["c"]).await.unwrap();
    producer.flush().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn many_at_once_have_their_keys_headers_and_times() {
    let broker = FakeBroker::new(1);
    let producer = producer(&broker, ProducerConfig::default()).await;
    let headers = [("origin", Some(&b"here"[..])), ("none", None)];
    let full = RecordRef {
        timestamp: Some(Timestamp(77)),
        key: Some(b"k"),
        value: None,
        headers: &headers,
    };
    let sent = [full, RecordRef::default()];
    producer.send_all(&place(0), &sent).await.unwrap();
    producer.flush().await.unwrap();
    let stored = broker.batches(0).remove(0);
    let records = stored.records(1 << 20).unwrap();
    let records: Vec<_> = records.iter().map(Result::unwrap).collect();
    assert_eq!(records[0].timestamp, Timestamp(77));
    assert_eq!((records[0].key, records[0].value), (Some(&b"k"[..]), None));
    let found: Vec<_> = records[0].headers().collect();
    let found: Vec<_> = found
        .iter()
        .map(|(name, value)| (&**name, *value))
        .collect();
    assert_eq!(found, headers);
    let now = producer.handle.shared.client.clock().wall();
    assert!(
        (77..=now.0).contains(&records[1].timestamp.0),
        "it is stamped"
    );
    assert_eq!((records[1].key, records[1].value), (None, None));
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        Just(Fault::LoseRequest),
        Just(Fault::LoseAnswer),
        Just(Fault::Refuse(ErrorCode::NotLeaderOrFollower)),
        Just(Fault::Refuse(ErrorCode::RequestTimedOut)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever passes by and is sent again: every record is stored once and in order.
    #[test]
    fn idempotent_records_are_stored_once_and_in_order(
        faults in prop::collection::vec(fault(), 0..12),
        sends in prop::collection::vec((0_i32..3, 1_usize..5), 1..40),
        batch_bytes in 1_usize..300,
    ) {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let broker = FakeBroker::new(3);
            let config = ProducerConfig { batch_bytes, ..ProducerConfig::default() };
            let producer = producer(&broker, config).await;
            broker.fail_produce(faults);
            let mut expected = vec![Vec::new(); 3];
            for (index, (partition, count)) in sends.into_iter().enumerate() {
                let values: Vec<_> = (0..count).map(|n| format!("{index}.{n}")).collect();
                if let [value] = &values[..] {
                    let to = Some(PartitionId(partition));
                    let placed = NewRecord { partition: to, ..record(value) };
                    producer.send(&topic(), placed).await.unwrap();
                } else {
                    let records: Vec<_> = values.iter().map(|value| value_ref(value)).collect();
                    producer.send_all(&place(partition), &records).await.unwrap();
                }
                expected[partition as usize].extend(values);
            }
            producer.flush().await.unwrap();
            for (partition, expected) in expected.into_iter().enumerate() {
                assert_eq!(broker.values(partition), expected);
            }
        });
    }
}
