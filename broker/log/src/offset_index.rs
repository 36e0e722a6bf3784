//! The offset index: from an offset to a position in the segment, by binary search.
//!
//! ```text
//!  .index   [ relative offset i32 | position i32 ] ...        8 bytes each, big-endian, ascending
//! ```
//!
//! An entry says: the batch at `position` ends with offset `base + relative offset`. There is one
//! per `index.interval.bytes` of log, so a search ends with a short walk over batch headers.
//! Kafka preallocates the file of the active segment; zeros at its end are no entries.

use std::io;

use super::entries::Entries;

/// Bytes of an entry.
pub(super) const ENTRY_BYTES: usize = 8;

/// An entry, as stored.
pub(super) type Raw = [u8; ENTRY_BYTES];

/// The batch at `position` ends with offset base + `relative_offset`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OffsetEntry {
    pub(super) relative_offset: i32,
    pub(super) position: i32,
}

impl OffsetEntry {
    pub(super) fn encode(self) -> Raw {
        let mut raw = [0; ENTRY_BYTES];
        raw[..4].copy_from_slice(&self.relative_offset.to_be_bytes());
        raw[4..].copy_from_slice(&self.position.to_be_bytes());
        raw
    }

    pub(super) fn decode(raw: Raw) -> Self {
        let both = u64::from_be_bytes(raw);
        Self {
            relative_offset: (both >> 32) as i32,
            position: both as i32,
        }
    }
}

/// Entries in memory or in a file.
pub(super) type OffsetEntries<'a> = Entries<'a, ENTRY_BYTES>;

/// The last entry at or below `relative_offset`.
pub(super) fn floor(
    entries: &OffsetEntries<'_>,
    relative_offset: i64,
) -> io::Result<Option<OffsetEntry>> {
    last_where(entries, |raw| offset_of(*raw) <= relative_offset)
}

/// The first entry at or above `relative_offset`.
pub(super) fn ceiling(
    entries: &OffsetEntries<'_>,
    relative_offset: i64,
) -> io::Result<Option<OffsetEntry>> {
    let below = entries.partition_point(|raw| offset_of(*raw) < relative_offset)?;
    Ok(entries.get(below)?.map(OffsetEntry::decode))
}

/// The last entry that leads to `position` or before it.
pub(super) fn position_floor(
    entries: &OffsetEntries<'_>,
    position: i64,
) -> io::Result<Option<OffsetEntry>> {
    let position_of = |raw: &Raw| i64::from(OffsetEntry::decode(*raw).position);
    last_where(entries, |raw| position_of(raw) <= position)
}

/// The last entry of which `is_wanted` holds, as it does of all before that.
fn last_where(
    entries: &OffsetEntries<'_>,
    is_wanted: impl Fn(&Raw) -> bool,
) -> io::Result<Option<OffsetEntry>> {
    let found = match entries.partition_point(is_wanted)?.checked_sub(1) {
        Some(last) => entries.get(last)?,
        None => None,
    };
    Ok(found.map(OffsetEntry::decode))
}

fn offset_of(raw: Raw) -> i64 {
    i64::from(OffsetEntry::decode(raw).relative_offset)
}

/// How many of the entries are not the zeros of a preallocated file. No real entry is zero: the
/// first batch of a segment gets none.
pub(super) fn count(entries: &OffsetEntries<'_>) -> io::Result<usize> {
    Ok(entries.last_real()?.map_or(0, |last| last + 1))
}

/// Whether entries with these ends, the first and the last, can belong to a segment of `size`
/// bytes. What lies between is checked when it is used.
pub(super) fn is_plausible(ends: Option<[Raw; 2]>, size: u64) -> bool {
    let Some([first, last]) = ends.map(|ends| ends.map(OffsetEntry::decode)) else {
        return true;
    };
    let ascending =
        first.relative_offset <= last.relative_offset && first.position <= last.position;
    ascending && first.position > 0 && first.relative_offset > 0 && (last.position as u64) < size
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(pairs: &[(i32, i32)]) -> Vec<Raw> {
        let entry = |&(relative_offset, position)| OffsetEntry {
            relative_offset,
            position,
        };
        pairs.iter().map(entry).map(OffsetEntry::encode).collect()
    }

    #[test]
    fn an_entry_is_eight_bytes_big_endian() {
        let raw = entries(&[(0x0102_0304, 0x0506_0708)]);
        assert_eq!(raw, [[1, 2, 3, 4, 5, 6, 7, 8]]);
        let entry = OffsetEntry::decode(raw[0]);
        assert_eq!(
            (entry.relative_offset, entry.position),
            (0x0102_0304, 0x0506_0708)
        );
    }

    #[test]
    fn floor_and_ceiling_are_the_entries_around() {
        let entries = entries(&[(9, 100), (20, 200), (31, 300)]);
        let entries = OffsetEntries::Memory(&entries);
        let position = |offset| floor(&entries, offset).unwrap().map(|entry| entry.position);
        assert_eq!(position(8), None);
        assert_eq!(position(9), Some(100));
        assert_eq!(position(19), Some(100));
        assert_eq!(position(20), Some(200));
        assert_eq!(position(i64::MAX), Some(300));
        assert_eq!(floor(&OffsetEntries::Memory(&[]), 5).unwrap(), None);
        let above = |offset| {
            ceiling(&entries, offset)
                .unwrap()
                .map(|entry| entry.position)
        };
        assert_eq!(above(9), Some(100));
        assert_eq!(above(10), Some(200));
        assert_eq!(above(32), None);
        let before = |at| {
            position_floor(&entries, at)
                .unwrap()
                .map(|e| e.relative_offset)
        };
        assert_eq!(
            (before(99), before(100), before(299)),
            (None, Some(9), Some(20))
        );
    }

    #[test]
    fn zeros_at_the_end_are_no_entries() {
        let count = |pairs| count(&OffsetEntries::Memory(&entries(pairs))).unwrap();
        assert_eq!(count(&[(9, 100), (0, 0), (0, 0)]), 1);
        assert_eq!(count(&[(0, 0)]), 0);
        assert_eq!(count(&[]), 0);
    }

    #[test]
    fn implausible_ends_are_seen() {
        let ends = |pairs: &[(i32, i32)]| OffsetEntries::Memory(&entries(pairs)).ends().unwrap();
        assert!(is_plausible(ends(&[]), 0));
        assert!(is_plausible(ends(&[(1, 10), (2, 20)]), 21));
        for bad in [
            [(1, 10), (2, 21)],
            [(2, 10), (1, 20)],
            [(1, 20), (2, 10)],
            [(0, 0), (2, 10)],
            [(-1, 1), (2, 10)],
        ] {
            assert!(!is_plausible(ends(&bad), 21), "{bad:?}");
        }
    }
}
