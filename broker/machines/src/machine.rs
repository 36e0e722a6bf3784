//! A state machine whose state is made from a log.
//!
//! A machine decides, but it neither writes nor waits. Whoever runs it does these things, in this
//! order, for each command:
//!
//! ```text
//!  decide ─▶ append the records ─▶ replay them ─▶ commit ─▶ deliver effects ─▶ answer
//! ```
//!
//! What the machine may rely on:
//! - nothing happens between `decide` and the `replay` of what it has decided;
//! - a decision's records are appended whole or not at all, and then replayed in their order;
//! - if the append fails, nothing is replayed: `decide` must not have changed hard state;
//! - after a restart the whole log is replayed into a new machine, before the first command.
//!
//! What may be relied on in a machine: replay of the same log gives the same state; `decide` depends on
//! that state, the command, the moment and soft state alone.

use std::error::Error;
use std::fmt::Debug;

use brooklet_protocol::{Monotonic, Offset, Timestamp};

use crate::LogRecord;

/// When, and where in the log, a machine decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The time of day.
    pub wall: Timestamp,
    /// Time that never goes back.
    pub monotonic: Monotonic,
    /// The offset that the first record of the decision gets.
    pub offset: Offset,
}

/// What a machine has decided. Nothing has happened yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision<A, E> {
    /// To be logged and then replayed; none for a read.
    pub records: Vec<LogRecord>,
    /// To be given once the records are committed.
    pub answer: A,
    /// What others learn of it, beside what the records tell them.
    pub effects: Vec<E>,
}

impl<A, E> Decision<A, E> {
    /// A decision that changes nothing.
    pub fn read(answer: A) -> Self {
        Self {
            records: Vec::new(),
            answer,
            effects: Vec::new(),
        }
    }
}

/// A table made from a log. No I/O, no clock, no randomness: all it knows came in.
pub trait StateMachine: Debug + Send + 'static {
    /// What it is asked.
    type Command: Send + 'static;
    /// What it says.
    type Answer: Send + 'static;
    /// What others learn of a change, such as a watch that fires.
    type Effect: Send + 'static;

    /// Judges a command. May change soft state (watches, timers), which dies with the process; hard
    /// state stays as it is.
    fn decide(
        &mut self,
        at: Moment,
        command: Self::Command,
    ) -> Decision<Self::Answer, Self::Effect>;

    /// Takes a record of the log into the state: the only place where hard state changes. Live, it
    /// is called right after the decision; at start, with everything the log has.
    ///
    /// # Errors
    /// The record cannot be one of this machine's decisions in this state.
    fn replay(
        &mut self,
        offset: Offset,
        record: &LogRecord,
    ) -> Result<Vec<Self::Effect>, Box<dyn Error + Send + Sync>>;

    /// When the machine has something to do by itself, and the command that does it.
    fn deadline(&self) -> Option<(Monotonic, Self::Command)> {
        None
    }
}
