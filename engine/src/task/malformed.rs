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

pub(crate) type MalformedHook = Arc<dyn Fn(&Malformed<'_>) + Send + Sync>;

/// Counts what is skipped, if this branch is the one that counts.
pub(crate) struct Skipped {
    pub(crate) partition: PartitionId,
    pub(crate) counts: SourceCounts,
    pub(crate) counters: Option<Arc<SourceCounters>>,
    pub(crate) hook: Option<MalformedHook>,
}

impl Skipped {
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
