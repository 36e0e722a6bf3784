//! What the broker does by itself: it syncs what `acks=1` has left in the page cache, and writes
//! down how far each log is synced.
//!
//! ```text
//!  every log.flush.interval.ms   every partition with unsynced records: fdatasync, some at a time
//!  every flush.ms of a topic     its partitions, where that is shorter
//!  every 5 seconds, if changed   recovery-point-offset-checkpoint (after the syncs it speaks of);
//!                                partitions forget silent producers, and without appends since the
//!                                last time let go of their files
//!  with it                       replication-offset-checkpoint, for whoever looks
//!  earlier, after 256 MiB        the same checkpoint: what lies behind it is scanned after a crash
//! ```
//!
//! The checkpoint tells a torn tail from damage after a crash. It may be old: what it does not
//! vouch for is scanned.

use std::sync::Arc;
use std::time::Duration;

use brooklet_protocol::TopicPartition;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::data_dir::DataDir;
use crate::clock::{Clock, Monotonic};
use crate::controller::Controller;
use crate::log::checkpoint::{Checkpoint, CheckpointError};
use crate::partition::{DirtyBudget, Partition};

const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(5);
/// Bytes that a scan after a crash reads in well under a second.
const CHECKPOINT_BYTES: u64 = 256 << 20;
/// Partitions synced at a time; more would only queue up at the disk.
const SYNCS_MAX: usize = 16;

pub(super) struct Background {
    pub(super) controller: Arc<Controller>,
    pub(super) coordination: Arc<Partition>,
    pub(super) data: Arc<DataDir>,
    pub(super) dirty: Arc<DirtyBudget>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) flush_interval: Duration,
    pub(super) producer_age_max: Duration,
    pub(super) shutdown: watch::Receiver<bool>,
}

impl Background {
    /// Runs until shutdown.
    pub(super) async fn run(mut self) {
        let mut written = Checkpoint::new();
        let mut next_checkpoint = self.in_time(CHECKPOINT_INTERVAL);
        let mut bytes_vouched_for = 0;
        let mut next_full_flush = self.in_time(self.flush_interval);
        loop {
            // Some topics may ask for it more often.
            let interval = self.flush_interval_min();
            let next_flush = self.in_time(interval);
            tokio::select! {
                biased;
                _ = self.shutdown.wait_for(|stop| *stop) => return,
                () = self.clock.sleep_until(next_flush) => {}
            }
            let is_time = self.clock.monotonic() >= next_full_flush;
            self.flush(is_time).await;
            if is_time {
                next_full_flush = self.in_time(self.flush_interval);
            }
            let bytes = self.dirty.synced_bytes();
            let is_time = self.clock.monotonic() >= next_checkpoint;
            if is_time || bytes - bytes_vouched_for >= CHECKPOINT_BYTES {
                self.checkpoint(&mut written).await;
                bytes_vouched_for = bytes;
            }
            if is_time {
                self.tend().await;
                next_checkpoint = self.in_time(CHECKPOINT_INTERVAL);
            }
        }
    }

    /// The shortest time after which anything is to be synced; at least a millisecond.
    fn flush_interval_min(&self) -> Duration {
        let image = self.controller.image();
        let intervals = image
            .partitions()
            .map(|partition| partition.flush_age_max());
        intervals
            .fold(self.flush_interval, Duration::min)
            .max(Duration::from_millis(1))
    }

    /// Syncs all partitions that have something, or only those whose `flush.ms` is shorter than the
    /// broker's interval.
    async fn flush(&self, all: bool) {
        let image = self.controller.image();
        let dirty: Vec<_> = image
            .partitions()
            .filter(|p| p.is_dirty() && (all || p.flush_age_max() < self.flush_interval))
            .cloned()
            .collect();
        for some in dirty.chunks(SYNCS_MAX) {
            let mut syncs = JoinSet::new();
            for partition in some {
                let partition = Arc::clone(partition);
                // A failure takes the partition offline, which has been logged.
                syncs.spawn(async move { partition.flush().await.is_ok() });
            }
            syncs.join_all().await;
        }
    }

    async fn tend(&self) {
        let (image, age_max) = (self.controller.image(), self.producer_age_max);
        let tending = tokio::task::spawn_blocking(move || {
            image
                .partitions()
                .for_each(|partition| partition.tend(age_max));
        });
        if let Err(error) = tending.await {
            tracing::error!("tending the partitions was cut short: {error}");
        }
    }

    async fn checkpoint(&self, written: &mut Checkpoint) {
        let (controller, coordination) = (self.controller.clone(), self.coordination.clone());
        let (data, before) = (Arc::clone(&self.data), std::mem::take(written));
        let writing = tokio::task::spawn_blocking(move || {
            settle_all(&controller, &coordination);
            let points = || recovery_points(controller.recovery_points(), &coordination);
            if points() == before {
                return Ok(before);
            }
            let points = data.checkpoints.recovery_points.write(points)?;
            let watermarks = || high_watermarks(&controller, &coordination);
            data.checkpoints.high_watermarks.write(watermarks)?;
            Ok::<_, CheckpointError>(points)
        });
        match writing.await {
            Ok(Ok(points)) => *written = points,
            Ok(Err(error)) => tracing::warn!("{error}"),
            Err(error) => tracing::error!("writing the recovery points was cut short: {error}"),
        }
    }

    fn in_time(&self, time: Duration) -> Monotonic {
        Monotonic(self.clock.monotonic().0.saturating_add(time))
    }
}

/// Brings the indexes to the disk, so that new recovery points may be written down. Where that fails
/// the old one stays.
fn settle_all(controller: &Controller, coordination: &Partition) {
    let image = controller.image();
    let partitions = image.partitions().map(|partition| &**partition);
    for partition in partitions.chain([coordination]) {
        let log = partition.log();
        if log.settled_point() < log.recovery_point()
            && let Err(error) = log.settle()
        {
            tracing::warn!("{}: the recovery point stays: {error}", partition.id());
        }
    }
}

/// How far consumers may read, of every partition that is open.
pub(super) fn high_watermarks(controller: &Controller, coordination: &Partition) -> Checkpoint {
    let image = controller.image();
    let partitions = image.partitions().map(|partition| &**partition);
    let all = partitions.chain([coordination]);
    all.map(|partition| (partition.id().clone(), partition.high_watermark()))
        .collect()
}

/// Those of the topics, with that of the coordination log.
pub(super) fn recovery_points(mut of_topics: Checkpoint, coordination: &Partition) -> Checkpoint {
    let id: TopicPartition = coordination.id().clone();
    of_topics.insert(id, coordination.log().settled_point());
    of_topics
}
