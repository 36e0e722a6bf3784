//! Positions alone, on told time.

use super::*;
use crate::testing::{batch_of, values_of};
use brooklet_protocol::{PartitionId, TopicName};
use bytes::{BufMut, BytesMut};
use proptest::prelude::*;

fn partition(number: i32) -> TopicPartition {
    TopicPartition::new(TopicName::new("t").unwrap(), PartitionId(number))
}

fn at(offset: i64) -> Positions {
    let mut positions = Positions::default();
    positions.assign([(partition(0), Offset(offset))]);
    positions
}

fn data(batches: &[RecordBatch]) -> PartitionData {
    let bytes: Vec<u8> = batches
        .iter()
        .flat_map(|batch| batch.bytes().to_vec())
        .collect();
    PartitionData::default()
        .with_records(Some(bytes.into()))
        .with_high_watermark(100)
}

fn absorb(positions: &mut Positions, asked: i64, data: &PartitionData) -> Absorbed {
    let config = ConsumerConfig::default();
    positions.absorb(&partition(0), Offset(asked), data, Duration::ZERO, &config)
}

fn unchecked() -> ConsumerConfig {
    ConsumerConfig {
        check_crcs: false,
        ..ConsumerConfig::default()
    }
}

fn refusal(code: ErrorCode) -> PartitionData {
    PartitionData::default().with_error_code(code.code())
}

/// A control batch of one record; its checksum is not right, so it is for unchecked fetches.
fn control(base_offset: i64) -> RecordBatch {
    let mut bytes = BytesMut::from(&batch_of(base_offset, &["commit"]).bytes()[..]);
    (&mut bytes[21..23]).put_i16(0x30);
    RecordBatch::split_from(&mut bytes.freeze()).unwrap()
}

#[test]
fn a_position_moves_past_what_is_returned() {
    let mut positions = at(4);
    // Asked in the middle of a batch, a broker answers with all of it.
    let answer = data(&[batch_of(3, &["3", "4"]), batch_of(5, &["5"])]);
    let Absorbed::Data(fetched) = absorb(&mut positions, 4, &answer) else {
        panic!("no data")
    };
    assert_eq!(fetched.position, Offset(4));
    assert_eq!(fetched.high_watermark, Offset(100));
    let values: Vec<_> = fetched
        .batches
        .iter()
        .flat_map(|batch| values_of(batch, 4))
        .collect();
    assert_eq!(values, ["4", "5"]);
    assert_eq!(positions.get(&partition(0)), Some(Offset(6)));
}

#[test]
fn batches_before_the_position_are_dropped() {
    let mut positions = at(5);
    let answer = data(&[batch_of(3, &["3", "4"]), batch_of(5, &["5"])]);
    let Absorbed::Data(fetched) = absorb(&mut positions, 5, &answer) else {
        panic!("no data")
    };
    assert_eq!(fetched.batches.len(), 1);
}

#[test]
fn a_control_batch_is_passed_over() {
    let mut positions = at(0);
    let answer = data(&[control(0)]);
    let config = unchecked();
    let absorbed = positions.absorb(&partition(0), Offset(0), &answer, Duration::ZERO, &config);
    assert!(matches!(absorbed, Absorbed::Nothing));
    assert_eq!(positions.get(&partition(0)), Some(Offset(1)));
}

#[test]
fn a_batch_that_is_cut_off_waits_for_the_next_fetch() {
    let mut positions = at(0);
    let whole = data(&[batch_of(0, &["0"]), batch_of(1, &["1"])])
        .records
        .unwrap();
    let cut = PartitionData::default().with_records(Some(whole.slice(..whole.len() - 1)));
    assert!(matches!(absorb(&mut positions, 0, &cut), Absorbed::Data(_)));
    assert_eq!(positions.get(&partition(0)), Some(Offset(1)));
}

#[test]
fn damage_is_an_error_and_moves_nothing() {
    let mut positions = at(0);
    let mut bytes = batch_of(0, &["value"]).bytes().to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    let damaged = PartitionData::default().with_records(Some(bytes.into()));
    let Absorbed::Failed(error) = absorb(&mut positions, 0, &damaged) else {
        panic!("no error")
    };
    assert!(
        error
            .to_string()
            .starts_with("t-0: damaged data after offset 0: batch has crc")
    );
    assert_eq!(positions.get(&partition(0)), Some(Offset(0)));
    let unchecked = positions.absorb(
        &partition(0),
        Offset(0),
        &damaged,
        Duration::ZERO,
        &unchecked(),
    );
    assert!(matches!(unchecked, Absorbed::Data(_)));
}

#[test]
fn an_answer_to_an_earlier_question_does_not_count() {
    let answer = data(&[batch_of(0, &["0"])]);
    let mut positions = at(7);
    assert!(matches!(
        absorb(&mut positions, 0, &answer),
        Absorbed::Nothing
    ));
    assert_eq!(positions.get(&partition(0)), Some(Offset(7)));
    let mut positions = at(0);
    positions.set_paused(&partition(0), true);
    assert!(matches!(
        absorb(&mut positions, 0, &answer),
        Absorbed::Nothing
    ));
    assert!(matches!(
        positions.absorb(
            &partition(9),
            Offset(0),
            &answer,
            Duration::ZERO,
            &ConsumerConfig::default()
        ),
        Absorbed::Nothing
    ));
}

