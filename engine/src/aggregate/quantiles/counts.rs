//! The buckets of a DDSketch, and how many numbers are in each.
//!
//! The counts are written to changelogs by the indexes of their buckets, so which numbers a bucket
//! holds is fixed: version 0.4 of the crate counts buckets otherwise than 0.3, and a test would
//! notice the next change.

use std::collections::BTreeMap;
use std::iter;

use serde::{Deserialize, Serialize};
use sketches_ddsketch::Config;

/// The buckets that positive numbers fall into; negative ones have the same, mirrored.
#[derive(Clone, Copy, Debug)]
pub(super) struct Buckets(Config);

impl Buckets {
    /// The buckets whose middle is at most `error` away from all their numbers.
    pub(super) fn within(error: f64) -> Self {
        // The limit on buckets is for the crate's own store, which is not used.
        Self(Config::new(error, u32::MAX, f64::MIN_POSITIVE))
    }

    fn index(&self, number: f64) -> i32 {
        self.0.key(number)
    }

    fn middle(&self, index: i32) -> f64 {
        let middle = self.0.value(index);
        // The last bucket of finite numbers may have its middle beyond them; infinity has its own.
        if index == i32::MAX {
            middle
        } else {
            middle.min(f64::MAX)
        }
    }
}

/// How many numbers are in each bucket; neither map holds a zero.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    below_zero: BTreeMap<i32, u64>,
    zero: u64,
    above_zero: BTreeMap<i32, u64>,
}

impl Counts {
    /// Counts one number, unless it is NaN.
    pub(super) fn count(&mut self, number: f64, buckets: &Buckets) {
        if number >= f64::MIN_POSITIVE {
            add(&mut self.above_zero, buckets.index(number), 1);
        } else if number <= -f64::MIN_POSITIVE {
            add(&mut self.below_zero, buckets.index(-number), 1);
        } else if !number.is_nan() {
            self.zero = self.zero.wrapping_add(1);
        }
    }

    /// Adds what was counted later.
    pub(super) fn plus(&mut self, later: &Self) {
        self.zero = self.zero.wrapping_add(later.zero);
        for (index, count) in &later.below_zero {
            add(&mut self.below_zero, *index, *count);
        }
        for (index, count) in &later.above_zero {
            add(&mut self.above_zero, *index, *count);
        }
    }

    /// Subtracts what was counted before.
    pub(super) fn minus(&mut self, earlier: &Self) {
        self.zero = self.zero.wrapping_sub(earlier.zero);
        subtract(&mut self.below_zero, &earlier.below_zero);
        subtract(&mut self.above_zero, &earlier.above_zero);
    }

    /// How many numbers.
    pub(super) fn total(&self) -> u64 {
        let buckets = self.below_zero.values().chain(self.above_zero.values());
        buckets.fold(self.zero, |total, count| total.saturating_add(*count))
    }

    /// The middle of the bucket that holds the number of this rank, from 0 for the least number on;
    /// NaN if there are not as many.
    pub(super) fn number_at(&self, rank: u64, buckets: &Buckets) -> f64 {
        let below = self.below_zero.iter().rev();
        let below = below.map(|(index, count)| (-buckets.middle(*index), *count));
        let above = self.above_zero.iter();
        let above = above.map(|(index, count)| (buckets.middle(*index), *count));
        let mut in_order = below.chain(iter::once((0.0, self.zero))).chain(above);
        let mut passed = 0u64;
        let found = in_order.find(|(_, count)| {
            passed = passed.saturating_add(*count);
            passed > rank
        });
        found.map_or(f64::NAN, |(number, _)| number)
    }
}

fn add(counts: &mut BTreeMap<i32, u64>, index: i32, count: u64) {
    let all = counts.entry(index).or_default();
    *all = all.wrapping_add(count);
}

fn subtract(counts: &mut BTreeMap<i32, u64>, earlier: &BTreeMap<i32, u64>) {
    for (index, count) in earlier {
        let Some(all) = counts.get_mut(index) else {
            continue;
        };
        *all = all.wrapping_sub(*count);
        if *all == 0 {
            counts.remove(index);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_stay_what_changelogs_hold() {
        let index = |number| Buckets::within(0.01).index(number);
        let of = [1e-9, 0.5, 1.0, 2.0, 1e9, f64::MAX, f64::INFINITY];
        assert_eq!(of.map(index), [-1037, -35, 0, 34, 1036, 35487, i32::MAX]);
    }

    #[test]
    fn only_what_is_counted_is_kept() {
        let buckets = Buckets::within(0.01);
        let mut counts = Counts::default();
        for number in [5.0, -5.0, 0.0, f64::NAN] {
            counts.count(number, &buckets);
        }
        assert_eq!(counts.total(), 3);
        let all = counts.clone();
        counts.plus(&all);
        counts.minus(&all);
        counts.minus(&all);
        assert_eq!(counts, Counts::default());
        assert!(counts.number_at(0, &buckets).is_nan());
    }
}
