//! The log as a state machine's driver needs it: records in, records out.
//!
//! In production it is a partition; tests use a log in memory that fails on demand.

use std::error::Error;
use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;

use brooklet_log::LogError;
use brooklet_machines::{LogRecord, TxnMembership};
use brooklet_protocol::records::{
    BatchBuilder, BatchError, Batches, Compression, EndTxnMarker, RecordBatch,
};
use brooklet_protocol::{Offset, Producer, Timestamp};
use bytes::Bytes;
use thiserror::Error;

use crate::partition::{Durability, Partition};

/// Bytes read at a time while replaying.
const REPLAY_BYTES_MAX: usize = 1 << 20;
/// A limit for logs that others have written: the machines write their records uncompressed.
const DECOMPRESSED_BYTES_MAX: usize = 64 << 20;
/// A coordinator does not number the records that it writes on behalf of a producer.
const NO_SEQUENCE: i32 = -1;

/// Why a log cannot be replayed.
#[derive(Debug, Error)]
pub enum ReplayError {
    /// It cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A batch is not what its header says.
    #[error("{log}: batch at offset {offset}: {source}")]
    Batch {
        /// The name of the log.
        log: String,
        /// The batch's base offset, or the offset at which it was expected.
        offset: Offset,
        /// What is wrong with the batch.
        source: BatchError,
    },
    /// The machine refuses the record.
    #[error("{log}: record at offset {offset}: {source}")]
    Record {
        /// The name of the log.
        log: String,
        /// The record's offset.
        offset: Offset,
        /// Why the machine refuses it.
        source: Box<dyn Error + Send + Sync>,
    },
}

/// Called with each record of a log; the error is the machine's.
pub type ReplayRecord<'a> =
    &'a mut dyn FnMut(Offset, &LogRecord) -> Result<(), Box<dyn Error + Send + Sync>>;

/// The log of a driver's machine.
pub trait RecordLog: Debug + Send + Sync + 'static {
    /// Appends the records as one unit and returns the offset of the first. All or nothing; not yet
    /// durable.
    ///
    /// # Errors
    /// The log refuses the records; it is as before.
    fn append(&self, records: &[LogRecord], now: Timestamp) -> Result<Offset, LogError>;
    /// Waits until everything below `offset` has `durability`.
    ///
    /// # Errors
    /// The log cannot be made durable.
    fn commit(
        &self,
        offset: Offset,
        durability: Durability,
    ) -> impl Future<Output = Result<(), LogError>> + Send;
    /// Calls `each` with all records, from the start, including those of transactions and their
    /// markers. Blocks.
    ///
    /// # Errors
    /// The log cannot be read, or `each` refuses a record.
    fn replay(&self, each: ReplayRecord<'_>) -> Result<(), ReplayError>;
    /// The offset that the next record gets.
    fn end_offset(&self) -> Offset;
}

impl RecordLog for Arc<Partition> {
    fn append(&self, records: &[LogRecord], now: Timestamp) -> Result<Offset, LogError> {
        let txn = records
            .first()
            .map_or_else(TxnMembership::default, |r| r.txn);
        assert!(
            records.iter().all(|r| r.txn == txn),
            "the records of one decision belong to one transaction"
        );
        let mut batch = BatchBuilder::new(Compression::None);
        match txn {
            TxnMembership::NonTransactional => {}
            TxnMembership::Transactional(Producer { id, epoch }) => {
                batch = batch
                    .with_producer(id, epoch, NO_SEQUENCE)
                    .with_transaction();
            }
            TxnMembership::Marker {
                producer,
                committed,
            } => return Ok(self.append_marker(producer, committed, None)?.base_offset),
        }
        for record in records {
            batch.append(now, record.key.as_deref(), record.value.as_deref(), &[]);
        }
        Ok(self.append_written(&[batch.build()])?.base_offset)
    }

    async fn commit(&self, offset: Offset, durability: Durability) -> Result<(), LogError> {
        Partition::commit(self, offset, durability).await
    }

    fn replay(&self, each: ReplayRecord<'_>) -> Result<(), ReplayError> {
        let end = self.log_end_offset();
        let mut next = self.log_start_offset();
        while next < end {
            let read = self.log().read(next, end, REPLAY_BYTES_MAX, true)?;
            assert!(
                read.next_offset > next,
                "a read below the end has a whole batch"
            );
            replay_batches(&self.id().to_string(), next, read.bytes, each)?;
            next = read.next_offset;
        }
        Ok(())
    }

    fn end_offset(&self) -> Offset {
        self.log_end_offset()
    }
}

/// Replays whole batches; returns the offset after the last.
pub(crate) fn replay_batches(
    log: &str,
    from: Offset,
    bytes: Bytes,
    each: ReplayRecord<'_>,
) -> Result<Offset, ReplayError> {
    let mut next = from;
    for batch in Batches(bytes) {
        let at = next;
        let damaged = |source| ReplayError::Batch {
            log: log.into(),
            offset: at,
            source,
        };
        let batch = batch.map_err(damaged)?;
        next = batch.header().next_offset();
        let Some(txn) = membership_of(&batch).map_err(damaged)? else {
            continue;
        };
        let records = batch.records(DECOMPRESSED_BYTES_MAX).map_err(damaged)?;
        for record in &records {
            let record = record.map_err(damaged)?;
            let owned = match txn {
                TxnMembership::Marker {
                    producer,
                    committed,
                } => LogRecord::marker(producer, committed),
                TxnMembership::NonTransactional | TxnMembership::Transactional(_) => LogRecord {
                    key: record.key.map(Bytes::copy_from_slice),
                    value: record.value.map(Bytes::copy_from_slice),
                    txn,
                },
            };
            each(record.offset, &owned).map_err(|source| ReplayError::Record {
                log: log.into(),
                offset: record.offset,
                source,
            })?;
        }
    }
    Ok(next)
}

/// Whether a batch belongs to a transaction; `None` for a control batch that is not a marker.
fn membership_of(batch: &RecordBatch) -> Result<Option<TxnMembership>, BatchError> {
    let (header, producer) = (batch.header(), batch.header().producer());
    if header.is_control() {
        let marker = EndTxnMarker::read(batch)?;
        return Ok(marker.map(|marker| TxnMembership::Marker {
            producer,
            committed: marker.committed,
        }));
    }
    let inside = header.is_transactional();
    Ok(Some(if inside {
        TxnMembership::Transactional(producer)
    } else {
        TxnMembership::NonTransactional
    }))
}
