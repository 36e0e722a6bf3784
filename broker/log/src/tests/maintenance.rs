//! Taking away: retired segments, a log start that moves, offsets with gaps.

use std::time::Duration;

use brooklet_protocol::Monotonic;

use super::*;
use crate::TakenEarly;

pub(super) const NOW: Monotonic = Monotonic(Duration::from_secs(100));

/// Batches of 100 bytes and one record, two a segment; record N has time 10 N.
fn filled(vfs: &SimVfs, batches: i64) -> Log {
    let mut log = open(vfs, config(200));
    for number in 0..batches {
        let mut builder = BatchBuilder::new(Compression::None);
        builder.append(Timestamp(number * 10), None, Some(&[7; 32]), &[]);
        append(&mut log, &builder.build()).unwrap();
    }
    log
}

fn offsets(reader: &LogReader, from: i64) -> Vec<i64> {
    let batches = read_from(reader, Offset(from)).unwrap();
    batches.iter().map(|b| b.header().base_offset.0).collect()
}

fn is_out_of_range<T>(read: &Result<T, LogError>) -> bool {
    matches!(read, Err(LogError::OffsetOutOfRange { .. }))
}

#[test]
fn segments_below_go_and_their_files_a_little_later() {
    let vfs = SimVfs::new(0);
    let log = filled(&vfs, 7);
    let (reader, maintenance) = (log.reader(), log.maintenance());
    let held = read_bytes(&reader, Offset(0), Offset(7), 1000, true).unwrap();
    let copy = held.to_vec();

    let taken = maintenance.retire_segments_below(Offset(5), NOW).unwrap();
    assert_eq!((taken.segments, taken.bytes), (2, 400));
    assert_eq!(reader.log_start_offset(), Offset(4), "whole segments only");
    assert_eq!(offsets(&reader, 4), [4, 5, 6]);
    assert!(is_out_of_range(&read_from(&reader, Offset(3))));
    assert_eq!(held, copy, "who holds the bytes keeps them");

    let deleted = || names(&vfs).into_iter().filter(|n| n.ends_with(".deleted"));
    assert_eq!(
        deleted().count(),
        7,
        "two segments, their indexes and a snapshot"
    );
    let delay = Duration::from_secs(60);
    let early = Monotonic(NOW.0 + Duration::from_millis(59_999));
    assert_eq!(maintenance.remove_retired(early).unwrap(), 0);
    assert_eq!(deleted().count(), 7);
    assert_eq!(
        maintenance
            .remove_retired(Monotonic(NOW.0 + delay))
            .unwrap(),
        2
    );
    assert_eq!(deleted().count(), 0);
    assert_eq!(maintenance.remove_retired(Monotonic(NOW.0 * 9)).unwrap(), 0);
}

#[test]
fn the_active_segment_goes_only_once_it_is_sealed() {
    let vfs = SimVfs::new(0);
    let mut log = filled(&vfs, 3);
    let maintenance = log.maintenance();
    maintenance.retire_segments_below(Offset(3), NOW).unwrap();
    assert_eq!(offsets(&log.reader(), 2), [2]);
    log.roll_if_filled().unwrap();
    log.roll_if_filled().unwrap();
    maintenance.retire_segments_below(Offset(3), NOW).unwrap();
    assert_eq!(log.reader().log_start_offset(), Offset(3));
    assert_eq!(log.reader().size_bytes(), 0);
    assert_eq!(
        append(&mut log, &batch_of(&[5], 9)).unwrap().base_offset,
        Offset(3)
    );
    assert_eq!(offsets(&log.reader(), 3), [3]);
}

