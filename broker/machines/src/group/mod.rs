//! Consumer groups: which member reads what, and how far each group has read.
//!
//! A group's coordinator keeps two things in `__consumer_offsets`: the assignment that the members
//! have agreed on, and the offsets that they have committed. The partition of that topic which
//! holds a group follows from the group's id, and each partition is one [`Groups`], a state machine
//! that a driver runs on it.
//!
//! ```text
//!  JoinGroup, SyncGroup, Heartbeat, LeaveGroup ─▶ machine ─▶ classic: members, generations, one leader
//!  CommitOffsets, DeleteOffsets, DeleteGroup   ─▶ commit  ─▶ offsets
//!                                                    │
//!              soft ◀── Change ── hard ◀── replay ◀──┴── record ──▶ __consumer_offsets-P
//! ```
//!
//! Invariants: hard state (offsets, the stored group) changes only in replay; an offset is answered
//! once its record is in the log; one that belongs to a transaction counts once that is committed
//! (`pending`); a member never receives an assignment that a restart would forget; texts that
//! clients send are limited to what a record holds.
//!
//! Left out: the newer protocols (KIP-848, KIP-932, KIP-1071),
//! which will be machines of their own beside `classic`.

mod command;

mod answer;

mod machine;

mod classic;

mod member;

mod commit;

mod offsets;

mod hard;

mod pending;
pub mod record;

mod soft;
mod timers;
mod validate;

mod describe;

#[cfg(test)]
mod tests;

pub use answer::{
    Completion, GroupError, JoinResult, Joined, JoinedMember, SyncResult, Synced, Waiter,
};
pub use classic::GroupState;
pub use command::{
    CommitInTransaction, CommitOffsets, DeleteGroup, DeleteOffsets, EndTransaction, ForgetTopics,
    GroupConfig, Heartbeat, Identity, JoinGroup, LeaveGroup, NewOffset, OffsetResults, Outcomes,
    SyncGroup, TxnCommitted,
};
pub use describe::{DescribedGroup, DescribedMember, ListedGroup};
pub use hard::Offsets;
pub use machine::Groups;
