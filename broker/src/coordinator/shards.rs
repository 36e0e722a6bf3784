//! A machine for each partition of an internal topic, loaded when it is first needed.

use std::collections::HashMap;
use std::fmt::{self, Debug};
use std::sync::Arc;

use brooklet_machines::StateMachine;
use brooklet_protocol::{PartitionId, TopicName};
use parking_lot::Mutex;
use tokio::sync::OnceCell;

use super::{CoordinatorError, CoordinatorSetup};
use crate::controller::{ControllerError, NewTopic, Topic};
use crate::driver::{Driver, Sink};
use crate::partition::{Durability, Partition, PartitionState};

/// A machine on its partition.
pub(super) type Shard<M> = Arc<Driver<M, Arc<Partition>>>;

/// What a shard is made of, beside its log.
pub(super) struct ShardSpec<M: StateMachine> {
    /// The machine, still empty.
    pub(super) machine: M,
    pub(super) sink: Sink<M::Effect>,
}

type NewShard<M> = Box<dyn Fn() -> ShardSpec<M> + Send + Sync>;

/// All machines of one internal topic.
pub(super) struct Shards<M: StateMachine> {
    topic: &'static str,
    setup: CoordinatorSetup,
    new_shard: NewShard<M>,
    served: Mutex<HashMap<PartitionId, Arc<OnceCell<Shard<M>>>>>,
}

impl<M: StateMachine> Shards<M> {
    pub(super) fn new(
        topic: &'static str,
        setup: CoordinatorSetup,
        new_shard: NewShard<M>,
    ) -> Self {
        Self {
            topic,
            setup,
            new_shard,
            served: Mutex::default(),
        }
    }

    pub(super) fn setup(&self) -> &CoordinatorSetup {
        &self.setup
    }

    /// The machine that keeps an id; its topic is created if there is none.
    pub(super) async fn of(&self, id: &str) -> Result<Shard<M>, CoordinatorError> {
        let number = self.partition_of(id).await?;
        self.at(number).await
    }

    /// The partition that keeps an id; the topic is created if there is none.
    pub(super) async fn partition_of(&self, id: &str) -> Result<PartitionId, CoordinatorError> {
        let topic = match self.topic() {
            Some(topic) => topic,
            None => self.create_topic().await?,
        };
        let count = i32::try_from(topic.partitions.len()).expect("partitions are limited");
        Ok(partition_of(id, count))
    }

    /// The machines of all partitions; none if there is no topic.
    pub(super) async fn all(&self) -> Result<Vec<Shard<M>>, CoordinatorError> {
        let count = self.topic().map_or(0, |topic| topic.partitions.len());
        let mut all = Vec::with_capacity(count);
        for number in (0..).map(PartitionId).take(count) {
            all.push(self.at(number).await?);
        }
        Ok(all)
    }

    /// A partition's machine.
    pub(super) async fn at(&self, number: PartitionId) -> Result<Shard<M>, CoordinatorError> {
        let offline = || CoordinatorError::Offline(self.topic, number.0);
        let topic = self.topic().ok_or_else(offline)?;
        let state = usize::try_from(number.0)
            .ok()
            .and_then(|n| topic.partitions.get(n));
        let partition = state.and_then(PartitionState::open).ok_or_else(offline)?;
        if partition.is_offline() {
            return Err(offline());
        }
        let cell = Arc::clone(self.served.lock().entry(number).or_default());
        let driver = cell
            .get_or_try_init(|| self.load(number, Arc::clone(partition)))
            .await?;
        Ok(Arc::clone(driver))
    }

    /// Creates the topic, unless it exists.
    pub(super) async fn create_topic(&self) -> Result<Arc<Topic>, CoordinatorError> {
        let configs = [
            ("cleanup.policy", "compact"),
            ("compression.type", "producer"),
            ("segment.bytes", "104857600"),
        ];
        let new = NewTopic {
            name: TopicName::new(self.topic).expect("the name is legal"),
            partition_count: Some(self.setup.partition_count),
            configs: configs
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
        };
        match self.setup.controller.create_topic(new).await {
            Ok(topic) => Ok(topic),
            Err(error @ ControllerError::TopicExists(_)) => self.topic().ok_or(error.into()),
            Err(error) => Err(error.into()),
        }
    }

    fn topic(&self) -> Option<Arc<Topic>> {
        self.setup.controller.image().topic(self.topic).cloned()
    }

    /// Replays a partition, and starts its machine.
    async fn load(
        &self,
        number: PartitionId,
        partition: Arc<Partition>,
    ) -> Result<Shard<M>, CoordinatorError> {
        let durability = if self.setup.sync {
            Durability::Synced
        } else {
            Durability::Written
        };
        let ShardSpec { machine, sink } = (self.new_shard)();
        let clock = Arc::clone(&self.setup.clock);
        let open = move || Driver::open(machine, partition, clock, durability, sink);
        let opened = tokio::task::spawn_blocking(open).await;
        let driver = opened.map_err(|_| CoordinatorError::Stopped)??;
        driver.start().await?;
        let (living, mut shutdown) = (Arc::clone(&driver), self.setup.shutdown.clone());
        let topic = self.topic;
        tokio::spawn(async move {
            tokio::select! {
                ended = living.run_deadlines() => if let Err(error) = ended {
                    tracing::error!("{topic}-{}: timer task stopped; expirations no longer run: {error}", number.0);
                },
                _ = shutdown.wait_for(|stop| *stop) => {}
            }
        });
        Ok(driver)
    }
}

impl<M: StateMachine> Debug for Shards<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shards")
            .field("topic", &self.topic)
            .finish_non_exhaustive()
    }
}

/// The partition of an internal topic that keeps an id: Java's hash of the id, as in Kafka, so that
/// Kafka's directories and tools agree.
fn partition_of(id: &str, partition_count: i32) -> PartitionId {
    let hash = |hash: i32, unit: u16| hash.wrapping_mul(31).wrapping_add(i32::from(unit));
    let hash = id.encode_utf16().fold(0, hash);
    PartitionId((hash & i32::MAX) % partition_count.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From `Utils.abs("…".hashCode()) % n` in a JVM.
    #[test]
    fn ids_are_where_kafka_has_them() {
        assert_eq!(partition_of("a", 50), PartitionId(97 % 50));
        assert_eq!(partition_of("ab", 50), PartitionId((97 * 31 + 98) % 50));
        // The hash is the least integer.
        assert_eq!(partition_of("polygenelubricants", 50), PartitionId(0));
        assert_eq!(partition_of("", 50), PartitionId(0));
    }
}
