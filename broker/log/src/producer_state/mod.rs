//! What a log remembers of its producers, so that a batch sent twice is stored once (KIP-98).
//!
//! An idempotent producer numbers its records per partition. For each producer id the log keeps the
//! epoch, the last five batches (a client has at most five under way) and, if there is one, where
//! its open transaction began:
//!
//! ```text
//!  producer 7, epoch 2     [ 10..14 @ 100 | 15..15 @ 105 | 16..19 @ 106 ]      sequences @ offset
//!
//!  15..15 again    duplicate: answered with offset 105, not stored
//!  20..22          next in line: stored
//!  21..22          a gap: refused, 20 is on its way or lost
//!  epoch 1         refused: a newer incarnation has taken over
//!  epoch 3, 0..1   a new incarnation begins at 0: stored, the old batches are forgotten
//! ```
//!
//! A producer that the log does not know (its records may have been deleted) may begin anywhere.
//! Sequences wrap from 2³¹−1 to 0. A duplicate of a batch that is older than the window looks like
//! a gap, as it does in Kafka.
//!
//! Invariants: [`ProducerStates::check`] changes nothing; [`ProducerStates::record`] is given
//! exactly the batches that are in the log, in their order, and replaying a log yields the live
//! state; there are at most [`ProducerStates::PRODUCERS_MAX`] producers, the one that was silent
//! longest goes first; a producer with an open transaction stays.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use brooklet_protocol::records::{BatchHeader, EndTxnMarker};
use brooklet_protocol::{Offset, Producer, ProducerEpoch, ProducerId, Timestamp};
use thiserror::Error;

pub mod snapshot;

#[cfg(test)]
mod tests;

/// Batches remembered per producer: as many as a client sends without waiting for an answer.
pub const BATCHES_MAX: usize = 5;

/// Sequence of a producer that has no batch yet.
const NO_SEQUENCE: i32 = -1;
/// No transaction was ended yet.
const NO_COORDINATOR_EPOCH: i32 = -1;

/// A batch that a producer has in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducedBatch {
    /// Sequence of the first record.
    pub first_sequence: i32,
    /// Sequence of the last record.
    pub last_sequence: i32,
    /// Offset of the first record.
    pub base_offset: Offset,
    /// Offset of the last record.
    pub last_offset: Offset,
}

impl ProducedBatch {
    fn of(header: &BatchHeader) -> Self {
        Self {
            first_sequence: header.base_sequence,
            last_sequence: header.last_sequence(),
            base_offset: header.base_offset,
            last_offset: header.last_offset(),
        }
    }
}

/// One producer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducerState {
    /// Its incarnation.
    pub epoch: ProducerEpoch,
    /// The last batches of this epoch, oldest first.
    pub batches: VecDeque<ProducedBatch>,
    /// The epoch of the coordinator that ended its last transaction; -1 before the first.
    pub coordinator_epoch: i32,
    /// Where its open transaction began.
    pub open_transaction: Option<Offset>,
    /// When the broker last took a batch or a marker of it; [`Timestamp::NONE`] if it was found in
    /// the log and not used since.
    pub last_seen: Timestamp,
}

impl ProducerState {
    fn new(epoch: ProducerEpoch, now: Timestamp) -> Self {
        Self {
            epoch,
            batches: VecDeque::new(),
            coordinator_epoch: NO_COORDINATOR_EPOCH,
            open_transaction: None,
            last_seen: now,
        }
    }

    /// The sequence of its last record, -1 if there is none in this epoch.
    pub fn last_sequence(&self) -> i32 {
        let last = self.batches.back();
        last.map_or(NO_SEQUENCE, |batch| batch.last_sequence)
    }

    fn has_epoch(&mut self, epoch: ProducerEpoch) {
        if self.epoch != epoch {
            self.epoch = epoch;
            self.batches.clear();
        }
    }
}

/// What to do with a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is new.
    Append,
    /// It is in the log already.
    Duplicate(ProducedBatch),
}

