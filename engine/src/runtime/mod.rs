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
//! State is in memory and every run starts over: left out are commits, recovery of a crashed run
//! and exactly-once output. Two runs of one program at the same time would read each other's
//! repartition topics; consumer groups, which prevent it, are left out as well. A run that fails or
//! is dropped stops at once, at any record, and leaves its repartition topics behind.
//!
//! What bounds a run. A lane waits until its writes are acknowledged before it reads on, so a slow
//! broker slows it down. A receiver that is slower than its senders lags behind in the repartition
//! topic, which keeps everything until the run ends: it is paid for in disk, not in memory. In
//! memory wait the records of senders that are ahead of others in record timestamps, without a
//! bound, whether the others are silent or only slower; `waiting` of
//! [`crate::metrics::RepartitionReport`] counts them. Left out: holding back senders that run
//! ahead, and trimming what receivers have read.

mod lane;
#[cfg(test)]
#[cfg(feature = "embedded")]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use brooklet_client::transport::BoxFuture;
use brooklet_client::{
    Client, ClientError, Consumer, ConsumerConfig, OffsetSpec, Producer, ProducerConfig,
};
use brooklet_protocol::messages::ErrorCode;
use brooklet_protocol::records::BatchError;
use brooklet_protocol::{Offset, PartitionId, TopicName, TopicPartition};
use thiserror::Error;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};

use crate::dsl::App;
use crate::metrics::RunReport;
use crate::task::Task;
use crate::topology::{Parallelism, StageId, TopologyError};
use lane::{End, Idleness, Lane};

/// How often, and how long apart, a topic that was just created is looked for.
const LOOKUPS_MAX: u32 = 50;
const LOOKUP_PAUSE: Duration = Duration::from_millis(100);

/// `max.message.bytes` where nobody sets it.
const MESSAGE_BYTES_MAX_DEFAULT: usize = 1_048_588;

/// Why a run failed.
#[derive(Debug, Error)]
pub enum RunError {
    /// The program is not well declared.
    #[error("{0}")]
    Topology(#[from] TopologyError),
    /// A request failed. It is the source, so that callers can handle errors by kind.
    #[error("{0}")]
    Client(#[from] ClientError),
    /// The results of a record cannot be written.
    #[error("cannot write the results of {partition} up to offset {position}: {source}")]
    Write {
        /// The partition that was read.
        partition: TopicPartition,
        /// The offset that it was read up to.
        position: Offset,
        /// The reason.
        source: ClientError,
    },
    /// A batch cannot be read.
    #[error("{partition}, batch at offset {offset}: {source}")]
    Batch {
        /// The partition that was read.
        partition: TopicPartition,
        /// The batch's base offset.
        offset: Offset,
        /// What is wrong.
        source: BatchError,
    },
    /// A repartition topic is there already, with another number of partitions.
    #[error(
        "repartition topic '{topic}' has {found} partitions, expected {expected}; delete the topic and run again"
    )]
    Repartition {
        /// The topic.
        topic: TopicName,
        /// What the program asks for.
        expected: i32,
        /// What is there.
        found: i32,
    },
    /// The end offsets of the sources were signalled, and this partition's is missing.
    #[error("no end offset was signalled for {0}")]
    NoEnd(TopicPartition),
    /// A closure of the program panicked.
    #[error("the task of {partition} panicked: {message}")]
    Panicked {
        /// What it read.
        partition: String,
        /// What it said.
        message: String,
    },
}

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
    /// How topics are read; under `read_committed` records of open and aborted transactions do not
    /// count.
    pub consumer: ConsumerConfig,
}

/// A broker may sync for each batch, and a partition has one batch at a time under way.
const BATCH_BYTES: usize = 256 << 10;

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            start: Start::default(),
            stop: Bound::default(),
            idle: None,
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
            let run = Run::prepare(&self, client, options).await?;
            let lanes = run.lanes(&self).await?;
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

