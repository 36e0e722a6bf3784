//! A task in the driver: its log, what it has committed, and its changelogs.

use std::collections::BTreeMap;
use std::time::Duration;

use brooklet_protocol::{Offset, PartitionId, Timestamp, TopicName};
use bytes::Bytes;

use super::{Changelog, is_source};
use crate::branch::outbox::Outbox;
use crate::task::{InputRecord, Task, memory};
use crate::topology::StageId;

/// The driver has one program, so no checksum is needed to tell plans apart.
const PLAN: u32 = 0;

/// A record on its way to a task.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) timestamp: Timestamp,
    pub(super) key: Option<Bytes>,
    pub(super) value: Option<Bytes>,
    pub(super) origin: Option<Bytes>,
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

/// All changelogs: rows in the order in which they were written.
#[derive(Debug, Default)]
pub(super) struct Changelogs(BTreeMap<Changelog, Vec<(Bytes, Option<Bytes>)>>);

impl Changelogs {
    /// The last row of each key of a topic.
    pub(super) fn latest(&self, topic: &str) -> BTreeMap<Bytes, Bytes> {
        let mut latest = BTreeMap::new();
        for ((name, _), rows) in &self.0 {
            if name.as_str() != topic {
                continue;
            }
            for (key, value) in rows {
                match value {
                    Some(value) => drop(latest.insert(key.clone(), value.clone())),
                    None => drop(latest.remove(key)),
                }
            }
        }
        latest
    }
}

/// A task, the log it reads, and how far it has read.
pub(super) struct QueuedTask {
    pub(super) stage: StageId,
    pub(super) topic: TopicName,
    pub(super) partition: PartitionId,
    task: Box<dyn Task>,
    pub(super) log: Vec<Stored>,
    position: usize,
    /// Whether the task must hear, once it has read everything, that its source is idle.
    is_falling_idle: bool,
    /// When something was last piped, on the driver's clock.
    pub(super) last_input: Duration,
    pub(super) is_closing: bool,
    pub(super) is_done: bool,
    committed: Committed,
}

/// What is left of a task after a crash.
#[derive(Default)]
struct Committed {
    position: usize,
    standing: Option<String>,
    /// Whether the task had yet to hear that its source is idle.
    is_falling_idle: bool,
}

impl QueuedTask {
    pub(super) fn new(
        stage: StageId,
        topic: TopicName,
        partition: PartitionId,
        task: Box<dyn Task>,
    ) -> Self {
        Self {
            stage,
            topic,
            partition,
            task,
            log: Vec::new(),
            position: 0,
            is_falling_idle: false,
            last_input: Duration::ZERO,
            is_closing: false,
            is_done: false,
            committed: Committed::default(),
        }
    }

    pub(super) fn is_source(&self) -> bool {
        is_source(self.stage)
    }

    pub(super) fn fall_idle(&mut self) {
        self.is_falling_idle = true;
        self.committed.is_falling_idle = true;
    }

    pub(super) fn is_runnable(&self) -> bool {
        let has_input = self.position < self.log.len() || self.is_falling_idle;
        !self.is_done && (has_input || self.is_closing || self.task.is_ended())
    }

    /// Processes at most `records_max`, and the end if it has come.
    pub(super) fn step(&mut self, records_max: usize, out: &mut Outbox) {
        let to = self.position.saturating_add(records_max);
        let to = to.min(self.log.len());
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

    /// Writes down what changed and how far the task has come.
    pub(super) fn commit(&mut self, changelogs: &mut Changelogs) {
        let partition = self.partition;
        memory::changes(&mut *self.task, &mut |topic, rows| {
            let log = changelogs.0.entry((topic.clone(), partition)).or_default();
            let bytes = |bytes: &[u8]| Bytes::copy_from_slice(bytes);
            log.extend(
                rows.iter()
                    .map(|(key, value)| (bytes(key), value.map(bytes))),
            );
        });
        let reads_from = self.task.reads_from().map(|offset| offset.0 as usize);
        self.committed = Committed {
            position: reads_from.unwrap_or(self.position),
            standing: Some(memory::standing(&mut *self.task, PLAN)),
            is_falling_idle: self.is_falling_idle,
        };
    }

    /// Goes on with a new task, made from what was committed.
    pub(super) fn restart(&mut self, mut task: Box<dyn Task>, changelogs: &Changelogs) {
        for topic in memory::changelogs(&mut *task) {
            let rows = changelogs.0.get(&(topic.clone(), self.partition));
            let rows = rows.into_iter().flatten();
            let rows = rows.map(|(key, value)| (&**key, value.as_deref()));
            memory::restore(&mut *task, &topic, rows).expect("the changelog is of this program");
        }
        if let Some(standing) = &self.committed.standing {
            let resumed = memory::resume(&mut *task, standing, PLAN);
            resumed.expect("the standing is of this program");
        }
        self.task = task;
        self.position = self.committed.position;
        self.is_falling_idle = self.committed.is_falling_idle;
        self.is_done = false;
    }
}

/// A splitmix64 generator: small, and the same everywhere.
#[derive(Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % bound as u64) as usize
    }
}
