//! What a group says.

use brooklet_protocol::Offset;
use bytes::Bytes;
use thiserror::Error;

/// Who waits for the answer to a join or a sync; numbers that are given once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Waiter(pub u64);

/// An answer that had to wait for the other members, or for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// For whom.
    pub waiter: Waiter,
    /// What.
    pub answer: GroupAnswer,
}

/// To a join or to a sync.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupAnswer {
    /// To a join.
    Joined(Result<Joined, GroupError>),
    /// To a sync.
    Synced(Result<Synced, GroupError>),
}

/// A member is in the group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    /// Its id from now on.
    pub member_id: String,
    /// The generation that has begun.
    pub generation: i32,
    /// What the members are to each other.
    pub protocol_type: Option<String>,
    /// The assignor that all of them know.
    pub protocol: Option<String>,
    /// The member that has to make the assignment.
    pub leader: String,
    /// For the leader: all members; for the others nothing.
    pub members: Vec<JoinedMember>,
    /// Whether the leader need not make an assignment, as the old one stays (KIP-814).
    pub skip_assignment: bool,
}

/// A member, as its leader learns of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinedMember {
    /// Its id.
    pub id: String,
    /// Its owner's name for it.
    pub instance_id: Option<String>,
    /// What it tells the assignor.
    pub subscription: Bytes,
}

/// A member knows what is assigned to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Synced {
    /// What the members are to each other.
    pub protocol_type: Option<String>,
    /// The assignor.
    pub protocol: Option<String>,
    /// As the leader made it.
    pub assignment: Bytes,
}

/// Why a group refuses.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum GroupError {
    /// No name, or one that does not fit into a record.
    #[error("'{0}' is no group id")]
    InvalidGroupId(String),
    /// A text is too long for a record.
    #[error("{0} is too long")]
    TooLong(&'static str),
    /// Not between `group.min.session.timeout.ms` and `group.max.session.timeout.ms`.
    #[error("the session timeout has to be between {min_ms} and {max_ms} ms")]
    SessionTimeout {
        /// The least.
        min_ms: u128,
        /// The greatest.
        max_ms: u128,
    },
    /// Its assignors, or their kind, are not the other members'.
    #[error("the other members have no assignor in common with it")]
    InconsistentProtocol,
    /// Nobody of that id is in the group.
    #[error("the group has no such member")]
    UnknownMember,
    /// It has to join again with this id (KIP-394).
    #[error("join again as '{0}'")]
    MemberIdRequired(String),
    /// Another process has joined under the same instance id.
    #[error("another member has taken over the instance id")]
    FencedInstance,
    /// It speaks of a generation that is over, or to come.
    #[error("generation {found}, the group is at {expected}")]
    Generation {
        /// The group's.
        expected: i32,
        /// The member's.
        found: i32,
    },
    /// The members have to join again.
    #[error("the group is rebalancing")]
    Rebalancing,
    /// `group.max.size`.
    #[error("the group has {0} members, which is as many as it may have")]
    Full(usize),
    /// `group.member.metadata.max.bytes`.
    #[error("{found} bytes about one member, the most is {max}")]
    MemberTooLarge {
        /// What it says of itself.
        found: usize,
        /// What it may.
        max: usize,
    },
    /// `group.metadata.max.bytes`.
    #[error("{0} bytes about the group's members are the most")]
    GroupTooLarge(usize),
    /// `group.metadata.max.bytes`, of what the leader assigns.
    #[error("{found} bytes of assignments, the most is {max}")]
    AssignmentsTooLarge {
        /// What it assigns.
        found: usize,
        /// What it may.
        max: usize,
    },
    /// Too many groups.
    #[error("there are {0} groups, which is as many as there may be")]
    TooManyGroups(usize),
    /// There is no such group.
    #[error("there is no such group")]
    NoSuchGroup,
    /// A group with members cannot be deleted.
    #[error("the group has members")]
    NotEmpty,
    /// The offsets of what is being read cannot be deleted.
    #[error("a member has subscribed to the topic")]
    Subscribed,
    /// `offset.metadata.max.bytes`.
    #[error("the metadata of offset {0} is too long")]
    MetadataTooLong(Offset),
}
