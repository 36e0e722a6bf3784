//! Which windows a moment belongs to, and when a window closes.
//!
//! Windows of most kinds depend on time alone: they are the same for every key, and are called
//! [`Aligned`]. Such a kind is one sequence of windows, and answers where in it a moment lies:
//!
//! ```text
//!                           0    5    10   15   20   25   30
//! tumbling 10               [--------)[--------)[--------)
//! hopping 10 every 5        [--------)[--------)[--------)
//!                                [--------)[--------)
//! cumulative 10 by 5        [---)     [---)     [---)
//!                           [--------)[--------)[--------)
//! days in Europe/Berlin     [- 24 h -)[- 23 h )[- 24 h -)
//! the moment 12                         ^   hopping: first [5, 15), last [10, 20)
//! its slice                           [---)  of hopping and of cumulative windows
//! ```
//!
//! Invariants of all [`Aligned`] windows, which one suite of tests checks for every kind:
//! - windows are half-open, and none begins before the epoch, 1970-01-01T00:00Z;
//! - in the sequence ends strictly increase and starts never decrease, so the windows that contain
//!   a moment are neighbours: all from [`Aligned::first`] to [`Aligned::last`];
//! - every moment at or after the epoch is in at least one window;
//! - no edge of a window cuts a slice: each window contains all of a slice, or none of it;
//! - a window is closed iff `stream_time >= end + grace`. Since ends increase, the closed windows
//!   are the sequence up to one window.
//!
//! Numbers end at [`Timestamp::MAX`]. What would end later ends there, and the sequence ends with
//! the first window that reaches it. The end of time itself is no event time (it stands for the
//! end of the input); it counts to the last window, as a moment before the epoch counts to the
//! first.
//!
//! The windows of two more kinds are made by the data, and not by time alone: [`SessionWindows`]
//! and [`SlidingWindows`]. Here are only their numbers.
//!
//! A grace must be named: `Tumbling::of(…)` is not yet a window, only `.grace(…)` makes it one.
//!
//! ```
//! use brooklet_engine::time::{Timestamp, hours, minutes};
//! use brooklet_engine::window::{Aligned, Calendar, Cumulative};
//!
//! let so_far_today = Cumulative::of(hours(24)).step(hours(6)).grace(minutes(5));
//! let eight = Timestamp(8 * 3_600_000);
//! let ends = so_far_today.assign(eight).map(|window| window.end.0 / 3_600_000);
//! assert_eq!(ends.collect::<Vec<_>>(), [12, 18, 24]);
//!
//! let days = Calendar::days("Europe/Berlin").grace(hours(1));
//! assert_eq!(days.name(), "days in Europe/Berlin, grace 1h");
//!
//! let error = Calendar::days("Europe/Brelin").try_grace(hours(1)).unwrap_err();
//! assert!(error.to_string().ends_with("the nearest is Europe/Berlin"));
//! ```

use std::fmt;
use std::iter::successors;

use brooklet_protocol::Timestamp;
use serde::{Deserialize, Serialize};

mod time_windows;

mod cumulative;

mod calendar;
mod zone;

mod data_driven;

mod error;
mod grace;
mod millis;

#[cfg(test)]
mod laws;

pub use calendar::{Calendar, CalendarWindows};
pub use cumulative::{Cumulative, CumulativeWindows};
pub use data_driven::{SessionWindows, Sessions, Sliding, SlidingWindows};
pub use error::WindowError;
pub use grace::{SetGrace, WithoutGrace};
pub use time_windows::{Hopping, TimeWindows, Tumbling};

/// In how many windows a record may be at most.
pub const PER_RECORD_MAX: i64 = 10_000;

/// A half-open span of event time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Window {
    /// The first moment inside.
    #[serde(with = "crate::time::as_millis")]
    pub start: Timestamp,
    /// The first moment outside.
    #[serde(with = "crate::time::as_millis")]
    pub end: Timestamp,
}

impl Window {
    /// Whether the moment lies inside.
    pub fn contains(&self, time: Timestamp) -> bool {
        self.start <= time && time < self.end
    }

    /// From a start in milliseconds to an end in milliseconds.
    fn of_millis(start: i64, end: i64) -> Self {
        let (start, end) = (Timestamp(start), Timestamp(end));
        Self { start, end }
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}, {})", self.start, self.end)
    }
}

/// Windows that depend on time alone. They form one sequence, ordered by their ends: ends strictly
/// increase, starts never decrease.
///
/// To add a kind, implement the six methods in a file of its own, and let `laws.rs` check it.
pub trait Aligned: Clone + fmt::Debug + Send + 'static {
    /// Of the windows that contain the moment, the one that ends first.
    fn first(&self, time: Timestamp) -> Window;

    /// Of the windows that contain the moment, the one that ends last.
    fn last(&self, time: Timestamp) -> Window;

    /// The slice that contains the moment: a span that no edge of a window cuts. The slices follow
    /// each other without gap or overlap, and the fewer they are, the less there is to combine when
    /// a window closes.
    fn slice(&self, time: Timestamp) -> Window;

    /// How long a window waits for stragglers after its end, in milliseconds.
    fn grace_ms(&self) -> i64;

    /// Whether a record may be in more than one window.
    fn overlap(&self) -> bool;

    /// What a plan calls these windows: "tumbling 1m, grace 5s".
    fn name(&self) -> String;

    /// The window of the sequence that ends next after this one; after the last, which ends at
    /// [`Timestamp::MAX`], the same again.
    fn next(&self, window: Window) -> Window {
        // A window contains the end of the one before, and those before that have ended by then.
        self.first(window.end)
    }

    /// The windows that contain the moment, in order of their ends; none for one before the epoch.
    fn assign(&self, time: Timestamp) -> impl Iterator<Item = Window> + '_ {
        let last = self.last(time);
        let first = (time.0 >= 0).then(|| self.first(time));
        successors(first, move |window| {
            (window.end < last.end).then(|| self.next(*window))
        })
    }

    /// The stream time at which the window closes: its end plus the grace.
    fn close_at(&self, window: Window) -> Timestamp {
        Timestamp(window.end.0.saturating_add(self.grace_ms()))
    }

    /// Whether the window is closed at this stream time.
    fn is_closed(&self, window: Window, stream_time: Timestamp) -> bool {
        stream_time >= self.close_at(window)
    }
}

/// The moment in milliseconds; one that is in no window counts to the first or to the last.
fn in_time(moment: Timestamp) -> i64 {
    moment.0.clamp(0, i64::MAX - 1)
}
