//! Offsets that belong to a transaction (KIP-98, KIP-447).
//!
//! They are in the log, but they count only once the marker of their transaction follows:
//!
//! ```text
//!  … | g t/0 = 7, of producer 5 | g t/1 = 3, at once | g t/0 = 8, at once | commit of producer 5 | …
//!          pending                  counts               counts, and takes
//!                                                        the pending one's place
//! ```
//!
//! An offset that counts replaces the one that was pending before it, so that the last record of
//! the log counts, which is also the one that compaction keeps.

use std::collections::BTreeMap;

use brooklet_protocol::{Offset, ProducerId, TopicPartition};

use super::record::CommittedOffset;

/// A group and one of the partitions that it reads.
pub(super) type GroupPartition = (String, TopicPartition);

/// The pending offsets of one transaction, each with the offset of its record.
pub(super) type TransactionOffsets = BTreeMap<GroupPartition, (Offset, CommittedOffset)>;

/// The pending offsets, by the producer of their transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Pending(BTreeMap<ProducerId, TransactionOffsets>);

impl Pending {
    pub(super) fn insert(
        &mut self,
        id: ProducerId,
        at: GroupPartition,
        (record, offset): (Offset, CommittedOffset),
    ) {
        self.0.entry(id).or_default().insert(at, (record, offset));
    }

    /// Takes the offsets of a transaction that ends.
    pub(super) fn take(&mut self, id: ProducerId) -> TransactionOffsets {
        self.0.remove(&id).unwrap_or_default()
    }

    /// Drops what is pending before `record`, which counts: it would be overwritten.
    pub(super) fn forget_before(&mut self, record: Offset, at: &GroupPartition) {
        self.0.retain(|_, offsets| {
            if offsets
                .get(at)
                .is_some_and(|(pending, _)| *pending < record)
            {
                offsets.remove(at);
            }
            !offsets.is_empty()
        });
    }

    /// Whether a producer's transaction has pending offsets.
    pub(super) fn has_transaction(&self, id: ProducerId) -> bool {
        self.0.contains_key(&id)
    }

    /// The partitions in which a group has pending offsets.
    pub(super) fn partitions<'a>(
        &'a self,
        group: &'a str,
    ) -> impl Iterator<Item = &'a TopicPartition> {
        let all = self.0.values().flat_map(BTreeMap::keys);
        all.filter(move |(of, _)| of == group)
            .map(|(_, partition)| partition)
    }
}
