//! The coordination tree, for callers who wait and for those who watch.
//!
//! ```text
//!  controller ─ get, set, multi … ─▶ Driver<Coordination> ─▶ __coordination-0
//!       ▲                                     │ watch events, in the order of the log
//!       └── Watcher ◀── mailbox (bounded) ◀───┘
//! ```
//!
//! A watcher that does not empty its mailbox is cut off: its mailbox is closed, it sees the end of
//! its events, and has to look at the tree afresh. Events are never dropped silently.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::Arc;

use brooklet_log::clock::Clock;
use brooklet_machines::coordination::{
    Answer, Command, Coordination, ErrorCode, OpResult, Operation, Reply, Stat, WatchEvent,
    WatcherId,
};
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::ControllerError;
use crate::driver::{Driver, DriverError};
use crate::partition::{Durability, Partition};

/// Events that wait for a watcher before it is cut off.
const MAILBOX_EVENTS_MAX: usize = 1024;

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

    /// Asks the tree; its own refusal is part of the answer.
    ///
    /// # Errors
    /// The log.
    pub async fn submit(&self, command: Command) -> Result<Answer, DriverError> {
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
    /// The tree's refusal; the log.
    pub async fn set(
        &self,
        path: &str,
        data: Option<Bytes>,
        version: i32,
    ) -> Result<Stat, ControllerError> {
        let operation = Operation::SetData {
            path: path.into(),
            data,
            version,
        };
        match self.ask(path, Command::Write(operation)).await?.1 {
            Reply::Written(OpResult::DataSet(stat)) => Ok(stat),
            other => unreachable!("a set was answered with {other:?}"),
        }
    }

    /// A znode's data.
    ///
    /// # Errors
    /// The tree's refusal; the log.
    pub async fn get(
        &self,
        path: &str,
        watch: Option<WatcherId>,
    ) -> Result<(Option<Bytes>, Stat), ControllerError> {
        let command = Command::GetData {
            path: path.into(),
            watch,
        };
        match self.ask(path, command).await?.1 {
            Reply::Data { data, stat } => Ok((data, stat)),
            other => unreachable!("a read was answered with {other:?}"),
        }
    }

    /// Whether there is a znode.
    ///
    /// # Errors
    /// The tree's refusal; the log.
    pub async fn exists(&self, path: &str) -> Result<bool, ControllerError> {
        let command = Command::Exists {
            path: path.into(),
            watch: None,
        };
        match self.ask(path, command).await {
            Ok(_) => Ok(true),
            Err(ControllerError::Tree {
                code: ErrorCode::NoNode,
                ..
            }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The names of a znode's children, and the zxid of the last change they show.
    ///
    /// # Errors
    /// The tree's refusal; the log.
    pub async fn children(
        &self,
        path: &str,
        watch: Option<WatcherId>,
    ) -> Result<(Vec<String>, i64), ControllerError> {
        let command = Command::GetChildren {
            path: path.into(),
            watch,
        };
        match self.ask(path, command).await? {
            (zxid, Reply::Children { names, .. }) => Ok((names, zxid)),
            other => unreachable!("a listing was answered with {other:?}"),
        }
    }

    /// All or none of `operations`; gives their zxid.
    ///
    /// # Errors
    /// The refusal of the operation at fault, with its path; the log.
    pub async fn multi(&self, operations: Vec<Operation>) -> Result<i64, ControllerError> {
        let paths: Vec<_> = operations.iter().map(|o| o.path().to_owned()).collect();
        match self.ask("", Command::Multi(operations)).await? {
            (zxid, Reply::Multi(Ok(_))) => Ok(zxid),
            (_, Reply::Multi(Err(error))) => Err(ControllerError::Tree {
                path: paths.into_iter().nth(error.index).unwrap_or_default(),
                code: error.code,
            }),
            other => unreachable!("a multi was answered with {other:?}"),
        }
    }

    async fn ask(&self, path: &str, command: Command) -> Result<(i64, Reply), ControllerError> {
        let answer = self.submit(command).await?;
        let refused = |code| ControllerError::Tree {
            path: path.into(),
            code,
        };
        Ok((answer.zxid, answer.result.map_err(refused)?))
    }
}

/// A create of a znode that stays, under exactly this path.
pub(super) fn create(path: &str, data: Option<Bytes>) -> Operation {
    Operation::Create {
        path: path.into(),
        data,
        sequential: false,
    }
}

/// A receiver of watch events. Dropped, it takes back its watches.
#[derive(Debug)]
pub struct Watcher {
    id: WatcherId,
    events: mpsc::Receiver<WatchEvent>,
    tree: Arc<CoordinationTree>,
}

impl Watcher {
    /// Names it in a command.
    pub fn id(&self) -> WatcherId {
        self.id
    }

    /// The next event; `None` once the watcher was cut off because it was too slow.
    pub async fn next(&mut self) -> Option<WatchEvent> {
        self.events.recv().await
    }

    /// The next event, if it is there already.
    pub fn next_now(&mut self) -> Option<WatchEvent> {
        self.events.try_recv().ok()
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.tree.mailboxes.lock().by_watcher.remove(&self.id);
        self.tree.driver.soft(Command::Forget(self.id));
    }
}
