//! Runs a program in memory, one step at a time: no broker, no threads, no clock.
//!
//! The driver plays the log: it keeps a queue per source partition and a log per partition of a
//! repartition topic, and carries records between the tasks. By default everything that is piped is
//! carried to the end at once. A driver with a schedule ([`TestDriver::scheduled`]) instead waits
//! for [`TestDriver::run`], and then picks tasks and batch sizes at random from its seed, as
//! threads and networks would; results must not depend on it.

use std::collections::BTreeMap;

use brooklet_protocol::murmur2::partition_for_key;
use brooklet_protocol::{Offset, PartitionId, Timestamp, TopicName};
use bytes::Bytes;

use crate::branch::outbox::{OutRecord, Outbox};
use crate::codec::{Codec, DecodeError};
use crate::dsl::App;
use crate::metrics::RunReport;
use crate::task::{InputRecord, Task};
use crate::topology::{StageId, TopologyError};

/// A record on its way to a task.
struct Stored {
    timestamp: Timestamp,
    key: Option<Bytes>,
    value: Option<Bytes>,
    origin: Option<Bytes>,
}

/// A task, the log it reads, and how far it has read.
struct QueuedTask {
    stage: StageId,
    topic: TopicName,
    partition: PartitionId,
    task: Box<dyn Task>,
    log: Vec<Stored>,
    position: usize,
    /// Whether, once it has read everything, it is to hear that its source is idle.
    is_falling_idle: bool,
    is_closing: bool,
    is_done: bool,
}

impl QueuedTask {
    fn is_runnable(&self) -> bool {
        let has_input = self.position < self.log.len() || self.is_falling_idle;
        !self.is_done && (has_input || self.is_closing || self.task.is_ended())
    }

    /// Processes at most `records_max`, and the end if it has come.
    fn step(&mut self, records_max: usize, out: &mut Outbox) {
        let to = self
            .log
            .len()
            .min(self.position.saturating_add(records_max));
        let batch: Vec<_> = (self.position..to)
            .map(|offset| self.log[offset].read(Offset(offset as i64)))
            .collect();
        if !batch.is_empty() {
            self.task.process(&batch, out);
        }
        drop(batch);
        self.position = to;
        let is_read = self.position == self.log.len();
        if is_read && std::mem::take(&mut self.is_falling_idle) {
            self.task.idle(out);
        }
        if self.task.is_ended() || (is_read && self.is_closing) {
            self.task.end(out);
            self.is_done = true;
        }
    }
}

impl Stored {
    fn read(&self, offset: Offset) -> InputRecord<'_> {
        InputRecord {
            offset,
            timestamp: self.timestamp,
            key: self.key.as_deref(),
            value: self.value.as_deref(),
            origin: self.origin.as_deref(),
        }
    }
}

/// See the module.
pub struct TestDriver {
    app: App,
    tasks: Vec<QueuedTask>,
    written: BTreeMap<String, Vec<OutRecord>>,
    schedule: Option<Random>,
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
        assert!(partitions > 0, "a topic has at least one partition");
        let registry = app.shared.lock();
        registry.check()?;
        let parallelism = registry.parallelism(|_| partitions);
        let mut tasks = Vec::new();
        for (stage, count) in &parallelism.tasks {
            for partition in 0..*count {
                tasks.push(QueuedTask {
                    stage: *stage,
                    topic: registry.topic_of(*stage).clone(),
                    partition: PartitionId(partition),
                    task: registry.task(*stage, partition, &parallelism),
                    log: Vec::new(),
                    position: 0,
                    is_falling_idle: false,
                    is_closing: false,
                    is_done: false,
                });
            }
        }
        drop(registry);
        Ok(Self {
            app,
            tasks,
            written: BTreeMap::new(),
            schedule: None,
        })
    }

    /// Lets chance, from this seed, choose who runs next and how far; nothing runs before
    /// [`TestDriver::run`] or [`TestDriver::end`].
    pub fn scheduled(mut self, seed: u64) -> Self {
        self.schedule = Some(Random(seed));
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
        self.for_sources(topic, partition, |task| {
            assert!(!task.is_closing, "{topic}-{partition} has ended");
            task.log.push(Stored {
                timestamp,
                key: key.map(Bytes::copy_from_slice),
                value: value.map(Bytes::copy_from_slice),
                origin: None,
            });
        });
        if self.schedule.is_none() {
            self.run();
        }
    }

    /// Says that one partition of a source topic is idle until something is piped to it.
    ///
    /// # Panics
    /// When the program reads no such partition.
    pub fn idle_partition(&mut self, topic: &str, partition: i32) {
        self.for_sources(topic, partition, |task| task.is_falling_idle = true);
        if self.schedule.is_none() {
            self.run();
        }
    }

    /// Announces the end of one partition of a source topic.
    ///
    /// # Panics
    /// When the program reads no such partition.
    pub fn end_partition(&mut self, topic: &str, partition: i32) {
        self.for_sources(topic, partition, |task| task.is_closing = true);
        if self.schedule.is_none() {
            self.run();
        }
    }

    /// Announces the end of all sources and runs to it: every window closes.
    pub fn end(&mut self) {
        let is_source = |task: &&mut QueuedTask| matches!(task.stage, StageId::Source(_));
        self.tasks
            .iter_mut()
            .filter(is_source)
            .for_each(|task| task.is_closing = true);
        self.run();
        debug_assert!(self.tasks.iter().all(|task| task.is_done));
    }

    /// Runs until no task has anything to do.
    pub fn run(&mut self) {
        let mut out = Outbox::default();
        loop {
            let runnable: Vec<_> = (0..self.tasks.len())
                .filter(|index| self.tasks[*index].is_runnable())
                .collect();
            let Some(first) = runnable.first() else {
                return;
            };
            let (index, records_max) = match &mut self.schedule {
                None => (*first, usize::MAX),
                Some(random) => (runnable[random.below(runnable.len())], 1 + random.below(8)),
            };
            self.tasks[index].step(records_max, &mut out);
            for record in out.take() {
                self.write(record);
            }
        }
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

    /// The program's counters.
    pub fn report(&self) -> RunReport {
        self.app.metrics().snapshot()
    }

    fn for_sources(&mut self, topic: &str, partition: i32, mut with: impl FnMut(&mut QueuedTask)) {
        let mut is_known = false;
        for task in &mut self.tasks {
            let is_source = matches!(task.stage, StageId::Source(_));
            if is_source && task.topic.as_str() == topic && task.partition.0 == partition {
                is_known = true;
                with(task);
            }
        }
        assert!(is_known, "the program does not read {topic}-{partition}");
    }

    /// Carries a record to the tasks that read its topic; the others' topics are kept for `read`.
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
}

/// A splitmix64 generator: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % bound as u64) as usize
    }
}
