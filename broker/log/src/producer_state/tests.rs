//! The rules one by one, against a naive model, and the bytes of a snapshot.

use brooklet_protocol::LeaderEpoch;
use proptest::prelude::*;

use super::snapshot::{SnapshotError, decode, encode};
use super::*;

/// A batch of `count` records as the log has it.
fn batch(id: i64, epoch: i16, sequence: i32, count: i32, offset: i64) -> BatchHeader {
    BatchHeader {
        base_offset: Offset(offset),
        batch_length: 100,
        leader_epoch: LeaderEpoch(0),
        magic: 2,
        crc: 0,
        attributes: 0,
        last_offset_delta: count - 1,
        base_timestamp: Timestamp(5),
        max_timestamp: Timestamp(5),
        producer_id: ProducerId(id),
        producer_epoch: ProducerEpoch(epoch),
        base_sequence: sequence,
        record_count: count,
    }
}

fn transactional(header: BatchHeader) -> BatchHeader {
    BatchHeader {
        attributes: 0x10,
        ..header
    }
}

fn marker(committed: bool, coordinator_epoch: i32) -> EndTxnMarker {
    EndTxnMarker {
        committed,
        coordinator_epoch,
    }
}

/// Producer 7 in epoch 2 with sequences 0..=19 in four batches from offset 100 on.
fn states() -> ProducerStates {
    let mut states = ProducerStates::default();
    for number in 0..4 {
        let header = batch(7, 2, number * 5, 5, 100 + i64::from(number) * 5);
        assert_eq!(states.check(&header), Ok(Verdict::Append));
        states.record(&header, Timestamp(1000));
    }
    states
}

#[test]
fn a_batch_sent_again_is_answered_with_its_first_offset() {
    let states = states();
    for number in 0..4 {
        let again = batch(7, 2, number * 5, 5, 0);
        let Ok(Verdict::Duplicate(found)) = states.check(&again) else {
            panic!("{number}");
        };
        let base = 100 + i64::from(number) * 5;
        assert_eq!(found.base_offset, Offset(base));
        assert_eq!(found.last_offset, Offset(base + 4));
    }
}

#[test]
fn only_the_next_sequence_follows() {
    let states = states();
    assert_eq!(states.check(&batch(7, 2, 20, 9, 0)), Ok(Verdict::Append));
    for (sequence, count) in [(21, 1), (0, 4), (5, 6), (19, 1), (18, 3)] {
        let expected = ProducerError::OutOfOrder {
            id: ProducerId(7),
            last: 19,
            found: sequence,
        };
        assert_eq!(
            states.check(&batch(7, 2, sequence, count, 0)),
            Err(expected)
        );
    }
}

#[test]
fn a_duplicate_from_before_the_window_is_out_of_order() {
    let mut states = states();
    states.record(&batch(7, 2, 20, 5, 120), Timestamp(1000));
    assert!(matches!(
        states.check(&batch(7, 2, 0, 5, 0)),
        Ok(Verdict::Duplicate(_))
    ));
    states.record(&batch(7, 2, 25, 5, 125), Timestamp(1000));
    assert!(matches!(
        states.check(&batch(7, 2, 0, 5, 0)),
        Err(ProducerError::OutOfOrder { .. })
    ));
}

#[test]
fn an_unknown_producer_may_begin_anywhere_and_a_new_epoch_at_0() {
    let states = states();
    assert_eq!(states.check(&batch(8, 0, 55, 1, 0)), Ok(Verdict::Append));
    assert_eq!(states.check(&batch(7, 3, 0, 1, 0)), Ok(Verdict::Append));
    let refused = states.check(&batch(7, 3, 20, 1, 0));
    assert!(matches!(
        refused,
        Err(ProducerError::OutOfOrder { last: -1, .. })
    ));
    let fenced = states.check(&batch(7, 1, 20, 1, 0));
    assert!(matches!(fenced, Err(ProducerError::Fenced { .. })));
    assert_eq!(states.check(&batch(-1, -1, -1, 1, 0)), Ok(Verdict::Append));
}

#[test]
fn sequences_wrap() {
    let mut states = ProducerStates::default();
    let first = batch(7, 0, i32::MAX - 1, 2, 0);
    states.record(&first, Timestamp(0));
    assert_eq!(first.last_sequence(), i32::MAX);
    assert_eq!(states.check(&batch(7, 0, 0, 1, 0)), Ok(Verdict::Append));
    let across = batch(7, 0, 0, 1, 2);
    states.record(&across, Timestamp(0));
    // A batch that begins before and ends behind the end.
    let mut states = ProducerStates::default();
    let across = batch(7, 0, i32::MAX, 3, 0);
    assert_eq!(across.last_sequence(), 1);
    states.record(&across, Timestamp(0));
    assert_eq!(states.check(&batch(7, 0, 2, 1, 0)), Ok(Verdict::Append));
    let read = decode(&encode(&states)).unwrap();
    assert_eq!(
        read.get(ProducerId(7)).unwrap().batches,
        states.get(ProducerId(7)).unwrap().batches
    );
}

