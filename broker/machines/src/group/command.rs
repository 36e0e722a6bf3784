//! What groups are asked, and what they say at once.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use brooklet_protocol::{Offset, PartitionId, Producer, TopicName};
use bytes::Bytes;

use super::answer::{GroupError, Waiter};
use super::classic::{JoinGroup, Speaker};

/// A broker's settings for its groups, under Kafka's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupConfig {
    /// `group.min.session.timeout.ms` (6 seconds).
    pub session_timeout_min: Duration,
    /// `group.max.session.timeout.ms` (30 minutes).
    pub session_timeout_max: Duration,
    /// `group.initial.rebalance.delay.ms` (0; Kafka: 3 seconds).
    pub initial_rebalance_delay: Duration,
    /// `group.max.size` (1000; Kafka: no limit).
    pub members_max: usize,
    /// Groups that one partition of the offsets' topic keeps (10,000; Kafka: no limit).
    pub groups_max: usize,
    /// `group.member.metadata.max.bytes` (64 KiB; Kafka: no limit): what a member says of itself.
    pub member_bytes_max: usize,
    /// `group.metadata.max.bytes` (4 MiB; Kafka: no limit): what all members of a group say, and what
    /// their leader assigns.
    pub group_bytes_max: usize,
    /// `offset.metadata.max.bytes` (4096).
    pub metadata_bytes_max: usize,
    /// `offsets.retention.minutes` (7 days): how long the offsets stay of a group without members.
    pub offsets_retention: Duration,
}

impl Default for GroupConfig {
    fn default() -> Self {
        Self {
            session_timeout_min: Duration::from_secs(6),
            session_timeout_max: Duration::from_secs(1800),
            initial_rebalance_delay: Duration::ZERO,
            members_max: 1000,
            groups_max: 10_000,
            member_bytes_max: 64 << 10,
            group_bytes_max: 4 << 20,
            metadata_bytes_max: 4096,
            offsets_retention: Duration::from_secs(7 * 24 * 3600),
        }
    }
}

/// Who speaks to a group, and of which generation; -1 for who is no member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Given by the coordinator; empty for who is no member.
    pub member_id: String,
    /// Given by its owner, if it is static.
    pub instance_id: Option<String>,
    /// Which generation it takes part in.
    pub generation: i32,
}

impl Identity {
    pub(super) fn speaker(&self) -> Speaker<'_> {
        Speaker {
            member_id: &self.member_id,
            instance_id: self.instance_id.as_deref(),
            generation: self.generation,
        }
    }
}

/// A member asks for its assignment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncGroup {
    /// Who waits for the answer.
    pub waiter: Waiter,
    /// Who asks.
    pub identity: Identity,
    /// What it takes the members to be to each other, if it says so.
    pub protocol_type: Option<String>,
    /// What it takes for the assignor, if it says so.
    pub protocol: Option<String>,
    /// Of the leader: what each member gets.
    pub assignments: HashMap<String, Bytes>,
}

impl SyncGroup {
    pub(super) fn assigned_bytes(&self) -> usize {
        let assignments = self.assignments.iter();
        assignments
            .map(|(member, part)| member.len() + part.len())
            .sum()
    }
}

/// An offset that is to be committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewOffset {
    /// Of which topic.
    pub topic: TopicName,
    /// Of which partition.
    pub partition: PartitionId,
    /// The next record to be read.
    pub offset: Offset,
    /// The leader epoch of the record before; -1 if unknown.
    pub leader_epoch: i32,
    /// Whatever the committer wants to keep beside it.
    pub metadata: String,
}

/// Offsets that are to be committed with a transaction (KIP-447).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitInTransaction {
    /// Whose transaction.
    pub producer: Producer,
    /// What [`Answer::Unverified`] gave, if the coordinator was asked since; see
    /// [`crate::partition::Unverified`].
    pub verified_at: Option<u64>,
    /// The offsets.
    pub offsets: Vec<NewOffset>,
}

/// A topic's partition.
pub type Place = (TopicName, PartitionId);

/// What groups are asked. Where a group is named, it is one of this partition's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// The log is replayed: members have their session's time from now on to be heard of.
    Start,
    /// JoinGroup; the answer is told.
    Join(String, JoinGroup),
    /// SyncGroup; the answer is told.
    Sync(String, SyncGroup),
    /// Heartbeat.
    Heartbeat(String, Identity),
    /// LeaveGroup: members by their ids, or by their instance ids.
    Leave(String, Vec<(String, Option<String>)>),
    /// OffsetCommit.
    Commit(String, Identity, Vec<NewOffset>),
    /// TxnOffsetCommit.
    CommitInTransaction(String, Identity, CommitInTransaction),
    /// A producer's transaction has ended, committed or not.
    EndTransaction(Producer, bool),
    /// OffsetDelete.
    DeleteOffsets(String, Vec<Place>),
    /// DeleteGroups.
    DeleteGroup(String),
    /// These topics are no more.
    ForgetTopics(BTreeSet<TopicName>),
    /// It is time.
    Tick,
}

/// What groups say at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The answer will be told, or there is none.
    None,
    /// To a heartbeat, or to a deletion of a group.
    Done(Result<(), GroupError>),
    /// For each member.
    Left(Vec<Result<(), GroupError>>),
    /// For each offset, in their order; or why none is.
    Offsets(Result<Vec<Result<(), GroupError>>, GroupError>),
    /// The transaction's coordinator has to be asked first, and then this again with this number.
    Unverified(u64),
}
