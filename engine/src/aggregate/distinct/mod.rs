//! How many distinct values: exact while they are few, then a HyperLogLog.
//!
//! A few hashes are kept as they are. When they need more memory than a sketch, they become one
//! (Flajolet et al., "HyperLogLog", AofA 2007): each hash picks a register by its first bits and
//! shows a rank, and the register keeps the highest. Many distinct values are likely to show a high
//! rank somewhere, however often each is repeated.
//!
//! ```text
//! precision p = 4: 16 registers
//!
//! hash  1011 0110 … 1000        register 0b1011, rank 4: three zeros at the end, and one
//!       └──┘        └──┘
//! registers  [ 2 1 0 3 1 1 2 0 4 1 2 (4) 1 0 1 2 ]
//! ```
//!
//! The sketch and its estimate, LogLog-Beta (Qin, Kim, Tung, 2016), are those of the crate
//! `hyperloglockless`. From more than 2^p / 8 distinct values on, the standard error is 1.04 /
//! sqrt(2^p): 1.6 % at p = 12, in 4 KiB for each key and slice. Below, the count is exact.
//!
//! What is kept depends on the set of hashes alone: not on their order, and not on how the records
//! were split. The hash is SipHash-1-3 with a fixed key, of the canonical bytes of a [`Key`], so it
//! is the same in every run and on every machine. Therefore somebody who chooses the values can also
//! choose their hashes, and mislead the estimate. It does not retract: a register forgets what it hid.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use registers::{Registers, hash};

use super::Aggregate;
use crate::key::Key;
use crate::time::Timestamp;

mod registers;

const PRECISION_DEFAULT: u8 = 12;

/// The number of distinct values: exact while they are few, then estimated by a HyperLogLog.
///
/// At the default precision, 12, the count is exact up to 512; then its standard error is 1.6 %, and
/// it takes 4 KiB. The hash is the same in every run and on every machine.
///
/// ```
/// use brooklet_engine::aggregate::{Aggregate, Distinct};
/// use brooklet_engine::time::Timestamp;
///
/// let visitors = Distinct::of(|name: &&str| (*name).to_owned());
/// let mut acc = visitors.lift(&"ann", Timestamp(0));
/// for name in ["bob", "ann", "cat", "bob"] {
///     visitors.add(&mut acc, &name, Timestamp(0));
/// }
/// assert_eq!(visitors.lower(&acc), 3);
/// ```
#[derive(Clone, Copy)]
pub struct Distinct<F> {
    precision: u8,
    of: F,
}

debug_by_name!(Distinct<F>);

impl<F> Distinct<F> {
    /// Of the values that `of` takes from each record.
    pub fn of<V, K>(of: F) -> Self
    where
        F: Fn(&V) -> K,
    {
        Self {
            precision: PRECISION_DEFAULT,
            of,
        }
    }

    /// With 2^`bits` registers of one byte, from 4 to 18: one bit more divides the error by 1.4, and
    /// doubles the memory.
    pub fn precision(self, bits: u8) -> Self {
        let precision = bits.clamp(4, 18);
        Self { precision, ..self }
    }
}

/// The hashes that were seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Seen {
    /// At most 2^p / 8, which take about the memory of the registers.
    Few(BTreeSet<u64>),
    /// More than that.
    Many(Registers),
}

impl Seen {
    fn insert(&mut self, hash: u64, precision: u8) {
        match self {
            Self::Many(registers) => registers.insert(hash),
            Self::Few(hashes) => {
                hashes.insert(hash);
                if hashes.len() > 1 << (precision - 3) {
                    *self = Self::Many(Registers::of(hashes, precision));
                }
            }
        }
    }

    fn count(&self) -> u64 {
        match self {
            Self::Few(hashes) => hashes.len() as u64,
            Self::Many(registers) => registers.estimate(),
        }
    }
}

impl<V, K: Key, F: Fn(&V) -> K + Clone + Send + 'static> Aggregate<V> for Distinct<F> {
    type Acc = Seen;
    type Out = u64;

    fn lift(&self, value: &V, time: Timestamp) -> Seen {
        let mut acc = Seen::Few(BTreeSet::new());
        self.add(&mut acc, value, time);
        acc
    }

    fn combine(&self, earlier: &mut Seen, later: &Seen) {
        match (&mut *earlier, later) {
            (Seen::Many(all), Seen::Many(later)) => all.union(later),
            (Seen::Few(hashes), Seen::Many(later)) => {
                let mut all = later.clone();
                for hash in hashes.iter() {
                    all.insert(*hash);
                }
                *earlier = Seen::Many(all);
            }
            (all, Seen::Few(hashes)) => {
                for hash in hashes {
                    all.insert(*hash, self.precision);
                }
            }
        }
    }

    fn lower(&self, acc: &Seen) -> u64 {
        acc.count()
    }

    fn add(&self, acc: &mut Seen, value: &V, _: Timestamp) {
        acc.insert(hash(&(self.of)(value).to_bytes()), self.precision);
    }

    fn name(&self) -> String {
        format!("distinct by HyperLogLog (p = {})", self.precision)
    }
}

#[cfg(test)]
mod tests {
    use super::super::laws::{assert_laws, fold, records, timed};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn few_are_counted_exactly_and_many_within_three_standard_errors() {
        for precision in [4, 8, 12, 14] {
            let distinct = Distinct::of(|v: &i64| *v).precision(precision);
            let exact = 1i64 << (precision - 3);
            let error = 1.04 / f64::from(1 << precision).sqrt();
            for count in [1, exact, exact + 1, 2 * exact, 8 * exact, 50 * exact] {
                let twice: Vec<_> = (0..count).chain(0..count).collect();
                let found = fold(&distinct, &timed(&twice)) as f64;
                let off = (found - count as f64).abs() / count as f64;
                let bound = if count <= exact { 0.0 } else { 3.0 * error };
                assert!(off <= bound, "p = {precision}: {found} for {count}");
            }
        }
    }

    #[test]
    fn a_sketch_of_another_precision_stays_out() {
        let of = |precision| Distinct::of(|v: &i64| *v).precision(precision);
        let sketch = |precision, values: std::ops::Range<i64>| {
            let mut acc = of(precision).lift(&0, Timestamp(0));
            values.for_each(|v| of(precision).add(&mut acc, &v, Timestamp(0)));
            acc
        };
        let (mut finer, coarser) = (sketch(6, 0..100), sketch(4, 100..200));
        let before = finer.clone();
        Aggregate::<i64>::combine(&of(6), &mut finer, &coarser);
        assert_eq!(finer, before);
    }

    proptest! {
        #[test]
        fn distinct_counts_obey_the_laws(records in records(any::<i64>())) {
            assert_laws(&Distinct::of(|v: &i64| *v), &records)?;
        }

        #[test]
        fn sketches_obey_the_laws(
            few in records(0i64..5), many in records(any::<i64>()), is_reversed in any::<bool>(),
        ) {
            let mut records = [few, many].concat();
            if is_reversed {
                records.reverse();
            }
            assert_laws(&Distinct::of(|v: &i64| *v).precision(4), &records)?;
            assert_laws(&Distinct::of(|v: &i64| *v).precision(5), &records)?;
        }
    }
}
