//! Windows that still lack their grace: how long they wait for stragglers is never implied.

use std::time::Duration;

use super::WindowError;
use super::millis::whole_millis;

/// Windows of any kind, complete once their grace is named.
///
/// An error in the numbers before it is kept until then, so that a program handles it in one place.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "windows need a grace"]
pub struct WithoutGrace<W> {
    windows: Result<W, WindowError>,
}

/// Windows of a kind that has a grace.
pub trait SetGrace: Sized {
    /// The same windows, each open until stream time is this many milliseconds past its end.
    fn with_grace_ms(self, grace_ms: i64) -> Self;
}

impl<W: SetGrace> WithoutGrace<W> {
    /// Windows whose grace does not count yet, or why there are none.
    pub fn new(windows: Result<W, WindowError>) -> Self {
        Self { windows }
    }

    /// Keeps each window open until stream time is this far past its end.
    ///
    /// # Panics
    /// When the numbers make no windows; see [`WindowError`] and [`WithoutGrace::try_grace`].
    #[track_caller]
    pub fn grace(self, grace: Duration) -> W {
        match self.try_grace(grace) {
            Ok(windows) => windows,
            Err(error) => panic!("{error}"),
        }
    }

    /// As [`WithoutGrace::grace`], for numbers and names that come from outside the program.
    ///
    /// # Errors
    /// The rule that they break.
    pub fn try_grace(self, grace: Duration) -> Result<W, WindowError> {
        let windows = self.windows?;
        Ok(windows.with_grace_ms(whole_millis("the grace", grace)?))
    }
}
