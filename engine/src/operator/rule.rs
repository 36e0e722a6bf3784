//! The rule of time, for one operator in one task.
//!
//! ```text
//! stream time   the highest event time seen, the record at hand included
//! closed        a window is closed iff  stream time >= end + grace
//!
//!               ──┼───────────┼───────────────┼──▶ event time
//!             closed to       │          stream time
//!                 └── grace ──┘
//! ```
//!
//! Stream time only grows, so the end of the last closed window only grows, and one comparison
//! tells closed from open: a window whose end is at or before *closed to* is closed.
//!
//! The end of a bounded input is the end of time: everything closes.

use std::time::Duration;

use brooklet_protocol::Timestamp;

use crate::branch::progress::{Progress, Standing};
use crate::codec::DecodeError;

/// Stream time, and what it closes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rule {
    grace_ms: i64,
    stream_time: Timestamp,
    closed_to: Timestamp,
    /// The end of the last window that the input's end closed before its time.
    closed_early: Option<Timestamp>,
}

impl Rule {
    pub(crate) fn new(grace_ms: i64) -> Self {
        Self {
            grace_ms,
            stream_time: Timestamp::MIN,
            closed_to: Timestamp::MIN,
            closed_early: None,
        }
    }

    /// Moves stream time; `true` if it moved. It never goes back.
    pub(crate) fn advance(&mut self, to: Timestamp) -> bool {
        if to <= self.stream_time {
            return false;
        }
        self.stream_time = to;
        self.closed_to = match to {
            Timestamp::MAX => Timestamp::MAX,
            _ => Timestamp(to.0.saturating_sub(self.grace_ms)),
        };
        true
    }

    /// The rule after the input's end, which has closed all windows that had data; the last of them
    /// ends at `last_end`. Time stays where it was, unless another run of the application brings
    /// more records: see [`Rule::go_on`].
    pub(crate) fn ended(self, last_end: Option<Timestamp>) -> Self {
        Self {
            closed_early: self.closed_early.max(last_end),
            ..self
        }
    }

    /// A record comes after the input's end: what the end closed stays closed, as if stream time
    /// had come that far. `true` if time moved.
    pub(crate) fn go_on(&mut self) -> bool {
        let closed_early = self.closed_early.take();
        closed_early.is_some_and(|end| self.advance(self.close_at(end)))
    }

    /// Stream time.
    pub(crate) fn stream_time(&self) -> Timestamp {
        self.stream_time
    }

    /// Windows that end at or before this are closed.
    pub(crate) fn closed_to(&self) -> Timestamp {
        self.closed_to
    }

    /// Windows that held data and end at or before this are closed, including those that the
    /// input's end closed early.
    pub(crate) fn emitted_to(&self) -> Timestamp {
        self.closed_early
            .map_or(self.closed_to, |end| end.max(self.closed_to))
    }

    /// Whether a window with this end is closed.
    pub(crate) fn is_closed(&self, end: Timestamp) -> bool {
        end <= self.closed_to
    }

    /// The stream time at which a window with this end closes.
    pub(crate) fn close_at(&self, end: Timestamp) -> Timestamp {
        Timestamp(end.0.saturating_add(self.grace_ms))
    }
}

impl Standing for Rule {
    fn save(&self, to: &mut Progress) {
        to.put_time(self.stream_time);
        to.put_time(self.closed_early.unwrap_or(Timestamp::MIN));
    }

    fn load(&mut self, from: &mut Progress) -> Result<(), DecodeError> {
        self.advance(from.time()?);
        self.closed_early = Some(from.time()?).filter(|end| *end != Timestamp::MIN);
        Ok(())
    }
}

/// `later - earlier`, or zero if they are the other way round.
pub(crate) fn between(earlier: Timestamp, later: Timestamp) -> Duration {
    let millis = later.0.saturating_sub(earlier.0).max(0);
    Duration::from_millis(millis.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_time() -> impl Strategy<Value = i64> {
        prop_oneof![0i64..100, i64::MAX - 100..=i64::MAX, any::<i64>()]
    }

    proptest! {
        #[test]
        fn one_number_tells_closed_from_open(
            grace in 0i64..i64::MAX, times in proptest::collection::vec(any_time(), 1..9), end in any_time()
        ) {
            let mut rule = Rule::new(grace);
            let mut highest = i64::MIN;
            for time in times {
                highest = highest.max(time);
                rule.advance(Timestamp(time));
                prop_assert_eq!(rule.stream_time().0, highest);
                // The sum does not overflow here; at the end of time everything is closed.
                let closes_at = i128::from(end) + i128::from(grace);
                let is_closed = highest == i64::MAX || i128::from(highest) >= closes_at;
                // Far before the epoch, where no window is, numbers saturate.
                if highest > i64::MIN / 2 && grace < i64::MAX / 2 && end > i64::MIN / 2 {
                    prop_assert_eq!(rule.is_closed(Timestamp(end)), is_closed);
                }
            }
        }
    }
}