/// Why a producer's batch is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ProducerError {
    /// A batch before it is missing, or it is an old one again.
    #[error("producer {}: sequence {found} does not follow {last}", id.0)]
    OutOfOrder {
        /// The producer.
        id: ProducerId,
        /// The last sequence that is in the log; -1 at the beginning of an epoch.
        last: i32,
        /// The first of the batch.
        found: i32,
    },
    /// A newer incarnation of the producer has taken over.
    #[error("producer {}: epoch {} is fenced by epoch {}", id.0, found.0, current.0)]
    Fenced {
        /// The producer.
        id: ProducerId,
        /// The epoch of the newer one.
        current: ProducerEpoch,
        /// The epoch of the batch.
        found: ProducerEpoch,
    },
    /// The marker of a coordinator that another one has replaced.
    #[error("producer {}: coordinator epoch {found} is fenced by epoch {current}", id.0)]
    CoordinatorFenced {
        /// The producer of the transaction.
        id: ProducerId,
        /// The newer coordinator's epoch.
        current: i32,
        /// The marker's.
        found: i32,
    },
    /// Records outside of a transaction while one is open.
    #[error("producer {}: its transaction is open, but this batch is not part of it", id.0)]
    InTransaction {
        /// The producer.
        id: ProducerId,
    },
}

/// A transaction that a marker has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndedTransaction {
    /// Its producer.
    pub producer_id: ProducerId,
    /// Its first record.
    pub first_offset: Offset,
    /// Its marker.
    pub last_offset: Offset,
    /// Whether its records count.
    pub committed: bool,
}

/// All producers of one log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProducerStates {
    producers: HashMap<ProducerId, ProducerState>,
    /// Open transactions, by their first offset.
    open: BTreeMap<Offset, ProducerId>,
}

impl ProducerStates {
    /// Producers remembered at most.
    pub const PRODUCERS_MAX: usize = 100_000;

    /// Checks a batch that is to be appended. Batches without a producer are always new.
    ///
    /// # Errors
    /// See [`ProducerError`].
    pub fn check(&self, header: &BatchHeader) -> Result<Verdict, ProducerError> {
        let id = header.producer_id;
        let Some(producer) = self.producers.get(&id).filter(|_| header.has_producer()) else {
            return Ok(Verdict::Append);
        };
        if header.producer_epoch == producer.epoch {
            let known = producer.batches.iter().find(|batch| {
                batch.first_sequence == header.base_sequence
                    && batch.last_sequence == header.last_sequence()
            });
            if let Some(batch) = known {
                return Ok(Verdict::Duplicate(*batch));
            }
        }
        fence(id, producer, header.producer_epoch)?;
        if is_coordinators(header) {
            return Ok(Verdict::Append);
        }
        let last = if header.producer_epoch == producer.epoch {
            producer.last_sequence()
        } else {
            NO_SEQUENCE
        };
        let found = header.base_sequence;
        if !follows(last, found) {
            return Err(ProducerError::OutOfOrder { id, last, found });
        }
        if producer.open_transaction.is_some() && !header.is_transactional() {
            return Err(ProducerError::InTransaction { id });
        }
        Ok(Verdict::Append)
    }

    /// Checks a marker that is to be appended.
    ///
    /// # Errors
    /// Another incarnation of the producer or of the coordinator has taken over.
    pub fn check_marker(
        &self,
        header: &BatchHeader,
        marker: EndTxnMarker,
    ) -> Result<(), ProducerError> {
        let id = header.producer_id;
        let Some(producer) = self.producers.get(&id) else {
            return Ok(());
        };
        fence(id, producer, header.producer_epoch)?;
        let (current, found) = (producer.coordinator_epoch, marker.coordinator_epoch);
        if found < current {
            return Err(ProducerError::CoordinatorFenced { id, current, found });
        }
        Ok(())
    }

    /// Records a batch that is in the log, with its offsets stamped. `now` is when the broker took
    /// it.
    pub fn record(&mut self, header: &BatchHeader, now: Timestamp) {
        if !header.has_producer() {
            return;
        }
        self.make_room(header.producer_id);
        let new = || ProducerState::new(header.producer_epoch, now);
        let producer = self.producers.entry(header.producer_id);
        let producer = producer.or_insert_with(new);
        producer.has_epoch(header.producer_epoch);
        if !is_coordinators(header) {
            if producer.batches.len() == BATCHES_MAX {
                producer.batches.pop_front();
            }
            producer.batches.push_back(ProducedBatch::of(header));
        }
        producer.last_seen = now;
        if header.is_transactional() && producer.open_transaction.is_none() {
            producer.open_transaction = Some(header.base_offset);
            self.open.insert(header.base_offset, header.producer_id);
        }
    }

