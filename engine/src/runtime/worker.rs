//! The worker: runs the tasks of an application, and commits their work together.
//!
//! ```text
//!        ┌──────────────────────────── until all inputs have ended ───────────────────┐
//!        ▼                                                                            │
//!  wait ──records──▶ feed their tasks ──▶ send what they want written ────────────────┤
//!   ├─────quiet────▶ a task hears that its source is idle ──▶ send ───────────────────┤
//!   └─────due──────▶ commit, one Kafka transaction: ──────────────────────────────────┘
//!                      results and repartition records, which were sent before
//!                      changelogs: a row for each key that changed
//!                      offsets, with the standing of each task as their metadata
//! ```
//!
//! A commit is all or nothing, so whatever reads committed records sees each result exactly once,
//! and a worker that is killed anywhere goes on from its last commit as if the rest had never been
//! read (KIP-98, KIP-447). A stage sees what the stage before it wrote once that is committed: each
//! repartition adds up to a commit interval to the time that a result takes.
//!
//! Invariants:
//! - a task's results, its changes, its offset and its standing are in the same transaction;
//! - every record of a partition is fed once and in order, and none beyond its end.
//!
//! Left out: sharing the tasks with other processes. A second worker of the same application takes
//! over from the first, which stops.

use std::collections::BTreeMap;
use std::time::Duration;

use brooklet_client::{
    Client, ClientError, Consumer, Fetched, GroupMetadata, OffsetAndMetadata, RecordRef,
    TransactionalProducer,
};
use brooklet_protocol::messages::ErrorCode;
use brooklet_protocol::{Offset, TopicName, TopicPartition};

use super::lane::{End, feed, new_record};
use super::{Commits, RunError};
use crate::branch::outbox::Outbox;
use crate::store::Rows;
use crate::task::{Task, memory};

/// A task of the application.
pub(super) struct Running {
    pub(super) task: Box<dyn Task>,
    pub(super) position: Offset,
    pub(super) is_source: bool,
    /// Whether it has something to commit.
    pub(super) is_touched: bool,
    pub(super) is_done: bool,
    /// Since when there has been nothing to read; `None` once it was found idle.
    pub(super) quiet_since: Option<Duration>,
}

/// See the module.
pub(super) struct Worker {
    application: String,
    /// Of the plan: marks standings as ours.
    checksum: u32,
    client: Client,
    consumer: Consumer,
    producer: TransactionalProducer,
    tasks: BTreeMap<TopicPartition, Running>,
    /// Where the sources end.
    end: End,
    /// How long a source may have nothing to read before it is idle.
    idle_after: Option<Duration>,
    commits: Commits,
    open: Option<Open>,
    /// What receivers have committed since the repartition topics were trimmed.
    trim_to: BTreeMap<TopicPartition, Offset>,
    trim_at: Duration,
    /// When all offsets are committed again, so that the broker does not forget any.
    refresh_at: Duration,
}

/// How often all offsets are committed, also of partitions that are never written.
const REFRESH_INTERVAL: Duration = Duration::from_secs(60 * 60);

/// How often repartition topics are trimmed (`repartition.purge.interval.ms`).
const TRIM_INTERVAL: Duration = Duration::from_secs(30);

/// What has been done since the last commit.
#[derive(Debug)]
pub(super) struct Open {
    /// When it must be committed.
    due: Duration,
    records: u64,
}

/// Why a worker stopped waiting.
enum Woken {
    Polled(Vec<Fetched>),
    EndKnown,
    /// A commit is due, or a source may be idle.
    Time,
}

impl Worker {
    /// A worker of these tasks; `of` is the application's id and the checksum of its plan.
    pub(super) fn new(
        of: (String, u32),
        producer: TransactionalProducer,
        consumer: Consumer,
        tasks: BTreeMap<TopicPartition, Running>,
        client: &Client,
    ) -> Self {
        let (application, checksum) = of;
        Self {
            application,
            checksum,
            client: client.clone(),
            consumer,
            producer,
            tasks,
            end: End::FromInput,
            idle_after: None,
            commits: Commits::default(),
            open: None,
            trim_to: BTreeMap::new(),
            trim_at: client.now() + TRIM_INTERVAL,
            refresh_at: client.now() + REFRESH_INTERVAL,
        }
    }

    /// The same, until the sources end here.
    pub(super) fn until(self, end: End) -> Self {
        Self { end, ..self }
    }

    /// The same; a source counts as idle after this long.
    pub(super) fn idle_after(self, idle_after: Option<Duration>) -> Self {
        Self { idle_after, ..self }
    }

    /// The same, with commits as often as this.
    pub(super) fn committing(self, commits: Commits) -> Self {
        Self { commits, ..self }
    }

