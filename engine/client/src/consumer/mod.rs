//! The consumer: assigned partitions, read in order.
//!
//! Each leader gets one Fetch for all its partitions and holds it until there is data. The fetches
//! run on as tasks of their own while the program works on what [`Consumer::poll`] has returned:
//!
//! ```text
//!  poll ─▶ start: a Fetch per leader, for what is not being fetched ─▶ tasks
//!    ▲                                                                   │
//!    └── data, else again until fetch.max.wait.ms ◀── absorb (positions) ◀┘
//! ```
//!
//! `poll` may be dropped at any await: positions move in the same step that returns the data, and a
//! fetch that is under way is found again by the next `poll`.
//!
//! Assignment is the caller's; a member of a group is a [`super::GroupConsumer`], which has one of
//! these.
//!
//! Left out: fetch sessions (KIP-227).

mod positions;

mod aborted;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use brooklet_protocol::messages::ErrorCode;
use brooklet_protocol::messages::kafka::FetchRequest;
use brooklet_protocol::messages::kafka::fetch_request::{FetchPartition, FetchTopic};
use brooklet_protocol::messages::kafka::fetch_response::{FetchResponse, FetchableTopicResponse};
use brooklet_protocol::records::RecordBatch;
use brooklet_protocol::{Offset, PartitionId, TopicName, TopicPartition};
use tokio::task::JoinSet;
use uuid::Uuid;

use self::positions::{Absorbed, Positions};
use super::{Client, ClientError, ConsumerConfig, MissingTopic, wire_name};
use crate::transport::{BoxFuture, Node};

/// Reads assigned partitions in order.
#[derive(Debug)]
pub struct Consumer {
    client: Client,
    config: ConsumerConfig,
    positions: Positions,
    fetches: JoinSet<Fetch>,
    /// What is being fetched; each partition by one fetch at most.
    fetching: HashSet<TopicPartition>,
    /// Of an answer that also had data; reported by the next `poll`.
    failure: Option<ClientError>,
}

/// What one fetch brought of one partition.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// Which one.
    pub partition: TopicPartition,
    /// Whole batches; the first may begin before `position`: records below it are to be skipped.
    pub batches: Vec<RecordBatch>,
    /// The offset from which records count.
    pub position: Offset,
    /// The partition's high watermark at the time.
    pub high_watermark: Offset,
}

/// A fetch that has ended.
#[derive(Debug)]
struct Fetch {
    asked: Asked,
    answer: Result<FetchResponse, ClientError>,
}

/// What a fetch was sent for.
#[derive(Clone, Debug, Default)]
struct Asked {
    partitions: Vec<(TopicPartition, Offset)>,
    /// To read answers by id.
    topics: HashMap<Uuid, TopicName>,
}

impl Consumer {
    /// A consumer without partitions.
    pub fn new(client: Client, config: ConsumerConfig) -> Self {
        Self {
            client,
            config,
            positions: Positions::default(),
            fetches: JoinSet::new(),
            fetching: HashSet::new(),
            failure: None,
        }
    }

    /// Assigns partitions with the offsets to start from, in place of the earlier ones.
    pub fn assign(&mut self, partitions: impl IntoIterator<Item = (TopicPartition, Offset)>) {
        self.positions.assign(partitions);
        self.fetches = JoinSet::new();
        self.fetching.clear();
        self.failure = None;
    }

    /// Goes on from another offset in a partition, which is assigned if it was not. What is under
    /// way of it is dropped.
    pub fn seek(&mut self, partition: &TopicPartition, offset: Offset) {
        self.positions.seek(partition, offset);
    }

    /// Takes a partition away; the others are read on.
    pub(super) fn remove(&mut self, partition: &TopicPartition) {
        self.positions.remove(partition);
    }

    /// The offsets of the next records of all partitions.
    pub(super) fn positions(&self) -> BTreeMap<TopicPartition, Offset> {
        self.positions.all()
    }

    /// Stops fetching a partition until it is resumed. What is already under way is dropped.
    pub fn pause(&mut self, partition: &TopicPartition) {
        self.positions.set_paused(partition, true);
    }

