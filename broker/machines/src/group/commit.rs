//! The commands on offsets: OffsetCommit, TxnOffsetCommit, OffsetDelete, DeleteGroups.
//!
//! | the committer is | the group has | at once | in a transaction |
//! |---|---|---|---|
//! | a member of this generation | members | may, unless the assignment is being made | the same |
//! | a member of another generation | anything | refused: `Generation`, `UnknownMember` | the same |
//! | not a member | no members | may | may |
//! | not a member | members | refused: `UnknownMember` | may: its producer's epoch fences it |
//!
//! A commit in a transaction also needs the word of the transaction's coordinator that the group's
//! partition is part of it. Between that word and the commit the transaction may have ended; so the
//! first commit of a transaction is refused with the number of markers so far, and it is accepted
//! only while no further marker has come.

use brooklet_protocol::TopicPartition;

use super::answer::{Completion, GroupError};
use super::command::{
    CommitInTransaction, CommitOffsets, DeleteGroup, DeleteOffsets, EndTransaction, ForgetTopics,
    Identity, NewOffset, OffsetResults, Outcomes, TxnCommitted,
};
use super::machine::Groups;
use super::offsets;
use super::record::CommittedOffset;
use super::validate::{self, STRING_BYTES_MAX};
use crate::{Command, Decision, LogRecord, Moment, TxnMembership};

impl Command<Groups> for CommitOffsets {
    type Answer = OffsetResults;

    fn decide(self, groups: &mut Groups, at: Moment) -> Decision<Self::Answer, Completion> {
        if let Err(error) = groups.check_commit(at, &self.group, &self.identity, false) {
            return Decision::read(Err(error));
        }
        let txn = TxnMembership::NonTransactional;
        let (records, results) = groups.committed(at, &self.group, self.offsets, txn);
        Decision::write(records, Ok(results))
    }
}

impl Command<Groups> for CommitInTransaction {
    type Answer = TxnCommitted;

    fn decide(self, groups: &mut Groups, at: Moment) -> Decision<Self::Answer, Completion> {
        if let Err(error) = groups.check_commit(at, &self.group, &self.identity, true) {
            return Decision::read(TxnCommitted::Checked(Err(error)));
        }
        let is_open = groups.hard.pending().has_transaction(self.producer.id);
        let markers = groups.soft.markers();
        if !is_open && self.verified_at != Some(markers) {
            return Decision::read(TxnCommitted::Unverified(markers));
        }
        let txn = TxnMembership::Transactional(self.producer);
        let (records, results) = groups.committed(at, &self.group, self.offsets, txn);
        Decision::write(records, TxnCommitted::Checked(Ok(results)))
    }
}

impl Command<Groups> for EndTransaction {
    type Answer = ();

    fn decide(self, _groups: &mut Groups, _at: Moment) -> Decision<(), Completion> {
        let marker = LogRecord::marker(self.producer, self.committed);
        Decision::write(vec![marker], ())
    }
}

impl Command<Groups> for DeleteOffsets {
    type Answer = OffsetResults;

    fn decide(self, groups: &mut Groups, _at: Moment) -> Decision<Self::Answer, Completion> {
        let id = self.group.as_str();
        let Some(group) = groups.soft.get(id) else {
            return Decision::read(Err(GroupError::NoSuchGroup));
        };
        match offsets::deleted(&groups.hard, (id, group), self.partitions) {
            Ok((records, results)) => Decision::write(records, Ok(results)),
            Err(error) => Decision::read(Err(error)),
        }
    }
}

impl Command<Groups> for DeleteGroup {
    type Answer = Result<(), GroupError>;

    fn decide(self, groups: &mut Groups, _at: Moment) -> Decision<Self::Answer, Completion> {
        let id = self.group.as_str();
        let Some(group) = groups.soft.get(id) else {
            return Decision::read(Err(GroupError::NoSuchGroup));
        };
        if !group.is_empty() {
            return Decision::read(Err(GroupError::NotEmpty));
        }
        let mut records = offsets::pending_tombstones(&groups.hard, id, |_| true);
        records.extend(offsets::deletion(&groups.hard, (id, group), |_, _| true));
        Decision::write(records, Ok(()))
    }
}

impl Command<Groups> for ForgetTopics {
    type Answer = ();

    fn decide(self, groups: &mut Groups, _at: Moment) -> Decision<(), Completion> {
        let is_gone = |at: &TopicPartition| self.topics.contains(&at.topic);
        let mut records = Vec::new();
        for (id, _) in groups.soft.iter() {
            records.extend(offsets::pending_tombstones(&groups.hard, id, is_gone));
            records.extend(offsets::tombstones(&groups.hard, id, |at, _| is_gone(at)));
        }
        Decision::write(records, ())
    }
}

impl Groups {
    /// Whether a client may commit offsets of a group.
    fn check_commit(
        &mut self,
        at: Moment,
        id: &str,
        identity: &Identity,
        in_transaction: bool,
    ) -> Result<(), GroupError> {
        validate::group_id(id)?;
        // A producer that is not a member speaks for itself: its transaction identifies it.
        let is_member = identity.generation >= 0
            || !identity.member_id.is_empty()
            || identity.instance_id.is_some();
        match self.soft.get_mut(id) {
            Some(_) if in_transaction && !is_member => Ok(()),
            Some(group) => {
                let checked = group.check_commit(at.monotonic, identity);
                self.soft.arm(id);
                checked
            }
            None if identity.generation >= 0 => {
                let (expected, found) = (-1, identity.generation);
                Err(GroupError::Generation { expected, found })
            }
            None => self.check_room(),
        }
    }

    /// The records of offsets that may be committed, and a result for each offset.
    fn committed(
        &self,
        at: Moment,
        id: &str,
        offsets: Vec<NewOffset>,
        txn: TxnMembership,
    ) -> (Vec<LogRecord>, Outcomes) {
        let metadata_max = self.config.metadata_bytes_max.min(STRING_BYTES_MAX);
        let (mut records, mut results) = (Vec::new(), Vec::new());
        for new in offsets {
            if new.metadata.len() > metadata_max {
                results.push(Err(GroupError::MetadataTooLong(new.offset)));
                continue;
            }
            let committed = CommittedOffset {
                offset: new.offset,
                leader_epoch: new.leader_epoch,
                metadata: new.metadata,
                committed_at: at.wall,
            };
            let partition = TopicPartition::new(new.topic, new.partition);
            let record = offsets::record(id, partition, Some(committed));
            records.push(LogRecord { txn, ..record });
            results.push(Ok(()));
        }
        (records, results)
    }
}
