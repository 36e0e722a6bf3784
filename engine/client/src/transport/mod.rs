//! How requests reach a broker.
//!
//! Producer, consumer and admin are written once, over [`Transport`]; where the broker is, is
//! decided here and nowhere else:
//!
//! ```text
//!                       ┌─ Embedded: a function call into the broker of this process
//!  client ─▶ Transport ─┤
//!                       └─ Tcp: frames over sockets, to Brooklet or to Apache Kafka
//! ```
//!
//! Invariants:
//! - both answer alike: the same request gets the same answer, whichever way it went, in all fields
//!   that the version spoken has;
//! - a request's version is a wish. [`versions`] lowers it to what the broker serves and what we
//!   can encode; the caller fills in the fields of every version it can live with;
//! - an answer with an error code is an answer. [`TransportError`] means that none came, and then
//!   nobody knows whether the request was carried out.
//!
//! Left out: TLS and SASL.

pub mod versions;

mod address;
mod connection;
pub mod tcp;

#[cfg(feature = "embedded")]
pub mod embedded;

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;

use brooklet_protocol::BrokerId;
use brooklet_protocol::messages::{Request, RequestKind, Response};
use thiserror::Error;

pub(crate) use address::join as join_address;
#[cfg(feature = "embedded")]
pub use embedded::Embedded;
pub use tcp::{Tcp, TcpConfig};

/// A boxed future, so that transports can be swapped at run time.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The broker that a request goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Node {
    /// Any broker: before metadata is known, and for what any broker can answer.
    Any,
    /// The broker with this id.
    Id(BrokerId),
}

/// Why no answer came. A response with an error code is an answer.
#[derive(Debug, Error)]
pub enum TransportError {
    /// No connection.
    #[error("cannot connect to {address}: {source}")]
    Connect {
        /// The broker's address.
        address: String,
        /// The reason.
        source: std::io::Error,
    },
    /// The connection broke; whether the request was carried out is unknown.
    #[error("the connection to {address} broke: {reason}")]
    Broken {
        /// The broker's address.
        address: String,
        /// The reason.
        reason: String,
    },
    /// The broker does not serve this API, or no version that we speak.
    #[error("the broker at {address} does not serve {api}")]
    Unsupported {
        /// The broker's address.
        address: String,
        /// The API's name.
        api: String,
    },
    /// No answer in time.
    #[error("no answer from {address} within {timeout_ms} ms")]
    TimedOut {
        /// The broker's address.
        address: String,
        /// The limit.
        timeout_ms: u64,
    },
    /// A field is set that the version spoken does not have.
    #[error("the request cannot be encoded: {0}")]
    Unencodable(String),
}

/// Carries a request to a broker and its answer back. Embedded and TCP give the same answers.
pub trait Transport: Debug + Send + Sync + 'static {
    /// Sends `request` and waits for the answer. `request.version` is a wish: the transport lowers
    /// it to what the broker serves. A Produce with `acks=0`, which Kafka leaves unanswered, gets
    /// an empty answer as soon as it is written. The future may be dropped at any time; whether
    /// the request was carried out is then unknown.
    fn call(&self, node: Node, request: Request)
    -> BoxFuture<'_, Result<Response, TransportError>>;
    /// Learns where brokers listen, from metadata.
    fn learn(&self, brokers: &[(BrokerId, String)]);
}

/// Kafka sends no answer to a Produce with `acks=0`; transports make up an empty one.
fn is_unanswered(request: &RequestKind) -> bool {
    matches!(request, RequestKind::Produce(produce) if produce.acks == 0)
}
