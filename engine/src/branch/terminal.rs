//! The ends of branches: a topic, or a closure of the program.
//!
//! There are two more, which lead to keyed operators: [`crate::task::direct`] in the same task, and
//! [`crate::task::repartition`] through a topic. Those pass time on, so they also want to know
//! when stream time advanced without an item: that is what [`Terminal::after`] and
//! [`Terminal::batch_end`] are for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use brooklet_protocol::TopicName;
use bytes::Bytes;

use super::outbox::{OutRecord, Outbox};
use super::progress::Walk;
use super::{At, TaskInfo};
use crate::codec::Codec;

/// The end of a branch, running in one task.
pub trait Terminal<T>: Send + 'static {
    /// Takes an item. `key` is the source record's.
    fn accept(&mut self, at: &At, key: Option<&[u8]>, item: T, out: &mut Outbox);
    /// An input, with all its items, is done.
    fn after(&mut self, _at: &At, _out: &mut Outbox) {}
    /// A batch is done.
    fn batch_end(&mut self, _at: &At, _out: &mut Outbox) {}
    /// There is no input for now. Called between batches.
    fn idle(&mut self, _at: &At, _out: &mut Outbox) {}
    /// The input has ended.
    fn end(&mut self, _at: &At, _out: &mut Outbox) {}
    /// Visits what it remembers.
    #[doc(hidden)]
    fn walk(&mut self, _walk: &mut dyn Walk) {}
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
                tracing::error!(topic = %self.topic, %error, "record skipped: cannot be encoded");
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