#[test]
fn an_error_that_passes_pauses_the_partition_and_one_that_stays_is_reported() {
    let mut positions = at(0);
    let moved = refusal(ErrorCode::NotLeaderOrFollower);
    assert!(matches!(absorb(&mut positions, 0, &moved), Absorbed::Stale));
    let retry_at = Duration::from_millis(100);
    assert_eq!(positions.next_retry(Duration::ZERO), Some(retry_at));
    assert!(positions.wanted(Duration::ZERO, |_| false).is_empty());
    assert_eq!(positions.wanted(retry_at, |_| false).len(), 1);
    let failed = absorb(&mut positions, 0, &refusal(ErrorCode::OffsetOutOfRange));
    let Absorbed::Failed(error) = failed else {
        panic!("no error")
    };
    assert_eq!(error.to_string(), "fetch t-0 at offset 0: OffsetOutOfRange");
}

#[test]
fn an_error_that_does_not_pass_in_time_is_reported_too() {
    let mut positions = at(0);
    let moved = refusal(ErrorCode::NotLeaderOrFollower);
    for _ in 1..backoff::ATTEMPTS_MAX {
        assert!(matches!(absorb(&mut positions, 0, &moved), Absorbed::Stale));
    }
    assert!(matches!(
        absorb(&mut positions, 0, &moved),
        Absorbed::Failed(_)
    ));
}

#[test]
fn whoever_was_served_goes_to_the_back_of_the_line() {
    let mut positions = Positions::default();
    positions.assign((0..3).map(|number| (partition(number), Offset(0))));
    let order = |positions: &Positions| -> Vec<i32> {
        let wanted = positions.wanted(Duration::ZERO, |_| false);
        wanted
            .into_iter()
            .map(|(partition, _)| partition.partition.0)
            .collect()
    };
    assert_eq!(order(&positions), [0, 1, 2]);
    absorb(&mut positions, 0, &data(&[batch_of(0, &["0"])]));
    assert_eq!(order(&positions), [1, 2, 0]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// However a log is cut into batches and answers, from wherever it is read: every record from
    /// there on comes once, in order.
    #[test]
    fn a_log_is_read_whole(
        sizes in prop::collection::vec(1_usize..5, 1..12),
        start in 0_usize..10,
        cuts in prop::collection::vec(1_usize..400, 1..100),
    ) {
        let (mut log, mut end) = (Vec::new(), 0);
        for size in sizes {
            let values: Vec<_> = (end..end + size).map(|offset| offset.to_string()).collect();
            let values: Vec<_> = values.iter().map(String::as_str).collect();
            log.push(batch_of(end as i64, &values));
            end += size;
        }
        let start = start.min(end);
        let mut positions = at(start as i64);
        let mut read = Vec::new();
        let mut cuts = cuts.into_iter().chain(std::iter::repeat(usize::MAX));
        while positions.get(&partition(0)) != Some(Offset(end as i64)) {
            let from = positions.get(&partition(0)).unwrap();
            let rest: Vec<_> =
                log.iter().filter(|batch| batch.header().next_offset() > from).cloned().collect();
            let mut answer = data(&rest);
            let records = answer.records.take().unwrap();
            let cut = cuts.next().unwrap().min(records.len());
            answer.records = Some(records.slice(..cut));
            if let Absorbed::Data(fetched) = absorb(&mut positions, from.0, &answer) {
                for batch in &fetched.batches {
                    read.extend(values_of(batch, fetched.position.0));
                }
            }
        }
        prop_assert_eq!(read, (start..end).map(|offset| offset.to_string()).collect::<Vec<_>>());
    }
}

#[test]
fn under_read_committed_the_last_stable_offset_is_the_end() {
    let answer = data(&[batch_of(0, &["0"])]).with_last_stable_offset(1);
    for (isolation, is_caught_up) in [
        (Isolation::ReadCommitted, true),
        (Isolation::ReadUncommitted, false),
    ] {
        let config = ConsumerConfig {
            isolation,
            ..ConsumerConfig::default()
        };
        let mut positions = at(0);
        positions.absorb(&partition(0), Offset(0), &answer, Duration::ZERO, &config);
        assert_eq!(positions.is_caught_up(&partition(0)), is_caught_up);
    }
}

#[test]
fn partitions_come_and_go_beside_one_another() {
    let mut positions = at(4);
    positions.seek(&partition(1), Offset(7));
    positions.set_paused(&partition(1), true);
    positions.seek(&partition(1), Offset(8));
    let all: Vec<_> = positions.all().into_values().collect();
    assert_eq!(all, [Offset(4), Offset(8)]);
    let wanted = positions.wanted(Duration::ZERO, |_| false);
    assert_eq!(
        wanted,
        [(partition(0), Offset(4))],
        "a seek does not resume"
    );
    positions.remove(&partition(0));
    assert_eq!(positions.get(&partition(0)), None);
    let late = absorb(&mut positions, 4, &data(&[batch_of(4, &["4"])]));
    assert!(
        matches!(late, Absorbed::Nothing),
        "an answer that comes too late"
    );
}
