//! Group commit: many waiters, one `fdatasync`.
//!
//! An append with `acks=all` is answered once its bytes are on the disk. A sync takes as long for
//! one batch as for a hundred, so appends share syncs:
//!
//! ```text
//!  append 7 ──wants 8──▶ idle ──▶ leader: sync ─────────▶ durable 8 ──▶ wake 7
//!  append 8 ───────────wants 9──▶ waits  │                   │
//!  append 9 ───────────wants 10─▶ waits  └ appended meanwhile ▶ sync ▶ durable 10 ─▶ wake 8, 9
//! ```
//!
//! The leader is no special thread: it is a blocking task that the first waiter spawns and that
//! ends once nothing more is wanted. It outlives the request that spawned it, so a client that
//! hangs up does not cancel the sync of another.
//!
//! Invariants: at most one sync runs; `durable` only grows; after a failed sync nothing is ever
//! called durable again (the kernel may have dropped the dirty pages, and reports that only once).
//! A sync that could not be tried, for want of a descriptor, has not failed: its waiters are
//! refused, and the next one may succeed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use brooklet_log::{LogReader, LogSync};
use brooklet_protocol::Offset;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::dirty::DirtyBytes;
use super::progress::Progress;

/// The syncs of one partition.
#[derive(Debug)]
pub(super) struct GroupCommit {
    log: LogReader,
    log_sync: LogSync,
    progress: Arc<Progress>,
    /// `None` where nothing is ever synced.
    dirty: Option<DirtyBytes>,
    state: Mutex<State>,
    round: Notify,
    syncs: AtomicU64,
}

#[derive(Debug)]
struct State {
    /// Everything below it is on the disk.
    durable: Offset,
    /// A waiter wants everything below it to be.
    wanted: Offset,
    leader_runs: bool,
    failed: bool,
    /// How many syncs could not be tried, and why the last one could not.
    refusals: u64,
    reason: String,
}

/// Why an append is not durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unsynced {
    /// The sync failed; the log has the reason.
    Failed,
    /// No sync could be tried.
    NotTried(String),
}

impl GroupCommit {
    pub(super) fn new(
        log: LogReader,
        log_sync: LogSync,
        progress: Arc<Progress>,
        dirty: Option<DirtyBytes>,
    ) -> Self {
        let state = State {
            durable: log.recovery_point(),
            wanted: Offset::ZERO,
            leader_runs: false,
            failed: false,
            refusals: 0,
            reason: String::new(),
        };
        Self {
            log,
            log_sync,
            progress,
            dirty,
            state: Mutex::new(state),
            round: Notify::new(),
            syncs: AtomicU64::new(0),
        }
    }

    /// Counts what was appended, and writes behind when it is enough.
    pub(super) fn note_appended(self: &Arc<Self>, bytes: u64) {
        if self.dirty.as_ref().is_some_and(|dirty| dirty.add(bytes)) {
            self.begin(self.log.log_end_offset());
        }
    }

    /// Whether so much is unsynced that an append has to wait for a sync.
    pub(super) fn is_too_dirty(&self) -> bool {
        self.dirty.as_ref().is_some_and(DirtyBytes::is_too_much)
    }

    /// What is dirty will not be synced, and no longer counts.
    pub(super) fn forget_dirty(&self) {
        if let Some(dirty) = &self.dirty {
            dirty.synced(dirty.appended());
        }
    }

    /// What syncs the log.
    pub(super) fn log_sync(&self) -> &LogSync {
        &self.log_sync
    }

    /// How many syncs there were.
    pub(super) fn sync_count(&self) -> u64 {
        self.syncs.load(Ordering::Relaxed)
    }

    /// Everything below it is on the disk.
    pub(super) fn durable(&self) -> Offset {
        self.state.lock().durable
    }

    /// Whether a sync has failed.
    pub(super) fn has_failed(&self) -> bool {
        self.state.lock().failed
    }

    /// Makes sure that everything below `offset` gets synced, without waiting for it. Returns how
    /// many syncs could not be tried so far.
    pub(super) fn begin(self: &Arc<Self>, offset: Offset) -> u64 {
        let mut state = self.state.lock();
        // A sync cannot reach what is not in the log yet.
        let offset = offset.min(self.log.log_end_offset());
        state.wanted = state.wanted.max(offset);
        if state.durable < offset && !state.failed && !state.leader_runs {
            state.leader_runs = true;
            let commits = Arc::clone(self);
            tokio::task::spawn_blocking(move || commits.lead());
        }
        state.refusals
    }

    /// Waits until everything below `offset` is on the disk.
    pub(super) async fn wait(self: &Arc<Self>, offset: Offset) -> Result<(), Unsynced> {
        let refusals = self.begin(offset);
        let offset = offset.min(self.log.log_end_offset());
        loop {
            let round = self.round.notified();
            tokio::pin!(round);
            // Registered before the state is read, so that no round in between is missed.
            round.as_mut().enable();
            {
                let state = self.state.lock();
                if state.durable >= offset {
                    return Ok(());
                }
                if state.failed {
                    return Err(Unsynced::Failed);
                }
                if state.refusals > refusals {
                    return Err(Unsynced::NotTried(state.reason.clone()));
                }
            }
            round.await;
        }
    }

    /// Syncs until nothing more is wanted.
    fn lead(&self) {
        loop {
            let appended = self.dirty.as_ref().map(DirtyBytes::appended);
            let synced = self.log_sync.sync();
            self.syncs.fetch_add(1, Ordering::Relaxed);
            let was_tried = synced.is_ok() || self.log.is_offline();
            if let Some((dirty, appended)) = self.dirty.as_ref().zip(appended)
                && was_tried
            {
                // A failed one, too: the partition is offline and must not hold up others.
                dirty.synced(appended);
            }
            let mut state = self.state.lock();
            match synced {
                Ok(durable) => {
                    state.durable = state.durable.max(durable);
                    self.progress.publish(state.durable);
                }
                Err(error) if !was_tried => {
                    state.refusals += 1;
                    state.reason = error.to_string();
                }
                Err(error) => {
                    tracing::error!("{error}; the partition is offline until the broker restarts");
                    state.failed = true;
                    self.progress.wake();
                }
            }
            let done = state.failed || !was_tried || state.durable >= state.wanted;
            state.leader_runs = !done;
            drop(state);
            self.round.notify_waiters();
            if done {
                return;
            }
        }
    }
}
