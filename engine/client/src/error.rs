//! What goes wrong in a client, and what is worth another attempt.
//!
//! | kind | variants | retried |
//! |---|---|---|
//! | no response | `Transport` | unless version, encoding or address is the reason |
//! | a response with an error code | `Broker`, `Unknown…`, `OffsetOutOfRange` | if the code is retriable |
//! | a response that makes no sense | `Unexpected`, `Corrupt` | no |
//! | a limit on our side | `RecordTooLarge`, `DeliveryTimedOut`, `NoOffset` | no |
//! | a call at the wrong time | `Transaction`, `Closed` | no |
//!
//! What is retriable is retried inside the client, with the pauses of [`crate::backoff`]; a caller
//! sees an error only when the attempts are used up. A `Transport` error leaves open whether the
//! request was carried out, so only requests that do no harm when repeated are repeated.
//!
//! Messages say what was attempted, on which topic-partition, and what the broker said. The error
//! code is printed under Kafka's name, so that it can be looked up.

use std::io;
use std::time::Duration;

use brooklet_protocol::messages::{ApiKey, ErrorCode};
use brooklet_protocol::records::BatchError;
use brooklet_protocol::{Offset, TopicPartition};
use thiserror::Error;

use crate::transport::TransportError;

/// What goes wrong in a client.
#[derive(Debug, Error)]
pub enum ClientError {
    /// No response came.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// A response with an error code that is not retriable, or that persisted through all retries.
    #[error("{what}: {code:?}{}", message.as_ref().map(|m| format!(" ({m})")).unwrap_or_default())]
    Broker {
        /// What was attempted.
        what: String,
        /// Kafka's error.
        code: ErrorCode,
        /// The broker's words, if it sent any.
        message: Option<String>,
    },
    /// The transaction is in the wrong state for the call.
    #[error("{0}")]
    Transaction(&'static str),
    /// The topic does not exist.
    #[error("topic '{0}' does not exist")]
    UnknownTopic(String),
    /// The group does not exist.
    #[error("group '{0}' does not exist")]
    UnknownGroup(String),
    /// The transactional id has never been used, or has expired.
    #[error("transactional id '{0}' does not exist")]
    UnknownTransactionalId(String),
    /// A response that does not fit its request.
    #[error("unexpected response: {0}")]
    Unexpected(String),
    /// Fetched bytes are damaged (`check.crcs`) or not record batches.
    #[error("{partition}: damaged data after offset {offset}: {source}")]
    Corrupt {
        /// The partition.
        partition: TopicPartition,
        /// The offset that was fetched from; the damage is there or after it.
        offset: Offset,
        /// What is wrong.
        source: BatchError,
    },
    /// No record has that offset: it was deleted, or is yet to be written.
    #[error("fetch {partition} at offset {offset}: OffsetOutOfRange")]
    OffsetOutOfRange {
        /// The partition.
        partition: TopicPartition,
        /// The offset that was asked for.
        offset: Offset,
    },
    /// Its group has not committed an offset, and `auto.offset.reset` is none.
    #[error("{partition}: no offset was committed, and auto.offset.reset is none")]
    NoOffset {
        /// The partition.
        partition: TopicPartition,
    },
    /// A record that is larger than the producer or the topic allows.
    #[error("{}", too_large(partition, *size, limit.as_deref()))]
    RecordTooLarge {
        /// Its destination; partition -1 if none was chosen yet.
        partition: TopicPartition,
        /// How large it is.
        size: RecordSize,
        /// The limit that it exceeds; `None` if only the broker knows it.
        limit: Option<Box<SizeLimit>>,
    },
    /// Delivery timed out.
    #[error("{partition}: not acknowledged within {after:?}{}", last_attempt(last.as_deref()))]
    DeliveryTimedOut {
        /// The partition.
        partition: TopicPartition,
        /// `delivery.timeout.ms`.
        after: Duration,
        /// Why the last attempt failed; `None` if it is still under way.
        last: Option<Box<ClientError>>,
    },
    /// The producer or consumer was closed.
    #[error("the client is closed")]
    Closed,
}

/// How large a record is, on its way into a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordSize {
    /// Bytes of its key, its value and its headers.
    pub record_bytes: usize,
    /// Bytes of a batch that holds it alone, as it was (or would be) sent.
    pub batch_bytes: usize,
    /// Whether the batch is compressed.
    pub is_compressed: bool,
}

/// A setting that says how large a batch may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SizeLimit {
    /// The setting's name in Kafka.
    pub setting: &'static str,
    /// Bytes allowed.
    pub bytes: usize,
    /// Why the limit is not the topic's own, if that could not be looked up.
    pub because: Option<String>,
}

