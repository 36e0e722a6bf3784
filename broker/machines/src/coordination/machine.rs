//! The tree and its watches as a [`StateMachine`].

use std::error::Error;

use brooklet_protocol::Offset;
use bytes::Bytes;

use super::draft::Draft;
use super::stat::Stat;
use super::tree::{Node, Tree};
use super::txn::{self, Header, Txn};
use super::watch::{WatchEvent, WatcherId, Watches};
use super::{ErrorCode, path};
use crate::{Decision, LogRecord, Moment, StateMachine};

/// The broker's own session, and the number of each of its requests.
const OWN_SESSION: i64 = 0;
const OWN_CXID: i32 = 0;

/// A write. `version` is the one the znode must have, or [`super::ANY_VERSION`]; data may be null.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Creates a znode that stays.
    Create {
        /// Where; a sequence number is put behind it if `sequential`.
        path: String,
        /// With which data.
        data: Option<Bytes>,
        /// Whether the tree finishes the name, with ten digits that never repeat below one parent.
        sequential: bool,
    },
    /// Replaces a znode's data.
    SetData {
        /// Whose.
        path: String,
        /// By which.
        data: Option<Bytes>,
        /// If it has this version.
        version: i32,
    },
    /// Deletes a znode without children.
    Delete {
        /// Which.
        path: String,
        /// If it has this version.
        version: i32,
    },
    /// Fails its multi unless the znode has the version.
    Check {
        /// Which.
        path: String,
        /// The version.
        version: i32,
    },
}

impl Operation {
    /// Which znode it is about; without the sequence number, if it will get one.
    pub fn path(&self) -> &str {
        match self {
            Self::Create { path, .. }
            | Self::SetData { path, .. }
            | Self::Delete { path, .. }
            | Self::Check { path, .. } => path,
        }
    }
}

/// What the tree is asked. A read may leave a watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// One write.
    Write(Operation),
    /// Several writes, all or none.
    Multi(Vec<Operation>),
    /// A znode's data.
    GetData {
        /// Whose.
        path: String,
        /// Who is told of the next change; only of a znode that is there.
        watch: Option<WatcherId>,
    },
    /// Whether there is a znode.
    Exists {
        /// Which.
        path: String,
        /// Who is told of the next change, also of its creation.
        watch: Option<WatcherId>,
    },
    /// The names of a znode's children, sorted.
    GetChildren {
        /// Whose.
        path: String,
        /// Who is told when one comes or goes; only of a znode that is there.
        watch: Option<WatcherId>,
    },
    /// Takes back all watches of one watcher.
    Forget(WatcherId),
}

/// What a write did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpResult {
    /// It created this.
    Created {
        /// With the sequence number.
        path: String,
        /// As it is now.
        stat: Stat,
    },
    /// It set the data.
    DataSet(Stat),
    /// It deleted.
    Deleted,
    /// The version was right.
    Checked,
}

/// Why a multi did nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MultiError {
    /// Which operation is at fault, from 0.
    pub index: usize,
    /// Why.
    pub code: ErrorCode,
    /// How many operations the multi has.
    pub operation_count: usize,
}

impl MultiError {
    /// What each operation is told: 0 before the one at fault, its code, then
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

/// What the tree says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// To a write.
    Written(OpResult),
    /// To a multi: one result per operation, or why none was done.
    Multi(Result<Vec<OpResult>, MultiError>),
    /// To a read of data.
    Data {
        /// Null or bytes.
        data: Option<Bytes>,
        /// The znode's.
        stat: Stat,
    },
    /// To the question whether there is a znode.
    Exists(Stat),
    /// To a listing.
    Children {
        /// Sorted.
        names: Vec<String>,
        /// The parent's.
        stat: Stat,
    },
    /// The watches are taken back.
    Forgotten,
}

/// An answer, and the zxid of the last change it knows of: its own, if it is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// -1 before the first change.
    pub zxid: i64,
    /// What the tree says.
    pub result: Result<Reply, ErrorCode>,
}

/// The tree of znodes and who watches it.
#[derive(Debug)]
pub struct Coordination {
    pub(super) tree: Tree,
    watches: Watches,
}

impl Default for Coordination {
    fn default() -> Self {
        Self {
            tree: Tree::new(),
            watches: Watches::default(),
        }
    }
}

impl StateMachine for Coordination {
    type Command = Command;
    type Answer = Answer;
    type Effect = WatchEvent;

