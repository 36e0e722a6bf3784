//! The operator of aligned windows: folds each record into its slice, and closes windows as time
//! passes.
//!
//! For every input, in this order:
//!
//! 1. stream time advances to that of the input, the record itself included;
//! 2. every window with `end + grace <= stream_time` closes: its finals are emitted, now and
//!    never again;
//! 3. the record is classified: for each of its windows that is closed it is *late*; if any is
//!    open, it is folded into its slice, once, however many windows share the slice.
//!
//! Invariants:
//! - a window that has closed never reopens;
//! - no slice is dropped before all windows over it have closed, however far time jumps;
//! - results depend on the order of the input alone.

use super::emit::Emitter;
use super::rule::Rule;
use super::{KeyedBatch, KeyedOperator};
use crate::aggregate::Aggregate;
use crate::branch::At;
use crate::branch::outbox::Outbox;
use crate::branch::progress::Walk;
use crate::key::Key;
use crate::store::slices::{Folded, Slices};
use crate::store::totals::Totals;
use crate::window::{Aligned, Window};
use brooklet_protocol::{Timestamp, TopicName};

/// See the module.
pub(crate) struct AlignedOperator<K, V, W, A: Aggregate<V>> {
    windows: W,
    aggregate: A,
    rule: Rule,
    store: Slices<W, A::Acc>,
    /// For windows that overlap, if they pay.
    totals: Option<Totals<A::Acc>>,
    changelog: TopicName,
    emitter: Emitter<K, V, A::Out>,
    /// The first window to close next, with data or without.
    first_open: Window,
    /// Windows that are open and hold data.
    open_windows: u64,
    is_resumed: bool,
}

