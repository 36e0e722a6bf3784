//! Quantiles, each within a relative error: the counts of a DDSketch.
//!
//! The line of numbers is cut into buckets that grow in proportion to their distance from zero, and
//! each bucket counts its numbers (Masson, Rim, Lee, "DDSketch: a fast and fully-mergeable quantile
//! sketch with relative-error guarantees", VLDB 2019). All numbers of a bucket lie within the error
//! of its middle:
//!
//! ```text
//!  bucket      …    0       1         2           3       …
//!  numbers     ├────────┼──────────┼────────────┼───────────────┤
//!              1      1.020      1.041        1.062           1.083       at an error of 1 %
//! ```
//!
//! The buckets are those of the crate `sketches-ddsketch`, and so of Datadog's Java library. The
//! counts are kept here, in a map, because the crate's own store depends on the order of the
//! numbers: it has a running sum of floats, a window of buckets that moves, and it takes at least a
//! KiB, of which there is one for each key and slice. A map of counts is the same for the same
//! numbers, and can be subtracted, so quantiles even retract.
//!
//! Buckets are never merged, so the error holds for all numbers. At 1 % there are 115 buckets for
//! each power of ten, and only those with numbers are kept. A stream that uses all of the range of
//! f64 fills 71 000 on either side of zero; one between a millisecond and an hour, at most 755. Zero
//! and the subnormal numbers beside it (below 2.3e-308) count as zero. NaN has no rank and does not
//! count.
//!
//! Logarithms may differ in the last digit between platforms: a number at the edge of two buckets
//! can count in the other one there, within the error.

use counts::{Buckets, Counts};

use super::Aggregate;
use crate::time::Timestamp;

mod counts;

const ERROR_DEFAULT: f64 = 0.01;

/// Quantiles of a number, each within a relative error: 1 % by default.
///
/// The quantile `q` of `n` numbers is the one with the rank `q * (n - 1)`, rounded down: 0.0 is the
/// least number, 0.5 a median, 1.0 the greatest. A result is NaN if there was no number but NaN.
///
/// ```
/// use brooklet_engine::aggregate::{Aggregate, Quantiles};
/// use brooklet_engine::time::Timestamp;
///
/// let delays = Quantiles::of([0.5, 0.99], |delay: &f64| *delay);
/// let mut acc = delays.lift(&1.0, Timestamp(0));
/// (2..=1000).for_each(|n| delays.add(&mut acc, &f64::from(n), Timestamp(0)));
/// let [median, most] = delays.lower(&acc);
/// assert!((median - 500.0).abs() <= 5.0 && (most - 990.0).abs() <= 9.9);
/// ```
#[derive(Clone, Copy)]
pub struct Quantiles<F, const N: usize> {
    places: [f64; N],
    error: f64,
    buckets: Buckets,
    of: F,
}

impl<F, const N: usize> std::fmt::Debug for Quantiles<F, N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Quantiles({:?})", self.places)
    }
}

impl<F, const N: usize> Quantiles<F, N> {
    /// The quantiles `at` these places, from 0.0 to 1.0, of the number that `of` takes from each
    /// record. Places outside are taken as the nearest inside.
    pub fn of<V>(at: [f64; N], of: F) -> Self
    where
        F: Fn(&V) -> f64,
    {
        Self {
            places: at,
            error: ERROR_DEFAULT,
            buckets: Buckets::within(ERROR_DEFAULT),
            of,
        }
    }

    /// Within another relative error, from 0.0001 to 0.5. Half the error takes twice the memory.
    pub fn within(self, error: f64) -> Self {
        let error = if error.is_nan() {
            ERROR_DEFAULT
        } else {
            error.clamp(0.0001, 0.5)
        };
        Self {
            error,
            buckets: Buckets::within(error),
            ..self
        }
    }
}

