//! Keyed streams and what can be done with them: windows, and operators of the program's own.
//!
//! ```text
//!  stream.key_by(…) ──────────────┐
//!  stream.keyed_by_record_key() ──┴─▶ KeyedStream    keeps how each task makes its operators
//!                                          │ .window(…)
//!                                     WindowedStream
//!                                          │ .mean(…)
//!                                     Windowed ──▶ finals(), updates(), late(): streams again
//! ```
//!
//! A [`KeyedStream`] collects recipes of operators. When a task of its stage is made, each recipe
//! makes one operator, and all of them share the task's keyed input. A [`WindowedStream`] is a
//! keyed stream and its windows; it becomes an operator only with an aggregate.
//!
//! A program's own operator ([`Operator`]) hangs on a keyed stream in the same way.

use std::fmt;
use std::marker::PhantomData;
use std::sync::{Arc, OnceLock};

use brooklet_protocol::TopicName;
use parking_lot::Mutex;

use super::source::SourceRoot;
use super::stream::{PortRoot, Root, Stream};
use crate::aggregate::{Aggregate, Count, Max, Mean, Min, Stored, Sum, Summand};
use crate::branch::TaskInfo;
use crate::branch::ops::{Identity, Ops};
use crate::branch::port::Port;
use crate::branch::terminal::TerminalSpec;
use crate::codec::Codec;
use crate::key::Key;
use crate::metrics::SourceCounters;
use crate::operator::custom::{CustomOperator, Operator};
use crate::operator::emit::{Emitter, Ports};
use crate::operator::results::{Final, Late, Update};
use crate::operator::{KeyedOperator, Operators};
use crate::task::direct::Direct;
use crate::task::event_time::EventTime;
use crate::topology::describe::{NodeId, What};
use crate::topology::{Shared, StageId};

use super::windowing::{Parts, Windowing};

type OperatorFactory<V> = Box<dyn Fn(&TaskInfo) -> Box<dyn KeyedOperator<V>> + Send>;

/// A stream whose values of equal key are in one task. Any number of windows and operators may hang
/// on it.
pub struct KeyedStream<K, V> {
    shared: Shared,
    /// Its stage, and its step of the plan; unset if its name is illegal, and then nothing runs.
    place: Arc<OnceLock<(StageId, NodeId)>>,
    operators: Arc<Mutex<Vec<OperatorFactory<V>>>>,
    key: PhantomData<fn() -> K>,
}

impl<K, V> Clone for KeyedStream<K, V> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            place: Arc::clone(&self.place),
            operators: Arc::clone(&self.operators),
            key: PhantomData,
        }
    }
}

impl<K, V> fmt::Debug for KeyedStream<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyedStream({:?})", self.place)
    }
}

impl<K, V> KeyedStream<K, V> {
    pub(super) fn new(shared: Shared) -> Self {
        Self {
            shared,
            place: Arc::default(),
            operators: Arc::default(),
            key: PhantomData,
        }
    }

    pub(super) fn set_stage(&self, stage: StageId, node: NodeId) {
        self.place.get_or_init(|| (stage, node));
    }

    /// Adds an operator to the program, and the recipe by which each task makes its own. `make`
    /// takes what the operator needs: the topic of its changelog.
    pub(super) fn add<P>(
        &self,
        (name, does): (&str, String),
        ports: impl FnOnce(StageId, Option<NodeId>) -> P,
        factory: impl FnOnce(&P, TopicName) -> OperatorFactory<V>,
    ) -> P {
        let mut registry = self.shared.lock();
        registry.claim(name);
        let changelog = registry.changelog(name);
        let (Some((stage, parent)), Some(changelog)) = (self.place.get().copied(), changelog)
        else {
            return ports(StageId::Source(usize::MAX), None);
        };
        let what = What::Operator {
            name: name.to_owned(),
            does,
            changelog: changelog.clone(),
        };
        let node = registry.node(Some((parent, "")), Vec::new(), what);
        drop(registry);
        let ports = ports(stage, Some(node));
        self.operators.lock().push(factory(&ports, changelog));
        ports
    }

    /// Makes one task's operators.
    pub(super) fn open(&self, info: &TaskInfo) -> Vec<Box<dyn KeyedOperator<V>>> {
        self.operators
            .lock()
            .iter()
            .map(|make| make(info))
            .collect()
    }
}

