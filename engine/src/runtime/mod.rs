//! Runs a program on a broker.
//!
//! ```text
//!           ┌───────────────── one lane per task ─────────────────┐
//!  broker ──▶ consumer ──batch──▶ task ──outbox──▶ producer ──flush──▶ broker
//!           └─────────────────────────────────────────────────────┘
//! ```
//!
//! A *lane* reads one partition, feeds one task, and writes what the task wants written. Every lane
//! is a tokio task of its own; lanes share the producer and nothing else. They meet only in topics:
//! a receiver learns of its senders' time, and of their end, from the repartition topic.
//!
//! How a run begins and ends:
//!
//! 1. the repartition topics and the topics of `.to(…)` are created if they are missing, and the
//!    repartition topics are read from their present end: what an earlier run left there is not
//!    read;
//! 2. source lanes read from [`Start`] until their [`Bound`], then signal their end to the
//!    receivers;
//! 3. a receiver whose senders have all ended closes its windows and ends, too;
//! 4. when all lanes have ended, the repartition topics are deleted.
//!
//! Such a run starts over each time, and leaves nothing behind: its state is in memory. A run that
//! fails or is dropped stops at once, at any record, and leaves its repartition topics behind.
//!
//! With [`RunOptions::commits`] a program is an *application*, whose id is its name: it goes on
//! where it stopped, however it stopped, and its results count exactly once. One worker
//! (`worker.rs`) then runs all tasks and commits their work together; `begin.rs` is how it begins. Topics of the application stay, and what receivers have committed is trimmed from the
//! repartition topics.
//!
//! What bounds a run. A lane waits until its writes are acknowledged before it reads on, so a slow
//! broker slows it down. A receiver that is slower than its senders lags behind in the repartition
//! topic, which keeps everything until the run ends, or the application commits: this costs disk,
//! not memory. Records of senders that are ahead of others in record timestamps wait in memory,
//! without a bound, whether the others are silent or only slower; `waiting` of
//! [`crate::metrics::RepartitionReport`] counts them. Left out: holding back senders that run
//! ahead.

mod error;

mod lane;
mod topics;

mod begin;
mod restore;
mod worker;

mod applications;

#[cfg(test)]
#[cfg(feature = "embedded")]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use brooklet_client::transport::BoxFuture;
use brooklet_client::{
    Client, ClientError, Consumer, ConsumerConfig, OffsetSpec, Producer, ProducerConfig,
};
use brooklet_protocol::{Offset, PartitionId, TopicName, TopicPartition};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};

use crate::dsl::App;
use crate::metrics::RunReport;
use crate::task::{Task, memory};
use crate::topology::{Parallelism, StageId};
pub use applications::{Application, StateSize, TaskStanding};
pub use error::RunError;
use lane::{End, Idleness, Lane};
use topics::{create_repartition, create_sink, sink_configs};

/// Where to begin to read the sources.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// At their log start offsets.
    #[default]
    Earliest,
    /// At their ends as of now: the high watermarks, or under `read_committed` the last stable
    /// offsets.
    Latest,
}

/// The end offset of each source partition: the offset after the last record to be read.
pub type Ends = BTreeMap<TopicPartition, Offset>;

/// Where the input ends.
#[derive(Clone, Debug, Default)]
pub enum Bound {
    /// Nowhere: the run goes on until it is dropped.
    Never,
    /// At the ends as of the beginning of the run, which [`Start::Latest`] defines.
    #[default]
    AtEnd,
    /// At ends that are signalled once, while the run goes on: a live replay learns its end this
    /// way. The run goes on until every source partition has an end; if the sender is dropped
    /// without a value, it never ends.
    Signalled(watch::Receiver<Option<Ends>>),
}

/// How to run a program.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// Where to begin.
    pub start: Start,
    /// Where to end.
    pub stop: Bound,
    /// How long a source partition may have nothing to read before it counts as *idle*: windows
    /// behind a `key_by` do not wait for it until it has something again, which may then be late.
    /// `None` (default): wait for every partition, even an empty one, until it ends; then results
    /// depend on the input alone. With idleness they depend on the clock too, in one way: idle
    /// marks, written to the repartition topic. No partition counts as idle before the broker has
    /// said that it is read to its high watermark.
    pub idle: Option<Duration>,
    /// How results and repartition topics are written; batches are of 256 KiB, since a lane writes
    /// in bulk and then waits. Without idempotence a retry may write a record twice.
    pub producer: ProducerConfig,
    /// Makes the program an application that survives; `None` (default): a run starts over.
    pub commits: Option<Commits>,
    /// How topics are read; under `read_committed` records of open and aborted transactions do not
    /// count.
    pub consumer: ConsumerConfig,
}

