//! Skeleton: how requests reach a broker.

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;

use brooklet_protocol::BrokerId;
use brooklet_protocol::messages::{Request, Response};
use thiserror::Error;

/// A boxed future, so that transports can be swapped at run time.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// To whom a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Node {
    /// Any broker: before metadata is known, and for what any broker can answer.
    Any,
    /// That one.
    Id(BrokerId),
}

/// Why no answer came. Answers with an error code are answers.
#[derive(Debug, Error)]
pub enum TransportError {
    /// No connection.
    #[error("cannot connect to {address}: {source}")]
    Connect {
        /// Where to.
        address: String,
        /// Why not.
        source: std::io::Error,
    },
    /// The connection broke; whether the request was carried out is unknown.
    #[error("the connection to {address} broke: {reason}")]
    Broken {
        /// Where to.
        address: String,
        /// In words.
        reason: String,
    },
    /// The broker does not serve this API, or no version that we speak.
    #[error("the broker at {address} does not serve {api}")]
    Unsupported {
        /// Where to.
        address: String,
        /// The API's name.
        api: String,
    },
    /// No answer in time.
    #[error("no answer from {address} within {timeout_ms} ms")]
    TimedOut {
        /// Where to.
        address: String,
        /// The limit.
        timeout_ms: u64,
    },
}

/// Carries a request to a broker and its answer back. Embedded and TCP give the same answers.
pub trait Transport: Debug + Send + Sync + 'static {
    /// Sends `request` and waits for the answer. `request.version` is a wish: the transport lowers it to what the broker serves.
    fn call(&self, node: Node, request: Request)
    -> BoxFuture<'_, Result<Response, TransportError>>;
    /// Learns where brokers listen, from metadata.
    fn learn(&self, brokers: &[(BrokerId, String)]);
}
