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
    #[error("{}", plan_changed(application, stored, found))]
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
    /// The application has run before, and its committed offsets are gone.
    #[error(
        "the committed offsets of application '{0}' are gone: a broker forgets those of a group without members after offsets.retention.minutes. Reset the application to start over"
    )]
    OffsetsLost(String),
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

/// Shows the first line in which two plans differ, from both sides.
fn plan_changed(application: &str, stored: &str, found: &str) -> String {
    let (mut was, mut is) = (stored.lines(), found.lines());
    let (was, is) = loop {
        match (was.next(), is.next()) {
            (None, None) => break (None, None),
            (was, is) if was == is => {}
            (was, is) => break (was, is),
        }
    };
    let line = |line: Option<&str>| line.map_or("nothing", str::trim).to_owned();
    format!(
        "the state of application '{application}' belongs to another plan: where it has \"{}\", this \
         one has \"{}\"; use another id, or reset the application",
        line(was),
        line(is)
    )
}
