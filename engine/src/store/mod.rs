//! Stores: the state of operators, and how it is written down.
//!
//! A store is a table in memory. What changed in it since the last commit leaves as *rows* for its
//! changelog topic, and replaying the changelog makes the table again: a log, replayed into a
//! table.
//!
//! ```text
//!  operator ──▶ store ──changes──▶ rows ──▶ APP-NAME-changelog
//!                 ▲                              │
//!                 └───────────restore────────────┘
//!
//!  slices   a slice of time ──▶ key ──▶ slot        windows that are the same for every key
//!  totals   key ──▶ slot of a whole window          derived from slices, for windows that overlap
//!  keyed    key ──▶ value, and when to wake it      windows that a key's data makes, own operators
//! ```
//!
//! Keys are bytes here, in their canonical form: a record's key finds its slot without being
//! decoded, and is copied only when it is the first of its slice ([`key_bytes`]). The layout of rows is
//! [`layout`]'s. No result depends on the order in which a hash map holds its keys: what leaves is
//! sorted.
//!
//! Invariants:
//! - a key that changed several times between two commits leaves one row, in the order in which
//!   keys first changed;
//! - restoring all rows that ever left, in order, makes an equal store.

mod key_bytes;
pub(crate) mod keyed;
pub(crate) mod layout;
pub(crate) mod slices;
pub(crate) mod totals;

use std::collections::HashMap;

use brooklet_protocol::Timestamp;
use foldhash::fast::FixedState;

use self::key_bytes::KeyBytes;
use crate::codec::DecodeError;

/// A table whose changes can be written down and replayed.
pub trait StateStore {
    /// Hands over what changed since the last call, as rows.
    fn changes(&mut self, rows: &mut Rows);
    /// Replays one row; without a value, the key is gone.
    fn restore(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), DecodeError>;
}

/// Rows for one changelog, in one buffer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    bytes: Vec<u8>,
    ends: Vec<(usize, Option<usize>)>,
}

impl Rows {
    /// Adds a row; `key` and `value` append their bytes.
    pub(crate) fn put(&mut self, key: impl FnOnce(&mut Vec<u8>), value: impl FnOnce(&mut Vec<u8>)) {
        key(&mut self.bytes);
        let key_end = self.bytes.len();
        value(&mut self.bytes);
        self.ends.push((key_end, Some(self.bytes.len())));
    }

    /// Adds a row that says that the key is gone.
    pub(crate) fn remove(&mut self, key: impl FnOnce(&mut Vec<u8>)) {
        key(&mut self.bytes);
        self.ends.push((self.bytes.len(), None));
    }

    /// All rows, in the order in which they were added.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        let mut start = 0;
        self.ends.iter().map(move |(key_end, value_end)| {
            let key = &self.bytes[start..*key_end];
            start = value_end.unwrap_or(*key_end);
            (key, value_end.map(|end| &self.bytes[*key_end..end]))
        })
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Forgets them, and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }
}

/// What a slice or a window holds of one key.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Slot<Acc> {
    /// All values combined.
    pub(crate) acc: Acc,
    /// The highest event time among them.
    pub(crate) timestamp: Timestamp,
}

impl<Acc> Slot<Acc> {
    /// Adds what comes later.
    pub(crate) fn merge(&mut self, later: &Self, combine: impl FnOnce(&mut Acc, &Acc)) {
        combine(&mut self.acc, &later.acc);
        self.timestamp = self.timestamp.max(later.timestamp);
    }
}

/// Slots in order of their keys' bytes.
fn sorted<'a, S>(slots: impl IntoIterator<Item = (&'a [u8], S)>) -> Vec<(&'a [u8], S)> {
    let mut slots: Vec<_> = slots.into_iter().collect();
    slots.sort_unstable_by_key(|(key, _)| *key);
    slots
}

/// A map by key bytes. Its hash is a fold of products, much cheaper for short keys than the
/// standard library's, and with the same seed in every run. Keys that a sender chose so that they
/// collide slow down the query that reads them, and nothing else.
pub(crate) type KeyMap<S> = HashMap<KeyBytes, S, FixedState>;

/// Keys in a row, in one buffer.
#[derive(Clone, Debug, Default)]
pub(crate) struct KeyList {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl KeyList {
    /// Adds a key at the end.
    pub(crate) fn push(&mut self, key: &[u8]) {
        self.bytes.extend_from_slice(key);
        self.ends.push(self.bytes.len());
    }

    /// All keys, in the order in which they came.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut start = 0;
        self.ends.iter().map(move |end| {
            let key = &self.bytes[start..*end];
            start = *end;
            key
        })
    }

    /// Forgets them, and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_as_they_were_put() {
        let mut rows = Rows::default();
        rows.put(|key| key.extend(b"a"), |value| value.extend(b"one"));
        rows.remove(|key| key.extend(b"bc"));
        rows.put(|key| key.extend(b"d"), |_| ());
        let found: Vec<_> = rows.iter().collect();
        let expected: [(&[u8], Option<&[u8]>); 3] =
            [(b"a", Some(b"one")), (b"bc", None), (b"d", Some(b""))];
        assert_eq!(found, expected);
    }
}
