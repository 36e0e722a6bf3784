//! The producer's memory: batches per partition, without I/O and without a clock.
//!
//! ```text
//!  per partition:   open ─▶ ready ready ready ─▶ in flight (at most one)
//!                                                  ▲  │
//!                                            retry └──┘
//! ```
//!
//! Time is passed in, as a duration since the client's zero of time. The sender's part: [`drain`]
//! what may go, and say of every drained batch exactly once what became of it ([`stored`],
//! [`rejected`], [`lost`], [`retry`], [`refused_in_part`]).
//!
//! Sequences: a partition's batches count their records through, 0, 1, 2 …, and wrap from 2³¹-1 to
//! 0. A batch is stamped when it is first drained, after all before it are settled. So a batch that
//! the broker has certainly refused passes its sequence on to the next. Where the broker may have
//! stored a batch that we give up, nobody knows the next sequence: then the producer takes a new
//! identity, under which every partition counts from 0 again.
//!
//! [`drain`]: Accumulator::drain
//! [`stored`]: Accumulator::stored
//! [`rejected`]: Accumulator::rejected
//! [`lost`]: Accumulator::lost
//! [`retry`]: Accumulator::retry
//! [`refused_in_part`]: Accumulator::refused_in_part

mod queue;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use brooklet_protocol::records::Compression;
use brooklet_protocol::{Offset, PartitionId, Timestamp, TopicName, TopicPartition};

use self::queue::Queue;
use super::batch::{Batch, BatchState, Identity, Split, Stamp};
use super::coordinator::Protocol;
use super::gate::Gate;
use super::partitioner::{Choice, choose};
use super::record::{Destination, RecordRef};
use super::{ClientError, Delivery, ProducerConfig};
use crate::backoff;

/// What the accumulator keeps to.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    pub(super) batch_bytes: usize,
    pub(super) buffer_bytes: usize,
    pub(super) linger: Duration,
    pub(super) delivery_timeout: Duration,
    pub(super) is_idempotent: bool,
    /// `None` without transactions.
    pub(super) transactions: Option<Protocol>,
}

impl Limits {
    pub(super) fn new(config: &ProducerConfig, transactions: Option<Protocol>) -> Self {
        Self {
            batch_bytes: config
                .batch_bytes
                .min(config.request_bytes_max.unwrap_or(usize::MAX)),
            buffer_bytes: config.buffer_bytes,
            linger: config.linger,
            delivery_timeout: config.delivery_timeout,
            is_idempotent: config.is_idempotent(),
            transactions,
        }
    }
}

impl Limits {
    /// The share of `buffer.memory` that a record takes: one that is larger takes all of it.
    pub(super) fn share_of_buffer(&self, record_bytes: usize) -> usize {
        record_bytes.min(self.buffer_bytes)
    }
}

/// When records are appended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    /// The timestamp of records that have none.
    pub(super) wall: Timestamp,
    /// In the accumulator's time.
    pub(super) now: Duration,
}

/// The batches of all partitions.
#[derive(Debug)]
pub(super) struct Accumulator {
    limits: Limits,
    topics: HashMap<TopicName, Topic>,
    queues: Vec<Queue>,
    /// `None` while a new one is being asked for, and without idempotence.
    identity: Option<Identity>,
    /// What the open transaction may write to; `None` for a producer without transactions.
    gate: Option<Gate>,
    /// The first error of a batch since the last [`take_failure`](Self::take_failure).
    first_failure: Option<ClientError>,
    /// Why there is no identity, while it is asked for again.
    trouble: Option<ClientError>,
    is_closed: bool,
}

/// A batch that the broker has refused.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) partition: TopicPartition,
    pub(super) stamp: Option<Stamp>,
    /// What batches of its topic may grow to from now on, if it was refused for its size.
    pub(super) batch_bytes_max: Option<usize>,
}

#[derive(Debug, Default)]
struct Topic {
    /// Where in `queues` each partition is.
    queues: Vec<usize>,
    /// The partition that keyless records stick to; `None` before the first.
    sticky: Option<usize>,
}

