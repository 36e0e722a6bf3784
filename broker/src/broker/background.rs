//! Background work: syncing what `acks=1` has left in the page cache, and writing the recovery
//! points.
//!
//! ```text
//!  every flush.ms of a topic     its partitions with unsynced records: fdatasync, some at a time;
//!                                log.flush.interval.ms for topics that do not say
//!  every second                  is the data directory still there? if not, nothing else is done
//!  every 5 seconds, if changed   recovery-point-offset-checkpoint (after the syncs it speaks of);
//!                                partitions forget silent producers; those without appends since
//!                                the last time close their files
//!  with it                       replication-offset-checkpoint, for other tools
//!  every second                  partitions that accept no records, because the disk is full or no
//!                                file can be opened, are logged: at once, and then each minute
//!  earlier, after 256 MiB        the same checkpoint: what lies behind it is scanned after a crash
//! ```
//!
//! The checkpoint tells a torn tail from damage after a crash. It may be old: what it does not
//! vouch for is scanned.
//!
//! There is one timer for each `flush.ms` of any topic, and it keeps running while its partitions
//! are clean: so a record never waits longer than that for its sync.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use brooklet_log::checkpoint::{Checkpoint, CheckpointError};
use brooklet_log::clock::Clock;
use brooklet_log::trim_read_buffers;
use brooklet_protocol::{Monotonic, TopicPartition};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::data_dir::DataDir;
use super::opening::write_unchecked_offsets;
use crate::controller::Controller;
use crate::partition::{DirtyBudget, Partition};

const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(5);
/// How often to check whether anything is due, or a topic was given a shorter `flush.ms`.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// The shortest `flush.ms` in effect: a timer that is always due would spin.
const FLUSH_INTERVAL_MIN: Duration = Duration::from_millis(1);
/// Bytes that a scan after a crash reads in well under a second.
const CHECKPOINT_BYTES: u64 = 256 << 20;
/// The time between two log lines about partitions that accept no records.
const REFUSAL_INTERVAL: Duration = Duration::from_secs(60);
/// Partitions synced at a time; more would only queue up at the disk.
const SYNCS_MAX: usize = 16;

