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
