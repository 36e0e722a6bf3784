//! How many written bytes are not synced, and when that is too many.
//!
//! The page cache takes writes at the speed of memory until the kernel has enough of it; then it
//! writes back in one go, and appends wait for it meanwhile: the stalls that spoil a log's tail
//! latency. So the broker writes behind, early and in small pieces:
//!
//! ```text
//!  dirty bytes      0 ─────────────── ½ max ──────────────── max
//!  what happens     synced each        every append starts    an answer waits until
//!                   interval, and      a sync of its          its records are synced,
//!                   per 8 MiB of       partition              whatever acks it asked for
//!                   one partition
//! ```
//!
//! The budget is one for all partitions of a broker. Invariant: it counts each byte from its append
//! until its sync, or until its partition is closed or offline, and no longer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Unsynced bytes of one partition that start a sync: enough to be worth a write, few enough to be
/// written before as many come again.
const PARTITION_BYTES: u64 = 8 << 20;

/// Bytes written and not synced, over all partitions, and how many there may be.
#[derive(Debug)]
pub struct DirtyBudget {
    bytes: AtomicU64,
    bytes_max: u64,
    /// Bytes synced so far.
    synced: AtomicU64,
}

impl DirtyBudget {
    /// `log.dirty.bytes.max` (not in Kafka): 64 MiB.
    pub const BYTES_MAX_DEFAULT: u64 = 64 << 20;

    /// A budget of `bytes_max` bytes.
    pub fn new(bytes_max: u64) -> Arc<Self> {
        Arc::new(Self {
            bytes: AtomicU64::new(0),
            bytes_max,
            synced: AtomicU64::new(0),
        })
    }

    /// Bytes that were synced since the broker started.
    pub fn synced_bytes(&self) -> u64 {
        self.synced.load(Ordering::Relaxed)
    }

    /// Bytes written and not synced.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

/// The part of one partition.
#[derive(Debug)]
pub(super) struct DirtyBytes {
    budget: Arc<DirtyBudget>,
    /// Bytes appended since the open.
    appended: AtomicU64,
    /// How many of them are synced, or are no longer counted.
    synced: AtomicU64,
}

impl DirtyBytes {
    pub(super) fn new(budget: Arc<DirtyBudget>) -> Self {
        Self {
            budget,
            appended: AtomicU64::new(0),
            synced: AtomicU64::new(0),
        }
    }

    /// Counts what was appended; returns whether it is time for a sync. Only the writer calls it.
    pub(super) fn add(&self, bytes: u64) -> bool {
        let appended = self.appended.fetch_add(bytes, Ordering::AcqRel) + bytes;
        let all = self.budget.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let own = appended - self.synced.load(Ordering::Acquire);
        own >= PARTITION_BYTES || all >= self.budget.bytes_max / 2
    }

    /// Bytes appended so far, to be passed to [`DirtyBytes::synced`] after a sync that began later.
    pub(super) fn appended(&self) -> u64 {
        self.appended.load(Ordering::Acquire)
    }

    /// What was appended up to there is synced, or will never be.
    pub(super) fn synced(&self, up_to: u64) {
        let before = self.synced.fetch_max(up_to, Ordering::AcqRel);
        let newly = up_to.saturating_sub(before);
        self.budget.bytes.fetch_sub(newly, Ordering::Relaxed);
        self.budget.synced.fetch_add(newly, Ordering::Relaxed);
    }

    /// Whether an append has to wait for a sync.
    pub(super) fn is_too_much(&self) -> bool {
        self.budget.bytes() >= self.budget.bytes_max
    }
}

impl Drop for DirtyBytes {
    fn drop(&mut self) {
        self.synced(self.appended());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_byte_counts_from_its_append_to_its_sync() {
        let budget = DirtyBudget::new(100);
        let (a, b) = (
            DirtyBytes::new(Arc::clone(&budget)),
            DirtyBytes::new(Arc::clone(&budget)),
        );
        assert!(!a.add(30));
        let before_sync = a.appended();
        assert!(b.add(20), "half of the budget");
        assert!(a.add(40) && !a.is_too_much());
        assert!(b.add(10) && a.is_too_much() && b.is_too_much());
        assert_eq!(budget.bytes(), 100);
        a.synced(before_sync);
        a.synced(before_sync);
        assert_eq!((budget.bytes(), budget.synced_bytes()), (70, 30));
        assert!(!b.is_too_much());
        drop(b);
        assert_eq!(budget.bytes(), 40);
        drop(a);
        assert_eq!(budget.bytes(), 0);
    }

    #[test]
    fn much_of_one_partition_is_synced_whatever_the_budget() {
        let bytes = DirtyBytes::new(DirtyBudget::new(u64::MAX));
        assert!(!bytes.add(PARTITION_BYTES - 1));
        assert!(bytes.add(1));
        bytes.synced(bytes.appended());
        assert!(!bytes.add(1));
    }
}
