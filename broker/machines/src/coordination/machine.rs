//! The tree and its watches as a [`StateMachine`].
//!
//! ```text
//!  Operation, SetData, Multi ─▶ draft ─▶ one transaction ─▶ log ─▶ replay ─▶ tree ─▶ watches fire
//!  GetData, Exists, GetChildren ─▶ tree ─▶ answer, and a watch if one is asked for
//!  Forget ─▶ watches
//! ```
//!
//! Hard state is the [`Tree`], soft state the [`Watches`]: replay rebuilds the one, and the other
//! ends with the process, so that each watcher has to read the tree again after a restart.
//!
//! A write becomes exactly one record, whether it succeeds or fails: the offset of the record is
//! the zxid. [`Draft`] decides what the write would do, against the tree and the operations before
//! it in the same multi. The draft holds no promise that replay could break: it changes counters by
//! the same functions.
//!
//! Invariants:
//! - the tree changes only in `replay`, and a record whose zxid is not its offset is refused;
//! - a multi is one record, so it happens as a whole or not at all;
//! - a watch fires at most once, as an effect of the record that changed its znode: a watcher that
//!   gets the event finds the change;
//! - a read leaves its watch in the same step, so no change falls between the two.
//!
//! Duties of the caller: those of every machine ([`crate::StateMachine`]). Watch events go out in
//! the order of the log, and a watcher that cannot take one is cut off rather than skipped.
//!
//! Left out: sessions. All writes are the broker's own, so client id and cxid are 0, and no znode
//! is ephemeral; the log format has room for all of that.

use std::error::Error;

use brooklet_protocol::Offset;

use super::command::{
    Answer, Children, Data, Exists, Forget, GetChildren, GetData, Multi, MultiError, OpResult,
    Operation, SetData,
};
use super::draft::Draft;
use super::stat::Stat;
use super::tree::{Node, Tree};
use super::txn::{self, Header, Txn};
use super::watch::{WatchEvent, Watches};
use super::{ErrorCode, path};
use crate::{Command, Decision, LogRecord, Moment, StateMachine};

/// The broker's own session, and the number of each of its requests.
const OWN_SESSION: i64 = 0;
const OWN_CXID: i32 = 0;

/// The tree of znodes, and the watches on it.
#[derive(Debug)]
pub struct Coordination {
    /// Hard state.
    pub(super) tree: Tree,
    /// Soft state.
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
    type Effect = WatchEvent;

    fn replay(
        &mut self,
        offset: Offset,
        record: &LogRecord,
    ) -> Result<Vec<WatchEvent>, Box<dyn Error + Send + Sync>> {
        let value = record.value.clone().ok_or("a record without a value")?;
        let (header, txn) = txn::decode(value)?;
        if header.zxid != offset.0 {
            return Err(format!("zxid is {}, expected {offset}", header.zxid).into());
        }
        let changes = self.tree.apply(&header, txn)?;
        let fired = changes
            .iter()
            .flat_map(|(kind, path)| self.watches.fire(header.zxid, *kind, path));
        Ok(fired.collect())
    }
}

impl Command<Coordination> for Operation {
    type Answer = Answer<OpResult>;

    fn decide(self, machine: &mut Coordination, at: Moment) -> Decision<Self::Answer, WatchEvent> {
        machine.write(at, |draft| draft.check(self))
    }
}

impl Command<Coordination> for SetData {
    type Answer = Answer<Stat>;

    fn decide(self, machine: &mut Coordination, at: Moment) -> Decision<Self::Answer, WatchEvent> {
        machine.write(at, |draft| draft.set_data(self))
    }
}

impl Command<Coordination> for Multi {
    type Answer = Answer<Vec<OpResult>, MultiError>;