#[test]
fn a_transaction_is_open_from_its_first_batch_to_its_marker() {
    let mut states = ProducerStates::default();
    states.record(&batch(7, 0, 0, 5, 10), Timestamp(0));
    assert_eq!(states.first_open_offset(), None);
    for (id, offset) in [(7, 15), (8, 20)] {
        let sequence = if id == 7 { 5 } else { 0 };
        states.record(
            &transactional(batch(id, 0, sequence, 5, offset)),
            Timestamp(0),
        );
    }
    states.record(&transactional(batch(7, 0, 10, 1, 25)), Timestamp(0));
    assert_eq!(states.first_open_offset(), Some(Offset(15)));
    assert!(matches!(
        states.check(&batch(7, 0, 11, 1, 0)),
        Err(ProducerError::InTransaction { .. })
    ));
    let ended = states.record_marker(&batch(7, 0, -1, 1, 26), marker(false, 3), Timestamp(0));
    let expected = EndedTransaction {
        producer_id: ProducerId(7),
        first_offset: Offset(15),
        last_offset: Offset(26),
        committed: false,
    };
    assert_eq!(ended, Some(expected));
    assert_eq!(states.first_open_offset(), Some(Offset(20)));
    // The sequence goes on behind the marker, and a second marker ends nothing.
    assert_eq!(states.check(&batch(7, 0, 11, 1, 0)), Ok(Verdict::Append));
    let header = batch(7, 0, -1, 1, 27);
    assert_eq!(
        states.record_marker(&header, marker(true, 3), Timestamp(0)),
        None
    );
    assert_eq!(states.check_marker(&header, marker(true, 3)), Ok(()));
    assert!(matches!(
        states.check_marker(&header, marker(true, 2)),
        Err(ProducerError::CoordinatorFenced { .. })
    ));
    // A marker of a newer epoch (KIP-890) begins a new count.
    states.record_marker(&batch(7, 1, -1, 1, 28), marker(true, 3), Timestamp(0));
    assert_eq!(states.check(&batch(7, 1, 0, 1, 0)), Ok(Verdict::Append));
    assert!(states.check(&batch(7, 1, 11, 1, 0)).is_err());
}

#[test]
fn silent_producers_are_forgotten_unless_they_have_a_transaction() {
    let mut states = states();
    states.record(&transactional(batch(8, 0, 0, 1, 120)), Timestamp(0));
    let day = Duration::from_secs(24 * 3600);
    states.expire(Timestamp(1000 + 86_399_999), day);
    assert!(states.get(ProducerId(7)).is_some());
    states.expire(Timestamp(1000 + 86_400_000), day);
    assert!(states.get(ProducerId(7)).is_none());
    assert!(states.get(ProducerId(8)).is_some());
    states.expire(Timestamp(i64::MIN), day);
    assert_eq!(states.check(&batch(7, 0, 99, 1, 0)), Ok(Verdict::Append));
}

#[test]
fn there_is_room_for_so_many_and_the_silent_ones_go_first() {
    let mut states = ProducerStates::default();
    states.record(&transactional(batch(0, 0, 0, 1, 0)), Timestamp(0));
    let count = ProducerStates::PRODUCERS_MAX as i64;
    for id in 1..=count {
        states.record(&batch(id, 0, 0, 1, id), Timestamp(id));
    }
    assert!(states.iter().count() <= ProducerStates::PRODUCERS_MAX);
    assert!(
        states.get(ProducerId(0)).is_some(),
        "its transaction is open"
    );
    assert!(states.get(ProducerId(1)).is_none());
    assert!(states.get(ProducerId(count)).is_some());
    assert!(states.get(ProducerId(count / 2)).is_some());
}

