//! Producers that send twice, and transactions: what the log remembers of them, and finds again.

use brooklet_protocol::records::EndTxnMarker;
use brooklet_protocol::{ProducerEpoch, ProducerId};

use super::*;
use crate::producer_state::ProducerError;
use crate::vfs::OpenMode;

/// A batch of `count` records with `sequence` in front, about 80 bytes.
fn batch(id: i64, sequence: i32, count: usize) -> RecordBatch {
    builder(id, sequence, count).build()
}

fn builder(id: i64, sequence: i32, count: usize) -> BatchBuilder {
    let mut builder = BatchBuilder::new(Compression::None).with_producer(
        ProducerId(id),
        ProducerEpoch(0),
        sequence,
    );
    for _ in 0..count {
        builder.append(Timestamp(5), None, Some(b"value"), &[]);
    }
    builder
}

fn transactional(id: i64, sequence: i32, count: usize) -> RecordBatch {
    builder(id, sequence, count).with_transaction().build()
}

fn marker(id: i64, committed: bool) -> RecordBatch {
    let marker = EndTxnMarker {
        committed,
        coordinator_epoch: 0,
    };
    marker.to_batch((ProducerId(id), ProducerEpoch(0)), Timestamp(6))
}

/// Where a batch is in the log, if it is there already.
fn duplicate(log: &mut Log, batch: &RecordBatch) -> Option<(i64, i64)> {
    let end = log.reader().log_end_offset();
    let appended = append(log, batch).unwrap();
    let is_new = log.reader().log_end_offset() > end;
    assert_eq!(is_new, !appended.is_duplicate);
    let found = (appended.base_offset.0, appended.last_offset.0);
    appended.is_duplicate.then_some(found)
}

/// Two producers in turns, so many batches of two records each, `segment_bytes` a segment.
fn filled(vfs: &SimVfs, batches: i32, segment_bytes: u64) -> Log {
    let mut log = open(vfs, config(segment_bytes));
    for number in 0..batches {
        let batch = batch(i64::from(number % 2), number / 2 * 2, 2);
        assert_eq!(duplicate(&mut log, &batch), None);
    }
    log
}

/// All of the last five batches of both producers are known, and what comes next is new.
fn check_windows(log: &mut Log, batches: i32) {
    for number in (batches - 10).max(0)..batches {
        let again = batch(i64::from(number % 2), number / 2 * 2, 2);
        let base = i64::from(number) * 2;
        assert_eq!(duplicate(log, &again), Some((base, base + 1)), "{number}");
    }
    let gap = append(log, &batch(0, 1000, 1));
    let expected = matches!(
        gap,
        Err(LogError::Producer(ProducerError::OutOfOrder { .. }))
    );
    assert!(expected, "{gap:?}");
}

fn snapshots_in(vfs: &SimVfs) -> Vec<String> {
    let names = names(vfs).into_iter();
    names.filter(|name| name.ends_with(".snapshot")).collect()
}

#[test]
fn what_is_sent_twice_is_stored_once() {
    let mut log = filled(&SimVfs::new(0), 14, 1 << 20);
    check_windows(&mut log, 14);
    assert_eq!(log.reader().log_end_offset(), Offset(28));
    let too_old = append(&mut log, &batch(0, 0, 2));
    assert!(matches!(too_old, Err(LogError::Producer(_))), "{too_old:?}");
}

