//! A sector that cannot be read: an error of what is in it, and of nothing else.

use super::*;
use crate::vfs::OpenMode;

/// Batches of 100 bytes and one record, five a segment, of a log that was closed and opened again.
fn reopened(vfs: &SimVfs, batches: i64) -> Log {
    let mut log = open(vfs, config(500));
    for _ in 0..batches {
        append(&mut log, &batch_of_bytes(100)).unwrap();
    }
    log.close().unwrap();
    open_with(vfs, config(500), start(true, batches)).unwrap().0
}

fn read(log: &Log, from: i64, bytes_max: usize) -> Result<Vec<i64>, LogError> {
    let bytes = read_bytes(
        &log.reader(),
        Offset(from),
        Offset(i64::MAX),
        bytes_max,
        true,
    )?;
    let batches = split(bytes).into_iter();
    Ok(batches.map(|batch| batch.header().base_offset.0).collect())
}

#[test]
fn what_is_beside_an_unreadable_sector_is_served() {
    // A header, a body, and a sector that has parts of two batches; sealed, and active.
    for (segment_base, bytes) in [0, 5]
        .into_iter()
        .flat_map(|base| [(base, 205..206), (base, 270..280), (base, 290..310)])
    {
        let vfs = SimVfs::new(0);
        let log = reopened(&vfs, 10);
        vfs.make_unreadable(&segment(segment_base), bytes.clone())
            .unwrap();
        let is_bad = |number: i64| {
            let batch = (number - segment_base) * 100;
            (batch..batch + 100).any(|byte| bytes.contains(&(byte as u64)))
        };
        // The second time some of it was verified before.
        for offset in (0..10).chain(0..10) {
            let found = read(&log, offset, 1 << 20);
            let end = (offset / 5 + 1) * 5;
            let good: Vec<i64> = (offset..end).take_while(|n| !is_bad(*n)).collect();
            match found {
                Ok(found) => assert_eq!(found, good, "{bytes:?} of {segment_base}: {offset}"),
                Err(error) => {
                    assert!(
                        is_bad(offset),
                        "{bytes:?} of {segment_base}: {offset}: {error}"
                    );
                    assert!(error.is_unreadable(), "{error}");
                    let error = error.to_string();
                    assert!(error.contains(".log: cannot read at byte"), "{error}");
                    assert!(error.contains("os error 5"), "{error}");
                }
            }
        }
    }
}

#[test]
fn an_index_that_cannot_be_read_is_made_anew() {
    for extension in ["index", "timeindex"] {
        for is_late in [false, true] {
            let vfs = SimVfs::new(0);
            let log = reopened(&vfs, 10);
            let index = segment(0).with_extension(extension);
            let good = vfs.read(&index).unwrap();
            if is_late {
                // It was found usable before.
                log.reader().offset_for_timestamp(Timestamp(5)).unwrap();
            }
            vfs.make_unreadable(&index, 0..8).unwrap();
            for offset in 0..5 {
                assert_eq!(read(&log, offset, 1).unwrap(), [offset]);
            }
            let found = log.reader().offset_for_timestamp(Timestamp(5)).unwrap();
            assert_eq!(found, Some((Offset(0), Timestamp(1000))));
            assert_eq!(
                vfs.read(&index).unwrap(),
                good,
                "{extension}, late {is_late}"
            );
        }
    }
}

#[test]
fn a_log_opens_beside_an_unreadable_index_of_its_last_segment() {
    for clean in [true, false] {
        for extension in ["index", "timeindex"] {
            let vfs = SimVfs::new(0);
            drop(reopened(&vfs, 8));
            let index = segment(5).with_extension(extension);
            vfs.make_unreadable(&index, 0..8).unwrap();
            let (log, report) = open_with(&vfs, config(500), start(clean, 8)).unwrap();
            assert_eq!(report.indexes_rebuilt, 1, "{extension}, clean {clean}");
            assert_eq!(read(&log, 6, 1000).unwrap(), [6, 7]);
        }
    }
}

