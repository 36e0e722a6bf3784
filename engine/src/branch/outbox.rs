//! The records that a task wants written: it writes nothing itself.
//!
//! Several branches of one task may write to the same topic. Each runs over a whole batch before
//! the next begins, so their records would interleave by the batch's size; the outbox puts them
//! back into the order of the input records that caused them, which no batch boundary can change.

use brooklet_protocol::{PartitionId, Timestamp, TopicName};
use bytes::Bytes;

/// A record to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutRecord {
    /// The destination.
    pub topic: TopicName,
    /// `None`: by the key's murmur2, or any without a key.
    pub partition: Option<PartitionId>,
    /// Event time. In a repartition topic the header has it, and the record gets the time of
    /// writing.
    pub timestamp: Timestamp,
    /// The key.
    pub key: Option<Bytes>,
    /// The value.
    pub value: Option<Bytes>,
    /// The header of a repartition topic.
    pub(crate) origin: Option<Bytes>,
}

/// The records that one batch caused, or several, one after the other.
#[derive(Debug, Default)]
pub struct Outbox {
    records: Vec<(usize, OutRecord)>,
    /// Where the steps of the batch at hand begin: after those of the batches before it.
    batch_start: usize,
    /// The highest step so far.
    last_step: usize,
}

impl Outbox {
    /// Adds a record caused by the batch's input number `step`.
    pub(crate) fn push(&mut self, step: usize, record: OutRecord) {
        // The input's end is the last step of all, whatever came before.
        let step = self.batch_start.saturating_add(step);
        self.last_step = self.last_step.max(step);
        self.records.push((step, record));
    }

    /// Begins another batch: its steps come after those so far.
    pub(crate) fn next_batch(&mut self) {
        self.batch_start = self.last_step.saturating_add(1);
    }

    /// Takes all records, in the order of their causes.
    pub fn take(&mut self) -> impl Iterator<Item = OutRecord> + use<> {
        let mut records = std::mem::take(&mut self.records);
        (self.batch_start, self.last_step) = (0, 0);
        records.sort_by_key(|(step, _)| *step);
        records.into_iter().map(|(_, record)| record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(value: &'static str) -> OutRecord {
        OutRecord {
            topic: TopicName::new("t").unwrap(),
            partition: None,
            timestamp: Timestamp(0),
            key: None,
            value: Some(Bytes::from_static(value.as_bytes())),
            origin: None,
        }
    }

    #[test]
    fn records_leave_in_the_order_of_their_causes_batch_after_batch() {
        let mut out = Outbox::default();
        // Two branches run over the first batch, one after the other; then comes a second batch.
        for (step, value) in [(0, "a1"), (1, "a2"), (0, "b1"), (1, "b2")] {
            out.push(step, record(value));
        }
        out.next_batch();
        out.push(0, record("c1"));
        let taken: Vec<_> = out.take().map(|r| r.value.unwrap()).collect();
        assert_eq!(taken, ["a1", "b1", "a2", "b2", "c1"]);
    }
}
