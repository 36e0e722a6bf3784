//! Checkpoint files: what is accepted is written and read again.

#![no_main]

use std::io::IoSlice;
use std::path::Path;

use brooklet_log::vfs::{OpenMode, Vfs};
use brooklet_log::vfs::sim::SimVfs;
use brooklet_log::checkpoint;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let (vfs, path) = (SimVfs::new(0), Path::new("checkpoint"));
    let file = vfs.open(path, OpenMode::Create).expect("there is room");
    file.append(&[IoSlice::new(data)]).expect("there is room");
    if let Ok(offsets) = checkpoint::read(&vfs, path) {
        checkpoint::write(&vfs, path, &offsets).expect("there is room");
        assert_eq!(
            checkpoint::read(&vfs, path).expect("it was just written"),
            offsets
        );
    }
});
