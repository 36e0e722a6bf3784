//! Markers: a decided end is told to every partition that the transaction was in.
//!
//! ```text
//!  PrepareCommit ─▶ markers appended ─▶ all synced ─▶ CompleteCommit, in the page cache
//!                     ▲        │ one cannot be written
//!                     └────────┘ again, a little later; a restart begins with all of them
//! ```
//!
//! A marker that is written twice does no harm: the second ends nothing. A partition that is no more needs
//! none.
//!
//! The decision is synced before anything follows from it. Its completion is not, as it only spares the
//! next start the writing of the markers, which are synced before it is written. Kafka, too, answers
//! EndTxn at the decision; here the next transaction goes on without a wait, and the sync of its first
//! record is that of the completion.
//! - If it is lost, the log ends with the decision: all that comes behind is lost with it, and the next
//!   transaction was not begun for anybody. The start writes the markers once more and completes.
//! - So the markers never come again once the next transaction has a record, which they would end if
//!   its epoch were the same (before KIP-890).
//! - Whoever is told of the completion (DescribeTransactions, ListTransactions, a repeated EndTxn) waits
//!   until it is synced, as with any answer of the driver.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use brooklet_log::LogError;
use brooklet_machines::transaction::{Command, Marking};
use brooklet_protocol::{Monotonic, Offset, PartitionId, TopicPartition};

use super::{CoordinatorError, GroupCoordinator, OFFSETS_TOPIC, TransactionCoordinator};
use crate::driver::DriverError;
use crate::partition::{Durability, Partition, PartitionState};

/// How long after a marker could not be written it is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What has come of a marker.
enum Marked {
    /// It is in the log, up to here, and is to be synced.
    Written(Arc<Partition>, Offset),
    /// It is not needed any more.
    Needless,
}

impl TransactionCoordinator {
    /// Writes the markers, however long it takes, and completes the transaction.
    pub(super) async fn carry_out(self: Arc<Self>, marking: Marking) {
        let mut shutdown = self.shards.setup().shutdown.clone();
        tokio::select! {
            () = self.mark_and_complete(marking) => {}
            _ = shutdown.wait_for(|stop| *stop) => {}
        }
    }

    async fn mark_and_complete(&self, marking: Marking) {
        let clock = &self.shards.setup().clock;
        let mut left = marking.partitions.clone();
        let mut was_told = false;
        loop {
            left = self.mark(&marking, left).await;
            if left.is_empty() {
                break;
            }
            if !std::mem::replace(&mut was_told, true) {
                let left: Vec<_> = left.iter().map(ToString::to_string).collect();
                tracing::warn!(
                    "transaction '{}' waits to end in {}: trying again each second",
                    marking.id,
                    left.join(", ")
                );
            }
            let again = Monotonic(clock.monotonic().0 + RETRY_AFTER);
            clock.sleep_until(again).await;
        }
        if let Err(error) = self.complete(&marking).await {
            tracing::error!("transaction '{}' does not end: {error}", marking.id);
        }
        self.ended.notify_waiters();
    }

    async fn complete(&self, marking: &Marking) -> Result<(), CoordinatorError> {
        let driver = self.shards.of(&marking.id).await?;
        driver.write(Command::Marked(marking.id.clone(), marking.producer))?;
        Ok(())
    }

    /// Writes markers to `places`, and syncs them; gives those that it could not write.
    async fn mark(
        &self,
        marking: &Marking,
        places: BTreeSet<TopicPartition>,
    ) -> BTreeSet<TopicPartition> {
        let (offsets, data): (BTreeSet<_>, BTreeSet<_>) = places
            .into_iter()
            .partition(|place| place.topic.as_str() == OFFSETS_TOPIC);
        let (mut left, more) = tokio::join!(
            self.mark_data(marking, data),
            mark_offsets(&self.groups, marking, offsets)
        );
        left.extend(more);
        left
    }

    async fn mark_data(
        &self,
        marking: &Marking,
        places: BTreeSet<TopicPartition>,
    ) -> BTreeSet<TopicPartition> {
        let mut left = BTreeSet::new();
        let mut written = Vec::with_capacity(places.len());
        for place in places {
            match self.append(marking, &place) {
                Ok(Marked::Written(partition, end)) => {
                    // All of them first, so that their syncs overlap.
                    partition.begin_commit(end);
                    written.push((place, partition, end));
                }
                Ok(Marked::Needless) => {}
                Err(error) => {
                    tracing::debug!("no marker for {place}: {error}");
                    left.insert(place);
                }
            }
        }
        for (place, partition, end) in written {
            if let Err(error) = partition.commit(end, Durability::Synced).await {
                tracing::debug!("the marker of {place} is not synced: {error}");
                left.insert(place);
            }
        }
        left
    }

    fn append(
        &self,
        marking: &Marking,
        place: &TopicPartition,
    ) -> Result<Marked, CoordinatorError> {
        let image = self.shards.setup().controller.image();
        let offline = || {
            let error = LogError::Offline {
                path: place.to_string().into(),
            };
            CoordinatorError::Driver(DriverError::Log(error))
        };
        let partition = match image.partition(place.topic.as_str(), place.partition) {
            // It was deleted.
            None => return Ok(Marked::Needless),
            Some(state) => PartitionState::open(state).ok_or_else(offline)?,
        };
        match partition.append_marker(marking.producer, marking.committed, None) {
            Ok(appended) => {
                let end = appended.last_offset.plus(1);
                Ok(Marked::Written(Arc::clone(partition), end))
            }
            // A later incarnation is there already; then an end of this one is, too.
            Err(LogError::Producer(error)) => {
                tracing::warn!("no marker for {place}: {error}");
                Ok(Marked::Needless)
            }
            Err(error) => Err(CoordinatorError::Driver(error.into())),
        }
    }
}

async fn mark_offsets(
    groups: &GroupCoordinator,
    marking: &Marking,
    places: BTreeSet<TopicPartition>,
) -> BTreeSet<TopicPartition> {
    let mut left = BTreeSet::new();
    for place in places {
        let PartitionId(number) = place.partition;
        let ended = groups
            .end_transaction(place.partition, marking.producer, marking.committed)
            .await;
        match ended {
            Ok(()) => {}
            Err(CoordinatorError::Driver(DriverError::Log(LogError::Producer(error)))) => {
                tracing::warn!("no marker for {OFFSETS_TOPIC}-{number}: {error}");
            }
            Err(error) => {
                tracing::debug!("no marker for {OFFSETS_TOPIC}-{number}: {error}");
                left.insert(place);
            }
        }
    }
    left
}
