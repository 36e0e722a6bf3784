//! Operators that a program writes for itself: state for each key, and a wake-up in event time.
//!
//! ```text
//!  record ──▶ process(record, state of its key, context) ──▶ results, side results
//!  stream time reaches the key's deadline ──▶ wake(key, state, context) ──▶ results
//! ```
//!
//! The engine keeps the state: it is written to the operator's changelog with each commit, and
//! restored before the first record. What an operator keeps elsewhere is lost in a crash. An
//! operator reads no clock and draws no random numbers; time is what its context says.
//!
//! ```
//! use brooklet_engine::codec::{json, text};
//! use brooklet_engine::operator::{Context, Operator, Record};
//! use brooklet_engine::time::Timestamp;
//! use brooklet_engine::{App, TestDriver};
//!
//! /// Passes on a value only if it differs from the one before it with the same key.
//! #[derive(Clone)]
//! struct Changes;
//!
//! impl Operator<String, String> for Changes {
//!     type State = String;
//!     type Out = (String, String);
//!     type Side = ();
//!
//!     fn process(
//!         &mut self,
//!         record: Record<'_, String, String>,
//!         state: &mut Option<String>,
//!         context: &mut Context<'_, Self::Out, ()>,
//!     ) {
//!         if state.as_ref() != Some(record.value) {
//!             *state = Some(record.value.clone());
//!             context.emit(record.event_time, (record.key.clone(), record.value.clone()));
//!         }
//!     }
//! }
//!
//! let app = App::new("doors");
//! let doors = app.stream("doors", text()).keyed_by_record_key::<String>();
//! doors.operator("changes", Changes).results().to("changes", |_| None, json());
//! let mut driver = TestDriver::new(app, 1)?;
//! for (time, state) in [(1, "open"), (2, "open"), (3, "shut")] {
//!     driver.pipe("doors", 0, Some(b"front"), Some(state.as_bytes()), Timestamp(time));
//! }
//! assert_eq!(driver.read("changes").len(), 2);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::marker::PhantomData;
use std::time::Duration;

use brooklet_protocol::{Timestamp, TopicName};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::rule::Rule;
use super::{KeyedBatch, KeyedOperator};
use crate::branch::At;
use crate::branch::outbox::Outbox;
use crate::branch::port::Port;
use crate::branch::progress::Walk;
use crate::codec::DecodeError;
use crate::key::Key;
use crate::store::keyed::{KeyState, Keyed};
use crate::store::{Rows, layout};

/// A record of a keyed stream.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a, K, V> {
    /// Its key.
    pub key: &'a K,
    /// Its value.
    pub value: &'a V,
    /// Its event time; it may be behind stream time.
    pub event_time: Timestamp,
}

/// An operator of the program's own. Each task has a clone.
pub trait Operator<K: Key, V>: Clone + Send + 'static {
    /// What is kept of a key. `None` keeps nothing.
    type State: Clone + Serialize + DeserializeOwned + Send + 'static;
    /// What comes out.
    type Out: Clone + Send + 'static;
    /// What comes out beside it, such as records that the operator does not accept.
    type Side: Clone + Send + 'static;

    /// Processes a record; stream time includes it.
    fn process(
        &mut self,
        record: Record<'_, K, V>,
        state: &mut Option<Self::State>,
        context: &mut Context<'_, Self::Out, Self::Side>,
    );

    /// Stream time has reached the deadline that was last set for this key. At the end of the input
    /// stream time is [`Timestamp::MAX`]: every deadline is reached then, even that one.
    fn wake(
        &mut self,
        _key: &K,
        _state: &mut Option<Self::State>,
        _context: &mut Context<'_, Self::Out, Self::Side>,
    ) {
    }

    /// How far the event time of a result may lie behind stream time: the next stage's stream time
    /// follows this far behind, so that no such result is late there. None by default: results then
    /// carry the event time of the record or the deadline that causes them, and are as late as it.
    fn hold_back(&self) -> Duration {
        Duration::ZERO
    }

    /// What a plan calls it.
    fn name(&self) -> String {
        "operator".to_owned()
    }
}

/// What an operator can see of time, and where its results go.
pub struct Context<'a, T, S> {
    /// The place of results in the next stage's input.
    at: At,
    stream_time: Timestamp,
    wake: Option<Timestamp>,
    results: &'a mut Port<T>,
    side: &'a mut Port<S>,
}

impl<T, S> std::fmt::Debug for Context<'_, T, S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Context({})", self.stream_time)
    }
}

