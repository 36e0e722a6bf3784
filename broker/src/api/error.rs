//! Which error code of Kafka stands for which of our errors.
//!
//! ```text
//!  LogError ─────────┐
//!  ControllerError ──┤                    ┌─▶ code      what the client does next
//!  BatchError ───────┼─▶ ApiError ────────┤
//!  GroupError ───────┤                    └─▶ message   for the person at the client
//!  TransactionError ─┘
//! ```
//!
//! Each layer below has its own error type; here, and nowhere else, it becomes a code. The code
//! decides what a client does: a retriable one is retried, another is reported to the application,
//! and some make it look for another leader or coordinator.
//!
//! Invariants: the matches name every variant, so that a new error does not compile until its code
//! is chosen here; a code that Kafka's clients retry stands for something that another attempt may
//! mend.
//!
//! Left out: counting and logging, which the handlers do.

use brooklet_log::LogError;
use brooklet_log::producer_state::ProducerError;
use brooklet_machines::group::GroupError;
use brooklet_machines::transaction::TransactionError;
use brooklet_protocol::messages::{ErrorCode, StrBytes};
use brooklet_protocol::records::BatchError;

use crate::controller::ControllerError;
use crate::coordinator::CoordinatorError;
use crate::counters::{Counters, Limit};
use crate::driver::DriverError;

/// An error code, and a message for the person who has to deal with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    /// Kafka's error code.
    pub code: ErrorCode,
    /// Sent where the protocol has a field for it.
    pub message: String,
}

impl ApiError {
    /// An error with this code and message.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    /// The message as the protocol carries it.
    pub fn message_bytes(&self) -> Option<StrBytes> {
        Some(StrBytes::from_string(self.message.clone()))
    }
}

impl From<LogError> for ApiError {
    fn from(error: LogError) -> Self {
        Self::new(log_error_code(&error), error.to_string())
    }
}

impl From<ControllerError> for ApiError {
    fn from(error: ControllerError) -> Self {
        Self::new(controller_error_code(&error), error.to_string())
    }
}

/// An error of the controller, counted if a limit was exceeded.
pub fn refused_by_controller(counters: &Counters, error: ControllerError) -> ApiError {
    if matches!(error, ControllerError::TooManyPartitions { .. }) {
        counters.rejected(Limit::Partitions);
    }
    error.into()
}

impl From<BatchError> for ApiError {
    fn from(error: BatchError) -> Self {
        Self::new(batch_error_code(&error), error.to_string())
    }
}

/// The errors of the log. Those of the disk are retriable: the partition may come back.
pub fn log_error_code(error: &LogError) -> ErrorCode {
    match error {
        LogError::Io { .. }
        | LogError::Unreadable { .. }
        | LogError::NotSynced { .. }
        | LogError::Offline { .. } => ErrorCode::KafkaStorageError,
        // The client refreshes its metadata, and learns that the topic or its leader is gone.
        LogError::Closed { .. } => ErrorCode::NotLeaderOrFollower,
        LogError::Corrupt { .. } => ErrorCode::CorruptMessage,
        LogError::OffsetOutOfRange { .. } => ErrorCode::OffsetOutOfRange,
        LogError::Producer(error) => producer_error_code(error),
    }
}

/// The errors of an idempotent producer; its client handles each in its own way.
pub fn producer_error_code(error: &ProducerError) -> ErrorCode {
    match error {
        ProducerError::OutOfOrder { .. } => ErrorCode::OutOfOrderSequenceNumber,
        ProducerError::Fenced { .. } => ErrorCode::InvalidProducerEpoch,
        ProducerError::CoordinatorFenced { .. } => ErrorCode::TransactionCoordinatorFenced,
        ProducerError::InTransaction { .. } => ErrorCode::InvalidTxnState,
    }
}

/// The errors of the controller.
pub fn controller_error_code(error: &ControllerError) -> ErrorCode {
    match error {
        ControllerError::TopicExists(_) => ErrorCode::TopicAlreadyExists,
        ControllerError::UnknownTopic(_) => ErrorCode::UnknownTopicOrPartition,
        ControllerError::NameCollision { .. } => ErrorCode::InvalidTopicException,
        ControllerError::PartitionCount(_) | ControllerError::NotMore { .. } => {
            ErrorCode::InvalidPartitions
        }
        ControllerError::TooManyPartitions { .. } => ErrorCode::PolicyViolation,
        ControllerError::InvalidConfig(_) => ErrorCode::InvalidConfig,
        ControllerError::Log(error) => log_error_code(error),
        ControllerError::Io { .. }
        | ControllerError::Checkpoint(_)
        | ControllerError::Identity { .. }
        | ControllerError::PartitionLost(_)
        | ControllerError::TreeLost { .. } => ErrorCode::KafkaStorageError,
        ControllerError::Coordination(error) => driver_error_code(error),
        ControllerError::ClusterId { .. } => ErrorCode::InconsistentClusterId,
        // Not the client's fault, and not mended by a retry.
        ControllerError::Tree { .. } | ControllerError::BadNode { .. } => {
            ErrorCode::UnknownServerError
        }
    }
}

