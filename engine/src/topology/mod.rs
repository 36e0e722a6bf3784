//! What a program has declared: its sources, its repartition topics, and how to make their tasks.
//!
//! The typed handles of the DSL write into one registry, from which the runtime and the test driver
//! make tasks. A mistake in a declaration (an illegal name, a name used twice) is kept and reported
//! when the program is run, so that declarations can be chained without a `?` at every step.

pub(crate) mod describe;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use brooklet_protocol::{PartitionId, TopicName};
use parking_lot::Mutex;
use thiserror::Error;

use self::describe::{Node, NodeId, Plan, What};
use crate::branch::TaskInfo;
use crate::metrics::{Metrics, SourceCounters};
use crate::task::Task;
use crate::task::source::{SourceBranch, SourceTask};

/// Why a program cannot run.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TopologyError {
    /// A topic's name, or one made from the program's and an operator's, is illegal.
    #[error("topic '{name}': {reason}")]
    TopicName {
        /// The name.
        name: String,
        /// The rule it breaks.
        reason: String,
    },
    /// The name identifies the operator, also across versions of the program.
    #[error("the name '{0}' is used by two operators")]
    NameTwice(String),
    /// A topic has at least one partition.
    #[error("repartition '{name}': expected at least 1 partition, found {partitions}")]
    Partitions {
        /// The repartition's name.
        name: String,
        /// What was asked for.
        partitions: i32,
    },
    /// There is nothing to read.
    #[error("the program '{0}' reads no topic")]
    NoSource(String),
}

/// A stage of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StageId {
    /// Reads a topic from outside.
    Source(usize),
    /// Reads a repartition topic.
    Repartition(usize),
}

pub(crate) type SourceFactory = Box<dyn Fn(&TaskInfo) -> Box<dyn SourceBranch> + Send>;
pub(crate) type TaskFactory = Box<dyn Fn(&TaskInfo) -> Box<dyn Task> + Send>;

pub(crate) struct SourceNode {
    pub(crate) topic: TopicName,
    pub(crate) branches: Vec<SourceFactory>,
    /// Of each `stream(…)` that reads it.
    pub(crate) counters: Vec<Arc<SourceCounters>>,
}

pub(crate) struct RepartitionNode {
    pub(crate) topic: TopicName,
    /// `None`: as many as the stage that writes it has tasks.
    pub(crate) partitions: Option<i32>,
    /// The stage that writes it.
    pub(crate) written_by: StageId,
    pub(crate) receiver: TaskFactory,
}

/// Everything declared so far.
pub struct Registry {
    pub(crate) name: String,
    pub(crate) metrics: Metrics,
    pub(crate) sources: Vec<SourceNode>,
    /// A stage comes after the one that writes its topic.
    pub(crate) repartitions: Vec<RepartitionNode>,
    /// Topics written by `.to(…)`.
    pub(crate) sinks: BTreeSet<TopicName>,
    nodes: Vec<Node>,
    names: BTreeSet<String>,
    errors: Vec<TopologyError>,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Registry({:?})", self.name)
    }
}

/// The registry as the handles share it.
pub(crate) type Shared = Arc<Mutex<Registry>>;

/// How many tasks each stage has, and partitions each repartition topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Parallelism {
    pub(crate) tasks: BTreeMap<StageId, i32>,
    pub(crate) repartitions: Arc<BTreeMap<TopicName, i32>>,
    /// Whether tasks keep what changes for changelogs.
    pub(crate) is_logged: bool,
}

