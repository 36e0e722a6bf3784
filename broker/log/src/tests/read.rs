//! What a read answers, and that damage is never served.

use brooklet_protocol::records::BATCH_HEADER_BYTES;
use proptest::prelude::*;

use super::*;

/// Three records a batch, 100 to 104 bytes each, two batches a segment.
fn filled(vfs: &SimVfs, batches: i64) -> (Log, Vec<Bytes>) {
    let mut log = open(vfs, config(210));
    let mut expected = Vec::new();
    for number in 0..batches {
        let batch = batch_of(&[number * 10, number * 10 + 3, number * 10 + 1], 6);
        let base = append(&mut log, &batch).unwrap().base_offset;
        expected.push(stored(&batch, base));
    }
    (log, expected)
}

#[test]
fn a_read_begins_with_the_batch_that_contains_the_offset() {
    let (log, expected) = filled(&SimVfs::new(0), 5);
    let reader = log.reader();
    for offset in 0..15 {
        let bytes = read_bytes(&reader, Offset(offset), Offset(15), 1, true).unwrap();
        assert_eq!(bytes, expected[offset as usize / 3], "offset {offset}");
    }
}

#[test]
fn a_read_keeps_its_limits() {
    let (log, expected) = filled(&SimVfs::new(0), 5);
    let reader = log.reader();
    let read = |from, up_to, bytes_max, at_least_one| {
        let bytes = read_bytes(
            &reader,
            Offset(from),
            Offset(up_to),
            bytes_max,
            at_least_one,
        );
        bytes.unwrap()
    };
    let two = expected[..2].concat();
    assert_eq!(read(0, 15, 1 << 20, false), two, "to the segment's end");
    assert_eq!(read(0, 15, two.len(), false), two);
    assert_eq!(read(0, 15, two.len() - 1, false), expected[0]);
    assert_eq!(read(0, 15, expected[0].len() - 1, false), "");
    assert_eq!(read(0, 15, 0, true), expected[0]);
    assert_eq!(
        read(0, 5, 1 << 20, true),
        expected[0],
        "only whole batches below"
    );
    assert_eq!(read(3, 5, 1 << 20, true), "");
    assert_eq!(read(4, 4, 1 << 20, true), "");
    assert_eq!(read(15, 15, 1 << 20, true), "");
    assert_eq!(read(14, i64::MAX, 1 << 20, true), expected[4]);
    let error = read_bytes(&reader, Offset(16), Offset(20), 1, true).unwrap_err();
    assert_eq!(error.to_string(), "offset 16 is outside 0..=15");
    assert!(read_bytes(&reader, Offset(-1), Offset(20), 1, true).is_err());
}

#[test]
fn only_what_was_just_written_is_read_without_a_thought_of_the_disk() {
    let vfs = SimVfs::new(0);
    let (log, _) = filled(&vfs, 5);
    let reader = log.reader();
    let active = reader.segments().last().unwrap().base_offset;
    for offset in 0..reader.log_end_offset().0 + 2 {
        assert_eq!(reader.may_block(Offset(offset)), offset < active.0);
    }
    let end = log.close().unwrap();
    let (log, _) = open_with(&vfs, config(1000), start(true, end.0)).unwrap();
    assert!(log.reader().may_block(end.plus(-1)));
    assert!(!log.reader().may_block(end));
}

