//! A broker's numbers as Prometheus reads them.
//!
//! | names | as of |
//! |---|---|
//! | `kafka_brokers`, `kafka_topic_…`, `kafka_consumergroup_…` | kafka_exporter, so that its dashboards work |
//! | `kafka_server_…`, `kafka_network_…`, `kafka_controller_…`, `kafka_log_…` | Kafka's own beans, as the JMX exporter spells them |
//! | `brooklet_…` | our own, in seconds and bytes |
//! | `process_…` | Prometheus' libraries |
//!
//! One broker leads all partitions and is their only replica. A partition that is offline has the
//! leader -1, no replica in sync and no offsets. As in Kafka, the numbers of each topic stand
//! beside the sum of all topics, which has no label: add up one or the other.

use std::collections::BTreeMap;
use std::fmt::Display;

use brooklet_broker::counters::{ApiRequests, BUCKETS, TrafficCount};
use brooklet_broker::{
    BrokerMetrics, GroupMetrics, LimitMetrics, LogMetrics, PartitionMetrics, TopicMetrics, Unready,
};
use brooklet_machines::group::GroupState;
use brooklet_protocol::messages::ApiKey;
use brooklet_protocol::{Offset, PartitionId};

use super::exposition::{Kind, Page};
use crate::process::ProcessSnapshot;

/// The page.
pub(super) fn render(
    snapshot: &BrokerMetrics,
    unready: &[Unready],
    process: &ProcessSnapshot,
) -> String {
    let mut page = Page::default();
    page.gauge("kafka_brokers", "Brokers of the cluster.", 1);
    topics(&mut page, snapshot);
    groups(&mut page, snapshot);
    traffic(&mut page, snapshot);
    requests(&mut page, &snapshot.requests);
    partition_totals(&mut page, &snapshot.topics);
    own(&mut page, snapshot);
    readiness(&mut page, unready);
    limits(&mut page, &snapshot.limits);
    of_process(&mut page, process);
    page.into_text()
}

type OfPartition = fn(&BrokerMetrics, &PartitionMetrics) -> Option<i64>;

/// What kafka_exporter reports about each partition, and the bytes of its log.
#[rustfmt::skip]
const OF_PARTITIONS: [(&str, &str, OfPartition); 9] = [
    ("kafka_topic_partition_current_offset", "High watermark: consumers read up to here.",
        |_, p| p.log.map(|log| log.high_watermark.0)),
    ("kafka_topic_partition_oldest_offset", "First offset of the log.",
        |_, p| p.log.map(|log| log.start.0)),
    ("kafka_topic_partition_leader", "Leading broker; -1 while the partition is offline.",
        |s, p| Some(p.log.map_or(-1, |_| i64::from(s.broker_id.0)))),
    ("kafka_topic_partition_leader_is_preferred", "Whether the preferred replica leads.",
        |_, p| Some(serving(p))),
    ("kafka_topic_partition_replicas", "Replicas.",
        |_, _| Some(1)),
    ("kafka_topic_partition_in_sync_replica", "Replicas in sync.",
        |_, p| Some(serving(p))),
    ("kafka_topic_partition_under_replicated_partition", "Whether a replica is not in sync.",
        |_, p| Some(1 - serving(p))),
    ("kafka_log_log_size", "Bytes of the log's segments.",
        |_, p| p.log.and_then(|log| i64::try_from(log.size_bytes).ok())),
    ("kafka_log_log_logstartoffset", "First offset of the log.",
        |_, p| p.log.map(|log| log.start.0)),
];

fn serving(partition: &PartitionMetrics) -> i64 {
    i64::from(partition.log.is_some())
}

fn topics(page: &mut Page, snapshot: &BrokerMetrics) {
    let mut counts = page.family(Kind::Gauge, "kafka_topic_partitions", "Partitions.");
    for topic in &snapshot.topics {
        counts.sample(&[("topic", &topic.name)], topic.partitions.len());
    }
    for (name, help, value) in OF_PARTITIONS {
        let mut family = page.family(Kind::Gauge, name, help);
        for topic in &snapshot.topics {
            for partition in &topic.partitions {
                if let Some(value) = value(snapshot, partition) {
                    family.sample(&labels(topic, &partition.id), value);
                }
            }
        }
    }
}

