//! How far a log is synced, as the log itself has written it down.
//!
//! ```text
//!  synced-offsets   [ offset i64 | CRC-32C of the offset u32 ] ...      12 bytes each, big-endian
//! ```
//!
//! The recovery point in the checkpoint file is up to five seconds old, and of a log that has just
//! been created there is none. What was synced since would look like a torn tail if it were
//! damaged, and be cut. So an entry is added here after each sync, and the greatest offset counts.
//!
//! Invariant: an entry is written after the sync that it stands for, so whatever is found is true.
//!
//! The entries themselves are not synced: that would be a second sync for each. So they outlive the
//! process always, and a power cut as far as the system has written them by itself. What they do
//! not know the checkpoint says, as before. They say nothing about indexes: where a scan begins is
//! the recovery point's to say.

use std::io::{self, ErrorKind, IoSlice};
use std::path::{Path, PathBuf};

use brooklet_protocol::{Offset, crc32c};

use crate::vfs::{OpenMode, Vfs};

/// The file's name.
pub(super) const SYNCED_FILE: &str = "synced-offsets";
/// Bytes of an entry.
const ENTRY_BYTES: usize = 12;
/// A file of this many bytes is emptied before the next entry.
const BYTES_MAX: u64 = 1024 * ENTRY_BYTES as u64;

/// Writes down that everything below `offset` is synced.
///
/// # Errors
/// The disk; then the file says what it has said before, or less.
pub(super) fn add(vfs: &dyn Vfs, dir: &Path, offset: Offset) -> io::Result<()> {
    let file = vfs.open(&path(dir), OpenMode::Create)?;
    let length = file.len()?;
    let torn = length % ENTRY_BYTES as u64;
    if length >= BYTES_MAX {
        file.set_len(0)?;
    } else if torn > 0 {
        file.set_len(length - torn)?;
    }
    file.append(&[IoSlice::new(&encode(offset))]).map(drop)
}

/// The greatest offset below which everything was synced, as far as is known.
pub(super) fn read(vfs: &dyn Vfs, dir: &Path) -> Offset {
    let path = path(dir);
    match vfs.read(&path) {
        Ok(content) => decode(&content),
        Err(error) => {
            if error.kind() != ErrorKind::NotFound {
                tracing::warn!(file = %path.display(), %error, "cannot read how far the log is synced; the checkpoint decides");
            }
            Offset::ZERO
        }
    }
}

/// Forgets how far the log in `dir` is synced, durably, because synced records are about to be cut.
///
/// # Errors
/// The disk.
pub fn forget(vfs: &dyn Vfs, dir: &Path) -> io::Result<()> {
    match vfs.remove_file(&path(dir)) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed.and_then(|()| vfs.sync_dir(dir)),
    }
}

fn path(dir: &Path) -> PathBuf {
    dir.join(SYNCED_FILE)
}

fn encode(offset: Offset) -> [u8; ENTRY_BYTES] {
    let mut entry = [0; ENTRY_BYTES];
    let offset = offset.0.to_be_bytes();
    entry[..8].copy_from_slice(&offset);
    entry[8..].copy_from_slice(&crc32c(&offset).to_be_bytes());
    entry
}

/// Entries with a wrong checksum say nothing; the others are true all the same.
fn decode(content: &[u8]) -> Offset {
    let entries: &[[u8; ENTRY_BYTES]] = content.as_chunks().0;
    let offsets = entries.iter().filter_map(|entry| {
        let offset = Offset(i64::from_be_bytes(*entry.first_chunk()?));
        (encode(offset) == *entry).then_some(offset)
    });
    offsets.max().unwrap_or_default().max(Offset::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vfs::sim::SimVfs;

    fn with(offsets: &[i64]) -> SimVfs {
        let vfs = SimVfs::new(0);
        for offset in offsets {
            add(&vfs, Path::new(""), Offset(*offset)).unwrap();
        }
        vfs
    }

    #[test]
    fn the_greatest_offset_counts_and_the_file_stays_small() {
        assert_eq!(read(&with(&[]), Path::new("")), Offset(0));
        assert_eq!(read(&with(&[3, 9]), Path::new("")), Offset(9));
        let many: Vec<i64> = (1..3000).collect();
        let vfs = with(&many);
        assert_eq!(read(&vfs, Path::new("")), Offset(2999));
        assert!(vfs.used_bytes() <= BYTES_MAX);
    }

    #[test]
    fn whatever_is_done_to_the_file_it_says_nothing_that_was_not_written() {
        let whole = with(&[3, 9]).read(Path::new(SYNCED_FILE)).unwrap();
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let expected = if bit / 8 < ENTRY_BYTES { 9 } else { 3 };
            assert_eq!(decode(&flipped), Offset(expected), "bit {bit}");
        }
        for length in 0..whole.len() {
            let expected = if length < ENTRY_BYTES { 0 } else { 3 };
            assert_eq!(
                decode(&whole[..length]),
                Offset(expected),
                "cut to {length}"
            );
        }
        assert_eq!(decode(&[0; 4096]), Offset(0), "what a power cut can leave");
        let vfs = with(&[3]);
        let torn = vfs.open(Path::new(SYNCED_FILE), OpenMode::Write).unwrap();
        torn.append(&[IoSlice::new(b"torn")]).unwrap();
        add(&vfs, Path::new(""), Offset(9)).unwrap();
        assert_eq!(read(&vfs, Path::new("")), Offset(9));
        vfs.make_unreadable(Path::new(SYNCED_FILE), 0..1).unwrap();
        assert_eq!(read(&vfs, Path::new("")), Offset(0));
        for _ in 0..2 {
            forget(&vfs, Path::new("")).unwrap();
            assert!(!vfs.exists(Path::new(SYNCED_FILE)));
        }
    }
}
