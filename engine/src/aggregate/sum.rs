//! Sums: exact for integers, compensated for floats.
//!
//! Integers of up to 64 bits are summed in 128 bits, and the sum is an `i128`. It cannot overflow:
//! that would take 2^63 records. So it needs no error and no bound, its order does not matter, and
//! it can be retracted. A program that needs a smaller type narrows the result and then has its
//! answer to an overflow: `i64::try_from(sum)`.
//!
//! Floats are summed with the rounding errors kept apart (Neumaier, "Rundungsfehleranalyse einiger
//! Verfahren zur Summation endlicher Summen", ZAMM 1974):
//!
//! ```text
//!        1e100 + 1.0 - 1e100
//! plain           0.0
//! kept apart      1.0        sum 0.0, lost 1.0
//! ```
//!
//! The last digits may still depend on where the parentheses stand, and so floats are not retracted.

use serde::{Deserialize, Serialize};

use super::{Aggregate, Stored};
use crate::time::Timestamp;

over_a_value! {
    /// The sum of a number: integers exactly, as an `i128`; floats as an `f64`.
    Sum
}

/// A number that can be summed.
pub trait Summand: Copy + Send + 'static {
    /// The sum of such numbers.
    type Sum: Copy + Send + 'static;
    /// What is kept while summing.
    type Total: Stored;
    /// Whether totals are exact: in any order, and after subtraction.
    const IS_EXACT: bool;

    /// The total of this number alone.
    fn total(self) -> Self::Total;
    /// Adds the later total.
    fn plus(total: &mut Self::Total, later: &Self::Total);
    /// Subtracts the earlier total; called only if totals are exact.
    fn minus(total: &mut Self::Total, earlier: &Self::Total);
    /// The sum.
    fn sum(total: &Self::Total) -> Self::Sum;
    /// The sum divided by how many numbers it has.
    fn mean(total: &Self::Total, count: u64) -> f64;
}

/// 128 bits wrap around instead of stopping the engine; see the module on why they never do.
macro_rules! integer_summands {
    ($widen:expr => $($integer:ty),*) => {$(
        impl Summand for $integer {
            type Sum = i128;
            type Total = i128;
            const IS_EXACT: bool = true;

            fn total(self) -> i128 {
                let widen: fn($integer) -> i128 = $widen;
                widen(self)
            }
            fn plus(total: &mut i128, later: &i128) {
                *total = total.wrapping_add(*later);
            }
            fn minus(total: &mut i128, earlier: &i128) {
                *total = total.wrapping_sub(*earlier);
            }
            fn sum(total: &i128) -> i128 {
                *total
            }
            fn mean(total: &i128, count: u64) -> f64 {
                *total as f64 / count as f64
            }
        }
    )*};
}
integer_summands!(i128::from => i8, i16, i32, i64, u8, u16, u32, u64);
integer_summands!(|number| number as i128 => isize, usize);

/// A sum of floats and what rounding has taken from it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Compensated {
    sum: f64,
    lost: f64,
}

impl Compensated {
    fn of(number: f64) -> Self {
        Self {
            sum: number,
            lost: 0.0,
        }
    }

    fn plus(&mut self, later: &Self) {
        let sum = self.sum + later.sum;
        // The low digits of the smaller one are what rounding takes.
        let lost = if self.sum.abs() >= later.sum.abs() {
            (self.sum - sum) + later.sum
        } else {
            (later.sum - sum) + self.sum
        };
        self.sum = sum;
        self.lost += later.lost + lost;
    }

    /// An infinite sum has lost nothing that can be known.
    fn sum(&self) -> f64 {
        if self.sum.is_finite() && !self.lost.is_nan() {
            self.sum + self.lost
        } else {
            self.sum
        }
    }
}

macro_rules! float_summands {
    ($($float:ty),*) => {$(
        impl Summand for $float {
            type Sum = f64;
            type Total = Compensated;
            const IS_EXACT: bool = false;

            fn total(self) -> Compensated {
                Compensated::of(f64::from(self))
            }
            fn plus(total: &mut Compensated, later: &Compensated) {
                total.plus(later);
            }
            fn minus(_: &mut Compensated, _: &Compensated) {}
            fn sum(total: &Compensated) -> f64 {
                total.sum()
            }
            fn mean(total: &Compensated, count: u64) -> f64 {
                total.sum() / count as f64
            }
        }
    )*};
}
float_summands!(f32, f64);