/// The sum, so that a reader can check it: record + what a batch adds = batch > limit.
fn too_large(partition: &TopicPartition, size: RecordSize, limit: Option<&SizeLimit>) -> String {
    let (record, batch) = (size.record_bytes, size.batch_bytes);
    let name = if partition.partition.0 < 0 {
        partition.topic.to_string()
    } else {
        partition.to_string()
    };
    let makes = if size.is_compressed {
        format!("a record of {record} bytes makes a compressed batch of {batch} bytes")
    } else {
        let added = batch.saturating_sub(record);
        format!("a record of {record} bytes makes a batch of {batch} bytes ({added} are added)")
    };
    let of_topic = "the topic's max.message.bytes allows fewer".to_owned();
    let allowed = limit.map_or(of_topic, |limit| {
        let because = limit.because.as_ref();
        let because = because.map_or_else(String::new, |words| format!("; {words}"));
        format!("the limit is {} ({}){because}", limit.bytes, limit.setting)
    });
    format!("{name}: {makes}, {allowed}")
}

/// What an error code means, for those that may last for minutes; brokers often send no message
/// with them.
pub(crate) fn words_of(code: ErrorCode) -> Option<&'static str> {
    Some(match code {
        ErrorCode::KafkaStorageError => "the broker cannot write to its disk",
        ErrorCode::LeaderNotAvailable => "the partition has no leader",
        ErrorCode::NotLeaderOrFollower => "another broker leads the partition",
        ErrorCode::UnknownTopicOrPartition => "the topic or the partition does not exist",
        ErrorCode::RequestTimedOut => "the broker did not finish in time",
        ErrorCode::NotEnoughReplicas | ErrorCode::NotEnoughReplicasAfterAppend => {
            "fewer replicas are in sync than min.insync.replicas"
        }
        _ => return None,
    })
}

fn last_attempt(last: Option<&ClientError>) -> String {
    last.map_or_else(String::new, |last| format!("; the last attempt: {last}"))
}

impl ClientError {
    pub(crate) fn broker(what: impl Into<String>, code: ErrorCode, words: Option<&str>) -> Self {
        Self::Broker {
            what: what.into(),
            code,
            message: words.filter(|words| !words.is_empty()).map(str::to_owned),
        }
    }

    /// The error of a batch, with the broker's words about one record of it.
    pub(crate) fn of_record(&self, words: Option<&str>) -> Self {
        let mut error = self.duplicate();
        if let (Self::Broker { message, .. }, Some(words)) = (&mut error, words) {
            *message = Some(words.to_owned());
        }
        error
    }

    pub(crate) fn unexpected(expected: ApiKey, found: ApiKey) -> Self {
        Self::Unexpected(format!(
            "expected a response to {expected:?}, found one to {found:?}"
        ))
    }

    /// Whether the same request may succeed a little later.
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::Transport(error) => is_retriable_transport(error),
            Self::Broker { code, .. } => code.is_retriable(),
            Self::Transaction(_)
            | Self::UnknownTopic(_)
            | Self::UnknownGroup(_)
            | Self::UnknownTransactionalId(_)
            | Self::Unexpected(_)
            | Self::Corrupt { .. }
            | Self::OffsetOutOfRange { .. }
            | Self::NoOffset { .. }
            | Self::RecordTooLarge { .. }
            | Self::DeliveryTimedOut { .. }
            | Self::Closed => false,
        }
    }

    /// A copy of the error: all records of a batch fail together, and each delivery reports it.
    pub(crate) fn duplicate(&self) -> Self {
        match self {
            Self::Transport(error) => Self::Transport(duplicate_transport(error)),
            Self::Broker {
                what,
                code,
                message,
            } => Self::Broker {
                what: what.clone(),
                code: *code,
                message: message.clone(),
            },
            Self::Transaction(words) => Self::Transaction(words),
            Self::UnknownTopic(name) => Self::UnknownTopic(name.clone()),
            Self::UnknownGroup(id) => Self::UnknownGroup(id.clone()),
            Self::UnknownTransactionalId(id) => Self::UnknownTransactionalId(id.clone()),
            Self::Unexpected(words) => Self::Unexpected(words.clone()),
            Self::Corrupt {
                partition,
                offset,
                source,
            } => Self::Corrupt {
                partition: partition.clone(),
                offset: *offset,
                source: source.clone(),
            },
            Self::OffsetOutOfRange { partition, offset } => Self::OffsetOutOfRange {
                partition: partition.clone(),
                offset: *offset,
            },
            Self::NoOffset { partition } => Self::NoOffset {
                partition: partition.clone(),
            },
            Self::RecordTooLarge {
                partition,
                size,
                limit,
            } => Self::RecordTooLarge {
                partition: partition.clone(),
                size: *size,
                limit: limit.clone(),
            },
            Self::DeliveryTimedOut {
                partition,
                after,
                last,
            } => Self::DeliveryTimedOut {
                partition: partition.clone(),
                after: *after,
                last: last.as_ref().map(|last| Box::new(last.duplicate())),
            },
            Self::Closed => Self::Closed,
        }
    }
}

