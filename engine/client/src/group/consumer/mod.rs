//! A consumer in a group: the group decides what it reads.
//!
//! One rule for all: *what a poll has returned is done with at the next poll*. So records that a
//! poll returned are committed by a later one (`enable.auto.commit`), and partitions that a poll
//! says are revoked are given up by the next:
//!
//! ```text
//!  poll ─▶ Records     the program works
//!  poll ─▶ Revoked     (auto commit: their offsets are committed by now) the program may commit
//!  poll ─▶             they are given up, the member joins again
//!  poll ─▶ Assigned    the program may seek
//!  poll ─▶ Records     from the committed offsets, else by auto.offset.reset
//! ```
//!
//! A program that commits with transactions (KIP-447) turns auto commit off, and has the same
//! moments:
//!
//! ```text
//!  poll ─▶ Records     begin, send; now and then group_metadata, send_offsets, commit
//!  poll ─▶ Revoked     group_metadata, send_offsets, commit: the next owner starts there
//!  poll ─▶ Lost        abort: the group has given the partitions to others
//! ```
//!
//! `poll` may be dropped at any await: what it would have returned, the next one returns.
//!
//! Left out: subscriptions by pattern and their changes (make another consumer); metadata of
//! offsets, except with transactions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use brooklet_protocol::{Offset, TopicName, TopicPartition};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};
use tracing::{debug, warn};

use super::GroupEvent;
use super::driver::{self, Shared};
use super::membership::{Membership, Terms};
use super::protocol::Partitions;
use crate::transport::BoxFuture;
use crate::{
    Client, ClientError, Consumer, Fetched, GroupConfig, GroupMetadata, Isolation, OffsetReset,
    OffsetSpec, StartAt,
};

/// What a poll brings.
#[derive(Clone, Debug)]
pub enum Polled {
    /// Records, or none in `fetch.max.wait.ms`.
    Records(Vec<Fetched>),
    /// These partitions came, and have positions (or wait for them, with [`StartAt::Sought`]).
    /// Nothing of them is fetched before the next poll.
    Assigned(BTreeSet<TopicPartition>),
    /// These go to others at the next poll; until then their offsets can be committed.
    Revoked(BTreeSet<TopicPartition>),
    /// These are gone already, and others may have read them: it is too late for a commit.
    Lost(BTreeSet<TopicPartition>),
}

/// Resolves to the outcome of a commit. May be dropped.
#[derive(Debug)]
pub struct Commit(oneshot::Receiver<Result<(), ClientError>>);

impl Commit {
    /// Waits for the answer.
    ///
    /// # Errors
    /// As [`GroupConsumer::commit_sync`]; `Closed` if the consumer was dropped first.
    pub async fn wait(self) -> Result<(), ClientError> {
        self.0.await.unwrap_or(Err(ClientError::Closed))
    }
}

/// Reads, as a member of a group, the partitions that the group assigns to it. Must be polled every
/// now and then (`max.poll.interval.ms`).
#[derive(Debug)]
pub struct GroupConsumer {
    consumer: Consumer,
    config: GroupConfig,
    shared: Arc<Shared>,
    driver: JoinHandle<()>,
    /// In the order in which they were asked for.
    commits: JoinSet<()>,
    commit_at: Duration,
    /// Whether the first event was returned, so that the next poll acknowledges it.
    is_event_returned: bool,
}