    fn decide(&mut self, at: Moment, command: Command) -> Decision<Answer, WatchEvent> {
        match command {
            Command::Write(operation) => self.write(at, operation),
            Command::Multi(operations) => self.multi(at, operations),
            read => Decision::read(Answer {
                zxid: at.offset.0 - 1,
                result: self.read(read),
            }),
        }
    }

    fn replay(
        &mut self,
        offset: Offset,
        record: &LogRecord,
    ) -> Result<Vec<WatchEvent>, Box<dyn Error + Send + Sync>> {
        let value = record.value.clone().ok_or("a record without a value")?;
        let (header, txn) = txn::decode(value)?;
        if header.zxid != offset.0 {
            return Err(format!("zxid {}, expected {offset}", header.zxid).into());
        }
        let changes = self.tree.apply(&header, txn)?;
        let fired = changes
            .iter()
            .flat_map(|(kind, path)| self.watches.fire(header.zxid, *kind, path));
        Ok(fired.collect())
    }
}

impl Coordination {
    fn write(&self, at: Moment, operation: Operation) -> Decision<Answer, WatchEvent> {
        let judged = Draft::new(&self.tree, at.offset.0, at.wall).judge(operation);
        let (txn, result) = match judged {
            Ok((txn, result)) => (txn, Ok(Reply::Written(result))),
            Err(code) => (Txn::Error(code.number()), Err(code)),
        };
        log(at, &txn, result)
    }

    fn multi(&self, at: Moment, operations: Vec<Operation>) -> Decision<Answer, WatchEvent> {
        let operation_count = operations.len();
        let mut draft = Draft::new(&self.tree, at.offset.0, at.wall);
        let judged: Result<Vec<_>, MultiError> = (0..)
            .zip(operations)
            .map(|(index, operation)| {
                draft.judge(operation).map_err(|code| MultiError {
                    index,
                    code,
                    operation_count,
                })
            })
            .collect();
        let (txns, results) = match judged {
            Ok(judged) => {
                let (txns, results) = judged.into_iter().unzip();
                (txns, Ok(results))
            }
            Err(error) => (error.codes().map(Txn::Error).collect(), Err(error)),
        };
        log(at, &Txn::Multi(txns), Ok(Reply::Multi(results)))
    }

    /// Reads, and leaves watches: they are soft state.
    fn read(&mut self, command: Command) -> Result<Reply, ErrorCode> {
        match command {
            Command::GetData { path, watch } => {
                let node = find(&self.tree, &path)?;
                if let Some(watcher) = watch {
                    self.watches.watch_data(&path, watcher);
                }
                Ok(Reply::Data {
                    data: node.data.clone(),
                    stat: node.counters.stat(),
                })
            }
            Command::Exists { path, watch } => {
                path::validate(&path)?;
                if let Some(watcher) = watch {
                    self.watches.watch_data(&path, watcher);
                }
                let node = find(&self.tree, &path)?;
                Ok(Reply::Exists(node.counters.stat()))
            }
            Command::GetChildren { path, watch } => {
                let node = find(&self.tree, &path)?;
                if let Some(watcher) = watch {
                    self.watches.watch_children(&path, watcher);
                }
                Ok(Reply::Children {
                    names: node.children.iter().cloned().collect(),
                    stat: node.counters.stat(),
                })
            }
            Command::Forget(watcher) => {
                self.watches.forget(watcher);
                Ok(Reply::Forgotten)
            }
            Command::Write(_) | Command::Multi(_) => unreachable!("writes are decided, not read"),
        }
    }
}

fn find<'a>(tree: &'a Tree, path: &str) -> Result<&'a Node, ErrorCode> {
    path::validate(path)?;
    tree.get(path).ok_or(ErrorCode::NoNode)
}

fn log(at: Moment, txn: &Txn, result: Result<Reply, ErrorCode>) -> Decision<Answer, WatchEvent> {
    let header = Header {
        client_id: OWN_SESSION,
        cxid: OWN_CXID,
        zxid: at.offset.0,
        time: at.wall,
    };
    let record = LogRecord {
        key: None,
        value: Some(txn::encode(&header, txn)),
        ..LogRecord::default()
    };
    let zxid = header.zxid;
    Decision {
        records: vec![record],
        answer: Answer { zxid, result },
        effects: Vec::new(),
    }
}
