//! The runtime on a broker in the same process.

mod application;

use brooklet_broker::{Broker, BrokerConfig};
use brooklet_client::Isolation;
use brooklet_protocol::Timestamp;
use bytes::Bytes;

use super::*;
use crate::codec::json;
use crate::operator::results::Final;
use crate::time::millis;
use crate::window::Tumbling;
use crate::{Repartition, TestDriver};

const PARTITIONS: i32 = 2;

fn topic(name: &str) -> TopicName {
    TopicName::new(name).unwrap()
}

/// Counts per remainder of three, in windows of ten.
fn program() -> App {
    let app = App::new("app");
    app.stream("in", json::<i64>())
        .event_time(|time| Timestamp(*time))
        .key_by("by-rest", |time| (*time % 3) as u32, json())
        .window(Tumbling::of(millis(10)).grace(millis(5)))
        .count("count")
        .finals()
        .to(
            "results",
            |result| Some(result.key.to_be_bytes().to_vec().into()),
            json(),
        );
    app
}

/// Partition, record timestamp, and the value, which is the event time.
fn input() -> Vec<(i32, i64, i64)> {
    let record = |i: i64| ((i % 2) as i32, i, (i + i * 7 % 13 - 6).max(0));
    (0..100).map(record).collect()
}

async fn produce(client: &Client, name: &str, records: &[(i32, i64, i64)]) {
    let producer = Producer::new(client.clone(), ProducerConfig::default())
        .await
        .unwrap();
    for (partition, timestamp, value) in records {
        let record = brooklet_client::NewRecord {
            partition: Some(PartitionId(*partition)),
            timestamp: Some(Timestamp(*timestamp)),
            value: Some(Bytes::from(value.to_string())),
            ..Default::default()
        };
        producer.send(&topic(name), record).await.unwrap();
    }
    producer.flush().await.unwrap();
}

async fn ends(client: &Client, name: &str) -> Ends {
    let partition = |number| TopicPartition::new(topic(name), PartitionId(number));
    let partitions: Vec<_> = (0..PARTITIONS).map(partition).collect();
    client
        .list_offsets(&partitions, OffsetSpec::Latest)
        .await
        .unwrap()
}

/// All results from these offsets on, sorted.
async fn results(client: &Client, from: &Ends) -> Vec<Final<u32, u64>> {
    let to = ends(client, "results").await;
    let committed = ConsumerConfig {
        isolation: Isolation::ReadCommitted,
        ..ConsumerConfig::default()
    };
    let mut consumer = Consumer::new(client.clone(), committed);
    consumer.assign(from.clone());
    let mut values = Vec::new();
    while to
        .iter()
        .any(|(partition, end)| consumer.position(partition) < Some(*end))
    {
        for fetched in consumer.poll().await.unwrap() {
            let batches = fetched.batches.iter();
            for batch in batches.filter(|batch| !batch.header().is_control()) {
                let records = batch.records(1 << 20).unwrap();
                let records = records.iter().map(Result::unwrap);
                let new = records.filter(|record| record.offset >= fetched.position);
                values.extend(new.map(|r| serde_json::from_slice(r.value.unwrap()).unwrap()));
            }
        }
    }
    values.sort_by_key(|result: &Final<u32, u64>| (result.window, result.key));
    values
}

/// What the test driver makes of the same input.
fn expected() -> Vec<Final<u32, u64>> {
    let mut driver = TestDriver::new(program(), PARTITIONS).unwrap();
    for (partition, timestamp, value) in input() {
        let value = value.to_string();
        driver.pipe(
            "in",
            partition,
            None,
            Some(value.as_bytes()),
            Timestamp(timestamp),
        );
    }
    driver.end();
    let mut results: Vec<Final<u32, u64>> = driver.read_values("results", json()).unwrap();
    results.sort_by_key(|result| (result.window, result.key));
    results
}

/// A client of a broker that has the topics `in` and `results`.
async fn prepared() -> Client {
    let config = BrokerConfig {
        kafka: None,
        ..BrokerConfig::default()
    };
    let client = Client::embedded(Broker::start(config).await.unwrap(), "test");
    for name in ["in", "results"] {
        create_topic(&client, name).await;
    }
    client
}

async fn create_topic(client: &Client, name: &str) {
    let partitions = Some(PARTITIONS);
    topics::create(client, &topic(name), partitions, &BTreeMap::new())
        .await
        .unwrap();
}

#[tokio::test]
async fn a_bounded_run_gives_what_the_test_driver_gives_and_so_does_the_next() {
    let client = prepared().await;
    produce(&client, "in", &input()).await;
    for run in 1..=2 {
        let from = ends(&client, "results").await;
        let report = program().run(&client, RunOptions::default()).await.unwrap();
        assert_eq!(results(&client, &from).await, expected(), "run {run}");
        assert_eq!(report.records_in(), 100);
        let count = report.windows["count"].counts;
        assert_eq!(count.records, 100);
        assert_eq!(count.finals as usize, expected().len());
        let metadata = client.metadata(None).await.unwrap();
        let is_left = |name: &str| metadata.topics.iter().any(|topic| topic.name == name);
        assert!(is_left("results") && !is_left("app-by-rest-repartition"));
    }
}

