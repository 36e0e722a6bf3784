//! What the APIs of transactions share: partitions and producers as the coordinator knows them, and
//! the error codes of its answers.

use brooklet_machines::transaction::TransactionError;
use brooklet_protocol::messages::{ErrorCode, kafka};
use brooklet_protocol::{
    PartitionId, Producer, ProducerEpoch, ProducerId, TopicName, TopicPartition,
};

use super::error::{coordinator_error_code, transaction_error_code};
use crate::coordinator::{CoordinatorError, OFFSETS_TOPIC};

/// An answer of the transaction coordinator.
pub(super) type Answer<T> = Result<Result<T, TransactionError>, CoordinatorError>;

/// A producer as coordinators and logs know it.
pub(super) fn producer(id: kafka::ProducerId, epoch: i16) -> Producer {
    Producer {
        id: ProducerId(id.0),
        epoch: ProducerEpoch(epoch),
    }
}

/// A partition as coordinators name it.
pub(super) fn topic_partition(topic: TopicName, partition: i32) -> TopicPartition {
    TopicPartition {
        topic,
        partition: PartitionId(partition),
    }
}

/// A partition of the topic that stores groups.
pub(super) fn offsets_partition(partition: PartitionId) -> TopicPartition {
    topic_partition(
        TopicName::new(OFFSETS_TOPIC).expect("the name is legal"),
        partition.0,
    )
}

/// The value of an answer, or its error code. Clients that do not know PRODUCER_FENCED get
/// INVALID_PRODUCER_EPOCH instead.
pub(super) fn value_or_code<T>(
    id: &str,
    answer: Answer<T>,
    knows_fenced: bool,
) -> Result<T, ErrorCode> {
    match answer {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(TransactionError::Fenced { .. })) if !knows_fenced => {
            Err(ErrorCode::InvalidProducerEpoch)
        }
        Ok(Err(error)) => Err(transaction_error_code(&error)),
        Err(error) => {
            if !matches!(error, CoordinatorError::Stopped) {
                tracing::warn!("coordinator of transactional id '{id}' is unavailable: {error}");
            }
            Err(coordinator_error_code(&error))
        }
    }
}

/// The code for a partition that is not part of the transaction: clients that know
/// TRANSACTION_ABORTABLE abort it and go on.
pub(super) fn or_abortable(code: ErrorCode, knows_abortable: bool) -> ErrorCode {
    match code {
        ErrorCode::InvalidTxnState if knows_abortable => ErrorCode::TransactionAbortable,
        code => code,
    }
}
