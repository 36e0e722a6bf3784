//! A lane: one task of a run, with the partition that it reads and what it needs to write.
//!
//! ```text
//!            ┌──────────────────────────── until the end ────────────────────────────┐
//!            ▼                                                                       │
//!  end? ──▶ wait ──records──▶ feed the task, batch by batch ──▶ write the outbox ────┤
//!    │       ├────quiet─────▶ the task hears that its source is idle ──▶ write ──────┤
//!    │       └────end known─────────────────────────────────────────────────────────┘
//!    └─ reached ──▶ the task hears of the end ──▶ write ──▶ done
//! ```
//!
//! A lane is a tokio task of its own. It waits for one of three things: records, news of where the
//! end is, and, if idleness was asked for, that nothing has come for long enough. Records go first:
//! a source that has something to read is not idle.
//!
//! Invariants:
//! - the task sees every record of the partition from the start to the end, once and in order, and
//!   none beyond the end;
//! - before the lane reads on, everything that the task wants written is acknowledged. So what is
//!   in memory is bounded by one poll, and a broker that lags slows the lane down;
//! - a source is reported idle once, until it has records again; and only if the broker has said
//!   that there is nothing left to read, so that a broker that is down does not count as an idle
//!   source.
//!
//! How the end of the input is known, by [`End`]: a receiver of a repartition topic learns it from
//! the topic; a source has an end offset, at the beginning or by a signal, or none.
//!
//! Nothing is committed: a lane that fails starts over from the beginning. Applications whose work
//! is to survive are run by a [worker](super::worker).

use std::time::Duration;

use brooklet_client::transport::BoxFuture;
use brooklet_client::{Client, ClientError, Consumer, Fetched, NewRecord, Producer};
use brooklet_protocol::records::{BatchError, RecordBatch, Records};
use brooklet_protocol::{Offset, TopicName, TopicPartition};
use tokio::sync::watch;

use super::{Ends, RunError};
use crate::branch::outbox::{OutRecord, Outbox};
use crate::task::repartition::origin;
use crate::task::{InputRecord, Task};

/// The most that one batch may decompress to.
pub(super) const DECOMPRESSED_BYTES_MAX: usize = 1 << 30;

/// How a lane learns where its input ends.
#[derive(Clone)]
pub(super) enum End {
    /// From its input, if at all.
    FromInput,
    /// It is known.
    At(Ends),
    /// It will be said.
    Signalled(watch::Receiver<Option<Ends>>),
}

impl End {
    /// The ends of more partitions as well.
    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::At(mut ends), Self::At(more)) => {
                ends.extend(more);
                Self::At(ends)
            }
            (_, other) => other,
        }
    }

    /// The end of a partition, if it is known.
    pub(super) fn of(&self, partition: &TopicPartition) -> Result<Option<Offset>, RunError> {
        let end_in = |ends: &Ends| {
            let end = ends.get(partition).copied();
            end.ok_or_else(|| RunError::NoEnd(partition.clone()))
        };
        match self {
            Self::FromInput => Ok(None),
            Self::At(ends) => end_in(ends).map(Some),
            Self::Signalled(ends) => ends.borrow().as_ref().map(end_in).transpose(),
        }
    }

    /// Ready when it has been said; never, if nobody will.
    pub(super) async fn changed(&mut self) {
        if let Self::Signalled(ends) = self
            && ends.changed().await.is_ok()
        {
            return;
        }
        std::future::pending::<()>().await;
    }
}

/// One task with what it reads from and writes to.
pub(super) struct Lane {
    pub(super) partition: TopicPartition,
    pub(super) position: Offset,
    pub(super) consumer: Consumer,
    pub(super) producer: Producer,
    pub(super) task: Box<dyn Task>,
    pub(super) end: End,
    pub(super) idleness: Idleness,
}

/// When a lane counts as idle.
pub(super) struct Idleness {
    /// Whose clock measures the wait.
    client: Client,
    /// How long without anything to read; `None`: it never does.
    after: Option<Duration>,
    /// Ready when that time is up; `None` until the wait begins.
    time: Option<BoxFuture<'static, ()>>,
    is_idle: bool,
}

impl Idleness {
    pub(super) fn after(after: Option<Duration>, client: &Client) -> Self {
        Self {
            client: client.clone(),
            after,
            time: None,
            is_idle: false,
        }
    }

    /// There was something to read: the wait begins again.
    fn reset(&mut self) {
        (self.time, self.is_idle) = (None, false);
    }

    /// Ready when there was nothing to read for long enough; never a second time in a row.
    async fn reached(&mut self) {
        match self.after {
            Some(after) if !self.is_idle => {
                let begin = || self.client.pause(after);
                self.time.get_or_insert_with(begin).await;
            }
            _ => std::future::pending().await,
        }
    }
}

