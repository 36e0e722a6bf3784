//! What a query prints, in the order in which the engine made it: updates, retractions, finals.
//!
//! Finals and updates leave the engine through two ports: at the end of each batch, first all its
//! finals, then all its updates. Here they are put back into one order:
//!
//! ```text
//! made      update 0   final 1    update 2 │ update 3
//! received  final 1    update 0   update 2 │ update 3
//! printed   update 0   final 1    update 2 │ update 3      nothing waits longer than its batch
//! ```
//!
//! The engine lowers an aggregate at the moment at which it emits the result, and once for each, so
//! that is where results get their places ([`Places`]). A result waits until all places before its
//! own are printed. A retraction has no result and so no place: it is printed right before the update
//! of the session that replaces it, which the same row made.
//!
//! All keys meet in one task, so there is one order.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use brooklet_engine::{Final, Update, Window};

use super::aggregate::Answer;

/// What a printed row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// The result so far of a window that is open.
    Update,
    /// Takes back the update of a session: it has grown, or merged into another.
    Retraction,
    /// The result of a window that has closed.
    Final,
}

impl Mark {
    /// As it is printed.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Update => "update",
            Self::Retraction => "retraction",
            Self::Final => "final",
        }
    }
}

/// A row to be printed.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Change {
    pub(super) mark: Mark,
    pub(super) key: String,
    pub(super) window: Window,
    /// One for each aggregate; of a retraction, nothing.
    pub(super) answers: Vec<Answer>,
}

impl Change {
    /// The row of a window that has closed.
    pub(super) fn of_final(result: Final<String, Placed>) -> Self {
        Self {
            mark: Mark::Final,
            key: result.key,
            window: result.window,
            answers: result.value.answers,
        }
    }
}

/// Counts the results of a query in the order in which they are made.
#[derive(Clone, Debug, Default)]
pub(super) struct Places(Arc<AtomicU64>);

impl Places {
    /// Assigns the next place to the answers.
    pub(super) fn place(&self, answers: Vec<Answer>) -> Placed {
        let place = self.0.fetch_add(1, Relaxed);
        Placed { place, answers }
    }
}

/// The answers of all aggregates, and their place among the results.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    place: u64,
    pub(super) answers: Vec<Answer>,
}

/// Hands over changes in the order in which they were made.
#[derive(Debug)]
pub(super) struct InOrder<P> {
    print: P,
    /// The place of the next result.
    next: u64,
    /// Results that came before their place, each after its retractions.
    waiting: BTreeMap<u64, Vec<Change>>,
    /// Retractions whose update comes next.
    retracted: Vec<(String, Window)>,
}

impl<P: FnMut(Change)> InOrder<P> {
    pub(super) fn new(print: P) -> Self {
        Self {
            print,
            next: 0,
            waiting: BTreeMap::new(),
            retracted: Vec::new(),
        }
    }

    /// Takes the result of a window that has closed.
    pub(super) fn take_final(&mut self, result: Final<String, Placed>) {
        self.take(result.value.place, vec![Change::of_final(result)]);
    }

    /// Takes a change of a result.
    pub(super) fn take_update(&mut self, update: Update<String, Placed>) {
        let (key, window) = (update.key, update.window);
        let Some(Placed { place, answers }) = update.value else {
            self.retracted.push((key, window));
            return;
        };
        let retracted = self.retracted.drain(..);
        let mut changes: Vec<_> = retracted
            .map(|(key, window)| Change {
                mark: Mark::Retraction,
                key,
                window,
                answers: vec![Answer::Nothing; answers.len()],
            })
            .collect();
        changes.push(Change {
            mark: Mark::Update,
            key,
            window,
            answers,
        });
        self.take(place, changes);
    }

    fn take(&mut self, place: u64, changes: Vec<Change>) {
        self.waiting.insert(place, changes);
        while let Some(changes) = self.waiting.remove(&self.next) {
            self.next += 1;
            changes.into_iter().for_each(&mut self.print);
        }
    }
}

#[cfg(test)]
mod tests {
    use brooklet_engine::time::Timestamp;

    use super::*;

    const WINDOW: Window = Window {
        start: Timestamp(0),
        end: Timestamp(1),
    };

    fn update(key: &str, value: Option<Placed>) -> Update<String, Placed> {
        Update {
            key: key.into(),
            window: WINDOW,
            value,
            timestamp: Timestamp(0),
            stream_time: Timestamp(0),
        }
    }

    #[test]
    fn what_comes_early_waits_and_a_retraction_stays_with_its_update() {
        let places = Places::default();
        let place = || places.place(vec![Answer::Overflow; 2]);
        let (first, second, third) = (place(), place(), place());
        let mut printed = Vec::new();
        let mut order = InOrder::new(|change: Change| printed.push(change));
        order.take_final(Final {
            key: "b".into(),
            window: WINDOW,
            value: second,
            timestamp: Timestamp(0),
            stream_time: Timestamp(0),
        });
        order.take_update(update("a", Some(first)));
        order.take_update(update("c", None));
        order.take_update(update("d", Some(third)));
        let shown: Vec<_> = printed
            .iter()
            .map(|change| (change.mark.name(), change.key.as_str()))
            .collect();
        let expected = [
            ("update", "a"),
            ("final", "b"),
            ("retraction", "c"),
            ("update", "d"),
        ];
        assert_eq!(shown, expected);
        assert_eq!(printed[2].answers, [Answer::Nothing; 2]);
    }
}
