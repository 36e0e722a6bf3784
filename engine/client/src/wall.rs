//! The client's clock: the one place of the engine that reads the time of the machine.
//!
//! What has to be the same on every run (windows, stream time) never asks here. What does ask:
//! records sent without a timestamp ([`wall`]), and how long a batch lingers or a retry waits
//! ([`monotonic`]).

use std::time::{SystemTime, UNIX_EPOCH};

use brooklet_protocol::Timestamp;
use tokio::time::Instant;

/// The time of day, as stamped on records.
pub(crate) fn wall() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
    let millis = since_epoch.unwrap_or_default().as_millis();
    Timestamp(i64::try_from(millis).unwrap_or(i64::MAX))
}

/// Time that never goes back; stands still where a test has paused tokio's clock.
pub(crate) fn monotonic() -> Instant {
    Instant::now()
}
