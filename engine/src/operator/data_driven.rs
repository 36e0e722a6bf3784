//! The operator of windows that the data of a key makes: sessions and sliding windows.
//!
//! ```text
//!  record ──▶ rule ──▶ spans of its key ──fold──▶ spans ──▶ updates, retractions, late records
//!                                │
//!  stream time ──▶ keys that are due ──close──▶ finals, in order of (closing time, start, key)
//! ```
//!
//! What is kept of a key is a short list of [`Span`]s in order of time: a session window keeps a
//! span per session, a sliding window one per moment that has records. A kind of window is a
//! [`DataDriven`]: it says how a record changes the spans, and which windows have closed.
//!
//! Invariants: those of aligned windows. A window closes once, and its final leaves in that step.
//! What has closed is no longer in the store, so nothing can merge with it.

use std::marker::PhantomData;

use brooklet_protocol::{Timestamp, TopicName};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::emit::Emitter;
use super::rule::Rule;
use super::{KeyedBatch, KeyedOperator};
use crate::aggregate::Aggregate;
use crate::branch::At;
use crate::branch::outbox::Outbox;
use crate::branch::progress::Walk;
use crate::codec::DecodeError;
use crate::key::Key;
use crate::store::keyed::{KeyState, Keyed};
use crate::store::{Rows, Slot, layout};
use crate::window::Window;

/// Windows that are made by the data of a key.
pub(crate) trait DataDriven: Clone + std::fmt::Debug + Send + 'static {
    /// Writes the key of a span's row.
    fn write_row(key: &[u8], first: Timestamp, last: Timestamp, to: &mut Vec<u8>);
    /// Reads the key, the first and the last moment of a span from its row's key.
    fn read_row(row: &[u8]) -> Result<(&[u8], Timestamp, Timestamp), DecodeError>;
    /// How long after its end a window waits, in ms.
    fn grace_ms(&self) -> i64;
    /// Hands over the windows that have closed since those that end up to `before` were closed,
    /// and removes what no open window needs.
    fn close<Acc: Clone>(
        &self,
        spans: &mut Spans<Acc>,
        time: (Timestamp, &Rule),
        combine: &dyn Fn(&mut Acc, &Acc),
        emit: &mut dyn FnMut(Closed<Acc>),
    );
    /// When the next window closes: its end, as the rule of time counts it.
    fn next_end<Acc>(&self, spans: &Spans<Acc>, rule: &Rule) -> Option<Timestamp>;
    /// Folds a record, unless it is late; returns how many more windows are open.
    fn fold<Acc: Clone>(
        &self,
        spans: &mut Spans<Acc>,
        rule: &Rule,
        record: Record<'_, Acc>,
        changed: &mut dyn FnMut(Change<Acc>),
    ) -> i64;
    /// How many windows of these spans are open.
    fn open_windows<Acc>(&self, spans: &Spans<Acc>, rule: &Rule) -> u64;
    /// No result to come has an event time below this, at this stream time.
    fn floor(&self, rule: &Rule) -> Timestamp;
}

/// A record to be folded.
pub(crate) struct Record<'a, Acc> {
    pub(crate) time: Timestamp,
    pub(crate) lift: &'a dyn Fn() -> Acc,
    pub(crate) add: &'a dyn Fn(&mut Acc),
    pub(crate) combine: &'a dyn Fn(&mut Acc, &Acc),
    /// Whether changes of results are wanted.
    pub(crate) wants_updates: bool,
}

/// What a record did.
pub(crate) enum Change<Acc> {
    /// It is late for this window; with the window's end, as the rule of time counts it.
    Late(Window, Timestamp),
    /// It is left out of all its windows.
    Dropped,
    /// This window was merged into another; with its highest event time.
    Retracted(Window, Timestamp),
    /// This window now has this result.
    Updated(Window, Slot<Acc>),
}

