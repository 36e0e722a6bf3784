//! A consumer's position in each of its partitions: no I/O, and time is passed in.
//!
//! ```text
//!      wanted() ──▶ Fetch from position 5 ──▶ absorb(answer)
//!   batch [3..=7] begins before: returned whole, records below 5 are the reader's to skip
//!   batch [8..=8] a control batch: passed over
//!   position ──▶ 9
//! ```
//!
//! Invariants:
//! - a position moves only to the end of what `absorb` returns (or has passed over), in that
//!   moment;
//! - an answer counts only if the position is still the one that was asked from;
//! - a partition that was served goes to the back of the line, so no partition starves another.

use std::collections::BTreeMap;
use std::time::Duration;

use brooklet_protocol::messages::ErrorCode;
use brooklet_protocol::messages::kafka::fetch_response::PartitionData;
use brooklet_protocol::records::{BatchError, Batches, RecordBatch};
use brooklet_protocol::{Offset, TopicPartition};

use super::Fetched;
use super::aborted::Aborted;
use crate::{ClientError, ConsumerConfig, Isolation, backoff};

/// Where a consumer stands.
#[derive(Debug, Default)]
pub(super) struct Positions {
    partitions: BTreeMap<TopicPartition, Position>,
    turn: u64,
}

#[derive(Debug)]
struct Position {
    offset: Offset,
    is_paused: bool,
    /// When it was last served; lower goes first.
    turn: u64,
    /// Attempts in vain since the last success.
    failures: u32,
    /// Not asked for before.
    retry_at: Duration,
    /// Whether the last answer left nothing to be read.
    is_caught_up: bool,
}

impl Position {
    fn at(offset: Offset) -> Self {
        Self {
            offset,
            is_paused: false,
            turn: 0,
            failures: 0,
            retry_at: Duration::ZERO,
            is_caught_up: false,
        }
    }
}

/// What came of a partition's share in an answer.
#[derive(Debug)]
pub(super) enum Absorbed {
    /// Data.
    Data(Fetched),
    /// The position has moved, or nothing is there yet.
    Nothing,
    /// To be tried again; the leader may be another.
    Stale,
    /// An error for the caller.
    Failed(ClientError),
}

impl Positions {
    /// Takes partitions in place of the earlier ones.
    pub(super) fn assign(
        &mut self,
        partitions: impl IntoIterator<Item = (TopicPartition, Offset)>,
    ) {
        let at = |(partition, offset)| (partition, Position::at(offset));
        self.partitions = partitions.into_iter().map(at).collect();
    }

    /// Sets a position; the partition is fetched from there even if it was failing.
    pub(super) fn seek(&mut self, partition: &TopicPartition, offset: Offset) {
        let is_paused = self.partitions.get(partition).is_some_and(|p| p.is_paused);
        let position = Position {
            is_paused,
            ..Position::at(offset)
        };
        self.partitions.insert(partition.clone(), position);
    }

    pub(super) fn remove(&mut self, partition: &TopicPartition) {
        self.partitions.remove(partition);
    }

    pub(super) fn all(&self) -> BTreeMap<TopicPartition, Offset> {
        let each = self.partitions.iter();
        each.map(|(partition, position)| (partition.clone(), position.offset))
            .collect()
    }

    pub(super) fn set_paused(&mut self, partition: &TopicPartition, is_paused: bool) {
        if let Some(position) = self.partitions.get_mut(partition) {
            position.is_paused = is_paused;
        }
    }

    pub(super) fn get(&self, partition: &TopicPartition) -> Option<Offset> {
        self.partitions
            .get(partition)
            .map(|position| position.offset)
    }

    pub(super) fn is_caught_up(&self, partition: &TopicPartition) -> bool {
        let position = self.partitions.get(partition);
        position.is_some_and(|position| position.is_caught_up)
    }

    /// The partitions to be fetched and from where, the longest unserved first.
    pub(super) fn wanted(
        &self,
        now: Duration,
        is_fetching: impl Fn(&TopicPartition) -> bool,
    ) -> Vec<(TopicPartition, Offset)> {
        let due = |(partition, position): &(&TopicPartition, &Position)| {
            !position.is_paused && position.retry_at <= now && !is_fetching(partition)
        };
        let mut wanted: Vec<_> = self.partitions.iter().filter(due).collect();
        wanted.sort_by_key(|(_, position)| position.turn);
        wanted
            .into_iter()
            .map(|(partition, p)| (partition.clone(), p.offset))
            .collect()
    }

