//! What a group answers.

use brooklet_protocol::Offset;
use bytes::Bytes;
use thiserror::Error;

use super::validate::STRING_BYTES_MAX;

/// The caller's number for a client that waits for the answer to a join or a sync; never used
/// twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Waiter(pub u64);

/// The answer to a join.
pub type JoinResult = Result<Joined, GroupError>;
/// The answer to a sync.
pub type SyncResult = Result<Synced, GroupError>;

/// An answer that had to wait for the other members, or for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Completion {
    /// A join is answered.
    Join(Waiter, JoinResult),
    /// A sync is answered.
    Sync(Waiter, SyncResult),
}

/// A generation has begun, and the member is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    /// The member's id from now on.
    pub member_id: String,
    /// The generation that has begun.
    pub generation: i32,
    /// The kind of the group: "consumer", "connect".
    pub protocol_type: Option<String>,
    /// The assignor, one that all members support.
    pub protocol: Option<String>,
    /// The member that has to make the assignment.
    pub leader: String,
    /// For the leader all members; empty for the others.
    pub members: Vec<JoinedMember>,
    /// Whether the leader need not make an assignment, as the old one stays (KIP-814).
    pub skip_assignment: bool,
}

/// A member, as the leader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinedMember {
    /// Its id.
    pub id: String,
    /// The name that its owner gave it, if it is static.
    pub instance_id: Option<String>,
    /// What it sends to the assignor.
    pub subscription: Bytes,
}

/// A member's assignment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Synced {
    /// The kind of the group: "consumer", "connect".
    pub protocol_type: Option<String>,
    /// The assignor.
    pub protocol: Option<String>,
    /// What the leader assigned to the member.
    pub assignment: Bytes,
}

/// Why a group refuses.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum GroupError {
    /// An empty id, or one that does not fit into a record.
    #[error("invalid group id '{0}': expected 1 to {STRING_BYTES_MAX} bytes")]
    InvalidGroupId(String),
    /// A text does not fit into a record.
    #[error("{0} is too long: at most {STRING_BYTES_MAX} bytes allowed")]
    TooLong(&'static str),
    /// Not between `group.min.session.timeout.ms` and `group.max.session.timeout.ms`.
    #[error(
        "session timeout is {found_ms} ms, expected {min_ms} to {max_ms} \
         (group.min.session.timeout.ms, group.max.session.timeout.ms)"
    )]
    SessionTimeout {
        /// The timeout that was asked for.
        found_ms: u128,
        /// The shortest that is allowed.
        min_ms: u128,
        /// The longest that is allowed.
        max_ms: u128,
    },
    /// The protocol type or the assignors do not match those of the other members.
    #[error("no assignor in common with the other members of the group")]
    InconsistentProtocol,
    /// No member has the id.
    #[error("the group has no such member; join again")]
    UnknownMember,
    /// The client has to join again with this id (KIP-394).
    #[error("join again with member id '{0}'")]
    MemberIdRequired(String),
    /// Another process has joined under the same instance id.
    #[error("another member has taken over the group instance id")]
    FencedInstance,
    /// The request names a past or a future generation.
    #[error("generation is {found}, expected {expected}")]
    Generation {
        /// The group's generation.
        expected: i32,
        /// The generation in the request.
        found: i32,
    },
    /// The members have to join again.
    #[error("the group is rebalancing")]
    Rebalancing,
    /// `group.max.size`.
    #[error("the group is full: at most {0} members allowed (group.max.size)")]
    Full(usize),
    /// `group.member.metadata.max.bytes`.
    #[error(
        "member metadata is {found} bytes, at most {max} allowed (group.member.metadata.max.bytes)"
    )]
    MemberTooLarge {
        /// The size of the member's metadata.
        found: usize,
        /// The limit.
        max: usize,
    },
    /// `group.metadata.max.bytes`.
    #[error("group metadata exceeds the limit of {0} bytes (group.metadata.max.bytes)")]
    GroupTooLarge(usize),
    /// `group.metadata.max.bytes`, for what the leader assigns.
    #[error("assignments are {found} bytes, at most {max} allowed (group.metadata.max.bytes)")]
    AssignmentsTooLarge {
        /// The size of all assignments.
        found: usize,
        /// The limit.
        max: usize,
    },
    /// The limit of groups in one partition of `__consumer_offsets`.
    #[error("this partition already keeps {0} groups, its limit")]
    TooManyGroups(usize),
    /// There is no such group.
    #[error("the group does not exist")]
    NoSuchGroup,
    /// A group with members cannot be deleted.
    #[error("the group still has members")]
    NotEmpty,
    /// The offsets of a topic that is being read cannot be deleted.
    #[error("a member of the group is subscribed to the topic")]
    Subscribed,
    /// `offset.metadata.max.bytes`.
    #[error("metadata of offset {0} is too long (offset.metadata.max.bytes)")]
    MetadataTooLong(Offset),
}