proptest! {
    #[test]
    fn a_read_equals_a_walk_over_a_vector(
        counts in prop::collection::vec((1_usize..5, 0_usize..60), 1..20),
        segment_bytes in 100_u64..800,
        interval in 0_u64..300,
        reopen in any::<bool>(),
        reads in prop::collection::vec((0_i64..60, 0_i64..60, 0_usize..600, any::<bool>()), 20),
    ) {
        let vfs = SimVfs::new(0);
        let config = LogConfig { index_interval_bytes: interval, ..config(segment_bytes) };
        let mut log = open(&vfs, config.clone());
        let mut model = Vec::new();
        for (count, value_bytes) in counts {
            let batch = batch_of(&vec![5; count], value_bytes);
            let base = append(&mut log, &batch).unwrap().base_offset;
            model.push(RecordBatch::split_from(&mut stored(&batch, base)).unwrap());
        }
        if reopen {
            let end = log.close().unwrap();
            log = open_with(&vfs, config, start(true, end.0)).unwrap().0;
        }
        let reader = log.reader();
        let bases: Vec<Offset> = reader.segments().iter().map(|segment| segment.base_offset).collect();
        let end = reader.log_end_offset();
        for (from, up_to, bytes_max, at_least_one) in reads {
            let (from, up_to) = (Offset(from), Offset(up_to));
            let found = read_bytes(&reader, from, up_to, bytes_max, at_least_one);
            if from > end {
                prop_assert!(found.is_err());
                continue;
            }
            let same_segment = |batch: &RecordBatch| {
                let rolled = |base: &&Offset| from < **base && **base <= batch.header().base_offset;
                !bases.iter().any(|base| rolled(&base))
            };
            let mut expected = Vec::new();
            if from < up_to {
                let from_here = model.iter().skip_while(|batch| batch.header().last_offset() < from);
                for batch in from_here.take_while(|batch| same_segment(batch)) {
                    let fits = expected.len() + batch.bytes().len() <= bytes_max;
                    let must = at_least_one && expected.is_empty();
                    if batch.header().next_offset() > up_to || !(fits || must) {
                        break;
                    }
                    expected.extend_from_slice(batch.bytes());
                }
            }
            prop_assert_eq!(found.unwrap(), expected);
        }
    }
}

/// Leader epoch: the only bytes of a batch that neither checksum nor offset chain covers.
const UNGUARDED: std::ops::Range<usize> = 12..16;

#[test]
fn a_flipped_bit_is_named_and_not_served_and_its_neighbours_are() {
    let (log, expected) = filled(&SimVfs::new(0), 6);
    let end = log.reader().log_end_offset().0;
    drop(log);
    let sizes: Vec<usize> = expected.iter().map(Bytes::len).collect();
    let bits = (0..sizes[2] + sizes[3]).flat_map(|byte| {
        // Every bit of the headers, one in every byte of the bodies.
        let body = byte % sizes[2] >= BATCH_HEADER_BYTES;
        let bits = if body { byte % 8..byte % 8 + 1 } else { 0..8 };
        bits.map(move |bit| (byte, byte as u64 * 8 + bit as u64))
    });
    for (byte, bit) in bits.filter(|(byte, _)| !UNGUARDED.contains(&(byte % sizes[2]))) {
        let vfs = SimVfs::new(0);
        filled(&vfs, 6).0.close().unwrap();
        vfs.flip_bit(&segment(6), bit).unwrap();
        let (log, _) = open_with(&vfs, config(210), start(true, end)).unwrap();
        let damaged = 2 + byte / sizes[2];
        for (offset, number) in (0..end).map(|offset| (offset, offset as usize / 3)) {
            let found = read_bytes(&log.reader(), Offset(offset), Offset(end), 10, true);
            match found {
                Ok(found) => assert_eq!(found, expected[number], "bit {bit}, offset {offset}"),
                Err(LogError::Corrupt { path, position, .. }) => {
                    let place = (segment(6), ((damaged - 2) * sizes[2]) as u64);
                    assert_eq!(number, damaged, "bit {bit}, offset {offset}");
                    assert_eq!((path, position), place, "bit {bit}, offset {offset}");
                }
                Err(other) => panic!("bit {bit}, offset {offset}: {other}"),
            }
        }
        let whole = read_bytes(&log.reader(), Offset(6), Offset(end), 1000, true);
        match damaged {
            2 => assert!(whole.is_err(), "bit {bit}"),
            _ => assert_eq!(whole.unwrap(), expected[2], "the answer ends before it"),
        }
    }
}