/// Why a lane stopped waiting.
enum Woken {
    /// Records have come, or waiting for them takes long.
    Polled(Vec<Fetched>),
    /// The end is known, or known better.
    EndKnown,
    /// There was nothing to read for long enough.
    Quiet,
}

impl Lane {
    /// Runs to the input's end.
    pub(super) async fn run(mut self) -> Result<(), RunError> {
        let mut out = Outbox::default();
        loop {
            let end = self.end.of(&self.partition)?;
            if self.task.is_ended() || end.is_some_and(|end| self.position >= end) {
                break;
            }
            match self.wait().await? {
                Woken::Polled(fetched) => self.take(&fetched, end, &mut out)?,
                Woken::EndKnown => continue,
                Woken::Quiet => self.fall_idle(&mut out),
            }
            self.write(&mut out).await?;
        }
        self.task.end(&mut out);
        self.write(&mut out).await
    }

    async fn wait(&mut self) -> Result<Woken, RunError> {
        tokio::select! {
            // Records that are there go before the time that has passed.
            biased;
            polled = self.consumer.poll() => Ok(Woken::Polled(polled?)),
            () = self.end.changed() => Ok(Woken::EndKnown),
            () = self.idleness.reached() => Ok(Woken::Quiet),
        }
    }

    /// Feeds the task what was polled.
    fn take(
        &mut self,
        fetched: &[Fetched],
        end: Option<Offset>,
        out: &mut Outbox,
    ) -> Result<(), RunError> {
        if !fetched.is_empty() {
            self.idleness.reset();
        }
        for fetched in fetched {
            self.process(fetched, end.unwrap_or(Offset(i64::MAX)), out)?;
        }
        // Also without records: the position passes over what is not for us.
        if let Some(position) = self.consumer.position(&self.partition) {
            self.position = position;
        }
        Ok(())
    }

    /// Reports to the task that it has no input for now; but not if the broker merely does not
    /// answer.
    fn fall_idle(&mut self, out: &mut Outbox) {
        self.idleness.time = None;
        if self.consumer.is_caught_up(&self.partition) {
            self.idleness.is_idle = true;
            self.task.idle(out);
        }
    }

    /// Feeds the task one fetch, up to the end.
    fn process(
        &mut self,
        fetched: &Fetched,
        end: Offset,
        out: &mut Outbox,
    ) -> Result<(), RunError> {
        for batch in &fetched.batches {
            if batch.header().is_control() {
                continue;
            }
            let task = &mut self.task;
            feed(batch, fetched.position, end, |inputs| {
                task.process(inputs, out);
                out.next_batch();
            })
            .map_err(|source| RunError::Batch {
                partition: self.partition.clone(),
                offset: batch.header().base_offset,
                source,
            })?;
        }
        Ok(())
    }

    /// Writes what the task wants written, and waits until it is acknowledged: a broker that lags
    /// slows the lane down instead of filling its memory.
    async fn write(&mut self, out: &mut Outbox) -> Result<(), RunError> {
        let mut is_empty = true;
        for record in out.take() {
            is_empty = false;
            let (topic, record) = new_record(record);
            // The flush waits for the delivery and reports its failure.
            let sent = self.producer.send(&topic, record).await;
            drop(sent.map_err(|source| self.cannot_write(source))?);
        }
        if !is_empty {
            let flushed = self.producer.flush().await;
            flushed.map_err(|source| self.cannot_write(source))?;
        }
        Ok(())
    }

    fn cannot_write(&self, source: ClientError) -> RunError {
        RunError::Write {
            partition: self.partition.clone(),
            position: self.position,
            source,
        }
    }
}

/// Makes the records in `position..end` of a batch readable and hands them on.
pub(super) fn feed(
    batch: &RecordBatch,
    position: Offset,
    end: Offset,
    process: impl FnOnce(&[InputRecord<'_>]),
) -> Result<(), BatchError> {
    let records: Records = batch.records(DECOMPRESSED_BYTES_MAX)?;
    let mut inputs = Vec::new();
    for record in &records {
        let record = record?;
        if record.offset < position || record.offset >= end {
            continue;
        }
        let mut headers = record.headers();
        inputs.push(InputRecord {
            offset: record.offset,
            timestamp: record.timestamp,
            key: record.key,
            value: record.value,
            origin: headers
                .find(|(name, _)| *name == origin::HEADER)
                .and_then(|(_, v)| v),
        });
    }
    if !inputs.is_empty() {
        process(&inputs);
    }
    Ok(())
}

pub(super) fn new_record(record: OutRecord) -> (TopicName, NewRecord) {
    // A repartition topic is written now, whatever the event times: none is too far from the clock.
    let timestamp = record.origin.is_none().then_some(record.timestamp);
    let origin = record
        .origin
        .map(|value| (origin::HEADER.to_owned(), Some(value)));
    let new = NewRecord {
        partition: record.partition,
        timestamp,
        key: record.key,
        value: record.value,
        headers: origin.into_iter().collect(),
        compression: None,
    };
    (record.topic, new)
}