#[test]
fn the_windows_are_whole_after_every_kind_of_end() {
    for segment_bytes in [100, 300, 1000, 1 << 20] {
        for batches in [1, 3, 14, 25] {
            let vfs = SimVfs::new(0);
            filled(&vfs, batches, segment_bytes).close().unwrap();
            let end = i64::from(batches) * 2;
            let (mut log, _) = open_with(&vfs, config(segment_bytes), start(true, end)).unwrap();
            // A window is filled from the segment before the snapshot only.
            if segment_bytes == 1 << 20 {
                check_windows(&mut log, batches);
            } else {
                check_windows(&mut log, 0);
                let last = batch(i64::from((batches - 1) % 2), (batches - 1) / 2 * 2, 2);
                assert_eq!(duplicate(&mut log, &last), Some((end - 2, end - 1)));
            }

            let vfs = SimVfs::new(0);
            drop(filled(&vfs, batches, segment_bytes));
            for name in snapshots_in(&vfs) {
                vfs.remove_file(&dir().join(name)).unwrap();
            }
            let (mut log, _) = open_with(&vfs, config(segment_bytes), start(false, 0)).unwrap();
            check_windows(&mut log, batches);
        }
    }
}

#[test]
fn a_crash_takes_from_the_state_what_it_takes_from_the_log() {
    for seed in 0..200 {
        let vfs = SimVfs::new(seed);
        vfs.create_dir_all(dir()).unwrap();
        vfs.sync_dir(Path::new("")).unwrap();
        let log = filled(&vfs, 9, 300);
        let synced = log.sync_handle().sync().unwrap();
        let mut log = log;
        for number in 9..20 {
            append(&mut log, &batch(i64::from(number % 2), number / 2 * 2, 2)).unwrap();
        }
        let vfs = vfs.crash();
        let (mut log, _) = open_with(&vfs, config(300), start(false, synced.0)).unwrap();
        let batches = (log.reader().log_end_offset().0 / 2) as i32;
        for number in batches - 2..batches {
            let again = batch(i64::from(number % 2), number / 2 * 2, 2);
            assert!(duplicate(&mut log, &again).is_some(), "seed {seed}");
        }
        let lost = batch(i64::from(batches % 2), batches / 2 * 2, 2);
        assert_eq!(duplicate(&mut log, &lost), None, "seed {seed}");
    }
}

#[test]
fn snapshots_that_are_damaged_or_newer_than_the_log_are_ignored() {
    let vfs = SimVfs::new(0);
    filled(&vfs, 20, 1 << 20).close().unwrap();
    let name = "00000000000000000040.snapshot";
    assert_eq!(snapshots_in(&vfs), [name]);
    vfs.flip_bit(&dir().join(name), 100).unwrap();
    let newer = files::path(dir(), Offset(41), files::SNAPSHOT);
    overwrite(&vfs, &newer, &vfs.read(&dir().join(name)).unwrap());
    let (mut log, _) = open_with(&vfs, config(1 << 20), start(true, 40)).unwrap();
    check_windows(&mut log, 20);
    assert_eq!(snapshots_in(&vfs), [] as [&str; 0]);
}

#[test]
fn snapshots_stay_where_segments_begin_and_the_newest_two() {
    let vfs = SimVfs::new(0);
    let log = filled(&vfs, 12, 200);
    let bases = || -> Vec<i64> {
        let segments = log.reader().segments().into_iter();
        segments.map(|segment| segment.base_offset.0).collect()
    };
    let offsets = || -> Vec<i64> {
        let names = snapshots_in(&vfs).into_iter();
        names.map(|name| name[..20].parse().unwrap()).collect()
    };
    assert!(bases().len() > 4);
    assert_eq!(offsets(), bases()[1..], "none before the first");
    let now = brooklet_protocol::Monotonic::default();
    let keep = bases()[2];
    (log.maintenance().retire_segments_below(Offset(keep), now)).unwrap();
    assert_eq!(offsets(), bases());
    assert_eq!(bases()[0], keep);
}

