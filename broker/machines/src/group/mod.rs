//! Consumer groups: who reads what, and how far they have read.
//!
//! A group's coordinator keeps two things in `__consumer_offsets`: the assignment that the members
//! have agreed on, and the offsets that they have committed. The partition of that topic which holds a
//! group follows from the group's id, and each partition is one [`Groups`], a state machine that a
//! driver runs on it.
//!
//! ```text
//!  JoinGroup, SyncGroup, Heartbeat, LeaveGroup ─▶ classic   members, generations, one leader
//!  OffsetCommit, OffsetDelete, DeleteGroups    ─▶ machine   ─▶ record ─▶ __consumer_offsets-P
//! ```
//!
//! Invariants: hard state (offsets, the stored group) changes only in replay; an offset is answered once
//! its record is in the log; one that belongs to a transaction counts once that is committed (`pending`); a member is never told an assignment that a restart forgets; texts that
//! clients send are limited to what a record holds.
//!
//! Left out: the newer protocols (KIP-848, KIP-932, KIP-1071),
//! which will be machines of their own beside `classic`.

mod answer;
mod classic;
mod command;
mod describe;
mod machine;
mod member;
mod offsets;
mod pending;
pub mod record;
mod timers;

#[cfg(test)]
mod tests;

pub use answer::{GroupAnswer, GroupError, Joined, JoinedMember, Synced, Told, Waiter};
pub use classic::{GroupState, JoinGroup};
pub use command::{
    Answer, Command, CommitInTransaction, GroupConfig, Identity, NewOffset, Place, SyncGroup,
};
pub use describe::{DescribedGroup, DescribedMember, ListedGroup};
pub use machine::Groups;
