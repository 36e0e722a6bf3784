//! Errors of a partition's reads that were logged, so that a client which retries ten times a
//! second does not flood the log.

use std::time::Duration;

use brooklet_protocol::Monotonic;
use parking_lot::Mutex;

/// The same error is logged again after this time.
const AGAIN_AFTER: Duration = Duration::from_secs(60);

/// The last error that was logged.
#[derive(Debug, Default)]
pub(super) struct Reports {
    last: Mutex<Option<(String, Monotonic)>>,
}

impl Reports {
    /// Whether to log this: it is not what was logged last, or that was a while ago.
    pub(super) fn is_news(&self, message: &str, now: Monotonic) -> bool {
        let mut last = self.last.lock();
        let is_known = (last.as_ref())
            .is_some_and(|(said, at)| said == message && now.0.saturating_sub(at.0) < AGAIN_AFTER);
        if !is_known {
            *last = Some((message.to_owned(), now));
        }
        !is_known
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_said_once_a_minute() {
        let reports = Reports::default();
        let is_news =
            |message, second| reports.is_news(message, Monotonic(Duration::from_secs(second)));
        assert!(is_news("a", 0));
        assert!(!is_news("a", 59));
        assert!(is_news("b", 59));
        assert!(is_news("a", 60));
        assert!(!is_news("a", 119));
        assert!(is_news("a", 120));
    }
}
