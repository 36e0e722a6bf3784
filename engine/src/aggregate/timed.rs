//! Values with their event times, and short lists of them in order.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use crate::time::{Timestamp, as_millis};

/// A value and the event time of its record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Timed<T> {
    #[serde(with = "as_millis")]
    pub(super) time: Timestamp,
    pub(super) value: T,
}

/// Merges a later list into an earlier one. Both are in order; of the items that are equal, the
/// earlier ones stay in front. Only the first `limit` are kept: what is behind them in one list is
/// behind them in the merged one, so `merge` is associative.
pub(super) fn merge<T: Clone>(
    earlier: &mut Vec<T>,
    later: &[T],
    limit: usize,
    order: impl Fn(&T, &T) -> Ordering,
) {
    for item in later {
        let index = earlier.partition_point(|kept| order(kept, item).is_le());
        if index >= limit {
            break;
        }
        earlier.insert(index, item.clone());
        earlier.truncate(limit);
    }
}
