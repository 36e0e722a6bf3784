//! Time, passed in.
//!
//! Nothing in the broker reads the wall clock by itself: everything that needs time holds a
//! [`Clock`]. A whole broker can so run under a [`ManualClock`], where a test or a lesson decides
//! how late it is.
//!
//! Two kinds of time, never mixed: [`Clock::wall`] stamps records and drives retention, and may
//! jump; [`Clock::monotonic`] measures waits, sessions and deadlines, and never goes back.

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use brooklet_protocol::{Monotonic, Timestamp};
use parking_lot::Mutex;
use tokio::sync::Notify;

/// A future that is ready when the time has come.
pub type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Where time comes from.
pub trait Clock: Debug + Send + Sync + 'static {
    /// The time of day, as stamped on records.
    fn wall(&self) -> Timestamp;
    /// Time that never goes back.
    fn monotonic(&self) -> Monotonic;
    /// Ready once [`Clock::monotonic`] has reached `deadline`.
    fn sleep_until(&self, deadline: Monotonic) -> Sleep;
}

/// The machine's own clock.
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// A clock whose monotonic time starts now.
    pub fn new() -> Self {
        Self {
            start: Instant::now(),
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn wall(&self) -> Timestamp {
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Timestamp(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
    }

    fn monotonic(&self) -> Monotonic {
        Monotonic(self.start.elapsed())
    }

    fn sleep_until(&self, deadline: Monotonic) -> Sleep {
        match self.start.checked_add(deadline.0) {
            Some(until) => Box::pin(tokio::time::sleep_until(until.into())),
            // Beyond what an instant can hold.
            None => Box::pin(std::future::pending()),
        }
    }
}

/// A clock that stands still until a test advances it.
#[derive(Clone, Debug)]
pub struct ManualClock {
    shared: Arc<ManualClockShared>,
}

#[derive(Debug)]
struct ManualClockShared {
    elapsed: Mutex<Duration>,
    start: Timestamp,
    advanced: Notify,
}

impl ManualClock {
    /// A clock that reads `start` and monotonic zero.
    pub fn new(start: Timestamp) -> Self {
        let shared = ManualClockShared {
            elapsed: Mutex::new(Duration::ZERO),
            start,
            advanced: Notify::new(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Moves both times forward and wakes the sleepers whose deadline has come.
    pub fn advance(&self, by: Duration) {
        *self.shared.elapsed.lock() += by;
        self.shared.advanced.notify_waiters();
    }
}

impl Clock for ManualClock {
    fn wall(&self) -> Timestamp {
        self.shared
            .start
            .saturating_add(*self.shared.elapsed.lock())
    }

    fn monotonic(&self) -> Monotonic {
        Monotonic(*self.shared.elapsed.lock())
    }

    fn sleep_until(&self, deadline: Monotonic) -> Sleep {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            loop {
                let advanced = shared.advanced.notified();
                tokio::pin!(advanced);
                // Registered before the clock is read, so that no advance in between is missed.
                advanced.as_mut().enable();
                if *shared.elapsed.lock() >= deadline.0 {
                    return;
                }
                advanced.await;
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_sleeper_wakes_when_its_deadline_has_come_and_not_before() {
        let clock = ManualClock::new(Timestamp(1000));
        let mut sleep = clock.sleep_until(Monotonic(Duration::from_millis(20)));
        clock.advance(Duration::from_millis(19));
        let early = tokio::select! { biased; () = &mut sleep => true, () = std::future::ready(()) => false };
        assert!(!early);
        clock.advance(Duration::from_millis(1));
        sleep.await;
        assert_eq!(clock.wall(), Timestamp(1020));
    }

    #[tokio::test]
    async fn a_deadline_beyond_all_times_never_comes() {
        let clock = SystemClock::new();
        let mut sleep = clock.sleep_until(Monotonic(Duration::MAX));
        let came = tokio::select! { biased; () = &mut sleep => true, () = std::future::ready(()) => false };
        assert!(!came);
    }
}