    /// Goes on fetching a partition.
    pub fn resume(&mut self, partition: &TopicPartition) {
        self.positions.set_paused(partition, false);
    }

    /// The offset of the next record of a partition.
    pub fn position(&self, partition: &TopicPartition) -> Option<Offset> {
        self.positions.get(partition)
    }

    /// Whether the last answer about a partition left nothing to be read: the position was at the
    /// high watermark. `false` before the first answer and after a failed attempt.
    pub fn is_caught_up(&self, partition: &TopicPartition) -> bool {
        self.positions.is_caught_up(partition)
    }

    /// Waits for data, at most `fetch.max.wait.ms`; positions move past what is returned.
    /// Cancel-safe.
    ///
    /// # Errors
    /// `OffsetOutOfRange`, `Broker`, no answer.
    pub fn poll(&mut self) -> BoxFuture<'_, Result<Vec<Fetched>, ClientError>> {
        Box::pin(self.next_fetched())
    }

    async fn next_fetched(&mut self) -> Result<Vec<Fetched>, ClientError> {
        let deadline = self.now() + self.config.fetch_wait_max;
        loop {
            if let Some(failure) = self.failure.take() {
                return Err(failure);
            }
            self.start_fetches().await;
            let wake = self
                .positions
                .next_retry(self.now())
                .map_or(deadline, |at| at.min(deadline));
            tokio::select! {
                // An answer that is there goes before a deadline that has passed.
                biased;
                Some(fetch) = self.fetches.join_next() => match fetch {
                    Ok(fetch) => {
                        let fetched = self.absorb(fetch);
                        if !fetched.is_empty() {
                            return Ok(fetched);
                        }
                    }
                    Err(error) => match error.try_into_panic() {
                        Ok(panic) => std::panic::resume_unwind(panic),
                        Err(_) => return Err(ClientError::Closed),
                    },
                },
                () = self.client.sleep_until(wake) => {}
            }
            if self.now() >= deadline && self.failure.is_none() {
                return Ok(Vec::new());
            }
        }
    }

    fn now(&self) -> Duration {
        self.client.now()
    }

    /// Sends a fetch to every leader of partitions that are not being fetched.
    async fn start_fetches(&mut self) {
        let is_fetching = |partition: &TopicPartition| self.fetching.contains(partition);
        let wanted = self.positions.wanted(self.now(), is_fetching);
        let mut by_leader = HashMap::<Node, Asked>::new();
        for (partition, offset) in wanted {
            match self.leader_of(&partition).await {
                Ok((leader, id)) => {
                    let asked = by_leader.entry(leader).or_default();
                    asked.add(partition, offset, id);
                }
                Err(error) => self.note_failure(&partition, error),
            }
        }
        for (leader, asked) in by_leader {
            self.spawn_fetch(leader, asked);
        }
    }

    fn spawn_fetch(&mut self, leader: Node, asked: Asked) {
        self.fetching.extend(
            asked
                .partitions
                .iter()
                .map(|(partition, _)| partition.clone()),
        );
        let body = request(&self.config, &asked);
        let client = self.client.clone();
        self.fetches.spawn(async move {
            let answer = client.call_again(leader, body).await;
            Fetch { asked, answer }
        });
    }

    async fn leader_of(&self, partition: &TopicPartition) -> Result<(Node, Uuid), ClientError> {
        let topic = match self.client.cached_topic(&partition.topic) {
            Some(topic) => topic,
            None => {
                self.client
                    .look_up_once(&partition.topic, MissingTopic::Report)
                    .await?
            }
        };
        let leader = topic.leader(partition.partition).ok_or_else(|| {
            let what = format!("find the leader of {partition}");
            ClientError::broker(what, ErrorCode::LeaderNotAvailable, None)
        })?;
        Ok((leader, topic.id))
    }

    /// Reads an answer; positions move past what is returned.
    fn absorb(&mut self, fetch: Fetch) -> Vec<Fetched> {
        let Fetch { asked, answer } = fetch;
        for (partition, _) in &asked.partitions {
            self.fetching.remove(partition);
        }
        let answer = match answer.and_then(checked) {
            Ok(answer) => answer,
            Err(error) => {
                for (partition, _) in &asked.partitions {
                    self.note_failure(partition, error.duplicate());
                }
                return Vec::new();
            }
        };
        let mut fetched = Vec::new();
        let mut missing: HashMap<_, _> = asked.partitions.iter().cloned().collect();
        for topic in &answer.responses {
            let Some(name) = asked.name_of(topic) else {
                continue;
            };
            for data in &topic.partitions {
                let number = PartitionId(data.partition_index);
                let partition = TopicPartition::new(name.clone(), number);
                let Some(from) = missing.remove(&partition) else {
                    continue;
                };
                let (now, config) = (self.now(), &self.config);
                let absorbed = self.positions.absorb(&partition, from, data, now, config);
                fetched.extend(self.take(&partition, absorbed));
            }
        }
        for partition in missing.into_keys() {
            let words = format!("the response to Fetch lacks {partition}");
            self.note_failure(&partition, ClientError::Unexpected(words));
        }
        fetched
    }

    fn note_failure(&mut self, partition: &TopicPartition, error: ClientError) {
        let now = self.now();
        let absorbed = self.positions.fail(partition, error, now);
        self.take(partition, absorbed);
    }

    fn take(&mut self, partition: &TopicPartition, absorbed: Absorbed) -> Option<Fetched> {
        match absorbed {
            Absorbed::Data(fetched) => return Some(fetched),
            Absorbed::Nothing => {}
            Absorbed::Stale => self.client.forget(&partition.topic),
            Absorbed::Failed(error) => {
                self.client.forget(&partition.topic);
                self.failure.get_or_insert(error);
            }
        }
        None
    }
}