fn labels<'a>(
    topic: &'a TopicMetrics,
    partition: &'a PartitionId,
) -> [(&'static str, &'a dyn Display); 2] {
    [("partition", &partition.0), ("topic", &topic.name)]
}

/// A committed offset, and how far it is behind; `None` if the partition is offline or deleted.
struct Committed<'a> {
    group: &'a str,
    topic: &'a str,
    partition: i32,
    offset: i64,
    lag: Option<i64>,
}

fn groups(page: &mut Page, snapshot: &BrokerMetrics) {
    let Some(groups) = &snapshot.groups else {
        return;
    };
    let name = "kafka_consumergroup_members";
    let mut members = page.family(Kind::Gauge, name, "Members of the group.");
    for group in groups {
        members.sample(&[("consumergroup", &group.id)], group.member_count);
    }
    let ends = ends(&snapshot.topics);
    let committed: Vec<_> = groups
        .iter()
        .flat_map(|group| committed(group, &ends))
        .collect();
    offsets(page, &committed);
    sums(page, &committed);
    let mut states: BTreeMap<&str, u64> = BTreeMap::new();
    let all = [
        GroupState::Empty,
        GroupState::PreparingRebalance,
        GroupState::CompletingRebalance,
        GroupState::Stable,
    ];
    states.extend(all.map(|state| (state.name(), 0)));
    for group in groups {
        *states.entry(group.state.name()).or_default() += 1;
    }
    let mut family = page.family(Kind::Gauge, "brooklet_groups", "Groups by state.");
    for (state, count) in states {
        family.sample(&[("state", &state)], count);
    }
}

type Ends<'a> = BTreeMap<(&'a str, PartitionId), Offset>;

fn ends(topics: &[TopicMetrics]) -> Ends<'_> {
    let ends = topics.iter().flat_map(|topic| {
        topic.partitions.iter().filter_map(|partition| {
            let LogMetrics { high_watermark, .. } = partition.log?;
            Some(((topic.name.as_str(), partition.id), high_watermark))
        })
    });
    ends.collect()
}

fn committed<'a>(
    group: &'a GroupMetrics,
    ends: &'a Ends<'_>,
) -> impl Iterator<Item = Committed<'a>> {
    group.offsets.iter().map(|(topic, partition, offset)| {
        let end = ends.get(&(topic.as_str(), *partition));
        Committed {
            group: &group.id,
            topic: topic.as_str(),
            partition: partition.0,
            offset: offset.0,
            // After a deletion, the committed offset may be beyond the end: the lag is then 0.
            lag: end.map(|end| (end.0 - offset.0).max(0)),
        }
    })
}

