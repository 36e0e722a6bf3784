//! The records with the least or the greatest value, ties included.
//!
//! Several records can share the extreme. The first of them are kept, up to a limit, by event time
//! and then by arrival; all of them are counted, so the result says if some are missing.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use super::extreme::is_nan;
use super::timed::{Timed, merge};
use super::{Aggregate, Stored};
use crate::time::Timestamp;

/// The extreme value and the records that have it.
#[derive(Clone, Debug, PartialEq)]
pub struct Ties<N, T> {
    /// The extreme.
    pub value: N,
    /// What was taken of the first records that have it, by event time and then by arrival.
    pub items: Vec<T>,
    /// How many records have it, those beyond the limit included.
    pub count: u64,
}

/// What is kept: [`Ties`] with event times.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tied<N, T> {
    value: N,
    items: Vec<Timed<T>>,
    count: u64,
}

impl<N: PartialOrd + Clone, T: Clone> Tied<N, T> {
    /// Combines with what comes later, whose value compares with the extreme so far like this.
    fn combine(&mut self, later: &Self, is_better: Ordering, limit: usize) {
        match is_better {
            Ordering::Less => {}
            Ordering::Greater => self.clone_from(later),
            Ordering::Equal => {
                self.count = self.count.wrapping_add(later.count);
                let by_time = |a: &Timed<T>, b: &Timed<T>| a.time.cmp(&b.time);
                merge(&mut self.items, &later.items, limit, by_time);
            }
        }
    }
}

/// How values compare: `Greater` if the later one is the better extreme. NaN is worse than all else.
fn compare<N: PartialOrd>(later: &N, earlier: &N, on_order: fn(Ordering) -> Ordering) -> Ordering {
    let order = later.partial_cmp(earlier).map(on_order);
    order.unwrap_or_else(|| is_nan(earlier).cmp(&is_nan(later)))
}

