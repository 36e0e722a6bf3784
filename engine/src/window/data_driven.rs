//! The numbers of windows that the records make: sessions and sliding windows.
//!
//! ```text
//!                           0    5    10   15   20   25
//! records of one key          x  x x          x    x
//! sessions, gap 5             [----]          [----]     further apart: a new session
//! sliding 5                   each record ends a window, and one begins after it
//! ```
//!
//! Such windows differ from key to key, so no arithmetic on time finds them: the operators that
//! keep them do. A legal set of numbers is made here, as for windows of all kinds.

use std::time::Duration;

use super::millis::{in_words, whole_millis};
use super::{SetGrace, WindowError, WithoutGrace};

/// Windows of records that follow each other closely; complete only with a grace.
#[derive(Clone, Copy, Debug)]
pub struct Sessions;

impl Sessions {
    /// Records of a key are in one session if no two neighbours are further apart than the gap.
    pub fn gap(gap: Duration) -> WithoutGrace<SessionWindows> {
        WithoutGrace::new(SessionWindows::new(gap))
    }
}

/// A legal set of session windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionWindows {
    gap_ms: i64,
    grace_ms: i64,
}

impl SessionWindows {
    fn new(gap: Duration) -> Result<Self, WindowError> {
        let gap_ms = whole_millis("the gap between sessions", gap)?;
        if gap_ms == 0 {
            return Err(WindowError::GapZero);
        }
        Ok(Self {
            gap_ms,
            grace_ms: 0,
        })
    }

    /// How far apart two records of one session may be at most, in milliseconds; positive.
    pub fn gap_ms(&self) -> i64 {
        self.gap_ms
    }

    /// How long a session waits for stragglers after its end, in milliseconds.
    pub fn grace_ms(&self) -> i64 {
        self.grace_ms
    }

    /// What a plan calls these windows: "sessions, gap 5m, grace 1m".
    pub fn name(&self) -> String {
        let (gap, grace) = (in_words(self.gap_ms), in_words(self.grace_ms));
        format!("sessions, gap {gap}, grace {grace}")
    }
}

impl SetGrace for SessionWindows {
    fn with_grace_ms(self, grace_ms: i64) -> Self {
        Self { grace_ms, ..self }
    }
}

/// Windows around each record of the records near to it; complete only with a grace.
#[derive(Clone, Copy, Debug)]
pub struct Sliding;

impl Sliding {
    /// Records of a key share a window if their event times differ by at most this; zero is legal,
    /// and puts records of the same moment together.
    pub fn of(difference: Duration) -> WithoutGrace<SlidingWindows> {
        WithoutGrace::new(SlidingWindows::new(difference))
    }
}

/// A legal set of sliding windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlidingWindows {
    difference_ms: i64,
    grace_ms: i64,
}

impl SlidingWindows {
    fn new(difference: Duration) -> Result<Self, WindowError> {
        Ok(Self {
            difference_ms: whole_millis("the difference within a sliding window", difference)?,
            grace_ms: 0,
        })
    }

    /// How far apart two records of one window may be at most, in milliseconds.
    pub fn difference_ms(&self) -> i64 {
        self.difference_ms
    }

    /// How long a window waits for stragglers after its end, in milliseconds.
    pub fn grace_ms(&self) -> i64 {
        self.grace_ms
    }

    /// What a plan calls these windows: "sliding 10s, grace 1s".
    pub fn name(&self) -> String {
        let (difference, grace) = (in_words(self.difference_ms), in_words(self.grace_ms));
        format!("sliding {difference}, grace {grace}")
    }
}

impl SetGrace for SlidingWindows {
    fn with_grace_ms(self, grace_ms: i64) -> Self {
        Self { grace_ms, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{millis, minutes, seconds};

    #[test]
    fn a_name_has_all_numbers() {
        let sessions = Sessions::gap(minutes(5)).grace(minutes(1));
        assert_eq!(sessions.name(), "sessions, gap 5m, grace 1m");
        assert_eq!((sessions.gap_ms(), sessions.grace_ms()), (300_000, 60_000));
        let sliding = Sliding::of(seconds(10)).grace(seconds(1));
        assert_eq!(sliding.name(), "sliding 10s, grace 1s");
        assert_eq!(
            (sliding.difference_ms(), sliding.grace_ms()),
            (10_000, 1000)
        );
    }

    #[test]
    fn a_gap_is_positive_and_a_difference_may_be_zero() {
        let error = Sessions::gap(millis(0)).try_grace(millis(0)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the gap between sessions must be positive, found 0 ms"
        );
        let sliding = Sliding::of(millis(0)).try_grace(millis(0)).unwrap();
        assert_eq!(sliding.difference_ms(), 0);
    }

    #[test]
    fn nothing_is_rounded() {
        let half = Duration::from_micros(500);
        let sessions = Sessions::gap(half).try_grace(half).unwrap_err();
        assert!(sessions.to_string().starts_with("the gap between sessions"));
        let sliding = Sliding::of(half).try_grace(half).unwrap_err();
        assert!(sliding.to_string().starts_with("the difference within"));
    }
}
