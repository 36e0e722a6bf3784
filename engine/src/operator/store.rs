//! The state of windows: a map of keys for each slice of time.
//!
//! ```text
//! slice start ──▶ key ──▶ Slot { accumulator, highest timestamp }
//!   0               EWR     …
//!   5               EWR     …      a window [0, 10) is the slices 0 and 5;
//!                   JFK     …      [5, 15) is the slices 5 and 10
//!   10              JFK     …
//! ```
//!
//! Time is the outer map: forgetting the past is dropping whole slices, never a scan over keys. The
//! hash is seeded alike in every run and nothing depends on its order anyway: results are sorted by
//! the bytes of their keys. Left out: a changelog, and state larger than memory.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasherDefault;
use std::ops::Range;

use brooklet_protocol::Timestamp;

use crate::key::Key;

type KeyMap<K, S> = HashMap<K, S, BuildHasherDefault<DefaultHasher>>;

/// What a slice or a window holds of one key.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Slot<Acc> {
    /// All values combined.
    pub(crate) acc: Acc,
    /// The highest timestamp among them.
    pub(crate) timestamp: Timestamp,
}

/// The slices that open windows need.
#[derive(Debug)]
pub(crate) struct SliceStore<K, Acc> {
    slices: BTreeMap<i64, KeyMap<K, Slot<Acc>>>,
}

impl<K: Key, Acc: Clone> SliceStore<K, Acc> {
    pub(crate) fn new() -> Self {
        Self {
            slices: BTreeMap::new(),
        }
    }

    /// Folds one record into its slice; `true` if it is the slice's first.
    pub(crate) fn fold(
        &mut self,
        slice: i64,
        key: &K,
        timestamp: Timestamp,
        lift: impl FnOnce() -> Acc,
        add: impl FnOnce(&mut Acc),
    ) -> bool {
        let keys = self.slices.entry(slice).or_default();
        let is_new = keys.is_empty();
        if let Some(slot) = keys.get_mut(key) {
            add(&mut slot.acc);
            slot.timestamp = slot.timestamp.max(timestamp);
        } else {
            let acc = lift();
            keys.insert(key.clone(), Slot { acc, timestamp });
        }
        is_new
    }

    /// All keys of the slices in the range, in order of their bytes.
    pub(crate) fn combine(
        &self,
        slices: Range<i64>,
        combine: impl Fn(&mut Acc, &Acc),
    ) -> Vec<(K, Slot<Acc>)> {
        let mut all: KeyMap<&K, Slot<Acc>> = KeyMap::default();
        for keys in self.slices.range(slices).map(|(_, keys)| keys) {
            for (key, slot) in keys {
                match all.get_mut(key) {
                    Some(earlier) => merge(earlier, slot, &combine),
                    None => drop(all.insert(key, slot.clone())),
                }
            }
        }
        let mut all: Vec<_> = all.into_iter().map(|(k, slot)| (k.clone(), slot)).collect();
        all.sort_by_cached_key(|(key, _)| key.to_bytes());
        all
    }

    /// One key of the slices in the range.
    pub(crate) fn combine_key(
        &self,
        slices: Range<i64>,
        key: &K,
        combine: impl Fn(&mut Acc, &Acc),
    ) -> Option<Slot<Acc>> {
        let mut slots = self
            .slices
            .range(slices)
            .filter_map(|(_, keys)| keys.get(key));
        let mut all = slots.next()?.clone();
        slots.for_each(|slot| merge(&mut all, slot, &combine));
        Some(all)
    }

    /// The first slice at or after `from` that holds anything.
    pub(crate) fn first_from(&self, from: i64) -> Option<i64> {
        self.slices.range(from..).next().map(|(slice, _)| *slice)
    }

    /// Forgets the slices before `start`.
    pub(crate) fn drop_before(&mut self, start: i64) {
        while let Some(first) = self.slices.first_entry()
            && *first.key() < start
        {
            first.remove();
        }
    }

    /// The slices next to this one, before and after it, that hold anything.
    pub(crate) fn neighbours(&self, slice: i64) -> (Option<i64>, Option<i64>) {
        let before = self.slices.range(..slice).next_back();
        let after = self.slices.range(slice.saturating_add(1)..).next();
        (
            before.map(|(slice, _)| *slice),
            after.map(|(slice, _)| *slice),
        )
    }
}

fn merge<Acc>(earlier: &mut Slot<Acc>, later: &Slot<Acc>, combine: impl Fn(&mut Acc, &Acc)) {
    combine(&mut earlier.acc, &later.acc);
    earlier.timestamp = earlier.timestamp.max(later.timestamp);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(store: &mut SliceStore<String, i64>, slice: i64, key: &str, value: i64) {
        let time = Timestamp(slice + value);
        store.fold(slice, &key.to_owned(), time, || value, |acc| *acc += value);
    }

    #[test]
    fn a_window_is_its_slices_in_order_of_key_bytes() {
        let mut store = SliceStore::new();
        for (slice, key, value) in [
            (5, "b", 1),
            (0, "b", 2),
            (0, "a", 3),
            (10, "c", 4),
            (0, "a", 1),
        ] {
            add(&mut store, slice, key, value);
        }
        let sum = |a: &mut i64, b: &i64| *a += b;
        let found = store.combine(0..10, sum);
        let found: Vec<_> = found
            .iter()
            .map(|(k, s)| (k.as_str(), s.acc, s.timestamp.0))
            .collect();
        assert_eq!(found, [("a", 4, 3), ("b", 3, 6)]);
        let b = store.combine_key(0..10, &"b".to_owned(), sum).unwrap();
        assert_eq!((b.acc, b.timestamp.0), (3, 6));
        store.drop_before(5);
        assert_eq!(store.neighbours(5), (None, Some(10)));
        assert_eq!(store.neighbours(7), (Some(5), Some(10)));
        assert_eq!(store.first_from(6), Some(10));
        assert_eq!(store.combine_key(0..5, &"b".to_owned(), sum), None);
    }
}
