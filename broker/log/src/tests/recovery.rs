//! Every row of the decision table, and every byte at which a tail can be torn.

use super::*;
use crate::recovery::Row;
use crate::vfs::OpenMode;

/// Batches of 100 bytes and one record, two a segment.
fn filled(vfs: &SimVfs, batches: i64) -> Log {
    let mut log = open(vfs, config(200));
    for _ in 0..batches {
        append(&mut log, &batch_of_bytes(100)).unwrap();
    }
    log
}

/// Reopens and expects the log to hold the first `batches`.
fn reopen(vfs: &SimVfs, start: RecoveryStart, batches: usize) -> RecoveryReport {
    let (mut log, report) = open_with(vfs, config(200), start).unwrap();
    let found = read_from(&log.reader(), Offset(0)).unwrap();
    assert_eq!(found.len(), batches);
    for (number, batch) in found.iter().enumerate() {
        let expected = stored(&batch_of_bytes(100), Offset(number as i64));
        assert_eq!(*batch.bytes(), expected);
    }
    let next = append(&mut log, &batch_of_bytes(100)).unwrap();
    assert_eq!(
        next.base_offset,
        Offset(batches as i64),
        "the log goes on there"
    );
    report
}

fn refused(vfs: &SimVfs, start: RecoveryStart) -> String {
    let files = || -> Vec<_> {
        (names(vfs).into_iter())
            .map(|name| (vfs.read(&dir().join(&name)).unwrap(), name))
            .collect()
    };
    let before = files();
    let error = open_with(vfs, config(200), start).unwrap_err();
    assert_eq!(before, files(), "damage is left as it is");
    assert!(matches!(error, LogError::Corrupt { .. }), "{error}");
    error.to_string()
}

/// As after a power cut that has left only what the checkpoint says.
fn forget_syncs(vfs: &SimVfs) {
    vfs.remove_file(&dir().join(sync_points::SYNCED_FILE))
        .unwrap();
}

#[test]
fn new_a_directory_without_segments() {
    let vfs = SimVfs::new(0);
    let (log, report) = open_with(&vfs, config(200), start(false, 0)).unwrap();
    assert_eq!(report.rows, [Row::New]);
    assert_eq!(log.reader().log_end_offset(), Offset(0));
    assert_eq!(names(&vfs), ["00000000000000000000.log"]);
    assert!(read_from(&log.reader(), Offset(0)).unwrap().is_empty());
    log.close().unwrap();
    reopen(&vfs, start(true, 0), 0);
}

#[test]
fn clean_nothing_is_scanned() {
    let vfs = SimVfs::new(0);
    let recovery_point = filled(&vfs, 5).close().unwrap();
    assert_eq!(recovery_point, Offset(5));
    let report = reopen(&vfs, start(true, 5), 5);
    assert_eq!(report.rows, [Row::Clean]);
    assert_eq!((report.batches_scanned, report.indexes_rebuilt), (0, 0));
}

#[test]
fn clean_a_last_segment_without_usable_indexes_gets_new_ones() {
    let vfs = SimVfs::new(0);
    filled(&vfs, 6).close().unwrap();
    let index = segment(4).with_extension("index");
    let good = vfs.read(&index).unwrap();
    vfs.remove_file(&index).unwrap();
    let (log, report) = open_with(&vfs, config(200), start(true, 6)).unwrap();
    assert_eq!(report.rows, [Row::IndexIgnored, Row::Clean]);
    assert_eq!((report.batches_scanned, report.indexes_rebuilt), (0, 1));
    log.close().unwrap();
    assert_eq!(vfs.read(&index).unwrap(), good);
}

#[test]
fn not_clean_though_marked_so() {
    let vfs = SimVfs::new(0);
    filled(&vfs, 5).close().unwrap();
    overwrite(&vfs, &segment(4), &content(&vfs, 4)[..70]);
    refused(&vfs, start(true, 5));
    refused(&vfs, start(true, 4));
    forget_syncs(&vfs);
    let report = reopen(&vfs, start(true, 4), 4);
    assert_eq!(report.rows[..2], [Row::NotClean, Row::TornTail]);
    assert_eq!(report.bytes_cut, 70);
}

