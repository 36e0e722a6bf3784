//! Windows of one size at equal distances: tumbling and hopping.
//!
//! ```text
//! hop of 12 every 5         0    5    10   15   20   25
//!                           [----------)                 [0, 12)
//!                                [----------)            [5, 17)
//!                                     [----------)       [10, 22)
//! slices                    [)[-)[)[-)[)[-)[)[-)[)[-)
//! ```
//!
//! Windows begin at the multiples of the advance, the epoch among them; a tumbling window is a
//! hopping one whose advance equals its size. A moment is in at most `ceil(size / advance)`.
//!
//! Edges lie at the multiples of the advance and, if it does not divide the size, once between
//! two of them, where a window ends. So one or two slices fill an advance, however large the
//! numbers ("paired windows": Krishnamurthy, Wu, Franklin, SIGMOD 2006).

use std::time::Duration;

use brooklet_protocol::Timestamp;

use super::millis::{in_words, whole_millis};
use super::{Aligned, PER_RECORD_MAX, SetGrace, Window, WindowError, WithoutGrace, in_time};

/// Windows that follow each other without gap or overlap; complete only with a grace.
#[derive(Clone, Copy, Debug)]
pub struct Tumbling;

impl Tumbling {
    /// Windows of this size; say next how long to wait for stragglers.
    pub fn of(size: Duration) -> WithoutGrace<TimeWindows> {
        Hopping::of(size).advance(size)
    }
}

/// Windows that overlap; complete only with an advance and a grace.
#[derive(Clone, Copy, Debug)]
#[must_use = "hopping windows need an advance"]
pub struct Hopping {
    size: Duration,
}

impl Hopping {
    /// Windows of this size; say next how far apart they begin.
    pub fn of(size: Duration) -> Self {
        Self { size }
    }

    /// A window begins at every multiple of this.
    pub fn advance(self, advance: Duration) -> WithoutGrace<TimeWindows> {
        WithoutGrace::new(TimeWindows::new(self.size, advance))
    }
}

/// A legal set of tumbling or hopping windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_field_names, reason = "the unit belongs to the name")]
pub struct TimeWindows {
    size_ms: i64,
    advance_ms: i64,
    grace_ms: i64,
}

impl TimeWindows {
    fn new(size: Duration, advance: Duration) -> Result<Self, WindowError> {
        let size_ms = whole_millis("a window's size", size)?;
        let advance_ms = whole_millis("a hop's advance", advance)?;
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
        if per_record > PER_RECORD_MAX {
            return Err(WindowError::TooManyPerRecord { found: per_record });
        }
        Ok(Self {
            size_ms,
            advance_ms,
            grace_ms: 0,
        })
    }

    /// The window that begins at this multiple of the advance.
    fn window(self, start: i64) -> Window {
        Window::of_millis(start, start.saturating_add(self.size_ms))
    }

    /// The highest multiple of the advance that is not above this.
    fn aligned(self, time: i64) -> i64 {
        time / self.advance_ms * self.advance_ms
    }
}

impl SetGrace for TimeWindows {
    fn with_grace_ms(self, grace_ms: i64) -> Self {
        Self { grace_ms, ..self }
    }
}

impl Aligned for TimeWindows {
    fn first(&self, time: Timestamp) -> Window {
        let time = in_time(time);
        self.window(self.aligned((time - self.size_ms + self.advance_ms).max(0)))
    }

    fn last(&self, time: Timestamp) -> Window {
        let window = self.window(self.aligned(in_time(time)));
        if window.end == Timestamp::MAX {
            // Of the windows that reach the end of time, the sequence has only the first.
            return self.first(Timestamp::MAX);
        }
        window
    }

    fn slice(&self, time: Timestamp) -> Window {
        let time = in_time(time);
        let start = self.aligned(time);
        let end = start.saturating_add(self.advance_ms);
        // Where, within an advance, a window ends; 0 if it ends where another one begins.
        let cut = start.saturating_add(self.size_ms % self.advance_ms);
        if time < cut {
            Window::of_millis(start, cut)
        } else {
            Window::of_millis(cut, end)
        }
    }

    fn grace_ms(&self) -> i64 {
        self.grace_ms
    }

    fn overlap(&self) -> bool {
        self.advance_ms < self.size_ms
    }

