//! Markers: a decided end is written to every partition of its transaction.
//!
//! ```text
//!  PrepareCommit ─▶ markers appended ─▶ all synced ─▶ CompleteCommit, in the page cache
//!                     ▲        │ one cannot be written
//!                     └────────┘ again a second later; a restart writes all of them again
//! ```
//!
//! A marker that is written twice does no harm: the second ends nothing. A partition that was
//! deleted needs none.
//!
//! The decision is synced before anything follows from it. Its completion is not: it only saves the
//! next start from writing the markers again, and they are synced before it is written. Kafka, too,
//! answers EndTxn at the decision; here the next transaction begins without a wait, and the sync of
//! its first record is also that of the completion.
//! - If the completion is lost, the log ends with the decision: everything after it is lost, too,
//!   and no producer has been answered that the next transaction began. The start writes the
//!   markers once more and completes.
//! - So the markers are never written again once the next transaction has a record, which they
//!   would end if its epoch were the same (before KIP-890).
//! - An answer that shows the completion (DescribeTransactions, ListTransactions, a repeated
//!   EndTxn) leaves once it is synced, as any answer of the driver does.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use brooklet_log::LogError;
use brooklet_machines::transaction::{Marked, MarkerJob};
use brooklet_protocol::{Monotonic, Offset, PartitionId, TopicPartition};

use super::{CoordinatorError, GroupCoordinator, OFFSETS_TOPIC, TransactionCoordinator};
use crate::driver::DriverError;
use crate::partition::{Durability, Partition, PartitionState};

/// How long to wait before a marker that could not be written is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The outcome for one marker.
enum Outcome {
    /// It is in the log, below this offset, and must be synced.
    Written(Arc<Partition>, Offset),
    /// It is no longer needed.
    Needless,
}

impl TransactionCoordinator {
    /// Writes the markers, however long it takes, and completes the transaction.
    pub(super) async fn carry_out(self: Arc<Self>, job: MarkerJob) {
        let mut shutdown = self.shards.setup().shutdown.clone();
        tokio::select! {
            () = self.mark_and_complete(job) => {}
            _ = shutdown.wait_for(|stop| *stop) => {}
        }
    }

    async fn mark_and_complete(&self, job: MarkerJob) {
        let clock = &self.shards.setup().clock;
        let mut left = job.partitions.clone();
        let mut has_warned = false;
        loop {
            left = self.mark(&job, left).await;
            if left.is_empty() {
                break;
            }
            if !std::mem::replace(&mut has_warned, true) {
                let left: Vec<_> = left.iter().map(ToString::to_string).collect();
                tracing::warn!(
                    "transaction '{}' waits for its markers in {}: trying again every second",
                    job.id,
                    left.join(", ")
                );
            }
            let again = Monotonic(clock.monotonic().0 + RETRY_AFTER);
            clock.sleep_until(again).await;
        }
        if let Err(error) = self.complete(&job).await {
            tracing::error!(
                "transaction '{}' has its markers but cannot be completed; the next start does that: {error}",
                job.id
            );
        }
        self.ended.notify_waiters();
    }

    async fn complete(&self, job: &MarkerJob) -> Result<(), CoordinatorError> {
        let driver = self.shards.of(&job.id).await?;
        let (id, producer) = (job.id.clone(), job.producer);
        driver.write(Marked { id, producer })?;
        Ok(())
    }

    /// Writes and syncs the markers of `partitions`; returns those that it could not write.
    async fn mark(
        &self,
        job: &MarkerJob,
        partitions: BTreeSet<TopicPartition>,
    ) -> BTreeSet<TopicPartition> {
        let (offsets, data): (BTreeSet<_>, BTreeSet<_>) = partitions
            .into_iter()
            .partition(|at| at.topic.as_str() == OFFSETS_TOPIC);
        let (mut left, more) = tokio::join!(
            self.mark_data(job, data),
            mark_offsets(&self.groups, job, offsets)
        );
        left.extend(more);
        left
    }

    async fn mark_data(
        &self,
        job: &MarkerJob,
        partitions: BTreeSet<TopicPartition>,
    ) -> BTreeSet<TopicPartition> {
        let mut left = BTreeSet::new();
        let mut written = Vec::with_capacity(partitions.len());
        for at in partitions {
            match self.append(job, &at) {
                Ok(Outcome::Written(partition, end)) => {
                    // Begin all of them first, so that the syncs overlap.
                    partition.begin_commit(end);
                    written.push((at, partition, end));
                }
                Ok(Outcome::Needless) => {}
                Err(error) => {
                    tracing::debug!("cannot write a marker to {at}: {error}");
                    left.insert(at);
                }
            }
        }
        for (at, partition, end) in written {
            if let Err(error) = partition.commit(end, Durability::Synced).await {
                tracing::debug!("cannot sync the marker in {at}: {error}");
                left.insert(at);
            }
        }
        left
    }

    fn append(&self, job: &MarkerJob, at: &TopicPartition) -> Result<Outcome, CoordinatorError> {
        let image = self.shards.setup().controller.image();
        let offline = || {
            let error = LogError::Offline {
                path: at.to_string().into(),
            };
            CoordinatorError::Driver(DriverError::Log(error))
        };
        let partition = match image.partition(at.topic.as_str(), at.partition) {
            // It was deleted.
            None => return Ok(Outcome::Needless),
            Some(state) => PartitionState::open(state).ok_or_else(offline)?,
        };
        match partition.append_marker(job.producer, job.committed, None) {
            Ok(appended) => {
                let end = appended.last_offset.plus(1);
                Ok(Outcome::Written(Arc::clone(partition), end))
            }
            // A later incarnation has written there already; so this one has ended there, too.
            Err(LogError::Producer(error)) => {
                tracing::warn!("cannot write a marker to {at}: {error}");
                Ok(Outcome::Needless)
            }
            Err(error) => Err(CoordinatorError::Driver(error.into())),
        }
    }
}

async fn mark_offsets(
    groups: &GroupCoordinator,
    job: &MarkerJob,
    partitions: BTreeSet<TopicPartition>,
) -> BTreeSet<TopicPartition> {
    let mut left = BTreeSet::new();
    for at in partitions {
        let PartitionId(number) = at.partition;
        let ended = groups
            .end_transaction(at.partition, job.producer, job.committed)
            .await;
        match ended {
            Ok(()) => {}
            Err(CoordinatorError::Driver(DriverError::Log(LogError::Producer(error)))) => {
                tracing::warn!("cannot write a marker to {OFFSETS_TOPIC}-{number}: {error}");
            }
            Err(error) => {
                tracing::debug!("cannot write a marker to {OFFSETS_TOPIC}-{number}: {error}");
                left.insert(at);
            }
        }
    }
    left
}
