//! The accumulator alone, on told time.

use super::*;
use crate::testing::values_of;
use crate::{Acks, ProducerConfig};
use brooklet_protocol::messages::ErrorCode;
use brooklet_protocol::records::RecordBatch;
use brooklet_protocol::{ProducerEpoch, ProducerId};
use proptest::prelude::*;

fn topic() -> TopicName {
    TopicName::new("t").unwrap()
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn identity(id: i64) -> Identity {
    Identity {
        id: ProducerId(id),
        epoch: ProducerEpoch(0),
    }
}

/// One topic, `t`; linger 5 ms, batches of 200 bytes.
fn accumulator(partition_count: i32) -> Accumulator {
    let config = ProducerConfig {
        batch_bytes: 200,
        ..ProducerConfig::default()
    };
    let mut accumulator = Accumulator::new(Limits::new(&config, None));
    accumulator.identify(identity(1));
    accumulator.learn(&topic(), partition_count);
    accumulator
}

fn record(value: &str) -> RecordRef<'_> {
    RecordRef {
        value: Some(value.as_bytes()),
        ..RecordRef::default()
    }
}

fn at(now: Duration) -> Moment {
    let wall = Timestamp(0);
    Moment { wall, now }
}

fn append(accumulator: &mut Accumulator, partition: i32, value: &str, now: Duration) -> bool {
    let to = Destination {
        topic: &topic(),
        partition: Some(PartitionId(partition)),
        codec: Compression::None,
    };
    let appended = accumulator.append(&to, &record(value), at(now));
    appended.unwrap().1
}

fn append_all(
    accumulator: &mut Accumulator,
    partition: i32,
    values: &[String],
    now: Duration,
) -> bool {
    let to = TopicPartition::new(topic(), PartitionId(partition));
    let records: Vec<_> = values.iter().map(|value| record(value)).collect();
    let appended = accumulator.append_all(&to, Compression::None, &records, at(now));
    appended.unwrap()
}

fn drain(accumulator: &mut Accumulator, now: Duration) -> Vec<Batch> {
    let drained = accumulator.drain(now, false, |_| Some(()));
    drained.into_iter().map(|((), batch)| batch).collect()
}

fn refused() -> ClientError {
    ClientError::broker("send", ErrorCode::MessageTooLarge, None)
}

fn sealed(batch: &mut Batch) -> RecordBatch {
    RecordBatch::split_from(&mut batch.seal()).unwrap()
}

#[test]
fn a_batch_goes_when_it_has_lingered() {
    let mut accumulator = accumulator(1);
    assert!(
        append(&mut accumulator, 0, "a", ms(10)),
        "the sender has a new deadline"
    );
    assert!(
        !append(&mut accumulator, 0, "b", ms(12)),
        "it has it already"
    );
    assert_eq!(accumulator.next_wake(ms(12)), Some(ms(15)));
    assert!(drain(&mut accumulator, ms(14)).is_empty());
    let batches = drain(&mut accumulator, ms(15));
    assert_eq!(batches.len(), 1);
    assert_eq!(batches[0].record_count, 2);
}

#[test]
fn a_full_batch_does_not_linger() {
    let mut accumulator = accumulator(1);
    append(&mut accumulator, 0, &"a".repeat(80), ms(10));
    assert!(
        append(&mut accumulator, 0, &"b".repeat(80), ms(10)),
        "the first is full"
    );
    let batches = drain(&mut accumulator, ms(10));
    assert_eq!(batches.len(), 1);
    assert_eq!(batches[0].record_count, 1);
}

#[test]
fn many_at_once_fill_batches_and_wake_the_sender_for_a_new_one() {
    let mut accumulator = accumulator(1);
    append(&mut accumulator, 0, &"a".repeat(60), ms(10));
    let few = vec!["b".repeat(9)];
    assert!(!append_all(&mut accumulator, 0, &few, ms(10)));
    let many = vec!["c".repeat(40); 6];
    assert!(append_all(&mut accumulator, 0, &many, ms(10)));
    let mut counts = Vec::new();
    loop {
        let Some(batch) = drain(&mut accumulator, ms(10)).pop() else {
            break;
        };
        counts.push(batch.record_count);
        accumulator.stored(batch, Offset(0));
    }
    assert_eq!(counts, [2, 2, 2], "the last two linger");
    assert!(!append_all(&mut accumulator, 0, &[], ms(10)));
}

