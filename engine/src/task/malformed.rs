//! Records that cannot be used: they are skipped and counted, and the run goes on.
//!
//! The log line and the program's hook have the record's partition and offset.

use std::fmt;
use std::sync::Arc;

use brooklet_protocol::{Offset, PartitionId, Timestamp};

use super::InputRecord;
use crate::codec::DecodeError;
use crate::metrics::{SourceCounters, SourceCounts};

/// Why a record was skipped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MalformedReason {
    /// Its value did not decode.
    Value(DecodeError),
    /// It has no value.
    NoValue,
    /// Its event time is before the epoch, or the very end of time.
    EventTime(Timestamp),
    /// It has no event time, and the program says why ([`Stream::try_event_time`](crate::Stream::try_event_time)).
    NoEventTime(String),
}

impl fmt::Display for MalformedReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(error) => write!(f, "its value does not decode: {error}"),
            Self::NoValue => f.write_str("it has no value"),
            Self::EventTime(time) => write!(f, "its event time {time} is impossible"),
            Self::NoEventTime(why) => f.write_str(why),
        }
    }
}

/// A record that was skipped, or one value of a record that holds several ([`Codec::decode_each`](crate::Codec::decode_each)).
#[derive(Clone, Debug)]
pub struct Malformed<'a> {
    /// The partition of the source topic.
    pub partition: PartitionId,
    /// The record's offset.
    pub offset: Offset,
    /// What is wrong.
    pub reason: MalformedReason,
    /// Its value.
    pub value: Option<&'a [u8]>,
}

/// A record whose event time is further ahead of stream time than the maximum jump
/// ([`Stream::max_jump`](crate::Stream::max_jump)): it is in its windows like any other, but does
/// not move stream time until a second one confirms it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Future {
    /// The partition of the source topic.
    pub partition: PartitionId,
    /// The record's offset.
    pub offset: Offset,
    /// Its event time.
    pub event_time: Timestamp,
    /// Stream time after it; [`Timestamp::MIN`] if no record has counted yet.
    pub stream_time: Timestamp,
}

pub(crate) type FutureHook = Arc<dyn Fn(&Future) + Send + Sync>;

pub(crate) type MalformedHook = Arc<dyn Fn(&Malformed<'_>) + Send + Sync>;

/// Counts what is skipped, if this branch is the one that counts.
pub(crate) struct Skipped {
    pub(crate) partition: PartitionId,
    pub(crate) counts: SourceCounts,
    pub(crate) counters: Option<Arc<SourceCounters>>,
    pub(crate) hook: Option<MalformedHook>,
    pub(crate) future_hook: Option<FutureHook>,
}

impl Skipped {
    pub(super) fn see_future(
        &mut self,
        offset: Offset,
        event_time: Timestamp,
        stream_time: Timestamp,
    ) {
        if self.counters.is_none() {
            return;
        }
        // The very first record has nothing to be ahead of.
        if stream_time == Timestamp::MIN {
            return;
        }
        self.counts.future += 1;
        if let Some(hook) = &self.future_hook {
            hook(&Future {
                partition: self.partition,
                offset,
                event_time,
                stream_time,
            });
        }
    }

    pub(super) fn skip(&mut self, record: &InputRecord<'_>, reason: MalformedReason) {
        if self.counters.is_none() {
            return;
        }
        match reason {
            MalformedReason::Value(_) => self.counts.malformed += 1,
            MalformedReason::NoValue => self.counts.null_values += 1,
            MalformedReason::EventTime(_) | MalformedReason::NoEventTime(_) => {
                self.counts.impossible_times += 1;
            }
        }
        tracing::debug!(partition = %self.partition, offset = %record.offset, %reason, "record skipped");
        if let Some(hook) = &self.hook {
            hook(&Malformed {
                partition: self.partition,
                offset: record.offset,
                reason,
                value: record.value,
            });
        }
    }
}
