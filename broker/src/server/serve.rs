//! What a protocol has to say to be served, and nothing more.
//!
//! A listener knows one [`Protocol`]. For each connection that it admits it asks the protocol for a
//! [`Serve`], which then sees every request of that connection, one after the other:
//!
//! ```text
//!  Protocol::connected(address) ─▶ Serve
//!
//!    claimed_length(input)   how much to read; asked until there is a request
//!    take_request(client)    Ok(None): not all there yet
//!                            Ok(Some(request)): these bytes are one request, take them away
//!                            Err(close): no request can come of this
//!    answer(request, …)      the answer's bytes go to `output`; nothing there means no answer
//! ```
//!
//! The listener's half of the bargain:
//! - it calls these in the order above, for one request at a time, and writes what is in the output
//!   before it takes the next request;
//! - it counts the bytes of the input against the memory of all requests, and keeps the deadlines;
//! - it never drops [`Serve::answer`] halfway, except when the broker is still busy five seconds
//!   after its shutdown began.
//!
//! The protocol's half:
//! - `claimed_length` is only a claim of the client: it must not be believed beyond the limit,
//!   which `take_request` checks ([`Limits::request_bytes_max`](super::Limits));
//! - `take_request` takes no more than one request and does not wait;
//! - `answer` may wait for as long as the request asks for; where the work can be dropped it waits
//!   in [`Client::while_connected`], so that a client that hangs up ends it;
//! - an error closes the connection. Its text goes to the debug log; what the client's owner has to
//!   change is said with [`Client::warn`].
//!
//! The methods return plain futures that are compiled for each protocol: nothing is boxed for a
//! request.

use std::fmt::Display;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use brooklet_log::clock::Clock;
use bytes::Bytes;
use tokio::sync::watch;

pub(crate) use super::client::Client;
pub(crate) use super::output::Output;
use crate::counters::Counters;

/// A protocol, as one listener speaks it.
pub(crate) trait Protocol: Send + Sync + 'static {
    /// What serves one connection.
    type Serve: Serve;

    /// A client has connected and was admitted.
    fn connected(&self, client: SocketAddr) -> Self::Serve;

    /// Closes files that are not in use, because the process has no descriptors left; returns how
    /// many.
    fn close_idle_files(&self) -> usize;
}

/// The protocol's half of one connection.
pub(crate) trait Serve: Send + 'static {
    /// The length of the first request in `input`, as far as its beginning tells it; 0 if it does
    /// not.
    fn claimed_length(&self, input: &[u8]) -> usize;

    /// Takes the first request out of the client's input, if all of it is there.
    ///
    /// # Errors
    /// What is there is not the beginning of a request.
    fn take_request(&mut self, client: &mut Client) -> Result<Option<Bytes>, Close>;

    /// Puts the answer to `request` into `output`; nothing, if the client expects none.
    ///
    /// # Errors
    /// The request ends the connection.
    fn answer(
        &mut self,
        request: Bytes,
        client: &mut Client,
        output: &mut Output,
    ) -> impl Future<Output = Result<(), Close>> + Send;
}

/// What a listener needs of the broker around it.
#[derive(Clone, Debug)]
pub(crate) struct ServerContext {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) counters: Arc<Counters>,
    /// Turns true when the broker shuts down.
    pub(crate) shutdown: watch::Receiver<bool>,
}

impl ServerContext {
    pub(crate) fn is_shutting_down(&self) -> bool {
        *self.shutdown.borrow()
    }

    /// Ready once the broker shuts down, or is gone.
    pub(crate) async fn shut_down(&self) {
        let mut shutdown = self.shutdown.clone();
        drop(shutdown.wait_for(|stop| *stop).await);
    }
}

/// Why a connection ends; logged at level debug, because clients come and go.
#[derive(Debug)]
pub(crate) struct Close(String);

impl Close {
    pub(super) fn shutdown() -> Self {
        Self::from("the broker is shutting down")
    }

    /// The reason, for the log.
    pub(super) fn reason(&self) -> &str {
        &self.0
    }
}

impl<E: Display> From<E> for Close {
    fn from(reason: E) -> Self {
        Self(reason.to_string())
    }
}
