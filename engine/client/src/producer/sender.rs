//! The task that moves batches from the accumulator to the brokers.
//!
//! One loop: send what may go, then wait until a record, an answer or a deadline comes. Requests
//! run as tasks of their own, up to five per leader (`max.in.flight.requests.per.connection`); what
//! cannot go yet gathers into the next one. Whatever can be decided without waiting is decided by
//! [`classify`], a table.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use brooklet_protocol::messages::ErrorCode;
use brooklet_protocol::messages::kafka::ProduceResponse;
use brooklet_protocol::messages::kafka::produce_request::{
    PartitionProduceData, ProduceRequest, TopicProduceData,
};
use brooklet_protocol::{TopicName, TopicPartition};
use bytes::Bytes;
use tokio::task::{JoinError, JoinSet};

use super::accumulator::Refused;
use super::batch::{Batch, Identity};
use super::coordinator::{Coordinator, Protocol};
use super::verdict::{InPart, Rejection, Verdict, classify};
use super::{REQUEST_BYTES_MAX, Shared, identity};
use crate::calls::Call;
use crate::error::words_of;
use crate::transport::Node;
use crate::trouble::Trouble;
use crate::{Acks, Client, ClientError, MissingTopic, TopicMetadata, backoff, wire_name};

/// How long the broker may wait for replicas, in milliseconds (`request.timeout.ms`).
const PRODUCE_TIMEOUT_MS: i32 = 30_000;
/// Requests on their way to one leader (`max.in.flight.requests.per.connection`).
const REQUESTS_PER_NODE_MAX: usize = 5;

/// What a task of the sender has brought.
#[derive(Debug)]
enum Finished {
    Produced {
        node: Node,
        batches: Vec<Batch>,
        answer: Result<ProduceResponse, ClientError>,
    },
    /// What keeps topics from being sent to.
    Refreshed(Vec<(TopicName, ClientError)>),
    Identified(Result<Identity, ClientError>),
    Added {
        partitions: Vec<TopicPartition>,
        outcome: Result<(), ClientError>,
    },
}

/// Sends until the producer is dropped and everything is settled.
pub(super) async fn run(shared: Arc<Shared>) {
    let _ending = Ending(&shared);
    let mut sender = Sender::new(&shared);
    loop {
        let wake = sender.start_requests(shared.now());
        if sender.is_done() {
            return;
        }
        // Without a deadline the branch is off, and the time does not matter.
        let deadline = shared.client.sleep_until(wake.unwrap_or_default());
        tokio::select! {
            () = shared.wake.notified() => {}
            Some(finished) = sender.tasks.join_next() => match finished {
                Ok(finished) => {
                    sender.settle(finished);
                    shared.settled.notify_waiters();
                }
                Err(error) => return end_with(error),
            },
            () = deadline, if wake.is_some() => {}
        }
    }
}

/// However the sender ends (the runtime may just drop it), nobody waits in vain.
struct Ending<'a>(&'a Shared);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.space.close();
        self.0.accumulator.lock().close();
    }
}

/// A request's task panics only by a bug, which is not to be hidden; at shutdown it is cancelled.
fn end_with(error: JoinError) {
    if let Ok(panic) = error.try_into_panic() {
        std::panic::resume_unwind(panic);
    }
}

#[derive(Debug)]
struct Sender<'a> {
    shared: &'a Arc<Shared>,
    tasks: JoinSet<Finished>,
    in_flight: HashMap<Node, usize>,
    /// Topics whose leaders are unknown or have changed.
    stale_topics: BTreeSet<TopicName>,
    is_refreshing: bool,
    refresh_failures: u32,
    is_identifying: bool,
    identity_failures: u32,
    trouble: Trouble,
}

impl<'a> Sender<'a> {
    fn new(shared: &'a Arc<Shared>) -> Self {
        Self {
            shared,
            tasks: JoinSet::new(),
            in_flight: HashMap::new(),
            stale_topics: BTreeSet::new(),
            is_refreshing: false,
            refresh_failures: 0,
            is_identifying: false,
            identity_failures: 0,
            trouble: Trouble::default(),
        }
    }

