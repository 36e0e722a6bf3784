//! Stamps, rolls, indexes, and what a failed write leaves.

use std::io::ErrorKind;
use std::time::Duration;

use super::*;
use crate::vfs::is_passing;

#[test]
fn a_batch_is_stored_as_sent_but_for_offset_and_epoch() {
    let vfs = SimVfs::new(0);
    let mut log = open(&vfs, LogConfig::default());
    let (two, three) = (batch_of(&[1, 2], 10), batch_of(&[3, 4, 5], 10));
    let first = append(&mut log, &two).unwrap();
    let second = append(&mut log, &three).unwrap();
    assert_eq!(
        (first.base_offset, first.last_offset),
        (Offset(0), Offset(1))
    );
    assert_eq!(
        (second.base_offset, second.last_offset),
        (Offset(2), Offset(4))
    );
    assert_eq!(log.reader().log_end_offset(), Offset(5));
    let expected = [stored(&two, Offset(0)), stored(&three, Offset(2))].concat();
    assert_eq!(content(&vfs, 0), expected);
    for batch in read_from(&log.reader(), Offset(0)).unwrap() {
        batch.verify_crc().unwrap();
        assert_eq!(batch.header().leader_epoch, LeaderEpoch(3));
    }
}

#[test]
fn a_segment_rolls_before_it_grows_beyond_its_size() {
    let vfs = SimVfs::new(0);
    let mut log = open(&vfs, config(200));
    for _ in 0..5 {
        append(&mut log, &batch_of_bytes(100)).unwrap();
    }
    // Larger than a segment: it gets one of its own.
    append(&mut log, &batch_of_bytes(250)).unwrap();
    append(&mut log, &batch_of_bytes(100)).unwrap();
    let segments = log.reader().segments();
    let found: Vec<_> = (segments.iter())
        .map(|segment| (segment.base_offset.0, segment.size_bytes, segment.is_sealed))
        .collect();
    let expected = [
        (0, 200, true),
        (2, 200, true),
        (4, 100, true),
        (5, 250, true),
        (6, 100, false),
    ];
    assert_eq!(found, expected);
    assert_eq!(log.reader().size_bytes(), 850);
    assert_eq!(log.reader().log_start_offset(), Offset(0));
    assert_eq!(read_from(&log.reader(), Offset(0)).unwrap().len(), 7);
}

#[test]
fn a_segment_rolls_by_the_age_of_its_records() {
    let vfs = SimVfs::new(0);
    let config = LogConfig {
        segment_age_max: Duration::from_millis(100),
        ..LogConfig::default()
    };
    let mut log = open(&vfs, config);
    let count = |log: &Log| log.reader().segments().len();
    append(&mut log, &batch_of(&[1000], 1)).unwrap();
    append(&mut log, &batch_of(&[1100, 900], 1)).unwrap();
    assert_eq!(count(&log), 1, "as old as allowed");
    append(&mut log, &batch_of(&[1101], 1)).unwrap();
    assert_eq!(count(&log), 2);
    // Without timestamps the clock decides.
    append(&mut log, &batch_of(&[1301], 1)).unwrap();
    assert_eq!(count(&log), 3);
    let mut at = |now| {
        let none = batch_of(&[-1], 1);
        log.append(&none, LeaderEpoch(0), Timestamp(now)).unwrap();
        count(&log)
    };
    assert_eq!(at(i64::MIN), 3);
    assert_eq!(
        at(i64::MAX),
        3,
        "the segment began with a record that has a time"
    );
}

#[test]
fn records_without_time_age_by_the_clock() {
    let vfs = SimVfs::new(0);
    let config = LogConfig {
        segment_age_max: Duration::from_millis(100),
        ..LogConfig::default()
    };
    let mut log = open(&vfs, config);
    let mut at = |now| {
        let none = batch_of(&[-1], 1);
        log.append(&none, LeaderEpoch(0), Timestamp(now)).unwrap();
        log.reader().segments().len()
    };
    assert_eq!([at(5000), at(5100), at(5101), at(5201)], [1, 1, 2, 2]);
}

