//! Which windows a moment belongs to, and when a window closes: only arithmetic.
//!
//! ```text
//! hop of 10 every 5        0    5    10   15   20   25
//!                          [---------)                    [0, 10)
//!                               [---------)               [5, 15)
//!                                    [---------)          [10, 20)
//! the moment 12                        ^  is in [5, 15) and [10, 20)
//! [0, 10) with a grace of 3 closes when stream time reaches 13, and never opens again
//! ```
//!
//! Invariants:
//! - windows are half-open, aligned to the Unix epoch, and none begins before it;
//! - a tumbling window is a hopping one whose advance equals its size;
//! - a moment at or after the epoch is in at least one window, and in at most
//!   `ceil(size / advance)`;
//! - a window is closed iff `stream_time >= end + grace`: closedness is monotone in stream time and
//!   in the window's start, so one number ([`Windows::open_from`]) separates closed from open.
//!
//! A grace must be named: [`Tumbling::of`] and [`Hopping::of`] give something that is not yet a
//! window, and only `.grace(…)` makes it one. Left out: sessions and sliding windows, which are
//! made by the data and not by the calendar.

use std::time::Duration;

use brooklet_protocol::Timestamp;
use serde::{Deserialize, Serialize};
use thiserror::Error;

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
}

impl std::fmt::Display for Window {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "[{}, {})", self.start, self.end)
    }
}

/// Why numbers do not make windows.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum WindowError {
    /// A window must be longer than nothing.
    #[error("a window's size must be positive, found 0 ms")]
    SizeZero,
    /// An advance of nothing never arrives; one above the size leaves gaps.
    #[error("a hop's advance must be in 1..={size_ms} ms (its size), found {advance_ms} ms")]
    Advance {
        /// The size.
        size_ms: i64,
        /// The advance that was asked for.
        advance_ms: i64,
    },
    /// Time is counted in whole milliseconds; nothing is rounded silently.
    #[error("{what} must be a whole number of milliseconds below 2^63, found {found:?}")]
    NotMillis {
        /// Size, advance or grace.
        what: &'static str,
        /// What was asked for.
        found: Duration,
    },
    /// Each record would be in too many windows.
    #[error(
        "each record would be in {found} windows, at most {} allowed",
        Windows::PER_RECORD_MAX
    )]
    TooManyPerRecord {
        /// How many it would be.
        found: i64,
    },
}

/// Windows that follow each other without gap or overlap; complete only with a grace.
#[derive(Clone, Copy, Debug)]
pub struct Tumbling;

impl Tumbling {
    /// Windows of this size; say next how long to wait for stragglers.
    pub fn of(size: Duration) -> WithoutGrace {
        WithoutGrace {
            size,
            advance: size,
        }
    }
}

/// Windows that overlap; complete only with an advance and a grace.
#[derive(Clone, Copy, Debug)]
pub struct Hopping {
    size: Duration,
}

impl Hopping {
    /// Windows of this size; say next how far apart they begin.
    pub fn of(size: Duration) -> Self {
        Self { size }
    }

    /// A window begins at every multiple of this.
    pub fn advance(self, advance: Duration) -> WithoutGrace {
        WithoutGrace {
            size: self.size,
            advance,
        }
    }
}

/// Windows without a grace period; they are complete once it is named.
#[derive(Clone, Copy, Debug)]
#[must_use = "a window needs a grace"]
pub struct WithoutGrace {
    size: Duration,
    advance: Duration,
}

impl WithoutGrace {
    /// Keeps each window open until stream time is this far past its end.
    ///
    /// # Panics
    /// When the numbers make no windows; see [`WindowError`] and [`WithoutGrace::try_grace`].
    pub fn grace(self, grace: Duration) -> Windows {
        match self.try_grace(grace) {
            Ok(windows) => windows,
            Err(error) => panic!("{error}"),
        }
    }

    /// As [`WithoutGrace::grace`], for numbers that come from outside the program.
    ///
    /// # Errors
    /// The rule that the numbers break.
    pub fn try_grace(self, grace: Duration) -> Result<Windows, WindowError> {
        Windows::try_new(self.size, self.advance, grace)
    }
}

/// A legal set of windows: size, advance and grace, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_field_names, reason = "the unit belongs to the name")]
pub struct Windows {
    size_ms: i64,
    advance_ms: i64,
    grace_ms: i64,
}

impl Windows {
    /// In how many windows a record may be at most.
    pub const PER_RECORD_MAX: i64 = 10_000;

    /// Checks the three numbers.
    ///
    /// # Errors
    /// The rule that they break.
    pub fn try_new(
        size: Duration,
        advance: Duration,
        grace: Duration,
    ) -> Result<Self, WindowError> {
        let size_ms = whole_millis("a window's size", size)?;
        let advance_ms = whole_millis("a hop's advance", advance)?;
        let grace_ms = whole_millis("the grace", grace)?;
        if size_ms == 0 {
            return Err(WindowError::SizeZero);
        }
        if advance_ms == 0 || advance_ms > size_ms {
            return Err(WindowError::Advance {
                size_ms,
                advance_ms,
            });
        }
        let per_record = (size_ms - 1) / advance_ms + 1;
        if per_record > Self::PER_RECORD_MAX {
            return Err(WindowError::TooManyPerRecord { found: per_record });
        }
        Ok(Self {
            size_ms,
            advance_ms,
            grace_ms,
        })
    }

