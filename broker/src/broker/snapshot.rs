//! The broker at one moment, as numbers: for metrics, pages and tests.
//!
//! A [`Snapshot`] is made in one go and without stopping anybody; its numbers are those of slightly
//! different moments. What it costs grows with the number of partitions and committed offsets, so it
//! is for every few seconds, not for every request.

use std::time::Duration;

use brooklet_machines::group::{GroupState, Groups};
use brooklet_protocol::{BrokerId, Offset, PartitionId, Timestamp, TopicName};

use super::Broker;
use crate::BoxFuture;
use crate::controller::Topic;
use crate::counters::{ApiRequests, Counters, LIMITS, Limit, TrafficCount};
use crate::health::Trouble;
use crate::partition::PartitionState;

/// The broker at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// `node.id`.
    pub broker_id: BrokerId,
    /// Kafka's cluster id.
    pub cluster_id: String,
    /// Since it serves.
    pub uptime: Duration,
    /// Connections and their bytes.
    pub sockets: SocketsSnapshot,
    /// What clients have produced and fetched since the start, also of topics that are gone.
    pub traffic: TrafficCount,
    /// Requests since the start, by API key.
    pub requests: Vec<ApiRequests>,
    /// The limits that clients may run into.
    pub limits: Vec<LimitSnapshot>,
    /// All topics, by name.
    pub topics: Vec<TopicSnapshot>,
    /// All groups, by partition of the offsets' topic and by id; `None` where they cannot be read.
    pub groups: Option<Vec<GroupSnapshot>>,
}

/// Connections and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SocketsSnapshot {
    /// Open now.
    pub connections: u64,
    /// Let in since the start.
    pub connections_accepted: u64,
    /// Received since the start.
    pub received_bytes: u64,
    /// Sent since the start.
    pub sent_bytes: u64,
    /// Frames since the start that were no request.
    pub malformed_requests: u64,
}

/// A limit at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitSnapshot {
    /// Which.
    pub limit: Limit,
    /// How much of it is used, where that is one number.
    pub used: Option<u64>,
    /// How much there may be.
    pub maximum: u64,
    /// How often clients have run into it since the start.
    pub rejections: u64,
}

/// A topic at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSnapshot {
    /// Its name.
    pub name: TopicName,
    /// Its partitions, by number.
    pub partitions: Vec<PartitionSnapshot>,
    /// What clients have produced to it and fetched from it since the start.
    pub traffic: TrafficCount,
}

/// A partition at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionSnapshot {
    /// Its number.
    pub id: PartitionId,
    /// What there is of it; `None` while it is offline.
    pub log: Option<LogSnapshot>,
}

/// The log of a partition that is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogSnapshot {
    /// The first offset that is there.
    pub start: Offset,
    /// Consumers read up to here.
    pub high_watermark: Offset,
    /// Bytes of its segments.
    pub size_bytes: u64,
}

/// A group at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupSnapshot {
    /// Its id.
    pub id: String,
    /// Where it is.
    pub state: GroupState,
    /// How many members it has.
    pub member_count: usize,
    /// What it has committed, by topic and partition.
    pub offsets: Vec<(TopicName, PartitionId, Offset)>,
}

/// A reason why the broker does not serve everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unready {
    /// What kind, in lower case with dashes: for programs.
    pub name: &'static str,
    /// What is wrong and where, and the next step: for people.
    pub text: String,
    /// When it began, where that is known.
    pub since: Option<Timestamp>,
}

impl Unready {
    fn new(name: &'static str, text: impl Into<String>) -> Self {
        Self {
            name,
            text: text.into(),
            since: None,
        }
    }
}

impl From<Trouble> for Unready {
    fn from(trouble: Trouble) -> Self {
        Self {
            name: trouble.name,
            text: trouble.text,
            since: Some(trouble.since),
        }
    }
}

