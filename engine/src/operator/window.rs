//! The window operator: folds each record into its slice, and closes windows as time passes.
//!
//! For every input, in this order:
//!
//! 1. stream time advances to the event time of the input, the record itself included;
//! 2. every window with `end + grace <= stream_time` closes: its finals are emitted, now and
//!    never again;
//! 3. the record is classified: for each of its windows that is closed it is *late*; if any is
//!    open, it is folded into its slice, once, however many windows share the slice.
//!
//! Invariants:
//! - `open_from` only grows; a window that begins before it is closed and never reopens;
//! - no slice is dropped before all windows over it have closed, however far time jumps;
//! - results depend on the order of the input alone.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use brooklet_protocol::Timestamp;

use super::results::{Final, Late, Update};
use super::store::SliceStore;
use super::{Keyed, KeyedOperator};
use crate::aggregate::Aggregate;
use crate::branch::At;
use crate::branch::outbox::Outbox;
use crate::branch::port::Port;
use crate::key::Key;
use crate::metrics::{WindowCounts, WindowGauge, WindowMetrics};
use crate::window::{Aligned, Window, Windows};

/// The three outputs of a window operator.
pub(crate) struct Ports<K, V, T> {
    pub(crate) finals: Port<Final<K, T>>,
    pub(crate) updates: Port<Update<K, T>>,
    pub(crate) late: Port<Late<K, V>>,
}

/// See the module.
pub(crate) struct WindowOperator<K, V, A: Aggregate<V>> {
    windows: Windows,
    aggregate: A,
    store: SliceStore<K, A::Acc>,
    stream_time: Timestamp,
    /// Windows that begin before this are closed.
    open_from: Timestamp,
    /// Windows that are open and hold data.
    open_windows: u64,
    /// The highest event time among the late records: the stream time of that port.
    late_time: Timestamp,
    ports: Ports<K, V, A::Out>,
    counts: WindowCounts,
    metrics: Arc<WindowMetrics>,
    gauge: Arc<WindowGauge>,
}

impl<K: Key, V: Clone, A: Aggregate<V>> WindowOperator<K, V, A> {
    pub(crate) fn new(
        windows: Windows,
        aggregate: A,
        ports: Ports<K, V, A::Out>,
        metrics: Arc<WindowMetrics>,
    ) -> Self {
        Self {
            windows,
            aggregate,
            store: SliceStore::new(),
            stream_time: Timestamp::MIN,
            open_from: Timestamp(0),
            open_windows: 0,
            late_time: Timestamp::MIN,
            ports,
            counts: WindowCounts::default(),
            gauge: metrics.gauge(),
            metrics,
        }
    }

    fn advance(&mut self, at: &At) {
        if at.stream_time <= self.stream_time {
            return;
        }
        self.stream_time = at.stream_time;
        let open_from = self.windows.open_from(at.stream_time);
        if open_from > self.open_from {
            self.close(at, open_from);
            let at = self.outgoing(at, at.event_time);
            self.ports.finals.advance(at);
            self.ports.updates.advance(at);
        }
    }

    /// Closes, in order, the windows that begin before `open_from` and hold data. `self.open_from`
    /// moves only when all results are out: to the next stage they belong to one moment, however
    /// many tasks made them.
    fn close(&mut self, at: &At, open_from: Timestamp) {
        let mut start = self.open_from.0;
        // Slices lead to the windows that hold data, so that a jump in time costs nothing extra.
        while let Some(slice) = self.store.first_from(start) {
            start = start.max(self.windows.first_start(slice));
            if start >= open_from.0 {
                break;
            }
            self.emit_final(at, self.windows.window_at(start));
            self.open_windows -= 1;
            start = start.saturating_add(self.windows.advance_ms());
            self.store.drop_before(start);
        }
        self.open_from = open_from;
        self.store.drop_before(open_from.0);
    }

    fn emit_final(&mut self, at: &At, window: Window) {
        let aggregate = &self.aggregate;
        let slices = window.start.0..window.end.0;
        let results = self.store.combine(slices, |a, b| aggregate.combine(a, b));
        self.counts.finals += results.len() as u64;
        if !self.ports.finals.is_wanted() {
            return;
        }
        for (key, slot) in results {
            let result = Final {
                key,
                window,
                value: self.aggregate.lower(&slot.acc),
                timestamp: slot.timestamp,
                stream_time: at.stream_time,
            };
            let at = self.outgoing(at, slot.timestamp);
            self.ports.finals.emit(at, result);
        }
    }

    /// The place of a result in the input of the next stage. Its stream time is the start of the
    /// earliest window that was open before this step: no result to come is older, so none can be
    /// late there because we waited.
    fn outgoing(&self, at: &At, event_time: Timestamp) -> At {
        let is_end = at.stream_time == Timestamp::MAX;
        At {
            event_time,
            stream_time: if is_end {
                at.stream_time
            } else {
                self.open_from
            },
            ..*at
        }
    }

