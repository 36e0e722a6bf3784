//! `kill -9`: what was acknowledged is there, where it was acknowledged, in order.
//!
//! ```text
//!  producers write ─▶ kill -9 at some moment ─▶ start again ─▶ read everything ─▶ compare
//! ```
//!
//! A kill loses the process, not the page cache, so every acknowledged record must survive it, with
//! `acks=1` as well as with `acks=all`. Records that were sent but not acknowledged may be there,
//! once and in order.
//!
//! What a power cut loses is not tested here but in the simulation (`tests/tests/sim/`).

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

use brooklet_client::{
    Client, Consumer, ConsumerConfig, Delivery, NewRecord, OffsetSpec, Producer, ProducerConfig,
};
use brooklet_protocol::{Offset, PartitionId, TopicName, TopicPartition};
use brooklet_tests::{Server, brooklet, text};
use bytes::Bytes;
use tokio::sync::watch;

use crate::{assert_calm, lines};

type Records = BTreeMap<i32, Vec<(i64, Bytes)>>;

pub(crate) fn partitions_of(topic: &str, count: i32) -> Vec<TopicPartition> {
    let topic = TopicName::new(topic).unwrap();
    let partition = |p| TopicPartition::new(topic.clone(), PartitionId(p));
    (0..count).map(partition).collect()
}

/// Reads from the start until `is_enough`; offset and value per partition.
async fn read(
    client: &Client,
    partitions: &[TopicPartition],
    is_enough: impl Fn(&Records) -> bool,
) -> Records {
    let mut consumer = Consumer::new(client.clone(), ConsumerConfig::default());
    consumer.assign(partitions.iter().map(|p| (p.clone(), Offset(0))));
    let mut found = Records::new();
    while !is_enough(&found) {
        for fetched in consumer.poll().await.unwrap() {
            let records = found.entry(fetched.partition.partition.0).or_default();
            for batch in &fetched.batches {
                for record in &batch.records(1 << 24).unwrap() {
                    let record = record.unwrap();
                    if record.offset >= fetched.position {
                        let value = Bytes::copy_from_slice(record.value.unwrap_or_default());
                        records.push((record.offset.0, value));
                    }
                }
            }
        }
    }
    found
}

/// All there is.
async fn read_all(client: &Client, partitions: &[TopicPartition]) -> Records {
    let ends = client.list_offsets(partitions, OffsetSpec::Latest).await;
    let end: i64 = ends.unwrap().values().map(|end| end.0).sum();
    read(client, partitions, |found| count(found) as i64 == end).await
}

fn count(records: &Records) -> usize {
    records.values().map(Vec::len).sum()
}

fn assert_dense(records: &Records) {
    for (partition, records) in records {
        let offsets = records.iter().map(|(offset, _)| *offset);
        assert!(offsets.eq(0..records.len() as i64), "holes in {partition}");
    }
}

/// The first line that `brooklet demo` writes names its address.
fn demo_on(data_dir: &Path) -> (std::process::Child, String) {
    let mut demo = Command::new(brooklet())
        .args(["demo", "--kafka", "127.0.0.1:0", "--speed", "100000"])
        .args(["--data-dir", text(data_dir)])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(demo.stderr.take().unwrap()).lines();
    let ready = lines.next().unwrap().unwrap();
    let address = ready
        .split_once("kafka=")
        .expect("the address")
        .1
        .to_owned();
    // Its notes go on, into nowhere; it must not end for want of a reader.
    std::thread::spawn(move || lines.for_each(drop));
    (demo, address)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_demo_has_stored_survives_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let data_dir = dir.path().join("week");
    let (mut demo, address) = demo_on(&data_dir);
    let client = Client::connect(&address, "test").await.unwrap();
    let partitions = partitions_of("flights", 3);
    while client.partition_count(&partitions[0].topic).await.is_err() {}
    let seen = read(&client, &partitions, |found| count(found) >= 1000).await;
    demo.kill().unwrap();
    demo.wait().unwrap();
    drop(client);

    let server = Server::on(&data_dir);
    let client = Client::connect(server.kafka(), "test").await.unwrap();
    let found = read_all(&client, &partitions).await;
    assert_dense(&found);
    for (partition, seen) in &seen {
        assert_eq!(
            found[partition][..seen.len()],
            seen[..],
            "partition {partition}"
        );
    }
    assert!(count(&found) >= count(&seen));
    let errors = server.errors();
    assert_calm(&errors);
    assert!(
        !errors.contains("cut"),
        "only whole batches were written: {errors}"
    );
}