#[tokio::test]
async fn event_times_may_lie_anywhere_and_so_may_results() {
    let client = prepared().await;
    let century = 4_102_444_800_000;
    let times = [0, 5, century, century + 1, i64::MAX - 1];
    let records: Vec<_> = (0..).zip(times).map(|(i, time)| (0, i, time)).collect();
    produce(&client, "in", &records).await;
    let app = App::new("app");
    let counts = app
        .stream("in", json::<i64>())
        .event_time(|time| Timestamp(*time))
        .key_by("by-rest", |_| 0u32, json())
        .window(Tumbling::of(millis(10)).grace(millis(0)))
        .count("count");
    // The run creates this topic.
    counts.finals().to("ahead", |_| None, json());
    let report = app.run(&client, RunOptions::default()).await.unwrap();
    let counts = report.windows["count"].counts;
    assert_eq!(
        (counts.records, counts.late_records, counts.finals),
        (5, 0, 3)
    );
    let partition = [TopicPartition::new(topic("ahead"), PartitionId(0))];
    let ends = client
        .list_offsets(&partition, OffsetSpec::Latest)
        .await
        .unwrap();
    assert_eq!(ends[&partition[0]], Offset(3));
}

#[tokio::test]
async fn what_an_earlier_run_left_behind_is_not_read() {
    let client = prepared().await;
    create_topic(&client, "app-by-rest-repartition").await;
    produce(&client, "app-by-rest-repartition", &input()).await;
    produce(&client, "in", &input()).await;
    let from = ends(&client, "results").await;
    let report = program().run(&client, RunOptions::default()).await.unwrap();
    assert_eq!(report.malformed(), 0);
    assert_eq!(results(&client, &from).await, expected());
}

#[tokio::test]
async fn a_live_run_learns_its_end_while_it_runs() {
    let client = prepared().await;
    let from = ends(&client, "results").await;
    let (say, heard) = watch::channel(None);
    let options = RunOptions {
        stop: Bound::Signalled(heard),
        ..RunOptions::default()
    };
    let app = program();
    let metrics = app.metrics();
    let running = tokio::spawn({
        let client = client.clone();
        async move { app.run(&client, options).await }
    });
    for records in input().chunks(7) {
        produce(&client, "in", records).await;
    }
    while metrics.snapshot().records_in() < 100 {
        tokio::task::yield_now().await;
    }
    assert!(!running.is_finished());
    say.send(Some(ends(&client, "in").await)).unwrap();
    let report = running.await.unwrap().unwrap();
    assert_eq!(report.windows["count"].stream_time, Timestamp::MAX);
    assert_eq!(results(&client, &from).await, expected());
}

#[tokio::test]
async fn an_idle_partition_does_not_hold_up_a_live_run_if_so_asked() {
    let client = prepared().await;
    let (say, heard) = watch::channel(None);
    let options = RunOptions {
        stop: Bound::Signalled(heard),
        idle: Some(millis(1)),
        consumer: ConsumerConfig {
            fetch_wait_max: millis(1),
            ..ConsumerConfig::default()
        },
        ..RunOptions::default()
    };
    let app = program();
    let metrics = app.metrics();
    let running = tokio::spawn({
        let client = client.clone();
        async move { app.run(&client, options).await }
    });
    // All to partition 0: partition 1 never speaks. At 99 all windows up to [80, 90) are closed.
    let records: Vec<_> = (0..100).map(|time| (0, time, time)).collect();
    produce(&client, "in", &records).await;
    let finals = || Some(metrics.snapshot().windows.get("count")?.counts.finals);
    while finals() < Some(9 * 3) {
        assert!(!running.is_finished());
        tokio::task::yield_now().await;
    }
    say.send(Some(ends(&client, "in").await)).unwrap();
    let report = running.await.unwrap().unwrap();
    assert_eq!(report.windows["count"].counts.finals, 10 * 3);
    assert_eq!(report.windows["count"].counts.late_pairs, 0);
}

#[tokio::test]
async fn a_run_that_starts_at_the_latest_reads_nothing_old() {
    let client = prepared().await;
    produce(&client, "in", &input()).await;
    let options = RunOptions {
        start: Start::Latest,
        ..RunOptions::default()
    };
    let report = program().run(&client, options).await.unwrap();
    assert_eq!(report.records_in(), 0);
}

#[tokio::test]
async fn a_source_that_is_deleted_ends_the_run_by_name() {
    use std::error::Error as _;

    let client = prepared().await;
    let app = program();
    let metrics = app.metrics();
    let running = tokio::spawn({
        let client = client.clone();
        let options = RunOptions {
            stop: Bound::Never,
            ..RunOptions::default()
        };
        async move { app.run(&client, options).await }
    });
    produce(&client, "in", &input()).await;
    while metrics.snapshot().records_in() < 100 {
        tokio::task::yield_now().await;
    }
    client.delete_topic(&topic("in")).await.unwrap();
    let error = running.await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "topic 'in' does not exist");
    let cause = error.source().and_then(|e| e.downcast_ref());
    assert!(matches!(cause, Some(ClientError::UnknownTopic(_))));
}

#[tokio::test]
async fn failures_have_names() {
    let client = prepared().await;
    produce(&client, "in", &[(0, 1, 1)]).await;
    create_topic(&client, "app-other-repartition").await;

    let app = App::new("app");
    app.stream("in", json::<i64>())
        .for_each(|time| panic!("no {time}"));
    let error = app.run(&client, RunOptions::default()).await.unwrap_err();
    assert_eq!(error.to_string(), "the task of in-0 panicked: no 1");

    let app = App::new("app");
    let three = Repartition::named("other").partitions(3);
    drop(
        app.stream("in", json::<i64>())
            .key_by(three, |_| 0u32, json()),
    );
    let error = app.run(&client, RunOptions::default()).await.unwrap_err();
    let message = "topic 'app-other-repartition' has 2 partitions, expected 3; delete the topic and run again";
    assert_eq!(error.to_string(), message);

    let (_say, heard) = watch::channel(Some(Ends::new()));
    let options = RunOptions {
        stop: Bound::Signalled(heard),
        ..RunOptions::default()
    };
    let error = program().run(&client, options).await.unwrap_err();
    assert!(matches!(error, RunError::NoEnd(_)), "{error}");
}
