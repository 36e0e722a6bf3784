//! The broker's metrics: what it is doing, as numbers, for `/metrics`, pages and tests; and why it
//! is not ready, if it is not.
//!
//! ```text
//!  Counters (server, api) ─┐
//!  image (topics, logs)   ─┼─▶ Broker::metrics ─▶ BrokerMetrics ─▶ /metrics
//!  groups, limits         ─┘
//!
//!  shutdown, data directory, Health, offline partitions ─▶ Broker::unready ─▶ /readyz
//! ```
//!
//! [`BrokerMetrics`] is collected without stopping anything, so its numbers belong to slightly
//! different moments. Its cost grows with the number of partitions and committed offsets: it is for
//! every few seconds, not for every request.
//!
//! Names and units are the broker's own here; how Prometheus calls them is the command line's
//! business.

use std::time::Duration;

use brooklet_machines::group::{GroupState, Groups};
use brooklet_protocol::{BrokerId, Offset, PartitionId, Timestamp, TopicName};

use super::Broker;
use crate::BoxFuture;
use crate::controller::Topic;
use crate::counters::{ApiRequests, Counters, LIMITS, Limit, TrafficCount};
use crate::health::Trouble;
use crate::partition::PartitionState;

/// The broker's metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerMetrics {
    /// `node.id`.
    pub broker_id: BrokerId,
    /// Kafka's cluster id.
    pub cluster_id: String,
    /// The time since it began to serve.
    pub uptime: Duration,
    /// Connections and their bytes.
    pub sockets: SocketMetrics,
    /// What clients have produced and fetched since the start, deleted topics included.
    pub traffic: TrafficCount,
    /// Requests since the start, by API key.
    pub requests: Vec<ApiRequests>,
    /// The limits that clients may exceed.
    pub limits: Vec<LimitMetrics>,
    /// All topics, by name.
    pub topics: Vec<TopicMetrics>,
    /// All groups, by partition of the offsets' topic and by id; `None` where they cannot be read.
    pub groups: Option<Vec<GroupMetrics>>,
}

/// Connections and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SocketMetrics {
    /// Open now.
    pub connections: u64,
    /// Accepted since the start.
    pub connections_accepted: u64,
    /// Received since the start.
    pub received_bytes: u64,
    /// Sent since the start.
    pub sent_bytes: u64,
    /// Frames since the start that were not a valid request.
    pub malformed_requests: u64,
}

/// A limit and its use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitMetrics {
    /// The limit.
    pub limit: Limit,
    /// How much of it is in use, if that is one number.
    pub used: Option<u64>,
    /// Its configured height.
    pub maximum: u64,
    /// How often clients have exceeded it since the start.
    pub rejections: u64,
}

/// A topic's metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicMetrics {
    /// Its name.
    pub name: TopicName,
    /// Its partitions, by number.
    pub partitions: Vec<PartitionMetrics>,
    /// What clients have produced to it and fetched from it since the start.
    pub traffic: TrafficCount,
}

/// A partition's metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionMetrics {
    /// Its number.
    pub id: PartitionId,
    /// Its log; `None` while it is offline.
    pub log: Option<LogMetrics>,
}

/// The log of a partition that is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogMetrics {
    /// The log start offset.
    pub start: Offset,
    /// Its high watermark: consumers read up to here.
    pub high_watermark: Offset,
    /// The size of its segments.
    pub size_bytes: u64,
}

/// A group's metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMetrics {
    /// Its id.
    pub id: String,
    /// Its state.
    pub state: GroupState,
    /// How many members it has.
    pub member_count: usize,
    /// Its committed offsets, by topic and partition.
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
    /// The broker's metrics now. Groups that were not used since the start are loaded.
    pub fn metrics(&self) -> BoxFuture<'_, BrokerMetrics> {
        Box::pin(async move {
            let ctx = &self.inner.ctx;
            let groups = ctx.groups.look_at_all(groups_of).await;
            let groups = groups.inspect_err(|error| {
                tracing::debug!("groups are left out of the metrics: {error}");
            });
            let image = ctx.controller.image();
            let now = ctx.clock.monotonic().0;
            let groups = groups.ok().map(|groups| groups.concat());
            let group_count = groups.as_ref().map(Vec::len);
            BrokerMetrics {
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

    fn limits(&self, partitions: usize, groups: Option<usize>) -> Vec<LimitMetrics> {
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
        let limits = limits.map(|(info, maximum)| LimitMetrics {
            limit: info.limit,
            used: used(info.limit),
            maximum: *maximum,
            rejections: counters.rejections(info.limit),
        });
        limits.collect()
    }

    /// Why the broker is not ready to serve everything; empty if it is.
    ///
    /// Problems of the whole broker come first, then partitions that are offline.
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
            let text = "a topic could not be opened; the broker's log names it";
            reasons.push(Unready::new("topic-not-open", text));
        }
        reasons
    }
}

/// Why this partition does not serve everything; `None` if it does.
fn trouble_of(partition: &PartitionState) -> Option<Unready> {
    let id = partition.id();
    let text = match partition {
        PartitionState::Open(open) if !open.is_offline() => {
            let refusal = open.refusal()?;
            let text = format!("{id} accepts no records: {refusal}");
            return Some(Unready::new("records-refused", text));
        }
        PartitionState::Open(_) => format!(
            "{id} is offline because a write or a sync failed; restart the broker once the disk is healthy"
        ),
        PartitionState::Offline(offline) => format!("{id} is offline: {}", offline.reason),
    };
    Some(Unready::new("partition-offline", text))
}

fn sockets_of(counters: &Counters) -> SocketMetrics {
    SocketMetrics {
        connections: counters.connections.get(),
        connections_accepted: counters.connections_accepted.get(),
        received_bytes: counters.received_bytes.get(),
        sent_bytes: counters.sent_bytes.get(),
        malformed_requests: counters.malformed_requests.get(),
    }
}

fn topic_of(topic: &Topic) -> TopicMetrics {
    let mut traffic = TrafficCount::default();
    for partition in topic.partitions.iter().filter_map(PartitionState::open) {
        traffic += partition.traffic().count();
    }
    TopicMetrics {
        name: topic.name.clone(),
        partitions: topic.partitions.iter().map(partition_of).collect(),
        traffic,
    }
}

fn partition_of(state: &PartitionState) -> PartitionMetrics {
    let serving = state.open().filter(|partition| !partition.is_offline());
    PartitionMetrics {
        id: state.id().partition,
        log: serving.map(|partition| LogMetrics {
            start: partition.log_start_offset(),
            high_watermark: partition.high_watermark(),
            size_bytes: partition.log().size_bytes(),
        }),
    }
}

fn groups_of(groups: &Groups) -> Vec<GroupMetrics> {
    let listed = groups.list().map(|group| {
        let offsets = groups.offsets(&group.id).into_iter().flatten();
        let offsets = offsets
            .map(|(of, at)| (of.topic.clone(), of.partition, at.offset))
            .collect();
        GroupMetrics {
            id: group.id,
            state: group.state,
            member_count: group.member_count,
            offsets,
        }
    });
    listed.collect()
}