    /// The windows that contain the moment, in order of their starts; none for one before the
    /// epoch.
    pub fn assign(self, time: Timestamp) -> impl Iterator<Item = Window> {
        let first = (time.0 >= 0).then(|| self.first_start(time.0));
        std::iter::successors(first, move |start| start.checked_add(self.advance_ms))
            .take_while(move |start| *start <= time.0)
            .map(move |start| self.window(start))
    }

    /// The stream time at which the window closes.
    pub fn close_at(self, window: Window) -> Timestamp {
        Timestamp(window.end.0.saturating_add(self.grace_ms))
    }

    /// Whether the window is closed at this stream time.
    pub fn is_closed(self, window: Window, stream_time: Timestamp) -> bool {
        stream_time >= self.close_at(window)
    }

    /// The start of the earliest window that is open at this stream time.
    pub fn open_from(self, stream_time: Timestamp) -> Timestamp {
        // Open iff start > stream_time - size - grace: the next multiple of the advance above that.
        let closed = stream_time
            .0
            .saturating_sub(self.size_ms)
            .saturating_sub(self.grace_ms);
        if stream_time == Timestamp::MAX {
            return Timestamp::MAX;
        }
        if closed < 0 {
            return Timestamp(0);
        }
        let hops = closed / self.advance_ms + 1;
        Timestamp(hops.saturating_mul(self.advance_ms))
    }

    /// The window that begins at this multiple of the advance.
    pub(crate) fn window(self, start_ms: i64) -> Window {
        Window {
            start: Timestamp(start_ms),
            end: Timestamp(start_ms.saturating_add(self.size_ms)),
        }
    }

    /// The start of the first window that contains a moment at or after the epoch.
    pub(crate) fn first_start(self, time_ms: i64) -> i64 {
        (time_ms - self.size_ms + self.advance_ms).max(0) / self.advance_ms * self.advance_ms
    }

    /// The start of the last window that contains a moment at or after the epoch.
    pub(crate) fn last_start(self, time_ms: i64) -> i64 {
        time_ms / self.advance_ms * self.advance_ms
    }

    /// How far apart windows begin, in milliseconds.
    pub(crate) fn advance_ms(self) -> i64 {
        self.advance_ms
    }

    /// The widest slice of time that no window's edge cuts: every window is a whole number of them.
    pub(crate) fn slice_ms(self) -> i64 {
        gcd(self.size_ms, self.advance_ms)
    }
}

fn whole_millis(what: &'static str, span: Duration) -> Result<i64, WindowError> {
    let millis = i64::try_from(span.as_millis()).ok();
    millis
        .filter(|_| span.subsec_nanos().is_multiple_of(1_000_000))
        .ok_or(WindowError::NotMillis { what, found: span })
}

