//! The state of aligned windows: a map of keys for each slice of time.
//!
//! ```text
//! slice     key ──▶ slot { accumulator, highest timestamp }
//! [0, 5)    EWR     …
//! [5, 10)   EWR     …      a window [0, 10) is the first two slices;
//!           JFK     …      [5, 15) is the last two
//! [10, 15)  JFK     …
//! ```
//!
//! Time is the outer map: forgetting the past is dropping whole slices, never a scan over keys.
//! Most records fall into the slice of the record before, so that one is looked at first.
//!
//! In the changelog a slot is a row with the key (key, start of the slice). Dropping a slice writes
//! no rows. So a restore also finds slices whose windows have all closed; the operator drops them
//! again as soon as it knows stream time.
//!
//! Invariants: slices are in order of time and do not overlap; none is empty; the timestamp of a slot
//! lies in its slice.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;

use brooklet_protocol::Timestamp;
use foldhash::fast::FixedState;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{KeyList, KeyMap, Rows, Slot, StateStore, layout, sorted};
use crate::codec::DecodeError;
use crate::window::{Aligned, Window};

#[derive(Debug)]
struct Slice<Acc> {
    span: Window,
    keys: KeyMap<Held<Acc>>,
    /// Keys that changed since the last commit.
    dirty: KeyList,
}

impl<Acc> Slice<Acc> {
    fn slots(&self) -> impl Iterator<Item = (&[u8], &Slot<Acc>)> {
        self.keys.iter().map(|(key, held)| (&**key, &held.slot))
    }
}

#[derive(Debug)]
struct Held<Acc> {
    slot: Slot<Acc>,
    is_dirty: bool,
}

/// The slices that open windows need.
#[derive(Debug)]
pub(crate) struct Slices<W, Acc> {
    windows: W,
    in_order: VecDeque<Slice<Acc>>,
    /// The index of the slice that was used last, if it is still there.
    last: usize,
    /// Whether changes are kept for a changelog.
    is_logged: bool,
}

/// A record to be folded: its key, its event time, and how it is added.
pub(crate) struct Folded<'a, L, A> {
    pub(crate) key: &'a [u8],
    pub(crate) time: Timestamp,
    pub(crate) lift: L,
    pub(crate) add: A,
}

impl<W: Aligned, Acc: Clone> Slices<W, Acc> {
    pub(crate) fn new(windows: W, is_logged: bool) -> Self {
        Self {
            windows,
            in_order: VecDeque::new(),
            last: 0,
            is_logged,
        }
    }

