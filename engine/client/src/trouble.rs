//! Failures that are retried: a program that retries says so, or it looks as if it hung.
//!
//! ```text
//!   failed ──1 s──▶ logged ──10 s──▶ logged ──10 s──▶ logged ─ ─ ▶ passed: logged, if the failure was
//! ```
//!
//! Much passes within a second (a topic that is just being created, a leader that moves), and
//! nobody wants to read about it. What lasts is logged once, then every ten seconds, as a warning.

use std::fmt::Display;
use std::time::Duration;

use tracing::warn;

/// How long failures last before they are logged.
const LOG_AFTER: Duration = Duration::from_secs(1);
/// How long until they are logged again.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// What is being tried again.
#[derive(Debug, Default)]
pub(crate) struct Trouble {
    since: Option<Duration>,
    logged: Option<Duration>,
}

impl Trouble {
    /// An attempt has failed, and there will be another one.
    pub(crate) fn failed(&mut self, error: &dyn Display, now: Duration) {
        if let Some(lasted) = self.is_to_be_logged(now) {
            warn!("{error}; still retrying after {} s", lasted.as_secs());
        }
    }

    /// An attempt has succeeded.
    pub(crate) fn passed(&mut self, now: Duration) {
        if let (Some(since), Some(_)) = (self.since, self.logged) {
            let lasted = now.saturating_sub(since);
            warn!("recovered after {} s", lasted.as_secs());
        }
        *self = Self::default();
    }

    /// How long the failure has lasted, if now is the time to log it.
    fn is_to_be_logged(&mut self, now: Duration) -> Option<Duration> {
        let since = *self.since.get_or_insert(now);
        let next = self
            .logged
            .map_or(since + LOG_AFTER, |logged| logged + LOG_EVERY);
        (now >= next).then(|| {
            self.logged = Some(now);
            now.saturating_sub(since)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lasts_is_logged_after_a_second_and_then_every_ten() {
        let start = Duration::from_secs(5);
        let mut trouble = Trouble::default();
        let mut logged = Vec::new();
        for tenth in 0..320 {
            let now = start + Duration::from_millis(tenth * 100);
            logged.extend(
                trouble
                    .is_to_be_logged(now)
                    .map(|lasted| lasted.as_millis()),
            );
        }
        assert_eq!(logged, [1000, 11_000, 21_000, 31_000]);
        trouble.passed(start);
        assert_eq!(trouble.is_to_be_logged(start), None, "it begins again");
    }
}