    /// Takes note of a marker that is in the log; tells which transaction it has ended, unless that
    /// had no records here.
    pub fn record_marker(
        &mut self,
        header: &BatchHeader,
        marker: EndTxnMarker,
        now: Timestamp,
    ) -> Option<EndedTransaction> {
        let id = header.producer_id;
        self.make_room(id);
        let new = || ProducerState::new(header.producer_epoch, now);
        let producer = self.producers.entry(id).or_insert_with(new);
        producer.has_epoch(header.producer_epoch);
        producer.coordinator_epoch = marker.coordinator_epoch;
        producer.last_seen = now;
        let first_offset = producer.open_transaction.take()?;
        self.open.remove(&first_offset);
        Some(EndedTransaction {
            producer_id: id,
            first_offset,
            last_offset: header.last_offset(),
            committed: marker.committed,
        })
    }

    /// Whether this incarnation of a producer has a transaction open.
    pub fn is_open(&self, producer: Producer) -> bool {
        let known = self.get(producer.id);
        known.is_some_and(|p| p.epoch == producer.epoch && p.open_transaction.is_some())
    }

    /// Where the oldest open transaction began.
    pub fn first_open_offset(&self) -> Option<Offset> {
        self.open.first_key_value().map(|(offset, _)| *offset)
    }

    /// Forgets producers that have not been seen for `age_max` (`producer.id.expiration.ms`), and
    /// have no open transaction.
    pub fn expire(&mut self, now: Timestamp, age_max: Duration) {
        let age_max = i64::try_from(age_max.as_millis()).unwrap_or(i64::MAX);
        // Those that were found in the log, which does not say when it took them.
        let found = self.producers.values_mut();
        for producer in found.filter(|producer| producer.last_seen == Timestamp::NONE) {
            producer.last_seen = now;
        }
        let is_silent = |p: &ProducerState| now.0.saturating_sub(p.last_seen.0) >= age_max;
        (self.producers).retain(|_, p| p.open_transaction.is_some() || !is_silent(p));
    }

    /// A producer, if the log knows it.
    pub fn get(&self, id: ProducerId) -> Option<&ProducerState> {
        self.producers.get(&id)
    }

    /// All producers, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (ProducerId, &ProducerState)> {
        self.producers.iter().map(|(id, producer)| (*id, producer))
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.producers.is_empty()
    }

    /// Puts a producer in as it was remembered.
    fn insert(&mut self, id: ProducerId, producer: ProducerState) {
        if let Some(offset) = producer.open_transaction {
            self.open.insert(offset, id);
        }
        self.producers.insert(id, producer);
    }

    /// Puts older batches of producers before those that are remembered, as far as they are
    /// missing: a snapshot knows only the last of each. `older` knows the batches before the
    /// snapshot.
    pub fn fill_windows(&mut self, older: &Self) {
        for (id, producer) in &mut self.producers {
            let Some(known) = older.get(*id).filter(|known| known.epoch == producer.epoch) else {
                continue;
            };
            let Some(first) = producer.batches.front().map(|first| first.base_offset) else {
                continue;
            };
            let before = known.batches.iter().rev();
            for batch in before.skip_while(|batch| batch.last_offset >= first) {
                if producer.batches.len() == BATCHES_MAX {
                    break;
                }
                producer.batches.push_front(*batch);
            }
        }
    }

    /// Sees to it that there is room for `id`. Many go at once, so that not every new producer has
    /// to look for the oldest.
    fn make_room(&mut self, id: ProducerId) {
        if self.producers.len() < Self::PRODUCERS_MAX || self.producers.contains_key(&id) {
            return;
        }
        let idle = self.producers.iter();
        let idle = idle.filter(|(_, producer)| producer.open_transaction.is_none());
        let mut idle: Vec<_> = idle.map(|(id, p)| (p.last_seen, *id)).collect();
        let count = idle.len().min(Self::PRODUCERS_MAX / 100);
        if count > 0 {
            idle.select_nth_unstable(count - 1);
        }
        for (_, id) in &idle[..count] {
            self.producers.remove(id);
        }
    }
}

/// Refuses what an older incarnation sends.
fn fence(
    id: ProducerId,
    producer: &ProducerState,
    found: ProducerEpoch,
) -> Result<(), ProducerError> {
    let current = producer.epoch;
    if found < current {
        return Err(ProducerError::Fenced { id, current, found });
    }
    Ok(())
}

/// A coordinator writes records for a producer and does not number them: who asks it twice is
/// answered twice.
fn is_coordinators(header: &BatchHeader) -> bool {
    header.base_sequence < 0
}

/// Whether sequence `next` comes right behind `last`.
fn follows(last: i32, next: i32) -> bool {
    next == last.checked_add(1).unwrap_or(0)
}
