//! A broker in one process: a log-structured segment store that speaks the Kafka protocol.
//!
//! Skeleton of the house; a module uses only what stands to its right:
//! broker ▶ server ▶ api ▶ controller ▶ driver ▶ partition ▶ log ▶ vfs, and beside them the pure
//! column (coordination), without I/O, clock or tokio.

pub mod api;
pub mod broker;
pub mod clock;
pub mod controller;
pub mod coordination;
pub mod driver;
pub mod log;
pub mod partition;
pub mod server;
pub mod vfs;

pub use broker::{Broker, BrokerConfig, StartError, Storage};
