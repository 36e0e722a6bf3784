use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use brooklet_protocol::messages::kafka::fetch_request::{FetchPartition, FetchTopic};
use brooklet_protocol::messages::kafka::fetch_response::PartitionData;
use brooklet_protocol::messages::kafka::list_offsets_request::{
    ListOffsetsPartition, ListOffsetsTopic,
};
use brooklet_protocol::messages::kafka::{
    DeleteTopicsRequest, FetchRequest, FetchResponse, ListOffsetsRequest,
};
use brooklet_protocol::messages::{ErrorCode, RequestKind, ResponseKind};
use brooklet_protocol::records::{BatchBuilder, Batches, Compression, EndTxnMarker, RecordBatch};
use brooklet_protocol::{ProducerEpoch, ProducerId, Timestamp};
use bytes::Bytes;
use uuid::Uuid;

use super::{Fixture, batch, body, code, topic};
use crate::partition::Durability;

pub(super) fn partition(index: i32, offset: i64) -> FetchPartition {
    FetchPartition::default()
        .with_partition(index)
        .with_current_leader_epoch(-1)
        .with_fetch_offset(offset)
        .with_partition_max_bytes(1 << 20)
}

pub(super) fn request(name: &str, partitions: Vec<FetchPartition>) -> FetchRequest {
    FetchRequest::default()
        .with_max_bytes(1 << 20)
        .with_min_bytes(1)
        .with_session_epoch(-1)
        .with_topics(vec![
            FetchTopic::default()
                .with_topic(topic(name))
                .with_partitions(partitions),
        ])
}

async fn fetch(fixture: &Fixture, version: i16, request: FetchRequest) -> FetchResponse {
    body!(
        Fetch,
        fixture.call(version, RequestKind::Fetch(request)).await
    )
}

pub(super) async fn fetch_partitions(
    fixture: &Fixture,
    request: FetchRequest,
) -> Vec<PartitionData> {
    let mut response = fetch(fixture, 11, request).await;
    assert_eq!(response.error_code, 0);
    response.responses.remove(0).partitions
}

fn batch_count(data: &PartitionData) -> usize {
    let records = data.records.clone().expect("records are never null");
    Batches(records).map(Result::unwrap).count()
}

async fn filled(values: &[&str]) -> (Fixture, Uuid) {
    let fixture = Fixture::start().await;
    let id = fixture.create("clicks", 2).await;
    for value in values {
        fixture
            .produce(9, "clicks", 1, Some(batch(&[value, value])))
            .await;
    }
    (fixture, id)
}

#[tokio::test]
async fn every_version_reads_what_was_produced() {
    let (fixture, id) = filled(&["a", "b"]).await;
    for version in 4..=18 {
        let mut asked = request("clicks", vec![partition(0, 0)]);
        if version >= 13 {
            asked.topics[0].topic = topic("");
            asked.topics[0].topic_id = id;
        }
        let response = fetch(&fixture, version, asked).await;
        assert_eq!((response.error_code, response.session_id), (0, 0));
        let data = &response.responses[0].partitions[0];
        assert_eq!(batch_count(data), 2, "version {version}");
        assert_eq!((data.high_watermark, data.last_stable_offset), (4, 4));
        assert_eq!(data.preferred_read_replica.0, -1);
        assert_eq!(data.aborted_transactions, None);
    }
}

#[tokio::test]
async fn read_committed_gets_an_empty_list_of_aborted_transactions() {
    let (fixture, _) = filled(&["a"]).await;
    let asked = request("clicks", vec![partition(0, 0)]).with_isolation_level(1);
    let data = fetch_partitions(&fixture, asked).await.remove(0);
    assert_eq!(data.aborted_transactions, Some(vec![]));
}

#[tokio::test]
async fn a_fetch_into_the_middle_gets_the_whole_batch() {
    let (fixture, _) = filled(&["a", "b"]).await;
    let data = fetch_partitions(&fixture, request("clicks", vec![partition(0, 1)])).await;
    assert_eq!(batch_count(&data[0]), 2);
}

