//! A partition: a log, how far consumers may read it, and the fetches that wait for more.
//!
//! ```text
//!   log start            high watermark      log end
//!       │                       │               │
//!       ▼                       ▼               ▼
//!       ├───────────────────────┼───────────────┤
//!       │ consumers read these  │ written, not  │ ◀── the one writer, under a lock that is
//!       │                       │ yet published │     never held across an await
//! ```
//!
//! An append writes into the page cache on the caller's thread. [`Partition::commit`] then waits
//! for the promised durability (`group_commit`), moves the high watermark, and wakes the fetches
//! that wait (`progress`, `waiters`).
//!
//! Invariants:
//! - log start ≤ last stable offset ≤ high watermark ≤ log end, asserted whenever one is published;
//!   the high watermark never goes back while the broker runs;
//! - one writer at a time, and readers never block it;
//! - an append that is refused, because the disk is full or no file can be opened, leaves the
//!   partition online, and the next one is tried (`refusals`);
//! - once a sync has failed, every append and read fails and nothing is published: what is on the
//!   disk is unknown, and the partition is offline until the broker restarts and recovers it
//!   (`state`).

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use brooklet_log::clock::Clock;
use brooklet_log::epochs::LeaderEpochs;
use brooklet_log::vfs::{Vfs, is_out_of_room};
use brooklet_log::{
    Appended, Log, LogConfig, LogError, LogReader, LogSync, Maintenance, RecoveryReport,
    RecoveryStart,
};
use brooklet_protocol::records::RecordBatch;
use brooklet_protocol::{LeaderEpoch, Offset, TopicPartition};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::counters::Traffic;

mod state;

mod progress;
mod waiters;

mod group_commit;

mod dirty;

mod reading;
mod transactions;

mod cleaning;

mod refusals;
mod reports;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub use dirty::DirtyBudget;
use dirty::DirtyBytes;
use group_commit::{GroupCommit, Unsynced};
use progress::Progress;
pub use refusals::Refusal;
use refusals::{Refusals, Refused};
use reports::Reports;
pub use state::{OfflinePartition, PartitionState};
pub use transactions::Unverified;
pub use waiters::ChangeGuard;

/// When an append is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Once the bytes are in the page cache (`acks` 0 and 1).
    Written,
    /// Once they are synced (`acks=all`), by group commit.
    Synced,
}

/// What a partition is opened with.
#[derive(Debug)]
pub struct PartitionSetup<'a> {
    /// The file system of `dir`.
    pub vfs: Arc<dyn Vfs>,
    /// The clock by which segments and producers age.
    pub clock: Arc<dyn Clock>,
    /// The topic-partition.
    pub id: TopicPartition,
    /// The log's directory.
    pub dir: &'a Path,
    /// The topic's settings.
    pub config: LogConfig,
    /// What is known of the log before it is opened.
    pub start: RecoveryStart,
    /// The budget that unsynced bytes count against. Without one nothing is ever synced, and what
    /// is written counts as durable.
    pub dirty: Option<&'a Arc<DirtyBudget>>,
}

/// One partition: a log, its high watermark, and the fetches that wait for more.
#[derive(Debug)]
pub struct Partition {
    id: TopicPartition,
    dir: PathBuf,
    vfs: Arc<dyn Vfs>,
    clock: Arc<dyn Clock>,
    /// Whether syncs happen at all: not in an ephemeral broker.
    sync: bool,
    /// `None` once closed.
    writer: Mutex<Option<Log>>,
    /// Beside the writer, whose lock may be held while the disk is slow.
    closed: AtomicBool,
    /// Markers that were appended since the open.
    markers: AtomicU64,
    /// The log's end when [`Partition::tend`] last looked whether the partition is idle.
    end_seen: AtomicI64,
    /// It does not change while the partition is open: a single broker never hands over leadership.
    epochs: LeaderEpochs,
    reader: LogReader,
    maintenance: Maintenance,
    progress: Arc<Progress>,
    commits: Arc<GroupCommit>,
    traffic: Traffic,
    refusals: Refusals,
    reports: Reports,
}

