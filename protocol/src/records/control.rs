//! The marker that ends a transaction in a partition (KIP-98).
//!
//! ```text
//!  a control batch of one record
//!    key     version i16 = 0 | type i16: 0 abort, 1 commit
//!    value   version i16 = 0 | coordinator epoch i32
//! ```
//!
//! Only a transaction coordinator writes it. It takes an offset, and consumers skip it.

use super::{BatchBuilder, BatchError, Compression, RecordBatch};
use crate::{ProducerEpoch, ProducerId, Timestamp};

const ABORT: u8 = 0;
const COMMIT: u8 = 1;
/// A marker is not compressed; this is far above what it takes.
const MARKER_BYTES_MAX: usize = 1024;

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndTxnMarker {
    /// Committed, or aborted.
    pub committed: bool,
    /// The epoch of the coordinator that decided so.
    pub coordinator_epoch: i32,
}

impl EndTxnMarker {
    /// The control batch that ends the transaction of a producer.
    pub fn to_batch(
        self,
        (id, epoch): (ProducerId, ProducerEpoch),
        timestamp: Timestamp,
    ) -> RecordBatch {
        let kind = if self.committed { COMMIT } else { ABORT };
        let key = [0, 0, 0, kind];
        let mut value = [0; 6];
        value[2..].copy_from_slice(&self.coordinator_epoch.to_be_bytes());
        let mut batch = BatchBuilder::new(Compression::None)
            .with_producer(id, epoch, -1)
            .with_transaction()
            .with_control();
        batch.append(timestamp, Some(&key), Some(&value), &[]);
        batch.build()
    }

    /// The content of a control batch; `None` if it does not end a transaction but is another kind
    /// of control record, which means nothing to a partition's log.
    ///
    /// # Errors
    /// The batch is malformed.
    pub fn read(batch: &RecordBatch) -> Result<Option<Self>, BatchError> {
        let records = batch.records(MARKER_BYTES_MAX)?;
        let Some(record) = records.iter().next().transpose()? else {
            return Ok(None);
        };
        let kind = record.key.and_then(|key| key.get(2..4));
        let epoch = record.value.and_then(|value| value.get(2..6));
        let (Some(kind), Some(epoch)) = (kind, epoch) else {
            return Ok(None);
        };
        let committed = match kind {
            [0, ABORT] => false,
            [0, COMMIT] => true,
            _ => return Ok(None),
        };
        let epoch = epoch.try_into().expect("it was cut to four bytes");
        let coordinator_epoch = i32::from_be_bytes(epoch);
        Ok(Some(Self {
            committed,
            coordinator_epoch,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_is_read_as_it_was_written() {
        for committed in [false, true] {
            let marker = EndTxnMarker {
                committed,
                coordinator_epoch: 0x0102_0304,
            };
            let batch = marker.to_batch((ProducerId(7), ProducerEpoch(2)), Timestamp(5));
            let header = batch.header();
            assert!(header.is_control() && header.is_transactional());
            assert_eq!((header.base_sequence, header.record_count), (-1, 1));
            assert_eq!(EndTxnMarker::read(&batch), Ok(Some(marker)));
            let records = batch.records(100).unwrap();
            let record = records.iter().next().unwrap().unwrap();
            assert_eq!(record.key, Some(&[0, 0, 0, u8::from(committed)][..]));
            assert_eq!(record.value, Some(&[0, 0, 1, 2, 3, 4][..]));
        }
    }

    #[test]
    fn other_control_records_are_none() {
        for (key, value) in [
            (Some(&b"\0\0\0\x02"[..]), Some(&b"\0\0\0\0\0\0"[..])),
            (Some(b"\0\0\x01\0"), Some(b"\0\0\0\0\0\0")),
            (Some(b"\0\0\0"), Some(b"\0\0\0\0\0\0")),
            (Some(b"\0\0\0\0"), Some(b"\0\0\0\0\0")),
            (None, None),
        ] {
            let mut batch = BatchBuilder::new(Compression::None).with_control();
            batch.append(Timestamp(1), key, value, &[]);
            assert_eq!(EndTxnMarker::read(&batch.build()), Ok(None), "{key:?}");
        }
    }
}
