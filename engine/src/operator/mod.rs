//! Operators: what a program keeps of the records of a key, in one task.
//!
//! ```text
//!  keyed batch ──▶ Operators ─┬─▶ operator ──ports──▶ branches
//!   (task::direct or          └─▶ operator ──ports──▶ branches
//!    task::repartition)
//!
//!  a window operator is four things:
//!    rule       what is closed at this stream time                       (rule)
//!    windows    which windows a record is in: by time alone (window::Aligned), or by the data of
//!               its key (data_driven::DataDriven: session, sliding)
//!    store      what is kept, by slice of time or by key                 (crate::store)
//!    emitter    finals, updates, late records, and the time they carry   (emit)
//! ```
//!
//! An operator sees every input of its task, in order. An input is a record, or stream time alone:
//! time also advances by records of other keys and of other partitions. An operator decides what a
//! record does to its state and when a result leaves. It must not read a clock, draw random numbers
//! or depend on where batches are cut, so that the same input yields the same output.
//!
//! A further kind of window is a file: an [`Aligned`](crate::window::Aligned) in `window/`, or a
//! `DataDriven` here. Anything else is an [`Operator`], which a program can write for itself.
//!
//! Operators on the same keyed stream share the inputs and nothing else.

pub(crate) mod results;
pub(crate) mod rule;

pub(crate) mod emit;

pub(crate) mod aligned;

pub(crate) mod data_driven;
pub(crate) mod session;
pub(crate) mod sliding;

pub(crate) mod custom;

pub use custom::{Context, Operator, Record};

use crate::branch::At;
use crate::branch::outbox::Outbox;
use crate::branch::progress::Walk;

/// The inputs of keyed operators, one after the other; without a value, stream time alone.
#[derive(Debug)]
pub struct KeyedBatch<V> {
    keys: Vec<u8>,
    entries: Vec<Entry<V>>,
}

#[derive(Debug)]
struct Entry<V> {
    at: At,
    key_end: usize,
    value: Option<V>,
}

impl<V> KeyedBatch<V> {
    pub(crate) fn new() -> Self {
        Self {
            keys: Vec::new(),
            entries: Vec::new(),
        }
    }

    /// Adds a record.
    pub(crate) fn push(&mut self, at: At, key: &[u8], value: V) {
        self.keys.extend_from_slice(key);
        let (key_end, value) = (self.keys.len(), Some(value));
        self.entries.push(Entry { at, key_end, value });
    }

    /// Adds stream time alone.
    pub(crate) fn push_time(&mut self, at: At) {
        let (key_end, value) = (self.keys.len(), None);
        self.entries.push(Entry { at, key_end, value });
    }

    /// All inputs, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&At, Option<(&[u8], &V)>)> {
        let mut start = 0;
        self.entries.iter().map(move |entry| {
            let key = &self.keys[start..entry.key_end];
            start = entry.key_end;
            (&entry.at, entry.value.as_ref().map(|value| (key, value)))
        })
    }

    fn last(&self) -> Option<&At> {
        self.entries.last().map(|entry| &entry.at)
    }

    fn clear(&mut self) {
        self.keys.clear();
        self.entries.clear();
    }
}

/// An operator on keyed records, running in one task. Programs write an [`Operator`].
pub trait KeyedOperator<V>: Send {
    /// Processes the inputs of a batch, in order.
    fn run(&mut self, inputs: &KeyedBatch<V>, out: &mut Outbox);
    /// There is no input for now. Called between batches.
    fn idle(&mut self, at: &At, out: &mut Outbox);
    /// The input has ended: what is still open closes.
    fn end(&mut self, at: &At, out: &mut Outbox);
    /// Visits what it remembers.
    #[doc(hidden)]
    fn walk(&mut self, walk: &mut dyn Walk);
}

/// The operators that share one keyed stream in one task, and their common input buffer.
pub(crate) struct Operators<V> {
    operators: Vec<Box<dyn KeyedOperator<V>>>,
    inputs: KeyedBatch<V>,
}

impl<V> Operators<V> {
    pub(crate) fn new(operators: Vec<Box<dyn KeyedOperator<V>>>) -> Self {
        Self {
            operators,
            inputs: KeyedBatch::new(),
        }
    }

    /// The inputs of the batch at hand.
    pub(crate) fn inputs(&mut self) -> &mut KeyedBatch<V> {
        &mut self.inputs
    }

    /// Runs every operator over the batch.
    pub(crate) fn run(&mut self, out: &mut Outbox) {
        if self.inputs.last().is_none() {
            return;
        }
        for operator in &mut self.operators {
            operator.run(&self.inputs, out);
        }
        self.inputs.clear();
    }

    /// Runs the batch so far, and reports that there is no input for now.
    pub(crate) fn idle(&mut self, at: &At, out: &mut Outbox) {
        self.run(out);
        for operator in &mut self.operators {
            operator.idle(at, out);
        }
    }

    /// Runs the batch so far, and reports that the input has ended.
    pub(crate) fn end(&mut self, at: &At, out: &mut Outbox) {
        self.run(out);
        for operator in &mut self.operators {
            operator.end(at, out);
        }
    }

    /// Visits what the operators remember.
    pub(crate) fn walk(&mut self, walk: &mut dyn Walk) {
        for operator in &mut self.operators {
            operator.walk(walk);
        }
    }
}
