//! A stream: a root, and the steps so far.
//!
//! ```text
//!  app.stream("in", json()) .map(f)      .filter(g)      .to("out", …)
//!  root: SourceRoot          ops: Map<…>  ops: Filter<…>  terminal: ToTopic ──▶ a branch
//! ```
//!
//! A handle runs nothing. Each step wraps the steps before it in one more type, and a terminal
//! (`to`, `for_each`, `key_by`) hands them to the root, which keeps a recipe: how each task makes
//! its own copy of the branch. The recipes stand in the [`Registry`](crate::topology::Registry) for
//! sources, and beside the operator for ports ([`PortRoot`]).
//!
//! A clone of a stream shares the root and copies the steps, so a stream with two terminals is two
//! branches, each with its own copy of the closures.
//!
//! Mistakes (a topic's name that is illegal, a name that is used twice) are kept and reported when
//! the program is run.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use super::keyed::KeyedStream;
use crate::branch::TaskInfo;
use crate::branch::ops::{Filter, FlatMap, Identity, Map, Ops};
use crate::branch::port::{FromPort, PortBranch};
use crate::branch::terminal::{ForEach, TerminalSpec, ToTopic};
use crate::codec::Codec;
use crate::key::Key;
use crate::operator::Operators;
use crate::task::Task;
use crate::task::repartition::{KeyBy, Receiver};
use crate::topology::describe::{NodeId, What};
use crate::topology::{Registry, RepartitionNode, Shared, StageId};

/// Where a stream begins: a topic, or an operator's port.
pub trait Root: Clone + Send + 'static {
    /// The items of the stream.
    type Item: Send + 'static;
    #[doc(hidden)]
    fn shared(&self) -> &Shared;
    #[doc(hidden)]
    fn stage(&self) -> StageId;
    #[doc(hidden)]
    fn origin(&self, registry: &mut Registry) -> Option<(NodeId, &'static str)>;
    #[doc(hidden)]
    fn attach<U, O: Ops<Self::Item, Out = U>, Z: TerminalSpec<U>>(self, ops: O, terminal: Z);
}

/// A stream of values. Clone it to use it twice.
#[derive(Clone)]
#[must_use = "a stream does nothing until it ends in `to`, `for_each` or a window"]
pub struct Stream<R, O> {
    pub(super) root: R,
    pub(super) ops: O,
}

impl<R: fmt::Debug, O: fmt::Debug> fmt::Debug for Stream<R, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} -> {:?}", self.root, self.ops)
    }
}

impl<R> Stream<R, Identity> {
    pub(super) fn new(root: R) -> Self {
        Self {
            root,
            ops: Identity,
        }
    }
}

/// The name of a repartition, and optionally its number of partitions.
#[derive(Clone, Debug)]
pub struct Repartition {
    name: String,
    partitions: Option<i32>,
}

impl Repartition {
    /// As many partitions as the stream has tasks.
    pub fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            partitions: None,
        }
    }

    /// This many partitions. Results do not depend on it.
    pub fn partitions(mut self, count: i32) -> Self {
        self.partitions = Some(count);
        self
    }
}

impl From<&str> for Repartition {
    fn from(name: &str) -> Self {
        Self::named(name)
    }
}

impl<R: Root, O: Ops<R::Item>> Stream<R, O> {
    /// Makes one value of each.
    pub fn map<U, F>(self, f: F) -> Stream<R, Map<O, F>>
    where
        F: FnMut(O::Out) -> U + Clone + Send + 'static,
        U: 'static,
    {
        let Self { root, ops: before } = self;
        let ops = Map { before, f };
        Stream { root, ops }
    }

    /// Keeps the values that pass the test.
    pub fn filter<F>(self, f: F) -> Stream<R, Filter<O, F>>
    where
        F: FnMut(&O::Out) -> bool + Clone + Send + 'static,
    {
        let Self { root, ops: before } = self;
        let ops = Filter { before, f };
        Stream { root, ops }
    }

    /// Makes any number of values of each.
    pub fn flat_map<I, F>(self, f: F) -> Stream<R, FlatMap<O, F>>
    where
        F: FnMut(O::Out) -> I + Clone + Send + 'static,
        I: IntoIterator,
        I::Item: 'static,
    {
        let Self { root, ops: before } = self;
        let ops = FlatMap { before, f };
        Stream { root, ops }
    }