    fn is_done(&self) -> bool {
        self.shared.is_finishing.load(Ordering::Acquire)
            && self.shared.accumulator.lock().is_empty()
    }

    /// Sends what may go at `now`; returns when more will. One `now` for both: a deadline that
    /// passes between two looks at the clock would be met by neither.
    fn start_requests(&mut self, now: Duration) -> Option<Duration> {
        let client = &self.shared.client;
        let hurried = self.shared.is_finishing.load(Ordering::Acquire)
            || self.shared.waiting_for_space.load(Ordering::Acquire) > 0;
        let (in_flight, stale_topics) = (&self.in_flight, &mut self.stale_topics);
        let route = |partition: &TopicPartition| {
            let leader = client.cached_leader(&partition.topic, partition.partition);
            if leader.is_none() {
                stale_topics.insert(partition.topic.clone());
            }
            leader.filter(|node| {
                in_flight
                    .get(node)
                    .is_none_or(|n| *n < REQUESTS_PER_NODE_MAX)
            })
        };
        let (freed_bytes, drained, wake, needs_identity, to_add) = {
            let mut accumulator = self.shared.accumulator.lock();
            let freed_bytes = accumulator.expire(now) + accumulator.give_up_doomed();
            let drained = accumulator.drain(now, hurried, route);
            let wake = accumulator.next_wake(now);
            let (needs_identity, to_add) =
                (accumulator.needs_identity(), accumulator.take_unadded());
            (freed_bytes, drained, wake, needs_identity, to_add)
        };
        self.shared.space.add_permits(freed_bytes);
        let mut by_node = HashMap::<_, Vec<_>>::new();
        for (node, batch) in drained {
            by_node.entry(node).or_default().push(batch);
        }
        for (node, batches) in by_node {
            self.produce(node, batches);
        }
        self.refresh_stale_topics();
        if needs_identity {
            self.ask_for_identity();
        }
        if let Some((identity, partitions)) = to_add {
            self.add_to_transaction(identity, partitions);
        }
        wake
    }

    /// Sends batches to one leader, in requests of at most `max.request.size`.
    fn produce(&mut self, node: Node, batches: Vec<Batch>) {
        let limit = self.shared.config.request_bytes_max;
        let limit = limit.unwrap_or(REQUEST_BYTES_MAX);
        let (mut request, mut size) = (Vec::new(), 0);
        for mut batch in batches {
            let bytes = batch.seal();
            if size + bytes.len() > limit && !request.is_empty() {
                self.spawn_request(node, std::mem::take(&mut request));
                size = 0;
            }
            size += bytes.len();
            request.push((batch, bytes));
        }
        self.spawn_request(node, request);
    }

    fn spawn_request(&mut self, node: Node, request: Vec<(Batch, Bytes)>) {
        let coordinator = self.shared.coordinator.as_deref();
        let protocol = coordinator.map(Coordinator::protocol);
        let body = produce_request(self.shared.config.acks, &request)
            .with_transactional_id(coordinator.map(Coordinator::transactional_id));
        let batches = request.into_iter().map(|(batch, _)| batch).collect();
        let client = self.shared.client.clone();
        *self.in_flight.entry(node).or_default() += 1;
        self.tasks.spawn(async move {
            let version = protocol.map_or_else(|| body.version(), Protocol::produce);
            let answer = client.call_in(version, node, body).await;
            Finished::Produced {
                node,
                batches,
                answer,
            }
        });
    }

    fn refresh_stale_topics(&mut self) {
        if self.is_refreshing || self.stale_topics.is_empty() {
            return;
        }
        self.is_refreshing = true;
        let topics = std::mem::take(&mut self.stale_topics);
        let client = self.shared.client.clone();
        let missing = self.shared.config.missing_topic();
        let failures = self.refresh_failures;
        self.refresh_failures += 1;
        self.tasks.spawn(async move {
            if failures > 0 {
                client.pause(backoff::after(failures)).await;
            }
            Finished::Refreshed(refresh(&client, &topics, missing).await)
        });
    }

