//! Variance in one pass, without the cancellation of "mean of squares minus square of the mean".
//!
//! Two groups of numbers are combined by their counts, means and squared deviations (Chan, Golub,
//! LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances", 1979):
//!
//! ```text
//! delta   = mean(b) - mean(a)
//! mean    = mean(a) + delta * n(b) / n
//! squares = squares(a) + squares(b) + delta^2 * n(a) * n(b) / n
//! ```
//!
//! All of it is float arithmetic, so it does not retract. A number that is NaN or infinite makes the
//! variance NaN.

use serde::{Deserialize, Serialize};

use super::Aggregate;
use crate::time::Timestamp;

over_a_value! {
    /// Mean and variance of a number; see [`Moments`].
    ///
    /// ```
    /// use brooklet_engine::aggregate::{Aggregate, Variance};
    /// use brooklet_engine::time::Timestamp;
    ///
    /// let delays = Variance::of(|delay: &f64| *delay);
    /// let mut acc = delays.lift(&2.0, Timestamp(0));
    /// delays.add(&mut acc, &4.0, Timestamp(1));
    /// let moments = delays.lower(&acc);
    /// assert_eq!((moments.mean, moments.population_variance()), (3.0, 1.0));
    /// assert_eq!(moments.sample_variance(), Some(2.0));
    /// ```
    Variance
}

/// How many numbers there were, their mean, and how far from it they lie.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Moments {
    /// How many numbers.
    pub count: u64,
    /// Their mean.
    pub mean: f64,
    /// The sum of their squared distances from the mean.
    pub squares: f64,
}

impl Moments {
    /// The variance of these numbers, taken as all there are: squares divided by the count.
    pub fn population_variance(&self) -> f64 {
        self.squares / self.count as f64
    }

    /// The variance of what these numbers were drawn from: squares divided by the count less one.
    /// One number says nothing about it.
    pub fn sample_variance(&self) -> Option<f64> {
        let freedom = self.count.checked_sub(1).filter(|freedom| *freedom > 0)?;
        Some(self.squares / freedom as f64)
    }

    /// The standard deviation of these numbers, taken as all there are.
    pub fn population_deviation(&self) -> f64 {
        self.population_variance().sqrt()
    }

    /// The standard deviation of what these numbers were drawn from.
    pub fn sample_deviation(&self) -> Option<f64> {
        self.sample_variance().map(f64::sqrt)
    }
}

impl<V, F: Fn(&V) -> f64 + Clone + Send + 'static> Aggregate<V> for Variance<F> {
    type Acc = Moments;
    type Out = Moments;

    fn lift(&self, value: &V, _: Timestamp) -> Moments {
        Moments {
            count: 1,
            mean: self.0(value),
            squares: 0.0,
        }
    }

    fn combine(&self, earlier: &mut Moments, later: &Moments) {
        let count = earlier.count.wrapping_add(later.count);
        let (before, after, all) = (earlier.count as f64, later.count as f64, count as f64);
        let delta = later.mean - earlier.mean;
        earlier.count = count;
        earlier.mean += delta * (after / all);
        earlier.squares += later.squares + delta * delta * (before * after / all);
    }

    fn lower(&self, acc: &Moments) -> Moments {
        *acc
    }

    fn name(&self) -> String {
        "variance".into()
    }
}

#[cfg(test)]
mod tests {
    use super::super::laws::{assert_float_laws, fold, records, timed};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_number_has_no_sample_variance() {
        let one = fold(&Variance::of(|v: &f64| *v), &timed(&[7.0]));
        assert_eq!(
            (one.population_variance(), one.sample_variance()),
            (0.0, None)
        );
        assert_eq!(one.sample_deviation(), None);
    }

    #[test]
    fn a_large_mean_hides_no_small_variance() {
        let numbers = [1e9 + 4.0, 1e9 + 7.0, 1e9 + 13.0, 1e9 + 16.0];
        let found = fold(&Variance::of(|v: &f64| *v), &timed(&numbers));
        assert_eq!(found.sample_variance(), Some(30.0));
        assert_eq!(
            found.population_deviation().to_bits(),
            22.5f64.sqrt().to_bits()
        );
    }

    proptest! {
        #[test]
        fn variances_obey_the_laws_of_floats(records in records(any::<f64>())) {
            assert_float_laws(&Variance::of(|v: &f64| *v), &records)?;
        }

        #[test]
        fn a_split_changes_a_variance_only_by_rounding(
            numbers in proptest::collection::vec(-1e3..1e3, 2..40),
            cut in 1usize..39,
        ) {
            let variance = Variance::of(|v: &f64| *v);
            let (before, after) = numbers.split_at(cut.min(numbers.len() - 1));
            let mut split = fold(&variance, &timed(before));
            variance.combine(&mut split, &fold(&variance, &timed(after)));
            let mean = numbers.iter().sum::<f64>() / numbers.len() as f64;
            let squares = numbers.iter().map(|n| (n - mean).powi(2)).sum::<f64>();
            prop_assert!((split.mean - mean).abs() < 1e-9);
            prop_assert!((split.squares - squares).abs() <= 1e-9 * squares.max(1.0));
        }
    }
}
