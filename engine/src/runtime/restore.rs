//! Making tasks again from what an application has committed.
//!
//! ```text
//!  committed offsets and standings    where each task goes on, and how far time had come
//!  changelogs, from begin to end      the stores
//! ```
//!
//! Everything is read as committed, after the transactional id was taken over ([`super::begin`]): so
//! no transaction of ours is open, and the end of a changelog is that of the last commit.

use std::collections::BTreeMap;
use std::time::Duration;

use brooklet_client::{Client, Consumer, ConsumerConfig, Isolation, OffsetAndMetadata, OffsetSpec};
use brooklet_protocol::{Offset, TopicName, TopicPartition};

use super::lane::DECOMPRESSED_BYTES_MAX;
use super::{RunError, missing_offset};
use crate::codec::DecodeError;
use crate::task::{Task, memory};

/// The key of the plan in its topic.
pub(super) const PLAN_KEY: &[u8] = b"plan";

/// How long to wait for somebody else's transaction that holds committed offsets back: longer than
/// the transaction timeout of an application.
const STABLE_WAIT_MAX: Duration = Duration::from_secs(30);

/// Reads one partition from its begin to its end, batch by batch, as committed.
pub(super) async fn read_all(
    client: &Client,
    partition: &TopicPartition,
    mut take: impl FnMut(&[u8], Option<&[u8]>) -> Result<(), DecodeError>,
) -> Result<Result<(), DecodeError>, RunError> {
    let partitions = std::slice::from_ref(partition);
    let isolation = Isolation::ReadCommitted;
    let offset = |spec| client.list_offsets_in(partitions, spec, isolation);
    let missing = || missing_offset(partition);
    let start = offset(OffsetSpec::Earliest).await?;
    let start = *start.get(partition).ok_or_else(missing)?;
    let end = offset(OffsetSpec::Latest).await?;
    let end = *end.get(partition).ok_or_else(missing)?;
    let config = ConsumerConfig {
        isolation,
        ..ConsumerConfig::default()
    };
    let mut consumer = Consumer::new(client.clone(), config);
    consumer.assign([(partition.clone(), start)]);
    while consumer
        .position(partition)
        .is_some_and(|position| position < end)
    {
        for fetched in consumer.poll().await? {
            let batches = fetched.batches.iter();
            for batch in batches.filter(|batch| !batch.header().is_control()) {
                let damaged = |source| RunError::Batch {
                    partition: partition.clone(),
                    offset: batch.header().base_offset,
                    source,
                };
                let records = batch.records(DECOMPRESSED_BYTES_MAX).map_err(damaged)?;
                for record in &records {
                    let record = record.map_err(damaged)?;
                    if record.offset < fetched.position || record.offset >= end {
                        continue;
                    }
                    if let Err(error) = take(record.key.unwrap_or_default(), record.value) {
                        return Ok(Err(error));
                    }
                }
            }
        }
    }
    Ok(Ok(()))
}

/// The plan that the application's state belongs to; `None` if it has none yet.
pub(super) async fn stored_plan(
    client: &Client,
    topic: &TopicPartition,
) -> Result<Option<String>, RunError> {
    let mut plan = None;
    let read = read_all(client, topic, |key, value| {
        if key == PLAN_KEY {
            plan = value.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        }
        Ok(())
    });
    // It takes any bytes.
    drop(read.await?);
    Ok(plan)
}

/// What the application has committed, by the partitions that it reads.
pub(super) async fn committed(
    client: &Client,
    application: &str,
) -> Result<BTreeMap<TopicPartition, OffsetAndMetadata>, RunError> {
    Ok(client
        .stable_offsets(application, None, STABLE_WAIT_MAX)
        .await?)
}

/// Puts back what a task remembered; the offset from which it reads on, if it has committed one.
pub(super) async fn restore(
    client: &Client,
    (application, checksum): (&str, u32),
    (task, partition): (&mut dyn Task, &TopicPartition),
    committed: Option<&OffsetAndMetadata>,
) -> Result<Option<Offset>, RunError> {
    let failed = |partition: &TopicPartition, source| RunError::Restore {
        application: application.to_owned(),
        partition: partition.clone(),
        source,
    };
    let Some(committed) = committed else {
        return Ok(None);
    };
    if committed.metadata.is_empty() {
        // It has not committed anything since it began.
        return Ok(Some(committed.offset));
    }
    for changelog in memory::changelogs(task) {
        let changelog = TopicPartition::new(changelog, partition.partition);
        restore_store(client, task, &changelog)
            .await?
            .map_err(|source| failed(&changelog, source))?;
    }
    let resumed = memory::resume(task, &committed.metadata, checksum);
    resumed.map_err(|source| failed(partition, source))?;
    Ok(Some(committed.offset))
}

async fn restore_store(
    client: &Client,
    task: &mut dyn Task,
    changelog: &TopicPartition,
) -> Result<Result<(), DecodeError>, RunError> {
    let topic: TopicName = changelog.topic.clone();
    read_all(client, changelog, |key, value| {
        memory::restore(task, &topic, std::iter::once((key, value)))
    })
    .await
}
