//! Other people's Kafka clients, against the real binary.
//!
//! They are installed by `.ci/clients`, which also turns on the feature `librdkafka`; without it
//! this file is empty, so that `cargo test --workspace` needs nothing but Rust, a C compiler and
//! make.
#![cfg(feature = "librdkafka")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use brooklet_client::{Assignor, Client, GroupConfig, GroupConsumer, OffsetReset, Polled};
use brooklet_protocol::TopicName;
use brooklet_tests::{Server, foreign};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{Offset, TopicPartitionList};

const CODECS: [&str; 5] = ["none", "gzip", "snappy", "lz4", "zstd"];

#[tokio::test(flavor = "multi_thread")]
async fn librdkafka_reads_what_it_wrote_with_each_codec() {
    let server = Server::ephemeral();
    for codec in CODECS {
        let topic = format!("rdkafka-{codec}");
        let producer: FutureProducer = ClientConfig::new()
            .set("bootstrap.servers", server.kafka())
            .set("compression.type", codec)
            .set("enable.idempotence", "true")
            .create()
            .unwrap();
        let values: Vec<String> = (0..1000).map(|n| format!("{codec} value {n}")).collect();
        let sent = values.iter().map(|value| {
            let record = FutureRecord::to(&topic).key("k").payload(value);
            producer.send(record, Duration::from_secs(30))
        });
        for delivery in futures(sent).await {
            delivery.expect("librdkafka delivers");
        }
        assert_eq!(read_all(server.kafka(), &topic, values.len()), values);
    }
}

/// Awaits all, in order; they were started when they were made.
async fn futures<T>(all: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let started: Vec<_> = all.collect();
    let mut results = Vec::new();
    for future in started {
        results.push(future.await);
    }
    results
}

fn read_all(bootstrap: &str, topic: &str, count: usize) -> Vec<String> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "unused")
        .set("enable.auto.commit", "false")
        .set("check.crcs", "true")
        .create()
        .unwrap();
    let mut assignment = TopicPartitionList::new();
    assignment
        .add_partition_offset(topic, 0, Offset::Beginning)
        .unwrap();
    consumer.assign(&assignment).unwrap();
    let mut found = Vec::new();
    while found.len() < count {
        let message = consumer
            .poll(Duration::from_secs(30))
            .expect("a record within 30 s")
            .unwrap();
        found.push(String::from_utf8(message.payload().unwrap().to_vec()).unwrap());
    }
    found
}

/// Whoever comes first is the leader, whose assignor shares out for both.
#[tokio::test(flavor = "multi_thread")]
async fn librdkafka_and_our_consumer_share_a_topic_with_either_leader() {
    for assignor in [
        Assignor::Range,
        Assignor::RoundRobin,
        Assignor::CooperativeSticky,
    ] {
        for we_lead in [true, false] {
            let server = Server::ephemeral();
            server.stdout_of(&["topic", "create", "clicks", "-p", "4"], b"");
            let mut pair = Pair::new();
            if we_lead {
                pair.ours = Some(ours(&server, assignor).await);
                pair.poll_until(|pair| pair.shares() == (4, 0)).await;
                pair.theirs = Some(theirs(&server, assignor));
            } else {
                pair.theirs = Some(theirs(&server, assignor));
                pair.poll_until(|pair| pair.shares() == (0, 4)).await;
                pair.ours = Some(ours(&server, assignor).await);
            }
            pair.poll_until(|pair| pair.shares() == (2, 2)).await;
            let lines: Vec<_> = (0..40).map(|n| format!("k{n}:{n}\n")).collect();
            server.stdout_of(&["produce", "clicks", "-K:"], lines.concat().as_bytes());
            pair.poll_until(|pair| pair.read.len() >= 40).await;
            let mut read = pair.read.clone();
            read.sort();
            read.dedup();
            assert_eq!(read.len(), 40, "{assignor}: each once");

            // One goes, and the other takes over.
            if we_lead {
                pair.ours.take().unwrap().close().await.unwrap();
                pair.poll_until(|pair| pair.shares() == (0, 4)).await;
            } else {
                pair.theirs = None;
                pair.poll_until(|pair| pair.shares() == (4, 0)).await;
            }
        }
    }
}

/// Two members of one group, and what they have read.
struct Pair {
    ours: Option<GroupConsumer>,
    theirs: Option<BaseConsumer>,
    read: Vec<String>,
}

