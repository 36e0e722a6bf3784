//! The least and the greatest value.
//!
//! Of values that compare as equal, the one that came first is kept. A value that compares with
//! nothing, NaN, counts only if there is no other. Neither retracts: what a window loses may have
//! hidden any other value.

use super::{Aggregate, Stored};
use crate::time::Timestamp;

over_a_value! {
    /// The least; a value that compares with nothing (NaN) counts only if there is no other.
    Min
}
over_a_value! {
    /// The greatest; a value that compares with nothing (NaN) counts only if there is no other.
    Max
}

/// Whether the value compares with nothing, not even with itself.
pub(super) fn is_nan<N: PartialOrd>(value: &N) -> bool {
    value.partial_cmp(value).is_none()
}

macro_rules! extreme {
    ($name:ident, $title:literal, $is_better:expr) => {
        impl<V, N, F> Aggregate<V> for $name<F>
        where
            N: PartialOrd + Stored,
            F: Fn(&V) -> N + Clone + Send + 'static,
        {
            type Acc = N;
            type Out = N;

            fn lift(&self, value: &V, _: Timestamp) -> N {
                self.0(value)
            }

            fn combine(&self, earlier: &mut N, later: &N) {
                let is_better: fn(&N, &N) -> bool = $is_better;
                if is_better(later, earlier) || is_nan(earlier) {
                    earlier.clone_from(later);
                }
            }

            fn lower(&self, acc: &N) -> N {
                acc.clone()
            }

            fn name(&self) -> String {
                $title.into()
            }
        }
    };
}
extreme!(Min, "min", |a, b| a < b);
extreme!(Max, "max", |a, b| a > b);

#[cfg(test)]
mod tests {
    use super::super::laws::{assert_laws, fold, records, timed};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nan_is_no_extreme() {
        let both = (Min::of(|v: &f64| *v), Max::of(|v: &f64| *v));
        for values in [[f64::NAN, 1.0], [1.0, f64::NAN]] {
            assert_eq!(fold(&both, &timed(&values)), (1.0, 1.0));
        }
        assert!(fold(&both, &timed(&[f64::NAN; 2])).0.is_nan());
    }

    #[test]
    fn texts_have_extremes_too() {
        let words = ["pear", "apple", "plum"].map(String::from);
        let both = (Min::of(String::clone), Max::of(String::clone));
        let found = fold(&both, &timed(&words));
        assert_eq!(found, ("apple".to_owned(), "plum".to_owned()));
    }

    proptest! {
        #[test]
        fn extremes_obey_the_laws(records in records(any::<f64>())) {
            assert_laws(&Min::of(|v: &f64| *v), &records)?;
            assert_laws(&Max::of(|v: &f64| *v), &records)?;
        }

        #[test]
        fn ties_of_zeros_and_nans_obey_the_laws(
            records in records(proptest::sample::select(vec![0.0, -0.0, f64::NAN, -f64::NAN])),
        ) {
            assert_laws(&Min::of(|v: &f64| *v), &records)?;
            assert_laws(&Max::of(|v: &f64| *v), &records)?;
        }
    }
}
