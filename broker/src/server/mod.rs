//! Listeners: the door for clients that come over TCP, whatever protocol they speak.
//!
//! ```text
//!  accept ─▶ too many? shed ─▶ a task for each connection
//!
//!             ┌──────────────────────────────────────────────────────────────┐
//!             ▼                                                              │
//!    read ─▶ take a request ─▶ answer it ─▶ give memory back ─▶ write the answer
//!                  │               │
//!                  └──── Serve ────┘   frames, decoding, dispatch: the protocol's part
//! ```
//!
//! Two halves meet at the traits in `serve`:
//!
//! - *Neutral*: accepting, admission, memory, deadlines, slow clients, notices, shutdown. Written
//!   once (`listener`, `admission`, `connection`, `client`, `memory`) and without any
//!   knowledge of what the bytes mean.
//! - *The protocol*: where a request ends, what it means, and how its answer is encoded. `kafka`
//!   is one; a line-by-line echo in the tests is another, and proves that the neutral half is
//!   neutral.
//!
//! One request of a connection is handled at a time, so answers leave in the order of the requests;
//! a client that pipelines has its next requests waiting in the socket.
//!
//! Invariants:
//! - memory per connection is bounded: the buffer of a request grows as its bytes arrive, never by
//!   the length it claims, up to `socket.request.max.bytes`; an answer is written before the next
//!   one is made;
//! - so is the memory of all requests together (`queued.max.request.bytes`): a slow client holds
//!   only what it has sent, and only while no other client waits for memory (`memory`);
//! - connections that ask for nothing keep nobody out (`admission`);
//! - a client that is misconfigured, or at the wrong port, leaves a line in the log that names the
//!   client and the fix (`kafka::mistakes`), once a minute (`notices`);
//! - what a client sends can close its own connection and no other, not even through a bug: a panic
//!   ends one task;
//! - a connection that makes no progress is closed: after 10 minutes without a request, 30 seconds
//!   within one, or 30 seconds in which the client reads nothing of an answer; TCP keep-alive finds
//!   clients that vanished without a word.
//!
//! Left out: TLS and SASL, quotas; messages that answer no request, such as ZooKeeper's watch
//! events.

use std::net::IpAddr;
use std::time::Duration;

pub(crate) mod serve;

mod listener;

mod admission;

mod connection;

mod client;
mod memory;
mod output;
mod pace;

mod notices;
mod strangers;

pub(crate) mod kafka;

#[cfg(test)]
mod tests;

pub(crate) use listener::is_out_of_files;
pub use listener::{Server, bind};
pub use notices::Notices;

/// The bounds of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `socket.request.max.bytes`.
    pub request_bytes_max: usize,
    /// `max.connections`.
    pub connections_max: usize,
    /// `max.connections.per.ip`; `None` is the default, which does not apply to loopback.
    pub connections_per_address_max: Option<usize>,
    /// `connections.max.idle.ms`: a connection is closed after this time without a request.
    pub idle_max: Duration,
    /// `request.read.max.ms`: the time from a request's first byte to its last.
    pub request_read_max: Duration,
    /// `response.stall.max.ms`: a client that reads nothing of its answer for this time is cut off.
    pub response_stall_max: Duration,
    /// `queued.max.request.bytes`: of all requests that are being read or answered.
    pub queued_request_bytes_max: usize,
}

impl Limits {
    /// The default of `max.connections.per.ip`, for other machines only.
    pub const CONNECTIONS_PER_ADDRESS_MAX_DEFAULT: usize = 256;

    /// How many connections `address` may have, if that is limited.
    fn connections_of(&self, address: IpAddr) -> Option<usize> {
        let default = Self::CONNECTIONS_PER_ADDRESS_MAX_DEFAULT;
        let default = (!address.is_loopback()).then_some(default);
        self.connections_per_address_max.or(default)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            request_bytes_max: 100 << 20,
            connections_max: 8192,
            connections_per_address_max: None,
            idle_max: Duration::from_secs(600),
            request_read_max: Duration::from_secs(30),
            response_stall_max: Duration::from_secs(30),
            queued_request_bytes_max: 256 << 20,
        }
    }
}