#[test]
fn a_log_is_not_opened_where_what_has_to_be_scanned_cannot_be_read() {
    for recovery_point in [5, 6, 8] {
        let vfs = SimVfs::new(0);
        drop(reopened(&vfs, 8));
        vfs.make_unreadable(&segment(5), 150..160).unwrap();
        let before = names(&vfs);
        let opened = open_with(&vfs, config(500), start(false, recovery_point));
        if recovery_point == 8 {
            // Below the recovery point nothing is scanned; those who read it learn of it.
            let (log, _) = opened.unwrap();
            assert!(read(&log, 6, 1000).unwrap_err().is_unreadable());
            assert_eq!(read(&log, 7, 1000).unwrap(), [7]);
            continue;
        }
        let error = opened.unwrap_err();
        assert!(error.is_unreadable(), "{error}");
        assert_eq!(names(&vfs), before, "nothing is cut that cannot be copied");
    }
}

#[test]
fn compaction_leaves_a_log_that_it_cannot_read() {
    let vfs = SimVfs::new(0);
    let mut log = open(&vfs, compaction::compacting(500));
    for _ in 0..12 {
        append(&mut log, &batch_of_bytes(100)).unwrap();
    }
    log.sync_handle().sync().unwrap();
    vfs.make_unreadable(&segment(5), 150..160).unwrap();
    let before = names(&vfs);
    let error = compaction::compact(&log, 0).unwrap_err();
    assert!(error.is_unreadable(), "{error}");
    assert_eq!(names(&vfs), before);
    assert_eq!(read(&log, 0, 1000).unwrap(), [0, 1, 2, 3, 4]);
    assert!(read(&log, 6, 1000).unwrap_err().is_unreadable());
    append(&mut log, &batch_of_bytes(100)).unwrap();
}

#[test]
fn a_segment_that_is_cut_under_a_reader_is_an_error_of_what_is_gone() {
    let vfs = SimVfs::new(0);
    let log = reopened(&vfs, 10);
    for from in 0..5 {
        assert_eq!(read(&log, from, 1).unwrap(), [from]);
    }
    for cut_to in [250, 200, 0] {
        let file = vfs.open(&segment(0), OpenMode::Write).unwrap();
        file.set_len(cut_to).unwrap();
        for from in 0..5 {
            let good: Vec<i64> = (from..cut_to as i64 / 100).collect();
            match read(&log, from, 1000) {
                Ok(found) => assert_eq!(found, good, "cut to {cut_to}"),
                Err(error) => {
                    assert!(good.is_empty() && error.is_corruption(), "{from}: {error}");
                }
            }
        }
        assert_eq!(read(&log, 5, 1000).unwrap(), [5, 6, 7, 8, 9]);
    }
}

#[test]
fn files_that_are_kept_open_are_few_and_go_with_their_segments() {
    let vfs = SimVfs::new(0);
    let log = reopened(&vfs, 1000);
    for from in (0..1000).step_by(5) {
        read(&log, from, 1000).unwrap();
    }
    let kept = vfs.open_files();
    assert!((1..=READ_FILES_MAX + 2).contains(&kept), "{kept}");
    log.maintenance()
        .retire_segments_below(Offset(1000), maintenance::NOW)
        .unwrap();
    drop(log);
    // The files that are kept are the process's: another test may have pushed one of ours out and be
    // about to close it.
    let mut patience = 0..1_000_000;
    while vfs.open_files() > 0 && patience.next().is_some() {
        std::thread::yield_now();
    }
    assert_eq!(vfs.open_files(), 0);
}

#[test]
fn a_look_at_the_files_names_what_cannot_be_read_and_goes_on() {
    let vfs = SimVfs::new(0);
    drop(reopened(&vfs, 10));
    vfs.make_unreadable(&segment(0), 150..160).unwrap();
    let summary = inspect::verify_log(&vfs, dir(), start(true, 10)).unwrap();
    let found: Vec<_> = (summary.findings.iter())
        .filter(|finding| finding.severity == inspect::Severity::Corrupt)
        .collect();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(
        (&found[0].path, found[0].position),
        (&segment(0), Some(100))
    );
    assert!(found[0].words.starts_with("cannot be read: "), "{found:?}");
    assert_eq!(
        summary.batches,
        1 + 5,
        "the next segment is looked at all the same"
    );
}
