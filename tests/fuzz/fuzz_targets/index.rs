//! Index files beside a good segment: whatever they say, all records are found.

#![no_main]

use std::io::IoSlice;
use std::path::Path;
use std::sync::Arc;

use brooklet_log::vfs::{OpenMode, Vfs};
use brooklet_log::vfs::sim::SimVfs;
use brooklet_log::{Log, LogConfig, RecoveryStart};
use brooklet_protocol::records::{BatchBuilder, Compression};
use brooklet_protocol::{LeaderEpoch, Offset, Timestamp};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: (Vec<u8>, Vec<u8>)| {
    let vfs: Arc<dyn Vfs> = Arc::new(SimVfs::new(0));
    let (dir, config) = (
        Path::new("t-0"),
        LogConfig {
            index_interval_bytes: 50,
            ..LogConfig::default()
        },
    );
    let open = |start| Log::open(Arc::clone(&vfs), dir, config.clone(), start);
    let mut log = open(RecoveryStart::default()).expect("a new log").0;
    for number in 0..8 {
        let mut batch = BatchBuilder::new(Compression::None);
        batch.append(Timestamp(number), None, Some(&[7; 40]), &[]);
        log.append(&batch.build(), LeaderEpoch(0), Timestamp(0))
            .expect("there is room");
    }
    let recovery_point = log.close().expect("there is room");
    for (name, content) in [("index", &data.0), ("timeindex", &data.1)] {
        let path = dir.join(format!("00000000000000000000.{name}"));
        let file = vfs.open(&path, OpenMode::Truncate).expect("it is there");
        file.append(&[IoSlice::new(content)])
            .expect("there is room");
    }
    for clean_shutdown in [true, false] {
        let start = RecoveryStart {
            clean_shutdown,
            recovery_point,
            ..RecoveryStart::default()
        };
        let reader = open(start).expect("the segment is good").0.reader();
        for offset in 0..8 {
            let read = reader.read(Offset(offset), Offset(8), 1, true);
            assert!(!read.expect("the segment is good").is_empty());
        }
        let _found = reader.offset_for_timestamp(Timestamp(3));
    }
});
