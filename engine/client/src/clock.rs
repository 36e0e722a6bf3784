//! The clock that a client waits by.
//!
//! Nothing here reads the time of the machine: a [`Client`] holds a [`Clock`], [`SystemClock`]
//! unless it is made with another. It stamps records that are sent without a timestamp (`wall`),
//! and measures how long a batch lingers, a retry pauses and a poll waits (`monotonic`). So a test
//! decides how late it is.
//!
//! Times within the client are a [`Duration`] since the clock's own zero.

use std::future::Future;
use std::time::Duration;

pub use brooklet_log::clock::{Clock, ManualClock, Sleep, SystemClock};
use brooklet_protocol::Monotonic;

use crate::Client;

impl Client {
    /// Time that never goes back, by this client's clock: since the clock's own zero.
    pub fn now(&self) -> Duration {
        self.clock.monotonic().0
    }

    /// Ready once [`Client::now`] has reached `deadline`.
    pub(crate) fn sleep_until(&self, deadline: Duration) -> Sleep {
        self.clock.sleep_until(Monotonic(deadline))
    }

    /// Ready after a while, by this client's clock.
    pub fn pause(&self, pause: Duration) -> Sleep {
        self.sleep_until(self.now().saturating_add(pause))
    }
}

/// What `work` returns, or `None` if it takes longer than `limit`; then it is dropped.
pub(crate) async fn within<T>(
    clock: &dyn Clock,
    limit: Duration,
    work: impl Future<Output = T>,
) -> Option<T> {
    let deadline = Monotonic(clock.monotonic().0.saturating_add(limit));
    tokio::select! {
        biased;
        done = work => Some(done),
        () = clock.sleep_until(deadline) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use brooklet_protocol::Timestamp;

    #[tokio::test]
    async fn work_is_dropped_when_its_time_is_up_and_not_before() {
        let clock = ManualClock::new(Timestamp(0));
        let limit = Duration::from_secs(1);
        assert_eq!(within(&clock, limit, std::future::ready(7)).await, Some(7));
        let late = within(&clock, limit, std::future::pending::<()>());
        let waiting = async {
            clock.advance(limit.checked_sub(Duration::from_millis(1)).unwrap());
            tokio::task::yield_now().await;
            clock.advance(Duration::from_millis(1));
        };
        let (late, ()) = tokio::join!(late, waiting);
        assert_eq!(late, None);
    }
}
