//! A broker in one process: a log-structured segment store that speaks the Kafka protocol.
//!
//! A module uses only what stands to its right:
//!
//! ```text
//!  broker ─▶ server ─▶ api ─▶ coordinator ─▶ controller ─▶ tree ─▶ driver ─▶ partition
//!                                                                    │           │
//!                                                       brooklet-machines    brooklet-log
//! ```
//!
//! [`Broker::call`] is the only entrance: sockets and the embedded engine bring it the same typed
//! Kafka requests. Time comes from a [`brooklet_log::clock::Clock`], files from a
//! [`brooklet_log::vfs::Vfs`]; what happens is counted in [`counters`], and what is wrong with the
//! broker as a whole is kept in [`health`]; any module may use both.

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
    GroupSnapshot, LimitSnapshot, LogSnapshot, PartitionSnapshot, Snapshot, SocketsSnapshot,
    TopicSnapshot, Unready,
};

/// A boxed future: what every door of this crate that waits returns, so that what is behind it is
/// compiled here once, and not again in each crate that awaits it.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
