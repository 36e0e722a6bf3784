//! Skeleton: the record batch, version 2.

use bytes::Bytes;
use thiserror::Error;

use crate::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Timestamp};

/// Bytes before the first record of a batch.
pub const BATCH_HEADER_BYTES: usize = 61;

/// Why bytes are not a record batch.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BatchError {
    /// Fewer bytes than the header or the batch length asks for.
    #[error("a batch of {expected} bytes is cut off after {found}")]
    Truncated {
        /// Bytes the batch should have.
        expected: usize,
        /// Bytes there are.
        found: usize,
    },
    /// The length field is impossible.
    #[error("batch length {0} is not possible")]
    Length(i32),
    /// Not version 2.
    #[error("magic {0}, expected 2")]
    Magic(i8),
    /// The checksum does not match.
    #[error("batch has crc {found:#010x}, computed {computed:#010x}")]
    Crc {
        /// As stored.
        found: u32,
        /// As computed.
        computed: u32,
    },
    /// A record inside is malformed.
    #[error("record {index}: {reason}")]
    Record {
        /// Which record, from 0.
        index: usize,
        /// What is wrong.
        reason: &'static str,
    },
    /// The attributes name no codec.
    #[error("compression type {0} is unknown")]
    Codec(u8),
    /// Decompression failed or would exceed the limit.
    #[error("cannot decompress {codec}: {reason}")]
    Decompress {
        /// The codec.
        codec: Compression,
        /// The codec's words.
        reason: String,
    },
}

/// How the records of a batch are compressed (the low three bits of its attributes).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// gzip.
    Gzip,
    /// Snappy in the Java client's framing.
    Snappy,
    /// LZ4 frames.
    Lz4,
    /// Zstandard.
    Zstd,
}

impl std::fmt::Display for Compression {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        })
    }
}

/// The 61 bytes before the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    /// Offset of the first record.
    pub base_offset: Offset,
    /// Bytes after this field.
    pub batch_length: i32,
    /// Leader epoch.
    pub leader_epoch: LeaderEpoch,
    /// 2.
    pub magic: i8,
    /// CRC-32C of everything after it.
    pub crc: u32,
    /// Codec, timestamp type, transactional, control.
    pub attributes: i16,
    /// Last offset minus base offset.
    pub last_offset_delta: i32,
    /// The first record's timestamp.
    pub base_timestamp: Timestamp,
    /// The highest timestamp.
    pub max_timestamp: Timestamp,
    /// Producer id or -1.
    pub producer_id: ProducerId,
    /// Producer epoch or -1.
    pub producer_epoch: ProducerEpoch,
    /// Sequence of the first record or -1.
    pub base_sequence: i32,
    /// How many records.
    pub record_count: i32,
}

impl BatchHeader {
    /// Reads the header at the start of `bytes`; needs only [`BATCH_HEADER_BYTES`] of them.
    ///
    /// # Errors
    /// Truncated, impossible length, wrong magic.
    pub fn parse(bytes: &[u8]) -> Result<Self, BatchError> {
        let _ = bytes;
        todo!()
    }
    /// Bytes of the whole batch: 12 + batch length.
    pub fn size(&self) -> usize {
        12 + self.batch_length as usize
    }
    /// The last record's offset.
    pub fn last_offset(&self) -> Offset {
        self.base_offset.plus(i64::from(self.last_offset_delta))
    }
    /// The offset after the last.
    pub fn next_offset(&self) -> Offset {
        self.last_offset().plus(1)
    }
    /// The codec.
    ///
    /// # Errors
    /// Codec bits 5 to 7.
    pub fn compression(&self) -> Result<Compression, BatchError> {
        todo!()
    }
    /// A marker of a transaction, not data.
    pub fn is_control(&self) -> bool {
        self.attributes & 0x20 != 0
    }
    /// Part of a transaction.
    pub fn is_transactional(&self) -> bool {
        self.attributes & 0x10 != 0
    }
    /// Timestamps are the broker's (LogAppendTime).
    pub fn is_log_append_time(&self) -> bool {
        self.attributes & 0x08 != 0
    }
}