    /// Runs until all inputs have ended, and commits the last of it.
    pub(super) async fn run(mut self) -> Result<(), RunError> {
        let run = self.run_on().await;
        run.map_err(|error| self.explained(error))
    }

    async fn run_on(&mut self) -> Result<(), RunError> {
        let mut out = Outbox::default();
        loop {
            self.end_tasks(&mut out).await?;
            let now = self.client.now();
            if self
                .open
                .as_ref()
                .is_some_and(|open| open.is_due(now, &self.commits))
            {
                self.commit().await?;
                continue;
            }
            if self.tasks.values().all(|task| task.is_done) {
                // The last commit holds the ends.
                return self.commit().await;
            }
            match self.wait(now).await? {
                Woken::Polled(fetched) => {
                    for fetched in &fetched {
                        self.process(fetched, &mut out).await?;
                    }
                    self.move_on()?;
                }
                Woken::EndKnown => {}
                Woken::Time => {
                    self.refresh();
                    self.find_idle(&mut out).await?;
                }
            }
        }
    }

    async fn wait(&mut self, now: Duration) -> Result<Woken, RunError> {
        let due = self.open.as_ref().map(|open| open.due);
        let quiet = self
            .tasks
            .values()
            .filter_map(|task| task.idle_at(self.idle_after));
        let wake = due.into_iter().chain(quiet).chain([self.refresh_at]).min();
        let wake = wake.map(|at| self.client.pause(at.saturating_sub(now)));
        let time = async {
            match wake {
                Some(wake) => wake.await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            // Records that are there go before the time that has passed.
            biased;
            polled = self.consumer.poll() => Ok(Woken::Polled(polled?)),
            () = self.end.changed() => Ok(Woken::EndKnown),
            () = time => Ok(Woken::Time),
        }
    }

    /// Commits all offsets, now and then.
    fn refresh(&mut self) {
        let now = self.client.now();
        if now >= self.refresh_at {
            self.refresh_at = now + REFRESH_INTERVAL;
            for running in self.tasks.values_mut() {
                running.is_touched = true;
            }
            self.touch(0);
        }
    }

    /// Something was done that must be committed.
    fn touch(&mut self, records: u64) {
        let due = self.client.now() + self.commits.interval;
        let open = self.open.get_or_insert(Open { due, records: 0 });
        open.records += records;
    }

    /// Feeds a task one fetch, up to its end, and sends what it wants written.
    async fn process(&mut self, fetched: &Fetched, out: &mut Outbox) -> Result<(), RunError> {
        let now = self.client.now();
        let partition = &fetched.partition;
        let Some(running) = self.tasks.get_mut(partition).filter(|task| !task.is_done) else {
            return Ok(());
        };
        let end = running
            .end(&self.end, partition)?
            .unwrap_or(Offset(i64::MAX));
        let mut records = 0;
        for batch in fetched
            .batches
            .iter()
            .filter(|batch| !batch.header().is_control())
        {
            let task = &mut running.task;
            feed(batch, fetched.position, end, |inputs| {
                records += inputs.len() as u64;
                task.process(inputs, out);
                out.next_batch();
            })
            .map_err(|source| RunError::Batch {
                partition: partition.clone(),
                offset: batch.header().base_offset,
                source,
            })?;
        }
        running.quiet_since = Some(now);
        self.touch(records);
        self.send(out).await
    }

    /// Takes over the consumer's positions, which also pass what is not for us. What lies beyond the
    /// end was read and not fed: another run begins with it.
    fn move_on(&mut self) -> Result<(), RunError> {
        let mut has_moved = false;
        for (partition, running) in &mut self.tasks {
            let end = running
                .end(&self.end, partition)?
                .unwrap_or(Offset(i64::MAX));
            if let Some(position) = self.consumer.position(partition)
                && position.min(end) > running.position
                && !running.is_done
            {
                running.position = position.min(end);
                running.is_touched = true;
                has_moved = true;
            }
        }
        if has_moved {
            self.touch(0);
        }
        Ok(())
    }

    /// Tells tasks that their source is idle; but not if the broker merely does not answer.
    async fn find_idle(&mut self, out: &mut Outbox) -> Result<(), RunError> {
        let now = self.client.now();
        let mut is_any = false;
        for (partition, running) in &mut self.tasks {
            if running.idle_at(self.idle_after).is_none_or(|at| at > now) {
                continue;
            }
            running.quiet_since = Some(now);
            if self.consumer.is_caught_up(partition) {
                running.quiet_since = None;
                running.is_touched = true;
                running.task.idle(out);
                is_any = true;
            }
        }
        if is_any {
            self.touch(0);
            self.send(out).await?;
        }
        Ok(())
    }

    /// Ends the tasks whose input has ended.
    async fn end_tasks(&mut self, out: &mut Outbox) -> Result<(), RunError> {
        let mut is_any = false;
        for (partition, running) in &mut self.tasks {
            if running.is_done {
                continue;
            }
            let end = running.end(&self.end, partition)?;
            if running.task.is_ended() || end.is_some_and(|end| running.position >= end) {
                running.task.end(out);
                running.is_done = true;
                running.is_touched = true;
                self.consumer.pause(partition);
                is_any = true;
            }
        }
        if is_any {
            self.touch(0);
            self.send(out).await?;
            // The next stage waits for it.
            self.commit().await?;
        }
        Ok(())
    }

    async fn send(&mut self, out: &mut Outbox) -> Result<(), RunError> {
        for record in out.take() {
            self.begin()?;
            let (topic, record) = new_record(record);
            // The commit waits for the delivery and reports its failure.
            drop(self.producer.send(&topic, record).await?);
        }
        Ok(())
    }

    fn begin(&mut self) -> Result<(), ClientError> {
        if self.producer.is_open() {
            Ok(())
        } else {
            self.producer.begin()
        }
    }

    /// Commits all that was done since the last commit.
    async fn commit(&mut self) -> Result<(), RunError> {
        if self.open.take().is_none() {
            return Ok(());
        }
        self.begin()?;
        let mut offsets = BTreeMap::new();
        for (partition, running) in &mut self.tasks {
            if !std::mem::take(&mut running.is_touched) {
                continue;
            }
            let mut changed: Vec<(TopicName, Rows)> = Vec::new();
            memory::changes(&mut *running.task, &mut |topic, rows| {
                changed.push((topic.clone(), rows.clone()));
            });
            for (topic, rows) in changed {
                let changelog = TopicPartition::new(topic, partition.partition);
                let rows: Vec<_> = rows.iter().map(|row| row_record(row)).collect();
                self.producer.send_all(&changelog, &rows).await?;
            }
            let offset = running.task.reads_from().unwrap_or(running.position);
            let metadata = memory::standing(&mut *running.task, self.checksum);
            offsets.insert(partition.clone(), OffsetAndMetadata { offset, metadata });
        }
        let group = GroupMetadata::of(&self.application);
        self.producer.send_offsets(&offsets, &group).await?;
        self.producer.commit().await?;
        self.trim(&offsets).await;
        Ok(())
    }

    /// Deletes what receivers have committed from their repartition topics, now and then. Nobody
    /// else reads it, so a failure only costs disk until the next time.
    async fn trim(&mut self, committed: &BTreeMap<TopicPartition, OffsetAndMetadata>) {
        for (partition, committed) in committed {
            if self
                .tasks
                .get(partition)
                .is_some_and(|task| !task.is_source)
            {
                self.trim_to.insert(partition.clone(), committed.offset);
            }
        }
        let now = self.client.now();
        if self.trim_to.is_empty() || now < self.trim_at {
            return;
        }
        self.trim_at = now + TRIM_INTERVAL;
        let trim_to = std::mem::take(&mut self.trim_to);
        if let Err(error) = self.client.delete_records(&trim_to).await {
            tracing::warn!(%error, "cannot trim the repartition topics");
        }
    }

    /// Names the reason for which a producer may not go on.
    fn explained(&self, error: RunError) -> RunError {
        match error {
            RunError::Client(ClientError::Broker {
                code: ErrorCode::ProducerFenced | ErrorCode::InvalidProducerEpoch,
                ..
            }) => RunError::TakenOver(self.application.clone()),
            other => other,
        }
    }
}

impl Running {
    pub(super) fn new(
        task: Box<dyn Task>,
        position: Offset,
        is_source: bool,
        now: Duration,
    ) -> Self {
        Self {
            task,
            position,
            is_source,
            is_touched: false,
            is_done: false,
            quiet_since: Some(now),
        }
    }

    /// Where its input ends, if that is known; a receiver learns it from its input.
    fn end(&self, of: &End, partition: &TopicPartition) -> Result<Option<Offset>, RunError> {
        if self.is_source {
            of.of(partition)
        } else {
            Ok(None)
        }
    }

    /// When it is to be found idle, if nothing comes.
    fn idle_at(&self, after: Option<Duration>) -> Option<Duration> {
        let waits = self.is_source && !self.is_done;
        let since = self.quiet_since.filter(|_| waits)?;
        after.map(|after| since + after)
    }
}

impl Open {
    fn is_due(&self, now: Duration, commits: &Commits) -> bool {
        now >= self.due || self.records >= commits.records
    }
}

fn row_record((key, value): memory::Row<'_>) -> RecordRef<'_> {
    RecordRef {
        timestamp: None,
        key: Some(key),
        value,
        headers: &[],
    }
}
