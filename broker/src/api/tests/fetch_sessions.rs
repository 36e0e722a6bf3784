//! Incremental fetches through the one door; `fetch/sessions/tests.rs` has the sessions by
//! themselves.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use brooklet_protocol::messages::kafka::delete_records_request::{
    DeleteRecordsPartition, DeleteRecordsTopic,
};
use brooklet_protocol::messages::kafka::fetch_request::{FetchTopic, ForgottenTopic};
use brooklet_protocol::messages::kafka::{DeleteRecordsRequest, FetchRequest, FetchResponse};
use brooklet_protocol::messages::{ErrorCode, RequestKind, ResponseKind};
use uuid::Uuid;

use super::fetch::{partition, request};
use super::{Fixture, batch, body, code, produce_request, topic};

async fn fetch(fixture: &Fixture, version: i16, request: FetchRequest) -> FetchResponse {
    body!(
        Fetch,
        fixture.call(version, RequestKind::Fetch(request)).await
    )
}

/// The next fetch of a session, which asks for nothing else than before.
fn next(session_id: i32, epoch: i32) -> FetchRequest {
    FetchRequest::default()
        .with_max_bytes(1 << 20)
        .with_min_bytes(1)
        .with_session_id(session_id)
        .with_session_epoch(epoch)
}

async fn open(fixture: &Fixture, request: FetchRequest) -> i32 {
    let response = fetch(fixture, 12, request.with_session_epoch(0)).await;
    assert_eq!(response.error_code, 0);
    assert_ne!(response.session_id, 0);
    response.session_id
}

/// Topic, partition, error, and whether there are records.
fn told(response: &FetchResponse) -> Vec<(&str, i32, i16, bool)> {
    assert_eq!(response.error_code, 0);
    let topics = response.responses.iter().flat_map(|topic| {
        let partitions = topic.partitions.iter();
        partitions.map(|p| (topic.topic.as_str(), p))
    });
    let told = topics.map(|(topic, p)| {
        let records = p.records.as_ref().expect("records are never null");
        (topic, p.partition_index, p.error_code, !records.is_empty())
    });
    told.collect()
}

async fn produce(fixture: &Fixture, name: &str, partition: i32) {
    let request = produce_request(name, partition, 1, Some(batch(&["value"])));
    let response = body!(Produce, fixture.call(9, request.into()).await);
    assert_eq!(response.responses[0].partition_responses[0].error_code, 0);
}

/// Polls once what must not be ready.
async fn assert_waits<T>(waiting: &mut (impl Future<Output = T> + Unpin)) {
    tokio::select! {
        biased;
        _ = waiting => panic!("answered at once"),
        () = std::future::ready(()) => {}
    }
}

#[tokio::test]
async fn every_version_with_sessions_tells_what_has_changed() {
    let fixture = Fixture::start().await;
    let id = fixture.create("clicks", 3).await;
    for version in 7..=18 {
        let partitions = (0..3).map(|p| partition(p, 0)).collect();
        let mut asked = request("clicks", partitions).with_session_epoch(0);
        if version >= 13 {
            asked.topics[0].topic = topic("");
            asked.topics[0].topic_id = id;
        }
        let full = fetch(&fixture, version, asked).await;
        assert_eq!(full.responses[0].partitions.len(), 3);
        assert!(full.session_id > 0);
        produce(&fixture, "clicks", 1).await;
        let changed = fetch(&fixture, version, next(full.session_id, 1)).await;
        assert_eq!(changed.session_id, full.session_id);
        let told = told(&changed);
        let expected = if version >= 13 { "" } else { "clicks" };
        assert!(told.contains(&(expected, 1, 0, true)), "{told:?}");
        assert_eq!(told.len(), 1);
        let of = changed.responses[0].topic_id;
        assert_eq!(of, if version >= 13 { id } else { Uuid::nil() });
        let last = next(full.session_id, -1);
        assert_eq!(fetch(&fixture, version, last).await.session_id, 0);
    }
}

