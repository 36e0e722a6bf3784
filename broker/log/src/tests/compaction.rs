//! Compaction against a map of the last value per key, with crashes, a full disk, and readers.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use brooklet_protocol::records::EndTxnMarker;
use brooklet_protocol::{Monotonic, ProducerEpoch, ProducerId};
use proptest::prelude::*;

use super::*;
use crate::compaction::{Compacted, CompactionContext};
use crate::vfs::disk::DiskVfs;

/// A record: offset, key, value.
type Row = (i64, u8, Option<u32>);
type Found = Vec<Row>;

const SINCE: Monotonic = Monotonic(Duration::ZERO);

/// Compacts whatever is sealed, keeps tombstones for 1000 ms.
pub(super) fn compacting(segment_bytes: u64) -> LogConfig {
    LogConfig {
        cleanup: CleanupPolicy {
            delete: false,
            compact: true,
        },
        dirty_ratio_min: 0.0,
        delete_retention: Duration::from_secs(1),
        ..config(segment_bytes)
    }
}

/// A batch of records with these keys and values.
fn batch(records: &[(u8, Option<u32>)]) -> RecordBatch {
    let mut builder = BatchBuilder::new(Compression::None);
    for (key, value) in records {
        let value = value.map(u32::to_be_bytes);
        builder.append(
            Timestamp(5),
            Some(&[*key]),
            value.as_ref().map(|v| &v[..]),
            &[],
        );
    }
    builder.build()
}

pub(super) fn compact(log: &Log, now: i64) -> Result<Compacted, LogError> {
    compact_with(log, now, 1 << 20)
}

fn compact_with(log: &Log, now: i64, map_bytes_max: usize) -> Result<Compacted, LogError> {
    let last = |(id, state): (_, &producer_state::ProducerState)| {
        Some((id, state.batches.back()?.last_offset))
    };
    let context = CompactionContext {
        stable_below: log.reader().log_end_offset(),
        now: Timestamp(now),
        since: SINCE,
        last_batches: &log.producers().iter().filter_map(last).collect(),
        map_bytes_max,
        stop: &false.into(),
    };
    log.maintenance().compact(&context, |_| Ok(()))
}

/// Offset, key and value of every record there is.
fn records(reader: &LogReader) -> Found {
    let batches = read_from(reader, reader.log_start_offset()).unwrap();
    let mut found = Vec::new();
    for batch in batches.iter().filter(|batch| !batch.header().is_control()) {
        batch.verify_crc().unwrap();
        for record in &batch.records(1 << 20).unwrap() {
            let record = record.unwrap();
            let value = record
                .value
                .map(|v| u32::from_be_bytes(v.try_into().unwrap()));
            found.push((record.offset.0, record.key.unwrap()[0], value));
        }
    }
    found
}

/// The last record of each key, by its offset.
fn latest(all: &[Row]) -> BTreeMap<i64, (u8, Option<u32>)> {
    let by_key: HashMap<u8, _> = all.iter().map(|(o, k, v)| (*k, (*o, *v))).collect();
    by_key.into_iter().map(|(k, (o, v))| (o, (k, v))).collect()
}

/// Everything of `all` that a compaction up to `sealed_below` has to leave is there, in order, and
/// nothing is there that was not written. Tombstones may be missing.
fn check(reader: &LogReader, all: &[Row], sealed_below: i64) {
    let found = records(reader);
    assert!(found.is_sorted_by_key(|(offset, ..)| *offset));
    let written: BTreeMap<i64, _> = all.iter().map(|(o, k, v)| (*o, (*k, *v))).collect();
    for (offset, key, value) in &found {
        assert_eq!(written.get(offset), Some(&(*key, *value)));
    }
    let found: BTreeMap<i64, _> = found.iter().map(|(o, k, v)| (*o, (*k, *v))).collect();
    for (offset, (key, value)) in latest(all) {
        if value.is_some() {
            assert_eq!(found.get(&offset), Some(&(key, value)), "offset {offset}");
        }
    }
    for (offset, record) in written.range(sealed_below..) {
        assert_eq!(found.get(offset), Some(record), "not sealed: {offset}");
    }
}

fn active_base(log: &Log) -> i64 {
    log.reader().segments().last().unwrap().base_offset.0
}

