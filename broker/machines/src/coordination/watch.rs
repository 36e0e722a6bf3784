//! Watches: which watchers learn of the next change.
//!
//! There are two kinds. A *data* watch is left by reading a znode's data or by asking whether it
//! exists (also where there is none yet); a *child* watch by listing children. Each fires once.
//!
//! | change of `/p/n` | data watches of `/p/n` | child watches of `/p/n` | child watches of `/p` |
//! |---|---|---|---|
//! | create | `Created` | – | `ChildrenChanged` |
//! | setData | `DataChanged` | – | – |
//! | delete | `Deleted` | `Deleted`, once per watcher | `ChildrenChanged` |
//!
//! Watches are soft state: they are neither logged nor replayed, and end with the process.

use std::collections::{BTreeSet, HashMap};

use super::path;

/// The receiver of watch events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WatcherId(pub u64);

/// What has happened to a znode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WatchKind {
    /// It was created.
    Created,
    /// It was deleted.
    Deleted,
    /// Its data was replaced.
    DataChanged,
    /// A child came or went.
    ChildrenChanged,
}

/// A watch that fires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchEvent {
    /// Its receiver.
    pub watcher: WatcherId,
    /// What happened to it.
    pub kind: WatchKind,
    /// The znode.
    pub path: String,
    /// The change's zxid.
    pub zxid: i64,
}

/// The watchers of each path.
#[derive(Debug, Default)]
struct Table {
    by_path: HashMap<String, BTreeSet<WatcherId>>,
}

impl Table {
    fn add(&mut self, path: &str, watcher: WatcherId) {
        self.by_path.entry(path.into()).or_default().insert(watcher);
    }

    fn take(&mut self, path: &str) -> BTreeSet<WatcherId> {
        self.by_path.remove(path).unwrap_or_default()
    }

    fn forget(&mut self, watcher: WatcherId) {
        self.by_path.retain(|_, watchers| {
            watchers.remove(&watcher);
            !watchers.is_empty()
        });
    }
}

/// All watches.
#[derive(Debug, Default)]
pub(super) struct Watches {
    data: Table,
    child: Table,
}

impl Watches {
    pub(super) fn watch_data(&mut self, path: &str, watcher: WatcherId) {
        self.data.add(path, watcher);
    }

    pub(super) fn watch_children(&mut self, path: &str, watcher: WatcherId) {
        self.child.add(path, watcher);
    }

    /// Removes all watches of one watcher.
    pub(super) fn forget(&mut self, watcher: WatcherId) {
        self.data.forget(watcher);
        self.child.forget(watcher);
    }

    /// Removes and fires the watches that a change of `changed` fires.
    pub(super) fn fire(&mut self, zxid: i64, kind: WatchKind, changed: &str) -> Vec<WatchEvent> {
        let mut watchers = self.data.take(changed);
        if kind == WatchKind::Deleted {
            watchers.extend(self.child.take(changed));
        }
        let parent_watchers = match kind {
            WatchKind::Created | WatchKind::Deleted => self.child.take(path::parent(changed)),
            WatchKind::DataChanged | WatchKind::ChildrenChanged => BTreeSet::new(),
        };
        let event = |kind, path: &str, watcher| WatchEvent {
            watcher,
            kind,
            path: path.into(),
            zxid,
        };
        let of_node = watchers.into_iter().map(|w| event(kind, changed, w));
        let of_parent = parent_watchers
            .into_iter()
            .map(|w| event(WatchKind::ChildrenChanged, path::parent(changed), w));
        of_node.chain(of_parent).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::WatchKind::{ChildrenChanged, Created, DataChanged, Deleted};
    use super::*;

    const DATA: WatcherId = WatcherId(1);
    const CHILD: WatcherId = WatcherId(2);
    const BOTH: WatcherId = WatcherId(3);
    const PARENT: WatcherId = WatcherId(4);

    fn watched() -> Watches {
        let mut watches = Watches::default();
        watches.watch_data("/p/n", DATA);
        watches.watch_children("/p/n", CHILD);
        watches.watch_data("/p/n", BOTH);
        watches.watch_children("/p/n", BOTH);
        watches.watch_children("/p", PARENT);
        watches
    }

    fn fired(watches: &mut Watches, kind: WatchKind) -> Vec<(WatcherId, WatchKind, String)> {
        let events = watches.fire(7, kind, "/p/n");
        assert!(events.iter().all(|e| e.zxid == 7));
        let row = |e: WatchEvent| (e.watcher, e.kind, e.path);
        events.into_iter().map(row).collect()
    }

    #[test]
    fn each_change_fires_its_row_of_the_table() {
        let node = |watcher, kind| (watcher, kind, "/p/n".to_owned());
        let parent = (PARENT, ChildrenChanged, "/p".to_owned());
        let rows = [
            (
                Created,
                vec![node(DATA, Created), node(BOTH, Created), parent.clone()],
            ),
            (
                DataChanged,
                vec![node(DATA, DataChanged), node(BOTH, DataChanged)],
            ),
            (
                Deleted,
                vec![
                    node(DATA, Deleted),
                    node(CHILD, Deleted),
                    node(BOTH, Deleted),
                    parent,
                ],
            ),
        ];
        for (kind, expected) in rows {
            let mut watches = watched();
            assert_eq!(fired(&mut watches, kind), expected);
            assert_eq!(fired(&mut watches, kind), [], "{kind:?} fires once");
        }
    }

    #[test]
    fn a_forgotten_watcher_gets_no_event() {
        let mut watches = watched();
        for watcher in [DATA, BOTH, PARENT] {
            watches.forget(watcher);
        }
        assert_eq!(
            fired(&mut watches, Deleted),
            [(CHILD, Deleted, "/p/n".to_owned())]
        );
    }
}
