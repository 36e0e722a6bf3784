//! One run, from the creation of its topic to the report.

use std::time::{Duration, Instant};

use brooklet_client::{Acks, Client, Consumer, ConsumerConfig, Producer, ProducerConfig};
use brooklet_protocol::{Offset, PartitionId, TopicPartition};

use crate::generator::{self, Plan, RunClock, Running};
use crate::load::{Bench, Load};
use crate::payload::Payload;
use crate::report::Report;
use crate::schedule::{Phases, Rate, Schedule};
use crate::topic::OwnTopic;
use crate::{consume, e2e, produce};

/// The broker under load.
#[derive(Clone, Debug)]
pub struct Target {
    /// Where to connect to: `HOST:PORT,..`.
    pub address: String,
    /// Whether it runs in this process, and its work shows in this process's processor time.
    pub is_embedded: bool,
}

/// How a run ended.
#[derive(Debug)]
pub enum Outcome<S> {
    /// It ran to its end.
    Measured(Report),
    /// It was stopped.
    Stopped(S),
}

/// A run under way.
pub(crate) struct Run<'a> {
    pub(crate) target: &'a Target,
    pub(crate) load: &'a Load,
    pub(crate) topic: &'a OwnTopic,
    note: &'a dyn Fn(&str),
}

/// Creates a topic, measures on it to the end or until `stop`, and deletes it in either case.
/// `note` hears what is being done.
///
/// # Errors
/// The broker cannot be reached or refuses a request; the topic could not be deleted.
pub async fn measure<S>(
    target: &Target,
    load: &Load,
    bench: &Bench,
    note: &dyn Fn(&str),
    stop: impl Future<Output = S>,
) -> anyhow::Result<Outcome<S>> {
    load.check(bench)?;
    let client = target.connect().await?;
    let topic = OwnTopic::create(client, load.partitions, &load.topic_configs).await?;
    let run = Run {
        target,
        load,
        topic: &topic,
        note,
    };
    let outcome = tokio::select! {
        report = run.measure(bench) => report.map(Outcome::Measured),
        stopped = stop => Ok(Outcome::Stopped(stopped)),
    };
    let deleted = topic.delete().await;
    let outcome = outcome?;
    deleted?;
    Ok(outcome)
}

impl Target {
    /// A client with connections of its own.
    async fn connect(&self) -> anyhow::Result<Client> {
        Ok(Client::connect(&self.address, "brooklet-bench").await?)
    }
}

impl Run<'_> {
    async fn measure(&self, bench: &Bench) -> anyhow::Result<Report> {
        self.topic
            .await_leaders(&self.target.connect().await?)
            .await?;
        let durability = self.topic.durability(self.load.acks).await?;
        let measured = match *bench {
            Bench::Produce { rate, pace } => produce::run(self, rate, pace).await?,
            Bench::Consume { records, consumers } => consume::run(self, records, consumers).await?,
            Bench::E2e {
                per_second,
                pace,
                consumers,
            } => e2e::run(self, Rate::PerSecond(per_second), pace, consumers).await?,
        };
        Ok(Report::new(self, durability, measured))
    }

    pub(crate) fn say(&self, what: &str) {
        (self.note)(what);
    }

    /// A client that knows the topic.
    pub(crate) async fn client(&self) -> anyhow::Result<Client> {
        let client = self.target.connect().await?;
        self.topic.await_leaders(&client).await?;
        Ok(client)
    }

    pub(crate) async fn producer(&self, linger: Duration) -> anyhow::Result<Producer> {
        let acks = self.load.acks;
        let config = ProducerConfig {
            acks,
            linger,
            batch_bytes: self.load.batch_bytes,
            compression: self.load.compression,
            idempotence: acks == Acks::All,
            create_topics: false,
            ..ProducerConfig::default()
        };
        Ok(Producer::new(self.client().await?, config).await?)
    }

    /// Starts all producers; the run's time begins.
    pub(crate) async fn start_producers(
        &self,
        (rate, phases): (Rate, Phases),
        linger: Duration,
        is_stamped: bool,
    ) -> anyhow::Result<(RunClock, Vec<Running>)> {
        let mut producers = Vec::new();
        for _ in 0..self.load.producers {
            producers.push(self.producer(linger).await?);
        }
        let clock = RunClock(Instant::now());
        let workers = (0..self.load.producers).zip(producers);
        let running = workers.map(|(worker, producer)| {
            let plan = Plan {
                producer,
                topic: self.topic.name.clone(),
                partitions: usize::try_from(self.load.partitions)?,
                schedule: Schedule::new(rate, worker, self.load.producers),
                phases,
                payload: Payload::new(&self.load.content, self.load.value_bytes, worker.into()),
                is_stamped,
            };
            generator::start(plan, clock)
        });
        Ok((clock, running.collect::<anyhow::Result<_>>()?))
    }

    /// Consumer number `number` of `count`, at the beginning of its share of the partitions.
    pub(crate) async fn consumer(&self, number: u32, count: u32) -> anyhow::Result<Consumer> {
        let mut consumer = Consumer::new(self.client().await?, ConsumerConfig::default());
        let share = self.share(number, count);
        consumer.assign(share.map(|partition| (partition, Offset::ZERO)));
        Ok(consumer)
    }

    /// The partitions of consumer number `number` of `count`: every `count`-th one.
    pub(crate) fn share(&self, number: u32, count: u32) -> impl Iterator<Item = TopicPartition> {
        let own = (0..self.load.partitions).skip(number as usize);
        let partition = |id| TopicPartition::new(self.topic.name.clone(), PartitionId(id));
        own.step_by(count as usize).map(partition)
    }
}
