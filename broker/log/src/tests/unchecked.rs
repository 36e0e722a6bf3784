//! Logs from before batches were checked: headers that lie about times, records that nobody can
//! read.

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use brooklet_protocol::Monotonic;
use proptest::prelude::*;

use super::*;
use crate::compaction::{Compacted, CompactionContext};

fn all_unchecked(clean_shutdown: bool, recovery_point: i64) -> RecoveryStart {
    RecoveryStart {
        unchecked_below: checkpoint::UNKNOWN,
        ..start(clean_shutdown, recovery_point)
    }
}

/// Closes the log and opens it as one of which nobody knows who has checked it.
fn reopen(vfs: &SimVfs, log: Log, config: LogConfig) -> Log {
    let end = log.close().unwrap();
    let opened = open_with(vfs, config, all_unchecked(true, end.0));
    opened.unwrap().0
}

/// A batch of two records' offsets whose checksum is right and whose records are garbage.
fn unreadable(max_timestamp: i64) -> RecordBatch {
    let good = batch_of(&[5, 6], 20).with_max_timestamp(Timestamp(max_timestamp));
    let mut bytes = good.bytes().to_vec();
    bytes[61..].fill(0xff);
    let crc = brooklet_protocol::crc32c(&bytes[21..]).to_be_bytes();
    bytes[17..21].copy_from_slice(&crc);
    RecordBatch::split_from(&mut bytes.into()).unwrap()
}

fn keyed(records: &[(&str, i64)]) -> RecordBatch {
    let mut builder = BatchBuilder::new(Compression::None);
    for (key, time) in records {
        builder.append(Timestamp(*time), Some(key.as_bytes()), Some(b"v"), &[]);
    }
    builder.build()
}

proptest! {
    #[test]
    fn look_ups_go_by_the_records(
        batches in prop::collection::vec(
            (prop::collection::vec(0_i64..40, 1..4), prop::option::of(-1_i64..50)),
            1..15,
        ),
        later in prop::collection::vec(0_i64..40, 0..4),
        segment_bytes in 100_u64..600,
        clean in any::<bool>(),
        trimmed in any::<prop::sample::Index>(),
    ) {
        let vfs = SimVfs::new(0);
        let config = config(segment_bytes);
        let mut log = open(&vfs, config.clone());
        let mut model = Vec::new();
        for (times, claimed) in &batches {
            let at = model.len() as i64;
            model.extend(times.iter().zip(at..).map(|(time, at)| (Offset(at), Timestamp(*time))));
            let mut batch = batch_of(times, 3);
            if let Some(claimed) = claimed {
                batch = batch.with_max_timestamp(Timestamp(*claimed));
            }
            append(&mut log, &batch).unwrap();
        }
        let end = log.close().unwrap();
        let opened = open_with(&vfs, config, all_unchecked(clean, end.0));
        let mut log = opened.unwrap().0;
        prop_assert_eq!(log.reader().unchecked_below(), end);
        for time in &later {
            model.push((Offset(model.len() as i64), Timestamp(*time)));
            append(&mut log, &batch_of(&[*time], 3)).unwrap();
        }
        let reader = log.reader();
        let first_at = |from: Offset, wanted: i64| {
            let mut left = model.iter().filter(|(offset, _)| *offset >= from);
            left.find(|(_, time)| time.0 >= wanted).copied()
        };
        for wanted in 0..41 {
            let found = reader.offset_for_timestamp(Timestamp(wanted)).unwrap();
            prop_assert_eq!(found, first_at(Offset::ZERO, wanted));
        }
        let start = Offset(trimmed.index(model.len()) as i64);
        log.maintenance().advance_log_start(start);
        let left = model.iter().filter(|(offset, _)| *offset >= start);
        let highest = left.map(|(_, time)| time.0).max().unwrap();
        prop_assert_eq!(reader.max_timestamp().unwrap(), first_at(start, highest));
    }
}

