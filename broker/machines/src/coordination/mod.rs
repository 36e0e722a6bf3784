//! The tree of znodes: ZooKeeper's data model as a state machine.
//!
//! A znode is a small file that may also be a directory. It has data, children, and a [`Stat`] that
//! counts its changes. Brokers, topics and settings are znodes at Kafka's classic paths, and a
//! client that wants to know when one changes leaves a [mod@watch] there.
//!
//! ```text
//!  /                        command ─▶ decide: a draft over the tree    log: __coordination
//!  ├─ zookeeper                        checks each operation  ─────────▶ offset 41: create …
//!  └─ brokers                          and notes what it would           offset 42: setData …
//!     ├─ ids                           change                            offset 43: error -110
//!     │  └─ 1  {"host":…}                                                        │
//!     └─ topics             tree ◀── replay: changes the tree ◀──────────────────┘
//!        └─ flights              └─▶ fires watches
//! ```
//!
//! What is logged is the *validated* transaction ([`txn`]): the path with its sequence number, the
//! version that results. Replay has nothing left to decide, so it cannot decide differently. The
//! **zxid**, the number of a change, is the offset of its record; a write that fails takes a record
//! and a zxid too, as in ZooKeeper.
//!
//! Invariants:
//! - the state changes only in `replay`, and replaying the log rebuilds the live state;
//! - the answer that a draft promises is the state after replay;
//! - a multi happens as a whole or not at all, under one zxid;
//! - a watch fires at most once, and after it the change is visible.
//!
//! Left out until they are needed: sessions and ephemeral znodes (the field for the owner is
//! there), access control (every znode is open to all, and is logged so), container and TTL znodes,
//! persistent watches, snapshots, ZooKeeper's wire protocol.

mod command;

mod machine;

mod draft;

mod stat;
mod tree;
pub mod txn;
pub mod watch;

mod error;
mod path;

#[cfg(test)]
mod tests;

pub use command::{
    Answer, Children, Data, Exists, Forget, GetChildren, GetData, Multi, MultiError, OpResult,
    Operation, SetData,
};
pub use error::ErrorCode;
pub use machine::Coordination;
pub use stat::Stat;
pub use watch::{WatchEvent, WatchKind, WatcherId};

/// The most bytes of data that a znode may hold; ZooKeeper's `jute.maxbuffer`.
pub const DATA_BYTES_MAX: usize = 0xf_ffff;
/// Any version will do.
pub const ANY_VERSION: i32 = -1;