#[test]
fn a_segment_that_was_cut_by_somebody_is_damage_and_not_a_gap() {
    let vfs = SimVfs::new(0);
    let (log, expected) = filled(&vfs, 4);
    log.close().unwrap();
    overwrite(&vfs, &segment(0), &content(&vfs, 0)[..expected[0].len()]);
    let (log, _) = open_with(&vfs, config(210), start(true, 12)).unwrap();
    let reader = log.reader();
    assert_eq!(
        read_bytes(&reader, Offset(0), Offset(12), 1000, true).unwrap(),
        expected[0]
    );
    let error = read_bytes(&reader, Offset(3), Offset(12), 1000, true).unwrap_err();
    let expected =
        "segment t-0/00000000000000000000.log: batch at byte 100: the log ends at offset 3";
    assert!(error.to_string().starts_with(expected), "{error}");
}

#[test]
fn a_wrong_index_is_not_believed() {
    let vfs = SimVfs::new(0);
    let (log, expected) = filled(&vfs, 6);
    log.close().unwrap();
    let index = segment(6).with_extension("index");
    let good = vfs.read(&index).unwrap();
    for content in [
        b"".as_slice(),
        b"12345",
        &[0xff; 8],
        &[0, 0, 0, 5, 0, 0, 0, 99],
    ] {
        overwrite(&vfs, &index, content);
        let (log, _) = open_with(&vfs, config(210), start(true, 18)).unwrap();
        for offset in 0..18 {
            let bytes = read_bytes(&log.reader(), Offset(offset), Offset(18), 10, true);
            assert_eq!(bytes.unwrap(), expected[offset as usize / 3]);
        }
        if !content.is_empty() {
            assert_eq!(vfs.read(&index).unwrap(), good, "rebuilt");
        }
    }
    vfs.remove_file(&index).unwrap();
    let (log, _) = open_with(&vfs, config(210), start(true, 18)).unwrap();
    assert_eq!(read_from(&log.reader(), Offset(0)).unwrap().len(), 6);
    assert_eq!(vfs.read(&index).unwrap(), good, "rebuilt");
}

#[test]
fn zeros_of_a_preallocated_index_are_accepted() {
    let vfs = SimVfs::new(0);
    let (log, expected) = filled(&vfs, 6);
    log.close().unwrap();
    for base in [6, 12] {
        for extension in ["index", "timeindex"] {
            let path = segment(base).with_extension(extension);
            let mut content = vfs.read(&path).unwrap();
            content.resize(content.len() + 240, 0);
            overwrite(&vfs, &path, &content);
        }
    }
    let (log, report) = open_with(&vfs, config(210), start(true, 18)).unwrap();
    assert_eq!(report.indexes_rebuilt, 0);
    for number in 0..6 {
        let bytes = read_bytes(&log.reader(), Offset(number * 3), Offset(18), 10, true);
        assert_eq!(bytes.unwrap(), expected[number as usize]);
    }
    let found = log.reader().max_timestamp().unwrap();
    assert_eq!(found, Some((Offset(16), Timestamp(53))));
}

#[test]
fn a_damaged_segment_without_indexes_is_readable_up_to_the_damage() {
    let vfs = SimVfs::new(0);
    let mut log = open(&vfs, config(350));
    for _ in 0..4 {
        append(&mut log, &batch_of_bytes(100)).unwrap();
    }
    log.close().unwrap();
    for extension in ["index", "timeindex"] {
        vfs.remove_file(&segment(0).with_extension(extension))
            .unwrap();
    }
    vfs.flip_bit(&segment(0), 116 * 8).unwrap();
    let (log, _) = open_with(&vfs, config(350), start(true, 4)).unwrap();
    let read = |from| read_bytes(&log.reader(), Offset(from), Offset(4), 1000, true);
    assert_eq!(read(0).unwrap().len(), 100);
    let error = read(1).unwrap_err().to_string();
    assert!(
        error.ends_with("00000000.log: batch at byte 100: magic 3, expected 2"),
        "{error}"
    );
    assert_eq!(read(3).unwrap().len(), 100);
}