impl Partition {
    /// Opens or creates the log. Blocks.
    ///
    /// # Errors
    /// As [`Log::open`].
    pub fn open(setup: PartitionSetup<'_>) -> Result<(Arc<Self>, RecoveryReport), LogError> {
        let PartitionSetup {
            vfs, dir, dirty, ..
        } = setup;
        let (mut log, report) = Log::open(Arc::clone(&vfs), dir, setup.config, setup.start)?;
        let (reader, maintenance) = (log.reader(), log.maintenance());
        let epochs = LeaderEpochs::read(&*vfs, dir, &maintenance);
        // Until it is written to, it costs no descriptor: a topic may have thousands of partitions.
        log.close_opened();
        let progress = Arc::new(Progress::new(reader.clone()));
        let partition = Self {
            id: setup.id,
            dir: dir.to_owned(),
            vfs,
            clock: setup.clock,
            sync: dirty.is_some(),
            commits: Arc::new(GroupCommit::new(
                reader.clone(),
                log.sync_handle(),
                Arc::clone(&progress),
                dirty.map(|budget| DirtyBytes::new(Arc::clone(budget))),
            )),
            writer: Mutex::new(Some(log)),
            closed: AtomicBool::new(false),
            markers: AtomicU64::new(0),
            end_seen: AtomicI64::new(-1),
            epochs,
            reader,
            maintenance,
            progress,
            traffic: Traffic::default(),
            refusals: Refusals::default(),
            reports: Reports::default(),
        };
        Ok((Arc::new(partition), report))
    }

    /// The topic-partition.
    pub fn id(&self) -> &TopicPartition {
        &self.id
    }

    /// What clients have produced to it and fetched from it since the start.
    pub fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// The current leader epoch.
    pub fn leader_epoch(&self) -> LeaderEpoch {
        self.epochs.current()
    }

    /// Where a leader epoch ends; see [`LeaderEpochs::end_of`].
    pub fn end_of_epoch(&self, epoch: LeaderEpoch) -> Option<(LeaderEpoch, Offset)> {
        let log = (self.log_start_offset(), self.log_end_offset());
        self.epochs.end_of(epoch, log)
    }

    /// Changes the log's settings from now on; does nothing once it is closed.
    pub fn set_config(&self, config: LogConfig) {
        if let Some(log) = self.writer.lock().as_mut() {
            log.set_config(config);
        }
    }

    /// Appends checked batches, in order, on the caller's thread; the answer waits for
    /// `durability`.
    ///
    /// # Errors
    /// The disk, or offline.
    pub async fn append(
        &self,
        batches: &[RecordBatch],
        durability: Durability,
    ) -> Result<Appended, LogError> {
        let appended = self.append_written(batches)?;
        self.commit(appended.last_offset.plus(1), durability)
            .await?;
        Ok(appended)
    }

    /// Appends without waiting for a sync, and without publishing: the high watermark moves in
    /// [`Partition::commit`]. If one batch fails, those before it are in the log, unpublished.
    ///
    /// # Errors
    /// The disk, or offline.
    pub fn append_written(&self, batches: &[RecordBatch]) -> Result<Appended, LogError> {
        let mut writer = self.writer.lock();
        let log = writer.as_mut().ok_or_else(|| self.closed())?;
        self.append_to(log, batches)
    }

    fn append_to(&self, log: &mut Log, batches: &[RecordBatch]) -> Result<Appended, LogError> {
        self.check_serving()?;
        let now = self.clock.wall();
        let end = self.reader.log_end_offset();
        let mut appended = Appended {
            base_offset: end,
            last_offset: end.plus(-1),
            is_duplicate: false,
        };
        let mut bytes = 0;
        let outcome = batches.iter().enumerate().try_for_each(|(number, batch)| {
            let landed = log.append(batch, self.leader_epoch(), now)?;
            if number == 0 {
                appended = landed;
            }
            appended.last_offset = appended.last_offset.max(landed.last_offset);
            bytes += batch.bytes().len() as u64;
            Ok(())
        });
        self.commits.note_appended(bytes);
        match &outcome {
            Ok(()) => self.refusals.clear(Refused::Append),
            Err(error) => self.note_refused(error),
        }
        outcome.map(|()| appended)
    }