fn offsets(page: &mut Page, committed: &[Committed<'_>]) {
    type Value = fn(&Committed<'_>) -> Option<i64>;
    let families: [(&str, &str, Value); 2] = [
        (
            "kafka_consumergroup_current_offset",
            "Offset that the group has committed.",
            |at| Some(at.offset),
        ),
        (
            "kafka_consumergroup_lag",
            "Records between the committed offset and the high watermark.",
            |at| at.lag,
        ),
    ];
    for (name, help, value) in families {
        let mut family = page.family(Kind::Gauge, name, help);
        for at in committed {
            let labels: [(&str, &dyn Display); 3] = [
                ("consumergroup", &at.group),
                ("partition", &at.partition),
                ("topic", &at.topic),
            ];
            if let Some(value) = value(at) {
                family.sample(&labels, value);
            }
        }
    }
}

fn sums(page: &mut Page, committed: &[Committed<'_>]) {
    let mut sums: BTreeMap<(&str, &str), (i64, i64)> = BTreeMap::new();
    for at in committed {
        let (offsets, lags) = sums.entry((at.group, at.topic)).or_default();
        *offsets += at.offset;
        *lags += at.lag.unwrap_or(0);
    }
    let mut write = |name, help, value: fn(&(i64, i64)) -> i64| {
        let mut family = page.family(Kind::Gauge, name, help);
        for ((group, topic), sum) in &sums {
            let labels: [(&str, &dyn Display); 2] = [("consumergroup", group), ("topic", topic)];
            family.sample(&labels, value(sum));
        }
    };
    write(
        "kafka_consumergroup_current_offset_sum",
        "Committed offsets of all partitions of the topic.",
        |sum| sum.0,
    );
    write(
        "kafka_consumergroup_lag_sum",
        "Lag in all partitions of the topic.",
        |sum| sum.1,
    );
}

fn traffic(page: &mut Page, snapshot: &BrokerMetrics) {
    type Value = fn(&TrafficCount) -> u64;
    #[rustfmt::skip]
    let families: [(&str, &str, Value); 7] = [
        ("kafka_server_brokertopicmetrics_messagesin_total", "Records from producers.",
            |t| t.messages_in),
        ("kafka_server_brokertopicmetrics_bytesin_total", "Bytes of batches from producers.",
            |t| t.bytes_in),
        ("kafka_server_brokertopicmetrics_bytesout_total", "Bytes of batches to consumers.",
            |t| t.bytes_out),
        ("kafka_server_brokertopicmetrics_totalproducerequests_total", "Partitions in produce requests.",
            |t| t.produces),
        ("kafka_server_brokertopicmetrics_failedproducerequests_total", "Partitions in produce requests that were refused.",
            |t| t.produces_failed),
        ("kafka_server_brokertopicmetrics_totalfetchrequests_total", "Partitions in fetch responses.",
            |t| t.fetches),
        ("kafka_server_brokertopicmetrics_failedfetchrequests_total", "Partitions in fetch responses with an error.",
            |t| t.fetches_failed),
    ];
    for (name, help, value) in families {
        let mut family = page.family(Kind::Counter, name, help);
        family.sample(&[], value(&snapshot.traffic));
        for topic in &snapshot.topics {
            family.sample(&[("topic", &topic.name)], value(&topic.traffic));
        }
    }
}

/// The API's name; Kafka has the fetches of consumers under a second one.
fn names(api_key: i16) -> Vec<String> {
    match ApiKey::try_from(api_key) {
        Ok(ApiKey::Fetch) => vec!["Fetch".to_owned(), "FetchConsumer".to_owned()],
        Ok(api) => vec![format!("{api:?}")],
        Err(()) => vec![api_key.to_string()],
    }
}

fn requests(page: &mut Page, requests: &[ApiRequests]) {
    let name = "kafka_network_requestmetrics_requests_total";
    let mut family = page.family(Kind::Counter, name, "Requests by API and version.");
    for api in requests {
        for name in names(api.api_key) {
            for (version, count) in &api.versions {
                family.sample(&[("request", &name), ("version", version)], count);
            }
        }
    }
    let name = "kafka_network_requestmetrics_totaltimems";
    let help = "Milliseconds from the decoded request to its response, waiting included.";
    let mut family = page.family(Kind::Summary, name, help);
    for api in requests {
        for name in names(api.api_key) {
            let labels: [(&str, &dyn Display); 1] = [("request", &name)];
            family.sample_of("_sum", &labels, api.time.as_secs_f64() * 1000.0);
            family.sample_of("_count", &labels, api.answered);
        }
    }
    let name = "brooklet_request_seconds";
    let help = "Seconds from the decoded request to its response, waiting included.";
    let mut family = page.family(Kind::Histogram, name, help);
    for api in requests {
        let name = &names(api.api_key)[0];
        for (bound, count) in BUCKETS.iter().zip(api.within) {
            let bound = bound.as_secs_f64();
            family.sample_of("_bucket", &[("request", name), ("le", &bound)], count);
        }
        let infinity: [(&str, &dyn Display); 2] = [("request", name), ("le", &"+Inf")];
        family.sample_of("_bucket", &infinity, api.answered);
        family.sample_of("_sum", &[("request", name)], api.time.as_secs_f64());
        family.sample_of("_count", &[("request", name)], api.answered);
    }
}

fn partition_totals(page: &mut Page, topics: &[TopicMetrics]) {
    let partitions = || topics.iter().flat_map(|topic| &topic.partitions);
    let all = partitions().count();
    let offline = partitions().filter(|p| p.log.is_none()).count();
    let served = all - offline;
    #[rustfmt::skip]
    let gauges = [
        ("kafka_server_replicamanager_partitioncount", "Partitions of this broker.", all),
        ("kafka_server_replicamanager_leadercount", "Partitions that this broker leads.", served),
        ("kafka_server_replicamanager_offlinereplicacount", "Partitions that are offline.", offline),
        ("kafka_server_replicamanager_underreplicatedpartitions", "Partitions with a replica that is not in sync.", 0),
        ("kafka_controller_kafkacontroller_activecontrollercount", "Whether this broker is the controller.", 1),
        ("kafka_controller_kafkacontroller_offlinepartitionscount", "Partitions without a leader.", offline),
        ("kafka_controller_kafkacontroller_globaltopiccount", "Topics of the cluster.", topics.len()),
        ("kafka_controller_kafkacontroller_globalpartitioncount", "Partitions of the cluster.", all),
    ];
    for (name, help, value) in gauges {
        page.gauge(name, help, value);
    }
}

/// What `/readyz` says, with the reasons counted by kind.
fn readiness(page: &mut Page, unready: &[Unready]) {
    let help = "Whether everything is served, as in /readyz.";
    page.gauge("brooklet_ready", help, u8::from(unready.is_empty()));
    let help = "Reasons why not everything is served, by kind; /readyz has the details.";
    let mut family = page.family(Kind::Gauge, "brooklet_unready", help);
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for reason in unready {
        *counts.entry(reason.name).or_default() += 1;
    }
    for (name, count) in counts {
        family.sample(&[("reason", &name)], count);
    }
}

fn own(page: &mut Page, snapshot: &BrokerMetrics) {
    let version = env!("CARGO_PKG_VERSION");
    page.family(
        Kind::Gauge,
        "brooklet_build_info",
        "The version that is running.",
    )
    .sample(&[("version", &version)], 1);
    let uptime = snapshot.uptime.as_secs_f64();
    page.gauge(
        "brooklet_uptime_seconds",
        "Seconds since the broker began to serve.",
        uptime,
    );
    let sockets = &snapshot.sockets;
    let help = "Open connections of Kafka clients.";
    page.gauge("brooklet_connections", help, sockets.connections);
    #[rustfmt::skip]
    let counters = [
        ("brooklet_connections_accepted_total", "Connections accepted from Kafka clients.", sockets.connections_accepted),
        ("brooklet_received_bytes_total", "Bytes from Kafka clients.", sockets.received_bytes),
        ("brooklet_sent_bytes_total", "Bytes to Kafka clients.", sockets.sent_bytes),
        ("brooklet_malformed_requests_total", "Frames that are not a valid request; their connections were closed.", sockets.malformed_requests),
    ];
    for (name, help, value) in counters {
        page.counter(name, help, value);
    }
}

fn limits(page: &mut Page, limits: &[LimitMetrics]) {
    type Value = fn(&LimitMetrics) -> Option<u64>;
    let families: [(Kind, &str, &str, Value); 3] = [
        (
            Kind::Counter,
            "brooklet_limit_rejections_total",
            "Requests and connections refused because of a limit.",
            |limit| Some(limit.rejections),
        ),
        (
            Kind::Gauge,
            "brooklet_limit_maximum",
            "The limit.",
            |limit| Some(limit.maximum),
        ),
        (
            Kind::Gauge,
            "brooklet_limit_used",
            "The part of the limit in use.",
            |limit| limit.used,
        ),
    ];
    for (kind, name, help, value) in families {
        let mut family = page.family(kind, name, help);
        for limit in limits {
            if let Some(value) = value(limit) {
                family.sample(&[("limit", &limit.limit.info().name)], value);
            }
        }
    }
}

fn of_process(page: &mut Page, process: &ProcessSnapshot) {
    let help = "Processor time used, in seconds.";
    let cpu = process.cpu.as_secs_f64();
    page.counter("process_cpu_seconds_total", help, cpu);
    #[rustfmt::skip]
    let gauges = [
        ("process_resident_memory_bytes", "Resident memory.", process.resident_bytes),
        ("process_virtual_memory_bytes", "Virtual memory, mapped files included.", process.virtual_bytes),
        ("process_open_fds", "Open files and sockets.", process.open_fds),
        ("process_max_fds", "Limit of open files and sockets.", process.max_fds),
    ];
    for (name, help, value) in gauges {
        if let Some(value) = value {
            page.gauge(name, help, value);
        }
    }
    if let Some(started) = process.started {
        let help = "Start time of the process, in seconds since 1970.";
        page.gauge("process_start_time_seconds", help, started.as_secs_f64());
    }
}

#[cfg(test)]
mod tests;
