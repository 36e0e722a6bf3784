//! Sliding windows: for each record of a key, the records within a difference before it and after.
//!
//! ```text
//! D = 10         10   14 15      20 22
//!                x    x  x       x  x
//!            [0 ··· 10]                       ends at the record 10
//!                [11 ····· 21]                begins right after the record 10
//!                 [4 ··· 14]  [5 ··· 15] …
//! ```
//!
//! A record at `t` makes the window `[t - D, t]`, which ends with it, and `[t + 1, t + 1 + D]`,
//! which begins right after it, if that holds any record. Both ends are inside; records before `D`
//! share `[0, D]`. So every different set of records that fits into a span of `D` is in exactly one
//! window (Kafka Streams, KIP-450).
//!
//! Which windows there are follows from the moments that have records, so those are what is kept:
//! a span for each moment, with all its records folded. A window is combined from them when it
//! closes. A window closes when stream time reaches its end (the first moment outside) plus the
//! grace; a record is late for the window that it ends if that is closed, and left out altogether
//! if the window right after it is closed as well.
//!
//! Left out: a tree of partial results (FiBA, Tangwongsan et al., PVLDB 2019): combining a window
//! costs as many steps as it has moments.

use brooklet_protocol::Timestamp;

use super::data_driven::{Change, Closed, DataDriven, Record, Span, Spans};
use super::rule::Rule;
use crate::codec::DecodeError;
use crate::store::{Slot, layout};
use crate::window::{SlidingWindows, Window};

impl SlidingWindows {
    /// The window that begins here; its end is the first moment outside.
    fn window(&self, start: Timestamp) -> Window {
        let end = start
            .0
            .saturating_add(self.difference_ms())
            .saturating_add(1);
        Window {
            start,
            end: Timestamp(end),
        }
    }

    /// The start of the window that ends with this moment.
    fn start_of(&self, time: Timestamp) -> Timestamp {
        Timestamp((time.0 - self.difference_ms()).max(0))
    }

    /// The start of the first window that can be open when those that end up to `closed_to` are
    /// closed: start + D + 1 > closed to.
    fn open_at(&self, closed_to: Timestamp) -> Timestamp {
        match closed_to {
            Timestamp::MAX => Timestamp::MAX,
            _ => Timestamp(closed_to.0.saturating_sub(self.difference_ms()).max(0)),
        }
    }

    fn open_from(&self, rule: &Rule) -> Timestamp {
        self.open_at(rule.closed_to())
    }

    /// The starts of the windows that these moments make, from one start to another, both included,
    /// in order.
    fn starts<Acc>(
        &self,
        spans: &[Span<Acc>],
        (from, to): (Timestamp, Timestamp),
    ) -> impl Iterator<Item = Timestamp> {
        // Both kinds of starts are in the order of the moments: two sorted lists are merged.
        let left = spans.partition_point(|span| self.start_of(span.first) < from);
        let left = spans[left..].iter().map(|span| self.start_of(span.first));
        let right = spans.partition_point(|span| span.first.0.saturating_add(1) < from.0);
        let right = spans[right..].windows(2).filter_map(|pair| {
            let after = Timestamp(pair[0].first.0.saturating_add(1));
            (pair[1].first < self.window(after).end).then_some(after)
        });
        let (mut left, mut right) = (left.peekable(), right.peekable());
        std::iter::from_fn(move || {
            let start = match (left.peek(), right.peek()) {
                (Some(left), Some(right)) => *left.min(right),
                (one, other) => *one.or(other)?,
            };
            while left.next_if_eq(&start).is_some() {}
            while right.next_if_eq(&start).is_some() {}
            (start <= to).then_some(start)
        })
    }
}

impl DataDriven for SlidingWindows {
    fn write_row(key: &[u8], first: Timestamp, _: Timestamp, to: &mut Vec<u8>) {
        layout::window_key(key, first, to);
    }

    fn read_row(row: &[u8]) -> Result<(&[u8], Timestamp, Timestamp), DecodeError> {
        let (key, moment) = layout::read_window_key(row)?;
        Ok((key, moment, moment))
    }

