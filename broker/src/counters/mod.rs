//! What the broker counts while it works, for its metrics.
//!
//! ```text
//!  server, api ──add, relaxed──▶ Counters ◀──read──  Broker::metrics ─▶ /metrics
//! ```
//!
//! A number is an atomic that is increased where the event happens, without a lock and without an
//! order between numbers: two that are read together may differ by what happened in between. A
//! [`Counter`] never goes back while the broker runs; a [`Gauge`] follows what there is now.
//!
//! Per partition there is a [`Traffic`] in the partition itself, so that producers of different
//! partitions do not share a cache line; the broker's own outlives topics that are deleted.

use std::sync::atomic::{AtomicU64, Ordering};

mod limits;
mod requests;
mod traffic;

pub use limits::{LIMITS, Limit, LimitInfo};
pub use requests::{ApiRequests, BUCKETS, Requests};
pub use traffic::{Traffic, TrafficCount};

/// A number that grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Counts `count` more.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// How many there were.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that goes up and down.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    /// There are `count` more.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// `count` of those that were added are gone.
    pub fn sub(&self, count: u64) {
        self.0.fetch_sub(count, Ordering::Relaxed);
    }

    /// How many are there.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// All that is counted for the broker as a whole.
#[derive(Debug, Default)]
pub struct Counters {
    /// Connections that are open now.
    pub connections: Gauge,
    /// Connections that were accepted.
    pub connections_accepted: Counter,
    /// Bytes that came through sockets.
    pub received_bytes: Counter,
    /// Bytes that were sent through sockets.
    pub sent_bytes: Counter,
    /// Bytes of requests that are being read or answered, beyond what each connection has of its
    /// own.
    pub queued_request_bytes: Gauge,
    /// Frames that were not a valid request: their connections were closed.
    pub malformed_requests: Counter,
    /// What clients have produced and fetched.
    pub traffic: Traffic,
    /// Requests by API.
    pub requests: Requests,
    rejections: [Counter; LIMITS.len()],
}

impl Counters {
    /// A client has exceeded a limit.
    pub fn rejected(&self, limit: Limit) {
        self.rejections[limit as usize].add(1);
    }

    /// How often clients have exceeded a limit.
    pub fn rejections(&self, limit: Limit) -> u64 {
        self.rejections[limit as usize].get()
    }
}
