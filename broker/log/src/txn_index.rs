//! The transaction index: which transactions in a segment were aborted.
//!
//! ```text
//!  .txnindex   version i16 = 0 | producer id i64 | first offset i64 | last offset i64
//!              | last stable offset i64                              34 bytes each, as in Kafka
//! ```
//!
//! An entry is written when a transaction's abort marker is appended, into the index of the segment
//! that holds the marker; last offset is the marker's, last stable offset the log's at that moment.
//! A consumer of committed records gets the entries for what it fetches and leaves their records
//! out. Most segments have no such file. A segment that has one remembers the span of its entries,
//! so that the file is not opened in vain. Unlike the other indexes it says what no single batch
//! says, so it is rebuilt by replaying the log, together with the producers' state.

use std::io::{self, ErrorKind, IoSlice};
use std::path::Path;

use brooklet_protocol::{Offset, ProducerId};

use crate::vfs::{OpenMode, Vfs, is_passing};

/// Bytes of an entry.
pub(super) const ENTRY_BYTES: usize = 34;

/// A transaction whose records do not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbortedTransaction {
    /// Its producer.
    pub producer_id: ProducerId,
    /// Its first record.
    pub first_offset: Offset,
    /// Its marker.
    pub last_offset: Offset,
    /// Where the oldest transaction that was open then began, or what came behind the marker.
    pub last_stable_offset: Offset,
}

impl AbortedTransaction {
    fn encode(self) -> [u8; ENTRY_BYTES] {
        let mut raw = [0; ENTRY_BYTES];
        let fields = [
            self.producer_id.0,
            self.first_offset.0,
            self.last_offset.0,
            self.last_stable_offset.0,
        ];
        for (bytes, field) in raw[2..].as_chunks_mut().0.iter_mut().zip(fields) {
            *bytes = field.to_be_bytes();
        }
        raw
    }

    fn decode(raw: &[u8; ENTRY_BYTES]) -> Option<Self> {
        let version = i16::from_be_bytes([raw[0], raw[1]]);
        let field = |index: usize| i64::from_be_bytes(raw[2..].as_chunks().0[index]);
        let entry = Self {
            producer_id: ProducerId(field(0)),
            first_offset: Offset(field(1)),
            last_offset: Offset(field(2)),
            last_stable_offset: Offset(field(3)),
        };
        let makes_sense = version == 0
            && entry.first_offset >= Offset::ZERO
            && entry.first_offset < entry.last_offset;
        makes_sense.then_some(entry)
    }
}

/// All entries of a file, as far as they are whole and make sense.
pub(super) fn read(vfs: &dyn Vfs, path: &Path) -> io::Result<Vec<AbortedTransaction>> {
    Ok(decode(&vfs.read(path)?))
}

/// The entries in `bytes`, up to the first that makes no sense.
pub(super) fn decode(bytes: &[u8]) -> Vec<AbortedTransaction> {
    let entries = bytes.as_chunks().0.iter();
    entries.map_while(AbortedTransaction::decode).collect()
}

/// Whether a file can be read and holds whole entries that make sense, in the order of their
/// markers. One that is gone is.
///
/// # Errors
/// What may be better a moment later.
pub(super) fn is_sound(vfs: &dyn Vfs, path: &Path) -> io::Result<bool> {
    let bytes = match vfs.read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(true),
        Err(error) if is_passing(&error) => return Err(error),
        Err(_) => return Ok(false),
        Ok(bytes) => bytes,
    };
    let (raw, torn) = bytes.as_chunks();
    let entries = raw.iter().map(AbortedTransaction::decode);
    let ends = entries.map(|entry| entry.map(|entry| entry.last_offset));
    Ok(torn.is_empty() && ends.clone().all(|end| end.is_some()) && ends.is_sorted())
}

/// Adds an entry at the end of a file, which is created if need be.
pub(super) fn add(vfs: &dyn Vfs, path: &Path, entry: AbortedTransaction) -> io::Result<()> {
    let file = vfs.open(path, OpenMode::Create)?;
    let torn = file.len()? % ENTRY_BYTES as u64;
    if torn > 0 {
        file.set_len(file.len()? - torn)?;
    }
    file.append(&[IoSlice::new(&entry.encode())]).map(drop)
}

/// Makes `entries` the file's, durably.
pub(super) fn replace(
    vfs: &dyn Vfs,
    path: &Path,
    entries: &[AbortedTransaction],
) -> io::Result<()> {
    vfs.replace(path, &encode(entries))
}

/// Makes `entries` the file's, durably, if they are not, or if it cannot be read. Where there are
/// none a file is not made.
pub(super) fn mend(vfs: &dyn Vfs, path: &Path, entries: &[AbortedTransaction]) -> io::Result<()> {
    let found = match vfs.read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Some(Vec::new()),
        Err(error) if is_passing(&error) => return Err(error),
        found => found.ok(),
    };
    if found.is_some_and(|found| found == encode(entries)) {
        return Ok(());
    }
    replace(vfs, path, entries)
}

fn encode(entries: &[AbortedTransaction]) -> Vec<u8> {
    entries.iter().flat_map(|entry| entry.encode()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vfs::sim::SimVfs;

    fn entry(first: i64, last: i64) -> AbortedTransaction {
        AbortedTransaction {
            producer_id: ProducerId(0x0102),
            first_offset: Offset(first),
            last_offset: Offset(last),
            last_stable_offset: Offset(last + 1),
        }
    }

    #[test]
    fn an_entry_is_kafkas_34_bytes() {
        let raw = entry(3, 9).encode();
        let fields = [[0, 0, 0, 0, 0, 0, 1, 2], [0, 0, 0, 0, 0, 0, 0, 3]].concat();
        let more = [[0, 0, 0, 0, 0, 0, 0, 9], [0, 0, 0, 0, 0, 0, 0, 10]].concat();
        assert_eq!(raw[..], [&[0, 0][..], &fields, &more].concat());
        assert_eq!(AbortedTransaction::decode(&raw), Some(entry(3, 9)));
    }

    #[test]
    fn entries_are_added_replaced_and_read() {
        let (vfs, path) = (SimVfs::new(0), Path::new("x.txnindex"));
        mend(&vfs, path, &[]).unwrap();
        assert!(!vfs.exists(path));
        for (first, last) in [(1, 4), (2, 8), (9, 12)] {
            add(&vfs, path, entry(first, last)).unwrap();
        }
        let file = vfs.open(path, OpenMode::Write).unwrap();
        file.append(&[IoSlice::new(b"torn")]).unwrap();
        assert_eq!(read(&vfs, path).unwrap().len(), 3);
        add(&vfs, path, entry(13, 14)).unwrap();
        assert_eq!(read(&vfs, path).unwrap().len(), 4);
        mend(&vfs, path, &[entry(1, 4)]).unwrap();
        assert_eq!(read(&vfs, path).unwrap(), [entry(1, 4)]);
        let mut raw = entry(1, 4).encode().to_vec();
        raw[1] = 1;
        assert_eq!(decode(&raw), [], "an unknown version is not read");
        assert_eq!(decode(&[0; 34]), [], "what a power cut can leave");
    }
}