    fn add_to_transaction(&mut self, identity: Identity, partitions: Vec<TopicPartition>) {
        let coordinator = self.shared.coordinator.clone();
        let coordinator = coordinator.expect("a transaction has a coordinator");
        self.tasks.spawn(async move {
            let outcome = coordinator.add_partitions(identity, &partitions).await;
            Finished::Added {
                partitions,
                outcome,
            }
        });
    }

    fn ask_for_identity(&mut self) {
        if self.is_identifying {
            return;
        }
        self.is_identifying = true;
        let (client, failures) = (self.shared.client.clone(), self.identity_failures);
        self.tasks.spawn(async move {
            if failures > 0 {
                client.pause(backoff::after(failures)).await;
            }
            Finished::Identified(identity::ask_until_given(&client).await)
        });
    }

    fn settle(&mut self, finished: Finished) {
        match finished {
            Finished::Refreshed(troubles) => {
                self.is_refreshing = false;
                for (topic, error) in troubles {
                    self.shared
                        .accumulator
                        .lock()
                        .note_trouble(Some(&topic), &error);
                    self.trouble.failed(&error, self.shared.now());
                }
            }
            Finished::Added {
                partitions,
                outcome,
            } => {
                let mut accumulator = self.shared.accumulator.lock();
                match outcome {
                    Ok(()) => accumulator.added(&partitions),
                    Err(error) => {
                        let given_up = accumulator.not_added(&partitions, &error);
                        self.shared.space.add_permits(given_up);
                    }
                }
            }
            Finished::Identified(Ok(identity)) => {
                self.is_identifying = false;
                self.identity_failures = 0;
                self.shared.accumulator.lock().identify(identity);
            }
            Finished::Identified(Err(error)) => {
                // Without an identity nothing can be sent; what is queued waits for the next
                // attempt, until its delivery timeout.
                self.shared.accumulator.lock().note_trouble(None, &error);
                self.trouble.failed(&error, self.shared.now());
                self.is_identifying = false;
                self.identity_failures += 1;
            }
            Finished::Produced {
                node,
                batches,
                answer,
            } => {
                let requests = self.in_flight.entry(node).or_default();
                *requests = requests.saturating_sub(1);
                for batch in batches {
                    let verdict =
                        classify(&batch.state.partition, &answer, self.shared.config.acks);
                    self.apply(batch, verdict);
                }
            }
        }
    }

    fn apply(&mut self, batch: Batch, verdict: Verdict) {
        let (now, buffer_bytes) = (self.shared.now(), batch.buffer_bytes);
        let topic = batch.state.partition.topic.clone();
        match verdict {
            Verdict::Stored(offset) => {
                self.refresh_failures = 0;
                self.shared.accumulator.lock().stored(batch, offset);
                self.answered();
            }
            Verdict::Retry {
                maybe_stored,
                error,
            } => {
                let mut batch = batch;
                batch.maybe_stored |= maybe_stored;
                self.trouble.failed(&error, self.shared.now());
                self.stale_topics.insert(topic);
                self.shared.accumulator.lock().retry(batch, error, now);
                return;
            }
            Verdict::Rejected(rejection) => return self.reject(batch, rejection),
            Verdict::Lost(error) => {
                self.shared.accumulator.lock().lost(batch, error);
            }
        }
        self.shared.space.add_permits(buffer_bytes);
    }

    /// A broker has answered; that may be the end of the trouble.
    fn answered(&mut self) {
        if !self.shared.accumulator.lock().is_in_trouble() {
            self.trouble.passed(self.shared.now());
        }
    }

