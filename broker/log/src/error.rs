//! What goes wrong in a log: the disk, damage, or an offset that is not there.

use std::path::PathBuf;

use brooklet_protocol::Offset;
use brooklet_protocol::records::BatchError;
use thiserror::Error;

use super::producer_state::ProducerError;

/// What goes wrong in a log.
#[derive(Debug, Error)]
pub enum LogError {
    /// The disk.
    #[error("{path}: cannot {action}: {source}")]
    Io {
        /// What was attempted.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The disk cannot read back bytes that were written.
    #[error(
        "segment {path}: cannot read at byte {position}: {source}. The disk may be failing: stop the \
         broker and copy what can still be read"
    )]
    Unreadable {
        /// The segment.
        path: PathBuf,
        /// From where on in it.
        position: u64,
        /// Why not.
        source: std::io::Error,
    },
    /// Bytes that should be a batch are not.
    #[error("segment {path}: batch at byte {position}: {source}")]
    Corrupt {
        /// The segment.
        path: PathBuf,
        /// Where in it.
        position: u64,
        /// What is wrong.
        source: Damage,
    },
    /// Outside of log start offset ..= log end offset.
    #[error("offset {requested} is outside {start}..={end}")]
    OffsetOutOfRange {
        /// The offset that was asked for.
        requested: Offset,
        /// Log start offset.
        start: Offset,
        /// Log end offset.
        end: Offset,
    },
    /// A producer's batch does not continue what it has sent before.
    #[error(transparent)]
    Producer(#[from] ProducerError),
    /// An earlier sync failed, or a failed write could not be cut off: the log no longer takes
    /// writes.
    #[error("{path}: the log is offline after a failed sync or write, until the broker restarts")]
    Offline {
        /// The log's directory.
        path: PathBuf,
    },
    /// The files could not be opened to sync them, so no sync was tried: a later one may succeed.
    #[error("{path}: not synced: {reason}")]
    NotSynced {
        /// The log's directory.
        path: PathBuf,
        /// What could not be opened, and why.
        reason: String,
    },
    /// The topic is being deleted, or the broker is stopping.
    #[error("{path}: the partition is closed")]
    Closed {
        /// The log's directory.
        path: PathBuf,
    },
}

/// What is wrong at a position in a segment.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Damage {
    /// The batch itself.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// A batch is good but does not continue the one before it.
    #[error("expected offset {expected}, found {found}")]
    Offset {
        /// What the batch before says.
        expected: Offset,
        /// What is there.
        found: Offset,
    },
    /// The log ends, although more was there once.
    #[error("the log ends at offset {end}, expected at least {expected}")]
    EndsEarly {
        /// Where it ends.
        end: Offset,
        /// Where it should end, at least.
        expected: Offset,
    },
}

impl LogError {
    /// Whether a file is not where it was.
    pub(super) fn is_missing_file(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound)
    }

    /// Whether it says that stored bytes are damaged.
    pub(super) fn is_corruption(&self) -> bool {
        matches!(self, Self::Corrupt { .. })
    }

    /// Whether the disk cannot read stored bytes back.
    pub(super) fn is_unreadable(&self) -> bool {
        matches!(self, Self::Unreadable { .. })
    }

    /// Whether stored bytes are damaged or unreadable. Other bytes may be fine.
    pub(super) fn is_damage(&self) -> bool {
        self.is_corruption() || self.is_unreadable()
    }
}

/// Names what was attempted and where when an operation on files fails.
pub(super) trait OrIo<T> {
    fn or_io(self, action: &'static str, path: &std::path::Path) -> Result<T, LogError>;
}

impl<T> OrIo<T> for std::io::Result<T> {
    fn or_io(self, action: &'static str, path: &std::path::Path) -> Result<T, LogError> {
        self.map_err(|source| LogError::Io {
            action,
            path: path.to_owned(),
            source,
        })
    }
}
