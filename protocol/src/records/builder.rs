//! Building a batch, record by record.
//!
//! Records are encoded as they are added. The header depends on all of them, and the checksum on
//! the header, so [`BatchBuilder::build`] writes both.

use super::batch::{CONTROL, CRC_COVERS_FROM, MAGIC, TRANSACTIONAL};
use super::{BATCH_HEADER_BYTES, BatchHeader, Compression, RecordBatch, codec};
use crate::wire::varint;
use crate::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Timestamp};

/// Builds one batch, record by record.
#[derive(Clone, Debug)]
pub struct BatchBuilder {
    compression: Compression,
    /// Attribute bits beside those of the codec.
    flags: i16,
    producer_id: ProducerId,
    producer_epoch: ProducerEpoch,
    base_sequence: i32,
    /// The timestamp of the first record.
    base_timestamp: Timestamp,
    max_timestamp: Timestamp,
    record_count: i32,
    /// The records so far, uncompressed.
    body: Vec<u8>,
}

impl BatchBuilder {
    /// An empty batch; base offset 0, leader epoch -1, no producer.
    pub fn new(compression: Compression) -> Self {
        Self {
            compression,
            flags: 0,
            producer_id: ProducerId::NONE,
            producer_epoch: ProducerEpoch::NONE,
            base_sequence: -1,
            base_timestamp: Timestamp::NONE,
            max_timestamp: Timestamp::MIN,
            record_count: 0,
            body: Vec::new(),
        }
    }

    /// Stamps a producer's identity and the sequence of the first record.
    pub fn with_producer(
        mut self,
        id: ProducerId,
        epoch: ProducerEpoch,
        base_sequence: i32,
    ) -> Self {
        self.producer_id = id;
        self.producer_epoch = epoch;
        self.base_sequence = base_sequence;
        self
    }

    /// Marks the batch as part of its producer's transaction.
    pub fn with_transaction(mut self) -> Self {
        self.flags |= TRANSACTIONAL;
        self
    }

    /// Marks it as a control batch, whose records are for the broker and not for applications.
    pub fn with_control(mut self) -> Self {
        self.flags |= CONTROL;
        self
    }

    /// Adds a record.
    ///
    /// # Panics
    /// When a record has 2 GiB or more: its length is an `i32`. Callers keep far below that.
    pub fn append(
        &mut self,
        timestamp: Timestamp,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&str, Option<&[u8]>)],
    ) {
        if self.record_count == 0 {
            self.base_timestamp = timestamp;
        }
        self.max_timestamp = self.max_timestamp.max(timestamp);
        let timestamp_delta = timestamp.0.wrapping_sub(self.base_timestamp.0);
        let offset_delta = i64::from(self.record_count);

        put_record(
            &mut self.body,
            (timestamp_delta, offset_delta),
            (key, value),
            headers,
        );
        self.record_count += 1;
    }

    /// The number of records so far.
    pub fn record_count(&self) -> usize {
        self.record_count as usize
    }

    /// Bytes of the batch if built now without compression.
    pub fn uncompressed_size(&self) -> usize {
        BATCH_HEADER_BYTES + self.body.len()
    }

    /// Finishes: compresses, writes the header, computes the checksum.
    ///
    /// # Panics
    /// Without a record, and when the batch would have 2 GiB: its length is an `i32`. Callers watch
    /// [`BatchBuilder::uncompressed_size`] and keep far below that.
    pub fn build(self) -> RecordBatch {
        assert!(self.record_count > 0, "a batch has at least one record");
        seal(self.header(), &codec::compress(self.compression, self.body))
    }

    /// All but the batch length and the checksum, which need the compressed records.
    fn header(&self) -> BatchHeader {
        BatchHeader {
            base_offset: Offset::ZERO,
            batch_length: 0,
            leader_epoch: LeaderEpoch(-1),
            magic: MAGIC,
            crc: 0,
            attributes: i16::from(self.compression.bits()) | self.flags,
            last_offset_delta: self.record_count - 1,
            base_timestamp: self.base_timestamp,
            max_timestamp: self.max_timestamp,
            producer_id: self.producer_id,
            producer_epoch: self.producer_epoch,
            base_sequence: self.base_sequence,
            record_count: self.record_count,
        }
    }
}

/// Puts a header and its records together; length and checksum are computed.
pub(super) fn seal(header: BatchHeader, body: &[u8]) -> RecordBatch {
    let mut bytes = Vec::with_capacity(BATCH_HEADER_BYTES + body.len());
    let length = BATCH_HEADER_BYTES - 12 + body.len();
    let header = BatchHeader {
        batch_length: i32::try_from(length).expect("a batch stays below 2 GiB"),
        ..header
    };
    bytes.extend(header.to_bytes());
    bytes.extend(body);
    let crc = crate::crc32c(&bytes[CRC_COVERS_FROM..]);
    bytes[CRC_COVERS_FROM - 4..CRC_COVERS_FROM].copy_from_slice(&crc.to_be_bytes());
    RecordBatch::split_from(&mut bytes.into()).expect("the header was written just now")
}

/// Appends a record.
pub(super) fn put_record(
    out: &mut Vec<u8>,
    (timestamp_delta, offset_delta): (i64, i64),
    (key, value): (Option<&[u8]>, Option<&[u8]>),
    headers: &[(impl AsRef<[u8]>, Option<&[u8]>)],
) {
    let size = record_size(timestamp_delta, offset_delta, key, value, headers);
    assert!(i32::try_from(size).is_ok(), "a record of {size} bytes");
    varint::put(out, size as i64);
    out.push(0);
    varint::put(out, timestamp_delta);
    varint::put(out, offset_delta);
    put_nullable(out, key);
    put_nullable(out, value);
    varint::put(out, headers.len() as i64);
    for (key, value) in headers {
        put_nullable(out, Some(key.as_ref()));
        put_nullable(out, *value);
    }
}

/// Bytes of a batch that holds this one record, not compressed.
pub fn single_record_bytes(
    key: Option<&[u8]>,
    value: Option<&[u8]>,
    headers: &[(&str, Option<&[u8]>)],
) -> usize {
    let size = record_size(0, 0, key, value, headers);
    BATCH_HEADER_BYTES + varint::size(size as i64) + size
}

/// Bytes of a record after its length.
fn record_size(
    timestamp_delta: i64,
    offset_delta: i64,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
    headers: &[(impl AsRef<[u8]>, Option<&[u8]>)],
) -> usize {
    let headers_size: usize = headers
        .iter()
        .map(|(key, value)| nullable_size(Some(key.as_ref())) + nullable_size(*value))
        .sum();
    1 + varint::size(timestamp_delta)
        + varint::size(offset_delta)
        + nullable_size(key)
        + nullable_size(value)
        + varint::size(headers.len() as i64)
        + headers_size
}

fn nullable_size(bytes: Option<&[u8]>) -> usize {
    bytes.map_or(1, |bytes| varint::size(bytes.len() as i64) + bytes.len())
}

fn put_nullable(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        None => varint::put(out, -1),
        Some(bytes) => {
            varint::put(out, bytes.len() as i64);
            out.extend_from_slice(bytes);
        }
    }
}