#[test]
fn of_each_key_the_latest_record_stays() {
    let vfs = SimVfs::new(0);
    let mut log = open(&vfs, compacting(300));
    let mut all = Vec::new();
    for number in 0..60_u32 {
        let record = ((number % 4) as u8, Some(number));
        append(&mut log, &batch(&[record])).unwrap();
        all.push((i64::from(number), record.0, record.1));
    }
    let before = log.reader().size_bytes();
    let sealed = log
        .reader()
        .segments()
        .into_iter()
        .filter(|segment| segment.is_sealed);
    let sealed_bytes = sealed.map(|segment| segment.size_bytes).sum::<u64>();
    let done = compact(&log, 0).unwrap();
    assert_eq!(
        (done.bytes_before, done.bytes_after > 0),
        (sealed_bytes, true)
    );
    assert!(log.reader().size_bytes() < before / 3);
    let base = active_base(&log);
    check(&log.reader(), &all, base);
    let sealed = records(&log.reader())
        .into_iter()
        .filter(|(o, ..)| *o < base);
    assert_eq!(sealed.count(), 4, "one per key");
    assert_eq!(
        compact(&log, 0).unwrap().segments_made,
        0,
        "nothing is dirty"
    );

    let end = log.close().unwrap();
    let restart = RecoveryStart {
        cleaned_below: Offset(base),
        ..start(true, end.0)
    };
    let (log, _) = open_with(&vfs, compacting(300), restart).unwrap();
    check(&log.reader(), &all, base);
    assert!(
        names(&vfs)
            .iter()
            .all(|name| !name.contains("cleaned") && !name.contains("swap"))
    );
}

#[test]
fn tombstones_stay_until_their_horizon() {
    let mut log = open(&SimVfs::new(0), compacting(150));
    for record in [
        (1, Some(1)),
        (1, None),
        (2, Some(2)),
        (3, Some(3)),
        (3, Some(4)),
    ] {
        append(&mut log, &batch(&[record])).unwrap();
    }
    log.roll_if_filled().unwrap();
    compact(&log, 5000).unwrap();
    let kept = [(1, 1, None), (2, 2, Some(2)), (4, 3, Some(4))];
    assert_eq!(records(&log.reader()), kept);
    let mut more = |now, number: u32| {
        append(&mut log, &batch(&[(9, Some(number))])).unwrap();
        log.roll_if_filled().unwrap();
        compact(&log, now).unwrap();
        records(&log.reader()).len()
    };
    assert_eq!(more(5999, 0), 4);
    assert_eq!(more(6000, 1), 3, "the tombstone is gone");
}

#[test]
fn a_small_map_cleans_a_part_and_the_rest_later() {
    let mut log = open(&SimVfs::new(0), compacting(400));
    let mut all = Vec::new();
    for number in 0..200_u32 {
        let record = ((number % 50) as u8, Some(number));
        append(&mut log, &batch(&[record])).unwrap();
        all.push((i64::from(number), record.0, record.1));
    }
    // Twenty keys a pass.
    let base = active_base(&log);
    for _ in 0..200 {
        compact_with(&log, 0, 24 * 23).unwrap();
        check(&log.reader(), &all, base);
    }
    let sealed = records(&log.reader())
        .into_iter()
        .filter(|(o, ..)| *o < base);
    assert!(
        sealed.count() <= 70,
        "what one pass leaves the next one takes"
    );
}

#[test]
fn a_producers_last_sequence_and_the_end_of_the_log_outlive_their_records() {
    let vfs = SimVfs::new(0);
    let mut log = open(&vfs, compacting(150));
    for number in 0..6 {
        let id = ProducerId(i64::from(number % 2));
        let mut builder =
            BatchBuilder::new(Compression::None).with_producer(id, ProducerEpoch(0), number / 2);
        builder.append(Timestamp(5), Some(b"k"), Some(&[0; 4]), &[]);
        append(&mut log, &builder.build()).unwrap();
    }
    append(&mut log, &batch(&[(b'k', Some(7))])).unwrap();
    log.roll_if_filled().unwrap();
    compact(&log, 0).unwrap();
    assert_eq!(records(&log.reader()), [(6, b'k', Some(7))]);
    drop(log);
    for name in names(&vfs).iter().filter(|name| name.ends_with("snapshot")) {
        vfs.remove_file(&dir().join(name)).unwrap();
    }
    let restart = RecoveryStart {
        cleaned_below: Offset(7),
        ..start(false, 0)
    };
    let (log, _) = open_with(&vfs, compacting(150), restart).unwrap();
    assert_eq!(log.reader().log_end_offset(), Offset(7));
    for id in [0, 1] {
        let state = log.producers().get(ProducerId(id)).unwrap();
        assert_eq!(state.last_sequence(), 2, "producer {id}");
    }
}

