//! ZooKeeper's errors, under its names and numbers.

use thiserror::Error;

/// Why the tree refuses; ZooKeeper's `KeeperException.Code`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ErrorCode {
    /// Not run, because an operation before it in its multi has failed.
    #[error("runtime inconsistency")]
    RuntimeInconsistency,
    /// A path, a size or an operation that cannot be.
    #[error("bad arguments")]
    BadArguments,
    /// The znode, or its parent, is not there.
    #[error("no node")]
    NoNode,
    /// The znode has another version.
    #[error("bad version")]
    BadVersion,
    /// Ephemeral znodes have no children.
    #[error("no children for ephemerals")]
    NoChildrenForEphemerals,
    /// The znode is there.
    #[error("node exists")]
    NodeExists,
    /// The znode has children.
    #[error("not empty")]
    NotEmpty,
}

impl ErrorCode {
    /// Its number on the wire and in the log.
    pub const fn number(self) -> i32 {
        match self {
            Self::RuntimeInconsistency => -2,
            Self::BadArguments => -8,
            Self::NoNode => -101,
            Self::BadVersion => -103,
            Self::NoChildrenForEphemerals => -108,
            Self::NodeExists => -110,
            Self::NotEmpty => -111,
        }
    }
}