macro_rules! extreme_with_ties {
    ($(#[$doc:meta])* $name:ident, $title:literal, $on_order:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy)]
        pub struct $name<B, I> {
            limit: usize,
            by: B,
            item: I,
        }

        debug_by_name!($name<B, I>);

        impl<B, I> $name<B, I> {
            /// By the value that `by` takes from each record. Of records with the extreme, `item`
            /// says what to keep, of at most `limit`.
            pub fn of<V, N, T>(limit: usize, by: B, item: I) -> Self
            where
                B: Fn(&V) -> N,
                I: Fn(&V) -> T,
            {
                Self { limit, by, item }
            }
        }

        impl<V, N, T, B, I> Aggregate<V> for $name<B, I>
        where
            N: PartialOrd + Stored,
            T: Stored,
            B: Fn(&V) -> N + Clone + Send + 'static,
            I: Fn(&V) -> T + Clone + Send + 'static,
        {
            type Acc = Tied<N, T>;
            type Out = Ties<N, T>;

            fn lift(&self, value: &V, time: Timestamp) -> Tied<N, T> {
                let first = || (self.item)(value);
                let items = (self.limit > 0).then(|| Timed { time, value: first() });
                Tied {
                    value: (self.by)(value),
                    items: items.into_iter().collect(),
                    count: 1,
                }
            }

            fn combine(&self, earlier: &mut Tied<N, T>, later: &Tied<N, T>) {
                let is_better = compare(&later.value, &earlier.value, $on_order);
                earlier.combine(later, is_better, self.limit);
            }

            fn lower(&self, acc: &Tied<N, T>) -> Ties<N, T> {
                Ties {
                    value: acc.value.clone(),
                    items: acc.items.iter().map(|item| item.value.clone()).collect(),
                    count: acc.count,
                }
            }

            /// Takes no item from a record that does not matter.
            fn add(&self, acc: &mut Tied<N, T>, value: &V, time: Timestamp) {
                let is_better = compare(&(self.by)(value), &acc.value, $on_order);
                if is_better.is_ge() {
                    acc.combine(&self.lift(value, time), is_better, self.limit);
                }
            }

            fn name(&self) -> String {
                $title.into()
            }
        }
    };
}
extreme_with_ties! {
    /// The records with the least value; NaN counts only if there is no other.
    MinBy, "min by", Ordering::reverse
}
extreme_with_ties! {
    /// The records with the greatest value; NaN counts only if there is no other.
    ///
    /// ```
    /// use brooklet_engine::aggregate::{Aggregate, MaxBy};
    /// use brooklet_engine::time::Timestamp;
    ///
    /// let bids = [("ann", 5), ("bob", 7), ("cat", 7), ("dan", 7)];
    /// let highest = MaxBy::of(2, |bid: &(&str, i64)| bid.1, |bid| bid.0.to_owned());
    /// let mut acc = highest.lift(&bids[0], Timestamp(0));
    /// for (minute, bid) in (1..).zip(&bids[1..]) {
    ///     highest.add(&mut acc, bid, Timestamp(minute * 60_000));
    /// }
    /// let found = highest.lower(&acc);
    /// assert_eq!((found.value, found.items, found.count), (7, vec!["bob".into(), "cat".into()], 3));
    /// ```
    MaxBy, "max by", std::convert::identity
}

#[cfg(test)]
mod tests {
    use super::super::laws::{assert_laws, fold, records, timed};
    use super::*;
    use proptest::prelude::*;

    fn ties<N, T>(value: N, items: Vec<T>, count: u64) -> Ties<N, T> {
        Ties {
            value,
            items,
            count,
        }
    }

    #[test]
    fn ties_are_in_order_of_time_and_then_of_arrival() {
        let arrived = [(5, "c"), (3, "a"), (5, "d"), (3, "b"), (9, "e")];
        let records: Vec<_> = arrived.iter().map(|(t, v)| (*v, Timestamp(*t))).collect();
        let all = MinBy::of(4, |_: &&str| 1, |v: &&str| (*v).to_owned());
        let items = ["a", "b", "c", "d"].map(String::from).to_vec();
        assert_eq!(fold(&all, &records), ties(1, items, 5));
    }

    #[test]
    fn a_limit_of_none_still_counts() {
        let found = fold(
            &MaxBy::of(0, |v: &i64| *v, |v: &i64| *v),
            &timed(&[3, 3, 1]),
        );
        assert_eq!(found, ties(3, vec![], 2));
    }

    #[test]
    fn only_records_with_the_extreme_are_asked_for_items() {
        let item = |v: &i64| assert!(*v >= 3, "asked for the item of {v}");
        let found = fold(&MaxBy::of(1, |v: &i64| *v, item), &timed(&[3, 1, 3, 7]));
        assert_eq!(found, ties(7, vec![()], 1));
    }

    #[test]
    fn nan_is_no_extreme() {
        let of = |v: &f64| *v;
        for values in [[f64::NAN, 1.0], [1.0, f64::NAN]] {
            let both = (MinBy::of(2, of, of), MaxBy::of(2, of, of));
            let found = fold(&both, &timed(&values));
            let one = ties(1.0, vec![1.0], 1);
            assert_eq!(found, (one.clone(), one));
        }
        assert_eq!(fold(&MinBy::of(1, of, of), &timed(&[f64::NAN; 3])).count, 3);
    }

    proptest! {
        #[test]
        fn extremes_with_ties_obey_the_laws(
            records in records((-2i8..3, any::<u8>())), limit in 0usize..4,
        ) {
            assert_laws(&MinBy::of(limit, |v: &(i8, u8)| v.0, |v| v.1), &records)?;
            assert_laws(&MaxBy::of(limit, |v: &(i8, u8)| v.0, |v| v.1), &records)?;
        }

        #[test]
        fn zeros_and_nans_obey_the_laws(
            records in records(proptest::sample::select(vec![0.0, -0.0, f64::NAN, -f64::NAN])),
        ) {
            assert_laws(&MinBy::of(3, |v: &f64| *v, |v| v.to_bits()), &records)?;
        }
    }
}