#[test]
fn whole_only_the_recovery_points_segment_and_later_ones_are_scanned() {
    for (recovery_point, scanned) in [(0, 5), (1, 5), (2, 3), (3, 3), (4, 1), (5, 1)] {
        let vfs = SimVfs::new(0);
        drop(filled(&vfs, 5));
        for base in [0, 2] {
            vfs.remove_file(&segment(base).with_extension("timeindex"))
                .unwrap();
        }
        let report = reopen(&vfs, start(false, recovery_point), 5);
        assert!(report.rows.contains(&Row::Whole), "{:?}", report.rows);
        assert_eq!((report.batches_scanned, report.bytes_cut), (scanned, 0));
        assert_eq!(report.side_file, None);
    }
}

#[test]
fn whole_only_what_lies_behind_the_recovery_point_is_scanned() {
    let vfs = SimVfs::new(0);
    let large = LogConfig {
        index_interval_bytes: 250,
        ..config(1 << 20)
    };
    let mut log = open(&vfs, large.clone());
    for number in 0..100 {
        append(&mut log, &batch_of(&[number * 1000, 7], 22)).unwrap();
    }
    log.close().unwrap();
    let indexes =
        || ["index", "timeindex"].map(|x| vfs.read(&segment(0).with_extension(x)).unwrap());
    let whole = indexes();
    for recovery_point in [0, 1, 7, 100, 121, 198, 199, 200] {
        let start = start(false, recovery_point);
        let (log, report) = open_with(&vfs, large.clone(), start).unwrap();
        let behind = 100 - recovery_point as u64 / 2;
        let scanned = report.batches_scanned;
        assert!(
            (behind..behind + 6).contains(&scanned),
            "{recovery_point}: {scanned}"
        );
        assert_eq!(read_from(&log.reader(), Offset(0)).unwrap().len(), 100);
        assert_eq!(log.close().unwrap(), Offset(200));
        assert_eq!(indexes(), whole, "the indexes come out as they were");
    }
    // What the index says of the trusted part is checked, too.
    let mut wrong = whole[0].clone();
    wrong
        .iter_mut()
        .skip(7)
        .step_by(8)
        .for_each(|byte| *byte ^= 1);
    overwrite(&vfs, &segment(0).with_extension("index"), &wrong);
    let (log, report) = open_with(&vfs, large, start(false, 97)).unwrap();
    assert_eq!(report.batches_scanned, 100);
    log.close().unwrap();
    assert_eq!(indexes(), whole);
}

#[test]
fn all_deleted_a_log_that_ends_below_its_start_begins_anew() {
    for clean in [true, false] {
        let vfs = SimVfs::new(0);
        filled(&vfs, 5).close().unwrap();
        let start = RecoveryStart {
            log_start_offset: Offset(9),
            ..start(clean, 3)
        };
        let (mut log, report) = open_with(&vfs, config(200), start).unwrap();
        assert!(report.rows.contains(&Row::AllDeleted), "{:?}", report.rows);
        assert_eq!(report.bytes_cut, 500, "kept aside, as everything");
        let reader = log.reader();
        assert_eq!(
            (reader.log_start_offset(), reader.log_end_offset()),
            (Offset(9), Offset(9))
        );
        assert_eq!(
            append(&mut log, &batch_of_bytes(100)).unwrap().base_offset,
            Offset(9)
        );
        assert!(!vfs.exists(&segment(4)));
    }
}

#[test]
fn torn_tail_a_bad_batch_at_the_recovery_point_is_kept_aside_and_cut() {
    let vfs = SimVfs::new(0);
    drop(filled(&vfs, 5));
    vfs.flip_bit(&segment(2), 190 * 8).unwrap();
    let tail = content(&vfs, 2)[100..].to_vec();
    let unreachable = content(&vfs, 4);
    let report = reopen(&vfs, start(false, 3), 3);
    assert_eq!(report.rows[..2], [Row::TornTail, Row::Unreachable]);
    assert_eq!(report.bytes_cut, 200);
    let side_file = report.side_file.unwrap();
    assert_eq!(side_file, segment(2).with_extension("log.cut-1"));
    assert_eq!(vfs.read(&side_file).unwrap(), tail);
    let aside = segment(4).with_extension("log.cut-1");
    assert_eq!(
        vfs.read(&aside).unwrap(),
        unreachable,
        "what is behind is kept too"
    );
    assert!(!vfs.exists(&segment(4)));
}

