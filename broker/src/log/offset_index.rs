//! The offset index: from an offset to a place in the segment, by binary search.
//!
//! ```text
//!  .index   [ relative offset i32 | position i32 ] ...        8 bytes each, big-endian, ascending
//! ```
//!
//! An entry says: the batch at `position` ends with offset `base + relative offset`. There is one
//! per `index.interval.bytes` of log, so a search ends with a short walk over batch headers.
//! Kafka preallocates the file of the active segment; zeros at its end are no entries.

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

/// The last entry at or below `relative_offset`.
pub(super) fn floor(entries: &[Raw], relative_offset: i64) -> Option<OffsetEntry> {
    let above = entries.partition_point(|raw| offset_of(*raw) <= relative_offset);
    Some(OffsetEntry::decode(entries[above.checked_sub(1)?]))
}

/// The first entry at or above `relative_offset`.
pub(super) fn ceiling(entries: &[Raw], relative_offset: i64) -> Option<OffsetEntry> {
    let below = entries.partition_point(|raw| offset_of(*raw) < relative_offset);
    entries.get(below).copied().map(OffsetEntry::decode)
}

fn offset_of(raw: Raw) -> i64 {
    i64::from(OffsetEntry::decode(raw).relative_offset)
}

/// How many of the entries are not the zeros of a preallocated file. No real entry is zero: the
/// first batch of a segment gets none.
pub(super) fn count(entries: &[Raw]) -> usize {
    let real = entries.iter().rposition(|raw| *raw != [0; ENTRY_BYTES]);
    real.map_or(0, |last| last + 1)
}

/// Whether the entries can belong to a segment of `size` bytes. The ends are looked at; what lies
/// between is checked when it is used.
pub(super) fn is_plausible(entries: &[Raw], size: u64) -> bool {
    let [Some(first), Some(last)] =
        [entries.first(), entries.last()].map(|raw| raw.copied().map(OffsetEntry::decode))
    else {
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
        let position = |offset| floor(&entries, offset).map(|entry| entry.position);
        assert_eq!(position(8), None);
        assert_eq!(position(9), Some(100));
        assert_eq!(position(19), Some(100));
        assert_eq!(position(20), Some(200));
        assert_eq!(position(i64::MAX), Some(300));
        assert_eq!(floor(&[], 5), None);
        let above = |offset| ceiling(&entries, offset).map(|entry| entry.position);
        assert_eq!(above(9), Some(100));
        assert_eq!(above(10), Some(200));
        assert_eq!(above(32), None);
    }

    #[test]
    fn zeros_at_the_end_are_no_entries() {
        assert_eq!(count(&entries(&[(9, 100), (0, 0), (0, 0)])), 1);
        assert_eq!(count(&entries(&[(0, 0)])), 0);
        assert_eq!(count(&[]), 0);
    }

    #[test]
    fn implausible_ends_are_seen() {
        assert!(is_plausible(&[], 0));
        assert!(is_plausible(&entries(&[(1, 10), (2, 20)]), 21));
        for bad in [
            [(1, 10), (2, 21)],
            [(2, 10), (1, 20)],
            [(1, 20), (2, 10)],
            [(0, 0), (2, 10)],
            [(-1, 1), (2, 10)],
        ] {
            assert!(!is_plausible(&entries(&bad), 21), "{bad:?}");
        }
    }
}