    /// Remembers that the disk has refused an append.
    fn note_refused(&self, error: &LogError) {
        if let LogError::Io { source, .. } = error {
            let (is_full, now) = (is_out_of_room(source), self.clock.monotonic());
            (self.refusals).note(Refused::Append, error.to_string(), is_full, now);
        }
    }

    /// Why it takes no records at the moment, although it is online; `None` if it takes them.
    pub fn refusal(&self) -> Option<Refusal> {
        let free_bytes = || self.vfs.free_bytes(&self.dir).ok();
        self.refusals.standing(self.clock.monotonic(), free_bytes)
    }

    /// Whether to log `message` about this partition; false if it was logged a moment ago.
    pub fn is_news(&self, message: &str) -> bool {
        self.reports.is_news(message, self.clock.monotonic())
    }

    /// Seals the active segment, unless it is empty. Blocks.
    ///
    /// # Errors
    /// The disk, or offline.
    pub fn roll_if_filled(&self) -> Result<(), LogError> {
        let mut writer = self.writer.lock();
        let log = writer.as_mut().ok_or_else(|| self.closed())?;
        self.check_serving()?;
        log.roll_if_filled()
    }

    /// Moves the log start to `offset`, unless it is there or beyond: what is below is not served
    /// any longer. What is deleted is made durable before, so that the log never ends below
    /// its start. Returns the log start, which the caller has to write down.
    ///
    /// # Errors
    /// `OffsetOutOfRange` above the high watermark; the disk; offline.
    pub async fn delete_records(&self, offset: Offset) -> Result<Offset, LogError> {
        self.check_serving()?;
        let (start, end) = (self.log_start_offset(), self.high_watermark());
        if offset < Offset::ZERO || offset > end {
            return Err(LogError::OffsetOutOfRange {
                requested: offset,
                start,
                end,
            });
        }
        if offset > start {
            self.commit(offset, Durability::Synced).await?;
        }
        Ok(self.maintenance.advance_log_start(offset))
    }

    /// Periodic work: forgets silent producers and writes the producers' state down. If nothing was
    /// appended since the last call, it closes the open file: most partitions are idle, and
    /// descriptors are scarce. Blocks for a moment.
    pub fn tend(&self, producer_age_max: Duration) {
        if let Some(log) = self.writer.lock().as_mut() {
            log.tend_producers(self.clock.wall(), producer_age_max);
        }
        self.log_sync().forget_ended_below(self.settled_watermark());
        let end = self.log_end_offset();
        let was_seen = self.end_seen.swap(end.0, Ordering::Relaxed) == end.0;
        if was_seen {
            self.rest();
        }
    }

    /// Closes the open file, unless a write is under way or something is not synced. Returns
    /// whether there was one.
    pub fn rest(&self) -> bool {
        // A partition whose lock is held is not idle.
        let mut writer = self.writer.try_lock();
        let log = writer.as_mut().and_then(|writer| writer.as_mut());
        log.is_some_and(Log::rest)
    }

    /// The side of the log that takes old records away.
    pub fn maintenance(&self) -> &Maintenance {
        &self.maintenance
    }

    /// Starts the sync that [`Partition::commit`] with [`Durability::Synced`] waits for, so that
    /// those of several partitions overlap. Needs a runtime.
    pub fn begin_commit(&self, offset: Offset) {
        if self.sync {
            self.commits.begin(offset);
        }
    }

    /// Waits until everything below `offset` has `durability`, then publishes it: the high
    /// watermark is at least `offset`. Where `flush.messages` or the bound on dirty bytes ask for
    /// it, it waits for a sync in any case. May be dropped while it waits: the sync goes on.
    ///
    /// # Errors
    /// The sync failed.
    pub async fn commit(&self, offset: Offset, durability: Durability) -> Result<(), LogError> {
        if self.sync && (durability == Durability::Synced || self.has_to_flush(offset)) {
            let synced = self.commits.wait(offset).await;
            synced.map_err(|unsynced| self.not_synced(unsynced))?;
            self.refusals.clear(Refused::Sync);
        }
        // What a damaged snapshot says of a batch that was sent twice may lie beyond the log.
        self.progress.publish(offset.min(self.log_end_offset()));
        Ok(())
    }

