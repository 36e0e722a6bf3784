//! A whole batch: its header, its bytes, and what it says without its records being read.
//!
//! Producers, brokers and consumers pass batches on as they are. Only two fields change on the way:
//! the broker stamps the base offset and the leader epoch, and both lie before the checksum's
//! bytes, so stamping neither recomputes it nor touches the body.

use bytes::Bytes;

use super::{BatchError, Compression, Records, codec};
use crate::{LeaderEpoch, Offset, Producer, ProducerEpoch, ProducerId, Timestamp};

/// Bytes before the first record of a batch.
pub const BATCH_HEADER_BYTES: usize = 61;

/// Bytes of base offset and batch length, which the batch length does not count.
const LENGTH_PREFIX_BYTES: usize = 12;
/// The checksum covers everything from the attributes on.
pub(super) const CRC_COVERS_FROM: usize = 21;
/// The batch length of a batch without a record.
const BATCH_LENGTH_MIN: i32 = (BATCH_HEADER_BYTES - LENGTH_PREFIX_BYTES) as i32;
/// The only version of the format that is left (Kafka 4 dropped 0 and 1, KIP-896).
pub(super) const MAGIC: i8 = 2;

pub(super) const COMPRESSION_BITS: i16 = 0x07;
const LOG_APPEND_TIME: i16 = 0x08;
pub(super) const TRANSACTIONAL: i16 = 0x10;
pub(super) const CONTROL: i16 = 0x20;
pub(super) const DELETE_HORIZON: i16 = 0x40;

/// The 61 bytes before the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    /// Offset of the first record.
    pub base_offset: Offset,
    /// Bytes after this field.
    pub batch_length: i32,
    /// Leader epoch, or -1 before a leader stamped it.
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
    /// Truncated; wrong magic; an impossible length, offset or count.
    pub fn parse(bytes: &[u8]) -> Result<Self, BatchError> {
        let Some(bytes) = bytes.first_chunk() else {
            return Err(BatchError::Truncated {
                expected: BATCH_HEADER_BYTES,
                found: bytes.len(),
            });
        };
        let header = Self::from_bytes(bytes);
        header.check()?;
        Ok(header)
    }

    /// The fields as they stand, unchecked.
    fn from_bytes(bytes: &[u8; BATCH_HEADER_BYTES]) -> Self {
        Self {
            base_offset: Offset(i64::from_be_bytes(field(bytes, 0))),
            batch_length: i32::from_be_bytes(field(bytes, 8)),
            leader_epoch: LeaderEpoch(i32::from_be_bytes(field(bytes, 12))),
            magic: i8::from_be_bytes(field(bytes, 16)),
            crc: u32::from_be_bytes(field(bytes, 17)),
            attributes: i16::from_be_bytes(field(bytes, 21)),
            last_offset_delta: i32::from_be_bytes(field(bytes, 23)),
            base_timestamp: Timestamp(i64::from_be_bytes(field(bytes, 27))),
            max_timestamp: Timestamp(i64::from_be_bytes(field(bytes, 35))),
            producer_id: ProducerId(i64::from_be_bytes(field(bytes, 43))),
            producer_epoch: ProducerEpoch(i16::from_be_bytes(field(bytes, 51))),
            base_sequence: i32::from_be_bytes(field(bytes, 53)),
            record_count: i32::from_be_bytes(field(bytes, 57)),
        }
    }

    /// The inverse of [`BatchHeader::parse`].
    pub(super) fn to_bytes(self) -> [u8; BATCH_HEADER_BYTES] {
        let mut bytes = [0; BATCH_HEADER_BYTES];
        bytes[0..8].copy_from_slice(&self.base_offset.0.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.batch_length.to_be_bytes());
        bytes[12..16].copy_from_slice(&self.leader_epoch.0.to_be_bytes());
        bytes[16..17].copy_from_slice(&self.magic.to_be_bytes());
        bytes[17..21].copy_from_slice(&self.crc.to_be_bytes());
        bytes[21..23].copy_from_slice(&self.attributes.to_be_bytes());
        bytes[23..27].copy_from_slice(&self.last_offset_delta.to_be_bytes());
        bytes[27..35].copy_from_slice(&self.base_timestamp.0.to_be_bytes());
        bytes[35..43].copy_from_slice(&self.max_timestamp.0.to_be_bytes());
        bytes[43..51].copy_from_slice(&self.producer_id.0.to_be_bytes());
        bytes[51..53].copy_from_slice(&self.producer_epoch.0.to_be_bytes());
        bytes[53..57].copy_from_slice(&self.base_sequence.to_be_bytes());
        bytes[57..61].copy_from_slice(&self.record_count.to_be_bytes());
        bytes
    }

    /// Refuses values that no writer produces, so that the arithmetic below cannot overflow.
    fn check(&self) -> Result<(), BatchError> {
        if self.magic != MAGIC {
            return Err(BatchError::Magic(self.magic));
        }
        if self.batch_length < BATCH_LENGTH_MIN {
            return Err(BatchError::Length(self.batch_length));
        }
        let last_offset_max = i64::MAX - 1 - i64::from(self.last_offset_delta.max(0));
        if self.last_offset_delta < 0 || !(0..=last_offset_max).contains(&self.base_offset.0) {
            return Err(BatchError::Offsets {
                base_offset: self.base_offset,
                last_offset_delta: self.last_offset_delta,
            });
        }
        if self.record_count < 0 {
            return Err(BatchError::RecordCount {
                count: self.record_count,
                body_bytes: self.size() - BATCH_HEADER_BYTES,
            });
        }
        Ok(())
    }

    /// Bytes of the whole batch: 12 + batch length.
    pub fn size(&self) -> usize {
        LENGTH_PREFIX_BYTES + self.batch_length as usize
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
        Compression::from_bits((self.attributes & COMPRESSION_BITS) as u8)
    }

    /// Compares the stored checksum with the batch's bytes, header included.
    ///
    /// # Errors
    /// [`BatchError::Crc`].
    pub fn verify_crc(&self, bytes: &[u8]) -> Result<(), BatchError> {
        let computed = crate::crc32c(&bytes[CRC_COVERS_FROM..]);
        if self.crc == computed {
            Ok(())
        } else {
            Err(BatchError::Crc {
                found: self.crc,
                computed,
            })
        }
    }

    /// A marker of a transaction, not data.
    pub fn is_control(&self) -> bool {
        self.attributes & CONTROL != 0
    }

    /// Part of a transaction.
    pub fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL != 0
    }

    /// When compaction may drop its tombstones and markers (KIP-534); `None` until compaction has
    /// seen them for the first time. The base timestamp then holds this time.
    pub fn delete_horizon(&self) -> Option<Timestamp> {
        (self.attributes & DELETE_HORIZON != 0).then_some(self.base_timestamp)
    }

    /// Whether it has an idempotent or transactional producer.
    pub fn has_producer(&self) -> bool {
        self.producer_id != ProducerId::NONE
    }

    /// The sequence of its last record; counting starts over at 0 after 2³¹−1.
    pub fn last_sequence(&self) -> i32 {
        let last = i64::from(self.base_sequence) + i64::from(self.last_offset_delta);
        (last % (1 << 31)) as i32
    }

    /// The producer that sent it; its id is [`ProducerId::NONE`] if it is not idempotent.
    pub fn producer(&self) -> Producer {
        Producer {
            id: self.producer_id,
            epoch: self.producer_epoch,
        }
    }

    /// Timestamps are the broker's (LogAppendTime).
    pub fn is_log_append_time(&self) -> bool {
        self.attributes & LOG_APPEND_TIME != 0
    }
}

