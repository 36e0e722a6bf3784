//! How an application begins: from nothing, or from its last commit.
//!
//! ```text
//!  1. compare the plan                another program under this id must not stop the right one
//!  2. take over the transactional id  who ran before is fenced, its open transaction aborted
//!  3. create what topics are missing
//!  4. the first time: commit the plan, and the offset from which each task starts
//!  5. committed offsets, standings and changelogs make the tasks again (restore)
//! ```
//!
//! Since the plan and the first offsets are in one transaction, a plan without offsets means that
//! they are gone: a broker forgets the offsets of a group without members after
//! `offsets.retention.minutes`, counted from the commit. Starting over then would write every result
//! again, so the application says so instead. While it runs, its worker commits all offsets once an
//! hour, so that those of a partition that is never written do not age.

use std::collections::BTreeMap;
use std::time::Duration;

use brooklet_client::{
    Client, Consumer, ConsumerConfig, GroupMetadata, Isolation, OffsetAndMetadata, ProducerConfig,
    RecordRef, TransactionalProducer,
};
use brooklet_protocol::{PartitionId, TopicName, TopicPartition, crc32c};

use super::lane::End;
use super::topics::{create_changelog, create_plan};
use super::worker::{Running, Worker};
use super::{
    Application, Commits, Ends, Run, RunError, RunOptions, missing_offset, producer_config, restore,
};
use crate::dsl::App;
use crate::topology::{StageId, TopologyError};

/// `transaction.timeout.ms` of an application: how long others may have to wait for one that is
/// gone for good.
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(10);

/// The worker of an application, restored to its last commit.
pub(super) async fn worker(
    app: &App,
    client: &Client,
    options: RunOptions,
    commits: Commits,
) -> Result<Worker, RunError> {
    let (name, plan) = {
        let registry = app.shared.lock();
        (registry.name.clone(), registry.plan().text())
    };
    refuse_other_plan(&name, Application::find_plan(client, &name).await?, &plan)?;
    let mut producer = take_over(client, &name, &options).await?;
    let consumer = ConsumerConfig {
        isolation: Isolation::ReadCommitted,
        ..options.consumer.clone()
    };
    let options = RunOptions {
        consumer: consumer.clone(),
        ..options
    };
    let mut run = Run::prepare(app, client, options).await?;
    run.parallelism.is_logged = true;
    for (topic, tasks) in run.changelogs(app) {
        create_changelog(client, &topic, tasks).await?;
    }
    let begin = Begin {
        app,
        run: &run,
        name: &name,
        plan: &plan,
    };
    let starts = begin.starts().await?;
    begin.commit_first(&mut producer, &starts).await?;
    let tasks = begin.tasks(&starts).await?;
    let mut consumer = Consumer::new(client.clone(), consumer);
    consumer.assign(tasks.iter().map(|(p, task)| (p.clone(), task.position)));
    let end = begin.end().await?;
    let checksum = crc32c(plan.as_bytes());
    let worker = Worker::new((name, checksum), producer, consumer, tasks, client);
    Ok(worker
        .until(end)
        .idle_after(run.options.idle)
        .committing(commits))
}

async fn take_over(
    client: &Client,
    application: &str,
    options: &RunOptions,
) -> Result<TransactionalProducer, RunError> {
    let config = ProducerConfig {
        transactional_id: Some(format!("{application}-0")),
        transaction_timeout: TRANSACTION_TIMEOUT,
        ..producer_config(options)
    };
    Ok(TransactionalProducer::new(client.clone(), config).await?)
}

/// What beginning needs to know.
struct Begin<'a> {
    app: &'a App,
    run: &'a Run,
    name: &'a str,
    plan: &'a str,
}

impl Begin<'_> {
    /// The partitions of each stage.
    fn stages(&self) -> Vec<(StageId, Vec<TopicPartition>)> {
        let registry = self.app.shared.lock();
        let of_stage = |(stage, count): (&StageId, &i32)| {
            let topic = registry.topic_of(*stage);
            let of = |partition| TopicPartition::new(topic.clone(), PartitionId(partition));
            (*stage, (0..*count).map(of).collect())
        };
        self.run.parallelism.tasks.iter().map(of_stage).collect()
    }

    /// Where to begin to read each partition if nothing is committed.
    async fn starts(&self) -> Result<Ends, RunError> {
        let mut starts = Ends::new();
        for (stage, partitions) in self.stages() {
            starts.extend(self.run.starts(is_source(stage), &partitions).await?);
        }
        Ok(starts)
    }

    /// Where the sources end.
    async fn end(&self) -> Result<End, RunError> {
        let mut end = End::FromInput;
        for (stage, partitions) in self.stages() {
            if is_source(stage) {
                end = end.and(self.run.end(true, &partitions).await?);
            }
        }
        Ok(end)
    }

    /// The first time, writes down the plan and where each task begins.
    async fn commit_first(
        &self,
        producer: &mut TransactionalProducer,
        starts: &Ends,
    ) -> Result<(), RunError> {
        let topic = TopicName::new(&format!("{}-plan", self.name));
        let topic = topic.map_err(|reason| TopologyError::TopicName {
            name: format!("{}-plan", self.name),
            reason: reason.to_string(),
        })?;
        create_plan(&self.run.client, &topic).await?;
        let topic = TopicPartition::new(topic, PartitionId(0));
        let stored = restore::stored_plan(&self.run.client, &topic).await?;
        if refuse_other_plan(self.name, stored, self.plan)?.is_some() {
            return Ok(());
        }
        producer.begin()?;
        let record = RecordRef {
            timestamp: None,
            key: Some(restore::PLAN_KEY),
            value: Some(self.plan.as_bytes()),
            headers: &[],
        };
        producer.send_all(&topic, &[record]).await?;
        let first = starts.iter().map(|(partition, offset)| {
            let first: OffsetAndMetadata = (*offset).into();
            (partition.clone(), first)
        });
        let group = GroupMetadata::of(self.name);
        producer.send_offsets(&first.collect(), &group).await?;
        Ok(producer.commit().await?)
    }

    /// All tasks, as they were committed.
    async fn tasks(&self, starts: &Ends) -> Result<BTreeMap<TopicPartition, Running>, RunError> {
        let client = &self.run.client;
        let committed = restore::committed(client, self.name).await?;
        if committed.is_empty() {
            return Err(RunError::OffsetsLost(self.name.to_owned()));
        }
        let of = (self.name, crc32c(self.plan.as_bytes()));
        let mut tasks = BTreeMap::new();
        for (stage, partitions) in self.stages() {
            for partition in partitions {
                let number = partition.partition.0;
                let parallelism = &self.run.parallelism;
                let mut task = self.app.shared.lock().task(stage, number, parallelism);
                let of_task = committed.get(&partition);
                let restored =
                    restore::restore(client, of, (&mut *task, &partition), of_task).await?;
                let start = starts.get(&partition).copied();
                let start = start.ok_or_else(|| missing_offset(&partition))?;
                let position = restored.unwrap_or(start);
                let running = Running::new(task, position, is_source(stage), client.now());
                tasks.insert(partition, running);
            }
        }
        Ok(tasks)
    }
}

fn is_source(stage: StageId) -> bool {
    matches!(stage, StageId::Source(_))
}

/// The stored plan, if it is this one or none.
fn refuse_other_plan(
    application: &str,
    stored: Option<String>,
    plan: &str,
) -> Result<Option<String>, RunError> {
    match stored {
        Some(stored) if stored != plan => Err(RunError::PlanChanged {
            application: application.to_owned(),
            stored,
            found: plan.to_owned(),
        }),
        same => Ok(same),
    }
}
