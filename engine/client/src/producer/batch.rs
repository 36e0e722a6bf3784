//! A batch on its way from `send` to its acknowledgement.
//!
//! ```text
//!   open ──▶ ready ──▶ in flight ──▶ done: offset or error
//!                         │  ▲
//!                         ▼  │ same bytes, same sequence
//!                        waiting
//! ```
//!
//! All records of a batch share its fate, so they share one [`BatchState`] and remember only their
//! index in it: a record costs a counter, not a channel. Only a batch that is refused for one of
//! its records, or for its size, is taken apart ([`Batch::split`]): the others shall not suffer for
//! it.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use brooklet_protocol::records::{BatchBuilder, BatchError, Compression, RecordBatch};
use brooklet_protocol::{Offset, ProducerEpoch, ProducerId, Timestamp, TopicPartition};
use bytes::Bytes;
use tokio::sync::Notify;

use super::{ClientError, RecordRef};
use crate::RecordSize;

/// The producer's id and epoch, by which the broker recognizes repetitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) id: ProducerId,
    pub(super) epoch: ProducerEpoch,
}

/// What a batch is stamped with when it is first sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) identity: Identity,
    pub(super) base_sequence: i32,
    /// Whether it is part of a transaction.
    pub(super) in_transaction: bool,
}

/// What became of a batch, for all who wait for it.
#[derive(Debug)]
pub(super) struct BatchState {
    pub(super) partition: TopicPartition,
    outcome: OnceLock<Outcome>,
    done: Notify,
}

#[derive(Debug)]
enum Outcome {
    /// All of it is stored, at this base offset.
    Stored(Offset),
    /// None of it is, or is known to be.
    Failed(ClientError),
    /// It was refused and its records go on in other batches: for each, in which one and where in
    /// it.
    Split(Vec<(Arc<BatchState>, i64)>),
}

impl BatchState {
    fn new(partition: TopicPartition) -> Self {
        Self {
            partition,
            outcome: OnceLock::new(),
            done: Notify::new(),
        }
    }

    /// Decides the outcome, once.
    pub(super) fn finish(&self, outcome: Result<Offset, ClientError>) {
        self.decide(match outcome {
            Ok(base) => Outcome::Stored(base),
            Err(error) => Outcome::Failed(error),
        });
    }

    fn decide(&self, outcome: Outcome) {
        // A second outcome comes only after the sender's end has failed everything.
        self.outcome.set(outcome).ok();
        self.done.notify_waiters();
    }

    async fn decided(&self) -> Option<&Outcome> {
        let done = self.done.notified();
        tokio::pin!(done);
        // Registered before the outcome is looked at, so that none is missed in between.
        done.as_mut().enable();
        if self.outcome.get().is_none() {
            done.await;
        }
        self.outcome.get()
    }

    /// Waits until all records are settled, in whatever batch.
    pub(super) async fn wait(self: &Arc<Self>) {
        let mut waiting = vec![Arc::clone(self)];
        while let Some(batch) = waiting.pop() {
            if let Some(Outcome::Split(records)) = batch.decided().await {
                let batches = records.iter().map(|(batch, _)| Arc::clone(batch));
                waiting.extend(batches);
                waiting.dedup_by(|a, b| Arc::ptr_eq(a, b));
            }
        }
    }

    /// The offset of a record, once known.
    pub(super) async fn offset_of(self: &Arc<Self>, index: i64) -> Result<Offset, ClientError> {
        let (mut batch, mut index) = (Arc::clone(self), index);
        loop {
            let next = match batch.decided().await {
                Some(Outcome::Stored(base)) if base.0 < 0 => return Ok(*base),
                Some(Outcome::Stored(base)) => return Ok(base.plus(index)),
                Some(Outcome::Failed(error)) => return Err(error.duplicate()),
                Some(Outcome::Split(records)) => records[index as usize].clone(),
                None => return Err(ClientError::Closed),
            };
            (batch, index) = next;
        }
    }
}

#[derive(Debug)]
enum Payload {
    Open(BatchBuilder),
    Sealed(Bytes),
    /// Only while sealing.
    Empty,
}

/// A batch of one partition.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) state: Arc<BatchState>,
    payload: Payload,
    pub(super) stamp: Option<Stamp>,
    pub(super) record_count: i32,
    /// When its first record came, in the accumulator's time.
    pub(super) created: Duration,
    /// How often it was sent in vain.
    pub(super) failures: u32,
    /// Whether the broker may have stored it without an answer.
    pub(super) maybe_stored: bool,
    /// The share of `buffer.memory` that it holds.
    pub(super) buffer_bytes: usize,
    /// Bytes of the first record's key, value and headers.
    payload_bytes: usize,
    compression: Compression,
    /// Bytes before compression; of a batch that is sealed.
    raw_bytes: usize,
}

/// What becomes of a batch that was refused, record by record.
#[derive(Debug)]
pub(super) struct Split {
    /// They are sent in its place, in this order.
    pub(super) batches: Vec<Batch>,
    /// The first error of a record that is not sent again.
    pub(super) failure: Option<ClientError>,
    /// The share of `buffer.memory` that is free now.
    pub(super) freed_bytes: usize,
}