    fn grace_ms(&self) -> i64 {
        SlidingWindows::grace_ms(self)
    }

    fn fold<Acc: Clone>(
        &self,
        spans: &mut Spans<Acc>,
        rule: &Rule,
        record: Record<'_, Acc>,
        changed: &mut dyn FnMut(Change<Acc>),
    ) -> i64 {
        let (time, spans) = (record.time, &mut spans.spans);
        let ended = self.window(self.start_of(time));
        if rule.is_closed(ended.end) {
            changed(Change::Late(ended, ended.end));
        }
        let after = Timestamp(time.0.saturating_add(1));
        if rule.is_closed(self.window(after).end) {
            changed(Change::Dropped);
            return 0;
        }
        // The windows that the record is in, and the one right after it.
        let near = (ended.start.max(self.open_from(rule)), after);
        let before = self.starts(spans, near).count() as i64;
        add(spans, &record);
        if record.wants_updates {
            for start in self.starts(spans, near) {
                let window = self.window(start);
                if let Some(slot) = combined(spans, window, record.combine) {
                    changed(Change::Updated(window, slot));
                }
            }
        }
        self.starts(spans, near).count() as i64 - before
    }

    fn close<Acc: Clone>(
        &self,
        spans: &mut Spans<Acc>,
        (before, rule): (Timestamp, &Rule),
        combine: &dyn Fn(&mut Acc, &Acc),
        emit: &mut dyn FnMut(Closed<Acc>),
    ) {
        let (was_open_from, open_from) = (self.open_at(before), self.open_from(rule));
        let spans = &mut spans.spans;
        for start in self.starts(spans, (was_open_from, open_from)) {
            let window = self.window(start);
            if let Some(slot) = combined(spans, window, combine)
                && rule.is_closed(window.end)
            {
                let end = window.end;
                emit(Closed { window, end, slot });
            }
        }
        // The window right after the moment before may be open.
        spans.retain(|span| span.first.0 >= open_from.0 - 1);
    }

    fn next_end<Acc>(&self, spans: &Spans<Acc>, rule: &Rule) -> Option<Timestamp> {
        let all = (self.open_from(rule), Timestamp::MAX);
        let first = self.starts(&spans.spans, all).next();
        // If no window is open a moment may be kept that can still begin one.
        let kept = || {
            let last = spans.spans.last()?;
            Some(Timestamp(last.first.0.saturating_add(1)))
        };
        first.or_else(kept).map(|start| self.window(start).end)
    }

    fn open_windows<Acc>(&self, spans: &Spans<Acc>, rule: &Rule) -> u64 {
        let all = (self.open_from(rule), Timestamp::MAX);
        self.starts(&spans.spans, all).count() as u64
    }

    fn floor(&self, rule: &Rule) -> Timestamp {
        self.open_from(rule)
    }
}

/// Folds a record into the span of its moment.
fn add<Acc>(spans: &mut Vec<Span<Acc>>, record: &Record<'_, Acc>) {
    let time = record.time;
    let at = spans.partition_point(|span| span.first < time);
    match spans.get_mut(at) {
        Some(span) if span.first == time => {
            (record.add)(&mut span.acc);
            span.is_dirty = true;
        }
        _ => spans.insert(
            at,
            Span {
                first: time,
                last: time,
                acc: (record.lift)(),
                is_dirty: true,
            },
        ),
    }
}

/// All that a window holds, combined; nothing if it holds no record.
fn combined<Acc: Clone>(
    spans: &[Span<Acc>],
    window: Window,
    combine: &dyn Fn(&mut Acc, &Acc),
) -> Option<Slot<Acc>> {
    let from = spans.partition_point(|span| span.first < window.start);
    let mut inside = spans[from..]
        .iter()
        .take_while(|span| span.first < window.end);
    let first = inside.next()?;
    let mut slot = Slot {
        acc: first.acc.clone(),
        timestamp: first.last,
    };
    for span in inside {
        combine(&mut slot.acc, &span.acc);
        slot.timestamp = span.last;
    }
    Some(slot)
}