#[test]
fn segments_with_jitter_do_not_roll_together() {
    let roll_ages: Vec<i64> = (0..20)
        .map(|partition| {
            let vfs: Arc<dyn Vfs> = Arc::new(SimVfs::new(0));
            let config = LogConfig {
                segment_age_max: Duration::from_millis(100),
                segment_jitter_max: Duration::from_millis(40),
                ..LogConfig::default()
            };
            let dir = PathBuf::from(format!("t-{partition}"));
            let opened = Log::open(vfs, &dir, config, RecoveryStart::default());
            let mut log = opened.unwrap().0;
            let rolls = |age: &i64| {
                append(&mut log, &batch_of(&[*age], 1)).unwrap();
                log.reader().segments().len() > 1
            };
            (0..200).find(rolls).unwrap()
        })
        .collect();
    assert!(
        roll_ages.iter().all(|age| (61..=101).contains(age)),
        "{roll_ages:?}"
    );
    let different: std::collections::BTreeSet<_> = roll_ages.iter().collect();
    assert!(different.len() > 10, "{roll_ages:?}");
}

#[test]
fn a_segment_rolls_when_its_index_is_full() {
    let vfs = SimVfs::new(0);
    let config = LogConfig {
        segment_index_bytes: 36,
        ..config(1 << 20)
    };
    let mut log = open(&vfs, config);
    for _ in 0..11 {
        // The times stand still, so the time index does not grow.
        append(&mut log, &batch_of(&[0], 1)).unwrap();
    }
    let bases: Vec<_> = (log.reader().segments().iter())
        .map(|segment| segment.base_offset.0)
        .collect();
    assert_eq!(
        bases,
        [0, 5, 10],
        "the first batch of a segment has no entry"
    );
}

#[test]
fn a_segment_rolls_before_a_relative_offset_overflows() {
    let vfs = SimVfs::new(0);
    let mut log = open(&vfs, LogConfig::default());
    let mut bytes = batch_of(&[1], 1).bytes().to_vec();
    bytes[23..27].copy_from_slice(&(i32::MAX - 1).to_be_bytes());
    let wide = RecordBatch::split_from(&mut bytes.into()).unwrap();
    append(&mut log, &wide).unwrap();
    append(&mut log, &batch_of(&[1], 1)).unwrap();
    append(&mut log, &wide).unwrap();
    let bases: Vec<_> = (log.reader().segments().iter())
        .map(|segment| segment.base_offset.0)
        .collect();
    assert_eq!(bases, [0, i64::from(i32::MAX) + 1]);
}

#[test]
fn golden_index_files() {
    let vfs = SimVfs::new(0);
    let config = LogConfig {
        index_interval_bytes: 150,
        ..config(460)
    };
    let mut log = open(&vfs, config);
    // Each batch of two records takes 91 bytes: the third and the fifth are more than 150 bytes
    // behind the last entry.
    for times in [[50, 10], [20, 30], [70, 60], [80, 75], [70, 70], [40, 41]] {
        let batch = batch_of(&times, 8);
        assert_eq!(batch.bytes().len(), 91);
        append(&mut log, &batch).unwrap();
    }
    assert_eq!(log.reader().segments().len(), 2);
    let entries = |pairs: &[(i32, i32)]| -> Vec<u8> {
        let entry =
            |(offset, position): &(i32, i32)| [offset.to_be_bytes(), position.to_be_bytes()];
        pairs.iter().flat_map(entry).flatten().collect()
    };
    let time_entries = |pairs: &[(i64, i32)]| -> Vec<u8> {
        let entry =
            |(time, offset): &(i64, i32)| [&time.to_be_bytes()[..], &offset.to_be_bytes()].concat();
        pairs.iter().flat_map(entry).collect()
    };
    let index = vfs.read(&segment(0).with_extension("index")).unwrap();
    assert_eq!(index, entries(&[(5, 182), (9, 364)]));
    let times = vfs.read(&segment(0).with_extension("timeindex")).unwrap();
    assert_eq!(times, time_entries(&[(70, 5), (80, 7)]));
    log.close().unwrap();
    assert_eq!(vfs.read(&segment(10).with_extension("index")).unwrap(), b"");
    let times = vfs.read(&segment(10).with_extension("timeindex")).unwrap();
    assert_eq!(times, time_entries(&[(41, 1)]), "closing adds the maximum");
}