#[test]
fn records_of_aborted_transactions_go_and_their_markers_later() {
    let mut log = open(&SimVfs::new(0), compacting(200));
    let id = |id| (ProducerId(id), ProducerEpoch(0));
    let mut sequences = [0; 2];
    for (number, (producer, committed)) in [(0, true), (1, false), (0, false), (1, true)]
        .into_iter()
        .enumerate()
    {
        let (pid, epoch) = id(producer);
        let sequence = &mut sequences[producer as usize];
        let mut builder = BatchBuilder::new(Compression::None)
            .with_producer(pid, epoch, *sequence)
            .with_transaction();
        *sequence += 1;
        let value = (number as u32).to_be_bytes();
        builder.append(Timestamp(5), Some(&[producer as u8]), Some(&value), &[]);
        append(&mut log, &builder.build()).unwrap();
        let marker = EndTxnMarker {
            committed,
            coordinator_epoch: 0,
        };
        append(&mut log, &marker.to_batch(id(producer), Timestamp(5))).unwrap();
    }
    log.roll_if_filled().unwrap();
    compact(&log, 0).unwrap();
    // An aborted record supersedes nothing.
    assert_eq!(records(&log.reader()), [(0, 0, Some(0)), (6, 1, Some(3))]);
    let markers = |log: &Log| {
        let batches = read_from(&log.reader(), Offset(0)).unwrap();
        batches
            .iter()
            .filter(|b| b.header().is_control() && b.header().record_count > 0)
            .count()
    };
    assert_eq!(markers(&log), 4);
    append(&mut log, &batch(&[(9, Some(0))])).unwrap();
    log.roll_if_filled().unwrap();
    compact(&log, 99_999).unwrap();
    let left = "of the committed ones, whose records are there; and of the aborted one whose batch stays \
                as a header, being its producer's last";
    assert_eq!(markers(&log), 3, "{left}");
    // Otherwise whoever finds the producers' state again would take that transaction for open.
    let end = log.reader().log_end_offset();
    assert_eq!(log.producers().first_open_offset(), None);
    assert_eq!(log.reader().last_stable_offset(end), end);
}

/// The offset map is small, so a segment is covered in part; the part above has to be told apart.
#[test]
fn what_was_aborted_stays_known_where_its_records_stay() {
    let vfs = SimVfs::new(0);
    let mut log = open(&vfs, compacting(1 << 20));
    let (id, epoch) = (ProducerId(0), ProducerEpoch(0));
    let mut aborted = Vec::new();
    for sequence in 0..6 {
        let mut builder = BatchBuilder::new(Compression::None)
            .with_producer(id, epoch, sequence)
            .with_transaction();
        builder.append(Timestamp(5), Some(&[sequence as u8]), Some(&[0; 4]), &[]);
        let first = append(&mut log, &builder.build()).unwrap().base_offset;
        append(&mut log, &batch(&[(sequence as u8, Some(1))])).unwrap();
        let marker = EndTxnMarker {
            committed: false,
            coordinator_epoch: 0,
        };
        let marker = marker.to_batch((id, epoch), Timestamp(5));
        let last = append(&mut log, &marker).unwrap().base_offset;
        aborted.push((first, last));
    }
    log.roll_if_filled().unwrap();
    compact_with(&log, 0, 24 * 4).unwrap();
    let reader = log.reader();
    let told = (reader.aborted_transactions(Offset::ZERO, reader.log_end_offset())).unwrap();
    let told: Vec<_> = told
        .iter()
        .map(|a| (a.first_offset, a.last_offset))
        .collect();
    assert_eq!(told, aborted);
}

/// A log on a disk that forgets, its records, and where its active segment begins.
fn synced(seed: u64) -> (SimVfs, Log, Found) {
    let vfs = SimVfs::new(seed);
    vfs.create_dir_all(dir()).unwrap();
    vfs.sync_dir(Path::new("")).unwrap();
    let mut log = open(&vfs, compacting(250));
    let mut all = Vec::new();
    for number in 0..24_u32 {
        let record = ((number % 5) as u8, (number % 7 != 0).then_some(number));
        append(&mut log, &batch(&[record])).unwrap();
        all.push((i64::from(number), record.0, record.1));
    }
    log.sync_handle().sync().unwrap();
    (vfs, log, all)
}

