//! The first and the last value by event time.
//!
//! Records of equal event time count in order of arrival. They are always in the same slice, where
//! that order is known; slices are combined in order of time.

use super::timed::Timed;
use super::{Aggregate, Stored};
use crate::time::Timestamp;

over_a_value! {
    /// The value of the record with the lowest event time; of equal ones, that which came first.
    First
}
over_a_value! {
    /// The value of the record with the highest event time; of equal ones, that which came last.
    Last
}

macro_rules! by_time {
    ($name:ident, $title:literal, $is_better:expr) => {
        impl<V, T: Stored, F: Fn(&V) -> T + Clone + Send + 'static> Aggregate<V> for $name<F> {
            type Acc = Timed<T>;
            type Out = T;

            fn lift(&self, value: &V, time: Timestamp) -> Timed<T> {
                Timed {
                    time,
                    value: self.0(value),
                }
            }

            fn combine(&self, earlier: &mut Timed<T>, later: &Timed<T>) {
                let is_better: fn(Timestamp, Timestamp) -> bool = $is_better;
                if is_better(later.time, earlier.time) {
                    earlier.clone_from(later);
                }
            }

            fn lower(&self, acc: &Timed<T>) -> T {
                acc.value.clone()
            }

            /// Takes no value from a record that does not matter.
            fn add(&self, acc: &mut Timed<T>, value: &V, time: Timestamp) {
                let is_better: fn(Timestamp, Timestamp) -> bool = $is_better;
                if is_better(time, acc.time) {
                    *acc = self.lift(value, time);
                }
            }

            fn name(&self) -> String {
                $title.into()
            }
        }
    };
}
by_time!(First, "first", |later, earlier| later < earlier);
by_time!(Last, "last", |later, earlier| later >= earlier);

#[cfg(test)]
mod tests {
    use super::super::laws::{assert_laws, fold, records};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn event_time_decides_and_then_arrival() {
        let arrived = [
            (20, "c"),
            (10, "a"),
            (30, "d"),
            (10, "b"),
            (30, "e"),
            (20, "f"),
        ];
        let records: Vec<_> = arrived.iter().map(|(t, v)| (*v, Timestamp(*t))).collect();
        let take = |v: &&str| (*v).to_owned();
        let found = fold(&(First::of(take), Last::of(take)), &records);
        assert_eq!(found, ("a".to_owned(), "e".to_owned()));
    }

    proptest! {
        #[test]
        fn first_and_last_obey_the_laws(records in records(any::<u8>())) {
            assert_laws(&First::of(|v: &u8| *v), &records)?;
            assert_laws(&Last::of(|v: &u8| *v), &records)?;
        }
    }
}