#[test]
fn one_batch_of_a_partition_is_on_its_way_at_a_time() {
    let mut accumulator = accumulator(2);
    append(&mut accumulator, 0, &"a".repeat(200), ms(0));
    append(&mut accumulator, 0, &"b".repeat(200), ms(0));
    append(&mut accumulator, 1, &"c".repeat(200), ms(0));
    let mut first = drain(&mut accumulator, ms(0));
    assert_eq!(first.len(), 2, "one of each partition");
    assert!(drain(&mut accumulator, ms(0)).is_empty());
    accumulator.stored(first.remove(0), Offset(0));
    assert_eq!(drain(&mut accumulator, ms(0)).len(), 1);
}

#[test]
fn a_batch_that_is_sent_again_has_its_bytes_and_goes_first() {
    let mut accumulator = accumulator(1);
    append(&mut accumulator, 0, &"a".repeat(200), ms(0));
    append(&mut accumulator, 0, &"b".repeat(200), ms(0));
    let mut batch = drain(&mut accumulator, ms(0)).remove(0);
    let bytes = batch.seal();
    accumulator.retry(batch, refused(), ms(0));
    assert!(drain(&mut accumulator, ms(99)).is_empty(), "it pauses");
    assert_eq!(accumulator.next_wake(ms(0)), Some(ms(100)));
    assert_eq!(drain(&mut accumulator, ms(100)).remove(0).seal(), bytes);
}

#[test]
fn what_cannot_be_routed_stays() {
    let mut accumulator = accumulator(1);
    append(&mut accumulator, 0, "a", ms(0));
    assert!(accumulator.drain(ms(5), false, |_| None::<()>).is_empty());
    assert_eq!(drain(&mut accumulator, ms(5)).len(), 1);
}

#[test]
fn a_refused_batch_gives_its_sequence_back() {
    let mut accumulator = accumulator(1);
    for value in ["a", "b"] {
        append(&mut accumulator, 0, &value.repeat(200), ms(0));
    }
    let batch = drain(&mut accumulator, ms(0)).remove(0);
    assert_eq!(batch.stamp.unwrap().base_sequence, 0);
    accumulator.rejected(batch, refused());
    let mut batch = drain(&mut accumulator, ms(0)).remove(0);
    assert_eq!(sealed(&mut batch).header().base_sequence, 0);
    assert!(!accumulator.needs_identity());
}

#[test]
fn a_batch_of_unknown_fate_costs_the_identity() {
    let mut accumulator = accumulator(2);
    for partition in [0, 1] {
        append(&mut accumulator, partition, &"a".repeat(200), ms(0));
        append(&mut accumulator, partition, &"b".repeat(200), ms(0));
    }
    let mut drained = drain(&mut accumulator, ms(0));
    let (first, mut second) = (drained.remove(0), drained.remove(0));
    accumulator.lost(first, refused());
    assert!(accumulator.needs_identity());
    assert!(
        drain(&mut accumulator, ms(0)).is_empty(),
        "nothing goes without one"
    );
    accumulator.identify(identity(2));
    let mut next = drain(&mut accumulator, ms(0)).remove(0);
    let header = *sealed(&mut next).header();
    assert_eq!(
        (header.producer_id, header.base_sequence),
        (ProducerId(2), 0)
    );
    assert_eq!(
        sealed(&mut second).header().producer_id,
        ProducerId(1),
        "it keeps the old one"
    );
}

#[test]
fn a_sequence_wraps_to_zero() {
    let mut accumulator = accumulator(1);
    accumulator.queues[0].next_sequence = i32::MAX;
    append(&mut accumulator, 0, "a", ms(0));
    append(&mut accumulator, 0, "b", ms(0));
    let batch = drain(&mut accumulator, ms(5)).remove(0);
    assert_eq!(batch.stamp.unwrap().base_sequence, i32::MAX);
    accumulator.stored(batch, Offset(0));
    append(&mut accumulator, 0, "c", ms(5));
    let batch = drain(&mut accumulator, ms(10)).remove(0);
    assert_eq!(batch.stamp.unwrap().base_sequence, 1, "MAX, 0, then 1");
}

#[test]
fn what_waits_too_long_is_given_up_with_its_memory() {
    let mut accumulator = accumulator(1);
    let delivery_timeout = ms(120_000);
    append(&mut accumulator, 0, "a", ms(0));
    assert_eq!(accumulator.expire(ms(119_999)), 0);
    assert_eq!(
        accumulator.expire(delivery_timeout),
        record("a").bytes_max()
    );
    assert!(accumulator.take_failure().is_some());
    assert!(accumulator.is_empty());
    assert!(!accumulator.needs_identity(), "it was never sent");
}

