//! Looking up offsets by time.

use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn a_look_up_equals_a_search_in_a_vector(
        batches in prop::collection::vec(prop::collection::vec(-1_i64..40, 1..4), 0..25),
        segment_bytes in 100_u64..600,
        interval in 0_u64..200,
        reopen in 0..3,
        compressed in any::<bool>(),
    ) {
        let vfs = SimVfs::new(0);
        let config = LogConfig { index_interval_bytes: interval, ..config(segment_bytes) };
        let mut log = open(&vfs, config.clone());
        let mut model = Vec::new();
        for times in &batches {
            let codec = if compressed { Compression::Lz4 } else { Compression::None };
            let mut builder = BatchBuilder::new(codec);
            for time in times {
                model.push((Offset(model.len() as i64), Timestamp(*time)));
                builder.append(Timestamp(*time), None, None, &[]);
            }
            append(&mut log, &builder.build()).unwrap();
        }
        if reopen > 0 {
            let end = log.close().unwrap();
            log = open_with(&vfs, config, start(reopen == 1, end.0)).unwrap().0;
        }
        let reader = log.reader();
        for wanted in 0..41 {
            let expected = model.iter().find(|(_, time)| time.0 >= wanted).copied();
            prop_assert_eq!(reader.offset_for_timestamp(Timestamp(wanted)).unwrap(), expected);
        }
        let highest = model.iter().map(|(_, time)| *time).max();
        let expected = (model.iter()).find(|(_, time)| Some(*time) == highest && time.0 >= 0);
        prop_assert_eq!(reader.max_timestamp().unwrap(), expected.copied());
    }
}

#[test]
fn a_wrong_time_index_is_not_believed() {
    let vfs = SimVfs::new(0);
    let mut log = open(&vfs, config(200));
    for time in [30, 10, 20, 50, 40] {
        append(&mut log, &batch_of(&[time], 20)).unwrap();
    }
    log.close().unwrap();
    let path = segment(0).with_extension("timeindex");
    let entry = |time: i64, offset: i32| [&time.to_be_bytes()[..], &offset.to_be_bytes()].concat();
    for content in [vec![], vec![1; 7], entry(25, 1), entry(30, 1), entry(30, 9)] {
        overwrite(&vfs, &path, &content);
        let (log, _) = open_with(&vfs, config(200), start(true, 5)).unwrap();
        let found = log.reader().offset_for_timestamp(Timestamp(25)).unwrap();
        assert_eq!(found, Some((Offset(0), Timestamp(30))), "{content:?}");
    }
}