/// A window that has closed.
#[derive(Debug)]
pub(crate) struct Closed<Acc> {
    pub(crate) window: Window,
    /// Its end, as the rule of time counts it.
    pub(crate) end: Timestamp,
    pub(crate) slot: Slot<Acc>,
}

/// What is kept of a span of time; both its moments are inside.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Span<Acc> {
    pub(crate) first: Timestamp,
    pub(crate) last: Timestamp,
    pub(crate) acc: Acc,
    pub(crate) is_dirty: bool,
}

/// The spans of one key, in order, without overlaps.
#[derive(Clone, Debug)]
pub(crate) struct Spans<Acc> {
    pub(crate) spans: Vec<Span<Acc>>,
    /// Those that have a row in the changelog.
    written: Vec<(Timestamp, Timestamp)>,
}

impl<Acc> Default for Spans<Acc> {
    fn default() -> Self {
        Self {
            spans: Vec::new(),
            written: Vec::new(),
        }
    }
}

impl<Acc> Spans<Acc> {
    /// The index of the first span that ends at or after the moment.
    pub(crate) fn first_from(&self, time: Timestamp) -> usize {
        self.spans.partition_point(|span| span.last < time)
    }
}

/// The spans of a key, with the rows of this kind of window.
#[derive(Debug)]
pub(crate) struct State<W, Acc>(Spans<Acc>, PhantomData<fn() -> W>);

impl<W, Acc> Default for State<W, Acc> {
    fn default() -> Self {
        Self(Spans::default(), PhantomData)
    }
}

impl<W: DataDriven, Acc: Serialize + DeserializeOwned> KeyState for State<W, Acc> {
    fn key_of(row: &[u8]) -> Result<&[u8], DecodeError> {
        W::read_row(row).map(|(key, ..)| key)
    }

    fn restore(&mut self, row: &[u8], value: Option<&[u8]>) -> Result<(), DecodeError> {
        let (_, first, last) = W::read_row(row)?;
        let read = value.map(layout::read_value::<Acc>).transpose()?;
        let Spans { spans, written } = &mut self.0;
        spans.retain(|span| (span.first, span.last) != (first, last));
        written.retain(|row| *row != (first, last));
        if let Some((_, acc)) = read {
            let at = spans.partition_point(|span| span.first < first);
            let is_dirty = false;
            spans.insert(
                at,
                Span {
                    first,
                    last,
                    acc,
                    is_dirty,
                },
            );
            written.push((first, last));
        }
        Ok(())
    }

