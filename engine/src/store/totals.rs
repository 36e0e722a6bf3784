//! Running totals of overlapping windows: a window is made from the one before it.
//!
//! ```text
//! slices            s1    s2    s3    s4    s5
//! this window      [s1 ·  s2 ·  s3 ·  s4)
//! the next window        [s2 ·  s3 ·  s4 ·  s5)     = retract s1, then combine s5
//! ```
//!
//! A window that closes costs two slices, however many it has: the one that leaves and the one that
//! comes. A window that only grows, as cumulative windows do, retracts nothing, so its totals serve
//! every aggregate.
//!
//! # Why the totals are those of the plain combination
//!
//! `combine` is associative and `retract(combine(a, b), a)` is `b`, both to the bit. So it is enough
//! that the slices of the totals do not change behind their back. Two things could change them:
//!
//! - *A slice is dropped.* [`Totals::leave`] is called before, and retracts it. Slices leave in order
//!   of time, so what is retracted was combined first.
//! - *A record is folded into a slice of the totals.* That a window has closed does not keep records
//!   out of its slices: later windows over a slice may still be open, and the slice takes records as
//!   long as one of them is. No slice of the totals is therefore safe, except for those that no
//!   window needs any longer. The record cannot be added to the total either: it belongs in the
//!   middle of it, and `combine` need not be commutative. So the totals forget its key
//!   ([`Totals::touch`]), and the next window combines that key from its slices. Such a record is
//!   late for the window whose totals these are, so there are few; what is within the grace never
//!   comes here.
//!
//! The highest event time of a total needs no algebra. Slices do not overlap, so the slot with the
//! highest event time is that of the key's last slice; it leaves last, and the key with it.
//!
//! Totals are derived: they are in no changelog, and after a restart the first window is combined
//! from its slices. Both ways lead to the same bits, so nobody can tell.
//!
//! Invariants:
//! - for each key that is not stale, the total is the combination of its slots in `span`, in order;
//! - a stale key has no total.

use std::collections::HashSet;
use std::ops::Range;

use brooklet_protocol::Timestamp;
use foldhash::fast::FixedState;

use super::key_bytes::KeyBytes;
use super::slices::Slices;
use super::{KeyMap, Slot, sorted};
use crate::window::{Aligned, Window};

/// The totals of the window that closed last.
#[derive(Debug)]
pub(crate) struct Totals<Acc> {
    /// The totals are over the slices that begin here.
    span: Range<Timestamp>,
    keys: KeyMap<Slot<Acc>>,
    /// Keys that have no total, because a slot of theirs has changed.
    stale: HashSet<KeyBytes, FixedState>,
    retracts: bool,
}

impl<Acc: Clone> Totals<Acc> {
    /// For windows that overlap, with an aggregate that retracts or does not; `None` if totals would
    /// not pay.
    pub(crate) fn new(windows: &impl Aligned, retracts: bool) -> Option<Self> {
        pay(windows, retracts).then(|| Self {
            span: Timestamp::MIN..Timestamp::MIN,
            keys: KeyMap::default(),
            stale: HashSet::default(),
            retracts,
        })
    }

    /// A record of this key and event time was folded into its slice.
    pub(crate) fn touch(&mut self, key: &[u8], time: Timestamp) {
        if self.span.contains(&time) && !self.stale.contains(key) {
            self.keys.remove(key);
            self.stale.insert(key.into());
        }
    }

    /// The slices before `start` are about to be dropped: no window to come needs them.
    pub(crate) fn leave<W: Aligned>(
        &mut self,
        slices: &Slices<W, Acc>,
        start: Timestamp,
        retract: impl Fn(&mut Acc, &Acc),
    ) {
        if start <= self.span.start {
            return;
        }
        let (leaving, staying) = (
            self.span.start..start.min(self.span.end),
            start..self.span.end,
        );
        if !self.retracts || slices.count(staying.clone()) <= slices.count(leaving.clone()) {
            return self.restart(start);
        }
        self.span = staying;
        for (key, slot) in slices.slots(leaving) {
            let Some(total) = self.keys.get_mut(key) else {
                continue;
            };
            if total.timestamp == slot.timestamp {
                self.keys.remove(key);
            } else {
                retract(&mut total.acc, &slot.acc);
            }
        }
    }

    fn restart(&mut self, start: Timestamp) {
        self.span = start..start;
        self.keys.clear();
        self.stale.clear();
    }

    /// All keys of a window, in order of their bytes. The slices before it have left.
    pub(crate) fn of_window<W: Aligned>(
        &mut self,
        slices: &Slices<W, Acc>,
        window: Window,
        combine: impl Fn(&mut Acc, &Acc),
    ) -> Vec<(&[u8], &Slot<Acc>)> {
        if self.span.start != window.start || self.span.end > window.end {
            self.restart(window.start);
        }
        for (key, slot) in slices.slots(self.span.end..window.end) {
            match self.keys.get_mut(key) {
                Some(earlier) => earlier.merge(slot, &combine),
                None => drop(self.keys.insert(key.into(), slot.clone())),
            }
        }
        self.span.end = window.end;
        for key in self.stale.drain() {
            if let Some(slot) = slices.combine_key(self.span.clone(), &key, &combine) {
                self.keys.insert(key, slot);
            }
        }
        sorted(self.keys.iter().map(|(key, slot)| (&**key, slot)))
    }
}

/// Whether totals cost less than to combine all slices of each window.
pub(crate) fn pay(windows: &impl Aligned, retracts: bool) -> bool {
    windows.overlap() && (retracts || grow(windows))
}

/// Whether a window begins where the one before it begins.
fn grow(windows: &impl Aligned) -> bool {
    let first = windows.first(Timestamp(0));
    windows.next(first).start == first.start
}