/// As Kafka's `ProducerStateManager` writes them; the checksum was computed apart.
#[test]
fn a_snapshot_is_kafkas_bytes() {
    let mut states = ProducerStates::default();
    states.record(
        &transactional(batch(0x0102, 3, 8, 5, 100)),
        Timestamp(0x1122),
    );
    let bytes = encode(&states);
    let entry = [
        &[0, 0, 0, 0, 0, 0, 1, 2][..],
        &[0, 3],
        &[0, 0, 0, 12],
        &[0, 0, 0, 0, 0, 0, 0, 104],
        &[0, 0, 0, 4],
        &[0, 0, 0, 0, 0, 0, 0x11, 0x22],
        &[255, 255, 255, 255],
        &[0, 0, 0, 0, 0, 0, 0, 100],
    ]
    .concat();
    assert_eq!(bytes[..2], [0, 1]);
    assert_eq!(bytes[6..], [&[0, 0, 0, 1][..], &entry].concat());
    assert_eq!(
        bytes[2..6],
        brooklet_protocol::crc32c(&bytes[6..]).to_be_bytes()
    );
    assert_eq!(
        encode(&ProducerStates::default()),
        [0, 1, 0x48, 0x67, 0x4b, 0xc7, 0, 0, 0, 0]
    );
}

#[test]
fn what_is_no_snapshot_is_refused() {
    let good = encode(&states());
    assert!(decode(&good).is_ok());
    for end in 0..good.len() {
        assert!(decode(&good[..end]).is_err(), "cut at {end}");
    }
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(decode(&bad).is_err(), "bit {bit}");
    }
    let sealed = |mut bytes: Vec<u8>| {
        let crc = brooklet_protocol::crc32c(&bytes[6..]);
        bytes[2..6].copy_from_slice(&crc.to_be_bytes());
        decode(&bytes).map(|_| ())
    };
    let mut lies = good.clone();
    lies[6..10].copy_from_slice(&i32::MAX.to_be_bytes());
    assert!(matches!(sealed(lies), Err(SnapshotError::Length { .. })));
    let mut lies = good.clone();
    lies[10] = 0x80;
    assert_eq!(sealed(lies), Err(SnapshotError::Entry { index: 0 }));
}

/// All batches that were ever recorded, looked through from the end.
#[derive(Default)]
struct Model {
    batches: Vec<BatchHeader>,
}

impl Model {
    fn check(&self, header: &BatchHeader) -> Result<Verdict, ()> {
        let own = |b: &&BatchHeader| b.producer_id == header.producer_id;
        let Some(last) = self.batches.iter().rev().find(own) else {
            return Ok(Verdict::Append);
        };
        let in_epoch = |b: &&BatchHeader| b.producer_epoch == last.producer_epoch;
        let window = self
            .batches
            .iter()
            .rev()
            .filter(own)
            .take_while(in_epoch)
            .take(5);
        let same = |b: &&BatchHeader| {
            b.producer_epoch == header.producer_epoch
                && (b.base_sequence, b.last_offset_delta)
                    == (header.base_sequence, header.last_offset_delta)
        };
        if let Some(found) = window.into_iter().find(same) {
            return Ok(Verdict::Duplicate(ProducedBatch::of(found)));
        }
        let expected = if header.producer_epoch == last.producer_epoch {
            (i64::from(last.base_sequence) + i64::from(last.last_offset_delta) + 1) % (1 << 31)
        } else {
            0
        };
        let follows = i64::from(header.base_sequence) == expected;
        let ok = header.producer_epoch >= last.producer_epoch && follows;
        ok.then_some(Verdict::Append).ok_or(())
    }
}

proptest! {
    #[test]
    fn equals_a_list_of_all_batches(
        tries in prop::collection::vec(
            (0_i64..3, 0_i16..3, prop_oneof![0_i32..12, (i32::MAX - 4)..=i32::MAX], 1_i32..4),
            0..200,
        ),
        cut in any::<prop::sample::Index>(),
    ) {
        let (mut states, mut model) = (ProducerStates::default(), Model::default());
        let mut offset = 0;
        let cut = cut.index(tries.len().max(1));
        for (number, (id, epoch, sequence, count)) in tries.into_iter().enumerate() {
            let header = batch(id, epoch, sequence, count, offset);
            let verdict = states.check(&header);
            prop_assert_eq!(verdict.map_err(|_| ()), model.check(&header));
            if verdict == Ok(Verdict::Append) {
                states.record(&header, Timestamp(9));
                model.batches.push(header);
                offset = header.next_offset().0;
            }
            if number == cut {
                // A snapshot, its windows filled from the batches before it, goes on as if nothing
                // had been.
                let mut read = decode(&encode(&states)).unwrap();
                let mut older = ProducerStates::default();
                for header in &model.batches {
                    older.record(header, Timestamp(9));
                }
                read.fill_windows(&older);
                prop_assert_eq!(&read, &states);
                states = read;
            }
        }
    }
}