    fn decide(self, machine: &mut Coordination, at: Moment) -> Decision<Self::Answer, WatchEvent> {
        let operation_count = self.0.len();
        let mut draft = Draft::new(&machine.tree, at.offset.0, at.wall);
        let checked: Result<Vec<_>, MultiError> = (0..)
            .zip(self.0)
            .map(|(index, operation)| {
                draft.check(operation).map_err(|code| MultiError {
                    index,
                    code,
                    operation_count,
                })
            })
            .collect();
        let (txns, result) = match checked {
            Ok(checked) => {
                let (txns, results) = checked.into_iter().unzip();
                (txns, Ok(results))
            }
            Err(error) => (error.codes().map(Txn::Error).collect(), Err(error)),
        };
        log(at, &Txn::Multi(txns), result)
    }
}

impl Command<Coordination> for GetData {
    type Answer = Answer<Data>;

    fn decide(self, machine: &mut Coordination, at: Moment) -> Decision<Self::Answer, WatchEvent> {
        let Self { path, watch } = self;
        read(at, || {
            let node = find(&machine.tree, &path)?;
            if let Some(watcher) = watch {
                machine.watches.watch_data(&path, watcher);
            }
            Ok(Data {
                data: node.data.clone(),
                stat: node.counters.stat(),
            })
        })
    }
}

impl Command<Coordination> for Exists {
    type Answer = Answer<Stat>;

    fn decide(self, machine: &mut Coordination, at: Moment) -> Decision<Self::Answer, WatchEvent> {
        let Self { path, watch } = self;
        read(at, || {
            path::validate(&path)?;
            // Before the look: a watch is also left where nothing is yet.
            if let Some(watcher) = watch {
                machine.watches.watch_data(&path, watcher);
            }
            Ok(find(&machine.tree, &path)?.counters.stat())
        })
    }
}

impl Command<Coordination> for GetChildren {
    type Answer = Answer<Children>;

    fn decide(self, machine: &mut Coordination, at: Moment) -> Decision<Self::Answer, WatchEvent> {
        let Self { path, watch } = self;
        read(at, || {
            let node = find(&machine.tree, &path)?;
            if let Some(watcher) = watch {
                machine.watches.watch_children(&path, watcher);
            }
            Ok(Children {
                names: node.children.iter().cloned().collect(),
                stat: node.counters.stat(),
            })
        })
    }
}

impl Command<Coordination> for Forget {
    type Answer = ();

    fn decide(self, machine: &mut Coordination, _at: Moment) -> Decision<(), WatchEvent> {
        machine.watches.forget(self.0);
        Decision::read(())
    }
}

impl Coordination {
    fn write<T>(
        &self,
        at: Moment,
        check: impl FnOnce(&mut Draft<'_>) -> Result<(Txn, T), ErrorCode>,
    ) -> Decision<Answer<T>, WatchEvent> {
        let (txn, result) = match check(&mut Draft::new(&self.tree, at.offset.0, at.wall)) {
            Ok((txn, result)) => (txn, Ok(result)),
            Err(code) => (Txn::Error(code.number()), Err(code)),
        };
        log(at, &txn, result)
    }
}

fn read<T>(
    at: Moment,
    look: impl FnOnce() -> Result<T, ErrorCode>,
) -> Decision<Answer<T>, WatchEvent> {
    Decision::read(Answer {
        zxid: at.offset.0 - 1,
        result: look(),
    })
}

fn find<'a>(tree: &'a Tree, path: &str) -> Result<&'a Node, ErrorCode> {
    path::validate(path)?;
    tree.get(path).ok_or(ErrorCode::NoNode)
}

fn log<T, E>(at: Moment, txn: &Txn, result: Result<T, E>) -> Decision<Answer<T, E>, WatchEvent> {
    let header = Header {
        client_id: OWN_SESSION,
        cxid: OWN_CXID,
        zxid: at.offset.0,
        time: at.wall,
    };
    let record = LogRecord {
        value: Some(txn::encode(&header, txn)),
        ..LogRecord::default()
    };
    let zxid = header.zxid;
    Decision::write(vec![record], Answer { zxid, result })
}