#[tokio::test]
async fn errors_of_sessions_are_kafkas() {
    let fixture = Fixture::start().await;
    fixture.create("clicks", 1).await;
    let id = open(&fixture, request("clicks", vec![partition(0, 0)])).await;
    for (version, session, epoch, expected) in [
        (12, id ^ 1, 1, ErrorCode::FetchSessionIdNotFound),
        (12, id, 2, ErrorCode::InvalidFetchSessionEpoch),
        (13, id, 1, ErrorCode::FetchSessionTopicIdError),
    ] {
        let response = fetch(&fixture, version, next(session, epoch)).await;
        assert_eq!(response.error_code, code(expected));
        assert_eq!((response.session_id, response.responses.len()), (0, 0));
    }
    assert_eq!(fetch(&fixture, 12, next(id, 1)).await.error_code, 0);
}

#[tokio::test]
async fn a_waiting_session_is_woken_by_a_produce_and_told_of_that_alone() {
    let fixture = Fixture::start().await;
    fixture.create("clicks", 3).await;
    let partitions = (0..3).map(|p| partition(p, 0)).collect();
    let id = open(&fixture, request("clicks", partitions)).await;
    let mut waiting = pin!(fetch(&fixture, 12, next(id, 1).with_max_wait_ms(1000)));
    assert_waits(&mut waiting).await;
    produce(&fixture, "clicks", 2).await;
    assert_eq!(told(&waiting.await), [("clicks", 2, 0, true)]);
}

#[tokio::test]
async fn a_session_without_news_waits_for_its_time_and_no_longer() {
    let fixture = Fixture::start().await;
    fixture.create("clicks", 2).await;
    let id = open(&fixture, request("clicks", vec![partition(0, 0)])).await;
    let mut waiting = pin!(fetch(&fixture, 12, next(id, 1).with_max_wait_ms(1000)));
    assert_waits(&mut waiting).await;
    fixture.clock.advance(Duration::from_millis(999));
    assert_waits(&mut waiting).await;
    fixture.clock.advance(Duration::from_millis(1));
    let response = waiting.await;
    assert_eq!(told(&response), []);
    assert_eq!(response.session_id, id);
}

#[tokio::test]
async fn topics_come_and_go_within_a_session() {
    let fixture = Fixture::start().await;
    fixture.create("clicks", 2).await;
    let both = request("clicks", vec![partition(0, 0), partition(1, 0)]);
    let id = open(&fixture, both).await;
    let gone = ForgottenTopic::default()
        .with_topic(topic("clicks"))
        .with_partitions(vec![0]);
    let added = FetchTopic::default()
        .with_topic(topic("views"))
        .with_partitions(vec![partition(0, 0)]);
    let changed = next(id, 1)
        .with_forgotten_topics_data(vec![gone])
        .with_topics(vec![added])
        .with_max_wait_ms(1000);
    // The topic is not there yet: told at once, and each time.
    let unknown = code(ErrorCode::UnknownTopicOrPartition);
    let response = fetch(&fixture, 12, changed).await;
    assert_eq!(told(&response), [("views", 0, unknown, false)]);
    let response = fetch(&fixture, 12, next(id, 2)).await;
    assert_eq!(told(&response), [("views", 0, unknown, false)]);
    fixture.create("views", 1).await;
    produce(&fixture, "clicks", 0).await;
    let response = fetch(&fixture, 12, next(id, 3)).await;
    assert_eq!(told(&response), [("views", 0, 0, false)]);
    produce(&fixture, "clicks", 1).await;
    let response = fetch(&fixture, 12, next(id, 4)).await;
    assert_eq!(told(&response), [("clicks", 1, 0, true)]);
}