impl Batch {
    pub(super) fn new(
        partition: TopicPartition,
        compression: Compression,
        created: Duration,
    ) -> Self {
        Self {
            state: Arc::new(BatchState::new(partition)),
            payload: Payload::Open(BatchBuilder::new(compression)),
            stamp: None,
            record_count: 0,
            created,
            failures: 0,
            maybe_stored: false,
            buffer_bytes: 0,
            payload_bytes: 0,
            compression,
            raw_bytes: 0,
        }
    }

    /// The codec.
    pub(super) fn compression(&self) -> Compression {
        self.compression
    }

    /// Bytes so far, not compressed.
    pub(super) fn size(&self) -> usize {
        match &self.payload {
            Payload::Open(builder) => builder.uncompressed_size(),
            Payload::Sealed(bytes) => bytes.len(),
            Payload::Empty => 0,
        }
    }

    /// Adds a record to a batch that is not sealed yet, with its share of `buffer.memory`; returns
    /// its index.
    pub(super) fn append(
        &mut self,
        record: &RecordRef<'_>,
        timestamp: Timestamp,
        buffer_bytes: usize,
    ) -> i64 {
        let Payload::Open(builder) = &mut self.payload else {
            unreachable!("only an open batch is appended to");
        };
        builder.append(timestamp, record.key, record.value, record.headers);
        self.buffer_bytes += buffer_bytes;
        if self.record_count == 0 {
            self.payload_bytes = record.payload_bytes();
        }
        self.record_count += 1;
        i64::from(self.record_count - 1)
    }

    /// Bytes before compression; of a batch that is sealed.
    pub(super) fn uncompressed_bytes(&self) -> usize {
        self.raw_bytes
    }

    /// How large the record is, if it is the only one; of a batch that is sealed.
    pub(super) fn single_record(&self) -> Option<RecordSize> {
        (self.record_count == 1).then(|| RecordSize {
            record_bytes: self.payload_bytes,
            batch_bytes: self.size(),
            is_compressed: self.compression != Compression::None,
        })
    }

    /// Takes a sealed batch apart that was refused: records in `culprits` fail, with those words,
    /// and the others go on in one batch; without any culprit known, half of them in each of two.
    pub(super) fn split(
        self,
        error: &ClientError,
        culprits: &BTreeMap<usize, Option<String>>,
    ) -> Result<Split, BatchError> {
        let Payload::Sealed(bytes) = &self.payload else {
            unreachable!("a batch that was sent is sealed");
        };
        let records = RecordBatch::split_from(&mut bytes.clone())?.records(self.raw_bytes)?;
        let count = self.record_count as usize;
        let middle = if culprits.is_empty() {
            count / 2
        } else {
            count
        };
        let begin = || Self::new(self.state.partition.clone(), self.compression, self.created);
        let mut split = Split {
            batches: vec![begin()],
            failure: None,
            freed_bytes: self.buffer_bytes,
        };
        let mut fates = Vec::with_capacity(count);
        for (index, record) in records.iter().enumerate() {
            let record = record?;
            if let Some(words) = culprits.get(&index) {
                let state = Arc::new(BatchState::new(self.state.partition.clone()));
                let error = error.of_record(words.as_deref());
                split.failure.get_or_insert_with(|| error.duplicate());
                state.finish(Err(error));
                fates.push((state, 0));
                continue;
            }
            if index == middle {
                split.batches.push(begin());
            }
            let batch = split.batches.last_mut().expect("there is one");
            let owned: Vec<_> = record.headers().collect();
            let headers: Vec<_> = owned.iter().map(|(key, value)| (&**key, *value)).collect();
            let again = RecordRef {
                timestamp: None,
                key: record.key,
                value: record.value,
                headers: &headers,
            };
            let share = again.bytes_max().min(split.freed_bytes);
            split.freed_bytes -= share;
            let index = batch.append(&again, record.timestamp, share);
            fates.push((Arc::clone(&batch.state), index));
        }
        split.batches.retain(|batch| batch.record_count > 0);
        self.state.decide(Outcome::Split(fates));
        Ok(split)
    }

    /// The finished bytes. Compresses at the first call, so it is not for under a lock.
    pub(super) fn seal(&mut self) -> Bytes {
        if let Payload::Open(builder) = &self.payload {
            self.raw_bytes = builder.uncompressed_size();
        }
        let payload = std::mem::replace(&mut self.payload, Payload::Empty);
        let bytes = match (payload, self.stamp) {
            (
                Payload::Open(builder),
                Some(Stamp {
                    identity,
                    base_sequence,
                    in_transaction,
                }),
            ) => {
                let builder = builder.with_producer(identity.id, identity.epoch, base_sequence);
                let builder = if in_transaction {
                    builder.with_transaction()
                } else {
                    builder
                };
                builder.build().bytes().clone()
            }
            (Payload::Open(builder), None) => builder.build().bytes().clone(),
            (Payload::Sealed(bytes), _) => bytes,
            (Payload::Empty, _) => unreachable!("sealing leaves a sealed batch"),
        };
        self.payload = Payload::Sealed(bytes.clone());
        bytes
    }
}
