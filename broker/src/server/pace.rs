//! How fast a client sends, and whether its request can be whole before the deadline.

use std::time::Duration;

use brooklet_protocol::Monotonic;

/// How long a pace is measured.
const PACE_WINDOW: Duration = Duration::from_secs(1);

/// How fast a client sends, in windows of [`PACE_WINDOW`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pace {
    since: Monotonic,
    bytes: usize,
}

impl Pace {
    /// A window that begins now.
    pub(super) fn from(now: Monotonic) -> Self {
        Self {
            since: now,
            bytes: 0,
        }
    }

    /// Bytes came.
    pub(super) fn add(&mut self, bytes: usize) {
        self.bytes += bytes;
    }

    /// When the window ends.
    pub(super) fn ends(&self) -> Monotonic {
        Monotonic(self.since.0.saturating_add(PACE_WINDOW))
    }

    /// Whether at this pace `missing` bytes would take longer than there is time `left`.
    pub(super) fn is_too_slow(&self, now: Monotonic, missing: usize, left: Duration) -> bool {
        let window = now.0.saturating_sub(self.since.0);
        let in_time = self.bytes as u128 * left.as_millis();
        in_time < missing as u128 * window.as_millis()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_is_too_slow_if_the_rest_would_not_be_there_in_time() {
        let secs = Duration::from_secs;
        let at = |seconds| Monotonic(secs(seconds));
        let rows = [
            (0, 1, 30, true),
            (1000, 30_000, 30, false),
            (999, 30_000, 30, true),
            (1000, 10_000, 9, true),
            (0, 0, 30, false),
        ];
        for (bytes, missing, left, expected) in rows {
            let mut pace = Pace::from(at(5));
            pace.add(bytes);
            assert_eq!(pace.ends(), at(6));
            let is_too_slow = pace.is_too_slow(at(6), missing, secs(left));
            assert_eq!(is_too_slow, expected, "{bytes} {missing} {left}");
        }
    }
}