#[test]
fn torn_tail_is_left_while_there_is_no_room_for_its_copy() {
    let vfs = SimVfs::new(0);
    drop(filled(&vfs, 3));
    let log = dir().join("00000000000000000002.log");
    let torn = vfs.open(&log, OpenMode::Write).unwrap();
    torn.append(&[std::io::IoSlice::new(b"half a batch")])
        .unwrap();
    let before = vfs.read(&log).unwrap();
    vfs.set_capacity(Some(vfs.used_bytes()));
    let refused = open_with(&vfs, config(200), start(false, 0)).unwrap_err();
    assert!(matches!(refused, LogError::Io { .. }), "{refused}");
    assert_eq!(vfs.read(&log).unwrap(), before, "nothing is lost");
    vfs.set_capacity(None);
    assert_eq!(reopen(&vfs, start(false, 0), 3).bytes_cut, 12);
}

#[test]
fn torn_tail_side_files_are_never_overwritten() {
    let vfs = SimVfs::new(0);
    drop(filled(&vfs, 1));
    for number in 1..4 {
        let mut torn = content(&vfs, 0);
        torn.truncate(100);
        torn.push(number);
        overwrite(&vfs, &segment(0), &torn);
        let (_, report) = open_with(&vfs, config(200), start(false, 1)).unwrap();
        let side_file = report.side_file.unwrap();
        assert_eq!(
            side_file,
            segment(0).with_extension(format!("log.cut-{number}"))
        );
        assert_eq!(vfs.read(&side_file).unwrap(), [number]);
    }
}

#[test]
fn damage_a_bad_batch_below_the_recovery_point_is_refused() {
    let vfs = SimVfs::new(0);
    drop(filled(&vfs, 5));
    vfs.flip_bit(&segment(2), 90 * 8).unwrap();
    let error = refused(&vfs, start(false, 3));
    let expected = "segment t-0/00000000000000000002.log: batch at byte 0: batch has crc";
    assert!(error.starts_with(expected), "{error}");
    // In a segment that is not scanned it is found by whoever reads it.
    let (log, _) = open_with(&vfs, config(200), start(false, 4)).unwrap();
    let read = |from| read_bytes(&log.reader(), Offset(from), Offset(5), 100, true);
    assert!(matches!(read(2), Err(LogError::Corrupt { .. })));
    assert!([0, 1, 3, 4].into_iter().all(|from| read(from).is_ok()));
}

#[test]
fn a_hole_between_segments_is_judged_by_the_recovery_point() {
    let vfs = SimVfs::new(0);
    drop(filled(&vfs, 7));
    vfs.remove_file(&segment(4)).unwrap();
    let error = refused(&vfs, start(false, 5));
    assert!(error.contains("expected offset 4, found 6"), "{error}");
    let report = reopen(&vfs, start(false, 4), 4);
    assert_eq!(report.rows[..1], [Row::Unreachable]);
    assert_eq!(
        report.bytes_cut, 100,
        "what is behind the hole is kept aside"
    );
    assert!(vfs.exists(&segment(6).with_extension("log.cut-1")));
}

#[test]
fn damage_a_log_that_ends_below_the_recovery_point_is_refused() {
    let vfs = SimVfs::new(0);
    drop(filled(&vfs, 5));
    let error = refused(&vfs, start(false, 6));
    assert!(
        error.ends_with("the log ends at offset 5, expected at least 6"),
        "{error}"
    );
    let error = refused(&vfs, start(true, 6));
    assert!(
        error.ends_with("the log ends at offset 5, expected at least 6"),
        "{error}"
    );
    overwrite(&vfs, &segment(4), b"");
    refused(&vfs, start(false, 5));
    for base in [0, 2, 4] {
        vfs.remove_file(&segment(base)).unwrap();
    }
    for index in names(&vfs) {
        vfs.remove_file(&dir().join(index)).unwrap();
    }
    let error = refused(&vfs, start(false, 5));
    assert!(
        error.ends_with("the log ends at offset 0, expected at least 5"),
        "{error}"
    );
}

