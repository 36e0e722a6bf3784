//! The consumer against a broker that fails as it is told; tokio's clock is paused.

use super::*;
use crate::testing::{FakeBroker, Fault, batch_of, values_of};
use crate::{OffsetSpec, backoff};
use brooklet_protocol::Timestamp;
use proptest::prelude::*;
use std::sync::Arc;
use tokio::time::Instant;

fn partition(number: i32) -> TopicPartition {
    TopicPartition::new(TopicName::new("t").unwrap(), PartitionId(number))
}

fn consumer(broker: &Arc<FakeBroker>, partitions: &[(i32, i64)]) -> Consumer {
    let mut consumer = Consumer::new(broker.client(), ConsumerConfig::default());
    let at = |&(number, offset): &(i32, i64)| (partition(number), Offset(offset));
    consumer.assign(partitions.iter().map(at));
    consumer
}

fn values(fetched: &[Fetched]) -> Vec<String> {
    let each = fetched.iter();
    each.flat_map(|f| f.batches.iter().flat_map(|b| values_of(b, f.position.0)))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_poll_brings_what_is_there_and_waits_for_what_is_not() {
    let broker = FakeBroker::new(1);
    broker.put(0, batch_of(0, &["a", "b"]));
    let mut consumer = consumer(&broker, &[(0, 1)]);
    assert_eq!(values(&consumer.poll().await.unwrap()), ["b"]);
    assert_eq!(consumer.position(&partition(0)), Some(Offset(2)));
    let before = Instant::now();
    assert!(consumer.poll().await.unwrap().is_empty());
    assert_eq!(Instant::now() - before, consumer.config.fetch_wait_max);
}

#[tokio::test(start_paused = true)]
async fn a_waiting_poll_is_woken_by_the_broker() {
    let broker = FakeBroker::new(1);
    let mut consumer = consumer(&broker, &[(0, 0)]);
    // Of virtual time, which passes once the poll waits: it comes within the wait, not at its end.
    let after = consumer.config.fetch_wait_max / 5;
    let late = Arc::clone(&broker);
    tokio::spawn(async move {
        tokio::time::sleep(after).await;
        late.put(0, batch_of(0, &["a"]));
    });
    let before = Instant::now();
    assert_eq!(values(&consumer.poll().await.unwrap()), ["a"]);
    assert_eq!(Instant::now() - before, after);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_poll_loses_nothing() {
    let broker = FakeBroker::new(2);
    broker.put(0, batch_of(0, &["a"]));
    broker.put(1, batch_of(0, &["b"]));
    let mut consumer = consumer(&broker, &[(0, 0), (1, 0)]);
    // Nothing is ever ready at the first look: each poll is dropped at its first await.
    for _ in 0..10 {
        tokio::select! {
            biased;
            _ = consumer.poll() => panic!("ready without waiting"),
            () = std::future::ready(()) => {}
        }
        assert_eq!(consumer.position(&partition(0)), Some(Offset(0)));
    }
    let mut read = values(&consumer.poll().await.unwrap());
    read.sort();
    assert_eq!(read, ["a", "b"]);
    assert_eq!(
        broker.count("Fetch"),
        1,
        "the fetch of the dropped poll was found again"
    );
}

#[tokio::test(start_paused = true)]
async fn an_offset_out_of_range_is_the_callers_to_settle() {
    let broker = FakeBroker::new(1);
    let mut consumer = consumer(&broker, &[(0, 7)]);
    let error = consumer.poll().await.unwrap_err();
    assert_eq!(error.to_string(), "fetch t-0 at offset 7: OffsetOutOfRange");
    consumer.assign([(partition(0), Offset(0))]);
    broker.put(0, batch_of(0, &["a"]));
    assert_eq!(values(&consumer.poll().await.unwrap()), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn errors_that_pass_are_waited_out() {
    let broker = FakeBroker::new(1);
    broker.put(0, batch_of(0, &["a"]));
    broker.fail_fetch([
        Fault::LoseRequest,
        Fault::LoseRequest,
        Fault::Refuse(ErrorCode::NotLeaderOrFollower),
    ]);
    let mut consumer = consumer(&broker, &[(0, 0)]);
    assert_eq!(values(&consumer.poll().await.unwrap()), ["a"]);
    assert_eq!(
        broker.count("Metadata"),
        3,
        "at first and after each failure"
    );
}

#[tokio::test(start_paused = true)]
async fn errors_that_stay_are_reported_in_the_end() {
    let broker = FakeBroker::new(1);
    let attempts = backoff::ATTEMPTS_MAX as usize;
    broker.fail_fetch(vec![Fault::Refuse(ErrorCode::KafkaStorageError); attempts]);
    let mut consumer = consumer(&broker, &[(0, 0)]);
    let mut polls = 0;
    let error = loop {
        polls += 1;
        match consumer.poll().await {
            Ok(fetched) => assert!(fetched.is_empty()),
            Err(error) => break error,
        }
    };
    assert_eq!(
        error.to_string(),
        "fetch t-0 at offset 0: KafkaStorageError"
    );
    assert!(polls > 1, "no poll waits for all of them");
}

#[tokio::test(start_paused = true)]
async fn an_unknown_topic_is_reported_at_once() {
    let broker = FakeBroker::new(1);
    let mut consumer = Consumer::new(broker.client(), ConsumerConfig::default());
    let elsewhere = TopicPartition::new(TopicName::new("nowhere").unwrap(), PartitionId(0));
    consumer.assign([(elsewhere, Offset(0))]);
    let error = consumer.poll().await.unwrap_err();
    assert_eq!(error.to_string(), "topic 'nowhere' does not exist");
}

#[tokio::test(start_paused = true)]
async fn a_paused_partition_is_not_read_until_it_is_resumed() {
    let broker = FakeBroker::new(1);
    broker.put(0, batch_of(0, &["a"]));
    let mut consumer = consumer(&broker, &[(0, 0)]);
    consumer.pause(&partition(0));
    assert!(consumer.poll().await.unwrap().is_empty());
    assert_eq!(broker.count("Fetch"), 0);
    consumer.resume(&partition(0));
    assert_eq!(values(&consumer.poll().await.unwrap()), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn offsets_are_looked_up_by_end_and_by_time() {
    let broker = FakeBroker::new(2);
    broker.put(0, batch_of(0, &["a", "b"]));
    let both = [partition(0), partition(1)];
    let client = broker.client();
    for (spec, expected) in [
        (OffsetSpec::Earliest, [0, 0]),
        (OffsetSpec::Latest, [2, 0]),
        (OffsetSpec::At(Timestamp(0)), [0, 0]),
        (OffsetSpec::At(Timestamp(1)), [2, 0]),
    ] {
        let found = client.list_offsets(&both, spec).await.unwrap();
        let offsets: Vec<_> = found.into_values().map(|offset| offset.0).collect();
        assert_eq!(offsets, expected, "{spec:?}");
    }
    let error = client
        .list_offsets(&[partition(5)], OffsetSpec::Latest)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("it has 2 partitions"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Whenever polls are dropped and whatever fails on the way: every record comes once, in order.
    #[test]
    fn every_record_comes_once_and_in_order(
        polls_dropped_after_ms in prop::collection::vec(0_u64..5, 0..40),
        is_lost in prop::collection::vec(any::<bool>(), 0..4),
    ) {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let broker = FakeBroker::new(1);
            let faults = is_lost.into_iter().map(|is_lost| {
                if is_lost { Fault::LoseAnswer } else { Fault::Refuse(ErrorCode::LeaderNotAvailable) }
            });
            broker.fail_fetch(faults);
            let mut consumer = consumer(&broker, &[(0, 0)]);
            let mut read = Vec::new();
            let mut appended = 0;
            for millis in polls_dropped_after_ms {
                broker.put(0, batch_of(appended, &[&appended.to_string()]));
                appended += 1;
                tokio::select! {
                    fetched = consumer.poll() => read.extend(values(&fetched.unwrap())),
                    () = tokio::time::sleep(Duration::from_millis(millis)) => {}
                }
            }
            while consumer.position(&partition(0)) != Some(Offset(appended)) {
                read.extend(values(&consumer.poll().await.unwrap()));
            }
            let expected: Vec<_> = (0..appended).map(|offset| offset.to_string()).collect();
            assert_eq!(read, expected);
        });
    }
}
