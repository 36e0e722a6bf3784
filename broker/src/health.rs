//! What is wrong with the broker as a whole, for as long as it is wrong.
//!
//! ```text
//!  log, broker ──report(DISK_FULL, "…")──▶ Health ──troubles()──▶ Broker::unready ─▶ /readyz
//!              ──clear(DISK_FULL)────────▶
//! ```
//!
//! A trouble has a name, the time when it began, and words for the person who has to deal with it.
//! Partitions that are offline are not kept here: each knows that of itself.
//!
//! Invariants:
//! - there is at most one trouble of each name, so that the memory is bounded by the code;
//! - reporting a trouble again changes its words, not the time when it began;
//! - clearing a trouble that was never reported costs one atomic load, so that a hot path may do
//!   it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use brooklet_log::clock::Clock;
use brooklet_protocol::Timestamp;
use parking_lot::Mutex;

/// The volume of the data directory has no room left.
pub const DISK_FULL: &str = "disk-full";
/// The data directory is no longer where it was.
pub const DATA_DIR_LOST: &str = "data-dir-lost";

/// The troubles of a broker.
#[derive(Debug)]
pub struct Health {
    clock: Arc<dyn Clock>,
    troubles: Mutex<BTreeMap<&'static str, Trouble>>,
    /// How many there are; written under the lock.
    count: AtomicUsize,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// What kind, in lower case with dashes: for programs.
    pub name: &'static str,
    /// What is wrong and where, and the next step: for people.
    pub text: String,
    /// When it began.
    pub since: Timestamp,
}

impl Health {
    /// Nothing is wrong yet.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            troubles: Mutex::default(),
            count: AtomicUsize::new(0),
        }
    }

    /// Something is wrong, or still is. Returns true if it has begun now, which is worth a log
    /// line.
    pub fn report(&self, name: &'static str, text: impl Into<String>) -> bool {
        let text = text.into();
        let mut troubles = self.troubles.lock();
        if let Some(known) = troubles.get_mut(name) {
            known.text = text;
            return false;
        }
        let since = self.clock.wall();
        troubles.insert(name, Trouble { name, text, since });
        self.count.store(troubles.len(), Ordering::Release);
        true
    }

    /// The trouble has ended. Returns it, if there was one.
    pub fn clear(&self, name: &'static str) -> Option<Trouble> {
        if self.is_well() {
            return None;
        }
        let mut troubles = self.troubles.lock();
        let ended = troubles.remove(name);
        self.count.store(troubles.len(), Ordering::Release);
        ended
    }

    /// Whether nothing is wrong.
    pub fn is_well(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    /// What is wrong, by name.
    pub fn troubles(&self) -> Vec<Trouble> {
        self.troubles.lock().values().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use brooklet_log::clock::ManualClock;

    use super::*;

    #[test]
    fn a_trouble_lasts_from_its_first_report_until_it_is_cleared() {
        let clock = ManualClock::new(Timestamp(1000));
        let health = Health::new(Arc::new(clock.clone()));
        assert!(health.is_well());
        assert_eq!(health.clear(DISK_FULL), None);
        assert!(health.report(DISK_FULL, "/data is full"));
        clock.advance(Duration::from_millis(5));
        assert!(health.report(DATA_DIR_LOST, "/data is gone"));
        assert!(!health.report(DISK_FULL, "/data is still full"));
        let trouble = |name, text: &str, since| Trouble {
            name,
            text: text.to_owned(),
            since: Timestamp(since),
        };
        let full = trouble(DISK_FULL, "/data is still full", 1000);
        let lost = trouble(DATA_DIR_LOST, "/data is gone", 1005);
        assert_eq!(health.troubles(), [lost.clone(), full.clone()]);
        assert_eq!(health.clear(DISK_FULL), Some(full));
        assert_eq!(health.clear(DISK_FULL), None);
        assert!(!health.is_well());
        assert_eq!(health.clear(DATA_DIR_LOST), Some(lost));
        assert!(health.is_well());
        clock.advance(Duration::from_millis(5));
        assert!(health.report(DISK_FULL, "full once more"));
        assert_eq!(health.troubles()[0].since, Timestamp(1010));
    }
}
