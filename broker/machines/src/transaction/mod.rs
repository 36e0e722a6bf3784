//! Transactions: records in many partitions, and offsets of groups, that count all or not at all
//! (KIP-98).
//!
//! A producer with a transactional id has a coordinator, which keeps what it knows of that id in
//! one partition of `__transaction_state`. Each such partition is one [`Transactions`], a state
//! machine that a driver runs on it; each record there holds all that is known of one id.
//!
//! ```text
//!                AddPartitionsToTxn            EndTxn            markers are everywhere
//!     Empty ───────────────────────▶ Ongoing ────────▶ PrepareCommit ───────▶ CompleteCommit
//!       ▲                             ▲    └─────────▶ PrepareAbort ────────▶ CompleteAbort
//!       │                             │     EndTxn, a timeout,                   │  │
//!       │                             │     a new incarnation                    │  │
//!       │                             └────────── AddPartitionsToTxn ────────────┘  │
//!       └───────────────────────────────── InitProducerId ──────────────────────────┘
//! ```
//!
//! Once an end is prepared it is decided: the markers go to the partitions, as often as it takes,
//! also after a restart, and then the transaction is complete.
//!
//! A producer's epoch distinguishes its incarnations. InitProducerId raises it, and so does an
//! abort that the producer did not ask for: every earlier incarnation is fenced. With version 2
//! (KIP-890) each end raises it, so that what a producer sent too late never falls into the next
//! transaction. When the epochs are used up, the id gets another producer id.
//!
//! Invariants: hard state changes only in replay; at most one transaction of an id is open or ends
//! at a time; a decided outcome never changes; a partition gets a marker only if it was added.
//!
//! Left out: two-phase commit by others (KIP-939).

mod command;

mod machine;

mod state;

mod init;

mod end;

pub mod record;

#[cfg(test)]
mod tests;

pub use command::{
    AddPartitions, Begun, End, EndTransaction, Init, InitProducer, Marked, MarkerJob,
    TransactionConfig, TransactionError,
};
pub use machine::Transactions;
pub use state::{Status, Transaction};
