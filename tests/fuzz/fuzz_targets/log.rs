//! Any bytes as a segment: the log opens, cut to its whole batches, or names the damage.

#![no_main]

use std::io::IoSlice;
use std::path::Path;
use std::sync::Arc;

use brooklet_log::vfs::{OpenMode, Vfs};
use brooklet_log::vfs::sim::SimVfs;
use brooklet_log::{Log, LogConfig, RecoveryStart, inspect};
use brooklet_protocol::Offset;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: (bool, u8, Vec<u8>)| {
    let (clean_shutdown, point, content) = data;
    let (vfs, dir) = (SimVfs::new(0), Path::new("t-0"));
    vfs.create_dir_all(dir).expect("there is room");
    let file = vfs.open(&dir.join("00000000000000000000.log"), OpenMode::Create);
    let file = file.expect("there is room");
    file.append(&[IoSlice::new(&content)])
        .expect("there is room");
    let start = RecoveryStart {
        clean_shutdown,
        recovery_point: Offset(i64::from(point)),
        ..RecoveryStart::default()
    };
    inspect::verify_log(&vfs, dir, start).expect("the disk is good");
    if let Ok((log, _)) = Log::open(Arc::new(vfs), dir, LogConfig::default(), start) {
        let reader = log.reader();
        let end = reader.log_end_offset();
        reader.read(Offset::ZERO, end, usize::MAX / 2, true).ok();
    }
});
