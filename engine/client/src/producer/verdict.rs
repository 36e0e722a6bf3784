//! What an answer means for a batch: one table.
//!
//! | answer                                       | verdict                                   |
//! |----------------------------------------------|-------------------------------------------|
//! | no error                                     | stored                                    |
//! | duplicate sequence                           | stored, nobody says where                 |
//! | no connection                                | again; certainly not stored               |
//! | connection broke, no answer in time          | again; may be stored                      |
//! | timed out, too few replicas, storage error   | again; may be stored                      |
//! | any other error that passes                  | again; certainly not stored               |
//! | the transaction before is still ending       | again; certainly not stored               |
//! | sequence or epoch out of order               | failed, and the sequence is lost          |
//! | an answer that makes no sense                | failed, and the sequence is lost          |
//! | any other error                              | refused                                   |
//!
//! If a batch is refused, the answer may say which records are to blame (KIP-467). Where it does
//! not and the fault is that of one record, or the batch is too large, halves of it may do.

use std::collections::BTreeMap;

use brooklet_protocol::messages::ErrorCode;
use brooklet_protocol::messages::kafka::produce_response::{
    BatchIndexAndErrorMessage, PartitionProduceResponse, ProduceResponse,
};
use brooklet_protocol::{Offset, TopicPartition};

use crate::error::words_of;
use crate::transport::TransportError;
use crate::{Acks, ClientError};

/// What is to be done with a batch.
#[derive(Debug)]
pub(super) enum Verdict {
    /// It is stored, at this offset (-1: nobody says where).
    Stored(Offset),
    /// It is sent again.
    Retry {
        /// Whether it may have been stored all the same.
        maybe_stored: bool,
        /// Why.
        error: ClientError,
    },
    /// It was refused and is not stored.
    Rejected(Rejection),
    /// It has failed, and the broker's idea of our sequences is not ours.
    Lost(ClientError),
}

/// Why a batch was refused.
#[derive(Debug)]
pub(super) struct Rejection {
    pub(super) error: ClientError,
    /// The records that are to blame, by their index in the batch, with the broker's words.
    pub(super) culprits: BTreeMap<usize, Option<String>>,
    /// Whether a part of the batch may be accepted.
    pub(super) in_part: InPart,
}

/// What may help a batch that was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InPart {
    /// Nothing.
    No,
    /// To leave out the records that are to blame.
    WithoutCulprits,
    /// To send less at a time.
    Smaller,
}

impl Rejection {
    fn new(error: ClientError) -> Self {
        Self {
            error,
            culprits: BTreeMap::new(),
            in_part: InPart::No,
        }
    }
}

/// Decides about the batch of one partition.
pub(super) fn classify(
    partition: &TopicPartition,
    answer: &Result<ProduceResponse, ClientError>,
    acks: Acks,
) -> Verdict {
    match answer {
        Ok(_) if acks == Acks::None => Verdict::Stored(Offset(-1)),
        Ok(answer) => match find(partition, answer) {
            Some(answer) => classify_answer(partition, answer),
            None => Verdict::Lost(ClientError::Unexpected(format!(
                "the response to Produce lacks {partition}"
            ))),
        },
        Err(error) if error.is_retriable() => Verdict::Retry {
            // What could not be sent was not stored.
            maybe_stored: !matches!(
                error,
                ClientError::Transport(TransportError::Connect { .. })
            ),
            error: error.duplicate(),
        },
        Err(error) => match error {
            ClientError::Transport(_) => Verdict::Rejected(Rejection::new(error.duplicate())),
            _ => Verdict::Lost(error.duplicate()),
        },
    }
}

fn find<'a>(
    partition: &TopicPartition,
    answer: &'a ProduceResponse,
) -> Option<&'a PartitionProduceResponse> {
    let mut topics = answer.responses.iter();
    let topic = topics.find(|topic| topic.name.0.as_str() == partition.topic.as_str())?;
    topic
        .partition_responses
        .iter()
        .find(|answer| answer.index == partition.partition.0)
}

