//! What the APIs of transactions share.

use brooklet_machines::transaction::TransactionError;
use brooklet_protocol::messages::{ErrorCode, kafka};
use brooklet_protocol::{
    PartitionId, Producer, ProducerEpoch, ProducerId, TopicName, TopicPartition,
};

use super::error::{coordinator_error_code, transaction_error_code};
use crate::coordinator::{CoordinatorError, OFFSETS_TOPIC};

/// What a coordinator of transactions says.
pub(super) type Said<T> = Result<Result<T, TransactionError>, CoordinatorError>;

pub(super) fn producer(id: kafka::ProducerId, epoch: i16) -> Producer {
    Producer {
        id: ProducerId(id.0),
        epoch: ProducerEpoch(epoch),
    }
}

pub(super) fn place(topic: TopicName, partition: i32) -> TopicPartition {
    TopicPartition {
        topic,
        partition: PartitionId(partition),
    }
}

/// A partition of the topic that groups are kept in.
pub(super) fn offsets_place(partition: PartitionId) -> TopicPartition {
    place(
        TopicName::new(OFFSETS_TOPIC).expect("the name is legal"),
        partition.0,
    )
}

/// What was said, or its code. Clients know PRODUCER_FENCED from some version on; those before are told
/// INVALID_PRODUCER_EPOCH.
pub(super) fn said<T>(id: &str, said: Said<T>, knows_fenced: bool) -> Result<T, ErrorCode> {
    match said {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(TransactionError::Fenced { .. })) if !knows_fenced => {
            Err(ErrorCode::InvalidProducerEpoch)
        }
        Ok(Err(error)) => Err(transaction_error_code(&error)),
        Err(error) => {
            if !matches!(error, CoordinatorError::Stopped) {
                tracing::warn!("transactional id '{id}': {error}");
            }
            Err(coordinator_error_code(&error))
        }
    }
}

/// The same of a partition that is not part of the transaction; who can, aborts it and goes on.
pub(super) fn or_abortable(code: ErrorCode, knows_abortable: bool) -> ErrorCode {
    match code {
        ErrorCode::InvalidTxnState if knows_abortable => ErrorCode::TransactionAbortable,
        code => code,
    }
}
