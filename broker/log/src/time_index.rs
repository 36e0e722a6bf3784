//! The time index: from a timestamp to an offset, by binary search.
//!
//! ```text
//!  .timeindex   [ timestamp i64 | relative offset i32 ] ...   12 bytes each, big-endian, ascending
//! ```
//!
//! An entry says: up to here the highest timestamp was `timestamp`, first reached by the batch that
//! ends with offset `base + relative offset`. So every record at or after a later time lies in that
//! batch or behind it. Timestamps in a log may go back; those in the index do not. The last entry
//! of a sealed segment is its maximum.

use std::io;

use brooklet_protocol::Timestamp;

use super::entries::Entries;

/// Bytes of an entry.
pub(super) const ENTRY_BYTES: usize = 12;

/// An entry, as stored.
pub(super) type Raw = [u8; ENTRY_BYTES];

/// The batch that ends with offset base + `relative_offset` was the first to reach `timestamp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TimeEntry {
    pub(super) timestamp: Timestamp,
    pub(super) relative_offset: i32,
}

impl TimeEntry {
    pub(super) fn encode(self) -> Raw {
        let mut raw = [0; ENTRY_BYTES];
        raw[..8].copy_from_slice(&self.timestamp.0.to_be_bytes());
        raw[8..].copy_from_slice(&self.relative_offset.to_be_bytes());
        raw
    }

    pub(super) fn decode(raw: &Raw) -> Self {
        let (timestamp, offset) = raw.split_at(8);
        let whole = "an entry is 8 and 4 bytes";
        Self {
            timestamp: Timestamp(i64::from_be_bytes(timestamp.try_into().expect(whole))),
            relative_offset: i32::from_be_bytes(offset.try_into().expect(whole)),
        }
    }
}

/// Entries in memory or in a file.
pub(super) type TimeEntries<'a> = Entries<'a, ENTRY_BYTES>;

/// The last entry at or before `timestamp`.
pub(super) fn floor(
    entries: &TimeEntries<'_>,
    timestamp: Timestamp,
) -> io::Result<Option<TimeEntry>> {
    let is_before = |raw: &Raw| TimeEntry::decode(raw).timestamp <= timestamp;
    let found = match entries.partition_point(is_before)?.checked_sub(1) {
        Some(last) => entries.get(last)?,
        None => None,
    };
    Ok(found.as_ref().map(TimeEntry::decode))
}

/// How many of the entries are not the zeros of a preallocated file. Zero can be real as the only
/// entry: time 0, reached by the first record.
pub(super) fn count(entries: &TimeEntries<'_>) -> io::Result<usize> {
    let real = entries.last_real()?;
    Ok(real.map_or(usize::from(entries.len() == 1), |last| last + 1))
}

/// Whether entries with these ends, the first and the last, can belong to a segment that is (not)
/// `empty`: only a segment without timestamps has no entry.
pub(super) fn is_plausible(ends: Option<[Raw; 2]>, empty: bool) -> bool {
    let Some([first, last]) = ends.map(|ends| ends.map(|raw| TimeEntry::decode(&raw))) else {
        return empty;
    };
    let ascending = first.timestamp <= last.timestamp;
    !empty && ascending && first.timestamp.0 >= 0 && last.relative_offset >= 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(pairs: &[(i64, i32)]) -> Vec<Raw> {
        let entry = |&(timestamp, relative_offset)| TimeEntry {
            timestamp: Timestamp(timestamp),
            relative_offset,
        };
        pairs.iter().map(entry).map(TimeEntry::encode).collect()
    }

    #[test]
    fn an_entry_is_twelve_bytes_big_endian() {
        let raw = entries(&[(0x0102_0304_0506_0708, 0x090a_0b0c)]);
        assert_eq!(raw, [[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]]);
        assert_eq!(TimeEntry::decode(&raw[0]).encode(), raw[0]);
    }

    #[test]
    fn the_floor_is_the_last_entry_at_or_before() {
        let entries = entries(&[(1000, 3), (2000, 8)]);
        let entries = TimeEntries::Memory(&entries);
        let found = |time| floor(&entries, Timestamp(time)).unwrap();
        let offset = |time| found(time).map(|entry| entry.relative_offset);
        assert_eq!(offset(999), None);
        assert_eq!(offset(1000), Some(3));
        assert_eq!(offset(1999), Some(3));
        assert_eq!(offset(i64::MAX), Some(8));
    }

    #[test]
    fn zeros_at_the_end_are_no_entries_but_a_lone_zero_is_one() {
        let count = |pairs| count(&TimeEntries::Memory(&entries(pairs))).unwrap();
        assert_eq!(count(&[(7, 1), (0, 0), (0, 0)]), 1);
        assert_eq!(count(&[(0, 0), (0, 0)]), 0);
        assert_eq!(count(&[(0, 0)]), 1);
        assert_eq!(count(&[]), 0);
    }

    #[test]
    fn implausible_ends_are_seen() {
        let ends = |pairs: &[(i64, i32)]| TimeEntries::Memory(&entries(pairs)).ends().unwrap();
        assert!(is_plausible(ends(&[]), true));
        assert!(is_plausible(ends(&[(0, 0), (5, 2)]), false));
        assert!(!is_plausible(ends(&[]), false));
        assert!(!is_plausible(ends(&[(0, 0)]), true));
        for bad in [[(5, 0), (4, 1)], [(-5, 0), (4, 1)], [(5, 0), (6, -1)]] {
            assert!(!is_plausible(ends(&bad), false), "{bad:?}");
        }
    }
}