#[test]
fn a_crash_at_any_step_leaves_the_old_segments_or_the_new() {
    for operations in 0.. {
        let (vfs, log, all) = synced(operations);
        vfs.cut_power_after(operations);
        let base = active_base(&log);
        let done = compact(&log, 0);
        let vfs = vfs.crash();
        // Also inside of the recovery.
        for interrupted in [Some(operations % 7), None] {
            if let Some(operations) = interrupted {
                vfs.cut_power_after(operations);
            }
            let restart = RecoveryStart {
                cleaned_below: Offset(base),
                ..start(false, 24)
            };
            let crashed = vfs.crash();
            let opened = open_with(
                if interrupted.is_some() {
                    &vfs
                } else {
                    &crashed
                },
                compacting(250),
                restart,
            );
            if interrupted.is_none() {
                let (mut log, report) = opened.unwrap();
                assert_eq!(report.bytes_cut, 0);
                check(&log.reader(), &all, base);
                let end = append(&mut log, &batch(&[(1, None)])).unwrap();
                assert_eq!(end.base_offset, Offset(24));
            }
        }
        if done.is_ok() {
            assert!(operations > 10);
            break;
        }
    }
}

#[test]
fn a_full_disk_leaves_the_old_segments() {
    let (vfs, log, all) = synced(0);
    vfs.set_capacity(Some(vfs.used_bytes() + 60));
    let base = active_base(&log);
    assert!(compact(&log, 0).is_err());
    check(&log.reader(), &all, base);
    assert!(names(&vfs).iter().all(|name| !name.contains("cleaned")));
    vfs.set_capacity(None);
    assert!(compact(&log, 0).unwrap().segments_made > 0);
    check(&log.reader(), &all, base);
}

#[test]
fn damage_is_no_reason_to_lose_what_is_around_it() {
    let (vfs, log, _) = synced(0);
    let segments = log.reader().segments();
    vfs.flip_bit(&segments[1].path, 70 * 8).unwrap();
    drop(log);
    let (log, _) = open_with(&vfs, compacting(250), start(true, 24)).unwrap();
    let failed = compact(&log, 0);
    assert!(
        matches!(failed, Err(LogError::Corrupt { .. })),
        "{failed:?}"
    );
    assert_eq!(log.reader().segments().len(), segments.len());
}

#[test]
fn readers_beside_a_compaction_read_what_was_written() {
    let dir = tempfile::tempdir().unwrap();
    let config = compacting(2000);
    let opened = Log::open(
        Arc::new(DiskVfs),
        &dir.path().join("t-0"),
        config,
        RecoveryStart::default(),
    );
    let mut log = opened.unwrap().0;
    let (reader, syncs) = (log.reader(), log.sync_handle());
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(std::sync::atomic::Ordering::SeqCst) {
                    let found = records(&reader);
                    for (offset, key, value) in found {
                        assert_eq!((key, value), ((offset % 20) as u8, Some(offset as u32)));
                    }
                    reader.offset_for_timestamp(Timestamp(5)).unwrap();
                }
            });
        }
        for number in 0..1500_u32 {
            append(&mut log, &batch(&[((number % 20) as u8, Some(number))])).unwrap();
            if number % 100 == 99 {
                syncs.sync().unwrap();
                compact(&log, 0).unwrap();
                log.maintenance()
                    .remove_retired(Monotonic(Duration::from_secs(60)))
                    .unwrap();
            }
        }
        done.store(true, std::sync::atomic::Ordering::SeqCst);
    });
    assert!(log.reader().segments().len() < 20);
}

proptest! {
    #[test]
    fn compaction_equals_a_map(
        batches in prop::collection::vec(
            prop::collection::vec((0_u8..6, prop::option::weighted(0.8, any::<u32>())), 1..4),
            1..60,
        ),
        every in 1_usize..20,
        segment_bytes in 100_u64..700,
        seed in any::<u64>(),
    ) {
        let vfs = SimVfs::new(seed);
        let mut log = open(&vfs, compacting(segment_bytes));
        let mut all = Vec::new();
        for (number, records) in batches.iter().enumerate() {
            let appended = append(&mut log, &batch(records)).unwrap();
            for (offset, (key, value)) in (appended.base_offset.0..).zip(records) {
                all.push((offset, *key, *value));
            }
            if number % every == 0 {
                compact(&log, number as i64 * 300).unwrap();
            }
        }
        let base = active_base(&log);
        compact(&log, 0).unwrap();
        check(&log.reader(), &all, base);
        let end = log.close().unwrap();
        for clean in [true, false] {
            let restart = RecoveryStart { cleaned_below: Offset(base), ..start(clean, end.0) };
            let (log, report) = open_with(&vfs, compacting(segment_bytes), restart).unwrap();
            prop_assert_eq!(report.bytes_cut, 0);
            check(&log.reader(), &all, base);
        }
    }
}