/// When an application commits.
///
/// A commit is a Kafka transaction: results, changes of state, offsets and stream times together.
/// `processing.guarantee` is `exactly_once_v2`. Sources are read as committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commits {
    /// `commit.interval.ms` (100): how long after the first record since the last commit.
    pub interval: Duration,
    /// Or after this many records (1,000,000).
    pub records: u64,
}

impl Default for Commits {
    fn default() -> Self {
        Self {
            interval: Duration::from_millis(100),
            records: 1_000_000,
        }
    }
}

/// A broker may sync for each batch, and a partition has one batch at a time under way.
const BATCH_BYTES: usize = 256 << 10;

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            start: Start::default(),
            stop: Bound::default(),
            idle: None,
            commits: None,
            producer: ProducerConfig {
                batch_bytes: BATCH_BYTES,
                ..ProducerConfig::default()
            },
            consumer: ConsumerConfig::default(),
        }
    }
}

impl App {
    /// Runs the program until its input's end, and reports what it counted. Dropping the future
    /// stops the run.
    ///
    /// # Errors
    /// The program is not well declared, a request failed for good, a batch is damaged, a closure
    /// panicked. The first failure stops all tasks.
    pub fn run(
        self,
        client: &Client,
        options: RunOptions,
    ) -> BoxFuture<'_, Result<RunReport, RunError>> {
        Box::pin(async move {
            self.shared.lock().check()?;
            if let Some(commits) = options.commits {
                let worker = begin::worker(&self, client, options, commits).await?;
                drive([("the application".to_owned(), worker.run())]).await?;
                return Ok(self.metrics().snapshot());
            }
            let run = Run::prepare(&self, client, options).await?;
            let lanes = run.lanes(&self).await?;
            let lanes = lanes.into_iter();
            let lanes = lanes.map(|lane| (lane.partition.to_string(), lane.run()));
            drive(lanes).await?;
            run.clean_up().await;
            Ok(self.metrics().snapshot())
        })
    }
}

/// What all lanes have in common.
struct Run {
    client: Client,
    options: RunOptions,
    producer: Producer,
    parallelism: Parallelism,
}

impl Run {
    async fn prepare(app: &App, client: &Client, options: RunOptions) -> Result<Self, RunError> {
        let (sources, sinks) = {
            let registry = app.shared.lock();
            let sources: BTreeSet<_> = registry.sources.iter().map(|s| s.topic.clone()).collect();
            (sources, registry.sinks.clone())
        };
        let mut counts = BTreeMap::new();
        for topic in sources {
            let count = client.partition_count(&topic).await?;
            counts.insert(topic, count);
        }
        let parallelism = app.shared.lock().parallelism(None, |topic| counts[topic]);
        for (topic, partitions) in parallelism.repartitions.iter() {
            create_repartition(client, topic, *partitions).await?;
        }
        let sink_configs = sink_configs(client, counts.keys()).await;
        for topic in sinks {
            create_sink(client, &topic, &sink_configs).await?;
        }
        Ok(Self {
            client: client.clone(),
            producer: Producer::new(client.clone(), producer_config(&options)).await?,
            options,
            parallelism,
        })
    }

    /// The changelogs of the program, with the number of their tasks.
    fn changelogs(&self, app: &App) -> BTreeMap<TopicName, i32> {
        let mut changelogs = BTreeMap::new();
        for (stage, tasks) in &self.parallelism.tasks {
            let mut task = app.shared.lock().task(*stage, 0, &self.parallelism);
            let of_task = memory::changelogs(&mut *task).into_iter();
            changelogs.extend(of_task.map(|topic| (topic, *tasks)));
        }
        changelogs
    }

    /// Where to begin to read partitions of which nothing is committed.
    async fn starts(
        &self,
        is_source: bool,
        partitions: &[TopicPartition],
    ) -> Result<Ends, RunError> {
        let start = match self.options.start {
            Start::Latest if is_source => OffsetSpec::Latest,
            _ => OffsetSpec::Earliest,
        };
        let isolation = self.options.consumer.isolation;
        Ok(self
            .client
            .list_offsets_in(partitions, start, isolation)
            .await?)
    }

