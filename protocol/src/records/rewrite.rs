//! Rewriting a batch with only some of its records, as compaction does.
//!
//! A record that is kept has the same offset, timestamp and bytes as before; the batch keeps its
//! first and last offset, its producer and its sequences, so that nothing that relies on them sees
//! a difference. A batch without records may remain as a header, which keeps a sequence or the end
//! of a log.
//!
//! A *delete horizon* (KIP-534) says when tombstones and markers may go. It replaces the
//! base timestamp, and the records' timestamps are differences from it.

use super::batch::{COMPRESSION_BITS, DELETE_HORIZON};
use super::builder::{put_record, seal};
use super::{BatchError, BatchHeader, Compression, Record, RecordBatch, codec};
use crate::Timestamp;

/// Rewrites a batch with only some of its records.
#[derive(Debug)]
pub struct BatchRewriter {
    header: BatchHeader,
    compression: Compression,
    body: Vec<u8>,
    record_count: i32,
    max_timestamp: Timestamp,
}

impl BatchRewriter {
    /// Begins with no records of the batch that has `header`. With a `delete_horizon`, it gets
    /// that.
    ///
    /// # Errors
    /// The codec is unknown.
    pub fn new(
        header: &BatchHeader,
        delete_horizon: Option<Timestamp>,
    ) -> Result<Self, BatchError> {
        let mut header = *header;
        if let Some(horizon) = delete_horizon {
            header.attributes |= DELETE_HORIZON;
            header.base_timestamp = horizon;
        }
        Ok(Self {
            compression: header.compression()?,
            header,
            body: Vec::new(),
            record_count: 0,
            max_timestamp: Timestamp::MIN,
        })
    }

    /// Keeps a record of this batch, which must follow those kept before.
    pub fn keep(&mut self, record: &Record<'_>) {
        let headers: Vec<_> = record.raw_headers().collect();
        let timestamp_delta = if self.header.is_log_append_time() {
            0
        } else {
            record
                .timestamp
                .0
                .wrapping_sub(self.header.base_timestamp.0)
        };
        let offset_delta = record.offset.0 - self.header.base_offset.0;
        put_record(
            &mut self.body,
            (timestamp_delta, offset_delta),
            (record.key, record.value),
            &headers,
        );
        self.record_count += 1;
        self.max_timestamp = self.max_timestamp.max(record.timestamp);
    }

    /// The number of records that were kept.
    pub fn record_count(&self) -> usize {
        self.record_count as usize
    }

    /// The batch with the records that were kept, in the codec that it had; without any, only its
    /// header.
    pub fn build(self) -> RecordBatch {
        let mut header = BatchHeader {
            record_count: self.record_count,
            ..self.header
        };
        if self.record_count == 0 {
            header.attributes &= !(COMPRESSION_BITS | DELETE_HORIZON);
            header.base_timestamp = Timestamp::NONE;
            return seal(header, &[]);
        }
        if !header.is_log_append_time() {
            header.max_timestamp = self.max_timestamp;
        }
        seal(header, &codec::compress(self.compression, self.body))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::records::BatchBuilder;
    use crate::{LeaderEpoch, Offset, ProducerEpoch, ProducerId};

    fn batch(codec: Compression, count: i64) -> RecordBatch {
        let mut builder =
            BatchBuilder::new(codec).with_producer(ProducerId(7), ProducerEpoch(1), 40);
        for number in 0..count {
            let value = (number % 3 != 0).then_some(&b"value"[..]);
            let headers = [("h", Some(&b"1"[..])), ("h", None)];
            builder.append(Timestamp(1000 - number), Some(b"key"), value, &headers);
        }
        let batch = builder.build();
        let header = batch.stamped_header(Offset(500), LeaderEpoch(3));
        let mut bytes = Bytes::from([&header, &batch.bytes()[header.len()..]].concat());
        RecordBatch::split_from(&mut bytes).unwrap()
    }

    proptest! {
        #[test]
        fn what_is_kept_stays_as_it_was(
            kept in prop::collection::vec(any::<bool>(), 1..20),
            codec in prop::sample::select(vec![Compression::None, Compression::Lz4]),
            horizon in prop::option::of(0_i64..5000),
        ) {
            let batch = batch(codec, kept.len() as i64);
            let records = batch.records(1 << 20).unwrap();
            let mut rewriter = BatchRewriter::new(batch.header(), horizon.map(Timestamp)).unwrap();
            let mut expected = Vec::new();
            for (record, keep) in records.iter().map(Result::unwrap).zip(&kept) {
                if *keep {
                    rewriter.keep(&record);
                    expected.push(record);
                }
            }
            let rewritten = rewriter.build();
            rewritten.verify_crc().unwrap();
            let found = rewritten.records(1 << 20).unwrap();
            let found: Vec<_> = found.iter().map(Result::unwrap).collect();
            let plain = |records: &[Record<'_>]| -> Vec<_> {
                let plain = |r: &Record<'_>| {
                    let headers: Vec<_> = r.raw_headers().map(|(k, v)| (k.to_owned(), v.map(<[u8]>::to_vec))).collect();
                    (r.offset, r.timestamp, r.key.map(<[u8]>::to_vec), r.value.map(<[u8]>::to_vec), headers)
                };
                records.iter().map(plain).collect()
            };
            prop_assert_eq!(plain(&found), plain(&expected));
            let (old, new) = (batch.header(), rewritten.header());
            prop_assert_eq!(
                (new.base_offset, new.last_offset(), new.leader_epoch),
                (old.base_offset, old.last_offset(), old.leader_epoch)
            );
            prop_assert_eq!(
                (new.producer_id, new.base_sequence, new.last_sequence()),
                (old.producer_id, old.base_sequence, old.last_sequence())
            );
            let empty = expected.is_empty();
            prop_assert_eq!(new.delete_horizon(), horizon.map(Timestamp).filter(|_| !empty));
        }
    }
}
