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
//! numbers and shares nothing but counters, so what it writes follows from what it read. Whoever
//! runs it (the runtime with a broker, the test driver with vectors) only carries records.
//!
//! Inside, `dyn` is met once per batch and branch; a branch is one loop that the compiler has fused
//! from the program's closures.

use std::collections::BTreeMap;
use std::sync::Arc;

use brooklet_protocol::{Offset, PartitionId, Timestamp, TopicName};

use crate::metrics::{SourceCounters, SourceCounts};
use crate::outbox::Outbox;

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

/// Which task this is.
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
}

/// The place of an item in its task's input.
#[derive(Clone, Copy, Debug)]
pub struct At {
    /// Which of the batch's inputs caused it.
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

/// Whether a record can have this event time: not before the epoch, and not the end of time, which
/// stands for the end of the input.
pub(crate) fn is_possible(event_time: Timestamp) -> bool {
    event_time.0 >= 0 && event_time != Timestamp::MAX
}

/// One partition's share of a stage.
pub(crate) trait Task: Send {
    /// Processes a batch.
    fn process(&mut self, batch: &[InputRecord<'_>], out: &mut Outbox);
    /// Takes in that the input, a source's, has had nothing for a while. Call it between batches.
    fn idle(&mut self, _out: &mut Outbox) {}
    /// Takes in that the input has ended. Call it once, and nothing after it.
    fn end(&mut self, out: &mut Outbox);
    /// Whether the input itself has said that it ended.
    fn is_ended(&self) -> bool {
        false
    }
}

/// One fused chain from a source to one terminal.
pub(crate) trait SourceBranch: Send {
    fn run(&mut self, batch: &[InputRecord<'_>], out: &mut Outbox);
    fn idle(&mut self, out: &mut Outbox);
    fn end(&mut self, out: &mut Outbox);
}

/// Feeds each branch of a source.
pub(crate) struct SourceTask {
    pub(crate) branches: Vec<Box<dyn SourceBranch>>,
    pub(crate) counters: Arc<SourceCounters>,
}

impl Task for SourceTask {
    fn process(&mut self, batch: &[InputRecord<'_>], out: &mut Outbox) {
        for branch in &mut self.branches {
            branch.run(batch, out);
        }
        self.counters.add(&SourceCounts {
            records: batch.len() as u64,
            ..SourceCounts::default()
        });
    }

    fn idle(&mut self, out: &mut Outbox) {
        for branch in &mut self.branches {
            branch.idle(out);
        }
    }

    fn end(&mut self, out: &mut Outbox) {
        for branch in &mut self.branches {
            branch.end(out);
        }
    }
}