/// A connection may come back; a version or an encoding does not change by waiting, nor does an
/// address that is malformed.
fn is_retriable_transport(error: &TransportError) -> bool {
    match error {
        TransportError::Connect { source, .. } => source.kind() != io::ErrorKind::InvalidInput,
        TransportError::Broken { .. } | TransportError::TimedOut { .. } => true,
        TransportError::Unsupported { .. } | TransportError::Unencodable(_) => false,
    }
}

fn duplicate_transport(error: &TransportError) -> TransportError {
    match error {
        TransportError::Connect { address, source } => TransportError::Connect {
            address: address.clone(),
            source: io::Error::new(source.kind(), source.to_string()),
        },
        TransportError::Broken { address, reason } => TransportError::Broken {
            address: address.clone(),
            reason: reason.clone(),
        },
        TransportError::Unsupported { address, api } => TransportError::Unsupported {
            address: address.clone(),
            api: api.clone(),
        },
        TransportError::TimedOut {
            address,
            timeout_ms,
        } => TransportError::TimedOut {
            address: address.clone(),
            timeout_ms: *timeout_ms,
        },
        TransportError::Unencodable(words) => TransportError::Unencodable(words.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duplicate_says_the_same() {
        let refused = io::Error::new(io::ErrorKind::ConnectionRefused, "connection refused");
        let errors = [
            ClientError::Transport(TransportError::Connect {
                address: "127.0.0.1:9092".into(),
                source: refused,
            }),
            ClientError::broker(
                "create topic 't'",
                ErrorCode::TopicAlreadyExists,
                Some("no"),
            ),
            ClientError::Closed,
        ];
        for error in errors {
            let duplicate = error.duplicate();
            assert_eq!(error.to_string(), duplicate.to_string());
            assert_eq!(error.is_retriable(), duplicate.is_retriable());
        }
    }

    #[test]
    fn a_record_that_is_too_large_is_a_sum_that_adds_up() {
        let partition = |number| {
            let topic = brooklet_protocol::TopicName::new("t").unwrap();
            TopicPartition::new(topic, brooklet_protocol::PartitionId(number))
        };
        let too_large = |number, is_compressed, limit| {
            let size = RecordSize {
                record_bytes: 1000,
                batch_bytes: 1070,
                is_compressed,
            };
            let partition = partition(number);
            ClientError::RecordTooLarge {
                partition,
                size,
                limit,
            }
        };
        let limit = |because: Option<&str>| {
            Some(Box::new(SizeLimit {
                setting: "max.message.bytes",
                bytes: 1069,
                because: because.map(str::to_owned),
            }))
        };
        let rows = [
            (
                too_large(2, false, limit(None)),
                "t-2: a record of 1000 bytes makes a batch of 1070 bytes (70 are added), \
                 the limit is 1069 (max.message.bytes)",
            ),
            (
                too_large(-1, false, limit(Some("nobody knows"))),
                "t: a record of 1000 bytes makes a batch of 1070 bytes (70 are added), \
                 the limit is 1069 (max.message.bytes); nobody knows",
            ),
            (
                too_large(0, true, None),
                "t-0: a record of 1000 bytes makes a compressed batch of 1070 bytes, \
                 the topic's max.message.bytes allows fewer",
            ),
        ];
        for (error, words) in rows {
            assert_eq!(error.to_string(), words);
            assert_eq!(error.duplicate().to_string(), words);
        }
    }

    #[test]
    fn a_timeout_carries_what_the_last_attempt_met() {
        let topic = brooklet_protocol::TopicName::new("t").unwrap();
        let partition = TopicPartition::new(topic, brooklet_protocol::PartitionId(1));
        let last = ClientError::broker("send to t-1", ErrorCode::KafkaStorageError, Some("full"));
        let error = ClientError::DeliveryTimedOut {
            partition,
            after: Duration::from_secs(120),
            last: Some(Box::new(last)),
        };
        let words = "t-1: not acknowledged within 120s; the last attempt: \
                     send to t-1: KafkaStorageError (full)";
        assert_eq!(error.to_string(), words);
        assert_eq!(error.duplicate().to_string(), words);
    }

    #[test]
    fn a_broken_connection_is_worth_a_retry_and_a_missing_api_is_not() {
        let (address, api) = ("b:1".to_owned(), "Fetch".to_owned());
        let unsupported = TransportError::Unsupported {
            address: address.clone(),
            api,
        };
        let broken = TransportError::Broken {
            address,
            reason: "gone".into(),
        };
        assert!(ClientError::from(broken).is_retriable());
        assert!(!ClientError::from(unsupported).is_retriable());
    }
}
