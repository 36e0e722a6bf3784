//! Aggregates: what is kept of the records of a window.
//!
//! An aggregate lifts a record into an accumulator, combines accumulators, and lowers the last one
//! to the result:
//!
//! ```text
//! record, time ──lift──▶ Acc ┐
//! record, time ──lift──▶ Acc ┴combine──▶ Acc ──lower──▶ result
//!                                         │ ▲
//!                                         └─┴─ retract: takes out what was combined first
//! ```
//!
//! That is enough for overlapping windows to share their slices: each record is folded into one
//! slice, once, and a window combines its slices when it closes (Li et al., "No pane, no gain",
//! SIGMOD Record 2005). If an aggregate also retracts, a window need not combine all its slices: it
//! takes the total of the window before, retracts the slice that has left, and combines the slice
//! that has come.
//!
//! ```text
//! aggregate            kept of a window                               retracts
//! Count                a number                                       yes
//! Sum, Mean            the exact total in 128 bits, or a              of integers
//!                      compensated sum of floats
//! Variance             count, mean, squares (Chan et al.)             no
//! Min, Max             one value                                      no
//! MinBy, MaxBy         one value, the first records that have it      no
//! First, Last          one value and its event time                   no
//! TopK                 k values                                       no
//! Collect              values up to a bound                           no
//! Distinct             hashes up to a bound, then a HyperLogLog       no
//! Quantiles            the counts of a DDSketch                       yes
//! (A, B), … (A, B, C, D)   what the parts keep                        if all parts do
//! ```
//!
//! The laws, to the bit of the serialized accumulator:
//! - `combine` is associative. It need not be commutative: slices are combined in order of time, and
//!   records within a slice in order of arrival. Sums of floats are the exception (`Sum`, `Mean` and
//!   `Variance` of floats): where the parentheses stand can change their last digits, and it is the
//!   engine that fixes them.
//! - `add` is `combine` with the lift.
//! - `retract(combine(a, b), a)` is `b`, wherever `retracts()` says so.
//! - An accumulator that was written and read is the same.
//!
//! A window that holds no record has no result, so no aggregate needs a value for "nothing". Nothing
//! here panics, not on NaN and not on accumulators that another version has written. Left out: an
//! exact count of distinct values, which has no bound.
//!
//! # An own aggregate
//!
//! What share of the flights left more than 15 minutes late? Two counts are kept, so it can retract.
//!
//! ```
//! use brooklet_engine::aggregate::{Aggregate, Count};
//! use brooklet_engine::time::Timestamp;
//!
//! struct Flight { delay_min: i64 }
//!
//! #[derive(Clone)]
//! struct LateShare;
//!
//! impl Aggregate<Flight> for LateShare {
//!     /// How many were late, of how many.
//!     type Acc = (u64, u64);
//!     type Out = f64;
//!     fn lift(&self, flight: &Flight, _: Timestamp) -> (u64, u64) {
//!         (u64::from(flight.delay_min > 15), 1)
//!     }
//!     fn combine(&self, earlier: &mut (u64, u64), later: &(u64, u64)) {
//!         *earlier = (earlier.0 + later.0, earlier.1 + later.1);
//!     }
//!     fn lower(&self, (late, all): &(u64, u64)) -> f64 {
//!         *late as f64 / *all as f64
//!     }
//!     fn retracts(&self) -> bool {
//!         true
//!     }
//!     fn retract(&self, acc: &mut (u64, u64), earlier: &(u64, u64)) {
//!         *acc = (acc.0.saturating_sub(earlier.0), acc.1.saturating_sub(earlier.1));
//!     }
//!     fn name(&self) -> String {
//!         "late share".into()
//!     }
//! }
//!
//! let both = (Count, LateShare);
//! let mut acc = both.lift(&Flight { delay_min: 3 }, Timestamp(0));
//! both.add(&mut acc, &Flight { delay_min: 40 }, Timestamp(60_000));
//! assert_eq!(both.lower(&acc), (2, 0.5));
//! assert_eq!((both.name(), both.retracts()), ("(count, late share)".into(), true));
//! ```

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::time::Timestamp;

/// A way of summing up records of type `V`.
pub trait Aggregate<V>: Clone + Send + 'static {
    /// What is kept. Serializable: it is written to a changelog and to snapshots.
    type Acc: Clone + Send + Serialize + DeserializeOwned + 'static;
    /// The result.
    type Out: Clone + Send + 'static;

    /// What is kept of one record with this event time.
    fn lift(&self, value: &V, time: Timestamp) -> Self::Acc;

    /// Adds what comes later to what came before.
    fn combine(&self, earlier: &mut Self::Acc, later: &Self::Acc);

    /// The result of all that was combined.
    fn lower(&self, acc: &Self::Acc) -> Self::Out;

    /// Adds one record: `combine` with its lift, unless there is a shorter way.
    fn add(&self, acc: &mut Self::Acc, value: &V, time: Timestamp) {
        self.combine(acc, &self.lift(value, time));
    }

    /// Whether [`Self::retract`] undoes [`Self::combine`] to the bit. Then overlapping windows keep
    /// running totals.
    fn retracts(&self) -> bool {
        false
    }

    /// Removes from `acc` what was combined first. It is called only if [`Self::retracts`];
    /// otherwise it does nothing.
    fn retract(&self, acc: &mut Self::Acc, earlier: &Self::Acc) {
        let _ = (acc, earlier);
    }

    /// What a plan calls it, with its algorithm if there is a choice: `count`, `(count, mean)`,
    /// `quantiles by DDSketch (error 0.01)`.
    fn name(&self) -> String;
}

/// What can be kept in an accumulator: implemented by all types that can.
pub trait Stored: Clone + Send + Serialize + DeserializeOwned + 'static {}

impl<T: Clone + Send + Serialize + DeserializeOwned + 'static> Stored for T {}

/// Shows an aggregate by its name: its closures cannot be shown.
macro_rules! debug_by_name {
    ($name:ident<$($closure:ident),*>) => {
        impl<$($closure),*> std::fmt::Debug for $name<$($closure),*> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(stringify!($name))
            }
        }
    };
}

/// Defines an aggregate over what one closure takes from each record.
macro_rules! over_a_value {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy)]
        pub struct $name<F>(F);

        impl<F> $name<F> {
            /// Of what `of` takes from each record.
            pub fn of<V, T>(of: F) -> Self
            where
                F: Fn(&V) -> T,
            {
                Self(of)
            }
        }

        debug_by_name!($name<F>);
    };
}

mod count;
mod sum;

mod mean;
mod variance;

mod extreme;

mod timed;

mod first_last;
mod ties;
mod top_k;

mod collect;

mod distinct;
mod quantiles;

mod tuple;

#[cfg(test)]
mod laws;

pub use collect::{Collect, Collected};
pub use count::Count;
pub use distinct::Distinct;
pub use extreme::{Max, Min};
pub use first_last::{First, Last};
pub use mean::Mean;
pub use quantiles::Quantiles;
pub use sum::{Sum, Summand};
pub use ties::{MaxBy, MinBy, Ties};
pub use top_k::TopK;
pub use variance::{Moments, Variance};