fn field<const N: usize>(bytes: &[u8; BATCH_HEADER_BYTES], at: usize) -> [u8; N] {
    *bytes[at..]
        .first_chunk()
        .expect("every field ends within the header")
}

/// One whole batch: its bytes and its parsed header. The checksum is checked on request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordBatch {
    header: BatchHeader,
    bytes: Bytes,
}

impl RecordBatch {
    /// Takes the first batch off the front of `bytes`; leaves them alone on an error.
    ///
    /// # Errors
    /// Those of [`BatchHeader::parse`], and `Truncated` if the batch is incomplete.
    pub fn split_from(bytes: &mut Bytes) -> Result<Self, BatchError> {
        let header = BatchHeader::parse(bytes)?;
        if bytes.len() < header.size() {
            return Err(BatchError::Truncated {
                expected: header.size(),
                found: bytes.len(),
            });
        }
        let bytes = bytes.split_to(header.size());
        Ok(Self { header, bytes })
    }

    /// The header.
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// All bytes, header included.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The bytes after the header: the records, compressed or not.
    pub(super) fn body(&self) -> &[u8] {
        &self.bytes[BATCH_HEADER_BYTES..]
    }

    /// Compares the stored checksum with the bytes.
    ///
    /// # Errors
    /// [`BatchError::Crc`].
    pub fn verify_crc(&self) -> Result<(), BatchError> {
        self.header.verify_crc(&self.bytes)
    }

