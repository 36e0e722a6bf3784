//! Skeleton: the assembled broker.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use brooklet_protocol::messages::{Request, Response};
use thiserror::Error;

use crate::controller::Controller;

/// Where the data lives.
#[derive(Clone, Debug)]
pub enum Storage {
    /// In this directory; kept.
    Directory(PathBuf),
    /// In a temporary directory, never synced, removed at shutdown.
    Ephemeral,
}

/// What a broker is started with.
#[derive(Clone, Debug)]
pub struct BrokerConfig {
    /// Where the data lives.
    pub storage: Storage,
    /// Where Kafka clients connect, as `HOST:PORT`; port 0 picks a free one. `None` listens nowhere.
    pub kafka: Option<String>,
    /// `num.partitions` (1).
    pub num_partitions: i32,
    /// `auto.create.topics.enable` (true).
    pub auto_create_topics: bool,
    /// `message.max.bytes` (1048588).
    pub message_max_bytes: usize,
    /// `socket.request.max.bytes` (104857600).
    pub socket_request_max_bytes: usize,
}

/// Why a broker does not start. Messages end with the next step.
#[derive(Debug, Error)]
pub enum StartError {
    /// The address is taken or not ours.
    #[error("cannot bind {address}: {source}")]
    Bind {
        /// Asked for.
        address: String,
        /// Why not.
        source: std::io::Error,
    },
}

/// A running broker. Cheap to clone; in-process callers use [`Broker::call`].
#[derive(Clone, Debug)]
pub struct Broker {}

impl Broker {
    /// Opens the data, recovers what a crash has left, and listens.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(config: BrokerConfig) -> Result<Self, StartError> {
        let _ = config;
        todo!()
    }
    /// The one door: what a socket would bring, without the socket.
    pub async fn call(&self, request: Request) -> Response {
        let _ = request;
        todo!()
    }
    /// Where Kafka clients connect, with the port that was picked.
    pub fn kafka_address(&self) -> Option<SocketAddr> {
        todo!()
    }
    /// The controller, for whoever looks inside.
    pub fn controller(&self) -> &Arc<Controller> {
        todo!()
    }
    /// Stops listening, lets running requests end, syncs, marks the shutdown as clean.
    ///
    /// # Errors
    /// What could not be synced or written.
    pub async fn shutdown(&self) -> Result<(), crate::log::LogError> {
        todo!()
    }
}
