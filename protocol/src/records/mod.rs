//! The record batch, version 2 (KIP-98): the one format of Kafka's log, on the wire and on disk.
//!
//! A producer builds a batch, the broker appends it to a segment as it came, and a consumer gets it
//! back as it was stored. So the format is all there is between two programs that never meet, and
//! no program in between has to take it apart. Numbers are big-endian.
//!
//! ```text
//!  at  bytes
//!   0   8   base offset            ◀── stamped by the leader
//!   8   4   batch length           of everything after this field
//!  12   4   leader epoch           ◀── stamped by the leader (KIP-101)
//!  16   1   magic = 2
//!  17   4   crc                    CRC-32C of everything after this field
//!  21   2   attributes             bits 0-2 codec, 3 LogAppendTime, 4 transactional, 5 control
//!  23   4   last offset delta      stays when compaction removes the last record
//!  27   8   base timestamp
//!  35   8   max timestamp
//!  43   8   producer id            -1 for none
//!  51   2   producer epoch         -1 for none
//!  53   4   base sequence          -1 for none
//!  57   4   record count
//!  61   …   the records, compressed as one piece
//!
//!  record: │ length │ attributes │ timestamp Δ │ offset Δ │ key │ value │ header count │ headers
//!          │ varint │ 1 byte     │ varlong     │ varint   │ *   │ *     │ varint       │ key*, value*
//!
//!  * a varint length, then that many bytes; length -1 is null
//! ```
//!
//! Invariants:
//! - reading any bytes returns; nothing is allocated by a count or a size that the bytes claim;
//! - [`RecordIter`] yields exactly as many records as the header counts and uses every byte, or an
//!   error;
//! - what [`BatchBuilder`] builds, [`RecordBatch::records`] reads back equal, under every codec.
//!
//! Left out: the message formats 0 and 1, which Kafka 4 dropped too (KIP-896).

mod batch;
mod record;

mod builder;
mod rewrite;

mod survey;

mod control;

mod codec;
mod lz4_frame;
mod zstd;

mod error;

#[cfg(test)]
mod tests;

pub use batch::{BATCH_HEADER_BYTES, BatchHeader, Batches, RecordBatch};
pub use builder::{BatchBuilder, single_record_bytes};
pub use codec::{Compression, UnknownCompression};
pub use control::EndTxnMarker;
pub use error::BatchError;
pub use record::{Record, RecordIter, Records};
pub use rewrite::BatchRewriter;
pub use survey::Survey;