    /// Folds one record into its slice; returns the slice if the record is its first.
    pub(crate) fn fold<L, A>(&mut self, record: Folded<'_, L, A>) -> Option<Window>
    where
        L: FnOnce() -> Acc,
        A: FnOnce(&mut Acc),
    {
        let Folded {
            key,
            time,
            lift,
            add,
        } = record;
        let (index, is_new) = self.slice_of(time);
        let slice = &mut self.in_order[index];
        if let Some(held) = slice.keys.get_mut(key) {
            add(&mut held.slot.acc);
            held.slot.timestamp = held.slot.timestamp.max(time);
            if self.is_logged && !held.is_dirty {
                held.is_dirty = true;
                slice.dirty.push(key);
            }
        } else {
            let slot = Slot {
                acc: lift(),
                timestamp: time,
            };
            let is_dirty = self.is_logged;
            slice.keys.insert(key.into(), Held { slot, is_dirty });
            if is_dirty {
                slice.dirty.push(key);
            }
        }
        is_new.then_some(slice.span)
    }

    /// The index of the slice that contains the moment, and whether it was made for it.
    fn slice_of(&mut self, time: Timestamp) -> (usize, bool) {
        let is_last = |slice: &Slice<Acc>| slice.span.contains(time);
        if self.in_order.get(self.last).is_some_and(is_last) {
            return (self.last, false);
        }
        let after = self
            .in_order
            .partition_point(|slice| slice.span.start <= time);
        if let Some(index) = after.checked_sub(1)
            && self.in_order[index].span.contains(time)
        {
            self.last = index;
            return (index, false);
        }
        let slice = Slice {
            span: self.windows.slice(time),
            keys: KeyMap::default(),
            dirty: KeyList::default(),
        };
        self.in_order.insert(after, slice);
        self.last = after;
        (after, true)
    }

    fn range(&self, slices: Range<Timestamp>) -> impl Iterator<Item = &Slice<Acc>> {
        let from = self
            .in_order
            .partition_point(|slice| slice.span.start < slices.start);
        let slices_from = self.in_order.range(from..);
        slices_from.take_while(move |slice| slice.span.start < slices.end)
    }

    /// All keys of the slices that begin in the range, in order of their bytes.
    pub(crate) fn combine(
        &self,
        slices: Range<Timestamp>,
        combine: impl Fn(&mut Acc, &Acc),
    ) -> Vec<(&[u8], Slot<Acc>)> {
        let mut slices = self.range(slices);
        let Some(first) = slices.next() else {
            return Vec::new();
        };
        let first = first.slots().map(|(key, slot)| (key, slot.clone()));
        let Some(second) = slices.next() else {
            return sorted(first);
        };
        let mut all: HashMap<&[u8], Slot<Acc>, FixedState> = first.collect();
        for (key, slot) in std::iter::once(second).chain(slices).flat_map(Slice::slots) {
            match all.get_mut(key) {
                Some(earlier) => earlier.merge(slot, &combine),
                None => drop(all.insert(key, slot.clone())),
            }
        }
        sorted(all)
    }

    /// All slots of the slices that begin in the range, slice by slice in order of time.
    pub(super) fn slots(
        &self,
        slices: Range<Timestamp>,
    ) -> impl Iterator<Item = (&[u8], &Slot<Acc>)> {
        self.range(slices).flat_map(Slice::slots)
    }

    /// How many slots these slices have.
    pub(super) fn count(&self, slices: Range<Timestamp>) -> usize {
        self.range(slices).map(|slice| slice.keys.len()).sum()
    }

    /// One key of the slices that begin in the range.
    pub(crate) fn combine_key(
        &self,
        slices: Range<Timestamp>,
        key: &[u8],
        combine: impl Fn(&mut Acc, &Acc),
    ) -> Option<Slot<Acc>> {
        let mut slots = self
            .range(slices)
            .filter_map(|slice| slice.keys.get(key).map(|held| &held.slot));
        let mut all = slots.next()?.clone();
        slots.for_each(|slot| all.merge(slot, &combine));
        Some(all)
    }

    /// The first slice that ends after the moment.
    pub(crate) fn first_after(&self, time: Timestamp) -> Option<Window> {
        let index = self
            .in_order
            .partition_point(|slice| slice.span.end <= time);
        self.in_order.get(index).map(|slice| slice.span)
    }

    /// Forgets the slices that begin before `start`.
    pub(crate) fn drop_before(&mut self, start: Timestamp) {
        while self
            .in_order
            .front()
            .is_some_and(|slice| slice.span.start < start)
        {
            self.in_order.pop_front();
            self.last = self.last.saturating_sub(1);
        }
    }

    /// The slices next to this one, before and after it.
    pub(crate) fn neighbours(&self, slice: Window) -> (Option<Window>, Option<Window>) {
        let at = self
            .in_order
            .partition_point(|other| other.span.start < slice.start);
        let before = at.checked_sub(1).map(|index| self.in_order[index].span);
        let after = self.in_order.range(at..).map(|other| other.span);
        (
            before,
            after.into_iter().find(|other| other.start > slice.start),
        )
    }
}

impl<W, Acc> StateStore for Slices<W, Acc>
where
    W: Aligned,
    Acc: Clone + Serialize + DeserializeOwned,
{
    fn changes(&mut self, rows: &mut Rows) {
        for slice in &mut self.in_order {
            for key in slice.dirty.iter() {
                let Some(held) = slice.keys.get_mut(key) else {
                    continue;
                };
                held.is_dirty = false;
                let slot = &held.slot;
                rows.put(
                    |to| layout::window_key(key, slice.span.start, to),
                    |to| layout::value(slot.timestamp, &slot.acc, to),
                );
            }
            slice.dirty.clear();
        }
    }

    fn restore(&mut self, row: &[u8], value: Option<&[u8]>) -> Result<(), DecodeError> {
        let (key, start) = layout::read_window_key(row)?;
        if start.0 < 0 || start == Timestamp::MAX {
            return Err(DecodeError(format!(
                "expected a slice's start, found {start}"
            )));
        }
        let read = value.map(layout::read_value::<Acc>).transpose()?;
        let span = self.windows.slice(start);
        if let Some((timestamp, _)) = read.as_ref().filter(|(time, _)| !span.contains(*time)) {
            return Err(DecodeError(format!(
                "expected an event time in {span}, found {timestamp}"
            )));
        }
        let (index, _) = self.slice_of(start);
        let slice = &mut self.in_order[index];
        if let Some((timestamp, acc)) = read {
            let slot = Slot { acc, timestamp };
            let is_dirty = false;
            slice.keys.insert(key.into(), Held { slot, is_dirty });
        } else {
            slice.keys.remove(key);
        }
        if slice.keys.is_empty() {
            self.in_order.remove(index);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::millis;
    use crate::window::{TimeWindows, Tumbling};
    use proptest::prelude::*;

    type Store = Slices<TimeWindows, i64>;

    fn store() -> Store {
        Slices::new(Tumbling::of(millis(5)).grace(millis(0)), true)
    }

    fn add(store: &mut Store, time: i64, key: &str, value: i64) {
        store.fold(Folded {
            key: key.as_bytes(),
            time: Timestamp(time),
            lift: || value,
            add: |acc: &mut i64| *acc += value,
        });
    }

    fn range(from: i64, to: i64) -> Range<Timestamp> {
        Timestamp(from)..Timestamp(to)
    }

    #[test]
    fn a_window_is_its_slices_in_order_of_key_bytes() {
        let mut store = store();
        for (time, key, value) in [
            (6, "b", 1),
            (2, "b", 2),
            (3, "a", 3),
            (14, "c", 4),
            (1, "a", 1),
        ] {
            add(&mut store, time, key, value);
        }
        let sum = |a: &mut i64, b: &i64| *a += b;
        let found = store.combine(range(0, 10), sum);
        let found: Vec<_> = found
            .iter()
            .map(|(k, s)| (*k, s.acc, s.timestamp.0))
            .collect();
        assert_eq!(found, [(&b"a"[..], 4, 3), (&b"b"[..], 3, 6)]);
        let b = store.combine_key(range(0, 10), b"b", sum).unwrap();
        assert_eq!((b.acc, b.timestamp.0), (3, 6));
        store.drop_before(Timestamp(5));
        let span = |start: i64| Window {
            start: Timestamp(start),
            end: Timestamp(start + 5),
        };
        assert_eq!(store.neighbours(span(5)), (None, Some(span(10))));
        assert_eq!(store.neighbours(span(10)), (Some(span(5)), None));
        assert_eq!(store.first_after(Timestamp(10)), Some(span(10)));
        assert_eq!(store.combine_key(range(0, 5), b"b", sum), None);
    }

    #[test]
    fn what_is_no_row_is_refused() {
        let mut store = store();
        let error = store.restore(b"short", None).unwrap_err().to_string();
        assert_eq!(error, "expected at least 12 bytes, found 5");
        let mut row = Vec::new();
        layout::window_key(b"k", Timestamp(-5), &mut row);
        let error = store.restore(&row, None).unwrap_err().to_string();
        assert_eq!(error, "expected a slice's start, found -5");
        let (mut row, mut value) = (Vec::new(), Vec::new());
        layout::window_key(b"k", Timestamp(5), &mut row);
        layout::value(Timestamp(10), &1i64, &mut value);
        let error = store.restore(&row, Some(&value)).unwrap_err().to_string();
        assert_eq!(error, "expected an event time in [5, 10), found 10");
        assert_eq!(store.first_after(Timestamp(0)), None);
    }

    proptest! {
        #[test]
        fn the_changelog_makes_the_store_again(
            records in proptest::collection::vec((0i64..40, 0u8..4, 1i64..9, 0u8..4), 0..60)
        ) {
            let (mut live, mut rows) = (store(), Rows::default());
            for (time, key, value, commit) in records {
                add(&mut live, time, &key.to_string(), value);
                if commit == 0 {
                    live.changes(&mut rows);
                }
            }
            live.changes(&mut rows);
            let mut restored = store();
            for (row, value) in rows.iter() {
                restored.restore(row, value).unwrap();
            }
            let all = |store: &Store| -> Vec<_> {
                let of = |slice: &Slice<i64>| {
                    let keys = slice.keys.iter().map(|(key, held)| (key.to_vec(), held.slot.clone()));
                    let mut keys: Vec<_> = keys.collect();
                    keys.sort_by(|a, b| a.0.cmp(&b.0));
                    (slice.span, keys)
                };
                store.in_order.iter().map(of).collect()
            };
            prop_assert_eq!(all(&live), all(&restored));
            let mut none = Rows::default();
            restored.changes(&mut none);
            prop_assert!(none.is_empty());
        }
    }
}
