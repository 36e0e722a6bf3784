//! What a worker counted, round by round, and how the counts of all workers are added up.
//!
//! Latencies go into HDR histograms of three digits. Those of all workers are added up before
//! percentiles are computed: the mean of percentiles is not a percentile.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::schedule::{Phase, Phases};
use crate::statistics;

/// What was counted in one round.
#[derive(Clone, Debug)]
pub(crate) struct RoundTally {
    /// Records acknowledged or received in the round.
    pub(crate) records: u64,
    /// From the intended time to the end, for records that were due in the round; in nanoseconds.
    pub(crate) latency: Histogram<u64>,
    /// From the intended time to the time of sending, for the same records; in nanoseconds.
    pub(crate) lateness: Histogram<u64>,
}

/// What a worker counted.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    phases: Phases,
    pub(crate) rounds: Vec<RoundTally>,
    /// Records sent, the warm-up included.
    pub(crate) sent: u64,
    /// Records that were acknowledged or received, the warm-up included.
    pub(crate) done: u64,
    /// Records that were not stored.
    pub(crate) failed: u64,
    /// The first error.
    pub(crate) first_error: Option<String>,
    /// How long the generator waited because the producer's buffer was full.
    pub(crate) blocked: Duration,
}

impl Tally {
    pub(crate) fn new(phases: Phases) -> Self {
        let histogram = || Histogram::new(3).expect("three digits are allowed");
        let round = RoundTally {
            records: 0,
            latency: histogram(),
            lateness: histogram(),
        };
        Self {
            phases,
            rounds: vec![round; phases.rounds as usize],
            sent: 0,
            done: 0,
            failed: 0,
            first_error: None,
            blocked: Duration::ZERO,
        }
    }

    /// Counts a record that was due at `intended` and is sent at `at`.
    pub(crate) fn send(&mut self, intended: Duration, at: Duration) {
        self.sent += 1;
        if let Phase::Round(round) = self.phases.of(intended) {
            let late = at.saturating_sub(intended);
            record(&mut self.rounds[round].lateness, late);
        }
    }

    /// Counts a record that was due at `intended` and was done at `at`.
    pub(crate) fn finish(&mut self, intended: Duration, at: Duration) {
        self.done += 1;
        if let Phase::Round(round) = self.phases.of(at) {
            self.rounds[round].records += 1;
        }
        if let Phase::Round(round) = self.phases.of(intended) {
            let took = at.saturating_sub(intended);
            record(&mut self.rounds[round].latency, took);
        }
    }

    /// Counts a record that was not stored.
    pub(crate) fn fail(&mut self, error: &dyn std::fmt::Display) {
        self.failed += 1;
        self.first_error.get_or_insert_with(|| error.to_string());
    }

    /// Adds what another worker counted.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (round, other) in self.rounds.iter_mut().zip(&other.rounds) {
            round.records += other.records;
            let grows = "histograms of the same digits grow";
            round.latency.add(&other.latency).expect(grows);
            round.lateness.add(&other.lateness).expect(grows);
        }
        self.sent += other.sent;
        self.done += other.done;
        self.failed += other.failed;
        self.blocked += other.blocked;
        if self.first_error.is_none() {
            self.first_error.clone_from(&other.first_error);
        }
    }
}

/// Counts a time, in nanoseconds.
pub(crate) fn record(histogram: &mut Histogram<u64>, took: Duration) {
    let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
    histogram.record(nanos).expect("the histogram grows");
}

/// Milliseconds at a percentile.
pub(crate) fn percentile(histogram: &Histogram<u64>, percent: f64) -> f64 {
    histogram.value_at_percentile(percent) as f64 / 1e6
}

/// One figure over all rounds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figure {
    /// What was measured.
    pub name: &'static str,
    /// Its unit; empty for a plain number.
    pub unit: &'static str,
    /// The median of the rounds.
    pub median: f64,
    /// The smallest of the rounds.
    pub min: f64,
    /// The greatest of the rounds.
    pub max: f64,
}

impl Figure {
    /// The median of the rounds, the smallest and the greatest.
    pub(crate) fn new(name: &'static str, unit: &'static str, rounds: &[f64]) -> Self {
        let (min, max) = statistics::spread(rounds);
        Self {
            name,
            unit,
            median: statistics::median(rounds),
            min,
            max,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn phases() -> Phases {
        Phases {
            warmup: MS * 100,
            duration: MS * 100,
            rounds: 2,
        }
    }

    #[test]
    fn latency_counts_from_the_intended_time_and_in_its_round() {
        let mut tally = Tally::new(phases());
        // Due in the warm-up, due in round 0, and due in round 0 but done in round 1.
        for (intended, sent, done) in [(99, 99, 101), (100, 130, 150), (199, 199, 299)] {
            tally.send(MS * intended, MS * sent);
            tally.finish(MS * intended, MS * done);
        }
        let counted = |round: &RoundTally| (round.records, round.latency.len());
        let found: Vec<_> = tally.rounds.iter().map(counted).collect();
        assert_eq!(found, [(2, 2), (1, 0)]);
        let first = &tally.rounds[0];
        assert!((percentile(&first.latency, 50.0) - 50.0).abs() < 0.1);
        assert!((percentile(&first.latency, 100.0) - 100.0).abs() < 0.1);
        assert!((percentile(&first.lateness, 100.0) - 30.0).abs() < 0.1);
        assert_eq!((tally.sent, tally.done), (3, 3));
    }

    #[test]
    fn percentiles_are_those_of_all_workers_together() {
        let (mut one, mut other) = (Tally::new(phases()), Tally::new(phases()));
        for _ in 0..99 {
            one.finish(MS * 100, MS * 101);
        }
        other.finish(MS * 100, MS * 1100);
        other.fail(&"no space");
        one.merge(&other);
        let latency = &one.rounds[0].latency;
        // The mean of both workers' p99 would be about 500 ms.
        assert!(percentile(latency, 99.0) < 1.1);
        assert!(percentile(latency, 100.0) > 999.0);
        assert_eq!((one.done, one.failed), (100, 1));
        assert_eq!(one.first_error.as_deref(), Some("no space"));
    }

    #[test]
    fn a_figure_is_the_median_with_least_and_greatest() {
        let figure = Figure::new("rate", "/s", &[3.0, 9.0, 1.0]);
        let found = [figure.median, figure.min, figure.max].map(|figure| figure as i32);
        assert_eq!(found, [3, 1, 9]);
    }
}