impl<T: Clone, S: Clone> Context<'_, T, S> {
    /// Stream time: the highest event time that the task has seen; [`Timestamp::MAX`] once the
    /// input has ended.
    pub fn stream_time(&self) -> Timestamp {
        self.stream_time
    }

    /// Emits a result with its event time.
    pub fn emit(&mut self, event_time: Timestamp, result: T) {
        let at = At {
            event_time,
            ..self.at
        };
        self.results.emit(at, result);
    }

    /// Emits a side result with its event time.
    pub fn emit_side(&mut self, event_time: Timestamp, result: S) {
        let at = At {
            event_time,
            ..self.at
        };
        self.side.emit(at, result);
    }

    /// Wakes this key once stream time reaches `deadline`, in place of the deadline that was set
    /// before. A key without state has no deadline.
    pub fn wake_at(&mut self, deadline: Timestamp) {
        self.wake = Some(deadline);
    }

    /// The deadline of this key.
    pub fn deadline(&self) -> Option<Timestamp> {
        self.wake
    }
}

/// The state of one key, and its deadline.
#[derive(Debug)]
pub(crate) struct One<S> {
    state: Option<S>,
    wake: Option<Timestamp>,
    is_written: bool,
}

impl<S> Default for One<S> {
    fn default() -> Self {
        Self {
            state: None,
            wake: None,
            is_written: false,
        }
    }
}

impl<S: Serialize + DeserializeOwned> KeyState for One<S> {
    fn key_of(row: &[u8]) -> Result<&[u8], DecodeError> {
        Ok(row)
    }

    fn restore(&mut self, _: &[u8], value: Option<&[u8]>) -> Result<(), DecodeError> {
        *self = Self::default();
        if let Some(value) = value {
            let (wake, state) = layout::read_value(value)?;
            self.state = Some(state);
            self.wake = (wake != Timestamp::MIN).then_some(wake);
            self.is_written = true;
        }
        Ok(())
    }

    fn changes(&mut self, key: &[u8], rows: &mut Rows) {
        if let Some(state) = &self.state {
            let wake = self.wake.unwrap_or(Timestamp::MIN);
            rows.put(
                |to| to.extend_from_slice(key),
                |to| layout::value(wake, state, to),
            );
        } else if self.is_written {
            rows.remove(|to| to.extend_from_slice(key));
        }
        self.is_written = self.state.is_some();
    }

    fn is_empty(&self) -> bool {
        self.state.is_none()
    }
}

/// Runs an [`Operator`] in one task.
pub(crate) struct CustomOperator<K, V, O: Operator<K, V>>
where
    K: Key,
{
    operator: O,
    rule: Rule,
    store: Keyed<One<O::State>>,
    changelog: TopicName,
    results: Port<O::Out>,
    side: Port<O::Side>,
    hold_back_ms: i64,
    is_resumed: bool,
    types: PhantomData<fn(K, V)>,
}

impl<K: Key, V, O: Operator<K, V>> CustomOperator<K, V, O> {
    pub(crate) fn new(
        operator: O,
        (results, side): (Port<O::Out>, Port<O::Side>),
        changelog: TopicName,
        is_logged: bool,
    ) -> Self {
        let hold_back = operator.hold_back().as_millis();
        Self {
            hold_back_ms: i64::try_from(hold_back).unwrap_or(i64::MAX),
            operator,
            rule: Rule::new(0),
            store: Keyed::new(is_logged),
            changelog,
            results,
            side,
            is_resumed: false,
            types: PhantomData,
        }
    }

    fn advance(&mut self, at: &At) {
        if !self.rule.advance(at.stream_time) {
            return;
        }
        let now = self.rule.stream_time();
        for key in self.store.take_due(now) {
            self.with(at, &key, |operator, key, state, context| {
                // The deadline may have moved since.
                if context.wake.is_some_and(|wake| wake <= now) {
                    context.wake = None;
                    operator.wake(key, state, context);
                }
            });
        }
        let at = self.outgoing(at);
        self.results.advance(at);
        self.side.advance(at);
    }

    /// The place of results in the next stage's input.
    fn outgoing(&self, at: &At) -> At {
        let stream_time = match at.stream_time {
            Timestamp::MAX | Timestamp::MIN => at.stream_time,
            time => Timestamp(time.0.saturating_sub(self.hold_back_ms).max(0)),
        };
        At { stream_time, ..*at }
    }

    fn with(
        &mut self,
        at: &At,
        key: &[u8],
        run: impl FnOnce(&mut O, &K, &mut Option<O::State>, &mut Context<'_, O::Out, O::Side>),
    ) {
        let Ok(typed) = K::from_bytes(key) else {
            debug_assert!(false, "keys are validated before an operator sees them");
            return;
        };
        let at = self.outgoing(at);
        let (operator, stream_time) = (&mut self.operator, self.rule.stream_time());
        let (results, side) = (&mut self.results, &mut self.side);
        self.store.change(key, |one| {
            let wake = one.wake;
            let mut context = Context {
                at,
                stream_time,
                wake,
                results,
                side,
            };
            run(operator, &typed, &mut one.state, &mut context);
            one.wake = context.wake.filter(|_| one.state.is_some());
            one.wake
        });
    }
}

impl<K: Key, V: Send, O: Operator<K, V>> KeyedOperator<V> for CustomOperator<K, V, O> {
    fn run(&mut self, inputs: &KeyedBatch<V>, out: &mut Outbox) {
        if !std::mem::replace(&mut self.is_resumed, true) {
            self.store.arm(|one| one.wake);
        }
        for (at, record) in inputs.iter() {
            self.advance(at);
            if let Some((key, value)) = record {
                self.with(at, key, |operator, key, state, context| {
                    let event_time = at.event_time;
                    let record = Record {
                        key,
                        value,
                        event_time,
                    };
                    operator.process(record, state, context);
                });
            }
        }
        if let Some(last) = inputs.last() {
            let at = self.outgoing(last);
            self.results.flush(&at, out);
            self.side.flush(&at, out);
        }
    }