async fn ours(server: &Server, assignor: Assignor) -> GroupConsumer {
    let client = Client::connect(server.kafka(), "ours").await.unwrap();
    let config = GroupConfig {
        assignors: vec![assignor],
        heartbeat_interval: Duration::from_millis(100),
        offset_reset: OffsetReset::Earliest,
        ..GroupConfig::new("mixed")
    };
    GroupConsumer::subscribe(client, config, [TopicName::new("clicks").unwrap()])
}

fn theirs(server: &Server, assignor: Assignor) -> BaseConsumer {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", server.kafka())
        .set("group.id", "mixed")
        .set("partition.assignment.strategy", assignor.name())
        .set("auto.offset.reset", "earliest")
        .set("heartbeat.interval.ms", "100")
        .create()
        .unwrap();
    consumer.subscribe(&["clicks"]).unwrap();
    consumer
}

impl Pair {
    fn new() -> Self {
        Self {
            ours: None,
            theirs: None,
            read: Vec::new(),
        }
    }

    /// How many partitions we have and they have.
    fn shares(&self) -> (usize, usize) {
        let ours = self.ours.as_ref().map_or(0, |ours| ours.assignment().len());
        let count = |theirs: &BaseConsumer| theirs.assignment().unwrap().count();
        (ours, self.theirs.as_ref().map_or(0, count))
    }

    async fn poll_until(&mut self, is_so: impl Fn(&Self) -> bool) {
        while !is_so(self) {
            if let Some(theirs) = &self.theirs
                && let Some(message) = theirs.poll(Duration::from_millis(10))
            {
                let value = message.unwrap().payload().unwrap().to_vec();
                self.read.push(String::from_utf8(value).unwrap());
            }
            let Some(ours) = &mut self.ours else {
                continue;
            };
            let polled = tokio::time::timeout(Duration::from_millis(10), ours.poll()).await;
            if let Ok(Polled::Records(fetched)) = polled.unwrap_or(Ok(Polled::Records(vec![]))) {
                for fetched in fetched {
                    for batch in &fetched.batches {
                        let records = batch.records(1 << 20).unwrap();
                        let records = records.iter().map(Result::unwrap);
                        let new = records.filter(|record| record.offset >= fetched.position);
                        let text = |value: &[u8]| String::from_utf8(value.to_vec()).unwrap();
                        self.read
                            .extend(new.map(|record| text(record.value.unwrap())));
                    }
                }
            }
        }
    }
}

#[test]
fn kcat_reads_what_it_wrote_with_each_codec() {
    let server = Server::ephemeral();
    let mut input = String::new();
    for n in 0..100_000 {
        let (key, tail) = (n % 977, "x".repeat(n % 50));
        writeln!(input, "key-{key}:value {n} {tail}").unwrap();
    }
    for codec in CODECS {
        let topic = format!("kcat-{codec}");
        let broker = server.kafka();
        foreign(
            "kcat",
            &["-b", broker, "-P", "-t", &topic, "-K:", "-z", codec],
            input.as_bytes(),
        );
        let format = "%k:%s\n";
        let args = [
            "-b",
            broker,
            "-C",
            "-t",
            &topic,
            "-o",
            "beginning",
            "-e",
            "-q",
            "-f",
            format,
        ];
        let output = foreign("kcat", &args, b"");
        assert!(output == input.as_bytes(), "kcat {codec}: records differ");
    }
}

#[test]
fn kcat_lists_brokers_and_topics() {
    let server = Server::ephemeral();
    foreign(
        "kcat",
        &["-b", server.kafka(), "-P", "-t", "listed"],
        b"one\n",
    );
    let listing = foreign("kcat", &["-b", server.kafka(), "-L"], b"");
    let listing = String::from_utf8(listing).unwrap();
    let topics: BTreeMap<_, _> = listing
        .lines()
        .filter_map(|line| line.trim().split_once(" with "))
        .collect();
    assert_eq!(
        topics.get("topic \"listed\""),
        Some(&"1 partitions:"),
        "{listing}"
    );
    assert!(
        listing.contains(&format!("broker 1 at {}", server.kafka())),
        "{listing}"
    );
}

#[test]
fn groups_of_three_python_clients_share_and_go_on() {
    let server = Server::ephemeral();
    for (client, groups) in [("confluent", 3), ("aiokafka", 1), ("kafka-python", 1)] {
        let output = python(&server, "groups.py", client);
        assert_eq!(output.matches("shared").count(), groups, "{output}");
    }
}

