//! Stream time at a source, and the guard that keeps one bad record from ruining it.
//!
//! Stream time is the highest event time seen. One record from the far future would make everything
//! after it late. With a *maximum jump* such a record does not move stream time by itself:
//!
//! ```text
//! maximum jump 10        stream time
//! 5                      none  the first: there is nothing yet to be near to
//! 7                      7     confirms it
//! 900    future          7     further ahead than 10: windowed, and remembered as a candidate
//! 9                      9
//! 905                    905   a second one, at another offset, confirms 900, and 905 is near
//! 902                    905
//! ```
//!
//! The second record confirms the lower of the two times: both claim at least that. The higher one
//! counts if it is near enough to the lower, and else remains a candidate. Nothing here looks at a
//! clock, so the same input has the same stream time in every run.
//!
//! Before the first record there is no stream time to be near to, so the first is a candidate, too.

use std::time::Duration;

use brooklet_protocol::{Offset, Timestamp};

use crate::branch::progress::{Progress, Standing};
use crate::codec::DecodeError;

/// The highest event time that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StreamTime {
    now: Timestamp,
    jump_ms_max: Option<i64>,
    /// The lowest time that is too far ahead, and the offset of the record that claims it.
    candidate: Option<(Timestamp, Offset)>,
}

impl StreamTime {
    /// Before the first record. `None`: every record moves it.
    pub(crate) fn new(jump_max: Option<Duration>) -> Self {
        let millis = |jump: Duration| i64::try_from(jump.as_millis()).unwrap_or(i64::MAX);
        Self {
            now: Timestamp::MIN,
            jump_ms_max: jump_max.map(millis),
            candidate: None,
        }
    }

    /// Stream time.
    pub(crate) fn now(&self) -> Timestamp {
        self.now
    }

    /// Takes a record's event time into account; `true` if the record is from the future: it does
    /// not move stream time by itself.
    pub(crate) fn advance(&mut self, event_time: Timestamp, offset: Offset) -> bool {
        if !self.is_too_far(event_time) {
            self.now = self.now.max(event_time);
            self.candidate = self.candidate.filter(|(time, _)| self.is_too_far(*time));
            return false;
        }
        match self.candidate {
            Some((time, at)) if at != offset => {
                self.now = time.min(event_time);
                self.candidate = None;
                // The higher of the two counts if it is near enough to the lower.
                let higher = if time > event_time {
                    (time, at)
                } else {
                    (event_time, offset)
                };
                if self.is_too_far(higher.0) {
                    self.candidate = Some(higher);
                } else {
                    self.now = higher.0;
                }
            }
            Some((time, at)) => self.candidate = Some((time.min(event_time), at)),
            None => self.candidate = Some((event_time, offset)),
        }
        self.is_too_far(event_time)
    }

    fn is_too_far(&self, event_time: Timestamp) -> bool {
        let Some(jump_ms_max) = self.jump_ms_max else {
            return false;
        };
        let is_first = self.now == Timestamp::MIN;
        is_first || event_time.0 > self.now.0.saturating_add(jump_ms_max)
    }
}

impl Standing for StreamTime {
    fn save(&self, to: &mut Progress) {
        to.put_time(self.now);
        let (time, offset) = self.candidate.unwrap_or((Timestamp::MIN, Offset(0)));
        to.put_time(time);
        if time != Timestamp::MIN {
            to.put_count(offset.0.unsigned_abs());
        }
    }

    fn load(&mut self, from: &mut Progress) -> Result<(), DecodeError> {
        self.now = from.time()?;
        let time = from.time()?;
        self.candidate = match time {
            Timestamp::MIN => None,
            _ => Some((time, Offset(from.count()?.cast_signed().max(0)))),
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::millis;
    use proptest::prelude::*;

    fn play(jump_max: Option<u64>, times: &[i64]) -> Vec<(bool, i64)> {
        let mut time = StreamTime::new(jump_max.map(millis));
        let mut played = Vec::new();
        for (offset, event_time) in (0..).zip(times) {
            let is_future = time.advance(Timestamp(*event_time), Offset(offset));
            played.push((is_future, time.now().0));
        }
        played
    }

    #[test]
    fn one_record_from_the_future_moves_nothing_and_two_do() {
        let min = i64::MIN;
        let played = play(Some(10), &[5, 7, 900, 9, 905, 902]);
        let expected = [
            (true, min),
            (false, 7),
            (true, 7),
            (false, 9),
            (false, 905),
            (false, 905),
        ];
        assert_eq!(played, expected);
        // Two that are far from each other: the lower one is confirmed.
        let played = play(Some(10), &[5, 7, 900, 400, 950]);
        assert_eq!(played[2..], [(true, 7), (false, 400), (true, 900)]);
    }

    #[test]
    fn values_of_one_record_do_not_confirm_each_other() {
        let mut time = StreamTime::new(Some(millis(10)));
        for event_time in [900, 901, 899] {
            assert!(time.advance(Timestamp(event_time), Offset(3)));
        }
        assert_eq!(time.now(), Timestamp::MIN);
        assert!(!time.advance(Timestamp(5), Offset(4)));
        assert_eq!(time.now(), Timestamp(5));
        assert!(!time.advance(Timestamp(6), Offset(5)));
    }

    proptest! {
        #[test]
        fn without_a_guard_it_is_the_highest(times in proptest::collection::vec(0i64..99, 1..20)) {
            let mut highest = i64::MIN;
            for ((is_future, now), time) in play(None, &times).into_iter().zip(&times) {
                highest = highest.max(*time);
                prop_assert_eq!((is_future, now), (false, highest));
            }
        }

        #[test]
        fn time_never_goes_back_and_never_passes_what_two_records_claim(
            times in proptest::collection::vec(0i64..99, 1..30), jump in 0u64..40, cut: prop::sample::Index
        ) {
            let played = play(Some(jump), &times);
            prop_assert!(played.is_sorted_by_key(|(_, now)| *now));
            for (count, (_, now)) in played.iter().enumerate() {
                let claims = times[..=count].iter().filter(|time| **time >= *now).count();
                let is_near = times[..=count].iter().any(|time| time == now);
                prop_assert!(*now == i64::MIN || (is_near && claims >= 1));
            }
            // A restart anywhere changes nothing.
            let cut = cut.index(times.len());
            let mut time = StreamTime::new(Some(millis(jump)));
            for (offset, event_time) in (0..).zip(&times) {
                if offset as usize == cut {
                    let mut progress = Progress::new();
                    time.save(&mut progress);
                    time = StreamTime::new(Some(millis(jump)));
                    time.load(&mut Progress::of(progress.into_bytes())).unwrap();
                }
                time.advance(Timestamp(*event_time), Offset(offset));
                prop_assert_eq!(time.now().0, played[offset as usize].1);
            }
        }
    }
}