/// The errors of a machine's driver. While the broker stops, "not the controller" makes clients
/// retry later or elsewhere.
pub fn driver_error_code(error: &DriverError) -> ErrorCode {
    match error {
        DriverError::Log(error) => log_error_code(error),
        DriverError::Replay(_) => ErrorCode::KafkaStorageError,
        DriverError::Stopped => ErrorCode::NotController,
    }
}

/// The errors of a coordinator that is unavailable. Clients look it up again, and retry.
pub fn coordinator_error_code(error: &CoordinatorError) -> ErrorCode {
    match error {
        CoordinatorError::Controller(_)
        | CoordinatorError::Offline(..)
        | CoordinatorError::Stopped => ErrorCode::CoordinatorNotAvailable,
        CoordinatorError::Driver(_) => ErrorCode::NotCoordinator,
    }
}

/// The errors of transactions; producers handle each in its own way.
pub fn transaction_error_code(error: &TransactionError) -> ErrorCode {
    match error {
        TransactionError::InvalidId(_) => ErrorCode::InvalidRequest,
        TransactionError::Timeout { .. } => ErrorCode::InvalidTransactionTimeout,
        TransactionError::TooManyIds(_) => ErrorCode::PolicyViolation,
        TransactionError::WrongProducer(_) => ErrorCode::InvalidProducerIdMapping,
        TransactionError::Fenced { .. } => ErrorCode::ProducerFenced,
        TransactionError::Ending => ErrorCode::ConcurrentTransactions,
        TransactionError::State(_) | TransactionError::NotPart(_) => ErrorCode::InvalidTxnState,
    }
}

/// The errors of groups; members handle each in its own way.
pub fn group_error_code(error: &GroupError) -> ErrorCode {
    match error {
        GroupError::InvalidGroupId(_) => ErrorCode::InvalidGroupId,
        GroupError::TooLong(_) => ErrorCode::InvalidRequest,
        GroupError::SessionTimeout { .. } => ErrorCode::InvalidSessionTimeout,
        GroupError::InconsistentProtocol => ErrorCode::InconsistentGroupProtocol,
        GroupError::UnknownMember => ErrorCode::UnknownMemberId,
        GroupError::MemberIdRequired(_) => ErrorCode::MemberIdRequired,
        GroupError::FencedInstance => ErrorCode::FencedInstanceId,
        GroupError::Generation { .. } => ErrorCode::IllegalGeneration,
        GroupError::Rebalancing => ErrorCode::RebalanceInProgress,
        GroupError::Full(_) | GroupError::TooManyGroups(_) | GroupError::GroupTooLarge(_) => {
            ErrorCode::GroupMaxSizeReached
        }
        GroupError::MemberTooLarge { .. } | GroupError::AssignmentsTooLarge { .. } => {
            ErrorCode::InvalidRequest
        }
        GroupError::NoSuchGroup => ErrorCode::GroupIdNotFound,
        GroupError::NotEmpty => ErrorCode::NonEmptyGroup,
        GroupError::Subscribed => ErrorCode::GroupSubscribedToTopic,
        GroupError::MetadataTooLong(_) => ErrorCode::OffsetMetadataTooLarge,
    }
}

/// The limit that a request to a group has exceeded, if any.
pub fn group_limit(error: &GroupError) -> Option<Limit> {
    match error {
        GroupError::Full(_) => Some(Limit::GroupMembers),
        GroupError::TooManyGroups(_) => Some(Limit::Groups),
        GroupError::MemberTooLarge { .. } => Some(Limit::MemberMetadata),
        GroupError::GroupTooLarge(_) | GroupError::AssignmentsTooLarge { .. } => {
            Some(Limit::GroupMetadata)
        }
        GroupError::MetadataTooLong(_) => Some(Limit::OffsetMetadata),
        _ => None,
    }
}

/// The errors of a produced batch. Damage in transit is worth a retry; a batch that was built
/// wrong, or in one of Kafka's older formats, is not.
pub fn batch_error_code(error: &BatchError) -> ErrorCode {
    match error {
        BatchError::Magic(..0 | 2..)
        | BatchError::Truncated { .. }
        | BatchError::Length(_)
        | BatchError::Crc { .. } => ErrorCode::CorruptMessage,
        BatchError::Codec(_) => ErrorCode::UnsupportedCompressionType,
        BatchError::DecompressedTooLarge { .. } => ErrorCode::MessageTooLarge,
        BatchError::ProducedLogAppendTime => ErrorCode::InvalidTimestamp,
        BatchError::Magic(0 | 1)
        | BatchError::Offsets { .. }
        | BatchError::RecordCount { .. }
        | BatchError::Record { .. }
        | BatchError::Decompress { .. }
        | BatchError::ProducedBaseOffset(_)
        | BatchError::ProducedCount { .. }
        | BatchError::ProducedControl
        | BatchError::ProducedIdentity { .. } => ErrorCode::InvalidRecord,
    }
}