    /// Writes each value to a topic, with its event time as the record's timestamp; the runtime
    /// creates the topic if it is missing. The order within a partition is that of the task that
    /// writes; when several tasks write to one partition, theirs interleave as they come.
    pub fn to<F, C>(self, topic: &str, key: F, codec: C)
    where
        F: FnMut(&O::Out) -> Option<Bytes> + Clone + Send + 'static,
        C: Codec<O::Out>,
    {
        let mut registry = self.root.shared().lock();
        let Some(topic) = registry.topic(topic) else {
            return;
        };
        registry.sinks.insert(topic.clone());
        let what = What::To(topic.clone());
        let origin = self.root.origin(&mut registry);
        registry.node(origin, self.ops.names(), what);
        let unencodable = registry.metrics.unencodable();
        drop(registry);
        let to = ToTopic {
            topic,
            key,
            codec,
            unencodable,
        };
        self.root.attach(self.ops, to);
    }

    /// Calls a closure with each value, in the order of the task; each task has its own copy of it.
    pub fn for_each<F>(self, f: F)
    where
        F: FnMut(O::Out) + Clone + Send + 'static,
    {
        let mut registry = self.root.shared().lock();
        let origin = self.root.origin(&mut registry);
        registry.node(origin, self.ops.names(), What::ForEach);
        drop(registry);
        self.root.attach(self.ops, ForEach(f));
    }

    /// Groups by a new key, through the topic `APP-NAME-repartition`: values of equal key meet in
    /// one task.
    pub fn key_by<K, F, C>(
        self,
        repartition: impl Into<Repartition>,
        key: F,
        codec: C,
    ) -> KeyedStream<K, O::Out>
    where
        K: Key,
        F: FnMut(&O::Out) -> K + Clone + Send + 'static,
        C: Codec<O::Out>,
        O::Out: Clone + Send,
    {
        let Repartition { name, partitions } = repartition.into();
        let shared = Arc::clone(self.root.shared());
        let keyed = KeyedStream::new(Arc::clone(&shared));
        let mut registry = shared.lock();
        registry.claim(&name);
        registry.claim_partitions(&name, partitions);
        let topic = format!("{}-{name}-repartition", registry.name);
        let Some(topic) = registry.topic(&topic) else {
            return keyed;
        };
        let metrics = registry.metrics.repartition(topic.as_str());
        let what = What::KeyBy {
            name,
            topic: topic.clone(),
        };
        let origin = self.root.origin(&mut registry);
        let node = registry.node(origin, self.ops.names(), what);
        let (operators, receiver_codec) = (keyed.clone(), codec.clone());
        let receiver = move |info: &TaskInfo| -> Box<dyn Task> {
            let operators = Operators::new(operators.open(info));
            let codec = receiver_codec.clone();
            Box::new(Receiver::<K, _, _>::new(
                codec,
                info.senders,
                operators,
                Arc::clone(&metrics),
            ))
        };
        registry.repartitions.push(RepartitionNode {
            topic: topic.clone(),
            partitions,
            written_by: self.root.stage(),
            receiver: Box::new(receiver),
        });
        keyed.set_stage(StageId::Repartition(registry.repartitions.len() - 1), node);
        let unencodable = registry.metrics.unencodable();
        drop(registry);
        let key_by = KeyBy {
            topic,
            key,
            codec,
            unencodable,
        };
        self.root.attach(self.ops, key_by);
        keyed
    }
}

/// The branches of a port, as the handles share them.
pub(super) type Branches<T> = Arc<Mutex<Vec<BranchFactory<T>>>>;
type BranchFactory<T> = Box<dyn Fn(&TaskInfo) -> Box<dyn PortBranch<T>> + Send>;

/// The root of a stream of an operator's results.
pub struct PortRoot<T> {
    shared: Shared,
    stage: StageId,
    /// The operator in the plan, and the port's name.
    origin: Option<(NodeId, &'static str)>,
    pub(super) branches: Branches<T>,
}

impl<T> PortRoot<T> {
    pub(super) fn new(
        shared: Shared,
        stage: StageId,
        origin: Option<(NodeId, &'static str)>,
    ) -> Self {
        Self {
            shared,
            stage,
            origin,
            branches: Arc::default(),
        }
    }
}

impl<T> Clone for PortRoot<T> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            stage: self.stage,
            origin: self.origin,
            branches: Arc::clone(&self.branches),
        }
    }
}

impl<T> fmt::Debug for PortRoot<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PortRoot({:?})", self.stage)
    }
}

impl<T: Send + 'static> Root for PortRoot<T> {
    type Item = T;

    fn shared(&self) -> &Shared {
        &self.shared
    }

    fn stage(&self) -> StageId {
        self.stage
    }

    fn origin(&self, _: &mut Registry) -> Option<(NodeId, &'static str)> {
        self.origin
    }

    fn attach<U, O: Ops<Self::Item, Out = U>, Z: TerminalSpec<U>>(self, ops: O, terminal: Z) {
        let branch: BranchFactory<T> = Box::new(move |info| {
            Box::new(FromPort {
                ops: ops.clone(),
                terminal: terminal.open(info),
                wants_time: Z::WANTS_TIME,
            })
        });
        self.branches.lock().push(branch);
    }
}
