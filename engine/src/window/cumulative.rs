//! Windows that grow: all of the day so far, every hour.
//!
//! ```text
//! 12 by steps of 4          0   4   8   12  16  20  24
//!                           [--)        [--)
//!                           [------)    [------)
//!                           [----------)[----------)
//! the moment 5                   ^ is in [0, 8) and [0, 12)
//! slices                    [--)[--)[--)[--)[--)[--)
//! ```
//!
//! They begin at the multiples of the size and end after each step up to the size, as SQL's
//! `CUMULATE` does in Flink. The step divides the size, so the slices are the steps.

use std::time::Duration;

use brooklet_protocol::Timestamp;

use super::millis::{in_words, whole_millis};
use super::{Aligned, PER_RECORD_MAX, SetGrace, Window, WindowError, WithoutGrace, in_time};

/// Windows that grow step by step and then start again; complete only with a step and a grace.
#[derive(Clone, Copy, Debug)]
#[must_use = "cumulative windows need a step"]
pub struct Cumulative {
    size: Duration,
}

impl Cumulative {
    /// Windows that grow up to this size; say next by how much.
    pub fn of(size: Duration) -> Self {
        Self { size }
    }

    /// Each window is longer by this than the one before, up to the size.
    pub fn step(self, step: Duration) -> WithoutGrace<CumulativeWindows> {
        WithoutGrace::new(CumulativeWindows::new(self.size, step))
    }
}

/// A legal set of cumulative windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_field_names, reason = "the unit belongs to the name")]
pub struct CumulativeWindows {
    size_ms: i64,
    step_ms: i64,
    grace_ms: i64,
}

impl CumulativeWindows {
    fn new(size: Duration, step: Duration) -> Result<Self, WindowError> {
        let size_ms = whole_millis("a window's size", size)?;
        let step_ms = whole_millis("a cumulative window's step", step)?;
        if size_ms == 0 {
            return Err(WindowError::SizeZero);
        }
        if step_ms == 0 || size_ms % step_ms != 0 {
            return Err(WindowError::Step { size_ms, step_ms });
        }
        let per_record = size_ms / step_ms;
        if per_record > PER_RECORD_MAX {
            return Err(WindowError::TooManyPerRecord { found: per_record });
        }
        Ok(Self {
            size_ms,
            step_ms,
            grace_ms: 0,
        })
    }

    /// Where the windows begin that contain the moment.
    fn start(self, time: i64) -> i64 {
        time / self.size_ms * self.size_ms
    }
}

impl SetGrace for CumulativeWindows {
    fn with_grace_ms(self, grace_ms: i64) -> Self {
        Self { grace_ms, ..self }
    }
}

impl Aligned for CumulativeWindows {
    fn first(&self, time: Timestamp) -> Window {
        let start = self.start(in_time(time));
        Window::of_millis(start, self.slice(time).end.0)
    }

    fn last(&self, time: Timestamp) -> Window {
        let start = self.start(in_time(time));
        Window::of_millis(start, start.saturating_add(self.size_ms))
    }

    fn slice(&self, time: Timestamp) -> Window {
        let start = in_time(time) / self.step_ms * self.step_ms;
        Window::of_millis(start, start.saturating_add(self.step_ms))
    }

    fn grace_ms(&self) -> i64 {
        self.grace_ms
    }

    fn overlap(&self) -> bool {
        self.step_ms < self.size_ms
    }

    fn name(&self) -> String {
        let [size, step, grace] = [self.size_ms, self.step_ms, self.grace_ms].map(in_words);
        format!("cumulative {size} by {step}, grace {grace}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{hours, millis, minutes};
    use proptest::prelude::*;

    fn cumulative(size: u64, step: u64) -> CumulativeWindows {
        Cumulative::of(millis(size))
            .step(millis(step))
            .grace(millis(0))
    }

    fn of(windows: CumulativeWindows, time: i64) -> Vec<(i64, i64)> {
        let of_time = windows.assign(Timestamp(time));
        of_time.map(|w| (w.start.0, w.end.0)).collect()
    }

    #[test]
    fn a_moment_is_in_every_window_that_ends_after_it() {
        let windows = cumulative(12, 4);
        assert_eq!(of(windows, 0), [(0, 4), (0, 8), (0, 12)]);
        assert_eq!(of(windows, 5), [(0, 8), (0, 12)]);
        assert_eq!(of(windows, 11), [(0, 12)]);
        assert_eq!(of(windows, 12), [(12, 16), (12, 20), (12, 24)]);
        assert_eq!(of(windows, -1), []);
        assert_eq!(windows.slice(Timestamp(5)), Window::of_millis(4, 8));
    }

    #[test]
    fn after_the_longest_window_comes_the_shortest_of_the_next() {
        let windows = cumulative(12, 4);
        assert_eq!(
            windows.next(Window::of_millis(0, 8)),
            Window::of_millis(0, 12)
        );
        assert_eq!(
            windows.next(Window::of_millis(0, 12)),
            Window::of_millis(12, 16)
        );
    }

    #[test]
    fn one_step_is_a_tumbling_window() {
        assert!(!cumulative(12, 12).overlap());
        assert_eq!(of(cumulative(12, 12), 21), [(12, 24)]);
    }

    #[test]
    fn a_name_has_all_numbers() {
        let windows = Cumulative::of(hours(24)).step(hours(1)).grace(minutes(5));
        assert_eq!(windows.name(), "cumulative 1d by 1h, grace 5m");
    }

    #[test]
    fn numbers_that_make_no_windows_are_refused_by_name() {
        let message = |size, step| {
            let windows = Cumulative::of(millis(size)).step(millis(step));
            windows.try_grace(millis(0)).unwrap_err().to_string()
        };
        assert_eq!(
            message(0, 1),
            "a window's size must be positive, found 0 ms"
        );
        let of_12 = |found| {
            format!("a cumulative window's step must divide its size of 12ms, found {found}")
        };
        assert_eq!(message(12, 5), of_12("5ms"));
        assert_eq!(message(12, 24), of_12("24ms"));
        assert_eq!(message(12, 0), of_12("0s"));
        assert_eq!(
            message(10_001, 1),
            "each record would be in 10001 windows, at most 10000 allowed"
        );
    }

    proptest! {
        #[test]
        fn windows_are_as_defined(steps in 1u64..20, step in 1u64..20, time in 0i64..500) {
            let windows = cumulative(steps * step, step);
            let (size, step) = (windows.size_ms, windows.step_ms);
            let naive: Vec<_> = (0..=time)
                .step_by(size as usize)
                .flat_map(|start| (1..=size / step).map(move |nth| (start, start + nth * step)))
                .filter(|(_, end)| time < *end)
                .collect();
            prop_assert_eq!(of(windows, time), naive);
        }
    }
}