#[test]
fn what_is_stable_ends_where_the_oldest_open_transaction_begins() {
    let vfs = SimVfs::new(0);
    let mut log = open(&vfs, config(1 << 20));
    let reader = log.reader();
    let stable = |high_watermark| reader.last_stable_offset(Offset(high_watermark)).0;
    append(&mut log, &batch(1, 0, 3)).unwrap();
    assert_eq!((stable(3), stable(2)), (3, 2));
    append(&mut log, &transactional(2, 0, 2)).unwrap();
    append(&mut log, &transactional(3, 0, 2)).unwrap();
    append(&mut log, &marker(2, true)).unwrap();
    assert_eq!(stable(4), 3, "the marker is not published");
    assert_eq!(stable(8), 5, "the other one is open");
    append(&mut log, &marker(3, false)).unwrap();
    assert_eq!(stable(9), 9);
    let refused = append(&mut log, &batch(3, 0, 1)).map(drop);
    assert!(matches!(refused, Err(LogError::Producer(_))), "{refused:?}");
}

#[test]
fn aborted_transactions_are_found_and_found_again() {
    let vfs = SimVfs::new(0);
    let config = config(300);
    let mut log = open(&vfs, config.clone());
    let mut sequences = [0; 3];
    let mut expected = Vec::new();
    for number in 0..12 {
        for id in 0..3 {
            let first = log.reader().log_end_offset();
            append(&mut log, &transactional(id, sequences[id as usize], 2)).unwrap();
            sequences[id as usize] += 2;
            append(&mut log, &batch(9, number * 3 + id as i32, 1)).unwrap();
            let ended = append(&mut log, &marker(id, (number + id as i32) % 3 == 0)).unwrap();
            if (number + id as i32) % 3 != 0 {
                expected.push((id, first.0, ended.last_offset.0));
            }
        }
    }
    assert!(log.reader().segments().len() > 5);
    let check = |reader: &LogReader| {
        let end = reader.log_end_offset();
        for from in 0..=end.0 {
            for up_to in [from, from + 1, from + 7, end.0] {
                let found = reader
                    .aborted_transactions(Offset(from), Offset(up_to))
                    .unwrap();
                let found = found
                    .iter()
                    .map(|a| (a.producer_id.0, a.first_offset.0, a.last_offset.0));
                let wanted = |(_, first, last): &&(i64, i64, i64)| *last >= from && *first < up_to;
                let wanted: Vec<_> = expected.iter().filter(wanted).copied().collect();
                assert_eq!(found.collect::<Vec<_>>(), wanted, "{from}..{up_to}");
            }
        }
    };
    check(&log.reader());
    drop(log);
    // Whatever the files say of what is replayed, is rebuilt.
    for name in names(&vfs) {
        if name.ends_with(".snapshot") || name.ends_with(".txnindex") {
            vfs.remove_file(&dir().join(name)).unwrap();
        }
    }
    let (log, _) = open_with(&vfs, config.clone(), start(false, 0)).unwrap();
    check(&log.reader());
    let end = log.close().unwrap();
    let (log, _) = open_with(&vfs, config, start(true, end.0)).unwrap();
    check(&log.reader());
}

#[test]
fn no_index_is_opened_where_nothing_was_aborted() {
    let vfs = SimVfs::new(0);
    let config = config(300);
    let mut log = open(&vfs, config.clone());
    let mut transact = |number: i32, is_committed| {
        append(&mut log, &transactional(1, number, 1)).unwrap();
        append(&mut log, &marker(1, is_committed)).unwrap();
    };
    transact(0, false);
    for number in 1..100 {
        transact(number, true);
    }
    transact(100, false);
    transact(101, true);
    let check = |reader: &LogReader, opens_at_first: u64| {
        assert!(reader.segments().len() > 50);
        let find = |from, up_to| {
            let before = vfs.opens();
            let found = reader
                .aborted_transactions(Offset(from), Offset(up_to))
                .unwrap();
            let last = found.iter().map(|aborted| aborted.last_offset.0);
            (last.collect::<Vec<_>>(), vfs.opens() - before)
        };
        // Those that are there, at the first look after a start.
        let (found, opens) = find(0, 200);
        assert_eq!(found, [1]);
        assert!(opens <= opens_at_first, "{opens}");
        for from in 2..200 {
            assert_eq!(find(from, 200), (vec![], 0), "from {from}");
            assert!(reader.may_have_aborted(Offset(from)));
        }
        assert_eq!(find(202, 204), (vec![], 0));
        assert!(!reader.may_have_aborted(Offset(202)));
        assert_eq!(find(0, 200), (vec![1], 1));
        assert_eq!(find(1, 201), (vec![1, 201], 2));
    };
    check(&log.reader(), 1);
    let end = log.close().unwrap();
    let (log, _) = open_with(&vfs, config.clone(), start(true, end.0)).unwrap();
    check(&log.reader(), 3);
    drop(log);
    let (log, _) = open_with(&vfs, config, start(false, 0)).unwrap();
    check(&log.reader(), 3);
}

