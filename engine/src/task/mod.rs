//! The task: a pure function of its input order.
//!
//! A program is cut into stages at its repartition topics; a stage runs as one task per partition:
//!
//! ```text
//! flights-0 ─▶ source task 0 ─┐                          ┌─▶ receiver task 0 ─▶ delays
//! flights-1 ─▶ source task 1 ─┼─▶ demo-by-origin-repartition ─▶ receiver task 1 ─▶ delays
//! flights-2 ─▶ source task 2 ─┘    (a topic: written, then read)
//! ```
//!
//! A task is fed batches and fills an [`Outbox`]. It does no I/O, reads no clock, draws no random
//! numbers and shares nothing but counters, so what it writes follows from what it read. The
//! runtime (with a broker) and the test driver (with vectors) only carry records.
//!
//! Inside, `dyn` is met once per batch and branch; a branch is one loop that the compiler has fused
//! from the program's closures.

pub(crate) mod event_time;
pub(crate) mod malformed;
pub(crate) mod memory;
pub(crate) mod source;
pub(crate) mod stream_time;

pub(crate) mod direct;
pub(crate) mod repartition;

use brooklet_protocol::{Offset, Timestamp};

use crate::branch::outbox::Outbox;
use crate::branch::progress::Walk;

/// A record as a task reads it, borrowed from its batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InputRecord<'a> {
    /// Its offset.
    pub offset: Offset,
    /// Its timestamp.
    pub timestamp: Timestamp,
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Its value.
    pub value: Option<&'a [u8]>,
    /// The value of the header `brooklet.origin`, in a repartition topic.
    pub origin: Option<&'a [u8]>,
}

/// One partition's share of a stage.
pub(crate) trait Task: Send {
    /// Processes a batch.
    fn process(&mut self, batch: &[InputRecord<'_>], out: &mut Outbox);
    /// The input of a source has had nothing for a while. Call it between batches.
    fn idle(&mut self, _out: &mut Outbox) {}
    /// The input has ended. Call it once, and nothing after it.
    fn end(&mut self, out: &mut Outbox);
    /// Visits what the task remembers.
    fn walk(&mut self, walk: &mut dyn Walk);
    /// The offset from which a task that has been restored to this state must read on; `None`: from
    /// the end of what was processed. What is in between was read and waits in memory.
    fn reads_from(&self) -> Option<Offset> {
        None
    }
    /// Whether the input itself has said that it ended.
    fn is_ended(&self) -> bool {
        false
    }
}
