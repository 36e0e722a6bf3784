//! Why numbers and names make no windows: what was expected, and what was found.

use std::time::Duration;

use thiserror::Error;

use super::PER_RECORD_MAX;
use super::millis::in_words;

/// Why numbers and names make no windows.
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
    /// The last step must end where the size does.
    #[error(
        "a cumulative window's step must divide its size of {}, found {}",
        in_words(*size_ms), in_words(*step_ms)
    )]
    Step {
        /// The size.
        size_ms: i64,
        /// The step that was asked for.
        step_ms: i64,
    },
    /// A gap between sessions must be longer than nothing.
    #[error("the gap between sessions must be positive, found 0 ms")]
    GapZero,
    /// Time is counted in whole milliseconds; nothing is rounded silently.
    #[error("{what} must be a whole number of milliseconds below 2^63, found {found:?}")]
    NotMillis {
        /// Size, advance, step, gap, difference or grace.
        what: &'static str,
        /// What was asked for.
        found: Duration,
    },
    /// Each record would be in too many windows.
    #[error("each record would be in {found} windows, at most {PER_RECORD_MAX} allowed")]
    TooManyPerRecord {
        /// How many it would be.
        found: i64,
    },
    /// The text names no span of the calendar.
    #[error(
        "expected day, week, month or year, then @ and a time zone, such as day@Europe/Berlin; \
         found {found:?}"
    )]
    Calendar {
        /// What was there instead.
        found: String,
    },
    /// No time zone has this name.
    #[error(
        "expected a time zone of the IANA database, such as Europe/Berlin; found {found:?}{}",
        hint(nearest.as_deref())
    )]
    Zone {
        /// What was there instead.
        found: String,
        /// The name of a time zone that resembles it, if one does.
        nearest: Option<String>,
    },
}

fn hint(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |name| format!(", the nearest is {name}"))
}
