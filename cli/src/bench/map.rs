//! A file mapped into memory: the yardstick for reads.
//!
//! The broker maps no file. When a page cannot be read, or its file was truncated, the process is
//! ended by a signal (`SIGBUS`). What a map would save is measured here, on a file that only the
//! benchmark uses. It is the only unsafe code of the project.

use std::fs::File;
use std::path::Path;

use bytes::Bytes;
use memmap2::Mmap;

/// The content of the file at `path`, which is not empty.
#[expect(
    unsafe_code,
    reason = "mapping a file is unsafe: its bytes can change under us"
)]
pub(super) fn map(path: &Path) -> std::io::Result<Bytes> {
    let file = File::open(path)?;
    // SAFETY: the bytes must not change while the map lives. The file lies in a directory that the
    // benchmark has made for itself; nobody writes to it, or cuts it, while it is measured.
    let map = unsafe { Mmap::map(&file) }?;
    Ok(Bytes::from_owner(map))
}