    /// Whether an append up to `offset` waits for a sync that it did not ask for.
    fn has_to_flush(&self, offset: Offset) -> bool {
        let unsynced = offset.0.saturating_sub(self.commits.durable().0);
        let is_enough = u64::try_from(unsynced).is_ok_and(|n| n >= self.flush_messages());
        is_enough || self.commits.is_too_dirty()
    }

    fn flush_messages(&self) -> u64 {
        self.reader.config().flush_messages
    }

    /// `flush.ms`: how long records may be unsynced.
    pub fn flush_age_max(&self) -> Duration {
        self.reader.config().flush_age_max
    }

    /// Makes durable what is in the log now.
    ///
    /// # Errors
    /// The sync failed.
    pub async fn flush(&self) -> Result<(), LogError> {
        self.commit(self.log_end_offset(), Durability::Synced).await
    }

    /// How many syncs there were since the open; many appends share one.
    pub fn sync_count(&self) -> u64 {
        self.commits.sync_count()
    }

    /// Whether a flush has something to do.
    pub fn is_dirty(&self) -> bool {
        self.sync && self.commits.durable() < self.log_end_offset() && !self.is_offline()
    }

    /// Offset of the first record still there.
    pub fn log_start_offset(&self) -> Offset {
        self.reader.log_start_offset()
    }

    /// Offset the next record will get.
    pub fn log_end_offset(&self) -> Offset {
        self.reader.log_end_offset()
    }

    /// The log, for look-ups by time and for sizes.
    pub fn log(&self) -> &LogReader {
        &self.reader
    }

    /// The side of the log that makes records and their indexes durable.
    pub fn log_sync(&self) -> &LogSync {
        self.commits.log_sync()
    }

    /// Whether a sync or a write has failed for good, or the partition was closed: it serves
    /// nothing. Never waits for the disk.
    pub fn is_offline(&self) -> bool {
        self.check_serving().is_err()
    }

    /// Refuses to serve what is offline or closed.
    ///
    /// # Errors
    /// Offline, or closed.
    pub fn check_serving(&self) -> Result<(), LogError> {
        if self.closed.load(Ordering::Acquire) {
            return Err(self.closed());
        }
        if self.commits.has_failed() || self.reader.is_offline() {
            return Err(self.offline());
        }
        Ok(())
    }

    /// While the guard lives, `waiter` is notified at each change: the high watermark moves, the
    /// partition goes offline or is closed.
    pub fn notify_on_change(&self, waiter: &Arc<Notify>) -> ChangeGuard {
        self.progress.waiters().register(waiter)
    }

    /// Syncs (unless ephemeral) and closes; later appends fail. Returns the recovery point. Blocks.
    /// Closing again does nothing.
    ///
    /// # Errors
    /// The disk.
    pub fn close(&self) -> Result<Offset, LogError> {
        let log = self.writer.lock().take();
        self.commits.forget_dirty();
        self.closed.store(true, Ordering::Release);
        self.progress.wake();
        match log {
            Some(log) if self.sync => log.close(),
            Some(_) | None => Ok(self.reader.recovery_point()),
        }
    }

    /// How many wait for a change.
    #[cfg(test)]
    pub(crate) fn waiter_count(&self) -> usize {
        self.progress.waiters().count()
    }

    fn not_synced(&self, unsynced: Unsynced) -> LogError {
        let Unsynced::NotTried(reason) = unsynced else {
            return self.offline();
        };
        let now = self.clock.monotonic();
        (self.refusals).note(Refused::Sync, reason.clone(), false, now);
        LogError::NotSynced {
            path: self.dir.clone(),
            reason,
        }
    }

    fn offline(&self) -> LogError {
        LogError::Offline {
            path: self.dir.clone(),
        }
    }

    fn closed(&self) -> LogError {
        LogError::Closed {
            path: self.dir.clone(),
        }
    }
}
