//! Runs a program in memory, one step at a time: no broker, no threads, no clock.
//!
//! The driver plays the log: it keeps a queue per source partition, a log per partition of a
//! repartition topic and of a changelog, and what each task has committed. It carries records
//! between the tasks. By default everything that is piped is carried to the end at once, and
//! committed. A driver with a schedule ([`TestDriver::scheduled`]) instead waits for
//! [`TestDriver::run`], and then picks tasks, batch sizes and the moments of commits at random from
//! its seed, as threads and networks would; results must not depend on it.
//!
//! ```text
//!  tasks ──outbox──▶ pending ──commit──▶ logs, changelogs, offsets, what read() returns
//!    ▲                  │                   │
//!    └──────────────── crash() drops both, restart() makes the tasks again from what is committed
//! ```
//!
//! All tasks commit together, as those of one process do.

mod replay;
mod tasks;

use std::collections::BTreeMap;
use std::time::Duration;

use brooklet_protocol::murmur2::partition_for_key;
use brooklet_protocol::{PartitionId, Timestamp, TopicName};
use bytes::Bytes;

use crate::branch::outbox::{OutRecord, Outbox};
use crate::codec::{Codec, DecodeError};
use crate::dsl::App;
use crate::metrics::RunReport;
use crate::topology::{Parallelism, StageId, TopologyError};

pub use replay::{Input, Piped, assert_replay_equal};
use tasks::{Changelogs, QueuedTask, Random, Stored};

/// How many crashes a schedule has at most. A program that is killed more often than it gets
/// anything done never ends.
const CRASHES_MAX: u32 = 6;

/// See the module.
pub struct TestDriver {
    app: App,
    parallelism: Parallelism,
    tasks: Vec<QueuedTask>,
    /// What was emitted since the last commit.
    pending: Vec<OutRecord>,
    changelogs: Changelogs,
    written: BTreeMap<String, Vec<OutRecord>>,
    schedule: Option<Random>,
    /// How many crashes a schedule may still have.
    crashes_left: u32,
    has_crashed: bool,
    idle_after: Option<Duration>,
    now: Duration,
}

impl std::fmt::Debug for TestDriver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TestDriver({:?})", self.app)
    }
}

impl TestDriver {
    /// A driver for a program whose source topics have this many partitions each.
    ///
    /// # Errors
    /// The program is not well declared.
    ///
    /// # Panics
    /// When `partitions` is not positive.
    pub fn new(app: App, partitions: i32) -> Result<Self, TopologyError> {
        Self::with_tasks(app, partitions, None)
    }

    /// As [`TestDriver::new`], with this many tasks behind each repartition that does not name its
    /// partitions; `None`: as many as before it.
    ///
    /// # Errors
    /// The program is not well declared.
    ///
    /// # Panics
    /// When a number is not positive.
    pub fn with_tasks(
        app: App,
        partitions: i32,
        tasks: Option<i32>,
    ) -> Result<Self, TopologyError> {
        assert!(partitions > 0, "a topic has at least one partition");
        assert!(
            tasks.is_none_or(|tasks| tasks > 0),
            "a stage has at least one task"
        );
        let mut parallelism = {
            let registry = app.shared.lock();
            registry.check()?;
            registry.parallelism(tasks, |_| partitions)
        };
        parallelism.is_logged = true;
        let mut driver = Self {
            app,
            tasks: Vec::new(),
            pending: Vec::new(),
            changelogs: Changelogs::default(),
            written: BTreeMap::new(),
            schedule: None,
            crashes_left: 0,
            has_crashed: false,
            idle_after: None,
            now: Duration::ZERO,
            parallelism,
        };
        driver.make_tasks();
        Ok(driver)
    }

    fn make_tasks(&mut self) {
        let registry = self.app.shared.lock();
        for (stage, count) in &self.parallelism.tasks {
            for partition in 0..*count {
                self.tasks.push(QueuedTask::new(
                    *stage,
                    registry.topic_of(*stage).clone(),
                    PartitionId(partition),
                    registry.task(*stage, partition, &self.parallelism),
                ));
            }
        }
    }