#[test]
fn damage_to_what_was_synced_is_known_before_the_first_checkpoint() {
    type Harm = fn(&SimVfs);
    let harms: [(&str, Harm); 4] = [
        ("a bad batch", |vfs| {
            vfs.flip_bit(&segment(2), 90 * 8).unwrap();
        }),
        ("a cut segment", |vfs| {
            overwrite(vfs, &segment(2), &content(vfs, 2)[..150]);
        }),
        ("an empty last segment", |vfs| {
            overwrite(vfs, &segment(2), b"");
        }),
        ("a missing last segment", |vfs| {
            vfs.remove_file(&segment(2)).unwrap();
        }),
    ];
    for (name, harm) in harms {
        // What lies in the middle of a log that was closed is found by those who read it.
        let is_seen_when_clean = name != "a bad batch";
        for clean in [false, true]
            .into_iter()
            .take(1 + usize::from(is_seen_when_clean))
        {
            let vfs = SimVfs::new(0);
            let log = filled(&vfs, 4);
            log.sync_handle().sync().unwrap();
            drop(log);
            harm(&vfs);
            let error = refused(&vfs, start(clean, 0));
            let expected = if vfs.exists(&segment(2)) { 2 } else { 0 };
            assert!(
                error.contains(&format!("{expected:020}.log")),
                "{name}: {error}"
            );
            // Without the log's own word nobody knows better.
            forget_syncs(&vfs);
            open_with(&vfs, config(200), start(false, 0)).unwrap();
        }
    }
    let vfs = SimVfs::new(0);
    filled(&vfs, 4).close().unwrap();
    for name in names(&vfs)
        .iter()
        .filter(|name| *name != sync_points::SYNCED_FILE)
    {
        vfs.remove_file(&dir().join(name)).unwrap();
    }
    let error = refused(&vfs, start(false, 0));
    assert!(
        error.ends_with("ends at offset 0, expected at least 4"),
        "{error}"
    );
}

#[test]
fn what_comes_behind_the_last_sync_is_a_torn_tail() {
    let vfs = SimVfs::new(0);
    let mut log = filled(&vfs, 3);
    log.sync_handle().sync().unwrap();
    append(&mut log, &batch_of_bytes(100)).unwrap();
    drop(log);
    vfs.flip_bit(&segment(2), 190 * 8).unwrap();
    assert_eq!(reopen(&vfs, start(false, 0), 3).bytes_cut, 100);
}

#[test]
fn a_log_that_is_closed_says_nothing_more_of_itself() {
    let vfs = SimVfs::new(0);
    let log = filled(&vfs, 3);
    let syncs = log.sync_handle();
    log.close().unwrap();
    forget_syncs(&vfs);
    syncs.sync().unwrap();
    let file = dir().join(sync_points::SYNCED_FILE);
    assert!(
        !vfs.exists(&file),
        "another log may have its directory by now"
    );
}

#[test]
fn leftovers_are_removed_and_foreign_files_are_not() {
    let vfs = SimVfs::new(0);
    filled(&vfs, 3).close().unwrap();
    let mine = names(&vfs);
    let leftovers = [
        "00000000000000000000.log.deleted",
        "00000000000000000000.index.deleted",
        "00000000000000000000.log.cleaned",
        "00000000000000000000.timeindex.tmp",
        "00000000000000000009.index",
        "00000000000000000009.index.swap",
    ];
    let foreign = ["partition.metadata", "00000000000000000000.log.cut-7"];
    for name in leftovers.iter().chain(&foreign) {
        overwrite(&vfs, &dir().join(name), b"x");
    }
    reopen(&vfs, start(true, 3), 3);
    let mut expected: Vec<_> = mine.into_iter().chain(foreign.map(str::to_owned)).collect();
    expected.sort();
    assert_eq!(names(&vfs), expected);
}

