//! Operators: what a program keeps of the records of a key, in one task.
//!
//! ```text
//!  keyed inputs ──▶ Operators ─┬─▶ operator ──ports──▶ branches
//!   (task::direct or           └─▶ operator ──ports──▶ branches
//!    task::repartition)
//! ```
//!
//! An operator is given every input of its task, in order, and has outputs, its
//! [ports](crate::branch::port). Operators on the same keyed stream share the inputs and nothing
//! else.
//!
//! An input is a record, or stream time alone: time also advances by records of other keys and of
//! other partitions. An operator decides what a record does to its state and when a result leaves.
//! It must not read a clock, draw random numbers or depend on where batches are cut, so that the
//! same input yields the same output.
//!
//! There is one kind so far, the [window operator](window) over aligned windows. A further kind is
//! a further implementation of [`KeyedOperator`] and a verb of [`crate::dsl::KeyedStream`] that
//! makes it.

pub(crate) mod window;

pub(crate) mod store;

pub(crate) mod results;

use crate::branch::At;
use crate::branch::outbox::Outbox;

/// One input of keyed operators; without a record, stream time alone.
pub(crate) struct Keyed<K, V> {
    pub(crate) at: At,
    pub(crate) record: Option<(K, V)>,
}

/// An operator on keyed records, running in one task.
pub(crate) trait KeyedOperator<K, V>: Send {
    /// Processes the inputs of a batch, in order.
    fn run(&mut self, inputs: &[Keyed<K, V>], out: &mut Outbox);
    /// The input has nothing for now. Comes between batches.
    fn idle(&mut self, at: &At, out: &mut Outbox);
    /// The input has ended: what is still open closes.
    fn end(&mut self, at: &At, out: &mut Outbox);
}

/// The operators that share one keyed stream in one task, and their common input buffer.
pub(crate) struct Operators<K, V> {
    operators: Vec<Box<dyn KeyedOperator<K, V>>>,
    inputs: Vec<Keyed<K, V>>,
}

impl<K, V> Operators<K, V> {
    pub(crate) fn new(operators: Vec<Box<dyn KeyedOperator<K, V>>>) -> Self {
        Self {
            operators,
            inputs: Vec::new(),
        }
    }

    /// Adds one input of the batch.
    pub(crate) fn push(&mut self, at: At, record: Option<(K, V)>) {
        self.inputs.push(Keyed { at, record });
    }

    /// Runs every operator over the batch.
    pub(crate) fn run(&mut self, out: &mut Outbox) {
        if self.inputs.is_empty() {
            return;
        }
        for operator in &mut self.operators {
            operator.run(&self.inputs, out);
        }
        self.inputs.clear();
    }

    /// Says, after the batch so far, that there is no input for now.
    pub(crate) fn idle(&mut self, at: &At, out: &mut Outbox) {
        self.run(out);
        for operator in &mut self.operators {
            operator.idle(at, out);
        }
    }

    /// Says that the input has ended.
    pub(crate) fn end(&mut self, at: &At, out: &mut Outbox) {
        self.run(out);
        for operator in &mut self.operators {
            operator.end(at, out);
        }
    }
}