impl Asked {
    fn add(&mut self, partition: TopicPartition, offset: Offset, id: Uuid) {
        self.topics.insert(id, partition.topic.clone());
        self.partitions.push((partition, offset));
    }

    /// The topic of an answer, which has its name or, from version 13 on, its id.
    fn name_of(&self, topic: &FetchableTopicResponse) -> Option<TopicName> {
        if topic.topic.is_empty() {
            return self.topics.get(&topic.topic_id).cloned();
        }
        TopicName::new(&topic.topic).ok()
    }

    fn id_of(&self, name: &TopicName) -> Uuid {
        let mut topics = self.topics.iter();
        topics
            .find(|(_, topic)| *topic == name)
            .map(|(id, _)| *id)
            .unwrap_or_default()
    }
}

/// One entry per run of partitions of one topic: their order is the order in which they are served.
fn request(config: &ConsumerConfig, asked: &Asked) -> FetchRequest {
    let mut topics: Vec<FetchTopic> = Vec::new();
    for (partition, offset) in &asked.partitions {
        let wanted = FetchPartition::default()
            .with_partition(partition.partition.0)
            .with_fetch_offset(offset.0)
            .with_partition_max_bytes(config.partition_bytes_max);
        match topics.last_mut() {
            Some(topic) if topic.topic.as_str() == partition.topic.as_str() => {
                topic.partitions.push(wanted);
            }
            _ => topics.push(
                FetchTopic::default()
                    .with_topic(wire_name(&partition.topic))
                    .with_topic_id(asked.id_of(&partition.topic))
                    .with_partitions(vec![wanted]),
            ),
        }
    }
    let wait_ms = i32::try_from(config.fetch_wait_max.as_millis()).unwrap_or(i32::MAX);
    FetchRequest::default()
        .with_max_wait_ms(wait_ms)
        .with_min_bytes(config.fetch_bytes_min)
        .with_max_bytes(config.fetch_bytes_max)
        .with_isolation_level(config.isolation.level())
        .with_topics(topics)
}

fn checked(answer: FetchResponse) -> Result<FetchResponse, ClientError> {
    match ErrorCode::try_from_code(answer.error_code) {
        None => Ok(answer),
        Some(code) => Err(ClientError::broker("fetch", code, None)),
    }
}

#[cfg(test)]
mod tests;