#[test]
fn an_index_entry_comes_when_more_than_the_interval_has_passed() {
    let vfs = SimVfs::new(0);
    let config = LogConfig {
        index_interval_bytes: 100,
        ..config(1 << 20)
    };
    let mut log = open(&vfs, config);
    for _ in 0..5 {
        append(&mut log, &batch_of_bytes(100)).unwrap();
    }
    log.close().unwrap();
    let index = vfs.read(&segment(0).with_extension("index")).unwrap();
    let expected = [0, 0, 0, 2, 0, 0, 0, 200, 0, 0, 0, 4, 0, 0, 1, 144];
    assert_eq!(index, expected);
}

#[test]
fn index_entries_go_to_the_file_while_the_segment_grows() {
    let vfs = SimVfs::new(0);
    let mut log = open(&vfs, config(1 << 20));
    for time in 0..600 {
        append(&mut log, &batch_of(&[time], 1)).unwrap();
    }
    let index = vfs.read(&segment(0).with_extension("index")).unwrap();
    assert_eq!(index.len(), 4096);
    log.close().unwrap();
    let index = vfs.read(&segment(0).with_extension("index")).unwrap();
    assert_eq!(index.len(), 599 * 8);
    let times = vfs.read(&segment(0).with_extension("timeindex")).unwrap();
    assert_eq!(times.len(), 599 * 12);
}

#[test]
fn a_full_disk_refuses_an_append_and_the_log_goes_on_when_there_is_room() {
    for seed in 0..20 {
        let vfs = SimVfs::new(seed);
        let mut log = open(&vfs, config(1 << 20));
        append(&mut log, &batch_of_bytes(100)).unwrap();
        vfs.set_capacity(Some(150));
        let error = append(&mut log, &batch_of_bytes(100)).unwrap_err();
        let full = |error: &LogError| matches!(error, LogError::Io { source, .. } if source.kind() == ErrorKind::StorageFull);
        assert!(full(&error), "{error}");
        assert_eq!(content(&vfs, 0).len(), 100, "nothing of it is left");
        assert_eq!(read_from(&log.reader(), Offset(0)).unwrap().len(), 1);
        vfs.set_capacity(None);
        assert_eq!(
            append(&mut log, &batch_of_bytes(100)).unwrap().base_offset,
            Offset(1)
        );
        assert_eq!(read_from(&log.reader(), Offset(0)).unwrap().len(), 2);
    }
}

#[test]
fn what_cannot_be_cut_off_takes_the_log_offline() {
    let vfs = SimVfs::new(1);
    let mut log = open(&vfs, config(1 << 20));
    append(&mut log, &batch_of_bytes(100)).unwrap();
    vfs.cut_power_after(0);
    let error = append(&mut log, &batch_of_bytes(100)).unwrap_err();
    assert!(matches!(error, LogError::Io { .. }), "{error}");
    let error = append(&mut log, &batch_of_bytes(100)).unwrap_err();
    assert!(matches!(error, LogError::Offline { .. }), "{error}");
    assert_eq!(read_from(&log.reader(), Offset(0)).unwrap().len(), 1);
}

#[test]
fn a_failed_sync_is_final() {
    let vfs = SimVfs::new(0);
    let mut log = open(&vfs, config(1 << 20));
    let (reader, syncs) = (log.reader(), log.sync_handle());
    append(&mut log, &batch_of_bytes(100)).unwrap();
    assert_eq!(syncs.sync().unwrap(), Offset(1));
    append(&mut log, &batch_of_bytes(100)).unwrap();
    vfs.fail_next_sync();
    assert!(matches!(syncs.sync(), Err(LogError::Io { .. })));
    assert!(matches!(syncs.sync(), Err(LogError::Offline { .. })));
    assert!(matches!(
        append(&mut log, &batch_of_bytes(100)),
        Err(LogError::Offline { .. })
    ));
    assert_eq!(reader.recovery_point(), Offset(1));
    assert_eq!(
        read_from(&reader, Offset(0)).unwrap().len(),
        2,
        "reads go on"
    );
    assert!(matches!(log.close(), Err(LogError::Offline { .. })));
}

