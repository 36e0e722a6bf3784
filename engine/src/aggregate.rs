//! Aggregates: what is kept of the records of a window.
//!
//! An aggregate lifts a record into an accumulator, combines accumulators, and lowers the last one
//! to the result:
//!
//! ```text
//! record ──lift──▶ Acc ┐
//! record ──lift──▶ Acc ┴combine──▶ Acc ──lower──▶ result
//! ```
//!
//! That is enough for overlapping windows to share their slices: each record is folded into one
//! slice, once, and a window combines its slices when it closes (Li et al., "No pane, no gain",
//! SIGMOD Record 2005). The law: `combine` is associative. It need not be commutative: slices are
//! combined in order of time, and records within a slice in order of arrival.
//!
//! Pairs of aggregates are aggregates: `(Count, Mean::of(|f: &Flight| f.delay))`. A window that
//! holds no record has no result, so no aggregate needs a value for "nothing". Left out: `retract`,
//! for running totals by subtraction.

/// A way of summing up records of type `V`.
pub trait Aggregate<V>: Clone + Send + 'static {
    /// What is kept.
    type Acc: Clone + Send + 'static;
    /// The result.
    type Out: Clone + Send + 'static;
    /// What is kept of one record.
    fn lift(&self, value: &V) -> Self::Acc;
    /// Adds what comes later to what came before.
    fn combine(&self, earlier: &mut Self::Acc, later: &Self::Acc);
    /// The result of all that was combined.
    fn lower(&self, acc: &Self::Acc) -> Self::Out;
    /// Adds one record; `combine` with its lift, unless there is a shorter way.
    fn add(&self, acc: &mut Self::Acc, value: &V) {
        self.combine(acc, &self.lift(value));
    }
}

/// How many records.
#[derive(Clone, Copy, Debug)]
pub struct Count;

impl<V> Aggregate<V> for Count {
    type Acc = u64;
    type Out = u64;
    fn lift(&self, _: &V) -> u64 {
        1
    }
    fn combine(&self, earlier: &mut u64, later: &u64) {
        *earlier += later;
    }
    fn lower(&self, acc: &u64) -> u64 {
        *acc
    }
}

/// A number that can be summed; integers stay at their bounds instead of overflowing.
pub trait Summand: Copy + Send + 'static {
    /// The sum of the two.
    fn plus(self, other: Self) -> Self;
}

macro_rules! integer_summands {
    ($($integer:ty),*) => {$(
        impl Summand for $integer {
            fn plus(self, other: Self) -> Self {
                self.saturating_add(other)
            }
        }
    )*};
}
integer_summands!(i32, i64, u32, u64, usize);

impl Summand for f64 {
    fn plus(self, other: Self) -> Self {
        self + other
    }
}

/// Defines an aggregate over a number that a closure takes from each record.
macro_rules! over_a_number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy)]
        pub struct $name<F>(F);

        impl<F> $name<F> {
            /// Of the number that `of` takes from each record.
            pub fn of<V, N>(of: F) -> Self
            where
                F: Fn(&V) -> N,
            {
                Self(of)
            }
        }

        impl<F> std::fmt::Debug for $name<F> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(stringify!($name))
            }
        }
    };
}

over_a_number! {
    /// The sum.
    Sum
}
over_a_number! {
    /// The arithmetic mean.
    Mean
}
over_a_number! {
    /// The least; a value that compares with nothing (NaN) counts only if there is no other.
    Min
}
over_a_number! {
    /// The greatest; a value that compares with nothing (NaN) counts only if there is no other.
    Max
}

impl<V, N: Summand, F: Fn(&V) -> N + Clone + Send + 'static> Aggregate<V> for Sum<F> {
    type Acc = N;
    type Out = N;
    fn lift(&self, value: &V) -> N {
        self.0(value)
    }
    fn combine(&self, earlier: &mut N, later: &N) {
        *earlier = earlier.plus(*later);
    }
    fn lower(&self, acc: &N) -> N {
        *acc
    }
}

