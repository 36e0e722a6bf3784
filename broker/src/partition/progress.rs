//! The high watermark: how far consumers may read. When it moves, the fetches that wait are woken.
//!
//! Two move it: `commit`, once the records have the durability that was asked for, and the leader
//! of a group commit, once they are synced. It only grows, so that it does not matter who comes
//! first.
//!
//! Invariant: log start ≤ last stable offset ≤ high watermark ≤ log end. Nothing is locked to check
//! it at a publish, and it holds all the same: the log end only grows and is read before the
//! watermark is moved up to it; the log start moves up to a watermark that was published before, so
//! one that is read first is at most the watermark that is read after it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use brooklet_log::LogReader;
use brooklet_protocol::Offset;

use super::waiters::Waiters;

/// How far consumers may read, and who waits for more.
#[derive(Debug)]
pub(super) struct Progress {
    log: LogReader,
    high_watermark: AtomicI64,
    waiters: Arc<Waiters>,
}

impl Progress {
    /// Everything in a log that was just opened was recovered, so consumers may read all of it.
    pub(super) fn new(log: LogReader) -> Self {
        Self {
            high_watermark: AtomicI64::new(log.log_end_offset().0),
            log,
            waiters: Arc::default(),
        }
    }

    /// Those that wait for a change.
    pub(super) fn waiters(&self) -> &Arc<Waiters> {
        &self.waiters
    }

    pub(super) fn high_watermark(&self) -> Offset {
        Offset(self.high_watermark.load(Ordering::Acquire))
    }

    /// Moves the high watermark to `offset`, unless it is there or beyond, and wakes the waiters.
    pub(super) fn publish(&self, offset: Offset) {
        let end = self.log.log_end_offset();
        assert!(
            offset <= end,
            "high watermark {offset} is at most the log end {end}"
        );
        // Read before the watermark, which may be what lets it move.
        let start = self.log.log_start_offset();
        let before = Offset(self.high_watermark.fetch_max(offset.0, Ordering::AcqRel));
        let published = before.max(offset);
        assert!(
            start <= published,
            "log start {start} is at most the high watermark {published}"
        );
        debug_assert!(
            (start..=published).contains(&self.log.last_stable_offset(published)),
            "the last stable offset lies between log start and high watermark"
        );
        if before < offset {
            self.wake();
        }
    }

    pub(super) fn wake(&self) {
        self.waiters.wake();
    }
}
