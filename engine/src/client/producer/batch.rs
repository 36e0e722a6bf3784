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
//! index in it: a record costs a counter, not a channel.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use brooklet_protocol::records::{BatchBuilder, Compression};
use brooklet_protocol::{Offset, ProducerEpoch, ProducerId, Timestamp, TopicPartition};
use bytes::Bytes;
use tokio::sync::Notify;

use super::{ClientError, NewRecord};

/// The most that a record takes beside its key, value and headers: five varints of at most 5 bytes,
/// one of at most 10, and a byte.
const RECORD_OVERHEAD_BYTES: usize = 36;
/// The most that a header takes beside its name and value: two varints.
const HEADER_OVERHEAD_BYTES: usize = 10;

/// The most bytes that a record takes in a batch that is not compressed.
pub(super) fn record_bytes_max(record: &NewRecord) -> usize {
    let len = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
    let headers = record.headers.iter();
    let headers = headers.map(|(name, value)| HEADER_OVERHEAD_BYTES + name.len() + len(value));
    RECORD_OVERHEAD_BYTES + len(&record.key) + len(&record.value) + headers.sum::<usize>()
}

/// Who writes, so that the broker can tell repetitions.
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
    outcome: OnceLock<Result<Offset, ClientError>>,
    done: Notify,
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
        // A second outcome comes only after the sender's end has failed everything.
        self.outcome.set(outcome).ok();
        self.done.notify_waiters();
    }

    /// Waits until there is an outcome.
    pub(super) async fn wait(&self) {
        let done = self.done.notified();
        tokio::pin!(done);
        // Registered before the outcome is looked at, so that none is missed in between.
        done.as_mut().enable();
        if self.outcome.get().is_none() {
            done.await;
        }
    }

    /// The base offset, once known.
    pub(super) async fn outcome(&self) -> Result<Offset, ClientError> {
        self.wait().await;
        match self.outcome.get() {
            Some(Ok(offset)) => Ok(*offset),
            Some(Err(error)) => Err(error.duplicate()),
            None => Err(ClientError::Closed),
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
    /// Whether the broker may have stored it without telling.
    pub(super) maybe_stored: bool,
    /// The share of `buffer.memory` that it holds.
    pub(super) buffer_bytes: usize,
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
        }
    }

    /// Bytes so far, not compressed.
    pub(super) fn size(&self) -> usize {
        match &self.payload {
            Payload::Open(builder) => builder.uncompressed_size(),
            Payload::Sealed(bytes) => bytes.len(),
            Payload::Empty => 0,
        }
    }

    /// Adds a record to a batch that is not sealed yet; returns its index.
    pub(super) fn append(&mut self, record: &NewRecord, timestamp: Timestamp) -> i64 {
        let Payload::Open(builder) = &mut self.payload else {
            unreachable!("only an open batch is appended to");
        };
        let (key, value) = (record.key.as_deref(), record.value.as_deref());
        if record.headers.is_empty() {
            builder.append(timestamp, key, value, &[]);
        } else {
            let headers = record.headers.iter();
            let headers: Vec<_> = headers.map(|(n, v)| (n.as_str(), v.as_deref())).collect();
            builder.append(timestamp, key, value, &headers);
        }
        self.buffer_bytes += record_bytes_max(record);
        self.record_count += 1;
        i64::from(self.record_count - 1)
    }

    /// The finished bytes. Compresses at the first call, so it is not for under a lock.
    pub(super) fn seal(&mut self) -> Bytes {
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
