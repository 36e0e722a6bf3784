//! Maps files into memory. The only unsafe code of the project lives here.
//!
//! A mapped file is read without a system call and without a copy: a fetch hands out slices of the
//! map. The price is that the operating system answers a page that cannot be read with a signal
//! (`SIGBUS`) and not with an error, and that Rust's rule "shared bytes do not change" is kept by
//! the file's owner and not by the compiler. Both are why only sealed files are mapped, and of growing ones
//! what is behind the writer.

use std::io;
use std::ops::Range;

use bytes::Bytes;
use memmap2::{Mmap, MmapAsRawDesc, MmapOptions};

/// The content of `file` as it is now. It is not empty: no bytes cannot be mapped.
#[expect(
    unsafe_code,
    reason = "mapping a file is unsafe: its bytes can change under us"
)]
pub(super) fn map(file: impl MmapAsRawDesc) -> io::Result<Bytes> {
    // SAFETY: the bytes must not change while the map lives. Callers map only sealed files inside
    // a data directory that this process has locked against a second broker, and nothing in the
    // broker writes to a sealed file or cuts it: deletion unlinks it, which leaves the mapped
    // pages alone. Somebody else who truncates the file ends this process with `SIGBUS`; that is
    // accepted and documented, as it is for every database that maps its files.
    let map = unsafe { Mmap::map(file) }?;
    Ok(Bytes::from_owner(map))
}

/// The bytes of `range` of a growing file.
#[expect(
    unsafe_code,
    reason = "mapping a file is unsafe: its bytes can change under us"
)]
pub(super) fn map_range(file: impl MmapAsRawDesc, range: Range<u64>) -> io::Result<Bytes> {
    let length = usize::try_from(range.end - range.start).map_err(io::Error::other)?;
    let mut options = MmapOptions::new();
    options.offset(range.start).len(length);
    // SAFETY: as above, of the bytes in the range, which are all that can be reached through the map.
    // Callers map only what is below the size that the writer has published: those bytes never change, and
    // a write that fails is cut off behind them. The file is never shorter than that while the broker runs.
    let map = unsafe { options.map(file) }?;
    Ok(Bytes::from_owner(map))
}
