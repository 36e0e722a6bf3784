//! The tree of znodes on its log, for callers that wait for an answer and for those that watch.
//!
//! ```text
//!  get, set, multi … ─▶ CoordinationTree ─▶ Driver<Coordination> ─▶ __coordination-0
//!                                                   │ watch events, in the order of the log
//!            Watcher ◀── mailbox (bounded) ◀────────┘
//! ```
//!
//! A watcher that does not empty its mailbox is cut off: its mailbox is closed, it sees the end of
//! its events, and has to read the tree again. Events are never dropped silently.
//!
//! The tree knows nothing of topics and brokers: which znodes there are is its user's business, as
//! with ZooKeeper. In this broker the user is the `controller`; a listener for ZooKeeper's clients
//! would be another one.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::Arc;

use brooklet_log::clock::Clock;
use brooklet_machines::Command;
use brooklet_machines::coordination::{
    Answer, Coordination, ErrorCode, Exists, Forget, GetChildren, GetData, Multi, Operation,
    SetData, Stat, WatchEvent, WatcherId,
};
use bytes::Bytes;
use parking_lot::Mutex;
use thiserror::Error;
use tokio::sync::mpsc;

use crate::driver::{Driver, DriverError};
use crate::partition::{Durability, Partition};

#[cfg(test)]
mod tests;

/// Events that wait for a watcher before it is cut off.
const MAILBOX_EVENTS_MAX: usize = 1024;

/// Why the tree does not do what it was asked.
#[derive(Debug, Error)]
pub enum TreeError {
    /// The tree refuses.
    #[error("{path}: {code}")]
    Refused {
        /// The path of the znode.
        path: String,
        /// Why.
        code: ErrorCode,
    },
    /// The log fails, or the broker is shutting down.
    #[error(transparent)]
    Driver(#[from] DriverError),
}

/// The tree of znodes on its log.
#[derive(Debug)]
pub struct CoordinationTree {
    driver: Arc<Driver<Coordination, Arc<Partition>>>,
    mailboxes: Arc<Mutex<Mailboxes>>,
}

#[derive(Debug, Default)]
struct Mailboxes {
    last_id: u64,
    by_watcher: HashMap<WatcherId, mpsc::Sender<WatchEvent>>,
}

impl Mailboxes {
    fn deliver(&mut self, event: WatchEvent) {
        let watcher = event.watcher;
        let sent = self.by_watcher.get(&watcher).map(|to| to.try_send(event));
        if let Some(Err(_)) = sent {
            self.by_watcher.remove(&watcher);
        }
    }
}

impl CoordinationTree {
    /// Replays the log of `DATA/__coordination-0`. Blocks.
    ///
    /// # Errors
    /// The log cannot be read or is not a coordination log.
    pub fn open(
        log: Arc<Partition>,
        clock: Arc<dyn Clock>,
        durability: Durability,
    ) -> Result<Arc<Self>, DriverError> {
        let mailboxes = Arc::new(Mutex::new(Mailboxes::default()));
        let delivered_to = Arc::clone(&mailboxes);
        let sink = Box::new(move |event| delivered_to.lock().deliver(event));
        let driver = Driver::open(Coordination::default(), log, clock, durability, sink)?;
        Ok(Arc::new(Self { driver, mailboxes }))
    }

    /// Runs a command; a refusal of the tree is part of the answer.
    ///
    /// # Errors
    /// The log fails.
    pub async fn submit<C: Command<Coordination>>(
        &self,
        command: C,
    ) -> Result<C::Answer, DriverError> {
        self.driver.submit(command).await
    }

    /// A new watcher, for the commands that take one.
    pub fn watcher(self: &Arc<Self>) -> Watcher {
        let (to, events) = mpsc::channel(MAILBOX_EVENTS_MAX);
        let mut mailboxes = self.mailboxes.lock();
        mailboxes.last_id += 1;
        let id = WatcherId(mailboxes.last_id);
        mailboxes.by_watcher.insert(id, to);
        Watcher {
            id,
            events,
            tree: Arc::clone(self),
        }
    }

    /// Replaces a znode's data if it has `version`.
    ///
    /// # Errors
    /// The tree refuses; the log fails.
    pub async fn set(
        &self,
        path: &str,
        data: Option<Bytes>,
        version: i32,
    ) -> Result<Stat, TreeError> {
        let set = SetData {
            path: path.into(),
            data,
            version,
        };
        accepted(path, self.submit(set).await?.result)
    }

    /// A znode's data.
    ///
    /// # Errors
    /// The tree refuses; the log fails.
    pub async fn get(
        &self,
        path: &str,
        watch: Option<WatcherId>,
    ) -> Result<(Option<Bytes>, Stat), TreeError> {
        let get = GetData {
            path: path.into(),
            watch,
        };
        let found = accepted(path, self.submit(get).await?.result)?;
        Ok((found.data, found.stat))
    }

    /// Whether there is a znode.
    ///
    /// # Errors
    /// The tree refuses; the log fails.
    pub async fn exists(&self, path: &str) -> Result<bool, TreeError> {
        let exists = Exists {
            path: path.into(),
            watch: None,
        };
        match self.submit(exists).await?.result {
            Err(ErrorCode::NoNode) => Ok(false),
            result => accepted(path, result).map(|_| true),
        }
    }

    /// The names of a znode's children, and the zxid of the last change that they show.
    ///
    /// # Errors
    /// The tree refuses; the log fails.
    pub async fn children(
        &self,
        path: &str,
        watch: Option<WatcherId>,
    ) -> Result<(Vec<String>, i64), TreeError> {
        let list = GetChildren {
            path: path.into(),
            watch,
        };
        let Answer { zxid, result } = self.submit(list).await?;
        Ok((accepted(path, result)?.names, zxid))
    }

    /// Runs all or none of `operations`; returns their zxid.
    ///
    /// # Errors
    /// The tree refuses an operation, whose path is in the error; the log fails.
    pub async fn multi(&self, operations: Vec<Operation>) -> Result<i64, TreeError> {
        let paths: Vec<_> = operations.iter().map(|o| o.path().to_owned()).collect();
        let Answer { zxid, result } = self.submit(Multi(operations)).await?;
        match result {
            Ok(_) => Ok(zxid),
            Err(error) => Err(TreeError::Refused {
                path: paths.into_iter().nth(error.index).unwrap_or_default(),
                code: error.code,
            }),
        }
    }
}

fn accepted<T>(path: &str, result: Result<T, ErrorCode>) -> Result<T, TreeError> {
    result.map_err(|code| TreeError::Refused {
        path: path.into(),
        code,
    })
}

/// A receiver of watch events. Its watches are removed when it is dropped.
#[derive(Debug)]
pub struct Watcher {
    id: WatcherId,
    events: mpsc::Receiver<WatchEvent>,
    tree: Arc<CoordinationTree>,
}

impl Watcher {
    /// Its id, for the commands that take a watcher.
    pub fn id(&self) -> WatcherId {
        self.id
    }

    /// The next event; `None` once the watcher was cut off because it was too slow.
    pub async fn next(&mut self) -> Option<WatchEvent> {
        self.events.recv().await
    }

    /// The next event, if there is one already.
    pub fn next_now(&mut self) -> Option<WatchEvent> {
        self.events.try_recv().ok()
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.tree.mailboxes.lock().by_watcher.remove(&self.id);
        self.tree.driver.soft(Forget(self.id));
    }
}