#[tokio::test]
async fn a_log_start_that_moves_is_told_without_records() {
    let fixture = Fixture::start().await;
    fixture.create("clicks", 2).await;
    produce(&fixture, "clicks", 0).await;
    let at_the_end = request("clicks", vec![partition(0, 1), partition(1, 0)]);
    let id = open(&fixture, at_the_end).await;
    let up_to = DeleteRecordsPartition::default().with_offset(-1);
    let deletion = DeleteRecordsRequest::default().with_topics(vec![
        DeleteRecordsTopic::default()
            .with_name(topic("clicks"))
            .with_partitions(vec![up_to]),
    ]);
    let deleted = body!(DeleteRecords, fixture.call(2, deletion.into()).await);
    assert_eq!(deleted.topics[0].partitions[0].low_watermark, 1);
    let response = fetch(&fixture, 12, next(id, 1)).await;
    assert_eq!(told(&response), [("clicks", 0, 0, false)]);
    assert_eq!(response.responses[0].partitions[0].log_start_offset, 1);
}

#[tokio::test]
async fn answers_too_small_for_all_give_each_partition_its_turn() {
    let fixture = Fixture::start().await;
    fixture.create("clicks", 3).await;
    let partitions = (0..3).map(|p| partition(p, 0)).collect();
    let id = open(&fixture, request("clicks", partitions)).await;
    for p in [0, 1, 2] {
        produce(&fixture, "clicks", p).await;
    }
    let mut read = Vec::new();
    for epoch in 1..=6 {
        // Room for the one batch that there always is.
        let response = fetch(&fixture, 12, next(id, epoch).with_max_bytes(1)).await;
        let told = told(&response).into_iter().filter(|(.., records)| *records);
        read.extend(told.map(|(_, partition, ..)| partition));
    }
    assert_eq!(read, [0, 1, 2, 0, 1, 2]);
}

#[tokio::test]
async fn sessions_are_counted_and_bounded() {
    let fixture = Fixture::start_with(|config| config.fetch_session_slots = 1).await;
    fixture.create("clicks", 2).await;
    let both = || request("clicks", vec![partition(0, 0), partition(1, 0)]).with_session_epoch(0);
    let id = open(&fixture, both()).await;
    let sessions = fixture.broker.fetch_sessions();
    assert_eq!(
        (sessions.session_count(), sessions.partition_count()),
        (1, 2)
    );
    // Whoever finds no room is answered all the same.
    let full = fetch(&fixture, 12, both()).await;
    assert_eq!((full.session_id, told(&full).len()), (0, 2));
    fixture.clock.advance(Duration::from_secs(121));
    assert_ne!(fetch(&fixture, 12, both()).await.session_id, 0);
    let response = fetch(&fixture, 12, next(id, 1)).await;
    assert_eq!(response.error_code, code(ErrorCode::FetchSessionIdNotFound));
    assert_eq!(
        (sessions.session_count(), sessions.eviction_count()),
        (1, 1)
    );
}

#[tokio::test]
async fn a_session_holds_two_thousand_partitions() {
    let fixture = Fixture::start().await;
    fixture.create("clicks", 2000).await;
    let partitions = (0..2000).map(|p| partition(p, 0)).collect();
    let full = request("clicks", partitions).with_session_epoch(0);
    let full = fetch(&fixture, 12, full).await;
    assert_eq!(told(&full).len(), 2000);
    let id = full.session_id;
    // Only the partition that was read is named again.
    let mut read_on = Vec::new();
    for (epoch, p) in (1..).zip([1999, 0, 777]) {
        let asked = next(id, epoch).with_topics(read_on).with_max_wait_ms(1000);
        let mut waiting = pin!(fetch(&fixture, 12, asked));
        assert_waits(&mut waiting).await;
        produce(&fixture, "clicks", p).await;
        assert_eq!(told(&waiting.await), [("clicks", p, 0, true)]);
        read_on = request("clicks", vec![partition(p, 1)]).topics;
    }
}