impl Broker {
    /// The broker at this moment. Groups that nobody has asked for since the start are loaded.
    pub fn snapshot(&self) -> BoxFuture<'_, Snapshot> {
        Box::pin(async move {
            let ctx = &self.inner.ctx;
            let groups = ctx.groups.look_at_all(groups_of).await;
            let groups = groups.inspect_err(|error| {
                tracing::debug!("groups are left out of a snapshot: {error}");
            });
            let image = ctx.controller.image();
            let now = ctx.clock.monotonic().0;
            let groups = groups.ok().map(|groups| groups.concat());
            let group_count = groups.as_ref().map(Vec::len);
            Snapshot {
                broker_id: image.broker_id,
                cluster_id: image.cluster_id.clone(),
                uptime: now.saturating_sub(self.inner.started.0),
                sockets: sockets_of(&ctx.counters),
                traffic: ctx.counters.traffic.count(),
                requests: ctx.counters.requests.count(),
                limits: self.limits(image.partition_count(), group_count),
                topics: image.topics.values().map(|topic| topic_of(topic)).collect(),
                groups,
            }
        })
    }

    fn limits(&self, partitions: usize, groups: Option<usize>) -> Vec<LimitSnapshot> {
        let ctx = &self.inner.ctx;
        let counters = &ctx.counters;
        let used = |limit| match limit {
            Limit::Connections => Some(counters.connections.get()),
            Limit::QueuedRequestBytes => Some(counters.queued_request_bytes.get()),
            Limit::QueuedResponseBytes => Some(ctx.response_memory.reserved_bytes() as u64),
            Limit::Partitions => Some(partitions as u64),
            Limit::FetchSessions => Some(ctx.fetch_sessions.session_count() as u64),
            Limit::Groups => groups.map(|count| count as u64),
            _ => None,
        };
        let limits = LIMITS.iter().zip(&self.inner.maxima);
        let limits = limits.map(|(info, maximum)| LimitSnapshot {
            limit: info.limit,
            used: used(info.limit),
            maximum: *maximum,
            rejections: counters.rejections(info.limit),
        });
        limits.collect()
    }

    /// Why the broker is not ready to serve everything; nothing if it is.
    ///
    /// What is wrong with the broker as a whole stands first, then the partitions that are offline.
    pub fn unready(&self) -> Vec<Unready> {
        let ctx = &self.inner.ctx;
        if *ctx.shutdown.borrow() {
            return vec![Unready::new("stopping", "the broker is stopping")];
        }
        let gone = self.inner.data.watched.trouble();
        let gone = gone.map(|text| Unready::new("data-directory-gone", text));
        let troubles = ctx.health.troubles().into_iter().map(Into::into);
        let mut reasons: Vec<_> = gone.into_iter().chain(troubles).collect();
        let image = ctx.controller.image();
        let coordination = PartitionState::Open(self.inner.coordination.clone());
        let topics = image.topics.values();
        let partitions = topics.flat_map(|topic| &topic.partitions);
        let before = reasons.len();
        reasons.extend(
            [&coordination]
                .into_iter()
                .chain(partitions)
                .filter_map(trouble_of),
        );
        if reasons.len() == before && !ctx.controller.is_all_open() {
            let text = "a topic could not be opened; the log says which";
            reasons.push(Unready::new("topic-not-open", text));
        }
        reasons
    }
}

/// Why this partition does not serve everything, if it does not.
fn trouble_of(partition: &PartitionState) -> Option<Unready> {
    let id = partition.id();
    let text = match partition {
        PartitionState::Open(open) if !open.is_offline() => {
            let refusal = open.refusal()?;
            let text = format!("{id} takes no records: {refusal}");
            return Some(Unready::new("records-refused", text));
        }
        PartitionState::Open(_) => format!("{id} is offline since a write or a sync failed"),
        PartitionState::Offline(offline) => format!("{id} is offline: {}", offline.reason),
    };
    Some(Unready::new("partition-offline", text))
}

fn sockets_of(counters: &Counters) -> SocketsSnapshot {
    SocketsSnapshot {
        connections: counters.connections.get(),
        connections_accepted: counters.connections_accepted.get(),
        received_bytes: counters.received_bytes.get(),
        sent_bytes: counters.sent_bytes.get(),
        malformed_requests: counters.malformed_requests.get(),
    }
}

fn topic_of(topic: &Topic) -> TopicSnapshot {
    let mut traffic = TrafficCount::default();
    for partition in topic.partitions.iter().filter_map(PartitionState::open) {
        traffic += partition.traffic().count();
    }
    TopicSnapshot {
        name: topic.name.clone(),
        partitions: topic.partitions.iter().map(partition_of).collect(),
        traffic,
    }
}

fn partition_of(state: &PartitionState) -> PartitionSnapshot {
    let serving = state.open().filter(|partition| !partition.is_offline());
    PartitionSnapshot {
        id: state.id().partition,
        log: serving.map(|partition| LogSnapshot {
            start: partition.log_start_offset(),
            high_watermark: partition.high_watermark(),
            size_bytes: partition.log().size_bytes(),
        }),
    }
}

fn groups_of(groups: &Groups) -> Vec<GroupSnapshot> {
    let listed = groups.list().map(|group| {
        let offsets = groups.offsets(&group.id).into_iter().flatten();
        let offsets = offsets
            .map(|(of, at)| (of.topic.clone(), of.partition, at.offset))
            .collect();
        GroupSnapshot {
            id: group.id,
            state: group.state,
            member_count: group.member_count,
            offsets,
        }
    });
    listed.collect()
}
