//! The znodes, and what a transaction does to them.
//!
//! Every znode stands in one map under its full path, and knows the names of its children, sorted.
//! Nothing is checked here: a transaction was validated before it was logged, so one that does not
//! fit means that another program wrote the log.

use std::collections::{BTreeSet, HashMap};

use bytes::Bytes;
use thiserror::Error;

use super::path;
use super::stat::Counters;
use super::txn::{Header, Txn};
use super::watch::WatchKind;

/// The znodes that every tree has from the start; they cannot be deleted.
pub(super) const BOOT_PATHS: [&str; 4] =
    ["/", "/zookeeper", "/zookeeper/config", "/zookeeper/quota"];

/// A transaction that does not fit the tree.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(super) enum Misfit {
    #[error("znode {0} is missing")]
    Missing(String),
    #[error("znode {0} already exists")]
    Present(String),
    #[error("znode {0} to be deleted has children")]
    Parent(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    /// Null is not empty.
    pub(super) data: Option<Bytes>,
    pub(super) children: BTreeSet<String>,
    pub(super) counters: Counters,
}

impl Node {
    fn new(data: Option<Bytes>, counters: Counters) -> Self {
        Self {
            data,
            children: BTreeSet::new(),
            counters,
        }
    }
}

/// What happened to which path, in order.
type Changes = Vec<(WatchKind, String)>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tree {
    nodes: HashMap<String, Node>,
}

impl Tree {
    /// The boot znodes. Nobody created them, so no counter has counted them: `/` has
    /// one child, no creates and thus cversion -1, as in ZooKeeper.
    pub(super) fn new() -> Self {
        let mut tree = Self {
            nodes: HashMap::new(),
        };
        for path in BOOT_PATHS {
            let node = Node::new(Some(Bytes::new()), Counters::default());
            tree.nodes.insert(path.into(), node);
            if path != "/" {
                let parent = tree.nodes.get_mut(path::parent(path));
                let parent = parent.expect("boot paths stand in order");
                parent.children.insert(path::name(path).into());
                parent.counters.num_children += 1;
            }
        }
        tree
    }

    pub(super) fn get(&self, path: &str) -> Option<&Node> {
        self.nodes.get(path)
    }

    /// Applies a transaction. A misfit leaves a multi half applied: the tree must not be used then.
    pub(super) fn apply(&mut self, header: &Header, txn: Txn) -> Result<Changes, Misfit> {
        match txn {
            Txn::Create {
                path,
                data,
                ephemeral,
                creates,
            } => {
                let owner = if ephemeral { header.client_id } else { 0 };
                let counters = Counters::created(header.zxid, header.time, data.as_deref(), owner);
                self.create(Node::new(data, counters), path, creates)
            }
            Txn::Delete { path } => self.delete(header.zxid, path),
            Txn::SetData {
                path,
                data,
                version,
            } => {
                let node = self.node(&path)?;
                let counters = &mut node.counters;
                counters.set_data(header.zxid, header.time, data.as_deref(), version);
                node.data = data;
                Ok(vec![(WatchKind::DataChanged, path)])
            }
            Txn::Check { .. } | Txn::Error(_) => Ok(Vec::new()),
            Txn::Multi(txns) => {
                let changes = txns.into_iter().map(|txn| self.apply(header, txn));
                Ok(changes.collect::<Result<Vec<_>, _>>()?.concat())
            }
        }
    }

    fn create(&mut self, node: Node, path: String, creates: i32) -> Result<Changes, Misfit> {
        if self.nodes.contains_key(&path) {
            return Err(Misfit::Present(path));
        }
        let parent = self.node(path::parent(&path))?;
        parent.children.insert(path::name(&path).into());
        parent.counters.child_created(node.counters.czxid, creates);
        self.nodes.insert(path.clone(), node);
        Ok(vec![(WatchKind::Created, path)])
    }

    fn delete(&mut self, zxid: i64, path: String) -> Result<Changes, Misfit> {
        match self.nodes.get(&path) {
            Some(node) if node.children.is_empty() => {}
            Some(_) => return Err(Misfit::Parent(path)),
            None => return Err(Misfit::Missing(path)),
        }
        let parent = self.node(path::parent(&path))?;
        parent.children.remove(path::name(&path));
        parent.counters.child_deleted(zxid);
        self.nodes.remove(&path);
        Ok(vec![(WatchKind::Deleted, path)])
    }

    fn node(&mut self, path: &str) -> Result<&mut Node, Misfit> {
        let node = self.nodes.get_mut(path);
        node.ok_or_else(|| Misfit::Missing(path.into()))
    }
}
