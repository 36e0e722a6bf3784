//! The state machines behind the broker: pure tables, each rebuilt from its own log.
//!
//! ```text
//!  machine        the traits: a command in; records, an answer and effects out
//!     ├─ coordination   the tree of znodes       log: __coordination
//!     ├─ group          consumer groups          log: __consumer_offsets, a machine per partition
//!     └─ transaction    transactional ids        log: __transaction_state, a machine per partition
//! ```
//!
//! There is no I/O here, no clock, no randomness and no async code, and nothing could bring them
//! in: the crate depends on the protocol and on no runtime. The time, the end of the log and every
//! random id come in with each command. So a test plays a day of heartbeats in a millisecond, and
//! the same log always rebuilds the same state.
//!
//! The broker's `driver` runs a machine: it appends, replays, syncs, delivers and answers.
#![forbid(unsafe_code)]

mod machine;

mod log_record;

pub mod coordination;

pub mod group;

pub mod transaction;

#[cfg(test)]
mod scripts;

pub use log_record::{LogRecord, TxnMembership};
pub use machine::{Command, Decision, Moment, Start, StateMachine, Tick};
