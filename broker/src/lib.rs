//! A broker in one process: a log-structured store that speaks the Kafka protocol.
//!
//! A module uses only what stands to its right; the crates it rests on are below:
//!
//! ```text
//!  broker ─▶ server ─▶ api ─▶ coordinator ─▶ controller ─▶ tree ─▶ driver ─▶ partition
//!    │                                                       │           │
//!    │                        counters, health: used by all  │           │
//!    ▼                                                       ▼           ▼
//!  brooklet-protocol: frames, messages, batches   brooklet-machines   brooklet-log
//!                                                 groups, transactions,  segments, files,
//!                                                 znodes: pure           clock
//! ```
//!
//! | module | owns |
//! |---|---|
//! | [`broker`] | the start and the end; settings, the data directory, background tasks |
//! | [`server`] | listeners and connections, whatever their protocol |
//! | [`api`] | one file for each Kafka API |
//! | [`coordinator`] | groups and transactions, each on its log |
//! | [`controller`] | topics, and the image of them that is made from the tree |
//! | [`tree`] | the coordination tree on its log, and the watches on it |
//! | [`driver`] | runs a state machine on its log |
//! | [`partition`] | one log with its high watermark, and who waits for it |
//! | [`counters`], [`health`] | what happens, counted; what is wrong with the broker as a whole |
//!
//! [`Broker::call`] is the one door: sockets and the embedded engine bring the same typed Kafka
//! requests. Time comes from a [`Clock`](brooklet_log::clock::Clock), files from a
//! [`Vfs`](brooklet_log::vfs::Vfs): nothing here reads the wall clock or opens a file by itself.

use std::future::Future;
use std::pin::Pin;

pub mod broker;

pub mod server;

pub mod api;

pub mod coordinator;

pub mod controller;

pub mod tree;

pub mod driver;

pub mod partition;

pub mod counters;
pub mod health;

pub use broker::{Applied, Broker, BrokerConfig, Environment, SettingError, StartError, Storage};
pub use broker::{
    BrokerMetrics, GroupMetrics, LimitMetrics, LogMetrics, PartitionMetrics, SocketMetrics,
    TopicMetrics, Unready,
};

/// A boxed future. Every public function of this crate that waits returns one, so that its body is
/// compiled here once, and not again in each crate that awaits it.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