#[test]
fn records_below_the_log_start_are_not_served_though_their_segment_is_there() {
    let vfs = SimVfs::new(0);
    let log = filled(&vfs, 5);
    let (reader, maintenance) = (log.reader(), log.maintenance());
    assert_eq!(maintenance.advance_log_start(Offset(3)), Offset(3));
    assert_eq!(
        maintenance.advance_log_start(Offset(1)),
        Offset(3),
        "never back"
    );
    assert!(is_out_of_range(&read_from(&reader, Offset(2))));
    assert_eq!(offsets(&reader, 3), [3, 4]);
    let found = reader.offset_for_timestamp(Timestamp(5)).unwrap();
    assert_eq!(found, Some((Offset(3), Timestamp(30))));
    assert_eq!(
        maintenance.advance_log_start(Offset(99)),
        Offset(5),
        "never above the end"
    );
    assert_eq!(reader.offset_for_timestamp(Timestamp(5)).unwrap(), None);

    log.close().unwrap();
    let start = RecoveryStart {
        log_start_offset: Offset(3),
        ..start(true, 5)
    };
    let (log, _) = open_with(&vfs, config(200), start).unwrap();
    assert_eq!(log.reader().log_start_offset(), Offset(3));
}

#[test]
fn whoever_holds_a_segment_that_goes_looks_again() {
    let vfs = SimVfs::new(0);
    let log = filled(&vfs, 5);
    let (reader, syncs) = (log.reader(), log.sync_handle());
    let segments = log.reader().segments();
    // What is synced is not held open, but found by its name.
    syncs.sync().unwrap();
    // As if the look at the list and the opening of the file had the retirement between them.
    vfs.rename(&segments[0].path, &files::deleted(&segments[0].path))
        .unwrap();
    let lost = read_from(&reader, Offset(0));
    assert!(
        lost.unwrap_err().is_missing_file(),
        "nobody said that it goes"
    );
    vfs.rename(&files::deleted(&segments[0].path), &segments[0].path)
        .unwrap();
    log.maintenance()
        .retire_segments_below(Offset(2), NOW)
        .unwrap();
    assert!(is_out_of_range(&read_from(&reader, Offset(0))));
    let unsynced = filled(&SimVfs::new(0), 5);
    unsynced
        .maintenance()
        .retire_segments_below(Offset(2), NOW)
        .unwrap();
    assert_eq!(
        unsynced.sync_handle().sync().unwrap(),
        Offset(5),
        "and a sync does not miss it"
    );
}

#[test]
fn a_crash_anywhere_leaves_one_piece_with_all_that_was_to_stay() {
    for operations in 0.. {
        let vfs = SimVfs::new(operations);
        vfs.create_dir_all(dir()).unwrap();
        vfs.sync_dir(Path::new("")).unwrap();
        let log = filled(&vfs, 9);
        log.sync_handle().sync().unwrap();
        vfs.cut_power_after(operations);
        let maintenance = log.maintenance();
        let taken = maintenance.retire_segments_below(Offset(6), NOW);
        let removed = maintenance.remove_retired(Monotonic(NOW.0 * 9));
        let vfs = vfs.crash();
        let (log, _) = open_with(&vfs, config(200), start(false, 9)).unwrap();
        let first = log.reader().log_start_offset().0;
        assert!(first <= 6 && first % 2 == 0, "{first}");
        assert_eq!(
            offsets(&log.reader(), first),
            (first..9).collect::<Vec<_>>()
        );
        assert!(names(&vfs).iter().all(|name| !name.ends_with(".deleted")));
        if taken.is_ok() && removed.is_ok() {
            assert!(operations > 10, "three files of three segments");
            break;
        }
    }
}

#[test]
fn a_file_that_cannot_be_renamed_keeps_its_segment_and_those_behind_it() {
    let vfs = SimVfs::new(0);
    let log = filled(&vfs, 7);
    // Its index cannot be a hindrance: only a missing `.log` is an error.
    vfs.remove_file(&segment(2)).unwrap();
    let maintenance = log.maintenance();
    let failed = maintenance.retire_segments_below(Offset(6), NOW);
    assert!(failed.unwrap_err().is_missing_file());
    let bases = log.reader().segments().into_iter().map(|s| s.base_offset.0);
    assert_eq!(bases.collect::<Vec<_>>(), [2, 4, 6]);
}

