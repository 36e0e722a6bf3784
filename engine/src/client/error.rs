//! What goes wrong in a client, and which of it is worth another attempt.

use std::io;
use std::time::Duration;

use brooklet_protocol::messages::{ErrorCode, ResponseKind};
use brooklet_protocol::records::BatchError;
use brooklet_protocol::{Offset, TopicPartition};
use thiserror::Error;

use crate::transport::TransportError;

/// What goes wrong in a client.
#[derive(Debug, Error)]
pub enum ClientError {
    /// No answer.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// An answer with an error code that is not worth a retry, or that stayed after all of them.
    #[error("{what}: {code:?}{}", message.as_ref().map(|m| format!(" ({m})")).unwrap_or_default())]
    Broker {
        /// What was attempted.
        what: String,
        /// Kafka's error.
        code: ErrorCode,
        /// The broker's words, if it sent any.
        message: Option<String>,
    },
    /// A transaction is not in a state for what was asked.
    #[error("{0}")]
    Transaction(&'static str),
    /// The topic is not there.
    #[error("topic '{0}' does not exist")]
    UnknownTopic(String),
    /// The group is not there.
    #[error("group '{0}' does not exist")]
    UnknownGroup(String),
    /// Nobody has used the transactional id, or not for long.
    #[error("transactional id '{0}' does not exist")]
    UnknownTransactionalId(String),
    /// A message that makes no sense.
    #[error("unexpected answer: {0}")]
    Unexpected(String),
    /// Fetched bytes are damaged (`check.crcs`) or not record batches.
    #[error("{partition}: damaged data after offset {offset}: {source}")]
    Corrupt {
        /// Of which partition.
        partition: TopicPartition,
        /// The offset fetched from; the damage is there or behind it.
        offset: Offset,
        /// What is wrong.
        source: BatchError,
    },
    /// Nothing is at that offset: it was deleted, or is not there yet.
    #[error("fetch {partition} at offset {offset}: OffsetOutOfRange")]
    OffsetOutOfRange {
        /// Of which partition.
        partition: TopicPartition,
        /// The offset that was asked for.
        offset: Offset,
    },
    /// Its group has not committed an offset, and `auto.offset.reset` is none.
    #[error("{partition}: no offset was committed, and auto.offset.reset is none")]
    NoOffset {
        /// Of which partition.
        partition: TopicPartition,
    },
    /// A record that no request could carry.
    #[error("{partition}: a record of {size} bytes, the limit is {limit} ({setting})")]
    RecordTooLarge {
        /// Where it was to go.
        partition: TopicPartition,
        /// Bytes of the record, at most, before compression.
        size: usize,
        /// Bytes allowed.
        limit: usize,
        /// The setting that says so.
        setting: &'static str,
    },
    /// Delivery timed out.
    #[error("record not acknowledged within {0:?}")]
    DeliveryTimedOut(Duration),
    /// The producer or consumer was closed.
    #[error("the client is closed")]
    Closed,
}

impl ClientError {
    pub(crate) fn broker(what: impl Into<String>, code: ErrorCode, words: Option<&str>) -> Self {
        Self::Broker {
            what: what.into(),
            code,
            message: words.map(str::to_owned),
        }
    }

    pub(crate) fn unexpected(expected: &str, found: &ResponseKind) -> Self {
        Self::Unexpected(format!("expected an answer to {expected}, found {found:?}"))
    }

    /// Whether the same request may succeed a little later, for all we know.
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
            | Self::DeliveryTimedOut(_)
            | Self::Closed => false,
        }
    }

    /// The same error once more: all records of a batch share one fate, and each is told.
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
                setting,
            } => Self::RecordTooLarge {
                partition: partition.clone(),
                size: *size,
                limit: *limit,
                setting,
            },
            Self::DeliveryTimedOut(limit) => Self::DeliveryTimedOut(*limit),
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