#[tokio::test]
async fn the_first_partition_with_data_gives_a_batch_and_then_the_limits_hold() {
    let (fixture, _) = filled(&["a", "b"]).await;
    let one = batch(&["a", "a"]).len() as i32;
    let asked = |max_bytes, partition_max_bytes| {
        let mut second = partition(0, 0);
        second.partition_max_bytes = partition_max_bytes;
        // Partition 1 is empty and does not use up the privilege.
        let partitions = vec![partition(1, 0), second.clone(), second];
        request("clicks", partitions).with_max_bytes(max_bytes)
    };
    for (max_bytes, partition_max_bytes, expected) in [
        (0, 1 << 20, [0, 1, 0]),
        (1 << 20, 0, [0, 1, 0]),
        (one, 1 << 20, [0, 1, 0]),
        (2 * one, 1 << 20, [0, 2, 0]),
        (3 * one, 1 << 20, [0, 2, 1]),
        (1 << 20, one, [0, 1, 1]),
        (-1, -1, [0, 1, 0]),
    ] {
        let data = fetch_partitions(&fixture, asked(max_bytes, partition_max_bytes)).await;
        let counts: Vec<_> = data.iter().map(batch_count).collect();
        assert_eq!(counts, expected, "{max_bytes} {partition_max_bytes}");
    }
}

#[tokio::test]
async fn errors_are_told_apart_and_never_wait() {
    let (fixture, _) = filled(&["a"]).await;
    let epoch = |epoch| partition(0, 0).with_current_leader_epoch(epoch);
    let cases = [
        (
            "nowhere",
            partition(0, 0),
            ErrorCode::UnknownTopicOrPartition,
        ),
        (
            "clicks",
            partition(2, 0),
            ErrorCode::UnknownTopicOrPartition,
        ),
        ("clicks", partition(0, 3), ErrorCode::OffsetOutOfRange),
        ("clicks", partition(0, -1), ErrorCode::OffsetOutOfRange),
        ("clicks", epoch(-2), ErrorCode::FencedLeaderEpoch),
        ("clicks", epoch(1), ErrorCode::UnknownLeaderEpoch),
    ];
    for (name, asked, expected) in cases {
        // The clock stands still: a fetch that waited would hang.
        let asked = request(name, vec![partition(1, 0), asked]).with_max_wait_ms(1000);
        let data = fetch_partitions(&fixture, asked).await.remove(1);
        assert_eq!(data.error_code, code(expected));
        assert_eq!(batch_count(&data), 0);
        let high_watermark = if expected == ErrorCode::OffsetOutOfRange {
            2
        } else {
            -1
        };
        assert_eq!(data.high_watermark, high_watermark, "{expected:?}");
    }
    let mut by_id = request("", vec![partition(0, 0)]).with_max_wait_ms(1000);
    by_id.topics[0].topic_id = Uuid::from_u128(99);
    let response = fetch(&fixture, 13, by_id).await;
    let data = &response.responses[0].partitions[0];
    assert_eq!(data.error_code, code(ErrorCode::UnknownTopicId));
    assert_eq!(batch_count(data), 0);
}

#[tokio::test]
async fn a_waiting_fetch_is_woken_by_a_produce() {
    let (fixture, _) = filled(&[]).await;
    let asked = request("clicks", vec![partition(1, 0), partition(0, 0)]).with_max_wait_ms(1000);
    let mut waiting = pin!(fetch_partitions(&fixture, asked));
    tokio::select! {
        biased;
        data = &mut waiting => panic!("answered at once: {data:?}"),
        () = std::future::ready(()) => {}
    }
    fixture.produce(9, "clicks", 1, Some(batch(&["a"]))).await;
    let data = waiting.await;
    assert_eq!(data.iter().map(batch_count).collect::<Vec<_>>(), [0, 1]);
}