    fn process(&mut self, at: &At, key: &K, value: &V) {
        self.counts.records += 1;
        let time = at.event_time.0;
        if self.windows.first_start(time) < self.open_from.0 {
            self.emit_late(at, key, value);
        }
        if self.windows.last_start(time) < self.open_from.0 {
            self.counts.late_records += 1;
            return;
        }
        if at.event_time < at.stream_time {
            self.counts.out_of_order += 1;
        }
        let slice_ms = self.windows.slice_ms();
        let (aggregate, slice) = (&self.aggregate, time / slice_ms * slice_ms);
        let lift = || aggregate.lift(value, at.event_time);
        let add = |acc: &mut A::Acc| aggregate.add(acc, value, at.event_time);
        if self.store.fold(slice, key, at.event_time, lift, add) {
            self.open_windows += self.windows_of_slice_alone(slice);
        }
        if self.ports.updates.is_wanted() {
            self.emit_updates(at, key);
        }
    }

    fn emit_late(&mut self, at: &At, key: &K, value: &V) {
        self.late_time = self.late_time.max(at.event_time);
        let open_from = self.open_from;
        let closed = self.windows.assign(at.event_time);
        for window in closed.take_while(|window| window.start < open_from) {
            self.counts.late_pairs += 1;
            if !self.ports.late.is_wanted() {
                continue;
            }
            let late = Late {
                key: key.clone(),
                value: value.clone(),
                timestamp: at.event_time,
                window,
                close_at: self.windows.close_at(window),
                stream_time: at.stream_time,
            };
            let stream_time = self.late_time;
            self.ports.late.emit(At { stream_time, ..*at }, late);
        }
    }

    fn emit_updates(&mut self, at: &At, key: &K) {
        let aggregate = &self.aggregate;
        let open_from = self.open_from;
        let of_record = self.windows.assign(at.event_time);
        for window in of_record.skip_while(|window| window.start < open_from) {
            let slices = window.start.0..window.end.0;
            let combine = |a: &mut A::Acc, b: &A::Acc| aggregate.combine(a, b);
            let Some(slot) = self.store.combine_key(slices, key, combine) else {
                continue;
            };
            let update = Update {
                key: key.clone(),
                window,
                value: aggregate.lower(&slot.acc),
                timestamp: slot.timestamp,
                stream_time: at.stream_time,
            };
            let at = self.outgoing(at, slot.timestamp);
            self.ports.updates.emit(at, update);
        }
    }

    fn flush(&mut self, at: &At, out: &mut Outbox) {
        let outgoing = self.outgoing(at, at.event_time);
        self.ports.finals.flush(&outgoing, out);
        self.ports.updates.flush(&outgoing, out);
        let stream_time = self.late_time;
        self.ports.late.flush(&At { stream_time, ..*at }, out);
        self.metrics.counters.add(&std::mem::take(&mut self.counts));
        self.gauge.stream_time.store(self.stream_time.0, Relaxed);
        self.gauge.open_from.store(self.open_from.0, Relaxed);
        self.gauge.open_windows.store(self.open_windows, Relaxed);
    }

    /// How many open windows hold this slice and no other with data.
    fn windows_of_slice_alone(&self, slice: i64) -> u64 {
        let (windows, advance_ms) = (self.windows, self.windows.advance_ms());
        let (before, after) = self.store.neighbours(slice);
        let mut first = windows.first_start(slice).max(self.open_from.0);
        let mut last = windows.last_start(slice);
        if let Some(before) = before {
            first = first.max(windows.last_start(before).saturating_add(advance_ms));
        }
        if let Some(after) = after {
            last = last.min(windows.first_start(after) - advance_ms);
        }
        let starts = if first <= last {
            (last - first) / advance_ms + 1
        } else {
            0
        };
        starts.unsigned_abs()
    }
}

impl<K: Key, V: Clone + Send, A: Aggregate<V>> KeyedOperator<K, V> for WindowOperator<K, V, A> {
    fn run(&mut self, inputs: &[Keyed<K, V>], out: &mut Outbox) {
        for Keyed { at, record } in inputs {
            self.advance(at);
            if let Some((key, value)) = record {
                self.process(at, key, value);
            }
        }
        if let Some(last) = inputs.last() {
            self.flush(&last.at, out);
        }
    }

    fn idle(&mut self, at: &At, out: &mut Outbox) {
        let outgoing = self.outgoing(at, at.event_time);
        self.ports.finals.idle(&outgoing, out);
        self.ports.updates.idle(&outgoing, out);
        let stream_time = self.late_time;
        self.ports.late.idle(&At { stream_time, ..*at }, out);
    }

    fn end(&mut self, at: &At, out: &mut Outbox) {
        self.advance(at);
        self.flush(at, out);
        self.ports.finals.end(at, out);
        self.ports.updates.end(at, out);
        self.ports.late.end(at, out);
    }
}