#[test]
fn retention_goes_by_the_records() {
    let hour = Duration::from_secs(3600);
    let now = Timestamp(1_800_000_000_000);
    let config = LogConfig {
        retention_age_max: Some(hour),
        ..config(100)
    };
    let far_ahead = now.0 + 315_360_000_000;
    // What the header claims, the record's time, and whether the record is too old.
    for (claimed, time, is_too_old) in [
        (1000, now.0, false),
        (-1, now.0, false),
        (-1, 1000, true),
        (far_ahead, 1000, true),
        (1000, 1000, true),
    ] {
        let vfs = SimVfs::new(0);
        let mut log = open(&vfs, config.clone());
        let lying = batch_of(&[time], 20).with_max_timestamp(Timestamp(claimed));
        append(&mut log, &lying).unwrap();
        let log = reopen(&vfs, log, config.clone());
        let expired = log.maintenance().expired_below(Offset(1), now).unwrap();
        let expected = is_too_old.then_some(Offset(1));
        assert_eq!(expired, expected, "claimed {claimed}, is {time}");
    }
}

#[test]
fn a_log_without_a_lie_is_trusted_once_it_was_read() {
    let vfs = SimVfs::new(0);
    let mut log = open(&vfs, config(100));
    for time in 1..=3 {
        append(&mut log, &batch_of(&[time], 20)).unwrap();
    }
    let mut log = reopen(&vfs, log, config(100));
    append(&mut log, &batch_of(&[4], 20)).unwrap();
    let reader = log.reader();
    assert_eq!(reader.unchecked_below(), Offset(3));
    let found = reader.offset_for_timestamp(Timestamp(4)).unwrap();
    assert_eq!(found, Some((Offset(3), Timestamp(4))));
    assert_eq!(reader.unchecked_below(), Offset(0));
}

#[test]
fn a_batch_that_nobody_can_read_does_not_take_the_others_with_it() {
    let vfs = SimVfs::new(0);
    let mut log = open(&vfs, config(10_000));
    append(&mut log, &batch_of(&[10], 20)).unwrap();
    append(&mut log, &unreadable(99)).unwrap();
    append(&mut log, &batch_of(&[20], 20)).unwrap();
    let log = reopen(&vfs, log, config(10_000));
    let reader = log.reader();
    let found = |time| reader.offset_for_timestamp(Timestamp(time)).unwrap();
    assert_eq!(found(11), Some((Offset(3), Timestamp(20))));
    assert_eq!(
        found(21),
        None,
        "what its header claims is nothing that can be read"
    );
    let highest = reader.max_timestamp().unwrap();
    assert_eq!(highest, Some((Offset(3), Timestamp(20))));
    let read = read_from(&reader, Offset(0)).unwrap();
    assert_eq!(read.len(), 3, "it is served as it is stored");
}

#[test]
fn compaction_keeps_what_nobody_can_read_and_goes_on() {
    let vfs = SimVfs::new(0);
    let config = LogConfig {
        cleanup: CleanupPolicy {
            delete: false,
            compact: true,
        },
        dirty_ratio_min: 0.0,
        ..config(10_000)
    };
    let mut log = open(&vfs, config.clone());
    append(&mut log, &keyed(&[("a", 1), ("b", 1)])).unwrap();
    append(&mut log, &unreadable(1)).unwrap();
    let lying = keyed(&[("a", 7)]).with_max_timestamp(Timestamp(-1));
    append(&mut log, &lying).unwrap();
    let log = reopen(&vfs, log, config);
    let context = CompactionContext {
        stable_below: Offset(5),
        now: Timestamp(100),
        since: Monotonic::default(),
        last_batches: &HashMap::new(),
        map_bytes_max: 1 << 20,
        stop: &AtomicBool::new(false),
    };
    let done = log.maintenance().compact(&context, |_| Ok(())).unwrap();
    assert_eq!(
        done,
        Compacted {
            segments_replaced: 1,
            segments_made: 1,
            ..done
        }
    );
    let reader = log.reader();
    let batches = read_from(&reader, Offset(0)).unwrap();
    let counts: Vec<_> = batches
        .iter()
        .map(|batch| batch.header().record_count)
        .collect();
    assert_eq!(counts, [1, 2, 1], "the first a is gone");
    // The new segment has the batch as it was, so its header is believed no more than before.
    let found = reader.offset_for_timestamp(Timestamp(2)).unwrap();
    assert_eq!(found, Some((Offset(4), Timestamp(7))));
}