/// A log whose second and third segments were compacted: of 0..=11, two batches of one record a
/// segment, 1, 3, 5 and 11 are left.
fn with_gaps(vfs: &SimVfs) {
    filled(vfs, 12).close().unwrap();
    let batch = |n: i64| content(vfs, n / 2 * 2)[(n % 2 * 100) as usize..][..100].to_vec();
    let kept = [(0, vec![1, 3]), (4, vec![5]), (10, vec![11])].map(|(base, kept)| {
        let content: Vec<u8> = kept.into_iter().flat_map(batch).collect();
        (base, content)
    });
    for base in [0, 2, 4, 6, 8, 10] {
        for file in files::of_segment(&segment(base)) {
            if vfs.exists(&file) {
                vfs.remove_file(&file).unwrap();
            }
        }
    }
    for (base, content) in kept {
        overwrite(vfs, &segment(base), &content);
    }
}

#[test]
fn offsets_only_ascend_below_what_was_compacted() {
    for clean in [true, false] {
        let vfs = SimVfs::new(0);
        with_gaps(&vfs);
        let compacted = RecoveryStart {
            cleaned_below: Offset(11),
            ..start(clean, if clean { 12 } else { 0 })
        };
        let (mut log, report) = open_with(&vfs, config(200), compacted).unwrap();
        assert_eq!(report.bytes_cut, 0);
        let reader = log.reader();
        for (from, expected) in [
            (0, &[1, 3, 5, 11][..]),
            (1, &[1, 3, 5, 11]),
            (2, &[3, 5, 11]),
            (4, &[5, 11]),
            (5, &[5, 11]),
            (6, &[11]),
            (12, &[]),
        ] {
            assert_eq!(offsets(&reader, from), expected, "from {from}");
        }
        // What does not fit is not skipped.
        assert!(
            read_bytes(&reader, Offset(0), Offset(12), 50, false)
                .unwrap()
                .is_empty()
        );
        let found = reader.offset_for_timestamp(Timestamp(41)).unwrap();
        assert_eq!(found, Some((Offset(5), Timestamp(50))));
        assert_eq!(
            append(&mut log, &batch_of(&[5], 9)).unwrap().base_offset,
            Offset(12)
        );
    }
}

#[test]
fn gaps_are_damage_above() {
    let vfs = SimVfs::new(0);
    with_gaps(&vfs);
    let refused = open_with(&vfs, config(200), start(false, 12)).map(|_| ());
    assert!(
        matches!(refused, Err(LogError::Corrupt { .. })),
        "{refused:?}"
    );
}

#[test]
fn old_records_that_have_only_just_come_are_told_once_when_they_go() {
    const DAY: i64 = 24 * 3600 * 1000;
    let now = Timestamp(40 * DAY);
    let filled_at = |time: Timestamp| {
        let vfs = SimVfs::new(0);
        vfs.set_time(time);
        filled(&vfs, 5)
    };
    let log = filled_at(Timestamp(now.0 - 5000));
    let maintenance = log.maintenance();
    assert_eq!(
        maintenance
            .taken_early(Offset(4), Timestamp(6 * DAY))
            .unwrap(),
        None,
        "their time has not come"
    );
    let early = maintenance.taken_early(Offset(4), now).unwrap().unwrap();
    let millis = |ms: i64| Duration::from_millis(ms as u64);
    // The youngest record of the first four has time 30.
    let expected = TakenEarly {
        records: 4,
        written_ago: millis(5000),
        age: millis(now.0 - 30),
        age_max: millis(7 * DAY),
    };
    assert_eq!(early, expected);
    assert_eq!(
        maintenance.taken_early(Offset(4), now).unwrap(),
        None,
        "once"
    );

    let old = filled_at(Timestamp(now.0 - 8 * DAY)).maintenance();
    assert_eq!(old.taken_early(Offset(4), now).unwrap(), None, "long there");
}
