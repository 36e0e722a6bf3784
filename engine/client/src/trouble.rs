//! Trouble that may pass: a program that tries again says so, or it looks as if it hung.
//!
//! ```text
//!   failed ──1 s──▶ said ──10 s──▶ said ──10 s──▶ said ─ ─ ▶ passed: said, if anything was
//! ```
//!
//! Much passes within a second (a topic that is just being created, a leader that moves), and nobody
//! wants to read about it. What lasts is said once, then rarely, as a warning in the log.

use std::fmt::Display;
use std::time::Duration;

use tracing::warn;

/// How long trouble lasts before it is said.
const SAID_AFTER: Duration = Duration::from_secs(1);
/// How long until it is said again.
const SAID_EVERY: Duration = Duration::from_secs(10);

/// What is being tried again.
#[derive(Debug, Default)]
pub(crate) struct Trouble {
    since: Option<Duration>,
    said: Option<Duration>,
}

impl Trouble {
    /// An attempt has failed, and there will be another one.
    pub(crate) fn failed(&mut self, error: &dyn Display, now: Duration) {
        if let Some(lasted) = self.is_to_be_said(now) {
            warn!("{error}; trying again, for {} s so far", lasted.as_secs());
        }
    }

    /// An attempt has succeeded.
    pub(crate) fn passed(&mut self, now: Duration) {
        if let (Some(since), Some(_)) = (self.since, self.said) {
            let lasted = now.saturating_sub(since);
            warn!("it works again, after {} s", lasted.as_secs());
        }
        *self = Self::default();
    }

    /// Whether now is the time to say it; then how long it has lasted.
    fn is_to_be_said(&mut self, now: Duration) -> Option<Duration> {
        let since = *self.since.get_or_insert(now);
        let next = self
            .said
            .map_or(since + SAID_AFTER, |said| said + SAID_EVERY);
        (now >= next).then(|| {
            self.said = Some(now);
            now.saturating_sub(since)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lasts_is_said_after_a_second_and_then_every_ten() {
        let start = Duration::from_secs(5);
        let mut trouble = Trouble::default();
        let mut said = Vec::new();
        for tenth in 0..320 {
            let now = start + Duration::from_millis(tenth * 100);
            said.extend(trouble.is_to_be_said(now).map(|lasted| lasted.as_millis()));
        }
        assert_eq!(said, [1000, 11_000, 21_000, 31_000]);
        trouble.passed(start);
        assert_eq!(trouble.is_to_be_said(start), None, "it begins again");
    }
}
