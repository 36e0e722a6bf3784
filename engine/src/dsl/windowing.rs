//! From a kind of windows to the operator that runs it.
//!
//! Aligned windows all run in one operator, whose state is by slice. Windows that a key's data
//! makes run in another, whose state is by key. This is where a kind says which, and what the plan
//! says.

use brooklet_protocol::TopicName;

use crate::aggregate::Aggregate;
use crate::key::Key;
use crate::operator::KeyedOperator;
use crate::operator::aligned::AlignedOperator;
use crate::operator::data_driven::DataDrivenOperator;
use crate::operator::emit::Emitter;
use crate::store::totals;
use crate::window::{Aligned, SessionWindows, SlidingWindows};

/// What an operator is made of, besides its windows.
pub struct Parts<K, V, A: Aggregate<V>> {
    pub(crate) aggregate: A,
    pub(crate) emitter: Emitter<K, V, A::Out>,
    pub(crate) changelog: TopicName,
    pub(crate) is_logged: bool,
}

impl<K, V, A: Aggregate<V>> std::fmt::Debug for Parts<K, V, A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Parts({})", self.changelog)
    }
}

/// A kind of windows: everything that is [`Aligned`], [`SessionWindows`] and [`SlidingWindows`].
pub trait Windowing: Clone + Send + 'static {
    /// What it computes and how, for a plan.
    fn plan(&self, aggregate: &str, retracts: bool) -> String;
    /// Makes the operator of one task.
    #[doc(hidden)]
    fn operator<K, V, A>(&self, parts: Parts<K, V, A>) -> Box<dyn KeyedOperator<V>>
    where
        K: Key,
        V: Clone + Send + 'static,
        A: Aggregate<V>;
}

impl<W: Aligned> Windowing for W {
    fn plan(&self, aggregate: &str, retracts: bool) -> String {
        let how = match (self.overlap(), totals::pay(self, retracts)) {
            (false, _) => "",
            (true, true) => ", running totals",
            (true, false) => ", windows combined from slices",
        };
        format!("{}; {aggregate}{how}", self.name())
    }

    fn operator<K, V, A>(&self, parts: Parts<K, V, A>) -> Box<dyn KeyedOperator<V>>
    where
        K: Key,
        V: Clone + Send + 'static,
        A: Aggregate<V>,
    {
        let Parts {
            aggregate,
            emitter,
            changelog,
            is_logged,
        } = parts;
        let windows = self.clone();
        Box::new(AlignedOperator::new(
            windows, aggregate, emitter, changelog, is_logged,
        ))
    }
}

/// Implements it for the two kinds that a key's data makes.
macro_rules! data_driven {
    ($($windows:ty, $how:literal;)*) => {$(
        impl Windowing for $windows {
            fn plan(&self, aggregate: &str, _: bool) -> String {
                format!("{}; {aggregate}, {}", self.name(), $how)
            }

            fn operator<K, V, A>(&self, parts: Parts<K, V, A>) -> Box<dyn KeyedOperator<V>>
            where
                K: Key,
                V: Clone + Send + 'static,
                A: Aggregate<V>,
            {
                let Parts { aggregate, emitter, changelog, is_logged } = parts;
                let windows = self.clone();
                Box::new(DataDrivenOperator::new(windows, aggregate, emitter, changelog, is_logged))
            }
        }
    )*};
}
data_driven! {
    SessionWindows, "one total per session";
    SlidingWindows, "windows combined from the moments of a key";
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{millis, minutes, seconds};
    use crate::window::{Cumulative, Hopping, Tumbling};

    #[test]
    fn a_plan_names_the_algorithm_where_windows_overlap() {
        let hopping = Hopping::of(minutes(1)).advance(seconds(1)).grace(millis(0));
        let cumulative = Cumulative::of(minutes(1)).step(seconds(1)).grace(millis(0));
        let tumbling = Tumbling::of(minutes(1)).grace(millis(0));
        let how = |plan: String| plan.split_once("; ").unwrap().1.to_owned();
        assert_eq!(how(tumbling.plan("count", true)), "count");
        assert_eq!(how(hopping.plan("count", true)), "count, running totals");
        let combined = "max, windows combined from slices";
        assert_eq!(how(hopping.plan("max", false)), combined);
        // They only grow, so nothing need be retracted.
        assert_eq!(how(cumulative.plan("max", false)), "max, running totals");
    }
}
