//! Where items of a stage leave it: the terminals, and the ports of a window operator.
//!
//! ```text
//! source ──▶ ops ──▶ terminal            a branch of a source
//! operator ──port──▶ ops ──▶ terminal    a branch of an operator's port; a port has any number
//! ```
//!
//! A terminal takes items; some (those that send time onward) also want to know when stream time
//! advanced without an item, which is what [`Terminal::after`] and [`Terminal::batch_end`] are for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use brooklet_protocol::TopicName;
use bytes::Bytes;

use crate::codec::Codec;
use crate::outbox::{OutRecord, Outbox};
use crate::task::{At, TaskInfo};

/// The end of a branch, running in one task.
pub trait Terminal<T>: Send + 'static {
    /// Takes an item. `key` is the source record's.
    fn accept(&mut self, at: &At, key: Option<&[u8]>, item: T, out: &mut Outbox);
    /// An input, with all its items, is done.
    fn after(&mut self, _at: &At, _out: &mut Outbox) {}
    /// A batch is done.
    fn batch_end(&mut self, _at: &At, _out: &mut Outbox) {}
    /// The input has nothing for now. Comes between batches.
    fn idle(&mut self, _at: &At, _out: &mut Outbox) {}
    /// The input has ended.
    fn end(&mut self, _at: &At, _out: &mut Outbox) {}
}

/// Makes a terminal for each task.
pub trait TerminalSpec<T>: Send + 'static {
    /// Whether it wants to know about stream time without items.
    const WANTS_TIME: bool;
    /// The terminal.
    type Running: Terminal<T>;
    /// Makes the terminal of this task.
    fn open(&self, info: &TaskInfo) -> Self::Running;
}

/// Writes items to a topic.
#[derive(Clone)]
pub(crate) struct ToTopic<F, C> {
    pub(crate) topic: TopicName,
    pub(crate) key: F,
    pub(crate) codec: C,
    pub(crate) unencodable: Arc<AtomicU64>,
}

impl<T, F, C> Terminal<T> for ToTopic<F, C>
where
    F: FnMut(&T) -> Option<Bytes> + Send + 'static,
    C: Codec<T>,
{
    fn accept(&mut self, at: &At, _key: Option<&[u8]>, item: T, out: &mut Outbox) {
        let value = match self.codec.encode(&item) {
            Ok(value) => value,
            Err(error) => {
                self.unencodable.fetch_add(1, Relaxed);
                tracing::error!(topic = %self.topic, %error, "a result cannot be encoded");
                return;
            }
        };
        let record = OutRecord {
            topic: self.topic.clone(),
            partition: None,
            timestamp: at.event_time,
            key: (self.key)(&item),
            value: Some(value),
            origin: None,
        };
        out.push(at.step, record);
    }
}

impl<T, F, C> TerminalSpec<T> for ToTopic<F, C>
where
    F: FnMut(&T) -> Option<Bytes> + Clone + Send + 'static,
    C: Codec<T>,
{
    const WANTS_TIME: bool = false;
    type Running = Self;
    fn open(&self, _: &TaskInfo) -> Self {
        self.clone()
    }
}

/// Hands items to a closure.
#[derive(Clone)]
pub(crate) struct ForEach<F>(pub(crate) F);

impl<T, F: FnMut(T) + Send + 'static> Terminal<T> for ForEach<F> {
    fn accept(&mut self, _at: &At, _key: Option<&[u8]>, item: T, _out: &mut Outbox) {
        (self.0)(item);
    }
}

impl<T, F: FnMut(T) + Clone + Send + 'static> TerminalSpec<T> for ForEach<F> {
    const WANTS_TIME: bool = false;
    type Running = Self;
    fn open(&self, _: &TaskInfo) -> Self {
        self.clone()
    }
}

/// Items in the order of their causes; `None` is stream time that advanced without an item.
pub(crate) type Items<T> = Vec<(At, Option<T>)>;

/// One fused chain from a port to one terminal.
pub(crate) trait PortBranch<T>: Send {
    fn run(&mut self, items: Items<T>, at: &At, out: &mut Outbox);
    fn idle(&mut self, at: &At, out: &mut Outbox);
    fn end(&mut self, at: &At, out: &mut Outbox);
    fn wants_time(&self) -> bool;
}

/// Collects an operator's items and hands them, batch by batch, to the branches.
pub(crate) struct Port<T> {
    branches: Vec<Box<dyn PortBranch<T>>>,
    wants_time: bool,
    items: Items<T>,
}

impl<T: Clone> Port<T> {
    pub(crate) fn new(branches: Vec<Box<dyn PortBranch<T>>>) -> Self {
        Self {
            wants_time: branches.iter().any(|branch| branch.wants_time()),
            branches,
            items: Vec::new(),
        }
    }

    /// Whether anybody listens: if not, the items need not be made.
    pub(crate) fn is_wanted(&self) -> bool {
        !self.branches.is_empty()
    }

    pub(crate) fn emit(&mut self, at: At, item: T) {
        self.items.push((at, Some(item)));
    }

    pub(crate) fn advance(&mut self, at: At) {
        if self.wants_time {
            self.items.push((at, None));
        }
    }

    pub(crate) fn flush(&mut self, at: &At, out: &mut Outbox) {
        let items = std::mem::take(&mut self.items);
        let Some((last, others)) = self.branches.split_last_mut() else {
            return;
        };
        for branch in others {
            branch.run(items.clone(), at, out);
        }
        last.run(items, at, out);
    }

    pub(crate) fn idle(&mut self, at: &At, out: &mut Outbox) {
        for branch in &mut self.branches {
            branch.idle(at, out);
        }
    }

    pub(crate) fn end(&mut self, at: &At, out: &mut Outbox) {
        for branch in &mut self.branches {
            branch.end(at, out);
        }
    }
}
