//! How many.
//!
//! Counts wrap around at 2^64. A count of records does not come that far; an accumulator that was
//! damaged on disk may, and must not stop the engine.

use super::Aggregate;
use crate::time::Timestamp;

/// How many records.
#[derive(Clone, Copy, Debug)]
pub struct Count;

impl<V> Aggregate<V> for Count {
    type Acc = u64;
    type Out = u64;

    fn lift(&self, _: &V, _: Timestamp) -> u64 {
        1
    }

    fn combine(&self, earlier: &mut u64, later: &u64) {
        *earlier = earlier.wrapping_add(*later);
    }

    fn lower(&self, acc: &u64) -> u64 {
        *acc
    }

    fn retracts(&self) -> bool {
        true
    }

    fn retract(&self, acc: &mut u64, earlier: &u64) {
        *acc = acc.wrapping_sub(*earlier);
    }

    fn name(&self) -> String {
        "count".into()
    }
}

#[cfg(test)]
mod tests {
    use super::super::laws::{assert_laws, fold, records};
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn counts_obey_the_laws(records in records(any::<i64>())) {
            assert_laws(&Count, &records)?;
            prop_assert_eq!(fold(&Count, &records), records.len() as u64);
        }
    }
}