    fn changes(&mut self, key: &[u8], rows: &mut Rows) {
        let Spans { spans, written } = &mut self.0;
        for gone in written.iter() {
            if !spans.iter().any(|span| (span.first, span.last) == *gone) {
                rows.remove(|to| W::write_row(key, gone.0, gone.1, to));
            }
        }
        written.clear();
        for span in spans {
            written.push((span.first, span.last));
            if std::mem::take(&mut span.is_dirty) {
                rows.put(
                    |to| W::write_row(key, span.first, span.last, to),
                    |to| layout::value(span.last, &span.acc, to),
                );
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.0.spans.is_empty()
    }
}

/// See the module.
pub(crate) struct DataDrivenOperator<K, V, W, A: Aggregate<V>> {
    windows: W,
    aggregate: A,
    rule: Rule,
    store: Keyed<State<W, A::Acc>>,
    changelog: TopicName,
    emitter: Emitter<K, V, A::Out>,
    open_windows: u64,
    is_resumed: bool,
}

impl<K, V, W, A> DataDrivenOperator<K, V, W, A>
where
    K: Key,
    V: Clone,
    W: DataDriven,
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
            windows,
            aggregate,
            store: Keyed::new(is_logged),
            changelog,
            emitter,
            open_windows: 0,
            is_resumed: false,
        }
    }

    /// Finds its deadlines, before the first input and after a restore.
    fn resume(&mut self) {
        if !std::mem::replace(&mut self.is_resumed, true) {
            let (windows, rule) = (&self.windows, &self.rule);
            self.store.arm(|state| windows.next_end(&state.0, rule));
            let open = self
                .store
                .states()
                .map(|state| windows.open_windows(&state.0, rule));
            self.open_windows = open.sum();
        }
    }

    fn advance(&mut self, at: &At) {
        let before = self.rule.closed_to();
        if self.rule.advance(at.stream_time) {
            self.close(at, before);
            self.emitter.raise(at, self.windows.floor(&self.rule));
        }
    }

    /// Closes the windows that have ended since those that end up to `before` were closed; returns
    /// the last end.
    fn close(&mut self, at: &At, before: Timestamp) -> Option<Timestamp> {
        let (windows, rule, aggregate) = (&self.windows, &self.rule, &self.aggregate);
        let combine = |a: &mut A::Acc, b: &A::Acc| aggregate.combine(a, b);
        let mut closed = Vec::new();
        for key in self.store.take_due(rule.closed_to()) {
            self.store.change(&key, |State(spans, _)| {
                let mut emit = |window: Closed<A::Acc>| closed.push((window, key.clone()));
                windows.close(spans, (before, rule), &combine, &mut emit);
                windows.next_end(spans, rule)
            });
        }
        self.open_windows = self.open_windows.saturating_sub(closed.len() as u64);
        closed.sort_by(|(a, a_key), (b, b_key)| {
            (a.end, a.window.start, a_key).cmp(&(b.end, b.window.start, b_key))
        });
        for (closed, key) in &closed {
            let lower = |acc: &A::Acc| aggregate.lower(acc);
            self.emitter
                .emit_final(at, (key, closed.window), &closed.slot, lower);
        }
        closed.last().map(|(closed, _)| closed.end)
    }

    fn process(&mut self, at: &At, key: &[u8], value: &V) {
        if self.rule.go_on() {
            self.emitter.raise(at, self.windows.floor(&self.rule));
        }
        let (windows, rule, aggregate) = (&self.windows, &self.rule, &self.aggregate);
        let emitter = &mut self.emitter;
        emitter.counts.records += 1;
        let record = Record {
            time: at.event_time,
            lift: &|| aggregate.lift(value, at.event_time),
            add: &|acc| aggregate.add(acc, value, at.event_time),
            combine: &|a, b| aggregate.combine(a, b),
            wants_updates: emitter.wants_updates(),
        };
        let mut is_dropped = false;
        let mut changed = |change: Change<A::Acc>| match change {
            Change::Late(window, end) => {
                emitter.emit_late(at, (key, value), window, rule.close_at(end));
            }
            Change::Dropped => is_dropped = true,
            Change::Retracted(window, timestamp) => {
                emitter.emit_update(at, (key, window), None, timestamp);
            }
            Change::Updated(window, slot) => {
                let value = Some(aggregate.lower(&slot.acc));
                emitter.emit_update(at, (key, window), value, slot.timestamp);
            }
        };
        let open_windows = &mut self.open_windows;
        self.store.change(key, |State(spans, _)| {
            let more = windows.fold(spans, rule, record, &mut changed);
            *open_windows = open_windows.saturating_add_signed(more);
            windows.next_end(spans, rule)
        });
        if is_dropped {
            self.emitter.counts.late_records += 1;
        } else if at.event_time < at.stream_time {
            self.emitter.counts.out_of_order += 1;
        }
    }
}

impl<K, V, W, A> KeyedOperator<V> for DataDrivenOperator<K, V, W, A>
where
    K: Key,
    V: Clone + Send,
    W: DataDriven,
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
        let last_end = self.close(at, before.closed_to());
        self.emitter.flush(at, &self.rule, self.open_windows, out);
        self.emitter.end(at, out);
        self.rule = before.ended(last_end);
    }

    fn walk(&mut self, walk: &mut dyn Walk) {
        walk.standing(&mut self.rule);
        self.emitter.walk(walk);
        walk.store(&self.changelog, &mut self.store);
    }
}