impl Registry {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            metrics: Metrics::default(),
            sources: Vec::new(),
            repartitions: Vec::new(),
            sinks: BTreeSet::new(),
            nodes: Vec::new(),
            names: BTreeSet::new(),
            errors: Vec::new(),
        }
    }

    /// Checks a topic's name; `None` stands for one that `check` will report.
    pub(crate) fn topic(&mut self, name: &str) -> Option<TopicName> {
        match TopicName::new(name) {
            Ok(topic) => Some(topic),
            Err(reason) => {
                let (name, reason) = (name.to_owned(), reason.to_string());
                self.errors.push(TopologyError::TopicName { name, reason });
                None
            }
        }
    }

    /// Adds a step to the plan.
    pub(crate) fn node(
        &mut self,
        parent: Option<(NodeId, &'static str)>,
        steps: Vec<&'static str>,
        what: What,
    ) -> NodeId {
        self.nodes.push(Node {
            parent,
            steps,
            what,
        });
        self.nodes.len() - 1
    }

    /// What has been declared so far.
    pub(crate) fn plan(&self) -> Plan {
        Plan {
            program: self.name.clone(),
            nodes: self.nodes.clone(),
        }
    }

    /// The stage that reads a topic from outside, with one more `stream(…)` of it.
    pub(crate) fn source(&mut self, topic: &TopicName, counters: Arc<SourceCounters>) -> usize {
        let known = self.sources.iter().position(|node| node.topic == *topic);
        let index = known.unwrap_or_else(|| {
            self.sources.push(SourceNode {
                topic: topic.clone(),
                branches: Vec::new(),
                counters: Vec::new(),
            });
            self.sources.len() - 1
        });
        self.sources[index].counters.push(counters);
        index
    }

    /// The topic that holds the changes of an operator's state.
    pub(crate) fn changelog(&mut self, operator: &str) -> Option<TopicName> {
        self.topic(&format!("{}-{operator}-changelog", self.name))
    }

    /// Claims an operator's name.
    pub(crate) fn claim(&mut self, name: &str) {
        if !self.names.insert(name.to_owned()) {
            self.errors.push(TopologyError::NameTwice(name.to_owned()));
        }
    }

    pub(crate) fn claim_partitions(&mut self, name: &str, partitions: Option<i32>) {
        if let Some(partitions) = partitions.filter(|count| *count < 1) {
            let name = name.to_owned();
            self.errors
                .push(TopologyError::Partitions { name, partitions });
        }
    }

    /// The first mistake, if there is one.
    pub(crate) fn check(&self) -> Result<(), TopologyError> {
        match self.errors.first() {
            Some(error) => Err(error.clone()),
            None if self.sources.is_empty() => Err(TopologyError::NoSource(self.name.clone())),
            None => Ok(()),
        }
    }

    /// Follows the partition counts of the sources through the repartition topics; those that do
    /// not name their partitions get `tasks_behind`, or as many as there are tasks before them.
    pub(crate) fn parallelism(
        &self,
        tasks_behind: Option<i32>,
        partitions: impl Fn(&TopicName) -> i32,
    ) -> Parallelism {
        let mut tasks = BTreeMap::new();
        let mut repartitions = BTreeMap::new();
        for (index, source) in self.sources.iter().enumerate() {
            tasks.insert(StageId::Source(index), partitions(&source.topic));
        }
        for (index, node) in self.repartitions.iter().enumerate() {
            let count = node.partitions.or(tasks_behind);
            let count = count.unwrap_or(tasks[&node.written_by]);
            tasks.insert(StageId::Repartition(index), count);
            repartitions.insert(node.topic.clone(), count);
        }
        Parallelism {
            tasks,
            repartitions: Arc::new(repartitions),
            is_logged: false,
        }
    }

    /// The topic that a stage reads.
    pub(crate) fn topic_of(&self, stage: StageId) -> &TopicName {
        match stage {
            StageId::Source(index) => &self.sources[index].topic,
            StageId::Repartition(index) => &self.repartitions[index].topic,
        }
    }

    /// Makes one task of a stage.
    pub(crate) fn task(&self, stage: StageId, partition: i32, of: &Parallelism) -> Box<dyn Task> {
        let senders = match stage {
            StageId::Source(_) => 0,
            StageId::Repartition(index) => of.tasks[&self.repartitions[index].written_by],
        };
        let info = TaskInfo {
            partition: PartitionId(partition),
            tasks: of.tasks[&stage],
            senders,
            partitions: Arc::clone(&of.repartitions),
            is_logged: of.is_logged,
        };
        match stage {
            StageId::Source(index) => {
                let source = &self.sources[index];
                Box::new(SourceTask {
                    branches: source.branches.iter().map(|make| make(&info)).collect(),
                    counters: source.counters.clone(),
                })
            }
            StageId::Repartition(index) => (self.repartitions[index].receiver)(&info),
        }
    }
}
