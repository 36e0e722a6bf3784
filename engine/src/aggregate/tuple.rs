//! Two, three or four aggregates over the same records are an aggregate: `(Count, Mean::of(…))`.
//!
//! The parts do not know of each other. Together they retract only if each of them does. More than
//! four nest: `((a, b), (c, d, e))`.

use super::Aggregate;
use crate::time::Timestamp;

macro_rules! tuple {
    ($($part:ident $index:tt),*) => {
        impl<V, $($part: Aggregate<V>),*> Aggregate<V> for ($($part,)*) {
            type Acc = ($($part::Acc,)*);
            type Out = ($($part::Out,)*);

            fn lift(&self, value: &V, time: Timestamp) -> Self::Acc {
                ($(self.$index.lift(value, time),)*)
            }

            fn combine(&self, earlier: &mut Self::Acc, later: &Self::Acc) {
                $(self.$index.combine(&mut earlier.$index, &later.$index);)*
            }

            fn lower(&self, acc: &Self::Acc) -> Self::Out {
                ($(self.$index.lower(&acc.$index),)*)
            }

            fn add(&self, acc: &mut Self::Acc, value: &V, time: Timestamp) {
                $(self.$index.add(&mut acc.$index, value, time);)*
            }

            fn retracts(&self) -> bool {
                $(self.$index.retracts())&&*
            }

            fn retract(&self, acc: &mut Self::Acc, earlier: &Self::Acc) {
                $(self.$index.retract(&mut acc.$index, &earlier.$index);)*
            }

            fn name(&self) -> String {
                format!("({})", [$(self.$index.name()),*].join(", "))
            }
        }
    };
}
tuple!(A 0, B 1);
tuple!(A 0, B 1, C 2);
tuple!(A 0, B 1, C 2, D 3);

#[cfg(test)]
mod tests {
    use super::super::laws::{assert_laws, fold, records, timed};
    use super::super::{Count, First, Max, Mean, Min, Sum};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_parts_answer_together() {
        let of = |v: &i64| *v;
        let all = ((Count, Sum::of(of)), Min::of(of), Max::of(of), Mean::of(of));
        assert_eq!(fold(&all, &timed(&[3, -1, 4])), ((3, 6), -1, 4, 2.0));
        assert_eq!(
            Aggregate::<i64>::name(&all),
            "((count, sum), min, max, mean)"
        );
    }

    #[test]
    fn all_parts_must_retract() {
        let (integer, float) = (|v: &i64| *v, |v: &i64| *v as f64);
        let retracts = |aggregate: &dyn Fn() -> bool| aggregate();
        assert!(retracts(&|| Aggregate::<i64>::retracts(&(
            Count,
            Sum::of(integer)
        ))));
        assert!(!retracts(&|| Aggregate::<i64>::retracts(&(
            Count,
            Sum::of(float)
        ))));
        assert!(!retracts(&|| Aggregate::<i64>::retracts(&(
            Max::of(integer),
            Count
        ))));
    }

    proptest! {
        #[test]
        fn tuples_obey_the_laws(records in records(any::<i64>())) {
            let of = |v: &i64| *v;
            assert_laws(&(Count, Sum::of(of)), &records)?;
            assert_laws(&(Count, Sum::of(of), Mean::of(of)), &records)?;
            assert_laws(&(Count, Min::of(of), First::of(of), (Max::of(of), Count)), &records)?;
        }
    }
}
