//! What a task wants written: it writes nothing itself.
//!
//! Several branches of one task may write to the same topic. Each runs over a whole batch before the
//! next begins, so their records would interleave by the batch's size; the outbox puts them back
//! into the order of the input records that caused them, which no batch boundary can change.

use brooklet_protocol::{PartitionId, Timestamp, TopicName};
use bytes::Bytes;

/// A record to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutRecord {
    /// Where to.
    pub topic: TopicName,
    /// `None`: by the key's murmur2, or any without a key.
    pub partition: Option<PartitionId>,
    /// Event time.
    pub timestamp: Timestamp,
    /// The key.
    pub key: Option<Bytes>,
    /// The value.
    pub value: Option<Bytes>,
    /// The header of a repartition topic.
    pub(crate) origin: Option<Bytes>,
}

/// The records that processing one batch caused.
#[derive(Debug, Default)]
pub struct Outbox {
    records: Vec<(usize, OutRecord)>,
}

impl Outbox {
    /// Adds a record caused by the batch's input number `step`.
    pub(crate) fn push(&mut self, step: usize, record: OutRecord) {
        self.records.push((step, record));
    }

    /// Takes all records, in the order of their causes.
    pub fn take(&mut self) -> impl Iterator<Item = OutRecord> + use<> {
        let mut records = std::mem::take(&mut self.records);
        records.sort_by_key(|(step, _)| *step);
        records.into_iter().map(|(_, record)| record)
    }
}
