//! A file mapped into memory: the yardstick that reads are held against, and nothing more.
//!
//! The broker maps no file. A page that cannot be read is answered with a signal (`SIGBUS`), which ends
//! the process, and so is a page of a file that somebody has cut. What a map would save is measured here, on
//! a file that only the benchmark knows. It is the only unsafe code of the project.

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
