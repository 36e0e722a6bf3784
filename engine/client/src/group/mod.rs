//! Consumer groups: members that share the partitions of topics among themselves.
//!
//! The coordinator, a broker, keeps the list of members and does not know about partitions. It
//! makes one member the leader, and passes on what the members send to one another:
//!
//! ```text
//!  JoinGroup   every member ──subscription──▶ coordinator ──all of them──▶ leader
//!                                                              │ assignor: who reads what
//!  SyncGroup   every member ◀──its assignment── coordinator ◀──┘
//!  Heartbeat   every 3 s; the answer says when it is time to join again
//! ```
//!
//! How the modules fit together; only the driver and the consumer wait for anything:
//!
//! ```text
//!  GroupConsumer (consumer) ──polled, acknowledged──▶ Membership ◀── what came of it ── driver ──▶ broker
//!                           ◀──────── events ──────── (membership)──── what to do ────▶
//!                                                       └─▶ assignor, protocol
//! ```

pub(super) mod membership;
pub(super) mod protocol;

pub(super) mod assignor;

mod driver;

mod consumer;

pub use assignor::Assignor;
pub use consumer::{Commit, GroupConsumer, Polled};
pub use membership::GroupEvent;
