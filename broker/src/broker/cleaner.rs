//! Removes old records in the background: by age and size (retention), and by key (compaction).
//!
//! ```text
//!  every log.retention.check.interval.ms   retention, every partition
//!  every log.cleaner.backoff.ms            compaction, the dirtiest log first, until none is due;
//!                                          files of deleted segments, file.delete.delay.ms later
//! ```
//!
//! One thread does it, separate from those that answer requests, so that a broker under load has
//! only one more reader and writer on its disk. A log that cannot be compacted because it is
//! damaged is logged once and skipped until the broker restarts; the others are not affected.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use brooklet_log::LogError;
use brooklet_log::clock::Clock;
use brooklet_protocol::{Monotonic, Offset, TopicPartition};
use tokio::sync::watch;
use tokio::task::spawn_blocking;

use super::config::CleanerConfig;
use super::data_dir::DataDir;
use super::errors::checkpoint_error;
use crate::controller::{Controller, joined};
use crate::partition::Partition;

#[derive(Debug)]
pub(super) struct Cleaner {
    pub(super) controller: Arc<Controller>,
    pub(super) data: Arc<DataDir>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) config: CleanerConfig,
    pub(super) shutdown: watch::Receiver<bool>,
    /// Logs that are damaged, with the id of their topic.
    pub(super) uncleanable: parking_lot::Mutex<BTreeSet<(uuid::Uuid, TopicPartition)>>,
}

impl Cleaner {
    /// Runs until shutdown.
    pub(super) async fn run(self: Arc<Self>) {
        let stop = Arc::new(AtomicBool::new(false));
        let mut shutdown = self.shutdown.clone();
        let mut next_retention = self.in_time(self.config.retention_check_interval);
        loop {
            let next_pass = self.in_time(self.config.backoff).min(next_retention);
            tokio::select! {
                biased;
                _ = shutdown.wait_for(|stop| *stop) => return,
                () = self.clock.sleep_until(next_pass) => {}
            }
            if self.clock.monotonic() >= next_retention {
                self.on_thread(|cleaner, _| cleaner.retain_all(), &stop)
                    .await;
                next_retention = self.in_time(self.config.retention_check_interval);
            }
            let mut cleaning = std::pin::pin!(self.on_thread(Self::clean_all, &stop));
            let is_done = tokio::select! {
                () = &mut cleaning => true,
                _ = shutdown.wait_for(|stop| *stop) => false,
            };
            if !is_done {
                stop.store(true, Ordering::Relaxed);
                cleaning.await;
            }
        }
    }

    async fn on_thread(self: &Arc<Self>, work: fn(&Self, &AtomicBool), stop: &Arc<AtomicBool>) {
        let (cleaner, stop) = (Arc::clone(self), Arc::clone(stop));
        joined(spawn_blocking(move || work(&cleaner, &stop)).await);
    }

    /// Applies retention to every partition. Blocks.
    pub(super) fn retain_all(&self) {
        for partition in self.controller.image().partitions() {
            report(partition, "retention", partition.apply_retention());
        }
    }

    /// Compacts what is due, dirtiest first, and removes the files of deleted segments. Blocks.
    pub(super) fn clean_all(&self, stop: &AtomicBool) {
        if self.config.enable {
            let mut cleaned = BTreeSet::new();
            while let Some((topic, partition)) = self.dirtiest(&cleaned) {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                cleaned.insert((topic, partition.id().clone()));
                self.clean(topic, &partition, stop);
            }
        }
        for partition in self.controller.image().partitions() {
            report(
                partition,
                "removal of deleted files",
                partition.remove_retired(),
            );
        }
    }

    fn clean(&self, topic: uuid::Uuid, partition: &Arc<Partition>, stop: &AtomicBool) {
        let id = partition.id().clone();
        let write_down = |offset: Offset| -> Result<(), LogError> {
            if self.data.is_ephemeral {
                return Ok(());
            }
            let files = &self.data.checkpoints;
            let written = files.make();
            let written = written.and_then(|()| files.cleaner_offsets.raise(&id, offset));
            written.map_err(checkpoint_error)
        };
        let done = partition.compact(self.config.dedupe_buffer_bytes, stop, write_down);
        if let Err(LogError::Corrupt { .. } | LogError::Unreadable { .. }) = &done {
            tracing::error!(
                "{id}: log is damaged and will not be compacted until the broker restarts"
            );
            self.uncleanable.lock().insert((topic, id.clone()));
        }
        report(partition, "compaction", done);
    }

    /// The log with the highest dirty ratio among those that are due and not `cleaned`.
    fn dirtiest(
        &self,
        cleaned: &BTreeSet<(uuid::Uuid, TopicPartition)>,
    ) -> Option<(uuid::Uuid, Arc<Partition>)> {
        let image = self.controller.image();
        let uncleanable = self.uncleanable.lock();
        let mut dirtiest: Option<(f64, (uuid::Uuid, Arc<Partition>))> = None;
        for topic in image.topics.values() {
            for partition in topic.partitions.iter().filter_map(|state| state.open()) {
                let key = (topic.id, partition.id().clone());
                let is_candidate = partition.log().config().cleanup.compact
                    && !cleaned.contains(&key)
                    && !uncleanable.contains(&key);
                if !is_candidate {
                    continue;
                }
                let Some(dirt) = report(partition, "measuring the dirty part", partition.dirt())
                else {
                    continue;
                };
                let is_dirtier = dirtiest
                    .as_ref()
                    .is_none_or(|(ratio, _)| dirt.ratio > *ratio);
                if dirt.is_due && is_dirtier {
                    dirtiest = Some((dirt.ratio, (topic.id, Arc::clone(partition))));
                }
            }
        }
        dirtiest.map(|(_, found)| found)
    }

    fn in_time(&self, time: Duration) -> Monotonic {
        Monotonic(self.clock.monotonic().0.saturating_add(time))
    }
}

/// Logs a failure, which is handled here: the next pass retries.
fn report<T>(partition: &Partition, what: &str, outcome: Result<T, LogError>) -> Option<T> {
    match outcome {
        Ok(done) => Some(done),
        Err(_) if partition.is_offline() => None,
        Err(error) => {
            tracing::warn!("{}: {what}: {error}", partition.id());
            None
        }
    }
}