impl Accumulator {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            topics: HashMap::new(),
            queues: Vec::new(),
            gate: limits.transactions.map(Gate::new),
            identity: None,
            first_failure: None,
            trouble: None,
            is_closed: false,
            limits,
        }
    }

    /// Whether records for the topic (and partition) can be taken.
    pub(super) fn knows(&self, topic: &TopicName, partition: Option<PartitionId>) -> bool {
        let count = self.topics.get(topic).map_or(0, |topic| topic.queues.len());
        let number = usize::try_from(partition.unwrap_or_default().0);
        number.is_ok_and(|number| number < count)
    }

    /// Notes how many partitions a topic has; it never has fewer than before.
    pub(super) fn learn(&mut self, topic: &TopicName, partition_count: i32) {
        let queues = &mut self.topics.entry(topic.clone()).or_default().queues;
        let known = i32::try_from(queues.len()).unwrap_or(i32::MAX);
        for number in known..partition_count {
            queues.push(self.queues.len());
            let partition = TopicPartition::new(topic.clone(), PartitionId(number));
            self.queues
                .push(Queue::new(partition, self.limits.batch_bytes));
        }
    }

    /// Takes a record. Returns whether the sender has something new to do or to wait for. `None`
    /// for a topic that was not [learned](Self::learn) or after the end.
    pub(super) fn append(
        &mut self,
        to: &Destination<'_>,
        record: &RecordRef<'_>,
        at: Moment,
    ) -> Option<(Delivery, bool)> {
        if self.is_closed {
            return None;
        }
        let topic = self.topics.get_mut(to.topic)?;
        let queue = match choose(to.partition, record.key, topic.queues.len())? {
            Choice::Fixed(number) => topic.queues[number],
            Choice::Sticky => topic.sticky_queue(&self.queues, record, to.codec),
        };
        let queue = &mut self.queues[queue];
        let bytes = record.bytes_max();
        let (batch, begun) = queue.batch_for(bytes, to.codec, at.now);
        let timestamp = record.timestamp.unwrap_or(at.wall);
        let index = batch.append(record, timestamp, self.limits.share_of_buffer(bytes));
        let delivery = Delivery {
            batch: Arc::clone(&batch.state),
            index,
        };
        Some((delivery, queue.close_if_full() || begun))
    }

    /// Takes records for one partition, as [`Accumulator::append`] takes one.
    pub(super) fn append_all(
        &mut self,
        to: &TopicPartition,
        codec: Compression,
        records: &[RecordRef<'_>],
        at: Moment,
    ) -> Option<bool> {
        if self.is_closed {
            return None;
        }
        let number = usize::try_from(to.partition.0).ok()?;
        let queue = *self.topics.get(&to.topic)?.queues.get(number)?;
        let queue = &mut self.queues[queue];
        let mut wake = false;
        for record in records {
            let bytes = record.bytes_max();
            let (batch, begun) = queue.batch_for(bytes, codec, at.now);
            let timestamp = record.timestamp.unwrap_or(at.wall);
            batch.append(record, timestamp, self.limits.share_of_buffer(bytes));
            wake |= queue.close_if_full() || begun;
        }
        Some(wake)
    }

    /// Takes every batch that may go: full, lingered (or all, when `hurried`), and its partition
    /// neither busy nor pausing. `route` says where to; what it has no answer for stays.
    pub(super) fn drain<T>(
        &mut self,
        now: Duration,
        hurried: bool,
        mut route: impl FnMut(&TopicPartition) -> Option<T>,
    ) -> Vec<(T, Batch)> {
        let mut drained = Vec::new();
        if self.limits.is_idempotent && self.identity.is_none() {
            return drained;
        }
        let mut gate = self.gate.as_mut();
        for queue in &mut self.queues {
            if queue.is_sendable(now, hurried, self.limits.linger)
                && gate
                    .as_ref()
                    .is_none_or(|gate| gate.is_open(&queue.partition))
                && let Some(to) = route(&queue.partition)
                && let Some(batch) = queue.take(self.identity, gate.is_some())
            {
                if let Some(gate) = &mut gate {
                    gate.pass(&queue.partition);
                }
                drained.push((to, batch));
            }
        }
        drained
    }

    /// When [`drain`](Self::drain) or [`expire`](Self::expire) will have something that they do not
    /// have now.
    pub(super) fn next_wake(&self, now: Duration) -> Option<Duration> {
        let times = self
            .queues
            .iter()
            .flat_map(|queue| queue.times(&self.limits));
        times.filter(|time| *time > now).min()
    }

    /// Gives up what has waited longer than `delivery.timeout.ms`; returns the memory it held.
    pub(super) fn expire(&mut self, now: Duration) -> usize {
        let Some(created_max) = now.checked_sub(self.limits.delivery_timeout) else {
            return 0;
        };
        let is_late = |batch: &Batch| batch.created <= created_max;
        let mut late = Vec::new();
        for queue in &mut self.queues {
            late.extend(queue.retry.take_if(|batch| is_late(batch)));
            while queue.ready.front().is_some_and(is_late) {
                late.extend(queue.ready.pop_front());
            }
            late.extend(queue.open.take_if(|batch| is_late(batch)));
        }
        let buffer_bytes = late.iter().map(|batch| batch.buffer_bytes).sum();
        for batch in late {
            let own = self.queue_of(&batch).trouble.as_ref();
            let last = own.map(ClientError::duplicate);
            let last = last.or_else(|| self.trouble.as_ref().map(ClientError::duplicate));
            let error = ClientError::DeliveryTimedOut {
                partition: batch.state.partition.clone(),
                after: self.limits.delivery_timeout,
                last: last.map(Box::new),
            };
            self.give_up(batch, error);
        }
        buffer_bytes
    }

    /// The broker has stored a batch at this offset.
    pub(super) fn stored(&mut self, batch: Batch, base_offset: Offset) {
        let queue = self.queue_of(&batch);
        queue.in_flight = None;
        queue.trouble = None;
        batch.state.finish(Ok(base_offset));
    }

    /// The broker has refused a batch for good.
    pub(super) fn rejected(&mut self, batch: Batch, error: ClientError) {
        let queue = self.queue_of(&batch);
        queue.in_flight = None;
        queue.trouble = None;
        self.give_up(batch, error);
    }

    /// The broker has refused a batch, and not all of its records are to blame: the others are sent
    /// in its place, before all that came later.
    pub(super) fn refused_in_part(&mut self, refused: &Refused, split: Split) {
        let identity = self.identity;
        let index = self.index_of(&refused.partition);
        let queue = &mut self.queues[index];
        queue.in_flight = None;
        queue.trouble = None;
        if let Some(stamp) = refused.stamp
            && Some(stamp.identity) == identity
        {
            queue.next_sequence = stamp.base_sequence;
        }
        for batch in split.batches.into_iter().rev() {
            queue.ready.push_front(batch);
        }
        if let Some(error) = split.failure {
            self.first_failure.get_or_insert(error);
        }
        if let Some(bytes_max) = refused.batch_bytes_max {
            for queue in &mut self.queues {
                if queue.partition.topic == refused.partition.topic {
                    queue.batch_bytes = queue.batch_bytes.min(bytes_max);
                }
            }
        }
    }

    /// Why what waits for a topic (`None`: for all) is not sent.
    pub(super) fn note_trouble(&mut self, topic: Option<&TopicName>, error: &ClientError) {
        let Some(topic) = topic else {
            self.trouble = Some(error.duplicate());
            return;
        };
        let waiting = self.queues.iter_mut().filter(|queue| queue.is_waiting());
        for queue in waiting.filter(|queue| queue.partition.topic == *topic) {
            queue.trouble = Some(error.duplicate());
        }
    }

    /// Whether anything is being tried again.
    pub(super) fn is_in_trouble(&self) -> bool {
        self.trouble.is_some() || self.queues.iter().any(|queue| queue.trouble.is_some())
    }

    /// A batch has failed, and what the broker knows of the producer with it.
    pub(super) fn lost(&mut self, mut batch: Batch, error: ClientError) {
        batch.maybe_stored = true;
        self.rejected(batch, error);
    }

    /// A batch is to be sent again, after a pause.
    pub(super) fn retry(&mut self, mut batch: Batch, error: ClientError, now: Duration) {
        batch.failures += 1;
        let queue = self.queue_of(&batch);
        queue.in_flight = None;
        queue.backoff_until = now + backoff::after_error(&error, batch.failures);
        queue.trouble = Some(error);
        queue.retry = Some(batch);
    }

    /// Fails a batch and settles what its sequence was.
    fn give_up(&mut self, batch: Batch, error: ClientError) {
        if let Some(stamp) = batch
            .stamp
            .filter(|stamp| Some(stamp.identity) == self.identity)
        {
            if batch.maybe_stored {
                self.identity = None;
            } else {
                self.queue_of(&batch).next_sequence = stamp.base_sequence;
            }
        }
        self.first_failure.get_or_insert_with(|| error.duplicate());
        batch.state.finish(Err(error));
    }

    /// The first failure since this was last asked.
    pub(super) fn take_failure(&mut self) -> Option<ClientError> {
        self.first_failure.take()
    }

    /// Whether a new identity has to be asked for. One for transactions comes from their
    /// coordinator.
    pub(super) fn needs_identity(&self) -> bool {
        let has_to = self.limits.is_idempotent && self.gate.is_none();
        has_to && self.identity.is_none() && !self.is_closed
    }

    /// Takes a new identity. Batches that were sent under the old one keep it.
    pub(super) fn identify(&mut self, identity: Identity) {
        self.identity = Some(identity);
        self.trouble = None;
        for queue in &mut self.queues {
            queue.next_sequence = 0;
        }
    }

    /// A transaction begins: it is not known to write to anything yet.
    pub(super) fn begin_transaction(&mut self) {
        if let Some(gate) = &mut self.gate {
            gate.clear();
        }
        self.first_failure = None;
    }

    /// Partitions with records that have yet to be added to the transaction.
    pub(super) fn take_unadded(&mut self) -> Option<(Identity, Vec<TopicPartition>)> {
        let (gate, identity) = (self.gate.as_mut()?, self.identity?);
        let waiting = self.queues.iter().filter(|queue| queue.is_waiting());
        let new = gate.ask(waiting.map(|queue| queue.partition.clone()));
        (!new.is_empty()).then_some((identity, new))
    }

    /// The coordinator knows of them.
    pub(super) fn added(&mut self, partitions: &[TopicPartition]) {
        if let Some(gate) = &mut self.gate {
            gate.add(partitions);
        }
    }

    /// The coordinator does not take them: no record of this transaction can be sent. Returns the
    /// memory that was held.
    pub(super) fn not_added(
        &mut self,
        partitions: &[TopicPartition],
        error: &ClientError,
    ) -> usize {
        if let Some(gate) = &mut self.gate {
            gate.refuse(partitions);
        }
        self.give_up_waiting(error)
    }

    /// Whether the transaction's coordinator knows of any partition.
    pub(super) fn has_transaction(&self) -> bool {
        self.gate.as_ref().is_some_and(Gate::is_known)
    }

    /// Gives up all that is not on its way; returns the memory it held.
    pub(super) fn give_up_waiting(&mut self, error: &ClientError) -> usize {
        let mut given_up = Vec::new();
        for queue in &mut self.queues {
            given_up.extend(queue.retry.take());
            given_up.extend(queue.ready.drain(..));
            given_up.extend(queue.open.take());
        }
        let buffer_bytes = given_up.iter().map(|batch| batch.buffer_bytes).sum();
        for batch in given_up {
            self.give_up(batch, error.duplicate());
        }
        buffer_bytes
    }

    /// Gives up what waits, if nothing of it can be sent: in a transaction a new identity comes
    /// only after an abort. Returns the memory it held.
    pub(super) fn give_up_doomed(&mut self) -> usize {
        if self.gate.is_none() || !self.is_in_doubt() {
            return 0;
        }
        let first = self.first_failure.as_ref().map(ClientError::duplicate);
        let words = "the transaction has failed: abort it first";
        self.give_up_waiting(&first.unwrap_or(ClientError::Transaction(words)))
    }

    /// Whether nothing is on its way, neither batches nor partitions to be added.
    pub(super) fn is_quiet(&self) -> bool {
        let gate = self.gate.as_ref();
        gate.is_none_or(|gate| !gate.is_asking())
            && self.queues.iter().all(|queue| queue.in_flight.is_none())
    }

    /// Whether the next sequence of some partition is not known.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.limits.is_idempotent && self.identity.is_none()
    }

    /// Ends the lingering of all batches; returns all that are not settled.
    pub(super) fn close_all(&mut self) -> Vec<Arc<BatchState>> {
        let mut unfinished = Vec::new();
        for queue in &mut self.queues {
            queue.ready.extend(queue.open.take());
            unfinished.extend(queue.in_flight.clone());
            let waiting = queue.retry.iter().chain(&queue.ready);
            unfinished.extend(waiting.map(|batch| Arc::clone(&batch.state)));
        }
        unfinished
    }

    /// Whether everything is settled.
    pub(super) fn is_empty(&self) -> bool {
        self.queues.iter().all(Queue::is_empty)
    }

    /// The end: fails what is left, and takes no further records.
    pub(super) fn close(&mut self) {
        self.is_closed = true;
        self.first_failure.get_or_insert(ClientError::Closed);
        for batch in self.close_all() {
            batch.finish(Err(ClientError::Closed));
        }
        self.queues.clear();
        self.topics.clear();
    }

    fn queue_of(&mut self, batch: &Batch) -> &mut Queue {
        let index = self.index_of(&batch.state.partition);
        &mut self.queues[index]
    }

    fn index_of(&self, partition: &TopicPartition) -> usize {
        let number = partition.partition.0 as usize;
        let topic = self.topics.get(&partition.topic);
        let index = topic.and_then(|topic| topic.queues.get(number));
        *index.expect("a batch comes back to the queue it was drained from")
    }
}

impl Topic {
    /// The queue for a keyless record: moves on whenever a batch has to be begun.
    fn sticky_queue(
        &mut self,
        queues: &[Queue],
        record: &RecordRef<'_>,
        codec: Compression,
    ) -> usize {
        let number = match self.sticky {
            Some(number) if queues[self.queues[number]].fits(record.bytes_max(), codec) => number,
            Some(number) => (number + 1) % self.queues.len(),
            None => 0,
        };
        self.sticky = Some(number);
        self.queues[number]
    }
}

#[cfg(test)]
mod tests;