pub(super) struct Background {
    pub(super) controller: Arc<Controller>,
    pub(super) coordination: Arc<Partition>,
    pub(super) data: Arc<DataDir>,
    pub(super) dirty: Arc<DirtyBudget>,
    pub(super) clock: Arc<dyn Clock>,
    /// The default of topics, including topics that do not exist yet.
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
        let (mut next_check, mut is_there) = (self.in_time(LOOK_INTERVAL), true);
        let mut timers = FlushTimers::default();
        let mut refusals = RefusalReports::default();
        loop {
            timers.keep(&self.flush_intervals(), self.clock.monotonic());
            let next_look = timers.next().min(self.in_time(LOOK_INTERVAL));
            tokio::select! {
                biased;
                _ = self.shutdown.wait_for(|stop| *stop) => return,
                () = self.clock.sleep_until(next_look) => {}
            }
            let due = timers.take_due(self.clock.monotonic());
            if self.clock.monotonic() >= next_check {
                is_there = self.is_data_there().await;
                next_check = self.in_time(LOOK_INTERVAL);
            }
            if !is_there {
                // Nothing that is written now would be found again.
                continue;
            }
            self.flush(&due).await;
            let bytes = self.dirty.synced_bytes();
            let is_time = self.clock.monotonic() >= next_checkpoint;
            if is_time || bytes - bytes_vouched_for >= CHECKPOINT_BYTES {
                self.checkpoint(&mut written).await;
                bytes_vouched_for = bytes;
            }
            if refusals.is_time(self.clock.monotonic()) {
                refusals.report(&self.refusals().await, self.clock.monotonic());
            }
            if is_time {
                self.tend().await;
                trim_read_buffers();
                next_checkpoint = self.in_time(CHECKPOINT_INTERVAL);
            }
        }
    }

    /// Whether the data directory is still there; logs it if not.
    async fn is_data_there(&self) -> bool {
        let watched = Arc::clone(&self.data.watched);
        let checked = tokio::task::spawn_blocking(move || watched.check()).await;
        matches!(checked, Ok(Ok(())))
    }

    /// All values of `flush.ms` in use.
    fn flush_intervals(&self) -> BTreeSet<Duration> {
        let image = self.controller.image();
        let of_topics = image
            .partitions()
            .map(|partition| flush_interval(partition));
        of_topics
            .chain([self.flush_interval.max(FLUSH_INTERVAL_MIN)])
            .collect()
    }

    /// Syncs the dirty partitions that have one of these intervals.
    async fn flush(&self, due: &BTreeSet<Duration>) {
        if due.is_empty() {
            return;
        }
        let image = self.controller.image();
        let dirty: Vec<_> = image
            .partitions()
            .filter(|partition| partition.is_dirty() && due.contains(&flush_interval(partition)))
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

    /// Each partition that accepts no records now, with the reason.
    async fn refusals(&self) -> Vec<String> {
        let (image, coordination) = (self.controller.image(), self.coordination.clone());
        let looking = tokio::task::spawn_blocking(move || {
            let partitions = image.partitions().chain([&coordination]);
            let refusing = partitions.filter_map(|partition| {
                let refusal = partition.refusal()?;
                Some(format!("{}: {refusal}", partition.id()))
            });
            refusing.collect()
        });
        looking.await.unwrap_or_default()
    }

    async fn tend(&self) {
        let (image, age_max) = (self.controller.image(), self.producer_age_max);
        let tending = tokio::task::spawn_blocking(move || {
            image
                .partitions()
                .for_each(|partition| partition.tend(age_max));
        });
        if let Err(error) = tending.await {
            tracing::error!("upkeep of partitions failed because of a bug: {error}");
        }
    }

    async fn checkpoint(&self, written: &mut Checkpoint) {
        let (controller, coordination) = (self.controller.clone(), self.coordination.clone());
        let (data, before) = (Arc::clone(&self.data), std::mem::take(written));
        let writing = tokio::task::spawn_blocking(move || {
            settle_all(&controller, &coordination);
            write_unchecked_offsets(&data, &controller);
            let points = || recovery_points(controller.recovery_points(), &coordination);
            if points() == before {
                return Ok(before);
            }
            data.checkpoints.make()?;
            let points = data.checkpoints.recovery_points.write(points)?;
            let watermarks = || high_watermarks(&controller, &coordination);
            data.checkpoints.high_watermarks.write(watermarks)?;
            Ok::<_, CheckpointError>(points)
        });
        match writing.await {
            Ok(Ok(points)) => *written = points,
            Ok(Err(error)) => tracing::warn!("{error}"),
            Err(error) => {
                tracing::error!("writing the recovery points failed because of a bug: {error}");
            }
        }
    }

    fn in_time(&self, time: Duration) -> Monotonic {
        after(self.clock.monotonic(), time)
    }
}

fn flush_interval(partition: &Partition) -> Duration {
    partition.flush_age_max().max(FLUSH_INTERVAL_MIN)
}

/// When it was last logged that partitions accept no records.
#[derive(Debug, Default)]
struct RefusalReports {
    next_look: Monotonic,
    said: Option<Monotonic>,
}

impl RefusalReports {
    /// Whether to look again; flush timers may be due a thousand times a second.
    fn is_time(&mut self, now: Monotonic) -> bool {
        let is_time = now >= self.next_look;
        if is_time {
            self.next_look = after(now, LOOK_INTERVAL);
        }
        is_time
    }

    /// Names the first of those that take no records, at once and then each minute; says when it is
    /// over.
    fn report(&mut self, refusing: &[String], now: Monotonic) {
        let is_due = self
            .said
            .is_none_or(|said| now >= after(said, REFUSAL_INTERVAL));
        match refusing {
            [] if self.said.is_some() => {
                self.said = None;
                tracing::info!("all partitions accept records again");
            }
            [first, others @ ..] if is_due => {
                self.said = Some(now);
                let others = others.len();
                tracing::warn!(
                    "records are refused: {first} (and {others} other partitions). Reads continue; writes \
                     resume once there is space and files can be opened"
                );
            }
            _ => {}
        }
    }
}

