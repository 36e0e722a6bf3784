//! Listeners and connections: the door for Kafka clients that come over TCP.
//!
//! ```text
//!  accept ─▶ too many? shed ─▶ task per connection:  read a frame ─▶ decode ─▶ dispatch ─▶ encode ─▶ write
//!                                        ▲                                                   │
//!                                        └───────────────────────────────────────────────────┘
//! ```
//!
//! One request of a connection is handled at a time, so answers leave in the order of the requests,
//! as the protocol demands; a client that pipelines has its next requests waiting in the socket.
//!
//! Invariants:
//! - memory per connection is bounded: a frame grows as its bytes arrive, never by the length it
//!   claims, up to `socket.request.max.bytes`; an answer is written before the next one is made;
//! - so is the memory of all requests together (`queued.max.request.bytes`), of which a slow client
//!   holds no more than it has sent, and that only while nobody waits for it (`memory`);
//! - connections that ask for nothing keep nobody out (`admission`);
//! - what somebody came with who is wrong here, or set up wrongly, leaves a line that names the client
//!   and the cure (`mistakes`), once a minute (`notices`);
//! - what a client sends can close its own connection and nothing else, not even by a bug: a panic
//!   ends one task;
//! - a connection that makes no progress is closed: 10 minutes without a request, 30 seconds within
//!   one, 30 seconds in which nothing of an answer is read; and one whose other end is gone without a
//!   word is found out by TCP's own probes.
//!
//! Left out: TLS and SASL, quotas.

use std::net::IpAddr;
use std::time::Duration;

mod admission;
mod connection;
mod listener;
mod memory;
mod mistakes;
mod notices;

#[cfg(test)]
mod tests;

pub use listener::{Server, bind};
pub use notices::Notices;

/// The bounds of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `socket.request.max.bytes`.
    pub request_bytes_max: usize,
    /// `max.connections`.
    pub connections_max: usize,
    /// `max.connections.per.ip`; `None` is the default, which loopback is free of.
    pub connections_per_address_max: Option<usize>,
    /// `connections.max.idle.ms`: without a request for so long, a connection is closed.
    pub idle_max: Duration,
    /// `request.read.max.ms`: a request must be there in whole so long after its first byte.
    pub request_read_max: Duration,
    /// `response.stall.max.ms`: a client that reads nothing of its answer for so long is cut off.
    pub response_stall_max: Duration,
    /// `queued.max.request.bytes`: of all requests that are being read or answered.
    pub queued_request_bytes_max: usize,
}

impl Limits {
    /// `max.connections.per.ip` of other machines, if nobody says otherwise.
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
