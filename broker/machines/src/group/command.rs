//! What groups can be asked, and what they answer at once.
//!
//! Each group that a command names is one of this partition's: the caller has looked for the
//! partition.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use brooklet_protocol::{Offset, PartitionId, Producer, TopicName, TopicPartition};
use bytes::Bytes;

use super::answer::{GroupError, Waiter};

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
    /// Groups that one partition of `__consumer_offsets` keeps (10,000; Kafka: no limit).
    pub groups_max: usize,
    /// `group.member.metadata.max.bytes` (64 KiB; Kafka: no limit): the metadata of one member.
    pub member_bytes_max: usize,
    /// `group.metadata.max.bytes` (4 MiB; Kafka: no limit): the metadata of all members of a group,
    /// and the assignments that their leader makes.
    pub group_bytes_max: usize,
    /// `offset.metadata.max.bytes` (4096).
    pub metadata_bytes_max: usize,
    /// `offsets.retention.minutes` (7 days): how long a group without members keeps its offsets.
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

/// The sender of a request to a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Given by the coordinator; empty for a client that is not a member.
    pub member_id: String,
    /// Given by its owner, if it is static.
    pub instance_id: Option<String>,
    /// The generation that it takes part in; -1 for a client that is not a member.
    pub generation: i32,
}

/// JoinGroup: a client wants to be a member. The answer is a [`Completion`](super::Completion).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinGroup {
    /// The group's id.
    pub group: String,
    /// The client that waits for the answer.
    pub waiter: Waiter,
    /// Empty if it has none yet.
    pub member_id: String,
    /// The id that it gets if it has none.
    pub new_member_id: String,
    /// The name that its owner gave it, if it is static.
    pub instance_id: Option<String>,
    /// The name that the client gives itself.
    pub client_id: String,
    /// The host that it connects from.
    pub client_host: String,
    /// The kind of the group: "consumer", "connect".
    pub protocol_type: String,
    /// Its assignors, the preferred one first, and what it sends to each.
    pub protocols: Vec<(String, Bytes)>,
    /// How long a rebalance waits for it.
    pub rebalance_timeout: Duration,
    /// How long it may be silent.
    pub session_timeout: Duration,
    /// Whether it has to join again with the id that it is given (KIP-394).
    pub must_know_id: bool,
    /// Whether a leader that comes back understands "make no assignment" (KIP-814).
    pub may_skip_assignment: bool,
}

/// SyncGroup: a member asks for its assignment. The answer is a [`Completion`](super::Completion).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncGroup {
    /// The group's id.
    pub group: String,
    /// The client that waits for the answer.
    pub waiter: Waiter,
    /// The member.
    pub identity: Identity,
    /// The kind of group that it expects, if it names one.
    pub protocol_type: Option<String>,
    /// The assignor that it expects, if it names one.
    pub protocol: Option<String>,
    /// From the leader: the assignment of each member, by member id.
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

/// An offset to commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewOffset {
    /// The topic.
    pub topic: TopicName,
    /// The partition.
    pub partition: PartitionId,
    /// The next record to read.
    pub offset: Offset,
    /// The leader epoch of the record before; -1 if unknown.
    pub leader_epoch: i32,
    /// Any text that the committer wants to keep with the offset.
    pub metadata: String,
}

/// Heartbeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// The group's id.
    pub group: String,
    /// The member.
    pub identity: Identity,
}

/// LeaveGroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaveGroup {
    /// The group's id.
    pub group: String,
    /// The members by their ids, or, with an empty id, by their instance ids.
    pub members: Vec<(String, Option<String>)>,
}

/// OffsetCommit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitOffsets {
    /// The group's id.
    pub group: String,
    /// The committer.
    pub identity: Identity,
    /// The offsets.
    pub offsets: Vec<NewOffset>,
}

/// TxnOffsetCommit: offsets that count once a transaction is committed (KIP-447).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitInTransaction {
    /// The group's id.
    pub group: String,
    /// The committer.
    pub identity: Identity,
    /// The producer of the transaction.
    pub producer: Producer,
    /// The number in [`TxnCommitted::Unverified`], once the transaction's coordinator has confirmed
    /// that the group's partition is part of the transaction.
    pub verified_at: Option<u64>,
    /// The offsets.
    pub offsets: Vec<NewOffset>,
}

/// A producer's transaction has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndTransaction {
    /// The producer.
    pub producer: Producer,
    /// Whether its offsets count.
    pub committed: bool,
}

/// OffsetDelete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeleteOffsets {
    /// The group's id.
    pub group: String,
    /// The partitions whose offsets to delete.
    pub partitions: Vec<TopicPartition>,
}

/// DeleteGroups, for one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeleteGroup {
    /// The group's id.
    pub group: String,
}

/// These topics were deleted, and the offsets of all groups in them go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForgetTopics {
    /// The names of the topics.
    pub topics: BTreeSet<TopicName>,
}

/// A result for each member or offset of a request, in their order.
pub type Outcomes = Vec<Result<(), GroupError>>;
/// A result for each offset; or why none was looked at.
pub type OffsetResults = Result<Outcomes, GroupError>;

/// The answer to [`CommitInTransaction`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TxnCommitted {
    /// Nothing has happened: the caller asks the transaction's coordinator, and then sends the
    /// command again with this number in `verified_at`.
    Unverified(u64),
    /// The commit was checked.
    Checked(OffsetResults),
}