impl<K, V, W, A> AlignedOperator<K, V, W, A>
where
    K: Key,
    V: Clone,
    W: Aligned,
    A: Aggregate<V>,
{
    pub(crate) fn new(
        windows: W,
        aggregate: A,
        emitter: Emitter<K, V, A::Out>,
        changelog: TopicName,
        is_logged: bool,
    ) -> Self {
        Self {
            rule: Rule::new(windows.grace_ms()),
            store: Slices::new(windows.clone(), is_logged),
            totals: Totals::new(&windows, aggregate.retracts()),
            first_open: windows.first(Timestamp(0)),
            windows,
            aggregate,
            changelog,
            emitter,
            open_windows: 0,
            is_resumed: false,
        }
    }

    /// Finds its place in time, before the first input and after a restore.
    fn resume(&mut self) {
        if !std::mem::replace(&mut self.is_resumed, true) {
            self.first_open = self.open_at(self.rule.closed_to());
            // The changelog does not say which slices were dropped.
            let needed = self.open_at(self.rule.emitted_to());
            self.store.drop_before(needed.start);
            self.open_windows = self.count_open();
        }
    }

    /// The first window that is open when those that end up to `closed_to` are closed.
    fn open_at(&self, closed_to: Timestamp) -> Window {
        // Windows leave no gap: one of those that contain this moment is the first that ends later.
        self.windows.first(Timestamp(closed_to.0.max(0)))
    }

    fn advance(&mut self, at: &At) {
        if self.rule.advance(at.stream_time) && self.rule.is_closed(self.first_open.end) {
            self.close(at);
            let floor = self.move_on();
            self.emitter.raise(at, floor);
        }
    }

    /// Closes, in order, the windows that hold data and whose time has come; returns the end of
    /// the last.
    fn close(&mut self, at: &At) -> Option<Timestamp> {
        let mut last_end = None;
        let mut window = self.first_open;
        // Slices lead to the windows that hold data, so that a jump in time costs nothing extra.
        while let Some(slice) = self.store.first_after(window.start) {
            let of_slice = self.windows.first(slice.start);
            if of_slice.end > window.end {
                window = of_slice;
            }
            if !self.rule.is_closed(window.end) {
                break;
            }
            self.emit_finals(at, window);
            last_end = Some(window.end);
            self.open_windows = self.open_windows.saturating_sub(1);
            let next = self.windows.next(window);
            // At the end of time there is no next window.
            let is_last = next.end <= window.end;
            self.forget(if is_last { window.end } else { next.start });
            window = next;
        }
        last_end
    }

    /// Finds the first window that is still open, and returns its start.
    fn move_on(&mut self) -> Timestamp {
        self.first_open = self.open_at(self.rule.closed_to());
        self.forget(self.first_open.start);
        self.first_open.start
    }

    /// Drops the slices that begin before `start`.
    fn forget(&mut self, start: Timestamp) {
        if let Some(totals) = &mut self.totals {
            let retract = |a: &mut A::Acc, b: &A::Acc| self.aggregate.retract(a, b);
            totals.leave(&self.store, start, retract);
        }
        self.store.drop_before(start);
    }

    /// How many open windows hold data.
    fn count_open(&self) -> u64 {
        let (mut count, mut counted_to) = (0, self.rule.closed_to());
        let mut slice = self.store.first_after(self.first_open.start);
        while let Some(found) = slice {
            for window in self.windows.assign(found.start) {
                if window.end > counted_to {
                    (count, counted_to) = (count + 1, window.end);
                }
            }
            slice = self.store.first_after(found.end);
        }
        count
    }

    fn emit_finals(&mut self, at: &At, window: Window) {
        let aggregate = &self.aggregate;
        let combine = |a: &mut A::Acc, b: &A::Acc| aggregate.combine(a, b);
        let lower = |acc: &A::Acc| aggregate.lower(acc);
        if let Some(totals) = &mut self.totals {
            for (key, slot) in totals.of_window(&self.store, window, combine) {
                self.emitter.emit_final(at, (key, window), slot, lower);
            }
        } else {
            for (key, slot) in self.store.combine(window.start..window.end, combine) {
                self.emitter.emit_final(at, (key, window), &slot, lower);
            }
        }
    }

    fn process(&mut self, at: &At, key: &[u8], value: &V) {
        self.emitter.counts.records += 1;
        if self.rule.go_on() {
            let floor = self.move_on();
            self.emitter.raise(at, floor);
        }
        if self.rule.closed_to() > at.event_time && self.is_late(at, key, value) {
            return;
        }
        if at.event_time < at.stream_time {
            self.emitter.counts.out_of_order += 1;
        }
        let aggregate = &self.aggregate;
        let new_slice = self.store.fold(Folded {
            key,
            time: at.event_time,
            lift: || aggregate.lift(value, at.event_time),
            add: |acc: &mut A::Acc| aggregate.add(acc, value, at.event_time),
        });
        if let Some(slice) = new_slice {
            self.open_windows += self.windows_of_slice_alone(slice);
        }
        if let Some(totals) = &mut self.totals {
            totals.touch(key, at.event_time);
        }
        if self.emitter.wants_updates() {
            self.emit_updates(at, key);
        }
    }

    /// Emits the record as late for each of its windows that is closed; returns whether all are.
    fn is_late(&mut self, at: &At, key: &[u8], value: &V) -> bool {
        let (mut window, last) = (
            self.windows.first(at.event_time),
            self.windows.last(at.event_time),
        );
        while self.rule.is_closed(window.end) {
            let close_at = self.rule.close_at(window.end);
            self.emitter.emit_late(at, (key, value), window, close_at);
            if window == last {
                self.emitter.counts.late_records += 1;
                return true;
            }
            window = self.windows.next(window);
        }
        false
    }

    fn emit_updates(&mut self, at: &At, key: &[u8]) {
        let aggregate = &self.aggregate;
        let combine = |a: &mut A::Acc, b: &A::Acc| aggregate.combine(a, b);
        for window in self.windows.assign(at.event_time) {
            if self.rule.is_closed(window.end) {
                continue;
            }
            let slices = window.start..window.end;
            if let Some(slot) = self.store.combine_key(slices, key, combine) {
                let value = Some(aggregate.lower(&slot.acc));
                let of = (key, window);
                self.emitter.emit_update(at, of, value, slot.timestamp);
            }
        }
    }

    /// How many open windows hold this slice and no other with data.
    fn windows_of_slice_alone(&self, slice: Window) -> u64 {
        let (before, after) = self.store.neighbours(slice);
        let is_alone = |window: &Window| {
            !self.rule.is_closed(window.end)
                && before.is_none_or(|before| before.end <= window.start)
                && after.is_none_or(|after| after.start >= window.end)
        };
        self.windows.assign(slice.start).filter(is_alone).count() as u64
    }
}

impl<K, V, W, A> KeyedOperator<V> for AlignedOperator<K, V, W, A>
where
    K: Key,
    V: Clone + Send,
    W: Aligned,
    A: Aggregate<V>,
{
    fn run(&mut self, inputs: &KeyedBatch<V>, out: &mut Outbox) {
        self.resume();
        for (at, record) in inputs.iter() {
            self.advance(at);
            if let Some((key, value)) = record {
                self.process(at, key, value);
            }
        }
        if let Some(last) = inputs.last() {
            self.emitter.flush(last, &self.rule, self.open_windows, out);
        }
    }

    fn idle(&mut self, at: &At, out: &mut Outbox) {
        self.emitter.idle(at, out);
    }

    fn end(&mut self, at: &At, out: &mut Outbox) {
        self.resume();
        let before = self.rule;
        self.rule.advance(at.stream_time);
        let last_end = self.close(at);
        self.emitter.flush(at, &self.rule, self.open_windows, out);
        self.emitter.end(at, out);
        self.rule = before.ended(last_end);
        self.move_on();
    }

    fn walk(&mut self, walk: &mut dyn Walk) {
        walk.standing(&mut self.rule);
        self.emitter.walk(walk);
        walk.store(&self.changelog, &mut self.store);
    }
}