#[test]
fn transactions_of_two_python_clients_count_once() {
    for client in ["confluent", "aiokafka"] {
        let server = Server::ephemeral();
        let output = python(&server, "transactions.py", client);
        assert!(output.contains("fenced"), "{output}");
        assert!(output.contains("exactly once"), "{output}");
    }
}

#[test]
fn kcat_reads_in_a_group_from_where_the_group_is() {
    let server = Server::ephemeral();
    let broker = server.kafka();
    foreign("kcat", &["-b", broker, "-P", "-t", "t"], b"one\ntwo\n");
    let settings = ["-X", "auto.offset.reset=earliest", "-e", "-q"];
    let args = [&["-b", broker, "-G", "readers"], &settings[..], &["t"]].concat();
    assert_eq!(foreign("kcat", &args, b""), b"one\ntwo\n");
    foreign("kcat", &["-b", broker, "-P", "-t", "t"], b"three\n");
    assert_eq!(foreign("kcat", &args, b""), b"three\n");
}

#[test]
fn kcat_says_what_it_was_refused() {
    let server = Server::start(&["--ephemeral", "--set", "auto.create.topics.enable=false"]);
    server.stdout_of(&["topic", "create", "t"], b"");
    let numbers: String = (0..100).map(|n| format!("{n}\n")).collect();
    let large = [numbers.as_bytes(), &[b'x'; 2 << 20], b"\n100\n"].concat();
    let produce = ["-P", "-t", "t", "-X", "message.max.bytes=4000000", "-X"];
    let alone = [&produce[..], &["linger.ms=0"]].concat();
    let delivery = "Delivery failed for message: Broker: Message size too large";
    assert_eq!(refused(&server, &alone, &large), delivery);

    let unknown = ["-X", "topic.metadata.propagation.max.ms=0", "-t", "unknown"];
    let missing = "Broker: Unknown topic or partition";
    let produced = refused(&server, &[&["-P"], &unknown[..]].concat(), b"one\n");
    assert_eq!(produced, format!("Delivery failed for message: {missing}"));
    let consumed = refused(&server, &["-C", "-t", "unknown"], b"");
    assert_eq!(consumed, format!("ERROR: Topic unknown error: {missing}"));
    let listing = server.stdout_of(&["topic", "list"], b"");
    assert!(!listing.contains("unknown"), "{listing}");

    server.stdout_of(&["topic", "trim", "t", "--before", "50"], b"");
    for offset in ["10", "1000"] {
        let read = ["-C", "-t", "t", "-p0", "-o", offset, "-e", "-q", "-X"];
        let from = |reset| [&read[..], &[reset]].concat();
        let kcat = |reset| {
            let args = [&["-b", server.kafka()], &from(reset)[..]].concat();
            String::from_utf8(foreign("kcat", &args, b"")).unwrap()
        };
        let rest: String = (50..=100).map(|n| format!("{n}\n")).collect();
        assert_eq!(kcat("auto.offset.reset=earliest"), rest);
        assert_eq!(kcat("auto.offset.reset=latest"), "");
        let error = refused(&server, &from("auto.offset.reset=error"), b"");
        assert!(
            error.ends_with("Broker: Offset out of range (broker 1)"),
            "{error}"
        );
    }
}

/// What kcat says when it fails, which it must.
fn refused(server: &Server, args: &[&str], input: &[u8]) -> String {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), input).unwrap();
    let output = std::process::Command::new("kcat")
        .args(["-b", server.kafka()])
        .args(args)
        .stdin(file.reopen().unwrap())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    let last = said.lines().last().unwrap();
    last.trim_start_matches("% ").to_owned()
}

#[test]
fn confluent_kafka_for_python_reads_what_it_wrote_with_each_codec() {
    roundtrip("confluent", 5);
}

#[test]
fn aiokafka_reads_what_it_wrote() {
    roundtrip("aiokafka", 2);
}

fn roundtrip(client: &str, codecs: usize) {
    let output = python(&Server::ephemeral(), "roundtrip.py", client);
    assert_eq!(output.matches("records equal").count(), codecs, "{output}");
}

/// Runs a script of `tests/clients` with a client against a server.
fn python(server: &Server, script: &str, client: &str) -> String {
    let python = std::env::var("BROOKLET_TEST_PYTHON").unwrap_or_else(|_| "python3".into());
    let script = brooklet_tests::repository()
        .join("tests/clients")
        .join(script);
    let args = [script.to_str().unwrap(), client, server.kafka()];
    String::from_utf8(foreign(&python, &args, b"")).unwrap()
}