    /// Picks at random, from this seed, which task runs next and how far, and when to commit.
    /// Nothing runs before [`TestDriver::run`] or [`TestDriver::end`].
    pub fn scheduled(mut self, seed: u64) -> Self {
        self.schedule = Some(Random::new(seed));
        self
    }

    /// Also crashes and restarts the program at random, a few times in the schedule.
    pub fn crashing(mut self) -> Self {
        self.crashes_left = CRASHES_MAX;
        self
    }

    /// Sets how long a source partition may have nothing to read before it counts as idle; see
    /// [`TestDriver::advance`].
    pub fn idle_after(mut self, after: Duration) -> Self {
        self.idle_after = Some(after);
        self
    }

    /// Appends a record to a partition of a source topic.
    ///
    /// # Panics
    /// When the program reads no such partition, or its end was announced.
    pub fn pipe(
        &mut self,
        topic: &str,
        partition: i32,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        timestamp: Timestamp,
    ) {
        let now = self.now;
        self.for_source(topic, partition, |task| {
            assert!(!task.is_closing, "{topic}-{partition} has ended");
            task.last_input = now;
            task.log.push(Stored {
                timestamp,
                key: key.map(Bytes::copy_from_slice),
                value: value.map(Bytes::copy_from_slice),
                origin: None,
            });
        });
        self.run_unless_scheduled();
    }

    /// Makes one partition of a source topic idle until something is piped to it.
    ///
    /// # Panics
    /// When the program reads no such partition.
    pub fn idle(&mut self, topic: &str, partition: i32) {
        self.for_source(topic, partition, QueuedTask::fall_idle);
        self.run_unless_scheduled();
    }

    /// Lets time pass at the sources: partitions that have had nothing to read for long enough
    /// ([`TestDriver::idle_after`]) count as idle. Event time is not touched.
    pub fn advance(&mut self, by: Duration) {
        self.now += by;
        let (now, Some(after)) = (self.now, self.idle_after) else {
            return;
        };
        for task in self.tasks.iter_mut().filter(|task| task.is_source()) {
            if now.saturating_sub(task.last_input) >= after {
                task.last_input = now;
                task.fall_idle();
            }
        }
        self.run_unless_scheduled();
    }

    /// Announces the end of one partition of a source topic.
    ///
    /// # Panics
    /// When the program reads no such partition.
    pub fn end_partition(&mut self, topic: &str, partition: i32) {
        self.for_source(topic, partition, |task| task.is_closing = true);
        self.run_unless_scheduled();
    }

    /// Announces the end of all sources and runs to it: every window closes.
    pub fn end(&mut self) {
        let sources = self.tasks.iter_mut().filter(|task| task.is_source());
        sources.for_each(|task| task.is_closing = true);
        self.run();
        debug_assert!(self.tasks.iter().all(|task| task.is_done));
    }

    /// Runs until no task has anything to do, and commits.
    ///
    /// # Panics
    /// After a crash without a restart.
    pub fn run(&mut self) {
        assert!(!self.has_crashed, "a crashed program needs restart()");
        let mut out = Outbox::default();
        loop {
            let runnable: Vec<_> = (0..self.tasks.len())
                .filter(|index| self.tasks[*index].is_runnable())
                .collect();
            let Some(first) = runnable.first() else {
                if self.pending.is_empty() {
                    return self.commit();
                }
                self.commit();
                continue;
            };
            let (index, records_max) = match &mut self.schedule {
                None => (*first, usize::MAX),
                Some(random) => (runnable[random.below(runnable.len())], 1 + random.below(8)),
            };
            self.tasks[index].step(records_max, &mut out);
            self.pending.extend(out.take());
            let chance = self.schedule.as_mut().map_or(0, |random| random.below(24));
            if self.crashes_left > 0 && chance % 8 == 7 {
                self.crashes_left -= 1;
                self.crash();
                self.restart();
            } else if chance.is_multiple_of(3) {
                self.commit();
            }
        }
    }