/// A swap that had not begun takes nothing with it; one that had is needed.
#[test]
fn damage_a_swap_that_is_not_whole_never_takes_a_place() {
    let written = SimVfs::new(0);
    filled(&written, 3).close().unwrap();
    let (old, rest) = (content(&written, 0), content(&written, 2));
    let swap = segment(0).with_extension("log.swap");
    let retired = segment(0).with_extension("log.deleted");
    for length in 0..=old.len() {
        for flipped in [false, true] {
            let mut new = old[..length].to_vec();
            if flipped && let Some(last) = new.last_mut() {
                *last ^= 1;
            }
            let is_whole = new == old;
            let has_begun = |old_name: &Path| {
                let vfs = SimVfs::new(0);
                vfs.create_dir_all(dir()).unwrap();
                overwrite(&vfs, old_name, &old);
                overwrite(&vfs, &segment(2), &rest);
                overwrite(&vfs, &swap, &new);
                vfs
            };
            for clean in [true, false] {
                let vfs = has_begun(&segment(0));
                reopen(&vfs, start(clean, 3), 3);
                assert_eq!(content(&vfs, 0), old, "{length} {flipped}");
                assert!(!vfs.exists(&swap));
                let vfs = has_begun(&retired);
                if is_whole {
                    reopen(&vfs, start(clean, 3), 3);
                } else {
                    refused(&vfs, start(clean, 3));
                }
            }
        }
    }
}

#[test]
fn a_tail_torn_at_any_byte_recovers_to_the_batches_before_it() {
    let vfs = SimVfs::new(0);
    let mut log = open(&vfs, config(1 << 20));
    for _ in 0..4 {
        append(&mut log, &batch_of_bytes(100)).unwrap();
    }
    let whole = content(&vfs, 0);
    for length in 0..=whole.len() {
        for clean in [false, true] {
            let vfs = SimVfs::new(0);
            vfs.create_dir_all(dir()).unwrap();
            overwrite(&vfs, &segment(0), &whole[..length]);
            let report = reopen(&vfs, start(clean, 0), length / 100);
            assert_eq!(report.bytes_cut, length as u64 % 100);
        }
    }
}

#[test]
fn a_tail_of_zeros_is_torn() {
    let vfs = SimVfs::new(0);
    drop(filled(&vfs, 1));
    let mut content = content(&vfs, 0);
    content.resize(4096, 0);
    overwrite(&vfs, &segment(0), &content);
    assert_eq!(reopen(&vfs, start(false, 1), 1).bytes_cut, 3996);
}

#[test]
fn recovery_itself_can_be_interrupted_at_any_operation() {
    for seed in 0..40 {
        for operations in 0.. {
            let vfs = SimVfs::new(seed);
            let mut log = open(&vfs, config(200));
            for _ in 0..3 {
                append(&mut log, &batch_of_bytes(100)).unwrap();
            }
            log.sync_handle().sync().unwrap();
            for _ in 0..4 {
                append(&mut log, &batch_of_bytes(100)).unwrap();
            }
            let crashed = vfs.crash();
            crashed.cut_power_after(operations);
            let done = open_with(&crashed, config(200), start(false, 3)).is_ok();
            let crashed = crashed.crash();
            let (log, _) = open_with(&crashed, config(200), start(false, 3)).unwrap();
            let found = read_from(&log.reader(), Offset(0)).unwrap().len();
            assert!(
                (3..=7).contains(&found),
                "seed {seed}, operation {operations}: {found}"
            );
            if done {
                break;
            }
        }
    }
}

#[test]
fn what_is_cut_is_kept_wherever_recovery_is_interrupted() {
    for (seed, operations) in (0..40).flat_map(|seed| (0..8).map(move |count| (seed, count))) {
        let vfs = SimVfs::new(seed);
        let mut log = open(&vfs, config(200));
        append(&mut log, &batch_of_bytes(100)).unwrap();
        log.close().unwrap();
        let mut torn = content(&vfs, 0);
        torn.extend([7; 50]);
        overwrite(&vfs, &segment(0), &torn);
        vfs.cut_power_after(operations);
        let interrupted = open_with(&vfs, config(200), start(false, 1)).is_err();
        let crashed = vfs.crash();
        let kept = (crashed.read(&segment(0).with_extension("log.cut-1")))
            .is_ok_and(|side| side == [7; 50]);
        assert!(
            kept || content(&crashed, 0) == torn,
            "seed {seed}, operation {operations}"
        );
        assert!(interrupted || kept);
    }
}