/// `acks=1` promises the page cache, which outlives the process.
#[test]
fn what_was_acknowledged_in_memory_survives_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::on(dir.path());
    server.stdout_of(&["produce", "t", "--acks", "1"], lines(1000).as_bytes());
    server.kill();
    let server = Server::on(dir.path());
    assert_eq!(server.stdout_of(&["consume", "t", "-e"], b""), lines(1000));
}

/// An address for a server that comes back to it: below the ports that the system hands out to
/// whoever connects, or one of those could take it meanwhile.
pub(crate) fn address_to_come_back_to() -> String {
    let first = 20_000 + std::process::id() as u16 % 10_000;
    let address = |port| format!("127.0.0.1:{port}");
    let is_free = |address: &String| TcpListener::bind(address).is_ok();
    (first..32_000).map(address).find(is_free).expect("a port")
}

/// Sends numbered records, round robin, and notes which were acknowledged, and where.
async fn send_numbers(
    producer: Producer,
    partitions: &[TopicPartition],
    acknowledged: watch::Sender<usize>,
    stop: watch::Receiver<bool>,
) -> Vec<(TopicPartition, Offset, u64)> {
    const UNDER_WAY_MAX: usize = 200;
    let mut under_way: VecDeque<(u64, Delivery)> = VecDeque::new();
    let mut placed = Vec::new();
    let mut number = 0;
    loop {
        if under_way.len() < UNDER_WAY_MAX && !*stop.borrow() {
            let partition = &partitions[number as usize % partitions.len()];
            let record = NewRecord {
                partition: Some(partition.partition),
                value: Some(number.to_string().into()),
                ..NewRecord::default()
            };
            let delivery = producer.send(&partition.topic, record).await.unwrap();
            under_way.push_back((number, delivery));
            number += 1;
            continue;
        }
        let Some((number, delivery)) = under_way.pop_front() else {
            return placed;
        };
        let (partition, offset) = delivery.wait().await.unwrap();
        placed.push((partition, offset, number));
        acknowledged.send_replace(placed.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_five_times_kill_9() {
    const KILLS: usize = 5;
    const BETWEEN_KILLS: usize = 500;
    let dir = tempfile::tempdir().unwrap();
    let address = address_to_come_back_to();
    let mut server = Server::on_at(dir.path(), &address);
    server.stdout_of(
        &[
            "topic",
            "create",
            "t",
            "-p",
            "3",
            "-c",
            "segment.bytes=8192",
        ],
        b"",
    );
    let partitions = partitions_of("t", 3);
    let client = Client::connect(&address, "test").await.unwrap();
    let config = ProducerConfig::default();
    let producer = Producer::new(client.clone(), config).await.unwrap();
    let (acknowledged, mut count_acknowledged) = watch::channel(0);
    let (stop, stopped) = watch::channel(false);
    let sending = tokio::spawn({
        let partitions = partitions.clone();
        async move { send_numbers(producer, &partitions, acknowledged, stopped).await }
    });
    for kill in 1..=KILLS {
        let enough = |count: &usize| *count >= kill * BETWEEN_KILLS;
        count_acknowledged.wait_for(enough).await.unwrap();
        server.kill();
        server = Server::on_at(dir.path(), &address);
    }
    let more = *count_acknowledged.borrow() + BETWEEN_KILLS;
    count_acknowledged
        .wait_for(|count| *count >= more)
        .await
        .unwrap();
    stop.send_replace(true);
    let placed = sending.await.unwrap();
    server.kill();

    let server = Server::on_at(dir.path(), &address);
    let found = read_all(&client, &partitions).await;
    assert_dense(&found);
    for (partition, offset, number) in &placed {
        let (_, value) = &found[&partition.partition.0][offset.0 as usize];
        let value = str::from_utf8(value).unwrap();
        assert_eq!(value, number.to_string(), "{partition} at {offset}");
    }
    assert_each_once(&found, placed.len());
    assert_calm(&server.errors());
}

/// A batch whose acknowledgement was lost in a crash is sent again, and known again by its producer
/// and its sequence. So each record is there once, in the order of sending.
fn assert_each_once(found: &Records, count_sent: usize) {
    for (partition, records) in found {
        let number =
            |(_, value): &(i64, Bytes)| str::from_utf8(value).unwrap().parse::<u64>().unwrap();
        let numbers: Vec<u64> = records.iter().map(number).collect();
        assert!(
            numbers.is_sorted_by(|a, b| a < b),
            "partition {partition}: {numbers:?}"
        );
    }
    assert_eq!(count(found), count_sent);
}