/// When the partitions with each interval are synced next.
#[derive(Debug, Default)]
struct FlushTimers {
    next: BTreeMap<Duration, Monotonic>,
}

impl FlushTimers {
    /// Keeps timers for exactly these intervals; a new one starts now.
    fn keep(&mut self, intervals: &BTreeSet<Duration>, now: Monotonic) {
        self.next.retain(|interval, _| intervals.contains(interval));
        for interval in intervals {
            let first = after(now, *interval);
            self.next.entry(*interval).or_insert(first);
        }
    }

    /// When the first timer is due.
    fn next(&self) -> Monotonic {
        let first = self.next.values().min();
        first.copied().unwrap_or(Monotonic(Duration::MAX))
    }

    /// The intervals that are due; each starts again now.
    fn take_due(&mut self, now: Monotonic) -> BTreeSet<Duration> {
        let mut due = BTreeSet::new();
        for (interval, next) in &mut self.next {
            if *next <= now {
                due.insert(*interval);
                *next = after(now, *interval);
            }
        }
        due
    }
}

fn after(now: Monotonic, time: Duration) -> Monotonic {
    Monotonic(now.0.saturating_add(time))
}

/// Brings the indexes to the disk, so that new recovery points may be written down. Where that
/// fails the old one stays.
fn settle_all(controller: &Controller, coordination: &Partition) {
    let image = controller.image();
    let partitions = image.partitions().map(|partition| &**partition);
    for partition in partitions.chain([coordination]) {
        let log = partition.log();
        if log.settled_point() < log.recovery_point()
            && let Err(error) = partition.log_sync().settle()
        {
            tracing::warn!("{}: recovery point not advanced: {error}", partition.id());
        }
    }
}

/// The high watermark of every open partition.
pub(super) fn high_watermarks(controller: &Controller, coordination: &Partition) -> Checkpoint {
    let image = controller.image();
    let partitions = image.partitions().map(|partition| &**partition);
    let all = partitions.chain([coordination]);
    all.map(|partition| (partition.id().clone(), partition.high_watermark()))
        .collect()
}

/// The recovery points of the topics, with that of the coordination log.
pub(super) fn recovery_points(mut of_topics: Checkpoint, coordination: &Partition) -> Checkpoint {
    let id: TopicPartition = coordination.id().clone();
    of_topics.insert(id, coordination.log().settled_point());
    of_topics
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_interval_has_its_own_timer_and_none_is_due_twice_at_one_time() {
        let ms = Duration::from_millis;
        let at = |time| Monotonic(ms(time));
        let mut timers = FlushTimers::default();
        timers.keep(&[ms(700), ms(1000)].into(), at(0));
        let mut seen = Vec::new();
        while timers.next() <= at(3000) {
            let now = timers.next();
            seen.push((now, timers.take_due(now)));
            assert_eq!(timers.take_due(now), [].into());
        }
        let expected = [
            (700, 700),
            (1000, 1000),
            (1400, 700),
            (2000, 1000),
            (2100, 700),
        ];
        let mut expected: Vec<_> = (expected.iter())
            .map(|(time, interval)| (at(*time), [ms(*interval)].into()))
            .collect();
        expected.push((at(2800), [ms(700)].into()));
        expected.push((at(3000), [ms(1000)].into()));
        assert_eq!(seen, expected);
        // One topic has a shorter interval now, and the other was the last with its own.
        timers.keep(&[ms(10), ms(1000)].into(), at(3000));
        assert_eq!(timers.next(), at(3010));
        timers.keep(&[ms(1000)].into(), at(3005));
        assert_eq!(timers.next(), at(4000));
        timers.keep(&[].into(), at(3005));
        assert_eq!(timers.next(), Monotonic(Duration::MAX));
    }
}