/// Its records would be taken for committed.
#[test]
fn an_aborted_transaction_in_a_deleted_segment_is_not_passed_over() {
    let vfs = SimVfs::new(0);
    let mut log = open(&vfs, config(200));
    for number in 0..4 {
        append(&mut log, &transactional(1, number, 1)).unwrap();
        append(&mut log, &marker(1, false)).unwrap();
        log.roll_if_filled().unwrap();
    }
    let reader = log.reader();
    let find = |from| {
        let found = reader.aborted_transactions(Offset(from), Offset(8))?;
        Ok::<_, LogError>(found.iter().map(|a| a.last_offset.0).collect::<Vec<_>>())
    };
    assert_eq!(find(2).unwrap(), [3, 5, 7]);
    let base = reader.segments()[2].base_offset;
    log.maintenance()
        .retire_segments_below(base, brooklet_protocol::Monotonic::default())
        .unwrap();
    let refused = find(2);
    assert!(
        matches!(refused, Err(LogError::OffsetOutOfRange { .. })),
        "{refused:?}"
    );
    assert_eq!(find(base.0).unwrap().last(), Some(&7));
}

/// The transaction was open where the snapshot is, and ended in a segment that is deleted.
#[test]
fn a_snapshot_from_before_the_log_begins_is_not_believed() {
    let vfs = SimVfs::new(0);
    let mut log = open(&vfs, config(200));
    append(&mut log, &transactional(1, 0, 1)).unwrap();
    log.roll_if_filled().unwrap();
    append(&mut log, &marker(1, true)).unwrap();
    log.roll_if_filled().unwrap();
    append(&mut log, &batch(2, 0, 1)).unwrap();
    log.sync_handle().sync().unwrap();
    let now = brooklet_protocol::Monotonic::default();
    let stale = dir().join("00000000000000000001.snapshot");
    let snapshot = vfs.read(&stale).unwrap();
    log.maintenance()
        .retire_segments_below(Offset(2), now)
        .unwrap();
    drop(log);
    for name in snapshots_in(&vfs) {
        vfs.remove_file(&dir().join(name)).unwrap();
    }
    let file = vfs.open(&stale, OpenMode::CreateNew).unwrap();
    file.append(&[std::io::IoSlice::new(&snapshot)]).unwrap();

    let (log, _) = open_with(&vfs, config(200), start(false, 3)).unwrap();
    assert_eq!(log.reader().last_stable_offset(Offset(3)), Offset(3));
    assert!(!vfs.exists(&stale), "it is removed");
}

/// Where nothing is left to be replayed, too.
#[test]
fn an_index_says_nothing_of_transactions_that_were_cut_off() {
    let vfs = SimVfs::new(0);
    let mut log = open(&vfs, config(1 << 20));
    append(&mut log, &transactional(1, 0, 1)).unwrap();
    append(&mut log, &marker(1, false)).unwrap();
    drop(log);
    let whole = dir().join("00000000000000000000.log");
    vfs.open(&whole, OpenMode::Write)
        .unwrap()
        .set_len(0)
        .unwrap();
    let (mut log, _) = open_with(&vfs, config(1 << 20), start(false, 0)).unwrap();
    append(&mut log, &transactional(1, 0, 1)).unwrap();
    append(&mut log, &marker(1, true)).unwrap();
    let reader = log.reader();
    let aborted = reader.aborted_transactions(Offset(0), reader.log_end_offset());
    assert_eq!(aborted.unwrap(), []);
}

