//! Branches: what happens to an item between where it comes from and where it goes.
//!
//! ```text
//!  a source ──▶ steps ──▶ terminal ──▶ outbox       a branch of a source
//!  operator ──port──▶ steps ──▶ terminal ──▶ outbox a branch of a port; a port has any number of them
//! ```
//!
//! - *Steps* ([`ops`]) are the program's `map`, `filter` and `flat_map`, fused into one loop.
//! - A *terminal* ([`terminal`]) is the end of a branch: a topic, a closure, or a keyed stream.
//! - A *port* ([`port`]) is an output of an operator.
//! - The *outbox* ([`outbox`]) holds what a task wants written; the runtime or the test driver
//!   writes it.
//! - *Progress* ([`progress`]) is what a task remembers besides its stores.
//!
//! A branch belongs to one task, and no two tasks share one. Each call of `to`, `for_each` or
//! `key_by` in a program makes a branch in every task of its stage.
//!
//! Invariants:
//! - with each item travels its [`At`], which says what caused it and how far time has come;
//! - stream time never goes back along a branch;
//! - what leaves a task is in the order of the inputs that caused it, however many branches there
//!   are and however the input is cut into batches.

pub(crate) mod ops;
pub(crate) mod terminal;

pub(crate) mod port;

pub(crate) mod outbox;
pub(crate) mod progress;

use std::collections::BTreeMap;
use std::sync::Arc;

use brooklet_protocol::{Offset, PartitionId, Timestamp, TopicName};

use self::progress::{Progress, Standing};
use crate::codec::DecodeError;

/// The identity of a task within its stage.
#[derive(Clone, Debug)]
pub struct TaskInfo {
    /// Its partition.
    pub(crate) partition: PartitionId,
    /// How many tasks its stage has.
    pub(crate) tasks: i32,
    /// How many tasks the stage before has; 0 for a source.
    pub(crate) senders: i32,
    /// The partition counts of the repartition topics.
    pub(crate) partitions: Arc<BTreeMap<TopicName, i32>>,
    /// Whether changes of state are kept for changelogs.
    pub(crate) is_logged: bool,
}

/// The place of an item in its task's input.
#[derive(Clone, Copy, Debug)]
pub struct At {
    /// The index of the input that caused it, in its batch.
    pub(crate) step: usize,
    /// Its event time.
    pub(crate) event_time: Timestamp,
    /// The task's stream time, this item included.
    pub(crate) stream_time: Timestamp,
    /// The running maximum of the record timestamps at the task's source.
    pub(crate) arrival: Timestamp,
    /// How far the task has read: the source's offset, or the number of records received.
    pub(crate) offset: Offset,
}

impl At {
    /// Before anything was read.
    pub(crate) const START: Self = Self {
        step: 0,
        event_time: Timestamp::MIN,
        stream_time: Timestamp::MIN,
        arrival: Timestamp::MIN,
        offset: Offset(-1),
    };

    /// After everything was read.
    pub(crate) fn end(self) -> Self {
        Self {
            step: usize::MAX,
            stream_time: Timestamp::MAX,
            arrival: Timestamp::MAX,
            ..self
        }
    }
}

/// The event time and the step are those of the next input.
impl Standing for At {
    fn save(&self, to: &mut Progress) {
        to.put_time(self.stream_time);
        to.put_time(self.arrival);
        to.put_count((self.offset.0 + 1).unsigned_abs());
    }

    fn load(&mut self, from: &mut Progress) -> Result<(), DecodeError> {
        self.stream_time = from.time()?;
        self.arrival = from.time()?;
        self.offset = Offset(from.count()?.cast_signed().saturating_sub(1));
        Ok(())
    }
}
