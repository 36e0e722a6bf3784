//! Session windows: records of a key that are no further apart than a gap.
//!
//! ```text
//! gap 5      0    5    10   15   20
//!            x    x                      [0, 5]: 5 is within the gap of 0
//!                         x    x  x      [12, 20]: 16 joins 12 and 20
//! ```
//!
//! A session reaches from its first record to its last, both inside. A record within the gap of an
//! open session, the gap included, extends it; one between two sessions merges them. A session may
//! grow until stream time reaches `last + gap + 1 + grace`. Then it closes, and never reopens; a
//! later record begins a session of its own. (Kafka Streams would merge it with one whose final is
//! already out.)
//!
//! A record is late if the session that it would make or join is closed.
//!
//! When sessions are merged, the updates retract each of them before they show the new one.

use brooklet_protocol::Timestamp;

use super::data_driven::{Change, Closed, DataDriven, Record, Span, Spans};
use super::rule::Rule;
use crate::codec::DecodeError;
use crate::store::{Slot, layout};
use crate::window::{SessionWindows, Window};

fn window(first: Timestamp, last: Timestamp) -> Window {
    Window {
        start: first,
        end: Timestamp(last.0.saturating_add(1)),
    }
}

fn slot<Acc: Clone>(span: &Span<Acc>) -> Slot<Acc> {
    Slot {
        acc: span.acc.clone(),
        timestamp: span.last,
    }
}

impl SessionWindows {
    /// The end of a session, as the rule of time counts it: nothing can extend it from here on.
    fn end(&self, last: Timestamp) -> Timestamp {
        Timestamp(last.0.saturating_add(self.gap_ms()).saturating_add(1))
    }
}

impl DataDriven for SessionWindows {
    fn write_row(key: &[u8], first: Timestamp, last: Timestamp, to: &mut Vec<u8>) {
        layout::session_key(key, first, last, to);
    }

    fn read_row(row: &[u8]) -> Result<(&[u8], Timestamp, Timestamp), DecodeError> {
        layout::read_session_key(row)
    }

    fn grace_ms(&self) -> i64 {
        SessionWindows::grace_ms(self)
    }

    fn fold<Acc: Clone>(
        &self,
        spans: &mut Spans<Acc>,
        rule: &Rule,
        record: Record<'_, Acc>,
        changed: &mut dyn FnMut(Change<Acc>),
    ) -> i64 {
        let (time, gap) = (record.time, self.gap_ms());
        let from = spans.first_from(Timestamp(time.0.saturating_sub(gap)));
        let near = spans.spans[from..]
            .iter()
            .take_while(|span| span.first.0 <= time.0.saturating_add(gap))
            .count();
        let merged = from..from + near;
        let last = spans.spans[merged.clone()].iter().map(|span| span.last);
        let last = last.max().unwrap_or(time).max(time);
        if rule.is_closed(self.end(last)) {
            changed(Change::Late(window(time, time), self.end(last)));
            changed(Change::Dropped);
            return 0;
        }
        let mut merged = spans.spans.splice(merged, []);
        let session = match merged.next() {
            None => Span {
                first: time,
                last: time,
                acc: (record.lift)(),
                is_dirty: true,
            },
            Some(mut session) => {
                if record.wants_updates {
                    changed(Change::Retracted(
                        window(session.first, session.last),
                        session.last,
                    ));
                }
                for later in merged.by_ref() {
                    if record.wants_updates {
                        changed(Change::Retracted(
                            window(later.first, later.last),
                            later.last,
                        ));
                    }
                    (record.combine)(&mut session.acc, &later.acc);
                }
                (record.add)(&mut session.acc);
                session.first = session.first.min(time);
                session.last = last;
                session.is_dirty = true;
                session
            }
        };
        drop(merged);
        if record.wants_updates {
            let window = window(session.first, session.last);
            changed(Change::Updated(window, slot(&session)));
        }
        spans.spans.insert(from, session);
        1 - near as i64
    }

    fn close<Acc: Clone>(
        &self,
        spans: &mut Spans<Acc>,
        (_, rule): (Timestamp, &Rule),
        _: &dyn Fn(&mut Acc, &Acc),
        emit: &mut dyn FnMut(Closed<Acc>),
    ) {
        spans.spans.retain(|span| {
            let end = self.end(span.last);
            let is_closed = rule.is_closed(end);
            if is_closed {
                let (window, slot) = (window(span.first, span.last), slot(span));
                emit(Closed { window, end, slot });
            }
            !is_closed
        });
    }

    fn next_end<Acc>(&self, spans: &Spans<Acc>, _: &Rule) -> Option<Timestamp> {
        // Sessions do not overlap: the first is the first to end.
        spans.spans.first().map(|span| self.end(span.last))
    }

    fn open_windows<Acc>(&self, spans: &Spans<Acc>, _: &Rule) -> u64 {
        spans.spans.len() as u64
    }

    fn floor(&self, rule: &Rule) -> Timestamp {
        // An open session has last + gap + 1 > closed to.
        match rule.closed_to() {
            Timestamp::MAX => Timestamp::MAX,
            closed_to => Timestamp(closed_to.0.saturating_sub(self.gap_ms()).max(0)),
        }
    }
}
