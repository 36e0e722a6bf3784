//! What becomes of connections that run into a limit.

use super::*;
use crate::broker::LimitMetrics;
use crate::counters::Limit;

async fn limit(broker: &Broker, limit: Limit) -> LimitMetrics {
    let metrics = broker.metrics().await;
    let mut limits = metrics.limits.into_iter();
    limits.find(|l| l.limit == limit).expect("all are there")
}

async fn rejections(broker: &Broker, of: Limit) -> u64 {
    limit(broker, of).await.rejections
}

/// A frame of `length` bytes that is no request.
fn frame(length: usize) -> Vec<u8> {
    let length_bytes = i32::try_from(length).unwrap().to_be_bytes();
    [&length_bytes[..], &vec![0xff; length]].concat()
}

fn produce_bytes(correlation_id: i32, length: usize) -> BytesMut {
    let mut batch = BatchBuilder::new(Compression::None);
    batch.append(Timestamp(1), None, Some(&vec![7; length]), &[]);
    let data = PartitionProduceData::default().with_records(Some(batch.build().bytes().clone()));
    let topic = TopicProduceData::default()
        .with_name(name())
        .with_partition_data(vec![data]);
    let body = ProduceRequest::default()
        .with_acks(1)
        .with_topic_data(vec![topic]);
    encoded(correlation_id, 9, RequestKind::Produce(body))
}

fn fetch_bytes(correlation_id: i32, bytes_max: i32) -> BytesMut {
    let partition = FetchPartition::default().with_partition_max_bytes(bytes_max);
    let topic = FetchTopic::default()
        .with_topic(name())
        .with_partitions(vec![partition]);
    let body = FetchRequest::default()
        .with_max_bytes(bytes_max)
        .with_session_epoch(-1)
        .with_topics(vec![topic]);
    encoded(correlation_id, 11, RequestKind::Fetch(body))
}

fn records(answer: ResponseKind) -> usize {
    let ResponseKind::Fetch(answer) = answer else {
        panic!("{answer:?}");
    };
    let partition = &answer.responses[0].partitions[0];
    assert_eq!(partition.error_code, 0);
    partition.records.as_ref().map_or(0, Bytes::len)
}

/// Lets time go on in steps until clients have run into the limit so often: when exactly the broker
/// begins to wait is not known.
async fn until_rejected(broker: &Broker, clock: &ManualClock, of: Limit, count: u64) -> Duration {
    let mut waited = Duration::ZERO;
    while rejections(broker, of).await < count {
        clock.advance(Duration::from_secs(1));
        waited += Duration::from_secs(1);
        tokio::task::yield_now().await;
    }
    waited
}

#[tokio::test]
async fn a_request_that_is_too_large_is_refused_by_its_length() {
    let (broker, _) = start(|config| config.socket_request_max_bytes = 1000).await;
    let mut client = Client::connect(&broker).await;
    client.send(&1001_i32.to_be_bytes()).await;
    assert_eq!(client.receive().await, None);
    assert_eq!(rejections(&broker, Limit::RequestBytes).await, 1);
    assert_eq!(limit(&broker, Limit::RequestBytes).await.maximum, 1000);
}

#[tokio::test]
async fn a_client_without_a_request_is_cut_off_in_the_end() {
    let (broker, clock) = start(|_| {}).await;
    for (begun, of, patience) in [
        (&[][..], Limit::IdleTime, 600),
        (&[0][..], Limit::RequestReadTime, 30),
    ] {
        let mut client = Client::connect(&broker).await;
        client.send(&api_versions(1)).await;
        client.receive_as(ApiKey::ApiVersions, 3).await;
        client.send(begun).await;
        let waited = until_rejected(&broker, &clock, of, 1).await;
        assert!(waited >= Duration::from_secs(patience), "{waited:?}");
        assert_eq!(client.receive().await, None);
    }
    let both = [Limit::IdleTime, Limit::RequestReadTime];
    for of in both {
        assert_eq!(rejections(&broker, of).await, 1);
    }
}

/// So many bytes are more than the sockets of both sides take.
const ANSWER_BYTES: usize = 30 << 20;

