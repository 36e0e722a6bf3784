//! Why a broker does not start; and how errors of checkpoints become errors of the log.
//!
//! The messages of [`StartError`] are read by a person at a terminal: each says what was found,
//! where, and what to do next.

use std::io;
use std::path::{Path, PathBuf};

use brooklet_log::LogError;
use brooklet_log::checkpoint::CheckpointError;
use brooklet_protocol::BrokerId;
use thiserror::Error;

use crate::controller::ControllerError;
use crate::driver::DriverError;

/// Why a broker does not start. Messages end with the next step.
#[derive(Debug, Error)]
pub enum StartError {
    /// The address is in use or does not belong to this machine.
    #[error("cannot bind {address}: {}. Try --kafka 127.0.0.1:0 for a free port", bind_reason(.source))]
    Bind {
        /// The address.
        address: String,
        /// The reason.
        source: io::Error,
    },
    /// The limit of open files is too low.
    #[error(
        "the limit of open files is {limit}, expected at least {needed}. Raise it: ulimit -n {needed}"
    )]
    OpenFiles {
        /// The limit.
        limit: usize,
        /// The lowest limit that is enough.
        needed: usize,
    },
    /// The data directory cannot be used.
    #[error("{path}: cannot {action}: {source}. Choose another directory with --data-dir DIR")]
    DataDir {
        /// What was attempted.
        action: &'static str,
        /// Its path.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// A directory has the name of one of the broker's files.
    #[error("{path}: expected a file, found a directory. Move it away")]
    InTheWay {
        /// Its path.
        path: PathBuf,
    },
    /// Another process uses the data directory.
    #[error(
        "{path} is locked: another brooklet or Kafka uses this data directory. Stop it, or choose \
         another directory with --data-dir DIR"
    )]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// The directory contains something else.
    #[error(
        "{path} has no meta.properties but contains '{found}': not a data directory. Choose an \
         empty one with --data-dir DIR"
    )]
    NotADataDir {
        /// The directory.
        path: PathBuf,
        /// An entry in it.
        found: String,
    },
    /// The directory was written by Kafka.
    #[error(
        "{path}: this data directory belongs to Apache Kafka. --adopt takes it over: its topics are \
         served as they are, and Kafka cannot use it afterwards. Make a copy first"
    )]
    Kafkas {
        /// The file that says so.
        path: PathBuf,
    },
    /// Only Kafka's lines, beside a coordination log of ours.
    #[error(
        "{path}: brooklet.format is missing, but there is a coordination log. If an adoption of a Kafka \
         directory was interrupted, --adopt continues it. If not, the file is damaged: restore it from \
         a backup, or add the line brooklet.format=1"
    )]
    HalfKafkas {
        /// The file.
        path: PathBuf,
    },
    /// The data directory was written by another version, or the file is damaged.
    #[error(
        "{path}: {key} is {found}, expected {expected}. Start the version that wrote it; if no other version \
         did, the file is damaged: restore it from a backup, or write {key}={expected} into it"
    )]
    FormatVersion {
        /// The file that says so.
        path: PathBuf,
        /// The key.
        key: &'static str,
        /// Its value.
        found: String,
        /// The value that this version knows.
        expected: &'static str,
    },
    /// `meta.properties` is damaged.
    #[error("{path}: {key} is {}, expected {expected}. Restore the file from a backup", or_missing(.found.as_deref()))]
    BadMeta {
        /// The file.
        path: PathBuf,
        /// The key.
        key: &'static str,
        /// Its value; `None` when the key is missing.
        found: Option<String>,
        /// The form of a value.
        expected: &'static str,
    },
    /// There is a coordination log, and no `meta.properties`.
    #[error("{path} is missing, but there is a coordination log. Restore the file from a backup")]
    MetaLost {
        /// The file.
        path: PathBuf,
    },
    /// The data directory belongs to another broker.
    #[error(
        "{path}: data directory belongs to node.id {found}, expected {expected}. Start with \
         node.id={found} or without node.id, or choose another directory with --data-dir DIR"
    )]
    NodeId {
        /// The file that says so.
        path: PathBuf,
        /// The broker that it belongs to.
        found: BrokerId,
        /// The configured one.
        expected: BrokerId,
    },
    /// The log starts are damaged; they are stored nowhere else.
    #[error(
        "{0}. Restore the file from a backup; or write two lines into it, 0 and 0: then records that \
         were deleted with DeleteRecords may be served again"
    )]
    Checkpoint(#[from] CheckpointError),
    /// The coordination log cannot be opened.
    #[error("{0}. This file is left as it is; restore it from a backup")]
    Log(#[from] LogError),
    /// The coordination log cannot be replayed.
    #[error("{0}. These files are left as they are; restore them from a backup")]
    Coordination(#[from] DriverError),
    /// The topics cannot be opened.
    #[error(transparent)]
    Controller(#[from] ControllerError),
    /// Opening panicked, which is a bug.
    #[error("opening the data directory failed because of a bug: {0}")]
    Interrupted(#[from] tokio::task::JoinError),
}

/// A value as it was found, for a message.
pub(super) fn or_missing(found: Option<&str>) -> String {
    found.map_or_else(|| "missing".to_owned(), |found| format!("'{found}'"))
}

fn bind_reason(source: &io::Error) -> String {
    match source.kind() {
        io::ErrorKind::AddrInUse => "address in use".to_owned(),
        _ => source.to_string(),
    }
}

pub(super) fn checkpoint_error(error: CheckpointError) -> LogError {
    match error {
        CheckpointError::Io {
            action,
            path,
            source,
        } => LogError::Io {
            action,
            path,
            source,
        },
        CheckpointError::Lost { path } | CheckpointError::Malformed { path, .. } => {
            io_error("write", &path, io::Error::other("malformed"))
        }
    }
}

pub(super) fn io_error(action: &'static str, path: &Path, source: io::Error) -> LogError {
    LogError::Io {
        action,
        path: path.to_owned(),
        source,
    }
}
