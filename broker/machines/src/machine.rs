//! A state machine whose state is rebuilt from a log, and the commands it takes.
//!
//! A machine decides, but it neither writes nor waits. Its caller (the broker's `driver`, or a
//! test) does these things for each command, in this order:
//!
//! ```text
//!  decide ─▶ append the records ─▶ replay them ─▶ commit ─▶ deliver effects ─▶ answer
//! ```
//!
//! Each kind of command is a type of its own that implements [`Command`], so the answer has a type,
//! too: a heartbeat returns what a heartbeat can return and nothing else. Two commands are known to
//! every machine: [`Start`], once its log is replayed, and [`Tick`], when its deadline has come.
//!
//! The state has two parts:
//! - *hard state* is what the log says. It changes only in [`StateMachine::replay`], so replaying
//!   the log from its start rebuilds it;
//! - *soft state* (timers, watches, clients that wait) ends with the process. `decide` may change
//!   it.
//!
//! Duties of the caller:
//! - nothing happens between `decide` and the `replay` of what was decided;
//! - the records of a decision are appended all or none, and then replayed in their order;
//! - if the append fails, nothing is replayed; the effects of the decision are delivered all the
//!   same;
//! - after a restart the whole log is replayed into a new machine before the first command, which
//!   is [`Start`].
//!
//! In return, `decide` depends on the state, the command and the [`Moment`] alone, and leaves hard
//! state as it is.

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
    /// The records to append and then replay; none for a read.
    pub records: Vec<LogRecord>,
    /// The answer, which leaves once the records are committed.
    pub answer: A,
    /// Effects of the decision itself, beside those that replaying its records returns.
    pub effects: Vec<E>,
}

impl<A, E> Decision<A, E> {
    /// A decision that changes nothing.
    pub fn read(answer: A) -> Self {
        Self::write(Vec::new(), answer)
    }

    /// A decision to append these records.
    pub fn write(records: Vec<LogRecord>, answer: A) -> Self {
        Self {
            records,
            answer,
            effects: Vec::new(),
        }
    }
}

/// A table made from a log. No I/O, no clock, no randomness: all it knows is passed in.
pub trait StateMachine: Debug + Send + 'static {
    /// What others learn of a change, such as a watch that fires.
    type Effect: Send + 'static;

    /// Applies a record of the log: the only place where hard state changes. Live, it is called
    /// right after the decision; at start, with everything that the log holds.
    ///
    /// # Errors
    /// The record cannot be one of this machine's decisions in this state.
    fn replay(
        &mut self,
        offset: Offset,
        record: &LogRecord,
    ) -> Result<Vec<Self::Effect>, Box<dyn Error + Send + Sync>>;

    /// Decides what follows from the replayed log; see [`Start`].
    fn start(&mut self, _at: Moment) -> Decision<(), Self::Effect> {
        Decision::read(())
    }

    /// When the machine has something to do by itself; [`Tick`] makes it do so.
    fn deadline(&self) -> Option<Monotonic> {
        None
    }

    /// Decides what is due; see [`Tick`].
    fn tick(&mut self, _at: Moment) -> Decision<(), Self::Effect> {
        Decision::read(())
    }
}

/// A command to the machine `M`, with the type of its answer.
pub trait Command<M: StateMachine>: Send + 'static {
    /// What the machine answers.
    type Answer: Send + 'static;

    /// Decides. May change soft state; hard state stays as it is.
    fn decide(self, machine: &mut M, at: Moment) -> Decision<Self::Answer, M::Effect>;
}

/// The log is replayed, and the machine goes live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start;

impl<M: StateMachine> Command<M> for Start {
    type Answer = ();

    fn decide(self, machine: &mut M, at: Moment) -> Decision<(), M::Effect> {
        machine.start(at)
    }
}

/// The machine's deadline has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tick;

impl<M: StateMachine> Command<M> for Tick {
    type Answer = ();

    fn decide(self, machine: &mut M, at: Moment) -> Decision<(), M::Effect> {
        machine.tick(at)
    }
}
