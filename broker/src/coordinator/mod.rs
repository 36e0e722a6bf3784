//! Who runs the groups and the transactions: one driver for each partition of their topics.
//!
//! ```text
//!  group id ─▶ hash ─▶ __consumer_offsets-P ──▶ Driver<Groups> ───────▶ answer at once
//!                                                     └─▶ told: JoinGroup, SyncGroup ─▶ the waiter
//!
//!  transactional id ─▶ hash ─▶ __transaction_state-P ─▶ Driver<Transactions> ─▶ answer at once
//!                                                     └─▶ marking ─▶ markers to all its partitions,
//!                                                         to __consumer_offsets by way of the groups
//! ```
//!
//! `shards` has what the two have in common. A topic is created when somebody first looks for a
//! coordinator, and a partition's log is replayed when somebody first asks for one of its ids; those of
//! transactions that were left open or half ended, at the broker's start. Until then the groups of a
//! stopped broker do not age: their members' sessions begin when they are loaded.

use std::sync::Arc;

use brooklet_log::clock::Clock;
use thiserror::Error;
use tokio::sync::watch;

use crate::controller::{Controller, ControllerError};
use crate::driver::DriverError;

mod groups;
mod marking;
mod shards;
mod transactions;

pub use groups::{GroupCoordinator, OFFSETS_TOPIC};
pub use transactions::{TRANSACTIONS_TOPIC, TransactionCoordinator};

/// Why a coordinator does not answer.
#[derive(Debug, Error)]
pub enum CoordinatorError {
    /// Its topic cannot be created.
    #[error(transparent)]
    Controller(#[from] ControllerError),
    /// The log of its partition.
    #[error(transparent)]
    Driver(#[from] DriverError),
    /// Its partition is offline.
    #[error("{0}-{1} is offline")]
    Offline(&'static str, i32),
    /// The broker shuts down.
    #[error("the broker is shutting down")]
    Stopped,
}

/// What coordinators are started with.
#[derive(Clone, Debug)]
pub struct CoordinatorSetup {
    /// The topics.
    pub controller: Arc<Controller>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Whether anything is synced; false for an ephemeral broker.
    pub sync: bool,
    /// Partitions of the coordinator's topic, when it is made.
    pub partition_count: i32,
    /// Turns true when the broker shuts down.
    pub shutdown: watch::Receiver<bool>,
}
