//! The same log on a real disk, with readers beside the writer.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::vfs::OpenMode;
use crate::vfs::disk::DiskVfs;

#[test]
fn a_log_on_a_real_disk_is_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t-0");
    let open = |start| Log::open(Arc::new(DiskVfs), &path, config(300), start).unwrap();
    let (mut log, _) = open(RecoveryStart::default());
    for _ in 0..5 {
        append(&mut log, &batch_of_bytes(100)).unwrap();
    }
    assert_eq!(log.sync_handle().sync().unwrap(), Offset(5));
    append(&mut log, &batch_of_bytes(100)).unwrap();
    drop(log);
    let (log, report) = open(start(false, 5));
    assert_eq!((report.batches_scanned, report.bytes_cut), (3, 0));
    assert_eq!(read_from(&log.reader(), Offset(0)).unwrap().len(), 6);
    assert_eq!(log.close().unwrap(), Offset(6));
    let (log, report) = open(start(true, 6));
    assert_eq!((report.batches_scanned, report.indexes_rebuilt), (0, 0));
    assert_eq!(read_from(&log.reader(), Offset(0)).unwrap().len(), 6);
}

#[test]
fn a_preallocated_log_holds_what_any_other_holds() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t-0");
    let config = LogConfig {
        preallocate: true,
        ..config(300)
    };
    let open = |start| Log::open(Arc::new(DiskVfs), &path, config.clone(), start).unwrap();
    let (mut log, _) = open(RecoveryStart::default());
    for _ in 0..5 {
        append(&mut log, &batch_of_bytes(100)).unwrap();
    }
    let sizes = log.reader().segments().into_iter().map(|segment| {
        let file = DiskVfs.open(&segment.path, OpenMode::Read).unwrap();
        (segment.size_bytes, file.len().unwrap())
    });
    assert_eq!(sizes.collect::<Vec<_>>(), [(300, 300), (200, 200)]);
    drop(log);
    let (log, report) = open(start(false, 0));
    assert_eq!((report.batches_scanned, report.bytes_cut), (5, 0));
    assert_eq!(read_from(&log.reader(), Offset(0)).unwrap().len(), 5);
}

#[test]
fn a_log_that_rests_is_read_and_written_on() {
    let vfs = SimVfs::new(0);
    let mut log = open(&vfs, config(300));
    append(&mut log, &batch_of_bytes(100)).unwrap();
    log.sync_handle().sync().unwrap();
    for count in 2..8 {
        log.rest();
        assert_eq!(
            read_from(&log.reader(), Offset(0)).unwrap().len(),
            count - 1
        );
        log.rest();
        append(&mut log, &batch_of_bytes(100)).unwrap();
        // Not synced: the file stays open.
        log.rest();
        assert_eq!(read_from(&log.reader(), Offset(0)).unwrap().len(), count);
        log.sync_handle().sync().unwrap();
    }
    log.rest();
    assert_eq!(log.close().unwrap(), Offset(7));
}

#[test]
fn readers_beside_the_writer_see_whole_batches_in_order() {
    const BATCHES: i64 = 400;
    let dir = tempfile::tempdir().unwrap();
    let (mut log, _) = Log::open(
        Arc::new(DiskVfs),
        &dir.path().join("t-0"),
        config(3000),
        RecoveryStart::default(),
    )
    .unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for bytes_max in [1, 500, 100_000] {
            let reader = log.reader();
            scope.spawn(move || {
                let mut next = Offset(0);
                while next < Offset(BATCHES * 2) {
                    let read = reader
                        .read(next, Offset(i64::MAX), bytes_max, true)
                        .unwrap();
                    for batch in split(read.bytes) {
                        batch.verify_crc().unwrap();
                        assert_eq!(batch.header().base_offset, next);
                        next = batch.header().next_offset();
                    }
                    assert_eq!(read.next_offset, next);
                    reader.offset_for_timestamp(Timestamp(5)).unwrap();
                    std::thread::yield_now();
                }
            });
        }
        let (reader, syncs, done) = (log.reader(), log.sync_handle(), &done);
        scope.spawn(move || {
            while !done.load(Ordering::SeqCst) {
                let synced = syncs.sync().unwrap();
                assert!(synced >= reader.log_start_offset());
                std::thread::yield_now();
            }
        });
        for number in 0..BATCHES {
            append(&mut log, &batch_of(&[number, number], number as usize % 50)).unwrap();
        }
        done.store(true, Ordering::SeqCst);
    });
    assert_eq!(log.close().unwrap(), Offset(BATCHES * 2));
}