/// How topics of `.to(…)` are created: where a source holds records of more than Kafka's default,
/// what is made of one may be as large, twice that with what is added.
async fn sink_configs(
    client: &Client,
    sources: impl Iterator<Item = &TopicName>,
) -> BTreeMap<String, String> {
    let mut largest = 0;
    for topic in sources {
        // A broker may refuse to report it; then the default has to do.
        largest = largest.max(client.message_bytes_max(topic).await.unwrap_or(0));
    }
    if largest <= MESSAGE_BYTES_MAX_DEFAULT {
        return BTreeMap::new();
    }
    let bytes_max = largest.saturating_mul(2).min(i32::MAX as usize);
    BTreeMap::from([("max.message.bytes".to_owned(), bytes_max.to_string())])
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

/// What a repartition topic needs: no retention takes its records away before they are read; they
/// get the broker's clock, so that none is refused because ours is wrong; and whatever a source
/// holds fits.
const REPARTITION_CONFIGS: [(&str, &str); 5] = [
    ("cleanup.policy", "delete"),
    ("max.message.bytes", REPARTITION_MESSAGE_BYTES_MAX),
    ("message.timestamp.type", "LogAppendTime"),
    ("retention.bytes", "-1"),
    ("retention.ms", "-1"),
];

/// What a source may hold, with what we add to it: no other limit comes first.
const REPARTITION_MESSAGE_BYTES_MAX: &str = "2147483647";

/// Topics of results take any event time: bookings lie ahead of the clock.
const SINK_CONFIGS: [(&str, &str); 2] = [
    ("message.timestamp.after.max.ms", FOREVER_MS),
    ("message.timestamp.before.max.ms", FOREVER_MS),
];
const FOREVER_MS: &str = "9223372036854775807";

fn configs(of: &[(&str, &str)]) -> BTreeMap<String, String> {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    of.iter().map(owned).collect()
}

async fn create_repartition(
    client: &Client,
    topic: &TopicName,
    partitions: i32,
) -> Result<(), RunError> {
    let wanted = configs(&REPARTITION_CONFIGS);
    create(client, topic, Some(partitions), &wanted).await?;
    let found = wait_for(client, topic).await?;
    if found == partitions {
        return Ok(());
    }
    Err(RunError::Repartition {
        topic: topic.clone(),
        expected: partitions,
        found,
    })
}

/// Creates a topic of results unless it is there.
async fn create_sink(
    client: &Client,
    topic: &TopicName,
    others: &BTreeMap<String, String>,
) -> Result<(), RunError> {
    let mut wanted = configs(&SINK_CONFIGS);
    wanted.extend(others.clone());
    match create(client, topic, None, &wanted).await {
        // Kafka knows these settings since 3.6 (KIP-937).
        Err(RunError::Client(ClientError::Broker {
            code: ErrorCode::InvalidConfig,
            ..
        })) => create(client, topic, None, others).await,
        created => created,
    }
}

/// Creates a topic unless it is there.
async fn create(
    client: &Client,
    topic: &TopicName,
    partitions: Option<i32>,
    configs: &BTreeMap<String, String>,
) -> Result<(), RunError> {
    match client.create_topic(topic, partitions, configs).await {
        Ok(()) => Ok(wait_for(client, topic).await.map(drop)?),
        Err(ClientError::Broker {
            code: ErrorCode::TopicAlreadyExists,
            ..
        }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// A cluster needs a moment until every broker knows a new topic.
async fn wait_for(client: &Client, topic: &TopicName) -> Result<i32, ClientError> {
    for _ in 1..LOOKUPS_MAX {
        match client.partition_count(topic).await {
            Err(ClientError::UnknownTopic(_)) => client.pause(LOOKUP_PAUSE).await,
            answer => return answer,
        }
    }
    client.partition_count(topic).await
}

/// Runs all lanes; the first failure stops the others.
async fn drive(lanes: Vec<Lane>) -> Result<(), RunError> {
    let mut running = JoinSet::new();
    let mut names = BTreeMap::new();
    for lane in lanes {
        let name = lane.partition.to_string();
        let handle = running.spawn(lane.run());
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
