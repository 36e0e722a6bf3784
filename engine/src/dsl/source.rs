//! The beginning of a stream: from a record's bytes to a value with an event time.
//!
//! What cannot be used is skipped and counted, with its offset in the log line and in the hook, and
//! the run goes on: a value that does not decode, no value at all, an impossible event time.

use std::fmt;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use brooklet_protocol::Timestamp;

use super::stream::{Root, Stream};
use crate::branch::At;
use crate::branch::ops::{Identity, Ops};
use crate::branch::terminal::TerminalSpec;
use crate::codec::Codec;
use crate::metrics::{SourceCounters, SourceCounts};
use crate::task::event_time::{ByBoth, ByEvent, ByRecord, EventTime};
use crate::task::malformed::{Future, FutureHook, Malformed, MalformedHook, Skipped};
use crate::task::source::{Chain, FromSource};
use crate::task::stream_time::StreamTime;
use crate::topology::describe::{NodeId, What};
use crate::topology::{Registry, Shared, SourceFactory, StageId};

/// The root of a stream that reads a topic.
pub struct SourceRoot<T, C, E> {
    shared: Shared,
    /// `None` if the topic's name is illegal, which is reported when the program runs.
    index: Option<usize>,
    codec: C,
    event_time: E,
    counters: Arc<SourceCounters>,
    hook: Option<MalformedHook>,
    future_hook: Option<FutureHook>,
    jump_max: Option<Duration>,
    /// Whether a branch counts already: each record is counted once, however many branches.
    is_counted: Arc<AtomicBool>,
    /// Its step of the plan, made when it is first used.
    node: Arc<OnceLock<NodeId>>,
    item: PhantomData<fn() -> T>,
}

impl<T, C: Clone, E: Clone> Clone for SourceRoot<T, C, E> {
    fn clone(&self) -> Self {
        Self {
            node: Arc::clone(&self.node),
            ..self.with_event_time(self.event_time.clone())
        }
    }
}

impl<T, C, E> fmt::Debug for SourceRoot<T, C, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SourceRoot({:?})", self.index)
    }
}

impl<T, C> SourceRoot<T, C, ByRecord> {
    pub(super) fn new(
        shared: Shared,
        index: Option<usize>,
        codec: C,
        counters: Arc<SourceCounters>,
    ) -> Self {
        Self {
            shared,
            index,
            codec,
            event_time: ByRecord,
            counters,
            hook: None,
            future_hook: None,
            jump_max: None,
            is_counted: Arc::default(),
            node: Arc::default(),
            item: PhantomData,
        }
    }
}

impl<T, C: Clone, E> SourceRoot<T, C, E> {
    fn with_event_time<F>(&self, event_time: F) -> SourceRoot<T, C, F> {
        SourceRoot {
            shared: Arc::clone(&self.shared),
            index: self.index,
            codec: self.codec.clone(),
            event_time,
            counters: Arc::clone(&self.counters),
            hook: self.hook.clone(),
            future_hook: self.future_hook.clone(),
            jump_max: self.jump_max,
            is_counted: Arc::clone(&self.is_counted),
            node: Arc::default(),
            item: PhantomData,
        }
    }

    pub(super) fn counters(&self) -> &Arc<SourceCounters> {
        &self.counters
    }
}

impl<T: Send + 'static, C: Codec<T>> Stream<SourceRoot<T, C, ByRecord>, Identity> {
    /// Takes event time from the value. It is a property of the source, so that time advances with
    /// everything that is read, also with what later steps filter out.
    pub fn event_time<F>(self, event_time: F) -> Stream<SourceRoot<T, C, ByEvent<F>>, Identity>
    where
        F: FnMut(&T) -> Timestamp + Clone + Send + 'static,
    {
        Stream::new(self.root.with_event_time(ByEvent(event_time)))
    }

    /// As [`Stream::event_time`], from the value and its record's timestamp. A value for which the
    /// closure has no time is skipped, and counted with those of impossible times.
    pub fn try_event_time<F>(self, event_time: F) -> Stream<SourceRoot<T, C, ByBoth<F>>, Identity>
    where
        F: FnMut(&T, Timestamp) -> Result<Timestamp, String> + Clone + Send + 'static,
    {
        Stream::new(self.root.with_event_time(ByBoth(event_time)))
    }
}

impl<T: Send + 'static, C: Codec<T>, E: EventTime<T>> Stream<SourceRoot<T, C, E>, Identity> {
    /// Calls a closure with each record that is skipped.
    pub fn on_malformed(mut self, hook: impl Fn(&Malformed<'_>) + Send + Sync + 'static) -> Self {
        self.root.hook = Some(Arc::new(hook));
        self
    }

    /// Keeps one record from the far future from making everything after it late: a record that is
    /// further ahead of stream time than this moves it only once a second one, at another offset,
    /// confirms it. Without it every record moves stream time.
    pub fn max_jump(mut self, jump: Duration) -> Self {
        self.root.jump_max = Some(jump);
        self
    }

    /// Calls a closure with each record that is further ahead than [`Stream::max_jump`] allows.
    pub fn on_future(mut self, hook: impl Fn(&Future) + Send + Sync + 'static) -> Self {
        self.root.future_hook = Some(Arc::new(hook));
        self
    }
}

impl<T: Send + 'static, C: Codec<T>, E: EventTime<T>> Root for SourceRoot<T, C, E> {
    type Item = T;

    fn shared(&self) -> &Shared {
        &self.shared
    }

    fn stage(&self) -> StageId {
        StageId::Source(self.index.unwrap_or(usize::MAX))
    }

    fn origin(&self, registry: &mut Registry) -> Option<(NodeId, &'static str)> {
        let topic = registry.sources[self.index?].topic.clone();
        let what = What::Source {
            topic,
            time: E::FROM,
        };
        let node = self
            .node
            .get_or_init(|| registry.node(None, Vec::new(), what));
        Some((*node, ""))
    }

    fn attach<U, O: Ops<Self::Item, Out = U>, Z: TerminalSpec<U>>(self, ops: O, terminal: Z) {
        let Some(index) = self.index else {
            return;
        };
        let is_counting = !self.is_counted.swap(true, Relaxed);
        let (codec, event_time) = (self.codec, self.event_time);
        let (counters, hook) = (self.counters, self.hook);
        let (future_hook, jump_max) = (self.future_hook, self.jump_max);
        let branch: SourceFactory = Box::new(move |info| {
            let chain = Chain {
                event_time: event_time.clone(),
                ops: ops.clone(),
                terminal: terminal.open(info),
                at: At::START,
                stream_time: StreamTime::new(jump_max),
                skipped: Skipped {
                    partition: info.partition,
                    counts: SourceCounts::default(),
                    counters: is_counting.then(|| Arc::clone(&counters)),
                    hook: hook.clone(),
                    future_hook: future_hook.clone(),
                },
            };
            Box::new(FromSource::new(codec.clone(), chain))
        });
        self.shared.lock().sources[index].branches.push(branch);
    }
}
