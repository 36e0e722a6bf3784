//! Why bytes are not a record batch, or not one that a producer may send.

use thiserror::Error;

use super::Compression;
use crate::{Offset, ProducerEpoch, ProducerId};

/// Why bytes are not a record batch.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BatchError {
    /// Fewer bytes than the header or the batch length asks for.
    #[error("truncated batch: expected {expected} bytes, found {found}")]
    Truncated {
        /// Bytes the batch should have.
        expected: usize,
        /// Bytes there are.
        found: usize,
    },
    /// The length field is impossible.
    #[error("batch length is {0}, expected at least 49")]
    Length(i32),
    /// A format other than version 2.
    #[error("magic {0}, expected 2")]
    Magic(i8),
    /// An offset is negative or beyond the last possible one.
    #[error("invalid offsets: base offset {base_offset}, last offset delta {last_offset_delta}")]
    Offsets {
        /// Offset of the first record.
        base_offset: Offset,
        /// Last offset minus base offset.
        last_offset_delta: i32,
    },
    /// More records than the bytes can hold (7 is the least for one), or fewer than none.
    #[error("record count is {count}, impossible in {body_bytes} bytes of records")]
    RecordCount {
        /// The count in the header.
        count: i32,
        /// Bytes of the records, decompressed if that is known.
        body_bytes: usize,
    },
    /// The checksum does not match.
    #[error("batch has crc {found:#010x}, computed {computed:#010x}")]
    Crc {
        /// The stored checksum.
        found: u32,
        /// The checksum of the bytes.
        computed: u32,
    },
    /// A record inside is malformed.
    #[error("record {index}: {reason}")]
    Record {
        /// The index of the record, from 0.
        index: usize,
        /// The reason.
        reason: &'static str,
    },
    /// The attributes name no codec.
    #[error("compression type is {0}, expected 0 to 4")]
    Codec(u8),
    /// The records are more than the caller's limit, decompressed.
    #[error("cannot decompress {codec}: the records exceed the limit of {limit} bytes")]
    DecompressedTooLarge {
        /// The codec.
        codec: Compression,
        /// In bytes.
        limit: usize,
    },
    /// Decompression failed.
    #[error("cannot decompress {codec}: {reason}")]
    Decompress {
        /// The codec.
        codec: Compression,
        /// The codec's words.
        reason: String,
    },
    /// A producer numbers its records from 0; the broker assigns the offset.
    #[error("produced batch has base offset {0}, expected 0")]
    ProducedBaseOffset(Offset),
    /// A producer leaves no gaps in a batch, and sends none that is empty.
    #[error(
        "produced batch has {record_count} records and last offset delta {last_offset_delta}, \
         expected at least one record and a delta one less than the count"
    )]
    ProducedCount {
        /// The count in the header.
        record_count: i32,
        /// Last offset minus base offset.
        last_offset_delta: i32,
    },
    /// Only the broker writes the markers of transactions.
    #[error("produced batch is a control batch, which only the broker writes")]
    ProducedControl,
    /// Only the broker stamps LogAppendTime.
    #[error("produced batch has timestamp type LogAppendTime, expected CreateTime")]
    ProducedLogAppendTime,
    /// Half of a producer's identity (KIP-98).
    #[error(
        "produced batch has producer id {id}, epoch {epoch} and base sequence {base_sequence}, \
         expected all three or, outside transactions, none"
    )]
    ProducedIdentity {
        /// Producer id or -1.
        id: ProducerId,
        /// Producer epoch or -1.
        epoch: ProducerEpoch,
        /// Sequence of the first record or -1.
        base_sequence: i32,
    },
}