#[tokio::test]
async fn a_fetch_waits_for_min_bytes_and_no_longer_than_max_wait() {
    let (fixture, _) = filled(&["a"]).await;
    let one = batch(&["a", "a"]).len() as i32;
    let asked = request("clicks", vec![partition(0, 0)])
        .with_min_bytes(2 * one)
        .with_max_wait_ms(1000);
    let mut waiting = pin!(fetch_partitions(&fixture, asked));
    for step in 0..2 {
        tokio::select! {
            biased;
            data = &mut waiting => panic!("answered in step {step}: {data:?}"),
            () = std::future::ready(()) => {}
        }
        fixture.clock.advance(Duration::from_millis(499));
    }
    fixture.clock.advance(Duration::from_millis(2));
    assert_eq!(batch_count(&waiting.await[0]), 1);
}

#[tokio::test]
async fn an_answer_that_stops_short_does_not_wait_for_min_bytes() {
    let (fixture, _) = filled(&["a", "b", "c"]).await;
    let one = batch(&["a", "a"]).len() as i32;
    let mut asked = request("clicks", vec![partition(0, 0)]).with_max_wait_ms(1000);
    asked.min_bytes = 10 * one;
    asked.topics[0].partitions[0].partition_max_bytes = 2 * one;
    assert_eq!(batch_count(&fetch_partitions(&fixture, asked).await[0]), 2);
}

#[tokio::test]
async fn a_fetch_of_nothing_is_answered_at_once() {
    let (fixture, _) = filled(&[]).await;
    let asked = request("clicks", vec![]).with_max_wait_ms(1000);
    assert!(fetch(&fixture, 11, asked).await.responses.is_empty());
}

#[tokio::test]
async fn shutdown_answers_a_waiting_fetch() {
    let (fixture, _) = filled(&[]).await;
    let asked = request("clicks", vec![partition(0, 0)]).with_max_wait_ms(1000);
    let (data, stopped) = tokio::join!(fetch_partitions(&fixture, asked), async {
        tokio::task::yield_now().await;
        fixture.broker.shutdown().await
    });
    stopped.unwrap();
    assert_eq!(batch_count(&data[0]), 0);
}

#[tokio::test]
async fn a_waiting_fetch_of_a_topic_that_is_deleted_sends_its_client_to_the_metadata() {
    let (fixture, _) = filled(&[]).await;
    let asked = request("clicks", vec![partition(0, 0)]).with_max_wait_ms(1000);
    let mut waiting = pin!(fetch_partitions(&fixture, asked));
    tokio::select! {
        biased;
        data = &mut waiting => panic!("answered at once: {data:?}"),
        () = std::future::ready(()) => {}
    }
    let request = DeleteTopicsRequest::default().with_topic_names(vec![topic("clicks")]);
    let deleted = fixture.call(1, RequestKind::DeleteTopics(request)).await;
    assert_eq!(body!(DeleteTopics, deleted).responses[0].error_code, 0);
    let data = waiting.await;
    assert_eq!(data[0].error_code, code(ErrorCode::NotLeaderOrFollower));
}

#[tokio::test]
async fn what_may_have_to_come_from_the_disk_is_not_read_on_the_callers_thread() {
    let (fixture, _) = filled(&["a", "b"]).await;
    fixture.vfs.was_read_here();
    let asked = || request("clicks", vec![partition(0, 0)]);
    assert_eq!(
        batch_count(&fetch_partitions(&fixture, asked()).await[0]),
        2
    );
    assert!(fixture.vfs.was_read_here(), "just written: without a hop");
    fixture.broker.shutdown().await.unwrap();

    let fixture = Fixture::start_on(fixture.vfs.clone(), |_| {}).await;
    fixture.vfs.was_read_here();
    assert_eq!(
        batch_count(&fetch_partitions(&fixture, asked()).await[0]),
        2
    );
    let by_time = vec![super::offsets_and_ids::asked(0, 100)];
    let found = super::offsets_and_ids::list(&fixture, 7, "clicks", by_time).await;
    assert_eq!(found[0].offset, 0);
    assert!(!fixture.vfs.was_read_here());
}