/// Produces [`ANSWER_BYTES`], in batches of 1,000,000.
async fn fill(broker: &Broker) -> Client {
    let mut client = Client::connect(broker).await;
    client.send(&create_topic(1)).await;
    client.receive_as(ApiKey::Metadata, 9).await;
    for n in 0..ANSWER_BYTES / 1_000_000 {
        client
            .send(&produce_bytes(i32::try_from(n).unwrap(), 1_000_000))
            .await;
        client.receive_as(ApiKey::Produce, 9).await;
    }
    client
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut_off_and_the_others_go_on() {
    let (broker, clock) = start(|_| {}).await;
    let mut bystander = fill(&broker).await;
    let mut slow = Client::connect(&broker).await;
    slow.send(&fetch_bytes(1, i32::MAX)).await;
    let waited = until_rejected(&broker, &clock, Limit::ResponseStallTime, 1).await;
    assert!(waited >= Duration::from_secs(30), "{waited:?}");
    assert_eq!(slow.receive().await, None, "half of an answer is none");
    bystander.send(&api_versions(2)).await;
    assert_eq!(bystander.receive_as(ApiKey::ApiVersions, 3).await.0, 2);
    assert_eq!(
        limit(&broker, Limit::QueuedResponseBytes).await.used,
        Some(0)
    );
}

#[tokio::test]
async fn an_answer_takes_no_longer_than_a_client_may_be_silent() {
    let patient = |config: &mut BrokerConfig| config.response_stall_max = Duration::from_secs(1000);
    let (broker, clock) = start(patient).await;
    drop(fill(&broker).await);
    let mut slow = Client::connect(&broker).await;
    slow.send(&fetch_bytes(1, i32::MAX)).await;
    let waited = until_rejected(&broker, &clock, Limit::IdleTime, 1).await;
    assert!(waited >= Duration::from_secs(600), "{waited:?}");
    assert_eq!(slow.receive().await, None);
    assert_eq!(rejections(&broker, Limit::ResponseStallTime).await, 0);
}

#[tokio::test]
async fn beside_answers_that_are_not_read_a_fetch_gets_one_batch() {
    let (broker, _) = start(|config| config.queued_response_bytes_max = 10 << 20).await;
    let mut client = fill(&broker).await;
    let mut slow = Client::connect(&broker).await;
    slow.send(&fetch_bytes(1, 10 << 20)).await;
    // It is being sent once its first bytes come.
    slow.stream.readable().await.unwrap();
    let lent = limit(&broker, Limit::QueuedResponseBytes)
        .await
        .used
        .unwrap();
    assert!(lent > 9_000_000, "{lent}");
    client.send(&fetch_bytes(2, 10 << 20)).await;
    let one_batch = records(client.receive_as(ApiKey::Fetch, 11).await.1);
    assert!((1_000_000..2_000_000).contains(&one_batch), "{one_batch}");
    assert_eq!(rejections(&broker, Limit::QueuedResponseBytes).await, 1);
    let all = records(slow.receive_as(ApiKey::Fetch, 11).await.1);
    assert!(all > 9_000_000, "{all}");
    client.send(&fetch_bytes(3, 10 << 20)).await;
    let all = records(client.receive_as(ApiKey::Fetch, 11).await.1);
    assert!(all > 9_000_000, "{all}");
}

#[tokio::test]
async fn half_requests_do_not_take_all_memory_and_do_not_wait_for_one_another() {
    let (broker, _) = start(|config| config.queued_request_bytes_max = 1 << 20).await;
    let mut bystander = Client::connect(&broker).await;
    bystander.send(&create_topic(1)).await;
    bystander.receive_as(ApiKey::Metadata, 9).await;
    // Each has most of a request there, which together is more than there may be.
    let whole = produce_bytes(7, 900_000);
    let mut clients = Vec::new();
    for _ in 0..4 {
        let client = Client::connect(&broker).await;
        clients.push(client);
    }
    for client in &mut clients {
        client.send(&whole[..600_000]).await;
    }
    let waits = || rejections(&broker, Limit::QueuedRequestBytes);
    while waits().await < 2 {
        tokio::task::yield_now().await;
    }
    let used = limit(&broker, Limit::QueuedRequestBytes)
        .await
        .used
        .unwrap();
    assert!(used <= 1 << 20, "{used}");
    // Small requests need none of it.
    bystander.send(&api_versions(2)).await;
    assert_eq!(bystander.receive_as(ApiKey::ApiVersions, 3).await.0, 2);
    let sent = clients.into_iter().map(|mut client| {
        let rest = whole[600_000..].to_vec();
        tokio::spawn(async move {
            client.send(&rest).await;
            client.receive_as(ApiKey::Produce, 9).await.0
        })
    });
    for answered in sent.collect::<Vec<_>>() {
        assert_eq!(answered.await.unwrap(), 7);
    }
    assert!(
        limit(&broker, Limit::QueuedRequestBytes)
            .await
            .used
            .unwrap()
            <= 1 << 19
    );
}

/// A frame that says it has 100 MiB, of which `sent` bytes come.
async fn half_sent(broker: &Broker, sent: usize) -> Client {
    let mut client = Client::connect(broker).await;
    client.send(&(100_i32 << 20).to_be_bytes()).await;
    client.send(&vec![0; sent]).await;
    client
}

async fn until_used(broker: &Broker, of: Limit, is_enough: impl Fn(u64) -> bool) {
    while !is_enough(limit(broker, of).await.used.unwrap()) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_half_sent_request_holds_what_was_sent_and_no_more() {
    let (broker, _) = start(|_| {}).await;
    for sent in [300_000, 3_000_000] {
        let before = broker.metrics().await.sockets.received_bytes;
        let client = half_sent(&broker, sent).await;
        let received = || async { broker.metrics().await.sockets.received_bytes - before };
        while received().await < sent as u64 + 4 {
            tokio::task::yield_now().await;
        }
        until_used(&broker, Limit::QueuedRequestBytes, |used| {
            used + (64 << 10) > sent as u64
        })
        .await;
        let used = limit(&broker, Limit::QueuedRequestBytes).await.used;
        assert!(used.unwrap() <= sent as u64 + 4, "{used:?}");
        drop(client);
        until_used(&broker, Limit::QueuedRequestBytes, |used| used == 0).await;
    }
}

#[tokio::test]
async fn half_sent_requests_make_room_within_moments() {
    let (broker, clock) = start(|config| config.queued_request_bytes_max = 4 << 20).await;
    let mut bystander = Client::connect(&broker).await;
    bystander.send(&create_topic(1)).await;
    bystander.receive_as(ApiKey::Metadata, 9).await;
    let waits = || rejections(&broker, Limit::QueuedRequestBytes);
    // All memory, and a fourth that is the one that goes beyond it. They have sent for a moment,
    // and stop.
    let mut slow = Vec::new();
    for _ in 0..4 {
        slow.push(half_sent(&broker, 1_300_000).await);
    }
    while waits().await < 1 {
        tokio::task::yield_now().await;
    }
    let large = produce_bytes(2, 1_000_000);
    let sending = tokio::spawn(async move {
        bystander.send(&large).await;
        bystander.receive_as(ApiKey::Produce, 9).await.0
    });
    while waits().await < 2 {
        tokio::task::yield_now().await;
    }
    let mut waited = Duration::ZERO;
    while rejections(&broker, Limit::RequestReadTime).await < 1 {
        clock.advance(Duration::from_millis(50));
        waited += Duration::from_millis(50);
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
    }
    assert!(waited < Duration::from_secs(10), "{waited:?}");
    assert_eq!(sending.await.unwrap(), 2);
}

#[tokio::test]
async fn an_idle_connection_gives_its_memory_back() {
    let (broker, clock) = start(|_| {}).await;
    let mut client = Client::connect(&broker).await;
    client.send(&create_topic(1)).await;
    client.receive_as(ApiKey::Metadata, 9).await;
    client.send(&produce_bytes(2, 1_000_000)).await;
    client.receive_as(ApiKey::Produce, 9).await;
    let used = limit(&broker, Limit::QueuedRequestBytes).await.used;
    assert!(
        used > Some(900_000),
        "it is kept for the next one: {used:?}"
    );
    while limit(&broker, Limit::QueuedRequestBytes).await.used > Some(0) {
        clock.advance(Duration::from_millis(100));
        tokio::task::yield_now().await;
    }
    client.send(&produce_bytes(3, 1_000_000)).await;
    assert_eq!(client.receive_as(ApiKey::Produce, 9).await.0, 3);
}

#[tokio::test]
async fn connections_that_ask_for_nothing_make_room() {
    let (broker, _) = start(|config| config.max_connections = 2).await;
    let mut silent = Client::connect(&broker).await;
    // Half of a request is none.
    silent.send(&api_versions(1)[..10]).await;
    let _second = Client::connect(&broker).await;
    let mut third = Client::connect(&broker).await;
    third.send(&api_versions(1)).await;
    assert_eq!(third.receive_as(ApiKey::ApiVersions, 3).await.0, 1);
    assert_eq!(silent.receive().await, None);
    assert_eq!(limit(&broker, Limit::Connections).await.used, Some(2));
}

#[tokio::test]
async fn memory_of_a_request_is_given_back_with_its_connection() {
    let (broker, _) = start(|_| {}).await;
    let mut client = Client::connect(&broker).await;
    client.send(&frame(500_000)[..400_000]).await;
    while limit(&broker, Limit::QueuedRequestBytes).await.used < Some(300_000) {
        tokio::task::yield_now().await;
    }
    drop(client);
    while limit(&broker, Limit::QueuedRequestBytes).await.used != Some(0) {
        tokio::task::yield_now().await;
    }
    assert_eq!(limit(&broker, Limit::Connections).await.used, Some(0));
}

#[tokio::test]
async fn counts_that_lie_take_no_memory() {
    let (broker, _) = start(|_| {}).await;
    // Metadata, version 1: an array of 2^31 - 1 topics in a request of 14 bytes.
    let mut client = Client::connect(&broker).await;
    let mut request = BytesMut::new();
    request.put_i32(14);
    request.put_i16(ApiKey::Metadata as i16);
    request.put_i16(1);
    request.put_i32(1);
    request.put_i16(-1);
    request.put_i32(i32::MAX);
    client.send(&request).await;
    assert_eq!(client.receive().await, None);
    assert_eq!(broker.metrics().await.sockets.malformed_requests, 1);
}
