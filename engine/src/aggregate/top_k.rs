//! The k records with the greatest values.
//!
//! They are kept in order: by value, greatest first; of equal values by event time, then by arrival.
//! NaN is behind all other values.

use std::cmp::Ordering;

use super::extreme::is_nan;
use super::timed::{Timed, merge};
use super::{Aggregate, Stored};
use crate::time::Timestamp;

/// The k records with the greatest values, greatest first; fewer if there are not as many.
///
/// ```
/// use brooklet_engine::aggregate::{Aggregate, TopK};
/// use brooklet_engine::time::Timestamp;
///
/// let delays = [("JFK", 12), ("EWR", 40), ("LGA", 12), ("JFK", 3)];
/// let worst = TopK::of(2, |flight: &(&str, i64)| flight.1, |flight| flight.0.to_owned());
/// let mut acc = worst.lift(&delays[0], Timestamp(0));
/// for (minute, flight) in (1..).zip(&delays[1..]) {
///     worst.add(&mut acc, flight, Timestamp(minute * 60_000));
/// }
/// assert_eq!(worst.lower(&acc), [(40, "EWR".into()), (12, "JFK".into())]);
/// ```
#[derive(Clone, Copy)]
pub struct TopK<B, I> {
    k: usize,
    by: B,
    item: I,
}

debug_by_name!(TopK<B, I>);

impl<B, I> TopK<B, I> {
    /// The `k` greatest of the values that `by` takes from each record, each with what `item`
    /// takes from the same record.
    pub fn of<V, N, T>(k: usize, by: B, item: I) -> Self
    where
        B: Fn(&V) -> N,
        I: Fn(&V) -> T,
    {
        Self { k, by, item }
    }
}

/// A record of the list: its value, and the item taken from it.
type Entry<N, T> = Timed<(N, T)>;

fn order<N: PartialOrd>(a: (&N, Timestamp), b: (&N, Timestamp)) -> Ordering {
    let by_value = b.0.partial_cmp(a.0);
    by_value
        .unwrap_or_else(|| is_nan(a.0).cmp(&is_nan(b.0)))
        .then(a.1.cmp(&b.1))
}

fn order_of_entries<N: PartialOrd, T>(a: &Entry<N, T>, b: &Entry<N, T>) -> Ordering {
    order((&a.value.0, a.time), (&b.value.0, b.time))
}

impl<V, N, T, B, I> Aggregate<V> for TopK<B, I>
where
    N: PartialOrd + Stored,
    T: Stored,
    B: Fn(&V) -> N + Clone + Send + 'static,
    I: Fn(&V) -> T + Clone + Send + 'static,
{
    type Acc = Vec<Timed<(N, T)>>;
    type Out = Vec<(N, T)>;

    fn lift(&self, value: &V, time: Timestamp) -> Self::Acc {
        let mut acc = Vec::new();
        self.add(&mut acc, value, time);
        acc
    }

    fn combine(&self, earlier: &mut Self::Acc, later: &Self::Acc) {
        merge(earlier, later, self.k, order_of_entries);
    }

    fn lower(&self, acc: &Self::Acc) -> Self::Out {
        acc.iter().map(|entry| entry.value.clone()).collect()
    }

    /// Takes no item from a record that is not among the k.
    fn add(&self, acc: &mut Self::Acc, value: &V, time: Timestamp) {
        let number = (self.by)(value);
        let index = acc
            .partition_point(|entry| order((&entry.value.0, entry.time), (&number, time)).is_le());
        if index < self.k {
            let value = (number, (self.item)(value));
            acc.insert(index, Timed { time, value });
            acc.truncate(self.k);
        }
    }

    fn name(&self) -> String {
        format!("top {}", self.k)
    }
}

#[cfg(test)]
mod tests {
    use super::super::laws::{assert_laws, fold, records, timed};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn equal_values_are_in_order_of_time_and_then_of_arrival() {
        let arrived = [(5, "c"), (3, "a"), (5, "d"), (3, "b")];
        let records: Vec<_> = arrived.iter().map(|(t, v)| (*v, Timestamp(*t))).collect();
        let found = fold(&TopK::of(3, |_: &&str| 1, |v| (*v).to_owned()), &records);
        let items: Vec<_> = found.iter().map(|(_, item)| item.as_str()).collect();
        assert_eq!(items, ["a", "b", "c"]);
    }

    #[test]
    fn nan_is_last_and_none_are_none() {
        let top = |k| TopK::of(k, |v: &f64| *v, |v| v.is_nan());
        let records = timed(&[f64::NAN, 1.0, f64::NAN, f64::INFINITY]);
        let found = fold(&top(3), &records);
        let is_nan: Vec<_> = found.iter().map(|(_, is_nan)| *is_nan).collect();
        assert_eq!(is_nan, [false, false, true]);
        assert_eq!(fold(&top(0), &records), []);
    }

    #[test]
    fn only_records_of_the_list_are_asked_for_items() {
        let item = |v: &i64| assert!(*v >= 3, "asked for the item of {v}");
        let found = fold(&TopK::of(1, |v: &i64| *v, item), &timed(&[3, 1, 3, 7]));
        assert_eq!(found, [(7, ())]);
    }

    proptest! {
        #[test]
        fn top_k_obeys_the_laws(records in records((-2i8..3, any::<u8>())), k in 0usize..6) {
            assert_laws(&TopK::of(k, |v: &(i8, u8)| v.0, |v| v.1), &records)?;
        }

        #[test]
        fn top_k_is_a_sort_cut_short(records in records(any::<u8>()), k in 0usize..50) {
            let mut sorted: Vec<_> = records.iter().map(|(v, time)| (*v, *time)).collect();
            sorted.sort_by_key(|(v, time)| (std::cmp::Reverse(*v), *time));
            let expected: Vec<_> = sorted.iter().take(k).map(|(v, _)| (*v, *v)).collect();
            prop_assert_eq!(fold(&TopK::of(k, |v: &u8| *v, |v| *v), &records), expected);
        }
    }
}