/// A snapshot stands behind it, so that nothing of it would be replayed.
#[test]
fn an_index_that_makes_no_sense_is_made_anew_from_the_log() {
    let entries = 3;
    let written = || {
        let vfs = SimVfs::new(0);
        let mut log = open(&vfs, config(1 << 20));
        for sequence in 0..entries {
            append(&mut log, &transactional(1, sequence, 1)).unwrap();
            append(&mut log, &marker(1, false)).unwrap();
        }
        log.close().unwrap();
        vfs
    };
    let path = segment(0).with_extension("txnindex");
    let known = txn_index::read(&written(), &path).unwrap();
    assert_eq!(known.len(), 3);
    let whole = written().read(&path).unwrap();
    let torn = whole[..whole.len() - 1].to_vec();
    let mut other_version = whole.clone();
    other_version[35] ^= 1;
    let mut negative = whole.clone();
    negative[34 + 10] ^= 0x80;
    let mut disordered = whole.clone();
    disordered[34 + 2 + 16 + 6] ^= 1;
    for damaged in [torn, other_version, negative, disordered] {
        let vfs = written();
        vfs.remove_file(&path).unwrap();
        let file = vfs.open(&path, OpenMode::CreateNew).unwrap();
        file.append(&[std::io::IoSlice::new(&damaged)]).unwrap();
        let (log, _) = open_with(&vfs, config(1 << 20), start(true, 6)).unwrap();
        let aborted = log.reader().aborted_transactions(Offset(0), Offset(6));
        assert_eq!(aborted.unwrap(), known);
        assert_eq!(txn_index::read(&vfs, &path).unwrap(), known);
    }
}

#[test]
fn an_aborted_transaction_that_cannot_be_written_down_yet_is_left_out_all_the_same() {
    for is_full in [true, false] {
        let vfs = SimVfs::new(0);
        let mut log = open(&vfs, config(1 << 20));
        append(&mut log, &transactional(1, 0, 2)).unwrap();
        log.sync_handle().sync().unwrap();
        let point = log.sync_handle().settle().unwrap();
        let marker = marker(1, false);
        if is_full {
            let room = vfs.used_bytes() + marker.bytes().len() as u64;
            vfs.set_capacity(Some(room + 10));
        } else {
            vfs.set_open_files_max(Some(vfs.open_files()));
        }
        append(&mut log, &marker).unwrap();
        let (reader, syncs) = (log.reader(), log.sync_handle());
        assert!(!reader.is_offline());
        let aborted = || reader.aborted_transactions(Offset(0), Offset(3)).unwrap();
        vfs.set_open_files_max(None);
        let known = aborted();
        assert_eq!(known.len(), 1);
        assert_eq!(known[0].first_offset, Offset(0));
        if is_full {
            syncs.sync().unwrap();
            assert!(syncs.settle().is_err(), "no recovery point vouches for it");
            assert_eq!(reader.settled_point(), point);
        }
        // A crash rebuilds it.
        vfs.set_capacity(None);
        let crashed = vfs.crash();
        let (log, _) = open_with(&crashed, config(1 << 20), start(false, point.0)).unwrap();
        let end = log.reader().log_end_offset();
        let found = log
            .reader()
            .aborted_transactions(Offset(0), Offset(3))
            .unwrap();
        assert_eq!(found.len(), usize::from(end == Offset(3)));
        // And once there is room it is written.
        syncs.sync().unwrap();
        assert_eq!(syncs.settle().unwrap(), Offset(3));
        assert_eq!(aborted(), known);
        let path = segment(0).with_extension("txnindex");
        assert_eq!(txn_index::read(&vfs, &path).unwrap(), known);
    }
}