impl Drop for GroupConsumer {
    /// Without [`GroupConsumer::close`] the others wait for the session's end.
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl GroupConsumer {
    /// Joins a group; a task on the current tokio runtime keeps up the membership.
    ///
    /// ```
    /// # use brooklet_client::{GroupConfig, GroupConsumer, OffsetReset, Polled};
    /// # use brooklet_broker::Broker;
    /// # use brooklet_client::Client;
    /// # use brooklet_client::{NewRecord, Producer, ProducerConfig};
    /// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    /// # runtime.block_on(async {
    /// # let broker = Broker::ephemeral().await?;
    /// # let client = Client::embedded(broker.clone(), "my-test");
    /// # let topic = brooklet_protocol::TopicName::new("clicks")?;
    /// # let producer = Producer::new(client.clone(), ProducerConfig::default()).await?;
    /// # let record = NewRecord { value: Some("home".into()), ..NewRecord::default() };
    /// # producer.send(&topic, record).await?.wait().await?;
    /// let config = GroupConfig { offset_reset: OffsetReset::Earliest, ..GroupConfig::new("readers") };
    /// let mut consumer = GroupConsumer::subscribe(client, config, [topic]);
    /// let fetched = loop {
    ///     match consumer.poll().await? {
    ///         Polled::Records(fetched) if !fetched.is_empty() => break fetched,
    ///         _ => {}
    ///     }
    /// };
    /// assert_eq!(fetched[0].partition.to_string(), "clicks-0");
    /// consumer.close().await?;
    /// # broker.shutdown().await?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Panics
    /// Without an assignor.
    pub fn subscribe(
        client: Client,
        config: GroupConfig,
        topics: impl IntoIterator<Item = TopicName>,
    ) -> Self {
        assert!(!config.assignors.is_empty(), "a member knows an assignor");
        let terms = terms(&config, topics.into_iter().collect());
        let membership = |now| Membership::new(terms, now);
        let shared = Shared::new(client.clone(), config.group.clone(), membership);
        let shared = Arc::new(shared);
        Self {
            consumer: Consumer::new(client, config.consumer.clone()),
            driver: tokio::spawn(driver::run(Arc::clone(&shared))),
            commit_at: shared.now() + config.auto_commit_interval,
            config,
            shared,
            commits: JoinSet::new(),
            is_event_returned: false,
        }
    }

    /// Waits for records or for a change of what is read, at most `fetch.max.wait.ms`. Cancel-safe.
    ///
    /// # Errors
    /// The member was refused for good (`Broker`, for instance with `FencedInstanceId`); `NoOffset`
    /// and `OffsetOutOfRange` without `auto.offset.reset`; whatever [`Consumer::poll`] fails with.
    pub fn poll(&mut self) -> BoxFuture<'_, Result<Polled, ClientError>> {
        Box::pin(async move {
            self.note_polled();
            self.finish_event();
            self.commit_if_due();
            loop {
                while self.commits.try_join_next().is_some() {}
                let (event, failure) = {
                    let mut membership = self.shared.membership.lock();
                    (membership.event().cloned(), membership.take_failure())
                };
                if let Some(failure) = failure {
                    return Err(failure);
                }
                if let Some(event) = event {
                    let polled = self.take_up(event).await?;
                    self.is_event_returned = true;
                    return Ok(polled);
                }
                let changed = self.shared.changed.notified();
                let fetched = tokio::select! {
                    fetched = self.consumer.poll() => fetched,
                    () = changed => continue,
                };
                self.note_polled();
                match fetched {
                    Ok(fetched) => return Ok(Polled::Records(fetched)),
                    Err(ClientError::OffsetOutOfRange { partition, offset }) => {
                        self.reset(partition, offset).await?;
                    }
                    Err(error) => return Err(error),
                }
            }
        })
    }

    /// What is read: the partitions that are assigned and have a position.
    pub fn assignment(&self) -> BTreeSet<TopicPartition> {
        self.consumer.positions().into_keys().collect()
    }

    /// The offset of the next record of a partition, if it is read.
    pub fn position(&self, partition: &TopicPartition) -> Option<Offset> {
        self.consumer.position(partition)
    }

    /// Whether the last answer about a partition left nothing to be read.
    pub fn is_caught_up(&self, partition: &TopicPartition) -> bool {
        self.consumer.is_caught_up(partition)
    }

    /// The id that the coordinator gave, and the generation; `None` outside of any.
    pub fn member(&self) -> Option<(String, i32)> {
        let identity = self.shared.membership.lock().identity();
        identity.map(|identity| (identity.member_id, identity.generation))
    }