impl<K: Key, V: Clone + Send + 'static> KeyedStream<K, V> {
    /// Cuts the stream into windows of event time.
    pub fn window<W: Windowing>(&self, windows: W) -> WindowedStream<K, V, W> {
        WindowedStream {
            keyed: self.clone(),
            windows,
        }
    }

    /// Runs an operator of the program's own over the records. `name` distinguishes it from the
    /// program's others.
    pub fn operator<O: Operator<K, V>>(&self, name: &str, operator: O) -> Custom<O::Out, O::Side> {
        let does = operator.name();
        let ports = |stage, node: Option<NodeId>| {
            let origin = |port| node.map(|node| (node, port));
            let shared = || Arc::clone(&self.shared);
            Custom {
                results: PortRoot::new(shared(), stage, origin("results")),
                side: PortRoot::new(shared(), stage, origin("side")),
            }
        };
        self.add((name, does), ports, |ports, changelog| {
            let ports = ports.clone();
            Box::new(move |info| {
                let opened = (open(&ports.results, info), open(&ports.side, info));
                let (operator, changelog) = (operator.clone(), changelog.clone());
                let logged = info.is_logged;
                Box::new(CustomOperator::<K, V, O>::new(
                    operator, opened, changelog, logged,
                ))
            })
        })
    }
}

/// The results of an operator of the program's own, as two streams.
pub struct Custom<T, S> {
    results: PortRoot<T>,
    side: PortRoot<S>,
}

impl<T, S> Clone for Custom<T, S> {
    fn clone(&self) -> Self {
        Self {
            results: self.results.clone(),
            side: self.side.clone(),
        }
    }
}

impl<T, S> fmt::Debug for Custom<T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Custom({:?})", self.results)
    }
}

impl<T: Clone + Send + 'static, S: Clone + Send + 'static> Custom<T, S> {
    /// What the operator emits.
    pub fn results(&self) -> Stream<PortRoot<T>, Identity> {
        Stream::new(self.results.clone())
    }

    /// What it emits beside its results.
    pub fn side(&self) -> Stream<PortRoot<S>, Identity> {
        Stream::new(self.side.clone())
    }
}

/// A keyed stream cut into windows; say next what to keep of each.
#[derive(Debug)]
#[must_use = "a window does nothing until it aggregates"]
pub struct WindowedStream<K, V, W> {
    keyed: KeyedStream<K, V>,
    windows: W,
}

impl<K: Key, V: Clone + Send + 'static, W: Windowing> WindowedStream<K, V, W> {
    /// How many records.
    pub fn count(self, name: &str) -> Windowed<K, V, u64> {
        self.aggregate(name, Count)
    }

    /// The sum of a number; that of integers is exact, as an `i128`.
    pub fn sum<N: Summand, F>(self, name: &str, of: F) -> Windowed<K, V, N::Sum>
    where
        F: Fn(&V) -> N + Clone + Send + 'static,
    {
        self.aggregate(name, Sum::of(of))
    }

    /// The mean of a number.
    pub fn mean<F>(self, name: &str, of: F) -> Windowed<K, V, f64>
    where
        F: Fn(&V) -> f64 + Clone + Send + 'static,
    {
        self.aggregate(name, Mean::of(of))
    }

    /// The lowest value of a number.
    pub fn min<N, F>(self, name: &str, of: F) -> Windowed<K, V, N>
    where
        N: PartialOrd + Stored,
        F: Fn(&V) -> N + Clone + Send + 'static,
    {
        self.aggregate(name, Min::of(of))
    }

    /// The highest value of a number.
    pub fn max<N, F>(self, name: &str, of: F) -> Windowed<K, V, N>
    where
        N: PartialOrd + Stored,
        F: Fn(&V) -> N + Clone + Send + 'static,
    {
        self.aggregate(name, Max::of(of))
    }

    /// Any aggregate. `name` distinguishes the operator from the program's others.
    pub fn aggregate<A: Aggregate<V>>(self, name: &str, aggregate: A) -> Windowed<K, V, A::Out> {
        let Self { keyed, windows } = self;
        let metrics = keyed.shared.lock().metrics.window(name);
        let does = windows.plan(&aggregate.name(), aggregate.retracts());
        let ports = |stage, node| Windowed::new(&keyed.shared, stage, node);
        keyed.add((name, does), ports, |ports, changelog| {
            let ports = ports.clone();
            Box::new(move |info| {
                let emitter = Emitter::new(ports.open(info), Arc::clone(&metrics));
                windows.operator(Parts {
                    aggregate: aggregate.clone(),
                    emitter,
                    changelog: changelog.clone(),
                    is_logged: info.is_logged,
                })
            })
        })
    }
}

