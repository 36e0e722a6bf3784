//! When each record is due, and which round it belongs to. Pure: time is passed in.
//!
//! An open loop has a schedule that nothing moves: record `n` is due `n / rate` seconds after the
//! start, whatever happened to the records before it. Workers take turns, as when cards are dealt.
//!
//! ```text
//!  start      warm-up         round 0        round 1        end
//!    ├──────── discarded ───────┼──────────────┼──────────────┤
//! ```

use std::str::FromStr;
use std::time::Duration;

const NANOS_PER_SECOND: u128 = 1_000_000_000;

/// How fast records are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rate {
    /// Records per second, from all workers together: an open loop.
    PerSecond(u32),
    /// As fast as the broker takes them: a closed loop.
    Max,
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || "expected records per second, such as 500 or 20k, or max".to_owned();
        let (number, factor) = match text.strip_suffix('k') {
            _ if text == "max" => return Ok(Self::Max),
            Some(thousands) => (thousands, 1000),
            None => (text, 1),
        };
        let number: u32 = number.parse().map_err(|_| expected())?;
        match number.checked_mul(factor) {
            None | Some(0) => Err(expected()),
            Some(rate) => Ok(Self::PerSecond(rate)),
        }
    }
}

impl std::fmt::Display for Rate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::PerSecond(rate) => write!(f, "{rate}/s"),
            Self::Max => f.write_str("max"),
        }
    }
}

/// The records of one worker, each with the time at which it is due.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    rate: u32,
    worker: u32,
    workers: u32,
}

impl Schedule {
    /// The schedule of worker number `worker` of `workers`; `None` for a closed loop.
    pub(crate) fn new(rate: Rate, worker: u32, workers: u32) -> Option<Self> {
        match rate {
            Rate::Max => None,
            Rate::PerSecond(rate) => Some(Self {
                rate,
                worker,
                workers,
            }),
        }
    }

    /// When this worker's record number `number` is due, after the start.
    pub(crate) fn due(&self, number: u64) -> Duration {
        let position = u128::from(number) * u128::from(self.workers) + u128::from(self.worker);
        let nanos = position * NANOS_PER_SECOND / u128::from(self.rate);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

/// The part of a run that a moment belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Before the rounds: nothing counts.
    WarmUp,
    /// In this round, from 0.
    Round(usize),
    /// After the rounds: nothing counts.
    Over,
}

/// The warm-up and the rounds of a run, one after the other without a pause.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Phases {
    pub(crate) warmup: Duration,
    pub(crate) duration: Duration,
    pub(crate) rounds: u32,
}

impl Phases {
    /// The part that the moment `at` after the start belongs to.
    pub(crate) fn of(&self, at: Duration) -> Phase {
        let Some(measured) = at.checked_sub(self.warmup) else {
            return Phase::WarmUp;
        };
        let round = measured.as_nanos() / self.duration.as_nanos().max(1);
        if round < u128::from(self.rounds) {
            Phase::Round(round as usize)
        } else {
            Phase::Over
        }
    }

    /// When the first `rounds` rounds are over, after the start.
    pub(crate) fn end_of(&self, rounds: u32) -> Duration {
        self.warmup + self.duration * rounds
    }

    /// When the run is over, after the start.
    pub(crate) fn end(&self) -> Duration {
        self.end_of(self.rounds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_number_or_max() {
        let rate = |text: &str| text.parse::<Rate>();
        assert_eq!(rate("500"), Ok(Rate::PerSecond(500)));
        assert_eq!(rate("20k"), Ok(Rate::PerSecond(20_000)));
        assert_eq!(rate("max"), Ok(Rate::Max));
        for text in ["0", "", "k", "-1", "5M", "5000000k"] {
            assert!(rate(text).is_err(), "{text}");
        }
    }

    #[test]
    fn workers_deal_the_records_of_one_schedule() {
        let workers: Vec<_> = (0..3)
            .filter_map(|worker| Schedule::new(Rate::PerSecond(1000), worker, 3))
            .collect();
        let due = (0..4).flat_map(|number| workers.iter().map(move |worker| worker.due(number)));
        let expected: Vec<_> = (0..12).map(Duration::from_millis).collect();
        assert_eq!(due.collect::<Vec<_>>(), expected);
        assert!(Schedule::new(Rate::Max, 0, 1).is_none());
    }

    #[test]
    fn a_schedule_does_not_drift() {
        let schedule = Schedule::new(Rate::PerSecond(7), 0, 1).expect("an open loop");
        assert_eq!(schedule.due(7 * 86_400), Duration::from_secs(86_400));
    }

    #[test]
    fn rounds_begin_where_the_warm_up_ends() {
        let seconds = Duration::from_secs;
        let just_before = |at| seconds(at).saturating_sub(Duration::from_nanos(1));
        let phases = Phases {
            warmup: seconds(5),
            duration: seconds(10),
            rounds: 2,
        };
        let cases = [
            (Duration::ZERO, Phase::WarmUp),
            (just_before(5), Phase::WarmUp),
            (seconds(5), Phase::Round(0)),
            (just_before(15), Phase::Round(0)),
            (seconds(15), Phase::Round(1)),
            (just_before(25), Phase::Round(1)),
            (seconds(25), Phase::Over),
        ];
        for (at, phase) in cases {
            assert_eq!(phases.of(at), phase, "{at:?}");
        }
        assert_eq!(phases.end(), seconds(25));
    }
}
