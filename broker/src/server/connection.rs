//! One connection: requests in, answers out, in order.
//!
//! ```text
//!  silent ──first whole request──▶ heard ──▶ … ──▶ closed
//!    │                               ▲                ▲
//!    │ makes room for another        │ request, answer, request, answer, …
//!    └──────────────────────────────────────────────▶ closed
//! ```
//!
//! A connection is a loop of three steps, each of which may end it:
//!
//! 1. *Read* until the protocol finds a whole request. Until its first byte has come the client may
//!    be silent for `connections.max.idle.ms`; from then on the request has `request.read.max.ms`.
//! 2. *Answer*, which is the protocol's business and takes as long as the request asks for.
//! 3. *Write* all of the answer. The next request waits in the socket meanwhile.
//!
//! Invariants:
//! - answers leave in the order of the requests, because there is one request at a time;
//! - what a connection holds is one request, one answer, and what was read ahead of the next
//!   request;
//! - until its first whole request a connection is *silent*, and may be ended at any moment to make
//!   room for another one; a request that has begun to be answered is never cut short by that,
//!   because the permit says under its lock which of the two came first;
//! - at shutdown a request that is being answered is answered, and no other one is begun.
//!
//! A connection ends when its function returns: dropping it closes the socket and releases its
//! permit and its memory. It knows nothing of what the bytes mean; see [`Serve`].

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;

use super::admission::Permit;
use super::client::{Client, Reading};
use super::output::Output;
use super::serve::{Close, Serve};

/// A client and what serves it.
pub(super) struct Connection<S> {
    client: Client,
    serve: S,
    permit: Arc<Permit>,
    /// Whether a whole request has come.
    is_heard: bool,
    output: Output,
}

impl<S: Serve> Connection<S> {
    pub(super) fn new(client: Client, serve: S, permit: Arc<Permit>) -> Self {
        Self {
            client,
            serve,
            permit,
            is_heard: false,
            output: Output::default(),
        }
    }

    /// Serves until the client hangs up or misbehaves, or the broker shuts down.
    pub(super) async fn run(mut self) {
        let Err(close) = self.serve().await;
        let (client, reason) = (self.client.address(), close.reason());
        tracing::debug!("{client}: connection closed: {reason}");
    }

    async fn serve(&mut self) -> Result<Infallible, Close> {
        loop {
            let request = self.read_request().await?;
            let (client, output) = (&mut self.client, &mut self.output);
            self.serve.answer(request, client, output).await?;
            self.client.return_memory();
            self.client.write(&mut self.output).await?;
        }
    }

    async fn read_request(&mut self) -> Result<Bytes, Close> {
        let mut reading = Reading::begin(&self.client);
        loop {
            if self.client.context().is_shutting_down() {
                return Err(Close::shutdown());
            }
            if let Some(request) = self.serve.take_request(&mut self.client)? {
                self.hear()?;
                return Ok(request);
            }
            let claimed = self.serve.claimed_length(self.client.input());
            self.client.read(&mut reading, claimed).await?;
        }
    }

    /// A whole request has come.
    fn hear(&mut self) -> Result<(), Close> {
        if !self.is_heard && !self.permit.hear() {
            return Err(Close::from("it made room for another connection"));
        }
        self.is_heard = true;
        Ok(())
    }
}
