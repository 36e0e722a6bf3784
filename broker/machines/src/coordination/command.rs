//! What the tree can be asked, and what it answers.

use bytes::Bytes;

use super::ErrorCode;
use super::stat::Stat;
use super::watch::WatcherId;

/// A write. Its `version` is the one that the znode must have, or [`super::ANY_VERSION`]; data may
/// be null. As a command of its own it stands alone; [`Multi`] takes several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Creates a znode that stays.
    Create {
        /// Its path; a sequence number is appended if `sequential`.
        path: String,
        /// Its data.
        data: Option<Bytes>,
        /// Whether the tree completes the name with ten digits that never repeat below one parent.
        sequential: bool,
    },
    /// Replaces a znode's data.
    SetData(SetData),
    /// Deletes a znode without children.
    Delete {
        /// Its path.
        path: String,
        /// The version that it must have.
        version: i32,
    },
    /// Fails its multi unless the znode has the version.
    Check {
        /// Its path.
        path: String,
        /// The version that it must have.
        version: i32,
    },
}

impl Operation {
    /// The path of its znode; without the sequence number, if it will get one.
    pub fn path(&self) -> &str {
        match self {
            Self::Create { path, .. }
            | Self::SetData(SetData { path, .. })
            | Self::Delete { path, .. }
            | Self::Check { path, .. } => path,
        }
    }
}

/// Replaces a znode's data: one of the [`Operation`]s, and a command with an answer of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetData {
    /// The znode's path.
    pub path: String,
    /// The new data.
    pub data: Option<Bytes>,
    /// The version that the znode must have.
    pub version: i32,
}

/// Several writes, all or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Multi(pub Vec<Operation>);

/// Reads a znode's data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GetData {
    /// The znode's path.
    pub path: String,
    /// Leaves a watch on the next change, if the znode is there.
    pub watch: Option<WatcherId>,
}

/// Asks whether there is a znode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exists {
    /// The znode's path.
    pub path: String,
    /// Leaves a watch on the next change; if the znode is not there, on its creation.
    pub watch: Option<WatcherId>,
}

/// Lists the names of a znode's children, sorted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GetChildren {
    /// The znode's path.
    pub path: String,
    /// Leaves a watch on the next child that comes or goes, if the znode is there.
    pub watch: Option<WatcherId>,
}

/// Removes all watches of one watcher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forget(pub WatcherId);

/// An answer of the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer<T, E = ErrorCode> {
    /// The zxid of the last change that the answer knows of: its own for a write. -1 before the
    /// first.
    pub zxid: i64,
    /// The result, or why the tree refuses.
    pub result: Result<T, E>,
}

/// What a write did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpResult {
    /// It created a znode.
    Created {
        /// The path, with the sequence number.
        path: String,
        /// The stat of the new znode.
        stat: Stat,
    },
    /// It set the data; the stat is the new one.
    DataSet(Stat),
    /// It deleted the znode.
    Deleted,
    /// The version was as expected.
    Checked,
}

/// A znode's data and stat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Data {
    /// Null or bytes.
    pub data: Option<Bytes>,
    /// The znode's stat.
    pub stat: Stat,
}

/// A znode's children.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Children {
    /// Their names, sorted.
    pub names: Vec<String>,
    /// The parent's stat.
    pub stat: Stat,
}

/// Why a multi did nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MultiError {
    /// The index of the operation at fault, from 0.
    pub index: usize,
    /// Why it was refused.
    pub code: ErrorCode,
    /// How many operations the multi has.
    pub operation_count: usize,
}

impl MultiError {
    /// The code of each operation: 0 before the one at fault, its code, then
    /// [`ErrorCode::RuntimeInconsistency`].
    pub fn codes(&self) -> impl Iterator<Item = i32> {
        let Self { index, code, .. } = *self;
        (0..self.operation_count).map(move |i| match i.cmp(&index) {
            std::cmp::Ordering::Less => 0,
            std::cmp::Ordering::Equal => code.number(),
            std::cmp::Ordering::Greater => ErrorCode::RuntimeInconsistency.number(),
        })
    }
}
