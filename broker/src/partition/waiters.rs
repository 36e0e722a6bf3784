//! The fetches that wait for a partition to change.
//!
//! A fetch with nothing to return registers its [`Notify`] with each partition it asks for and
//! sleeps; whichever changes first wakes it. A wake-up that comes before the sleep is kept as a
//! permit in the `Notify`, so a change between "I looked" and "I sleep" is not missed.
//!
//! Invariant: an entry lives exactly as long as its [`ChangeGuard`]; a fetch that times out, or
//! whose connection is closed, leaves nothing behind.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

/// The registered waiters, in no order.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    next_id: u64,
    waiting: Vec<(u64, Arc<Notify>)>,
}

impl Waiters {
    /// Adds `waiter` until the guard is dropped.
    pub(super) fn register(self: &Arc<Self>, waiter: &Arc<Notify>) -> ChangeGuard {
        let mut entries = self.entries.lock();
        let id = entries.next_id;
        entries.next_id += 1;
        entries.waiting.push((id, Arc::clone(waiter)));
        ChangeGuard {
            waiters: Arc::clone(self),
            id,
        }
    }

    /// Wakes all.
    pub(super) fn wake(&self) {
        for (_, waiter) in &self.entries.lock().waiting {
            waiter.notify_one();
        }
    }

    /// How many wait.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.entries.lock().waiting.len()
    }
}

/// A registration; dropping it ends it.
#[derive(Debug)]
#[must_use = "dropping the guard ends the registration"]
pub struct ChangeGuard {
    waiters: Arc<Waiters>,
    id: u64,
}

impl Drop for ChangeGuard {
    fn drop(&mut self) {
        let mut entries = self.waiters.entries.lock();
        entries.waiting.retain(|(id, _)| *id != self.id);
    }
}
