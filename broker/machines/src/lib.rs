//! The state machines behind the broker: pure tables, each made from its own log.
//!
//! ```text
//!  machine        the trait: a command in; records, an answer and effects out
//!     ├─ coordination   the tree of znodes       log: __coordination
//!     ├─ group          consumer groups          log: __consumer_offsets, a machine per partition
//!     └─ transaction    transactional ids        log: __transaction_state, a machine per partition
//! ```
//!
//! There is no I/O here, no clock, no randomness and no async code, and nothing that could bring them: the
//! crate depends on the protocol and on no runtime. What time it is, where the log ends and what was
//! drawn by chance comes in with each command. So a test plays a day of heartbeats in a millisecond,
//! and the same log always gives the same state.
//!
//! What runs them (appends, replays, syncs, delivers and answers) is the broker's `driver`.
#![forbid(unsafe_code)]

mod log_record;
mod machine;

pub mod coordination;
pub mod group;
pub mod transaction;

#[cfg(test)]
mod scripts;

pub use log_record::{LogRecord, Standing};
pub use machine::{Decision, Moment, StateMachine};