#[test]
fn without_idempotence_nothing_is_stamped() {
    let config = ProducerConfig {
        acks: Acks::Leader,
        ..ProducerConfig::default()
    };
    let mut accumulator = Accumulator::new(Limits::new(&config, None));
    accumulator.learn(&topic(), 1);
    append(&mut accumulator, 0, "a", ms(0));
    let mut batch = drain(&mut accumulator, ms(5)).remove(0);
    let header = *sealed(&mut batch).header();
    assert_eq!(
        (header.producer_id, header.base_sequence),
        (ProducerId::NONE, -1)
    );
}

/// What a test does next.
#[derive(Clone, Debug)]
enum Step {
    Append { partition: i32, length: usize },
    AppendAll { partition: i32, lengths: Vec<usize> },
    Pass(u64),
    Store,
    Retry,
    Refuse,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..3, 0_usize..250).prop_map(|(partition, length)| Step::Append { partition, length }),
        2 => (0..3, prop::collection::vec(0_usize..250, 0..9))
            .prop_map(|(partition, lengths)| Step::AppendAll { partition, lengths }),
        2 => (1_u64..200).prop_map(Step::Pass),
        3 => Just(Step::Store),
        1 => Just(Step::Retry),
        1 => Just(Step::Refuse),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Against a list: stored batches keep the order, their sequences have no gap, batches keep to
    /// the limit, and the memory that is given back is the memory that was taken.
    #[test]
    fn order_sequence_size_and_memory(steps in prop::collection::vec(step(), 1..80)) {
        let mut accumulator = accumulator(3);
        let (mut now, mut taken, mut given_back) = (ms(0), 0, 0);
        let mut in_flight: Vec<Batch> = Vec::new();
        let mut refused_values = Vec::new();
        let mut stored = vec![Vec::new(); 3];
        let mut appended = vec![Vec::new(); 3];
        let mut next_sequence = [0; 3];
        let drained_steps = steps.iter().cloned().map(Some).chain(std::iter::repeat_n(None, 400));
        for (number, step) in drained_steps.enumerate() {
            in_flight.extend(drain(&mut accumulator, now));
            match step.unwrap_or(if number % 2 == 0 { Step::Store } else { Step::Pass(1000) }) {
                Step::Append { partition, length } => {
                    let value = format!("{number}:{}", "x".repeat(length));
                    taken += record(&value).bytes_max();
                    append(&mut accumulator, partition, &value, now);
                    appended[partition as usize].push(value);
                }
                Step::AppendAll { partition, lengths } => {
                    let values = lengths.iter().enumerate();
                    let values = values.map(|(i, n)| format!("{number}.{i}:{}", "x".repeat(*n)));
                    let values: Vec<_> = values.collect();
                    taken += values.iter().map(|v| record(v).bytes_max()).sum::<usize>();
                    append_all(&mut accumulator, partition, &values, now);
                    appended[partition as usize].extend(values);
                }
                Step::Pass(millis) => now += ms(millis),
                _ if in_flight.is_empty() => {}
                Step::Store => {
                    let mut batch = in_flight.remove(0);
                    let number = batch.state.partition.partition.0 as usize;
                    let bytes = sealed(&mut batch);
                    prop_assert!(bytes.bytes().len() <= 200 || batch.record_count == 1);
                    prop_assert_eq!(bytes.header().base_sequence, next_sequence[number]);
                    next_sequence[number] += batch.record_count;
                    given_back += batch.buffer_bytes;
                    stored[number].extend(values_of(&bytes, 0));
                    accumulator.stored(batch, Offset(0));
                }
                Step::Retry => accumulator.retry(in_flight.remove(0), refused(), now),
                Step::Refuse => {
                    let mut batch = in_flight.remove(0);
                    given_back += batch.buffer_bytes;
                    let values = values_of(&sealed(&mut batch), 0);
                    refused_values.extend(values);
                    accumulator.rejected(batch, refused());
                }
            }
        }
        prop_assert!(accumulator.is_empty());
        prop_assert_eq!(given_back, taken);
        for (stored, appended) in stored.into_iter().zip(appended) {
            let accepted = appended.into_iter().filter(|value| !refused_values.contains(value));
            prop_assert_eq!(stored, accepted.collect::<Vec<_>>());
        }
    }
}