impl<V, F, const N: usize> Aggregate<V> for Quantiles<F, N>
where
    F: Fn(&V) -> f64 + Clone + Send + 'static,
{
    type Acc = Counts;
    type Out = [f64; N];

    fn lift(&self, value: &V, time: Timestamp) -> Counts {
        let mut acc = Counts::default();
        self.add(&mut acc, value, time);
        acc
    }

    fn combine(&self, earlier: &mut Counts, later: &Counts) {
        earlier.plus(later);
    }

    fn lower(&self, acc: &Counts) -> [f64; N] {
        let last = acc.total().saturating_sub(1);
        self.places.map(|place| {
            let rank = (place * last as f64) as u64;
            acc.number_at(rank.min(last), &self.buckets)
        })
    }

    fn add(&self, acc: &mut Counts, value: &V, _: Timestamp) {
        acc.count((self.of)(value), &self.buckets);
    }

    fn retracts(&self) -> bool {
        true
    }

    fn retract(&self, acc: &mut Counts, earlier: &Counts) {
        acc.minus(earlier);
    }

    fn name(&self) -> String {
        format!("quantiles by DDSketch (error {})", self.error)
    }
}

#[cfg(test)]
mod tests {
    use super::super::laws::{assert_laws, fold, records, timed};
    use super::*;
    use proptest::prelude::*;

    fn quantiles<const N: usize>(at: [f64; N], numbers: &[f64]) -> [f64; N] {
        fold(&Quantiles::of(at, |v: &f64| *v), &timed(numbers))
    }

    fn bits<const N: usize>(numbers: [f64; N]) -> [u64; N] {
        numbers.map(f64::to_bits)
    }

    #[test]
    fn the_ends_of_all_numbers_are_found() {
        let numbers = [f64::NEG_INFINITY, f64::MIN, -0.0, f64::MAX, f64::INFINITY];
        for error in [0.0001, 0.01, 0.5] {
            let all = Quantiles::of([0.0, 0.25, 0.5, 0.75, 1.0], |v: &f64| *v).within(error);
            let [first, least, zero, greatest, last] = fold(&all, &timed(&numbers));
            assert_eq!((first, zero, last), (numbers[0], 0.0, numbers[4]));
            assert!(least.is_finite() && least <= f64::MIN * (1.0 - error));
            assert!(greatest.is_finite() && greatest >= f64::MAX * (1.0 - error));
        }
    }

    #[test]
    fn nan_has_no_rank() {
        assert_eq!(
            bits(quantiles([0.5], &[f64::NAN, 0.0, f64::NAN])),
            bits([0.0])
        );
        assert!(quantiles([0.5], &[f64::NAN])[0].is_nan());
    }

    #[test]
    fn what_is_out_of_range_is_taken_as_the_nearest() {
        let found = quantiles([-1.0, 2.0, f64::NAN], &[1.0, 2.0, 3.0]);
        let nearest = quantiles([0.0, 1.0, 0.0], &[1.0, 2.0, 3.0]);
        assert_eq!(bits(found), bits(nearest));
        let name = |error| {
            let any = Quantiles::of([0.5], |v: &f64| *v).within(error);
            Aggregate::<f64>::name(&any)
        };
        assert_eq!(name(7.0), "quantiles by DDSketch (error 0.5)");
        assert_eq!(name(f64::NAN), "quantiles by DDSketch (error 0.01)");
    }

    proptest! {
        #[test]
        fn quantiles_obey_the_laws(records in records(any::<f64>())) {
            assert_laws(&Quantiles::of([0.5], |v: &f64| *v), &records)?;
        }

        #[test]
        fn quantiles_are_within_their_error(
            mut numbers in proptest::collection::vec(proptest::num::f64::NORMAL, 1..60),
            place in 0.0..=1.0,
            error in 0.001..0.2,
        ) {
            let [found] = fold(
                &Quantiles::of([place], |v: &f64| *v).within(error),
                &timed(&numbers),
            );
            numbers.sort_by(f64::total_cmp);
            let exact = numbers[(place * (numbers.len() - 1) as f64) as usize];
            prop_assert!((found - exact).abs() <= exact.abs() * (error + 1e-9), "{found} for {exact}");
        }
    }
}
