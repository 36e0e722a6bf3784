//! The partitions that a transaction may write to: those that were added to it at its coordinator,
//! or all of them, if brokers add what is written to.

use std::collections::BTreeSet;

use brooklet_protocol::TopicPartition;

use super::coordinator::Protocol;

/// The partitions of the open transaction.
#[derive(Debug)]
pub(super) struct Gate {
    protocol: Protocol,
    /// The coordinator knows of them, or may know.
    added: BTreeSet<TopicPartition>,
    /// They are being added.
    asked: BTreeSet<TopicPartition>,
}

impl Gate {
    pub(super) fn new(protocol: Protocol) -> Self {
        Self {
            protocol,
            added: BTreeSet::new(),
            asked: BTreeSet::new(),
        }
    }

    /// Whether records may be sent to a partition.
    pub(super) fn is_open(&self, partition: &TopicPartition) -> bool {
        self.protocol == Protocol::AddsImplicitly || self.added.contains(partition)
    }

    /// Records are sent to a partition.
    pub(super) fn pass(&mut self, partition: &TopicPartition) {
        if !self.added.contains(partition) {
            self.added.insert(partition.clone());
        }
    }

    /// Whether the coordinator knows of any partition.
    pub(super) fn is_known(&self) -> bool {
        !self.added.is_empty()
    }

    /// Those that have to be added; they count as being added from now on.
    pub(super) fn ask(
        &mut self,
        waiting: impl Iterator<Item = TopicPartition>,
    ) -> Vec<TopicPartition> {
        let is_new = |partition: &TopicPartition| {
            !self.is_open(partition) && !self.asked.contains(partition)
        };
        let new: Vec<_> = waiting.filter(is_new).collect();
        self.asked.extend(new.iter().cloned());
        new
    }

    pub(super) fn add(&mut self, partitions: &[TopicPartition]) {
        for partition in partitions {
            self.asked.remove(partition);
            self.added.insert(partition.clone());
        }
    }

    /// The coordinator does not take them.
    pub(super) fn refuse(&mut self, partitions: &[TopicPartition]) {
        for partition in partitions {
            self.asked.remove(partition);
        }
    }

    /// Whether partitions are being added.
    pub(super) fn is_asking(&self) -> bool {
        !self.asked.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.added.clear();
        self.asked.clear();
    }
}