#[tokio::test]
async fn damage_on_the_disk_is_named_and_not_served() {
    let (fixture, _) = filled(&["a", "b"]).await;
    fixture.broker.shutdown().await.unwrap();
    let segment = PathBuf::from("/data/clicks-0/00000000000000000000.log");
    let vfs = fixture.vfs.clone();
    let first = batch(&["a", "a"]).len() as u64;
    vfs.sim.flip_bit(&segment, 8 * (first - 3)).unwrap();
    let fixture = Fixture::start_on(vfs, |_| {}).await;
    let damaged = fetch_partitions(&fixture, request("clicks", vec![partition(0, 0)])).await;
    assert_eq!(damaged[0].error_code, code(ErrorCode::CorruptMessage));
    assert_eq!(batch_count(&damaged[0]), 0);
    let behind = fetch_partitions(&fixture, request("clicks", vec![partition(0, 2)])).await;
    assert_eq!(behind[0].error_code, 0, "{behind:?}");
    assert_eq!(batch_count(&behind[0]), 1);
}

/// A transaction that a coordinator has ended, or will.
fn transactional(id: i64, sequence: i32, value: &str) -> Bytes {
    let producer = (ProducerId(id), ProducerEpoch(0));
    let mut records = BatchBuilder::new(Compression::None)
        .with_producer(producer.0, producer.1, sequence)
        .with_transaction();
    records.append(Timestamp(5), None, Some(value.as_bytes()), &[]);
    records.build().bytes().clone()
}

#[tokio::test]
async fn who_reads_committed_records_is_told_of_aborted_transactions_and_ends_before_open_ones() {
    let fixture = Fixture::start().await;
    fixture.create("t", 1).await;
    let image = fixture.broker.controller().image();
    let log = Arc::clone(image.topic("t").unwrap().partitions[0].open().unwrap());
    let append = |mut bytes: Bytes| {
        let batch = RecordBatch::split_from(&mut bytes).unwrap();
        log.append_written(&[batch]).unwrap()
    };
    let end = |id: i64, committed: bool| {
        let marker = EndTxnMarker {
            committed,
            coordinator_epoch: 0,
        };
        let producer = (ProducerId(id), ProducerEpoch(0));
        append(marker.to_batch(producer, Timestamp(5)).bytes().clone())
    };
    append(transactional(1, 0, "aborted"));
    append(batch(&["plain"]));
    end(1, false);
    append(transactional(2, 0, "committed"));
    end(2, true);
    append(transactional(3, 0, "open"));
    append(batch(&["behind"]));
    log.commit(log.log_end_offset(), Durability::Written)
        .await
        .unwrap();

    for (isolation, end, aborted) in [(0, 7, None), (1, 5, Some(vec![(1, 0)]))] {
        let request = request("t", vec![partition(0, 0)]).with_isolation_level(isolation);
        let data = &fetch_partitions(&fixture, request).await[0];
        assert_eq!((data.high_watermark, data.last_stable_offset), (7, 5));
        let batches = Batches(data.records.clone().unwrap()).map(Result::unwrap);
        assert_eq!(batches.last().unwrap().header().next_offset().0, end);
        let told = data.aborted_transactions.as_ref();
        let told = told.map(|told| {
            told.iter()
                .map(|a| (a.producer_id.0, a.first_offset))
                .collect::<Vec<_>>()
        });
        assert_eq!(told, aborted);

        let partition = ListOffsetsPartition::default().with_timestamp(-1);
        let asked = ListOffsetsTopic::default()
            .with_name(topic("t"))
            .with_partitions(vec![partition]);
        let request = ListOffsetsRequest::default()
            .with_isolation_level(isolation)
            .with_topics(vec![asked]);
        let answer = body!(ListOffsets, fixture.call(7, request.into()).await);
        assert_eq!(answer.topics[0].partitions[0].offset, end);
    }
}