    /// Checks the header and the checksum of a producer's batch; [`RecordBatch::survey`] checks the
    /// records.
    ///
    /// Sizes, timestamps and sequences are for the broker to check: they depend on its state.
    ///
    /// # Errors
    /// The first rule that the batch breaks; the checksum is the first of all.
    pub fn validate_for_produce(&self) -> Result<(), BatchError> {
        let header = &self.header;
        self.verify_crc()?;
        header.compression()?;
        if header.base_offset != Offset::ZERO {
            return Err(BatchError::ProducedBaseOffset(header.base_offset));
        }
        if header.record_count == 0 || header.last_offset_delta != header.record_count - 1 {
            return Err(BatchError::ProducedCount {
                record_count: header.record_count,
                last_offset_delta: header.last_offset_delta,
            });
        }
        if header.is_control() {
            return Err(BatchError::ProducedControl);
        }
        if header.is_log_append_time() {
            return Err(BatchError::ProducedLogAppendTime);
        }
        check_identity(header)
    }

    /// The first 61 bytes with the broker's stamps; with `bytes()[BATCH_HEADER_BYTES..]` after them
    /// they are the batch as the log stores it. The checksum covers neither stamp.
    pub fn stamped_header(
        &self,
        base_offset: Offset,
        leader_epoch: LeaderEpoch,
    ) -> [u8; BATCH_HEADER_BYTES] {
        let stamped = BatchHeader {
            base_offset,
            leader_epoch,
            ..self.header
        };
        stamped.to_bytes()
    }

    /// The same records with the broker's clock instead of their timestamps (`LogAppendTime`). The
    /// clock is covered by the checksum, which is recomputed.
    pub fn with_log_append_time(&self, now: Timestamp) -> Self {
        let header = BatchHeader {
            attributes: self.header.attributes | LOG_APPEND_TIME,
            max_timestamp: now,
            ..self.header
        };
        super::builder::seal(header, self.body())
    }

    /// The same records in another codec, with a level of that codec's scale or its default.
    ///
    /// # Errors
    /// The records cannot be decompressed to at most `decompressed_bytes_max`.
    pub fn recompressed(
        &self,
        codec: Compression,
        level: Option<i32>,
        decompressed_bytes_max: usize,
    ) -> Result<Self, BatchError> {
        let body = self.bytes.slice(BATCH_HEADER_BYTES..);
        let body = match self.header.compression()? {
            Compression::None => body.into(),
            from => codec::decompress(from, &body, decompressed_bytes_max)?,
        };
        let others = self.header.attributes & !COMPRESSION_BITS;
        let header = BatchHeader {
            attributes: others | i16::from(codec.bits()),
            ..self.header
        };
        Ok(super::builder::seal(
            header,
            &codec::compress_with(codec, level, body),
        ))
    }

    /// Makes the records readable: a slice of the batch, or decompressed to at most
    /// `decompressed_bytes_max`.
    ///
    /// # Errors
    /// Codec unknown, decompression failed or too large, more records than bytes for them.
    pub fn records(&self, decompressed_bytes_max: usize) -> Result<Records, BatchError> {
        let body = self.bytes.slice(BATCH_HEADER_BYTES..);
        let body = match self.header.compression()? {
            Compression::None => body,
            codec => codec::decompress(codec, &body, decompressed_bytes_max)?.into(),
        };
        Records::new(self.header, body)
    }
}

/// A producer with an identity has an epoch and counts from a sequence; a transaction needs one.
/// Without an identity the epoch and the sequence mean nothing (some clients leave a 0 there).
fn check_identity(header: &BatchHeader) -> Result<(), BatchError> {
    let consistent = match header.producer_id {
        ProducerId::NONE => !header.is_transactional(),
        ProducerId(id) => id >= 0 && header.producer_epoch.0 >= 0 && header.base_sequence >= 0,
    };
    if consistent {
        Ok(())
    } else {
        Err(BatchError::ProducedIdentity {
            id: header.producer_id,
            epoch: header.producer_epoch,
            base_sequence: header.base_sequence,
        })
    }
}

/// Splits the bytes of a fetch response or a segment into whole batches; a truncated tail ends it
/// without an error and stays in the field (Kafka's fetch responses may end within a batch);
/// anything else that is malformed is an error, and the end.
#[derive(Clone, Debug)]
pub struct Batches(pub Bytes);

impl Iterator for Batches {
    type Item = Result<RecordBatch, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        match RecordBatch::split_from(&mut self.0) {
            Err(BatchError::Truncated { .. }) => None,
            Err(error) => {
                self.0.clear();
                Some(Err(error))
            }
            Ok(batch) => Some(Ok(batch)),
        }
    }
}