    /// Makes a lane for each task, with the offset to start from and the end to stop at.
    async fn lanes(&self, app: &App) -> Result<Vec<Lane>, RunError> {
        let mut lanes = Vec::new();
        for (stage, tasks) in &self.parallelism.tasks {
            let topic = app.shared.lock().topic_of(*stage).clone();
            let partitions: Vec<_> = (0..*tasks)
                .map(|partition| TopicPartition::new(topic.clone(), PartitionId(partition)))
                .collect();
            let is_source = matches!(stage, StageId::Source(_));
            let start = match self.options.start {
                Start::Earliest if is_source => OffsetSpec::Earliest,
                _ => OffsetSpec::Latest,
            };
            let isolation = self.options.consumer.isolation;
            let starts = self
                .client
                .list_offsets_in(&partitions, start, isolation)
                .await?;
            let end = self.end(is_source, &partitions).await?;
            for partition in partitions {
                let number = partition.partition.0;
                let task = app.shared.lock().task(*stage, number, &self.parallelism);
                let start = starts.get(&partition).copied();
                let start = start.ok_or_else(|| missing_offset(&partition))?;
                let idle = self.options.idle.filter(|_| is_source);
                let idleness = Idleness::after(idle, &self.client);
                lanes.push(self.lane(task, (partition, start), end.clone(), idleness));
            }
        }
        Ok(lanes)
    }

    async fn end(&self, is_source: bool, partitions: &[TopicPartition]) -> Result<End, RunError> {
        Ok(match &self.options.stop {
            _ if !is_source => End::FromInput,
            Bound::Never => End::FromInput,
            Bound::AtEnd => {
                let (latest, isolation) = (OffsetSpec::Latest, self.options.consumer.isolation);
                let ends = self.client.list_offsets_in(partitions, latest, isolation);
                End::At(ends.await?)
            }
            Bound::Signalled(ends) => End::Signalled(ends.clone()),
        })
    }

    fn lane(
        &self,
        task: Box<dyn Task>,
        from: (TopicPartition, Offset),
        end: End,
        idleness: Idleness,
    ) -> Lane {
        let mut consumer = Consumer::new(self.client.clone(), self.options.consumer.clone());
        consumer.assign([from.clone()]);
        let (partition, position) = from;
        Lane {
            partition,
            position,
            consumer,
            producer: self.producer.clone(),
            task,
            end,
            idleness,
        }
    }

    /// Deletes the repartition topics. The results are complete without it, so a failure is only
    /// worth a warning.
    async fn clean_up(&self) {
        for topic in self.parallelism.repartitions.keys() {
            if let Err(error) = self.client.delete_topic(topic).await {
                tracing::warn!(%topic, %error, "cannot delete the repartition topic");
            }
        }
    }
}

/// All topics are there before the first record is sent. One that is gone was deleted, perhaps
/// because the run was cut short: what is still under way shall not bring it back.
fn producer_config(options: &RunOptions) -> ProducerConfig {
    ProducerConfig {
        create_topics: false,
        ..options.producer.clone()
    }
}

fn missing_offset(partition: &TopicPartition) -> ClientError {
    ClientError::Unexpected(format!("no offset for {partition}"))
}

/// Runs all of these, by their names; the first failure stops the others.
async fn drive<R>(runs: impl IntoIterator<Item = (String, R)>) -> Result<(), RunError>
where
    R: Future<Output = Result<(), RunError>> + Send + 'static,
{
    let mut running = JoinSet::new();
    let mut names = BTreeMap::new();
    for (name, run) in runs {
        let handle = running.spawn(run);
        names.insert(handle.id(), name);
    }
    while let Some(ended) = running.join_next().await {
        match ended {
            Ok(result) => result?,
            Err(error) => return Err(panicked(error, &mut names)),
        }
    }
    Ok(())
}

fn panicked(error: JoinError, names: &mut BTreeMap<tokio::task::Id, String>) -> RunError {
    let partition = names.remove(&error.id()).unwrap_or_default();
    let message = match error.try_into_panic() {
        Ok(panic) => match panic.downcast::<String>() {
            Ok(message) => *message,
            Err(panic) => panic
                .downcast_ref::<&str>()
                .copied()
                .unwrap_or("")
                .to_owned(),
        },
        Err(error) => error.to_string(),
    };
    RunError::Panicked { partition, message }
}
