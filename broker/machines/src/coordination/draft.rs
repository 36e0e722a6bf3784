//! Checking operations before any of them happens.
//!
//! A draft is the tree with the counters of some znodes overridden. Each operation is checked
//! against the draft, so against the tree and all operations before it in the same multi, and
//! leaves there what it would change. The result is the transaction to log and the answer;
//! the draft itself is dropped. The tree does the same to its own counters in replay, by the
//! same functions of [`Counters`], so the answer holds.
//!
//! The order of the checks is ZooKeeper's: path, parent or znode, version, emptiness.

use std::collections::HashMap;

use brooklet_protocol::Timestamp;
use bytes::Bytes;

use super::command::{OpResult, Operation, SetData};
use super::stat::{Counters, Stat};
use super::tree::{BOOT_PATHS, Tree};
use super::txn::Txn;
use super::{ANY_VERSION, DATA_BYTES_MAX, ErrorCode, path};

/// The tree as it would be after the operations so far.
#[derive(Debug)]
pub(super) struct Draft<'a> {
    tree: &'a Tree,
    zxid: i64,
    time: Timestamp,
    /// `None` for a znode that is gone.
    changed: HashMap<String, Option<Counters>>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(tree: &'a Tree, zxid: i64, time: Timestamp) -> Self {
        Self {
            tree,
            zxid,
            time,
            changed: HashMap::new(),
        }
    }

    /// Checks one operation; a refused one leaves the draft as it was.
    pub(super) fn check(&mut self, operation: Operation) -> Result<(Txn, OpResult), ErrorCode> {
        match operation {
            Operation::Create {
                path,
                data,
                sequential,
            } => self.create(path, data, sequential),
            Operation::SetData(set) => {
                let (txn, stat) = self.set_data(set)?;
                Ok((txn, OpResult::DataSet(stat)))
            }
            Operation::Delete { path, version } => self.delete(path, version),
            Operation::Check { path, version } => self.check_version(path, version),
        }
    }

    fn create(
        &mut self,
        mut path: String,
        data: Option<Bytes>,
        sequential: bool,
    ) -> Result<(Txn, OpResult), ErrorCode> {
        check_size(data.as_deref())?;
        if sequential {
            // The number will stand where the 1 does, so a path may end in `/`.
            path::validate(&format!("{path}1"))?;
        } else {
            path::validate(&path)?;
        }
        let parent_path = path::parent(&path).to_owned();
        let mut parent = self.counters(&parent_path)?;
        if sequential {
            path = format!("{path}{:010}", parent.creates);
        }
        if self.counters(&path).is_ok() {
            return Err(ErrorCode::NodeExists);
        }
        if parent.ephemeral_owner != 0 {
            return Err(ErrorCode::NoChildrenForEphemerals);
        }
        let creates = parent.creates.wrapping_add(1);
        parent.child_created(self.zxid, creates);
        let created = Counters::created(self.zxid, self.time, data.as_deref(), 0);
        self.changed.insert(parent_path, Some(parent));
        self.changed.insert(path.clone(), Some(created));
        let result = OpResult::Created {
            path: path.clone(),
            stat: created.stat(),
        };
        let txn = Txn::Create {
            path,
            data,
            ephemeral: false,
            creates,
        };
        Ok((txn, result))
    }

    /// The same, of a write whose answer is a stat.
    pub(super) fn set_data(&mut self, set: SetData) -> Result<(Txn, Stat), ErrorCode> {
        let SetData {
            path,
            data,
            version,
        } = set;
        check_size(data.as_deref())?;
        path::validate(&path)?;
        let mut node = self.counters(&path)?;
        expect_version(&node, version)?;
        let version = node.next_version();
        node.set_data(self.zxid, self.time, data.as_deref(), version);
        self.changed.insert(path.clone(), Some(node));
        let txn = Txn::SetData {
            path,
            data,
            version,
        };
        Ok((txn, node.stat()))
    }

    fn delete(&mut self, path: String, version: i32) -> Result<(Txn, OpResult), ErrorCode> {
        path::validate(&path)?;
        if BOOT_PATHS.contains(&path.as_str()) {
            return Err(ErrorCode::BadArguments);
        }
        let node = self.counters(&path)?;
        expect_version(&node, version)?;
        if node.num_children > 0 {
            return Err(ErrorCode::NotEmpty);
        }
        let parent_path = path::parent(&path).to_owned();
        let mut parent = self.counters(&parent_path)?;
        parent.child_deleted(self.zxid);
        self.changed.insert(parent_path, Some(parent));
        self.changed.insert(path.clone(), None);
        Ok((Txn::Delete { path }, OpResult::Deleted))
    }

    fn check_version(&self, path: String, version: i32) -> Result<(Txn, OpResult), ErrorCode> {
        path::validate(&path)?;
        let node = self.counters(&path)?;
        expect_version(&node, version)?;
        let version = node.next_version();
        Ok((Txn::Check { path, version }, OpResult::Checked))
    }

    fn counters(&self, path: &str) -> Result<Counters, ErrorCode> {
        let found = match self.changed.get(path) {
            Some(changed) => *changed,
            None => self.tree.get(path).map(|node| node.counters),
        };
        found.ok_or(ErrorCode::NoNode)
    }
}

fn expect_version(node: &Counters, expected: i32) -> Result<(), ErrorCode> {
    if expected == ANY_VERSION || expected == node.version {
        Ok(())
    } else {
        Err(ErrorCode::BadVersion)
    }
}

/// ZooKeeper closes the connection of a client that sends more; a caller in the process gets an
/// answer.
fn check_size(data: Option<&[u8]>) -> Result<(), ErrorCode> {
    if data.map_or(0, <[u8]>::len) <= DATA_BYTES_MAX {
        Ok(())
    } else {
        Err(ErrorCode::BadArguments)
    }
}