    /// In whose name a transaction commits the offsets of what this member reads
    /// ([`TransactionalProducer::send_offsets`](crate::TransactionalProducer::send_offsets)). The
    /// member stays in its generation until the next poll, so that the offsets are not refused for
    /// a rebalance that begins meanwhile; the others wait for it as long as
    /// `max.poll.interval.ms`.
    ///
    /// `None` outside of any generation, and while the group agrees on the next one: then poll,
    /// and ask again.
    pub fn group_metadata(&mut self) -> Option<GroupMetadata> {
        let identity = self.shared.membership.lock().hold()?;
        Some(GroupMetadata {
            group_id: self.config.group.clone(),
            generation: identity.generation,
            member_id: identity.member_id,
            instance_id: identity.instance_id,
        })
    }

    /// The offsets that the group has committed in these partitions; those without one are absent.
    ///
    /// # Errors
    /// No answer.
    pub fn committed<'a>(
        &'a self,
        partitions: &'a BTreeSet<TopicPartition>,
    ) -> BoxFuture<'a, Result<BTreeMap<TopicPartition, Offset>, ClientError>> {
        Box::pin(async move {
            let is_stable = self.config.consumer.isolation == Isolation::ReadCommitted;
            self.shared.committed(partitions, is_stable).await
        })
    }

    /// Goes on from another offset; a partition that is not assigned is not read by this either.
    pub fn seek(&mut self, partition: &TopicPartition, offset: Offset) {
        if self.is_assigned(partition) {
            self.consumer.seek(partition, offset);
        }
    }

    /// Stops fetching a partition until it is resumed, or assigned again.
    pub fn pause(&mut self, partition: &TopicPartition) {
        self.consumer.pause(partition);
    }

    /// Goes on fetching a partition.
    pub fn resume(&mut self, partition: &TopicPartition) {
        self.consumer.resume(partition);
    }

    /// The offsets of the next records of all that is read: what a commit without offsets commits.
    pub fn positions(&self) -> BTreeMap<TopicPartition, Offset> {
        self.consumer.positions()
    }

    /// Commits these offsets, after whatever is being committed already.
    ///
    /// # Errors
    /// `Broker` with `UnknownMemberId`, `IllegalGeneration` or `RebalanceInProgress`: the
    /// partitions may be another's by now; no answer.
    pub fn commit_sync<'a>(
        &'a mut self,
        offsets: &'a BTreeMap<TopicPartition, Offset>,
    ) -> BoxFuture<'a, Result<(), ClientError>> {
        Box::pin(async move {
            while self.commits.join_next().await.is_some() {}
            self.shared.commit(offsets).await
        })
    }

    /// Commits these offsets while the program goes on.
    pub fn commit_async(&mut self, offsets: BTreeMap<TopicPartition, Offset>) -> Commit {
        let (completed, outcome) = oneshot::channel();
        let shared = Arc::clone(&self.shared);
        self.commits.spawn(async move {
            let result = shared.commit(&offsets).await;
            if let Err(Err(error)) = completed.send(result) {
                // Nobody waits for it; the next commit says as much.
                debug!(group = shared.group, %error, "commit failed");
            }
        });
        Commit(outcome)
    }

    /// Commits (`enable.auto.commit`) and leaves, so that the others take over at once.
    ///
    /// # Errors
    /// The commit failed; the member has left all the same.
    pub fn close(mut self) -> BoxFuture<'static, Result<(), ClientError>> {
        Box::pin(async move {
            self.finish_event();
            let committed = if self.config.auto_commit && self.member().is_some() {
                let positions = self.consumer.positions();
                self.commit_sync(&positions).await
            } else {
                while self.commits.join_next().await.is_some() {}
                Ok(())
            };
            self.shared.membership.lock().leave();
            self.shared.wake.notify_one();
            match (&mut self.driver).await {
                Ok(()) => committed,
                Err(error) => match error.try_into_panic() {
                    Ok(panic) => std::panic::resume_unwind(panic),
                    Err(_) => committed,
                },
            }
        })
    }

    fn note_polled(&self) {
        let now = self.shared.now();
        self.shared.membership.lock().polled(now);
        self.shared.wake.notify_one();
    }

    fn is_assigned(&self, partition: &TopicPartition) -> bool {
        // What is revoked has a position until that is acknowledged; what is new may have none yet.
        self.consumer.position(partition).is_some() || self.shared.membership.lock().owns(partition)
    }

    /// What the last poll said is done with.
    fn finish_event(&mut self) {
        if !std::mem::take(&mut self.is_event_returned) {
            return;
        }
        let event = self.shared.membership.lock().acknowledge();
        if let Some(GroupEvent::Revoked(gone) | GroupEvent::Lost(gone)) = event {
            for partition in &gone {
                self.consumer.remove(partition);
            }
        }
        self.shared.wake.notify_one();
    }

    fn commit_if_due(&mut self) {
        let now = self.shared.now();
        if self.config.auto_commit && now >= self.commit_at && self.commits.is_empty() {
            self.commit_at = now + self.config.auto_commit_interval;
            let positions = self.consumer.positions();
            if self.member().is_some() {
                self.commit_async(positions);
            }
        }
    }

    async fn take_up(&mut self, event: GroupEvent) -> Result<Polled, ClientError> {
        Ok(match event {
            GroupEvent::Assigned(new) => {
                if self.config.start_at == StartAt::Committed {
                    self.set_positions(&new).await?;
                }
                Polled::Assigned(new)
            }
            GroupEvent::Lost(gone) => Polled::Lost(gone),
            GroupEvent::Revoked(gone) => {
                let positions = self.consumer.positions();
                if self.config.auto_commit
                    && let Err(error) = self.commit_sync(&positions).await
                {
                    // As in Kafka: the next owner reads some records twice.
                    warn!(group = self.config.group, %error, "cannot commit the offsets of revoked partitions");
                }
                Polled::Revoked(gone)
            }
        })
    }

    /// Finds out where to start in partitions that have no position.
    async fn set_positions(&mut self, new: &Partitions) -> Result<(), ClientError> {
        let is_new = |partition: &&TopicPartition| self.consumer.position(partition).is_none();
        let missing: Partitions = new.iter().filter(is_new).cloned().collect();
        if missing.is_empty() {
            return Ok(());
        }
        let mut offsets = self.committed(&missing).await?;
        let rest = missing.into_iter().filter(|p| !offsets.contains_key(p));
        let rest: Vec<_> = rest.collect();
        if let Some(partition) = rest.first() {
            let Some(spec) = self.reset_to() else {
                let partition = partition.clone();
                return Err(ClientError::NoOffset { partition });
            };
            offsets.extend(self.look_up(&rest, spec).await?);
        }
        for (partition, offset) in offsets {
            self.consumer.seek(&partition, offset);
        }
        Ok(())
    }

    fn reset_to(&self) -> Option<OffsetSpec> {
        match self.config.offset_reset {
            OffsetReset::Earliest => Some(OffsetSpec::Earliest),
            OffsetReset::Latest => Some(OffsetSpec::Latest),
            OffsetReset::None => None,
        }
    }

    async fn look_up(
        &self,
        partitions: &[TopicPartition],
        spec: OffsetSpec,
    ) -> Result<BTreeMap<TopicPartition, Offset>, ClientError> {
        let isolation = self.config.consumer.isolation;
        let client = &self.shared.client;
        client.list_offsets_in(partitions, spec, isolation).await
    }

    /// Resets a partition whose offset is out of range, if that is still its position.
    async fn reset(
        &mut self,
        partition: TopicPartition,
        offset: Offset,
    ) -> Result<(), ClientError> {
        if self.consumer.position(&partition) != Some(offset) {
            return Ok(());
        }
        let Some(spec) = self.reset_to() else {
            return Err(ClientError::OffsetOutOfRange { partition, offset });
        };
        warn!(%partition, %offset, "offset out of range; resetting by auto.offset.reset");
        for (partition, offset) in self.look_up(&[partition], spec).await? {
            self.consumer.seek(&partition, offset);
        }
        Ok(())
    }
}

fn terms(config: &GroupConfig, topics: BTreeSet<TopicName>) -> Terms {
    Terms {
        group: config.group.clone(),
        instance_id: config.instance_id.clone(),
        rack: config.rack.clone(),
        topics,
        assignors: config.assignors.clone(),
        session_timeout: config.session_timeout,
        heartbeat_interval: config.heartbeat_interval,
        poll_interval_max: config.poll_interval_max,
        metadata_age_max: config.metadata_age_max,
    }
}

#[cfg(test)]
mod tests;
