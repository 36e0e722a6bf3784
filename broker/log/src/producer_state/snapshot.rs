//! The state of all producers at one offset, in a file, as Kafka writes it.
//!
//! ```text
//!  OFFSET.snapshot
//!    version i16 = 1 | crc u32 (CRC-32C of all behind it) | count i32 | entries, 46 bytes each:
//!      producer id i64 | epoch i16 | last sequence i32 | last offset i64 | offset delta i32
//!      | timestamp i64 | coordinator epoch i32 | first offset of the open transaction i64, or -1
//! ```
//!
//! Only the last batch of a producer is in it; those before it are read again from the log. Where a
//! producer has none, as behind a marker of a new epoch, sequence and offset are -1. In Kafka the
//! timestamp is that of the last batch; here it is the time at which the broker took it, because a
//! producer of old records is not a producer that is gone.

use std::collections::VecDeque;

use brooklet_protocol::{Offset, ProducerEpoch, ProducerId, Timestamp};
use thiserror::Error;

use super::{NO_SEQUENCE, ProducedBatch, ProducerState, ProducerStates};

const VERSION: i16 = 1;
const HEAD_BYTES: usize = 10;
const ENTRY_BYTES: usize = 46;
const NO_OFFSET: i64 = -1;

/// Why a file is no snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SnapshotError {
    /// It is cut off, or longer than it says.
    #[error("expected {expected} bytes, found {found}")]
    Length {
        /// What the count asks for.
        expected: usize,
        /// What there is.
        found: usize,
    },
    /// Another format.
    #[error("expected version {VERSION}, found {0}")]
    Version(i16),
    /// Damaged.
    #[error("crc {expected:#010x}, computed {found:#010x}")]
    Crc {
        /// What the file says.
        expected: u32,
        /// What it has.
        found: u32,
    },
    /// A checksum that is right over values that make no sense.
    #[error("entry {index} makes no sense")]
    Entry {
        /// Which, from 0.
        index: usize,
    },
}

/// The bytes of a snapshot, producers in ascending order.
pub fn encode(states: &ProducerStates) -> Vec<u8> {
    let mut producers: Vec<_> = states.iter().collect();
    producers.sort_unstable_by_key(|(id, _)| *id);
    let mut bytes = Vec::with_capacity(HEAD_BYTES + producers.len() * ENTRY_BYTES);
    bytes.extend(VERSION.to_be_bytes());
    bytes.extend([0; 4]);
    bytes.extend((producers.len() as i32).to_be_bytes());
    for (id, producer) in producers {
        let (last_offset, offset_delta) = match producer.batches.back() {
            Some(batch) => (
                batch.last_offset.0,
                batch.last_offset.0 - batch.base_offset.0,
            ),
            None => (NO_OFFSET, 0),
        };
        bytes.extend(id.0.to_be_bytes());
        bytes.extend(producer.epoch.0.to_be_bytes());
        bytes.extend(producer.last_sequence().to_be_bytes());
        bytes.extend(last_offset.to_be_bytes());
        bytes.extend((offset_delta as i32).to_be_bytes());
        bytes.extend(producer.last_seen.0.to_be_bytes());
        bytes.extend(producer.coordinator_epoch.to_be_bytes());
        let open = producer
            .open_transaction
            .map_or(NO_OFFSET, |offset| offset.0);
        bytes.extend(open.to_be_bytes());
    }
    let crc = brooklet_protocol::crc32c(&bytes[6..]);
    bytes[2..6].copy_from_slice(&crc.to_be_bytes());
    bytes
}

/// Reads a snapshot.
///
/// # Errors
/// See [`SnapshotError`]; nothing is allocated beyond what the bytes hold.
pub fn decode(bytes: &[u8]) -> Result<ProducerStates, SnapshotError> {
    let mut fields = Fields(bytes);
    let length = |expected| SnapshotError::Length {
        expected,
        found: bytes.len(),
    };
    if bytes.len() < HEAD_BYTES {
        return Err(length(HEAD_BYTES));
    }
    match fields.i16() {
        VERSION => {}
        other => return Err(SnapshotError::Version(other)),
    }
    let expected = fields.i32() as u32;
    let found = brooklet_protocol::crc32c(fields.0);
    if found != expected {
        return Err(SnapshotError::Crc { expected, found });
    }
    let count = usize::try_from(fields.i32()).unwrap_or(usize::MAX);
    let expected = count.saturating_mul(ENTRY_BYTES).saturating_add(HEAD_BYTES);
    if expected != bytes.len() {
        return Err(length(expected));
    }
    let mut states = ProducerStates::default();
    for index in 0..count {
        let (id, producer) = entry(&mut fields).ok_or(SnapshotError::Entry { index })?;
        states.insert(id, producer);
    }
    Ok(states)
}

fn entry(fields: &mut Fields<'_>) -> Option<(ProducerId, ProducerState)> {
    let (id, epoch) = (fields.i64(), fields.i16());
    let (last_sequence, last_offset, delta) = (fields.i32(), fields.i64(), fields.i32());
    let (timestamp, coordinator_epoch, open) = (fields.i64(), fields.i32(), fields.i64());
    let makes_sense = id >= 0
        && last_sequence >= NO_SEQUENCE
        && last_offset >= NO_OFFSET
        && open >= NO_OFFSET
        && (last_offset == NO_OFFSET || (0..=last_offset).contains(&i64::from(delta)));
    if !makes_sense {
        return None;
    }
    let first_sequence = i64::from(last_sequence) - i64::from(delta);
    let batch = ProducedBatch {
        // It may have begun before the sequences wrapped.
        first_sequence: first_sequence.rem_euclid(1 << 31) as i32,
        last_sequence,
        base_offset: Offset(last_offset - i64::from(delta)),
        last_offset: Offset(last_offset),
    };
    let has_batch = last_offset != NO_OFFSET && last_sequence != NO_SEQUENCE;
    let producer = ProducerState {
        epoch: ProducerEpoch(epoch),
        batches: has_batch
            .then_some(batch)
            .into_iter()
            .collect::<VecDeque<_>>(),
        coordinator_epoch,
        open_transaction: (open != NO_OFFSET).then_some(Offset(open)),
        last_seen: Timestamp(timestamp),
    };
    Some((ProducerId(id), producer))
}

/// Takes fields from the front; the length was checked.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (field, rest) = self.0.split_first_chunk().expect("the length was checked");
        self.0 = rest;
        *field
    }
    fn i16(&mut self) -> i16 {
        i16::from_be_bytes(self.take())
    }
    fn i32(&mut self) -> i32 {
        i32::from_be_bytes(self.take())
    }
    fn i64(&mut self) -> i64 {
        i64::from_be_bytes(self.take())
    }
}