    fn name(&self) -> String {
        let [size, advance, grace] = [self.size_ms, self.advance_ms, self.grace_ms].map(in_words);
        if self.overlap() {
            format!("hopping {size} every {advance}, grace {grace}")
        } else {
            format!("tumbling {size}, grace {grace}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::laws::any_length;
    use super::*;
    use crate::time::{millis, minutes, seconds};
    use proptest::prelude::*;

    fn hop(size: u64, advance: u64) -> TimeWindows {
        Hopping::of(millis(size))
            .advance(millis(advance))
            .grace(millis(0))
    }

    fn starts(windows: TimeWindows, time: i64) -> Vec<i64> {
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
    fn a_slice_ends_where_a_window_begins_or_ends() {
        let of = |windows: TimeWindows, time| windows.slice(Timestamp(time)).to_string();
        assert_eq!(of(hop(10, 5), 12), "[10, 15)");
        assert_eq!(of(hop(10, 10), 12), "[10, 20)");
        // A window ends at 12, 17 and 22.
        assert_eq!(of(hop(12, 5), 11), "[10, 12)");
        assert_eq!(of(hop(12, 5), 12), "[12, 15)");
    }

    #[test]
    fn the_sequence_ends_with_the_first_window_that_reaches_the_end_of_time() {
        // The largest number ends with 807.
        let windows = hop(10, 5);
        let of_last: Vec<_> = windows.assign(Timestamp(i64::MAX - 1)).collect();
        assert_eq!(of_last, [Window::of_millis(i64::MAX - 7, i64::MAX)]);
        let before = windows.first(Timestamp(i64::MAX - 8));
        assert_eq!(before, Window::of_millis(i64::MAX - 17, i64::MAX - 7));
        assert!(windows.is_closed(of_last[0], Timestamp::MAX));
    }

    #[test]
    fn a_name_has_all_numbers() {
        let tumbling = Tumbling::of(minutes(1)).grace(seconds(5));
        assert_eq!(tumbling.name(), "tumbling 1m, grace 5s");
        let hopping = Hopping::of(minutes(1))
            .advance(seconds(10))
            .grace(millis(0));
        assert_eq!(hopping.name(), "hopping 1m every 10s, grace 0s");
    }

    #[test]
    fn numbers_that_make_no_windows_are_refused_by_name() {
        let message = |size, advance| {
            let windows = Hopping::of(millis(size)).advance(millis(advance));
            windows.try_grace(millis(0)).unwrap_err().to_string()
        };
        assert_eq!(
            message(0, 0),
            "a window's size must be positive, found 0 ms"
        );
        let of_5 =
            |found| format!("a hop's advance must be in 1..=5 ms (its size), found {found} ms");
        assert_eq!(message(5, 0), of_5(0));
        assert_eq!(message(5, 6), of_5(6));
        assert_eq!(
            message(10_001, 1),
            "each record would be in 10001 windows, at most 10000 allowed"
        );
        let half = Tumbling::of(Duration::from_micros(500)).try_grace(millis(0));
        let error = half.unwrap_err().to_string();
        assert!(error.starts_with("a window's size must be a whole number of milliseconds"));
        let grace = Tumbling::of(millis(5)).try_grace(Duration::from_micros(500));
        assert!(
            grace
                .unwrap_err()
                .to_string()
                .starts_with("the grace must be a whole number")
        );
    }

    #[test]
    #[should_panic(expected = "a window's size must be positive")]
    fn a_program_that_names_no_windows_stops() {
        Tumbling::of(millis(0)).grace(millis(0));
    }

    fn any_windows() -> impl Strategy<Value = TimeWindows> {
        (1u64..50, 1u64..50).prop_map(|(size, advance)| hop(size, advance.min(size)))
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

    proptest! {
        #[test]
        fn windows_are_as_defined(windows in any_windows(), time in 0i64..500) {
            let of_time: Vec<_> = windows.assign(Timestamp(time)).collect();
            let naive: Vec<_> = (0..=time)
                .step_by(windows.advance_ms as usize)
                .map(|start| windows.window(start))
                .filter(|window| window.contains(Timestamp(time)))
                .collect();
            prop_assert_eq!(&of_time, &naive);
            if time >= windows.size_ms && windows.size_ms % windows.advance_ms == 0 {
                prop_assert_eq!(of_time.len() as i64, windows.size_ms / windows.advance_ms);
            }
        }

        #[test]
        fn no_number_overflows_and_none_lies(
            windows in super::super::laws::any_time_windows(), time in any_time(), now in any_time()
        ) {
            // The end of time is no event time: it stands for the end of the input.
            prop_assume!(time != i64::MAX);
            let (size, advance) = (i128::from(windows.size_ms), i128::from(windows.advance_ms));
            let (grace, end_of_time) = (i128::from(windows.grace_ms), i128::from(i64::MAX));
            let of_time: Vec<_> = windows.assign(Timestamp(time)).collect();
            for window in &of_time {
                let start = i128::from(window.start.0);
                prop_assert!(start % advance == 0 && start >= 0);
                prop_assert!(start <= i128::from(time) && i128::from(time) < start + size);
                // Past the end of time an end is the end of time, and a window stays open until
                // then.
                prop_assert_eq!(i128::from(window.end.0), (start + size).min(end_of_time));
                let closed = now == i64::MAX || i128::from(now) >= start + size + grace;
                prop_assert_eq!(windows.is_closed(*window, Timestamp(now)), closed);
            }
            // How many there are: the multiples of the advance in (time - size, time], from the
            // epoch on, as far as the one before does not reach the end of time.
            let time = i128::from(time);
            let latest = time.min(end_of_time - 1 - size + advance).div_euclid(advance);
            let earliest = (time - size).max(-1).div_euclid(advance) + 1;
            let count = if time < 0 { 0 } else { latest - earliest + 1 };
            prop_assert_eq!(of_time.len() as i128, count);
        }
    }
}