    fn idle(&mut self, at: &At, out: &mut Outbox) {
        let at = self.outgoing(at);
        self.results.idle(&at, out);
        self.side.idle(&at, out);
    }

    fn end(&mut self, at: &At, out: &mut Outbox) {
        if !std::mem::replace(&mut self.is_resumed, true) {
            self.store.arm(|one| one.wake);
        }
        let before = self.rule;
        self.advance(at);
        self.rule = before;
        self.results.flush(at, out);
        self.side.flush(at, out);
        self.results.end(at, out);
        self.side.end(at, out);
    }

    fn walk(&mut self, walk: &mut dyn Walk) {
        walk.standing(&mut self.rule);
        self.results.walk(walk);
        self.side.walk(walk);
        walk.store(&self.changelog, &mut self.store);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{json, text};
    use crate::test_driver::{Input, assert_replay_equal};
    use crate::time::millis;
    use crate::window::Tumbling;
    use crate::{App, TestDriver};

    /// Counts the records of a key until there has been none for five milliseconds, and then says
    /// how many there were.
    #[derive(Clone)]
    struct Bursts;

    impl Operator<String, String> for Bursts {
        type State = (u64, i64);
        type Out = (String, u64);
        type Side = String;

        fn process(
            &mut self,
            record: Record<'_, String, String>,
            state: &mut Option<(u64, i64)>,
            context: &mut Context<'_, (String, u64), String>,
        ) {
            if record.event_time < context.stream_time() {
                context.emit_side(record.event_time, record.key.clone());
                return;
            }
            let (count, last) = state.get_or_insert((0, 0));
            (*count, *last) = (*count + 1, record.event_time.0);
            context.wake_at(Timestamp(record.event_time.0 + 5));
        }

        fn wake(
            &mut self,
            key: &String,
            state: &mut Option<(u64, i64)>,
            context: &mut Context<'_, (String, u64), String>,
        ) {
            if let Some((count, last)) = state.take() {
                context.emit(Timestamp(last), (key.clone(), count));
            }
        }

        fn hold_back(&self) -> Duration {
            millis(100)
        }
    }

    fn program() -> App {
        let app = App::new("bursts");
        let keyed =
            app.stream("in", text())
                .key_by("by-word", |word: &String| word.clone(), text());
        let bursts = keyed.operator("bursts", Bursts);
        bursts.results().to("out", |_| None, json());
        bursts.side().to("behind", |_| None, json());
        let totals = bursts
            .results()
            .key_by("all", |_| 0u32, json())
            .window(Tumbling::of(millis(10)).grace(millis(0)))
            .sum("total", |(_, count)| *count);
        totals
            .finals()
            .map(|total| total.value)
            .to("totals", |_| None, json());
        app
    }

    #[test]
    fn keys_are_woken_at_their_last_deadline_and_nothing_is_late_after_it() {
        let mut driver = TestDriver::new(program(), 1).unwrap();
        for (word, time) in [("a", 1), ("b", 2), ("a", 4), ("c", 8), ("b", 3), ("c", 30)] {
            driver.pipe("in", 0, None, Some(word.as_bytes()), Timestamp(time));
        }
        let found: Vec<(String, u64)> = driver.read_values("out", json()).unwrap();
        let expected = [("b", 1), ("a", 2), ("c", 1)].map(|(word, count)| (word.to_owned(), count));
        assert_eq!(found, expected);
        assert_eq!(driver.read("behind").len(), 1);
        driver.end();
        let totals: Vec<u64> = driver.read_values("totals", json()).unwrap();
        assert_eq!(totals, [4, 1]);
        assert_eq!(driver.report().windows["total"].counts.late_pairs, 0);
    }

    #[test]
    fn state_and_deadlines_survive() {
        let mut input = Input::new(2);
        for time in 0..60 {
            let word = ["a", "b", "c", "d"][(time * 7 % 11 % 4) as usize];
            let partition = (time % 2) as i32;
            input.pipe(
                "in",
                partition,
                None,
                Some(word.as_bytes()),
                Timestamp(time * 3),
            );
        }
        assert_replay_equal(program, &input, &[1, 3]);
    }
}
