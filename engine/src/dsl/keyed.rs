//! Keyed streams and what can be done with them: windows.
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
//! To add an operator of another kind: write it in `operator/` as a `KeyedOperator`, and here a
//! verb of [`KeyedStream`] that pushes its recipe and returns handles on its ports.

use std::fmt;
use std::sync::Arc;
use std::sync::OnceLock;

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
use crate::operator::results::{Final, Late, Update};
use crate::operator::window::{Ports, WindowOperator};
use crate::operator::{KeyedOperator, Operators};
use crate::task::direct::Direct;
use crate::task::event_time::EventTime;
use crate::topology::{Shared, StageId};
use crate::window::Windows;

type OperatorFactory<K, V> = Box<dyn Fn(&TaskInfo) -> Box<dyn KeyedOperator<K, V>> + Send>;

/// A stream whose values of equal key are in one task. Several windows may hang on it.
pub struct KeyedStream<K, V> {
    shared: Shared,
    stage: Arc<OnceLock<StageId>>,
    operators: Arc<Mutex<Vec<OperatorFactory<K, V>>>>,
}

impl<K, V> Clone for KeyedStream<K, V> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            stage: Arc::clone(&self.stage),
            operators: Arc::clone(&self.operators),
        }
    }
}

impl<K, V> fmt::Debug for KeyedStream<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyedStream({:?})", self.stage)
    }
}

impl<K, V> KeyedStream<K, V> {
    pub(super) fn new(shared: Shared) -> Self {
        Self {
            shared,
            stage: Arc::default(),
            operators: Arc::default(),
        }
    }

    pub(super) fn set_stage(&self, stage: StageId) {
        self.stage.get_or_init(|| stage);
    }

    /// Makes one task's operators.
    pub(super) fn open(&self, info: &TaskInfo) -> Vec<Box<dyn KeyedOperator<K, V>>> {
        self.operators
            .lock()
            .iter()
            .map(|make| make(info))
            .collect()
    }
}

impl<K: Key, V: Clone + Send + 'static> KeyedStream<K, V> {
    /// Cuts the stream into windows of event time.
    pub fn window(&self, windows: Windows) -> WindowedStream<K, V> {
        WindowedStream {
            keyed: self.clone(),
            windows,
        }
    }
}

/// A keyed stream cut into windows; say next what to keep of each.
#[derive(Debug)]
#[must_use = "a window does nothing until it aggregates"]
pub struct WindowedStream<K, V> {
    keyed: KeyedStream<K, V>,
    windows: Windows,
}

impl<K: Key, V: Clone + Send + 'static> WindowedStream<K, V> {
    /// How many.
    pub fn count(self, name: &str) -> Windowed<K, V, u64> {
        self.aggregate(name, Count)
    }

    /// The sum of a number: of integers exactly, as an `i128`.
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

    /// The least of a number.
    pub fn min<N, F>(self, name: &str, of: F) -> Windowed<K, V, N>
    where
        N: PartialOrd + Stored,
        F: Fn(&V) -> N + Clone + Send + 'static,
    {
        self.aggregate(name, Min::of(of))
    }

    /// The greatest of a number.
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
        let metrics = {
            let mut registry = keyed.shared.lock();
            registry.claim(name);
            registry.metrics.window(name)
        };
        let windowed = Windowed::new(&keyed);
        let ports = windowed.clone();
        let factory: OperatorFactory<K, V> = Box::new(move |info| {
            let (aggregate, metrics) = (aggregate.clone(), Arc::clone(&metrics));
            Box::new(WindowOperator::new(
                windows,
                aggregate,
                ports.open(info),
                metrics,
            ))
        });
        keyed.operators.lock().push(factory);
        windowed
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
    fn new(keyed: &KeyedStream<K, V>) -> Self {
        // Without a stage the repartition's name was illegal: nothing will run.
        let stage = keyed
            .stage
            .get()
            .copied()
            .unwrap_or(StageId::Source(usize::MAX));
        let shared = || Arc::clone(&keyed.shared);
        Self {
            finals: PortRoot::new(shared(), stage),
            updates: PortRoot::new(shared(), stage),
            late: PortRoot::new(shared(), stage),
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
        keyed.set_stage(self.root.stage());
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