fn classify_answer(partition: &TopicPartition, answer: &PartitionProduceResponse) -> Verdict {
    use ErrorCode::{
        ConcurrentTransactions, DuplicateSequenceNumber, InvalidProducerEpoch, InvalidRecord,
        InvalidTimestamp, KafkaStorageError, MessageTooLarge, NotEnoughReplicasAfterAppend,
        OutOfOrderSequenceNumber, ProducerFenced, RecordListTooLarge, RequestTimedOut,
        UnknownProducerId,
    };
    let Some(code) = ErrorCode::try_from_code(answer.error_code) else {
        return Verdict::Stored(Offset(answer.base_offset));
    };
    let words = answer.error_message.as_deref();
    let words = words.or_else(|| words_of(code));
    let error = ClientError::broker(format!("send to {partition}"), code, words);
    match code {
        DuplicateSequenceNumber => Verdict::Stored(Offset(-1)),
        OutOfOrderSequenceNumber | UnknownProducerId | InvalidProducerEpoch | ProducerFenced => {
            Verdict::Lost(error)
        }
        // Appended, but not known to be safe.
        RequestTimedOut | NotEnoughReplicasAfterAppend | KafkaStorageError => Verdict::Retry {
            maybe_stored: true,
            error,
        },
        _ if code.is_retriable() || code == ConcurrentTransactions => Verdict::Retry {
            maybe_stored: false,
            error,
        },
        _ => Verdict::Rejected(Rejection {
            error,
            culprits: culprits(answer),
            in_part: match code {
                InvalidRecord | InvalidTimestamp => InPart::WithoutCulprits,
                MessageTooLarge | RecordListTooLarge => InPart::Smaller,
                _ => InPart::No,
            },
        }),
    }
}

fn culprits(answer: &PartitionProduceResponse) -> BTreeMap<usize, Option<String>> {
    let culprit = |record: &BatchIndexAndErrorMessage| {
        let index = usize::try_from(record.batch_index).ok()?;
        let words = record.batch_index_error_message.as_ref();
        Some((index, words.map(ToString::to_string)))
    };
    answer.record_errors.iter().filter_map(culprit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use brooklet_protocol::messages::StrBytes;
    use brooklet_protocol::messages::kafka::TopicName as WireName;
    use brooklet_protocol::messages::kafka::produce_response::TopicProduceResponse;
    use brooklet_protocol::{PartitionId, TopicName};
    use std::io;

    fn answer(code: i16) -> ProduceResponse {
        let partition = PartitionProduceResponse::default()
            .with_index(1)
            .with_error_code(code)
            .with_base_offset(42);
        let topic = TopicProduceResponse::default()
            .with_name(WireName(StrBytes::from_static_str("t")))
            .with_partition_responses(vec![partition]);
        ProduceResponse::default().with_responses(vec![topic])
    }

    fn verdict(answer: Result<ProduceResponse, ClientError>) -> String {
        let partition = TopicPartition::new(TopicName::new("t").unwrap(), PartitionId(1));
        match classify(&partition, &answer, Acks::All) {
            Verdict::Stored(offset) => format!("stored {offset}"),
            Verdict::Retry { maybe_stored, .. } => format!("again, maybe stored: {maybe_stored}"),
            Verdict::Rejected(_) => "refused".into(),
            Verdict::Lost(_) => "lost".into(),
        }
    }

    #[test]
    fn every_row_of_the_table() {
        let code = |code: ErrorCode| verdict(Ok(answer(code.code())));
        assert_eq!(verdict(Ok(answer(0))), "stored 42");
        assert_eq!(code(ErrorCode::DuplicateSequenceNumber), "stored -1");
        assert_eq!(
            code(ErrorCode::RequestTimedOut),
            "again, maybe stored: true"
        );
        assert_eq!(
            code(ErrorCode::KafkaStorageError),
            "again, maybe stored: true"
        );
        assert_eq!(
            code(ErrorCode::NotLeaderOrFollower),
            "again, maybe stored: false"
        );
        assert_eq!(
            code(ErrorCode::UnknownTopicOrPartition),
            "again, maybe stored: false"
        );
        assert_eq!(
            code(ErrorCode::ConcurrentTransactions),
            "again, maybe stored: false"
        );
        assert_eq!(code(ErrorCode::TransactionAbortable), "refused");
        assert_eq!(code(ErrorCode::OutOfOrderSequenceNumber), "lost");
        assert_eq!(code(ErrorCode::MessageTooLarge), "refused");
        assert_eq!(verdict(Ok(ProduceResponse::default())), "lost");
        let address = || "b:1".to_owned();
        let source = io::Error::from(io::ErrorKind::ConnectionRefused);
        let refused = TransportError::Connect {
            address: address(),
            source,
        };
        assert_eq!(verdict(Err(refused.into())), "again, maybe stored: false");
        let broken = TransportError::Broken {
            address: address(),
            reason: String::new(),
        };
        assert_eq!(verdict(Err(broken.into())), "again, maybe stored: true");
        let api = "Produce".to_owned();
        let unsupported = TransportError::Unsupported {
            address: address(),
            api,
        };
        assert_eq!(verdict(Err(unsupported.into())), "refused");
    }

    #[test]
    fn without_acks_written_is_as_good_as_stored() {
        let partition = TopicPartition::new(TopicName::new("t").unwrap(), PartitionId(1));
        let verdict = classify(&partition, &Ok(ProduceResponse::default()), Acks::None);
        assert!(matches!(verdict, Verdict::Stored(Offset(-1))));
    }
}