    /// When the next pause ends.
    pub(super) fn next_retry(&self, now: Duration) -> Option<Duration> {
        let pausing = self
            .partitions
            .values()
            .filter(|position| !position.is_paused);
        pausing
            .map(|position| position.retry_at)
            .filter(|at| *at > now)
            .min()
    }

    /// Takes a partition's share of an answer to a fetch from `asked`.
    pub(super) fn absorb(
        &mut self,
        partition: &TopicPartition,
        asked: Offset,
        data: &PartitionData,
        now: Duration,
        config: &ConsumerConfig,
    ) -> Absorbed {
        let Some(position) = self.partitions.get_mut(partition) else {
            return Absorbed::Nothing;
        };
        if position.offset != asked || position.is_paused {
            return Absorbed::Nothing;
        }
        if let Some(code) = ErrorCode::try_from_code(data.error_code) {
            let error = if code == ErrorCode::OffsetOutOfRange {
                let partition = partition.clone();
                let offset = asked;
                ClientError::OffsetOutOfRange { partition, offset }
            } else {
                let what = format!("fetch {partition} at offset {asked}");
                ClientError::broker(what, code, None)
            };
            return self.fail(partition, error, now);
        }
        let end_of_readable = readable_end(data, config.isolation);
        let (batches, end) = match split(data, asked, config) {
            Ok(split) => split,
            Err(source) => {
                let partition = partition.clone();
                return Absorbed::Failed(ClientError::Corrupt {
                    partition,
                    offset: asked,
                    source,
                });
            }
        };
        position.failures = 0;
        position.is_caught_up = end >= end_of_readable;
        if end > asked {
            self.turn += 1;
            position.turn = self.turn;
            position.offset = end;
        }
        if batches.is_empty() {
            return Absorbed::Nothing;
        }
        Absorbed::Data(Fetched {
            partition: partition.clone(),
            batches,
            position: asked,
            high_watermark: Offset(data.high_watermark),
        })
    }

    /// Notes an attempt in vain: the partition pauses, and after many the error is the caller's.
    pub(super) fn fail(
        &mut self,
        partition: &TopicPartition,
        error: ClientError,
        now: Duration,
    ) -> Absorbed {
        let Some(position) = self.partitions.get_mut(partition) else {
            return Absorbed::Nothing;
        };
        position.failures += 1;
        position.is_caught_up = false;
        if is_worth_a_retry(&error) && position.failures < backoff::ATTEMPTS_MAX {
            position.retry_at = now + backoff::after(position.failures);
            return Absorbed::Stale;
        }
        position.failures = 0;
        Absorbed::Failed(error)
    }
}

/// Kafka marks CORRUPT_MESSAGE as retriable for the sake of producers, whose batch may have been
/// damaged on its way. What is damaged on the broker's disk stays so.
fn is_worth_a_retry(error: &ClientError) -> bool {
    let is_damage = matches!(
        error,
        ClientError::Broker {
            code: ErrorCode::CorruptMessage,
            ..
        }
    );
    error.is_retriable() && !is_damage
}

/// Where there is nothing to be read yet.
fn readable_end(data: &PartitionData, isolation: Isolation) -> Offset {
    match isolation {
        Isolation::ReadCommitted if data.last_stable_offset >= 0 => Offset(data.last_stable_offset),
        _ => Offset(data.high_watermark),
    }
}

/// The data batches that reach beyond `from`, and the offset after the last batch of any kind.
fn split(
    data: &PartitionData,
    from: Offset,
    config: &ConsumerConfig,
) -> Result<(Vec<RecordBatch>, Offset), BatchError> {
    let (mut batches, mut end) = (Vec::new(), from);
    let mut aborted = match config.isolation {
        Isolation::ReadCommitted => Aborted::new(data),
        Isolation::ReadUncommitted => Aborted::default(),
    };
    for batch in Batches(data.records.clone().unwrap_or_default()) {
        let batch = batch?;
        let next = batch.header().next_offset();
        if next <= from {
            continue;
        }
        if config.check_crcs {
            batch.verify_crc()?;
        }
        end = end.max(next);
        if !aborted.covers(&batch)? && !batch.header().is_control() {
            batches.push(batch);
        }
    }
    Ok((batches, end))
}

#[cfg(test)]
mod tests;
