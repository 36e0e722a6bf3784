//! Why a run failed.

use brooklet_client::ClientError;
use brooklet_protocol::records::BatchError;
use brooklet_protocol::{Offset, TopicName, TopicPartition};
use thiserror::Error;

use crate::codec::DecodeError;
use crate::topology::TopologyError;

/// Why a run failed.
#[derive(Debug, Error)]
pub enum RunError {
    /// The program is not well declared.
    #[error("{0}")]
    Topology(#[from] TopologyError),
    /// A request failed. It is the source, so that callers can handle errors by kind.
    #[error("{0}")]
    Client(#[from] ClientError),
    /// The results of a record cannot be written.
    #[error("cannot write the results of {partition} up to offset {position}: {source}")]
    Write {
        /// The partition that was read.
        partition: TopicPartition,
        /// The offset that it was read up to.
        position: Offset,
        /// The reason.
        source: ClientError,
    },
    /// A batch cannot be read.
    #[error("{partition}, batch at offset {offset}: {source}")]
    Batch {
        /// The partition that was read.
        partition: TopicPartition,
        /// The batch's base offset.
        offset: Offset,
        /// What is wrong.
        source: BatchError,
    },
    /// A topic of the program's own is there already, with another number of partitions.
    #[error(
        "topic '{topic}' has {found} partitions, expected {expected}; delete the topic and run again"
    )]
    Partitions {
        /// The topic.
        topic: TopicName,
        /// What the program asks for.
        expected: i32,
        /// What is there.
        found: i32,
    },
    /// The end offsets of the sources were signalled, and this partition's is missing.
    #[error("no end offset was signalled for {0}")]
    NoEnd(TopicPartition),
    /// A closure of the program panicked.
    #[error("the task of {partition} panicked: {message}")]
    Panicked {
        /// What it read.
        partition: String,
        /// What it said.
        message: String,
    },
    /// The application's state belongs to another plan.
    #[error(
        "the state of application '{application}' belongs to another plan.\nIts plan was:\n{stored}\nand is now:\n{found}\nRun it under another name, or reset it"
    )]
    PlanChanged {
        /// The application id.
        application: String,
        /// The plan that wrote the state.
        stored: String,
        /// The plan of this program.
        found: String,
    },
    /// Another process has taken the application over.
    #[error("another process has taken over the application '{0}'")]
    TakenOver(String),
    /// What the application committed cannot be read back.
    #[error("cannot restore {partition} of application '{application}': {source}")]
    Restore {
        /// The application id.
        application: String,
        /// The partition of a changelog, or that of a source whose committed offset has the
        /// standing.
        partition: TopicPartition,
        /// What is wrong.
        source: DecodeError,
    },
}