impl<V, F: Fn(&V) -> f64 + Clone + Send + 'static> Aggregate<V> for Mean<F> {
    type Acc = (f64, u64);
    type Out = f64;
    fn lift(&self, value: &V) -> (f64, u64) {
        (self.0(value), 1)
    }
    fn combine(&self, earlier: &mut (f64, u64), later: &(f64, u64)) {
        earlier.0 += later.0;
        earlier.1 += later.1;
    }
    fn lower(&self, acc: &(f64, u64)) -> f64 {
        acc.0 / acc.1 as f64
    }
}

impl<V, N, F> Aggregate<V> for Min<F>
where
    N: PartialOrd + Copy + Send + 'static,
    F: Fn(&V) -> N + Clone + Send + 'static,
{
    type Acc = N;
    type Out = N;
    fn lift(&self, value: &V) -> N {
        self.0(value)
    }
    fn combine(&self, earlier: &mut N, later: &N) {
        if later < earlier || is_nan(earlier) {
            *earlier = *later;
        }
    }
    fn lower(&self, acc: &N) -> N {
        *acc
    }
}

impl<V, N, F> Aggregate<V> for Max<F>
where
    N: PartialOrd + Copy + Send + 'static,
    F: Fn(&V) -> N + Clone + Send + 'static,
{
    type Acc = N;
    type Out = N;
    fn lift(&self, value: &V) -> N {
        self.0(value)
    }
    fn combine(&self, earlier: &mut N, later: &N) {
        if later > earlier || is_nan(earlier) {
            *earlier = *later;
        }
    }
    fn lower(&self, acc: &N) -> N {
        *acc
    }
}

fn is_nan<N: PartialOrd>(number: &N) -> bool {
    number.partial_cmp(number).is_none()
}

impl<V, A: Aggregate<V>, B: Aggregate<V>> Aggregate<V> for (A, B) {
    type Acc = (A::Acc, B::Acc);
    type Out = (A::Out, B::Out);
    fn lift(&self, value: &V) -> Self::Acc {
        (self.0.lift(value), self.1.lift(value))
    }
    fn combine(&self, earlier: &mut Self::Acc, later: &Self::Acc) {
        self.0.combine(&mut earlier.0, &later.0);
        self.1.combine(&mut earlier.1, &later.1);
    }
    fn lower(&self, acc: &Self::Acc) -> Self::Out {
        (self.0.lower(&acc.0), self.1.lower(&acc.1))
    }
    fn add(&self, acc: &mut Self::Acc, value: &V) {
        self.0.add(&mut acc.0, value);
        self.1.add(&mut acc.1, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fold<V, A: Aggregate<V>>(aggregate: &A, values: &[V]) -> A::Acc {
        let mut acc = aggregate.lift(&values[0]);
        values[1..].iter().for_each(|v| aggregate.add(&mut acc, v));
        acc
    }

    #[test]
    fn the_ready_made_ones_say_what_they_are_called() {
        let of = |v: &i64| *v;
        let all = ((Count, Sum::of(of)), (Min::of(of), Max::of(of)));
        let with_mean = (all, Mean::of(|v: &i64| *v as f64));
        let acc = fold(&with_mean, &[3, -1, 4]);
        assert_eq!(with_mean.lower(&acc), (((3, 6), (-1, 4)), 2.0));
    }

    #[test]
    fn sums_stay_at_their_bounds() {
        let sum = Sum::of(|v: &i64| *v);
        assert_eq!(fold(&sum, &[i64::MAX, 1]), i64::MAX);
    }

    #[test]
    fn nan_is_no_extreme() {
        let (min, max) = (Min::of(|v: &f64| *v), Max::of(|v: &f64| *v));
        for values in [[f64::NAN, 1.0], [1.0, f64::NAN]] {
            assert_eq!(fold(&(min, max), &values), (1.0, 1.0));
        }
    }

    proptest! {
        #[test]
        fn splitting_anywhere_changes_nothing(values in proptest::collection::vec(-9i64..9, 2..20), at in 1usize..19) {
            let of = |v: &i64| *v;
            let aggregate = ((Count, Sum::of(of)), (Min::of(of), Max::of(of)));
            let at = at.min(values.len() - 1);
            let mut split = fold(&aggregate, &values[..at]);
            aggregate.combine(&mut split, &fold(&aggregate, &values[at..]));
            prop_assert_eq!(split, fold(&aggregate, &values));
        }
    }
}