    /// The broker has refused a batch; what of it may be accepted is sent again.
    fn reject(&mut self, batch: Batch, rejection: Rejection) {
        let buffer_bytes = batch.buffer_bytes;
        let may_be_split = batch.record_count > 1
            && !batch.maybe_stored
            && rejection.in_part != InPart::No
            && rejection.culprits.len() < batch.record_count as usize;
        if may_be_split {
            let refused = Refused {
                partition: batch.state.partition.clone(),
                stamp: batch.stamp,
                batch_bytes_max: (rejection.in_part == InPart::Smaller)
                    .then(|| batch.uncompressed_bytes() / 2),
            };
            let state = Arc::clone(&batch.state);
            match batch.split(&rejection.error, &rejection.culprits) {
                Ok(split) => {
                    let freed_bytes = split.freed_bytes;
                    let mut accumulator = self.shared.accumulator.lock();
                    accumulator.refused_in_part(&refused, split);
                    drop(accumulator);
                    self.shared.space.add_permits(freed_bytes);
                    self.answered();
                }
                Err(source) => unreachable!("{}: our own batch: {source}", state.partition),
            }
            return;
        }
        let error = match batch.single_record() {
            Some(size) if rejection.in_part == InPart::Smaller => ClientError::RecordTooLarge {
                partition: batch.state.partition.clone(),
                size,
                limit: self.shared.known_limit(&batch.state.partition.topic),
            },
            _ => rejection.error,
        };
        self.shared.accumulator.lock().rejected(batch, error);
        self.shared.space.add_permits(buffer_bytes);
        self.answered();
    }
}

/// Looks topics up again; returns what keeps them from being sent to. They are found stale once
/// more when they are next needed.
async fn refresh(
    client: &Client,
    topics: &BTreeSet<TopicName>,
    missing: MissingTopic,
) -> Vec<(TopicName, ClientError)> {
    let names: Vec<_> = topics.iter().map(TopicName::as_str).collect();
    let found = match client.ask_metadata(Some(&names), missing).await {
        Ok(found) => found.topics,
        Err(error) => {
            let each = topics.iter();
            return each
                .map(|topic| (topic.clone(), error.duplicate()))
                .collect();
        }
    };
    let trouble = |topic: &TopicMetadata| {
        let name = TopicName::new(&topic.name).ok()?;
        let leaderless = topic.partitions.iter().find(|p| p.leader < 0);
        let (what, code) = match (topic.error, leaderless) {
            (Some(code), _) => (format!("look up topic '{name}'"), code),
            (None, Some(partition)) => {
                let partition = TopicPartition::new(name.clone(), partition.partition);
                let what = format!("find the leader of {partition}");
                (what, ErrorCode::LeaderNotAvailable)
            }
            (None, None) => return None,
        };
        Some((name, ClientError::broker(what, code, words_of(code))))
    };
    found.iter().filter_map(trouble).collect()
}

fn produce_request(acks: Acks, batches: &[(Batch, Bytes)]) -> ProduceRequest {
    let mut topics = BTreeMap::<_, Vec<_>>::new();
    for (batch, bytes) in batches {
        let partition = &batch.state.partition;
        let data = PartitionProduceData::default()
            .with_index(partition.partition.0)
            .with_records(Some(bytes.clone()));
        topics.entry(&partition.topic).or_default().push(data);
    }
    let topic = |(name, partitions)| {
        TopicProduceData::default()
            .with_name(wire_name(name))
            .with_partition_data(partitions)
    };
    ProduceRequest::default()
        .with_acks(acks.code())
        .with_timeout_ms(PRODUCE_TIMEOUT_MS)
        .with_topic_data(topics.into_iter().map(topic).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::producer::Producer;
    use crate::testing::FakeBroker;
    use crate::{NewRecord, ProducerConfig};

    /// The clock goes on while the sender works: a linger that ends just then is not missed.
    #[tokio::test(start_paused = true)]
    async fn a_deadline_that_passes_while_requests_are_started_is_still_told() {
        let broker = FakeBroker::new(1);
        let config = ProducerConfig {
            linger: Duration::ZERO,
            ..ProducerConfig::default()
        };
        let producer = Producer::new(broker.client(), config).await.unwrap();
        let topic = TopicName::new("t").unwrap();
        // The topic is known from now on: the second record is queued without a wait, and the
        // producer's own sender does not get to run before this test looks.
        producer.send(&topic, NewRecord::default()).await.unwrap();
        producer.flush().await.unwrap();
        producer.send(&topic, NewRecord::default()).await.unwrap();
        let shared = &producer.handle.shared;
        let queued_at = shared.now();
        let looked_at = queued_at.checked_sub(Duration::from_micros(1)).unwrap();
        assert_eq!(
            Sender::new(shared).start_requests(looked_at),
            Some(queued_at)
        );
    }
}