fn gcd(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::millis;
    use proptest::prelude::*;

    fn hop(size: u64, advance: u64) -> Windows {
        Hopping::of(millis(size))
            .advance(millis(advance))
            .grace(millis(0))
    }

    fn starts(windows: Windows, time: i64) -> Vec<i64> {
        windows.assign(Timestamp(time)).map(|w| w.start.0).collect()
    }

    #[test]
    fn v1_a_tumbling_window_is_aligned_to_the_epoch() {
        let windows = Tumbling::of(millis(12)).grace(millis(0));
        let of_21: Vec<_> = windows.assign(Timestamp(21)).collect();
        assert_eq!(of_21, [windows.window(12)]);
        assert_eq!(of_21[0].to_string(), "[12, 24)");
    }

    #[test]
    fn v2_hops_that_do_not_divide_the_size() {
        assert_eq!(starts(hop(12, 5), 21), [10, 15, 20]);
        assert_eq!(starts(hop(6, 5), 7), [5]);
    }

    #[test]
    fn v3_no_window_begins_before_the_epoch() {
        let windows = hop(5000, 1000);
        assert_eq!(starts(windows, 0), [0]);
        assert_eq!(starts(windows, 4999), [0, 1000, 2000, 3000, 4000]);
        assert_eq!(starts(windows, 5000), [1000, 2000, 3000, 4000, 5000]);
        assert_eq!(starts(windows, -1), [0; 0]);
    }

    #[test]
    fn numbers_that_make_no_windows_are_refused_by_name() {
        let new = |size, advance| Windows::try_new(millis(size), millis(advance), millis(0));
        assert_eq!(new(0, 0), Err(WindowError::SizeZero));
        let message = |result: Result<_, WindowError>| result.unwrap_err().to_string();
        let of_5 =
            |found| format!("a hop's advance must be in 1..=5 ms (its size), found {found} ms");
        assert_eq!(message(new(5, 0)), of_5(0));
        assert_eq!(message(new(5, 6)), of_5(6));
        assert_eq!(
            message(new(10_001, 1)),
            "each record would be in 10001 windows, at most 10000 allowed"
        );
        let half = Tumbling::of(Duration::from_micros(500)).try_grace(millis(0));
        assert!(message(half).contains("whole number of milliseconds"));
    }

    #[test]
    fn the_far_ends_of_time_do_not_overflow() {
        let windows = hop(10, 5);
        assert!(windows.assign(Timestamp::MAX).all(|w| w.start.0 > 0));
        assert_eq!(windows.open_from(Timestamp::MIN), Timestamp(0));
        assert_eq!(windows.open_from(Timestamp::MAX), Timestamp::MAX);
        let last = windows.assign(Timestamp::MAX).last().unwrap();
        assert!(windows.is_closed(last, Timestamp::MAX));
    }

    fn any_windows() -> impl Strategy<Value = Windows> {
        (1u64..50, 1u64..50, 0u64..30).prop_map(|(size, advance, grace)| {
            Hopping::of(millis(size))
                .advance(millis(advance.min(size)))
                .grace(millis(grace))
        })
    }

    /// Numbers of each length, up to the end of the type.
    fn any_length() -> impl Strategy<Value = u64> {
        (0u32..63, any::<u64>()).prop_map(|(bits, number)| (number >> 1) >> bits)
    }

    fn any_time() -> impl Strategy<Value = i64> {
        let near = prop_oneof![
            Just(i64::MIN),
            Just(-1),
            Just(0),
            Just(i64::MAX - 1),
            Just(i64::MAX)
        ];
        prop_oneof![any_length().prop_map(|n| n as i64), any::<i64>(), near]
    }

    fn windows_of_any_size() -> impl Strategy<Value = Windows> {
        let per_record = Windows::PER_RECORD_MAX as u64;
        (any_length(), 1..=per_record, any_length()).prop_map(move |(size, hops, grace)| {
            let size = size.max(1);
            let advance = size.div_ceil(hops).max(1);
            Windows::try_new(millis(size), millis(advance), millis(grace)).unwrap()
        })
    }

    proptest! {
        #[test]
        fn windows_cover_time(windows in any_windows(), time in 0i64..500) {
            let of_time: Vec<_> = windows.assign(Timestamp(time)).collect();
            let naive: Vec<_> = (0..=time)
                .step_by(windows.advance_ms as usize)
                .map(|start| windows.window(start))
                .filter(|window| window.contains(Timestamp(time)))
                .collect();
            prop_assert!(!of_time.is_empty());
            prop_assert_eq!(&of_time, &naive);
            if time >= windows.size_ms && windows.size_ms % windows.advance_ms == 0 {
                prop_assert_eq!(of_time.len() as i64, windows.size_ms / windows.advance_ms);
            }
        }

        #[test]
        fn one_number_tells_closed_from_open(windows in any_windows(), time in 0i64..500, now in -5i64..600) {
            for window in windows.assign(Timestamp(time)) {
                let closed = windows.is_closed(window, Timestamp(now));
                prop_assert_eq!(closed, window.start < windows.open_from(Timestamp(now)));
            }
        }

        #[test]
        fn no_number_overflows_and_none_lies(windows in windows_of_any_size(), time in any_time(), now in any_time()) {
            // The end of time is no event time: it stands for the end of the input.
            prop_assume!(time != i64::MAX);
            let (size, advance) = (i128::from(windows.size_ms), i128::from(windows.advance_ms));
            let grace = i128::from(windows.grace_ms);
            let open_from = windows.open_from(Timestamp(now));
            let of_time: Vec<_> = windows.assign(Timestamp(time)).collect();
            prop_assert_eq!(of_time.is_empty(), time < 0);
            for window in of_time {
                let start = i128::from(window.start.0);
                prop_assert!(start % advance == 0 && start >= 0);
                prop_assert!(start <= i128::from(time) && i128::from(time) < start + size);
                // Past the end of time an end is the end of time, and a window stays open until
                // then.
                prop_assert_eq!(i128::from(window.end.0), (start + size).min(i128::from(i64::MAX)));
                let closed = now == i64::MAX || i128::from(now) >= start + size + grace;
                prop_assert_eq!(windows.is_closed(window, Timestamp(now)), closed);
                prop_assert_eq!(window.start < open_from, closed);
            }
        }

        #[test]
        fn no_edge_of_a_window_cuts_a_slice(windows in any_windows(), time in 0i64..500) {
            for window in windows.assign(Timestamp(time)) {
                prop_assert_eq!(window.start.0 % windows.slice_ms(), 0);
                prop_assert_eq!(window.end.0 % windows.slice_ms(), 0);
            }
        }
    }
}