#[test]
fn a_file_that_cannot_be_opened_refuses_what_needs_it_and_nothing_later() {
    let is_refused = |refused: Result<(), LogError>| match refused {
        Err(LogError::Io { source, .. }) => assert!(is_passing(&source), "{source}"),
        other => panic!("{other:?}"),
    };
    // However many may be opened, each step is refused or done; and the log goes on.
    for spare in 0..4 {
        let vfs = SimVfs::new(0);
        let mut log = open(&vfs, config(200));
        let (reader, syncs) = (log.reader(), log.sync_handle());
        let mut appended = 0;
        for step in 0..12 {
            vfs.set_open_files_max(Some(vfs.open_files() + spare));
            match append(&mut log, &batch_of_bytes(100)) {
                Ok(_) => appended += 1,
                Err(error) => is_refused(Err(error)),
            }
            match syncs.sync() {
                Ok(synced) => assert_eq!(synced, Offset(appended)),
                Err(error) => is_refused(Err(error)),
            }
            if let Err(error) = syncs.settle() {
                is_refused(Err(error));
            }
            vfs.set_open_files_max(None);
            if step % 3 == 2 {
                append(&mut log, &batch_of_bytes(100)).unwrap();
                appended += 1;
                assert_eq!(syncs.sync().unwrap(), Offset(appended));
                log.rest();
            }
            assert!(!reader.is_offline());
            assert_eq!(
                read_from(&reader, Offset(0)).unwrap().len(),
                appended as usize
            );
        }
        log.close().unwrap();
        let vfs = vfs.crash();
        let (log, _) = open_with(&vfs, config(200), start(true, appended)).unwrap();
        assert_eq!(
            read_from(&log.reader(), Offset(0)).unwrap().len(),
            appended as usize
        );
    }
}

#[test]
fn a_sync_covers_rolled_segments_and_what_is_clean_costs_nothing() {
    let vfs = SimVfs::new(0);
    let mut log = open(&vfs, config(200));
    let (reader, syncs) = (log.reader(), log.sync_handle());
    for _ in 0..7 {
        append(&mut log, &batch_of_bytes(100)).unwrap();
    }
    assert_eq!(reader.recovery_point(), Offset(0));
    assert_eq!(syncs.sync().unwrap(), Offset(7));
    assert_eq!(reader.recovery_point(), Offset(7));
    let before = vfs.operations();
    assert_eq!(syncs.sync().unwrap(), Offset(7));
    assert_eq!(vfs.operations(), before);
    let (log, report) = open_with(&vfs.crash(), config(200), start(false, 7)).unwrap();
    assert_eq!(read_from(&log.reader(), Offset(0)).unwrap().len(), 7);
    assert_eq!((report.batches_scanned, report.bytes_cut), (1, 0));
}

#[test]
fn a_recovery_point_is_settled_once_the_indexes_below_it_are_durable() {
    for seed in 0..30 {
        let vfs = SimVfs::new(seed);
        let mut log = open(&vfs, config(200));
        let (reader, syncs) = (log.reader(), log.sync_handle());
        append(&mut log, &batch_of_bytes(100)).unwrap();
        append(&mut log, &batch_of_bytes(100)).unwrap();
        syncs.sync().unwrap();
        append(&mut log, &batch_of_bytes(100)).unwrap();
        syncs.sync().unwrap();
        assert_eq!(
            (reader.recovery_point(), reader.settled_point()),
            (Offset(3), Offset(0))
        );
        assert_eq!(syncs.settle().unwrap(), Offset(3));
        assert_eq!(reader.settled_point(), Offset(3));
        let crashed = vfs.crash();
        for extension in ["index", "timeindex"] {
            let path = segment(0).with_extension(extension);
            assert_eq!(crashed.read(&path).unwrap(), vfs.read(&path).unwrap());
        }
    }
}
