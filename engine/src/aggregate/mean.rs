//! The arithmetic mean: a sum and a count, divided at the end.
//!
//! The sum is that of [`super::Sum`]: exact for integers, so that their mean retracts, and
//! compensated for floats.

use super::{Aggregate, Summand};
use crate::time::Timestamp;

over_a_value! {
    /// The arithmetic mean of a number.
    Mean
}

impl<V, N: Summand, F: Fn(&V) -> N + Clone + Send + 'static> Aggregate<V> for Mean<F> {
    type Acc = (N::Total, u64);
    type Out = f64;

    fn lift(&self, value: &V, _: Timestamp) -> Self::Acc {
        (self.0(value).total(), 1)
    }

    fn combine(&self, earlier: &mut Self::Acc, later: &Self::Acc) {
        N::plus(&mut earlier.0, &later.0);
        earlier.1 = earlier.1.wrapping_add(later.1);
    }

    fn lower(&self, (total, count): &Self::Acc) -> f64 {
        N::mean(total, *count)
    }

    fn retracts(&self) -> bool {
        N::IS_EXACT
    }

    fn retract(&self, acc: &mut Self::Acc, earlier: &Self::Acc) {
        N::minus(&mut acc.0, &earlier.0);
        acc.1 = acc.1.wrapping_sub(earlier.1);
    }

    fn name(&self) -> String {
        "mean".into()
    }
}

#[cfg(test)]
mod tests {
    use super::super::laws::{assert_float_laws, assert_laws, fold, records, timed};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_mean_is_of_all_numbers_however_large() {
        let mean = fold(&Mean::of(|v: &i64| *v), &timed(&[i64::MAX, i64::MAX]));
        assert_eq!(mean.to_bits(), (i64::MAX as f64).to_bits());
        let mean = fold(&Mean::of(|v: &f64| *v), &timed(&[1.0, 2.0, 6.0]));
        assert_eq!(mean.to_bits(), 3f64.to_bits());
    }

    proptest! {
        #[test]
        fn means_of_integers_obey_the_laws(records in records(any::<i32>())) {
            assert_laws(&Mean::of(|v: &i32| *v), &records)?;
        }

        #[test]
        fn means_of_floats_obey_the_laws_of_floats(records in records(any::<f64>())) {
            assert_float_laws(&Mean::of(|v: &f64| *v), &records)?;
        }
    }
}
