//! A list of what came, with a bound.
//!
//! The values are in the order in which the engine combines: in order of arrival within a slice, and
//! slices in order of time. A tumbling window is one slice. Those beyond the bound are counted and
//! dropped, so a result never looks complete when it is not.

use serde::{Deserialize, Serialize};

use super::{Aggregate, Stored};
use crate::time::Timestamp;

/// The values that came, up to a limit; see [`Collected`].
///
/// ```
/// use brooklet_engine::aggregate::{Aggregate, Collect};
/// use brooklet_engine::time::Timestamp;
///
/// let pages = Collect::of(2, |page: &&str| (*page).to_owned());
/// let mut acc = pages.lift(&"/", Timestamp(0));
/// pages.add(&mut acc, &"/book", Timestamp(1));
/// pages.add(&mut acc, &"/cart", Timestamp(2));
/// let found = pages.lower(&acc);
/// assert_eq!((found.items, found.dropped), (vec!["/".into(), "/book".into()], 1));
/// ```
#[derive(Clone, Copy)]
pub struct Collect<F> {
    limit: usize,
    of: F,
}

debug_by_name!(Collect<F>);

impl<F> Collect<F> {
    /// At most `limit` of the values that `of` takes from each record: the first ones.
    pub fn of<V, T>(limit: usize, of: F) -> Self
    where
        F: Fn(&V) -> T,
    {
        Self { limit, of }
    }
}

/// The first values, and how many more there were.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Collected<T> {
    /// The first values.
    pub items: Vec<T>,
    /// How many came after them.
    pub dropped: u64,
}

impl<V, T: Stored, F: Fn(&V) -> T + Clone + Send + 'static> Aggregate<V> for Collect<F> {
    type Acc = Collected<T>;
    type Out = Collected<T>;

    fn lift(&self, value: &V, time: Timestamp) -> Collected<T> {
        let mut acc = Collected {
            items: Vec::new(),
            dropped: 0,
        };
        self.add(&mut acc, value, time);
        acc
    }

    fn combine(&self, earlier: &mut Collected<T>, later: &Collected<T>) {
        let room = self.limit.saturating_sub(earlier.items.len());
        let (taken, beyond) = later.items.split_at(room.min(later.items.len()));
        earlier.items.extend_from_slice(taken);
        let dropped = later.dropped.wrapping_add(beyond.len() as u64);
        earlier.dropped = earlier.dropped.wrapping_add(dropped);
    }

    fn lower(&self, acc: &Collected<T>) -> Collected<T> {
        acc.clone()
    }

    fn add(&self, acc: &mut Collected<T>, value: &V, _: Timestamp) {
        if acc.items.len() < self.limit {
            acc.items.push((self.of)(value));
        } else {
            acc.dropped = acc.dropped.wrapping_add(1);
        }
    }

    fn name(&self) -> String {
        format!("collect at most {}", self.limit)
    }
}

#[cfg(test)]
mod tests {
    use super::super::laws::{assert_laws, fold, records};
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn collections_obey_the_laws(records in records(any::<u8>()), limit in 0usize..50) {
            let collect = Collect::of(limit, |v: &u8| *v);
            assert_laws(&collect, &records)?;
            let found = fold(&collect, &records);
            let first: Vec<_> = records.iter().take(limit).map(|(v, _)| *v).collect();
            prop_assert_eq!(found.dropped as usize, records.len() - first.len());
            prop_assert_eq!(found.items, first);
        }
    }
}