    fn run_unless_scheduled(&mut self) {
        if self.schedule.is_none() {
            self.run();
        }
    }

    /// Commits, in one step: what was emitted, what changed, how far everything has come.
    pub fn commit(&mut self) {
        for record in std::mem::take(&mut self.pending) {
            self.write(record);
        }
        for task in &mut self.tasks {
            task.commit(&mut self.changelogs);
        }
    }

    /// Stops the program as `kill -9` does: everything that is not committed is gone.
    pub fn crash(&mut self) {
        self.pending.clear();
        self.has_crashed = true;
    }

    /// Starts the program again, from what was committed.
    ///
    /// # Panics
    /// When what was committed is not of this program.
    pub fn restart(&mut self) {
        let registry = self.app.shared.lock();
        for task in &mut self.tasks {
            let made = registry.task(task.stage, task.partition.0, &self.parallelism);
            task.restart(made, &self.changelogs);
        }
        drop(registry);
        self.has_crashed = false;
    }

    /// Takes what was written to a topic since the last call, in the order in which it was written.
    pub fn read(&mut self, topic: &str) -> Vec<OutRecord> {
        self.written.remove(topic).unwrap_or_default()
    }

    /// As [`TestDriver::read`], with the values decoded.
    ///
    /// # Errors
    /// A value does not decode.
    pub fn read_values<T>(
        &mut self,
        topic: &str,
        codec: impl Codec<T>,
    ) -> Result<Vec<T>, DecodeError> {
        let values = self
            .read(topic)
            .into_iter()
            .filter_map(|record| record.value);
        values.map(|value| codec.decode(&value)).collect()
    }

    /// What a changelog holds of each key, all partitions together: the last row of each, as a
    /// compacted topic would keep it.
    pub fn changelog(&self, topic: &str) -> BTreeMap<Bytes, Bytes> {
        self.changelogs.latest(topic)
    }

    /// The program's counters. A restart does not reset them.
    pub fn report(&self) -> RunReport {
        self.app.metrics().snapshot()
    }

    fn for_source(&mut self, topic: &str, partition: i32, with: impl FnOnce(&mut QueuedTask)) {
        let is_meant = |task: &&mut QueuedTask| {
            task.is_source() && task.topic.as_str() == topic && task.partition.0 == partition
        };
        match self.tasks.iter_mut().find(is_meant) {
            Some(task) => with(task),
            None => panic!("the program does not read {topic}-{partition}"),
        }
    }

    /// Carries a record to the tasks that read its topic; `read` returns it too, unless its topic
    /// is a repartition topic.
    fn write(&mut self, record: OutRecord) {
        let readers = self.tasks.iter().filter(|task| task.topic == record.topic);
        let partition = match (record.partition, readers.count(), &record.key) {
            (Some(partition), _, _) => Some(partition),
            (None, 0, _) => None,
            (None, count, Some(key)) => Some(partition_for_key(key, count as i32)),
            (None, _, None) => Some(PartitionId(0)),
        };
        let reads = |task: &&mut QueuedTask| {
            task.topic == record.topic && Some(task.partition) == partition
        };
        for task in self.tasks.iter_mut().filter(reads) {
            task.log.push(Stored {
                timestamp: record.timestamp,
                key: record.key.clone(),
                value: record.value.clone(),
                origin: record.origin.clone(),
            });
        }
        if record.origin.is_none() {
            let written = self.written.entry(record.topic.as_str().to_owned());
            written.or_default().push(record);
        }
    }

    /// The topics that the program wrote and that were not read yet.
    fn topics(&self) -> impl Iterator<Item = String> + use<> {
        self.written.keys().cloned().collect::<Vec<_>>().into_iter()
    }
}

/// Whether a stage reads a topic from outside.
fn is_source(stage: StageId) -> bool {
    matches!(stage, StageId::Source(_))
}

/// The name of a changelog and a partition of it.
type Changelog = (TopicName, PartitionId);
