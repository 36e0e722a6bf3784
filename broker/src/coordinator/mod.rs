//! The coordinators of groups and of transactions: a driver for each partition of their topics.
//!
//! ```text
//!  group id ─▶ hash ─▶ __consumer_offsets-P ──▶ Driver<Groups> ───────▶ answer at once
//!                                                     └─▶ completions: JoinGroup, SyncGroup ─▶ the waiter
//!
//!  transactional id ─▶ hash ─▶ __transaction_state-P ─▶ Driver<Transactions> ─▶ answer at once
//!                                                     └─▶ marker job ─▶ markers to all its partitions,
//!                                                         to __consumer_offsets by way of the groups
//! ```
//!
//! `shards` has what the two have in common. A topic is created when a client first looks for a
//! coordinator, and a partition's log is replayed when a client first needs one of its ids; the
//! partitions of transactions are all replayed at the broker's start, since some may have been left
//! open or half ended. Until it is loaded, a group does not age: the sessions of its members begin
//! then.

use std::sync::Arc;

use brooklet_log::clock::Clock;
use thiserror::Error;
use tokio::sync::watch;

use crate::controller::{Controller, ControllerError};
use crate::driver::DriverError;

mod shards;

mod groups;

mod transactions;

mod marking;

pub use groups::{GroupCoordinator, OFFSETS_TOPIC};
pub use transactions::{TRANSACTIONS_TOPIC, TransactionCoordinator};

/// Why a coordinator cannot answer.
#[derive(Debug, Error)]
pub enum CoordinatorError {
    /// Its topic cannot be created.
    #[error(transparent)]
    Controller(#[from] ControllerError),
    /// The log of its partition fails.
    #[error(transparent)]
    Driver(#[from] DriverError),
    /// Its partition is offline.
    #[error("partition {0}-{1} is offline")]
    Offline(&'static str, i32),
    /// The broker is shutting down.
    #[error("the broker is shutting down")]
    Stopped,
}

/// The surroundings of a coordinator.
#[derive(Clone, Debug)]
pub struct CoordinatorSetup {
    /// Creates and finds the topics.
    pub controller: Arc<Controller>,
    /// Stamps records and wakes machines at their deadlines.
    pub clock: Arc<dyn Clock>,
    /// Whether anything is synced; false for an ephemeral broker.
    pub sync: bool,
    /// How many partitions the coordinator's topic gets when it is created.
    pub partition_count: i32,
    /// Turns true when the broker shuts down.
    pub shutdown: watch::Receiver<bool>,
}
