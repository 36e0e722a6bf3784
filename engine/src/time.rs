//! Spans of time in the words of a window: `hours(1)`, `minutes(45)`.
//!
//! A moment is a [`Timestamp`], in milliseconds since the Unix epoch; a span is a
//! [`std::time::Duration`]. Neither is ever a bare number, and the engine reads no clock: time is
//! what the records say.

use std::time::Duration;

pub use brooklet_protocol::Timestamp;

/// `count` milliseconds.
pub const fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// `count` seconds.
pub const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// `count` minutes.
pub const fn minutes(count: u64) -> Duration {
    Duration::from_secs(count.saturating_mul(60))
}

/// `count` hours.
pub const fn hours(count: u64) -> Duration {
    Duration::from_secs(count.saturating_mul(3600))
}

/// Writes a [`Timestamp`] as its number of milliseconds; for `#[serde(with = …)]`.
pub(crate) mod as_millis {
    use super::Timestamp;
    use serde::{Deserialize, Deserializer, Serializer};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
    pub(crate) fn serialize<S: Serializer>(time: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_i64(time.0)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
        i64::deserialize(from).map(Timestamp)
    }
}
