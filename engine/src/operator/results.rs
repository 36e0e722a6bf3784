//! The results of a window operator: finals, updates and late records.

use std::time::Duration;

use brooklet_protocol::Timestamp;
use serde::{Deserialize, Serialize};

use super::rule::between;
use crate::window::Window;

/// The result of one key in one window: emitted exactly once, in the step that closes the window.
///
/// Finals of one task come in order of (closing time, window start, key bytes).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Final<K, T> {
    /// The key.
    pub key: K,
    /// The window.
    pub window: Window,
    /// The result.
    pub value: T,
    /// The highest event time among the records that contributed; the event time of this result.
    #[serde(with = "crate::time::as_millis")]
    pub timestamp: Timestamp,
    /// The stream time that closed the window; [`Timestamp::MAX`] if it was the end of the input.
    #[serde(with = "crate::time::as_millis")]
    pub stream_time: Timestamp,
}

/// The result so far of one key in one open window: emitted for every record that changes it.
///
/// Sessions merge. Before the result of the merged session come the retractions of those that it
/// replaces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Update<K, T> {
    /// The key.
    pub key: K,
    /// The window.
    pub window: Window,
    /// The result so far; `None` retracts what was emitted for this window, which is now part
    /// of another.
    pub value: Option<T>,
    /// The highest event time among the records so far; the event time of this result.
    #[serde(with = "crate::time::as_millis")]
    pub timestamp: Timestamp,
    /// The stream time.
    #[serde(with = "crate::time::as_millis")]
    pub stream_time: Timestamp,
}

/// A record that came too late for one of its windows: one such item per (record, window).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Late<K, V> {
    /// The key.
    pub key: K,
    /// The record.
    pub value: V,
    /// The record's event time.
    #[serde(with = "crate::time::as_millis")]
    pub timestamp: Timestamp,
    /// The window that was closed to it.
    pub window: Window,
    /// The stream time at which the window closed: its end plus the grace; for a session, its gap
    /// as well.
    #[serde(with = "crate::time::as_millis")]
    pub close_at: Timestamp,
    /// The stream time when the record came; at or past `close_at`.
    #[serde(with = "crate::time::as_millis")]
    pub stream_time: Timestamp,
}

impl<K, V> Late<K, V> {
    /// How far stream time was past the window's closing. With a grace that is longer by more than
    /// this, the record would have been in time.
    pub fn late_by(&self) -> Duration {
        between(self.close_at, self.stream_time)
    }

    /// How far the record's event time was behind stream time.
    pub fn behind(&self) -> Duration {
        between(self.timestamp, self.stream_time)
    }

    /// Why it was left out, in words.
    pub fn reason(&self) -> String {
        format!(
            "window {} closed at stream time {}; this record came at stream time {}, {:?} later",
            self.window,
            self.close_at,
            self.stream_time,
            self.late_by()
        )
    }
}
