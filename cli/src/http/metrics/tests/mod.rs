use std::time::Duration;

use brooklet_broker::SocketMetrics;
use brooklet_broker::counters::Limit;
use brooklet_protocol::{BrokerId, TopicName};

use super::*;

fn topic(name: &str, logs: &[Option<(i64, i64)>], traffic: TrafficCount) -> TopicMetrics {
    let partitions = (0..).map(PartitionId).zip(logs);
    let partitions = partitions.map(|(id, log)| PartitionMetrics {
        id,
        log: log.map(|(start, end)| LogMetrics {
            start: Offset(start),
            high_watermark: Offset(end),
            size_bytes: 1024,
        }),
    });
    TopicMetrics {
        name: TopicName::new(name).unwrap(),
        partitions: partitions.collect(),
        traffic,
    }
}

fn snapshot() -> BrokerMetrics {
    let clicks = TrafficCount {
        messages_in: 30,
        bytes_in: 2000,
        bytes_out: 4000,
        produces: 5,
        produces_failed: 1,
        fetches: 7,
        fetches_failed: 2,
    };
    let mut all = clicks;
    all.messages_in = 31;
    let name = TopicName::new("clicks").unwrap();
    let offset = |partition, offset| (name.clone(), PartitionId(partition), Offset(offset));
    let mut within = [1; BUCKETS.len()];
    within[13] = 2;
    BrokerMetrics {
        broker_id: BrokerId(1),
        cluster_id: "never shown".to_owned(),
        uptime: Duration::from_millis(1500),
        sockets: SocketMetrics {
            connections: 2,
            connections_accepted: 3,
            received_bytes: 100,
            sent_bytes: 200,
            malformed_requests: 1,
        },
        traffic: all,
        requests: vec![ApiRequests {
            api_key: 1,
            versions: vec![(4, 1), (13, 2)],
            within,
            answered: 3,
            time: Duration::from_micros(10_000_250),
        }],
        limits: vec![LimitMetrics {
            limit: Limit::Connections,
            used: Some(2),
            maximum: 4096,
            rejections: 7,
        }],
        topics: vec![
            topic("clicks", &[Some((5, 20)), None], clicks),
            topic("quiet", &[Some((0, 0))], TrafficCount::default()),
        ],
        groups: Some(vec![GroupMetrics {
            id: "read\"ers".to_owned(),
            state: GroupState::Stable,
            member_count: 2,
            // The second is offline; the third would be gone.
            offsets: vec![offset(0, 12), offset(1, 3), offset(2, 1)],
        }]),
    }
}

fn unready() -> Vec<Unready> {
    let reason = |name, text: &str| Unready {
        name,
        text: text.to_owned(),
        since: None,
    };
    vec![
        reason("disk-full", "never shown"),
        reason("partition-offline", "clicks-0"),
        reason("partition-offline", "clicks-1"),
    ]
}

/// `BROOKLET_REGENERATE=1` writes it again; read the difference.
#[test]
fn the_page_is_as_it_was() {
    let process = ProcessSnapshot {
        cpu: Duration::from_millis(2250),
        resident_bytes: Some(4096),
        virtual_bytes: Some(8192),
        open_fds: Some(9),
        max_fds: None,
        started: Some(Duration::from_millis(1_700_000_000_500)),
    };
    let page = render(&snapshot(), &unready(), &process);
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/src/http/metrics/tests/page.txt"
    );
    if std::env::var_os("BROOKLET_REGENERATE").is_some() {
        std::fs::write(path, &page).unwrap();
    }
    assert_eq!(page, std::fs::read_to_string(path).unwrap_or_default());
}

/// What the format asks for, and what the golden page cannot say of pages to come.
#[test]
fn each_family_stands_once_and_whole_and_no_sample_is_doubled() {
    let page = render(&snapshot(), &[], &ProcessSnapshot::default());
    let mut families = std::collections::BTreeSet::new();
    let mut samples = std::collections::BTreeSet::new();
    let mut current = ("", "");
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(families.insert(name), "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            current = (name, kind);
        } else if !line.starts_with('#') {
            let (sample, value) = line.rsplit_once(' ').unwrap();
            assert!(value.parse::<f64>().is_ok(), "{line}");
            assert!(samples.insert(sample), "{line}");
            let name = sample.split('{').next().unwrap();
            let suffix = name.strip_prefix(current.0).expect(line);
            let may_have_one = matches!(current.1, "histogram" | "summary");
            assert_eq!(suffix.is_empty(), !may_have_one, "{line}");
        }
    }
    assert!(families.len() > 40, "{}", families.len());
}

#[test]
fn groups_that_cannot_be_read_are_left_out() {
    let without = BrokerMetrics {
        groups: None,
        ..snapshot()
    };
    let page = render(&without, &[], &ProcessSnapshot::default());
    assert!(!page.contains("kafka_consumergroup") && page.contains("brooklet_ready 1\n"));
}