/// The results of a windowed aggregate, as three streams.
pub struct Windowed<K, V, T> {
    finals: PortRoot<Final<K, T>>,
    updates: PortRoot<Update<K, T>>,
    late: PortRoot<Late<K, V>>,
}

impl<K, V, T> Clone for Windowed<K, V, T> {
    fn clone(&self) -> Self {
        Self {
            finals: self.finals.clone(),
            updates: self.updates.clone(),
            late: self.late.clone(),
        }
    }
}

impl<K, V, T> fmt::Debug for Windowed<K, V, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Windowed({:?})", self.finals)
    }
}

impl<K: Key, V: Clone + Send + 'static, T: Clone + Send + 'static> Windowed<K, V, T> {
    fn new(shared: &Shared, stage: StageId, node: Option<NodeId>) -> Self {
        let origin = |port| node.map(|node| (node, port));
        let shared = || Arc::clone(shared);
        Self {
            finals: PortRoot::new(shared(), stage, origin("finals")),
            updates: PortRoot::new(shared(), stage, origin("updates")),
            late: PortRoot::new(shared(), stage, origin("late")),
        }
    }

    /// Each result, once, when its window closes.
    pub fn finals(&self) -> Stream<PortRoot<Final<K, T>>, Identity> {
        Stream::new(self.finals.clone())
    }

    /// Each change of a result while its window is open.
    pub fn updates(&self) -> Stream<PortRoot<Update<K, T>>, Identity> {
        Stream::new(self.updates.clone())
    }

    /// Each record that came too late for a window, once per window.
    pub fn late(&self) -> Stream<PortRoot<Late<K, V>>, Identity> {
        Stream::new(self.late.clone())
    }

    fn open(&self, info: &TaskInfo) -> Ports<K, V, T> {
        Ports {
            finals: open(&self.finals, info),
            updates: open(&self.updates, info),
            late: open(&self.late, info),
        }
    }
}

fn open<T: Clone>(root: &PortRoot<T>, info: &TaskInfo) -> Port<T> {
    Port::new(root.branches.lock().iter().map(|make| make(info)).collect())
}

impl<T, C, E, O> Stream<SourceRoot<T, C, E>, O>
where
    T: Send + 'static,
    C: Codec<T>,
    E: EventTime<T>,
    O: Ops<T>,
    O::Out: Clone + Send,
{
    /// Groups by the records' own keys, without a repartition topic: right if the topic is
    /// partitioned by them. Each task then has its own stream time, that of its partition.
    pub fn keyed_by_record_key<K: Key>(self) -> KeyedStream<K, O::Out> {
        let keyed = KeyedStream::new(Arc::clone(self.root.shared()));
        let mut registry = self.root.shared().lock();
        let origin = self.root.origin(&mut registry);
        let node = registry.node(origin, self.ops.names(), What::RecordKey);
        drop(registry);
        if let StageId::Source(usize::MAX) = self.root.stage() {
            return keyed;
        }
        keyed.set_stage(self.root.stage(), node);
        let direct = DirectSpec {
            keyed: keyed.clone(),
            counters: Arc::clone(self.root.counters()),
        };
        self.root.attach(self.ops, direct);
        keyed
    }
}

/// Makes a [`Direct`] for each task of the source.
struct DirectSpec<K, V> {
    keyed: KeyedStream<K, V>,
    counters: Arc<SourceCounters>,
}

impl<K: Key, V: Clone + Send + 'static> TerminalSpec<V> for DirectSpec<K, V> {
    const WANTS_TIME: bool = true;
    type Running = Direct<K, V>;
    fn open(&self, info: &TaskInfo) -> Direct<K, V> {
        let operators = Operators::new(self.keyed.open(info));
        Direct::new(operators, Arc::clone(&self.counters))
    }
}