impl<V, N: Summand, F: Fn(&V) -> N + Clone + Send + 'static> Aggregate<V> for Sum<F> {
    type Acc = N::Total;
    type Out = N::Sum;

    fn lift(&self, value: &V, _: Timestamp) -> N::Total {
        self.0(value).total()
    }

    fn combine(&self, earlier: &mut N::Total, later: &N::Total) {
        N::plus(earlier, later);
    }

    fn lower(&self, acc: &N::Total) -> N::Sum {
        N::sum(acc)
    }

    fn retracts(&self) -> bool {
        N::IS_EXACT
    }

    fn retract(&self, acc: &mut N::Total, earlier: &N::Total) {
        N::minus(acc, earlier);
    }

    fn name(&self) -> String {
        "sum".into()
    }
}

#[cfg(test)]
mod tests {
    use super::super::laws::{assert_float_laws, assert_laws, fold, records, timed};
    use super::*;
    use proptest::prelude::*;

    fn sum_of(numbers: &[f64]) -> f64 {
        fold(&Sum::of(|v: &f64| *v), &timed(numbers))
    }

    #[test]
    fn integers_are_summed_past_their_own_bounds() {
        let signed = fold(&Sum::of(|v: &i64| *v), &timed(&[i64::MAX, i64::MAX, -1]));
        assert_eq!(signed, i128::from(i64::MAX) * 2 - 1);
        let unsigned = fold(&Sum::of(|v: &u64| *v), &timed(&[u64::MAX, u64::MAX]));
        assert_eq!(unsigned, i128::from(u64::MAX) * 2);
        assert!(i64::try_from(signed).is_err());
    }

    #[test]
    fn floats_lose_no_digits_to_large_ones_that_cancel() {
        assert_eq!(sum_of(&[1e100, 1.0, -1e100]).to_bits(), 1f64.to_bits());
        assert_eq!(sum_of(&[0.1; 10]).to_bits(), 1f64.to_bits());
    }

    #[test]
    fn totals_carry_what_they_lost() {
        let sum = Sum::of(|v: &f64| *v);
        let of = |n: &f64| Aggregate::lift(&sum, n, Timestamp(0));
        let mut later = of(&1e100);
        sum.add(&mut later, &1.0, Timestamp(0));
        sum.add(&mut later, &-1e100, Timestamp(0));
        let mut all = of(&2.0);
        Aggregate::<f64>::combine(&sum, &mut all, &later);
        assert_eq!(all.sum().to_bits(), 3f64.to_bits());
    }

    #[test]
    fn infinities_and_nan_are_summed_as_floats_are() {
        let is = |numbers: &[f64], sum: f64| sum_of(numbers).to_bits() == sum.to_bits();
        assert!(is(&[f64::INFINITY, 1.0], f64::INFINITY));
        assert!(is(&[f64::MAX, f64::MAX], f64::INFINITY));
        assert!(is(&[f64::MIN, f64::MIN, 1.0], f64::NEG_INFINITY));
        assert!(sum_of(&[f64::INFINITY, f64::NEG_INFINITY]).is_nan());
        assert!(sum_of(&[1.0, f64::NAN, 2.0]).is_nan());
    }

    proptest! {
        #[test]
        fn sums_of_integers_obey_the_laws(records in records(any::<i64>())) {
            let sum = Sum::of(|v: &i64| *v);
            assert_laws(&sum, &records)?;
            let exact: i128 = records.iter().map(|(v, _)| i128::from(*v)).sum();
            prop_assert_eq!(fold(&sum, &records), exact);
        }

        #[test]
        fn sums_of_floats_obey_the_laws_of_floats(records in records(any::<f64>())) {
            let sum = Sum::of(|v: &f64| *v);
            assert_float_laws(&sum, &records)?;
            prop_assert!(!Aggregate::<f64>::retracts(&sum));
        }
    }
}