/// One whole batch: its bytes and its parsed header. The checksum is checked on request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordBatch {
    header: BatchHeader,
    bytes: Bytes,
}

impl RecordBatch {
    /// Takes the first batch off the front of `bytes`.
    ///
    /// # Errors
    /// As [`BatchHeader::parse`], and `Truncated` when the batch is not whole.
    pub fn split_from(bytes: &mut Bytes) -> Result<Self, BatchError> {
        let _ = bytes;
        todo!()
    }
    /// The header.
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }
    /// All bytes, header included.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }
    /// Compares the stored checksum with the bytes.
    ///
    /// # Errors
    /// [`BatchError::Crc`].
    pub fn verify_crc(&self) -> Result<(), BatchError> {
        todo!()
    }
    /// Makes the records readable: a slice of the batch, or decompressed to at most
    /// `decompressed_bytes_max`.
    ///
    /// # Errors
    /// Codec unknown, decompression failed or too large.
    pub fn records(&self, decompressed_bytes_max: usize) -> Result<Records, BatchError> {
        let _ = decompressed_bytes_max;
        todo!()
    }
}

/// Splits the bytes of a fetch answer or a segment into whole batches; a cut-off tail ends it quietly
/// (Kafka's fetch answers may end in the middle of a batch), anything else malformed is an error.
#[derive(Clone, Debug)]
pub struct Batches(pub Bytes);

impl Iterator for Batches {
    type Item = Result<RecordBatch, BatchError>;
    fn next(&mut self) -> Option<Self::Item> {
        todo!()
    }
}

/// The decompressed records of one batch.
#[derive(Clone, Debug)]
pub struct Records {
    #[expect(dead_code, reason = "skeleton")]
    header: BatchHeader,
    #[expect(dead_code, reason = "skeleton")]
    body: Bytes,
}

impl Records {
    /// Walks them, borrowing.
    pub fn iter(&self) -> RecordIter<'_> {
        todo!()
    }
}

/// Walks the records of one batch without copying; yields at most the header's record count, then ends; fused after an error.
#[derive(Clone, Debug)]
pub struct RecordIter<'a> {
    _body: &'a [u8],
}

impl<'a> Iterator for RecordIter<'a> {
    type Item = Result<Record<'a>, BatchError>;
    fn next(&mut self) -> Option<Self::Item> {
        todo!()
    }
}

/// One record, borrowed from its batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Its offset.
    pub offset: Offset,
    /// Its timestamp (the batch's max timestamp under LogAppendTime).
    pub timestamp: Timestamp,
    /// Null or bytes.
    pub key: Option<&'a [u8]>,
    /// Null (a tombstone) or bytes.
    pub value: Option<&'a [u8]>,
    headers: &'a [u8],
    header_count: usize,
}

impl<'a> Record<'a> {
    /// Its headers, in order.
    pub fn headers(&self) -> impl Iterator<Item = (&'a str, Option<&'a [u8]>)> + use<'a> {
        let _ = (self.headers, self.header_count);
        std::iter::empty()
    }
}

/// Builds one batch, record by record.
#[derive(Debug)]
pub struct BatchBuilder {
    _compression: Compression,
}

impl BatchBuilder {
    /// An empty batch; base offset 0, leader epoch -1, no producer.
    pub fn new(compression: Compression) -> Self {
        Self {
            _compression: compression,
        }
    }
    /// Stamps a producer's identity and the sequence of the first record.
    pub fn with_producer(self, id: ProducerId, epoch: ProducerEpoch, base_sequence: i32) -> Self {
        let _ = (id, epoch, base_sequence);
        self
    }
    /// Adds a record.
    pub fn append(
        &mut self,
        timestamp: Timestamp,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&str, Option<&[u8]>)],
    ) {
        let _ = (timestamp, key, value, headers);
        todo!()
    }
    /// How many records so far.
    pub fn record_count(&self) -> usize {
        todo!()
    }
    /// Bytes of the batch if built now without compression.
    pub fn uncompressed_size(&self) -> usize {
        todo!()
    }
    /// Finishes: compresses, writes the header, computes the checksum.
    ///
    /// # Panics
    /// Without a record.
    pub fn build(self) -> RecordBatch {
        todo!()
    }
}
