//! What a client is told that runs into a limit, and that it is counted.

use brooklet_protocol::messages::kafka::create_partitions_request::CreatePartitionsTopic;
use brooklet_protocol::messages::kafka::fetch_request::{FetchPartition, FetchTopic};
use brooklet_protocol::messages::kafka::metadata_request::MetadataRequestTopic;
use brooklet_protocol::messages::kafka::{
    CreatePartitionsRequest, InitProducerIdRequest, MetadataRequest,
};
use brooklet_protocol::messages::kafka::{FetchRequest, TransactionalId};

use super::groups::join_request;
use super::*;
use crate::broker::LimitMetrics;
use crate::counters::Limit;

impl Fixture {
    async fn limit(&self, limit: Limit) -> LimitMetrics {
        let metrics = self.broker.metrics().await;
        let mut limits = metrics.limits.into_iter();
        limits.find(|l| l.limit == limit).expect("all are there")
    }

    async fn rejections(&self, limit: Limit) -> u64 {
        self.limit(limit).await.rejections
    }
}

fn zeros(codec: Compression, length: usize) -> Bytes {
    let mut batch = BatchBuilder::new(codec);
    batch.append(Timestamp(1), Some(b"key"), Some(&vec![0; length]), &[]);
    batch.build().bytes().clone()
}

#[tokio::test]
async fn a_batch_that_is_too_large() {
    let fixture = Fixture::start_with(|config| config.log.message_bytes_max = 1000).await;
    fixture.create("t", 1).await;
    let answer = fixture
        .produce(9, "t", 1, Some(zeros(Compression::None, 1000)))
        .await;
    assert_eq!(answer.error_code, code(ErrorCode::MessageTooLarge));
    assert_eq!(fixture.rejections(Limit::MessageBytes).await, 1);
    assert_eq!(fixture.limit(Limit::MessageBytes).await.maximum, 1000);
    assert_eq!(fixture.rejections(Limit::DecompressedBytes).await, 0);
}

#[tokio::test]
async fn a_batch_that_is_too_large_in_the_topics_codec() {
    let fixture = Fixture::start_with(|config| {
        config.log.message_bytes_max = 1000;
        config.apply("compression.type", "uncompressed").unwrap();
    })
    .await;
    fixture.create("t", 1).await;
    for (length, error) in [(1000, code(ErrorCode::MessageTooLarge)), (800, 0)] {
        let batch = zeros(Compression::Zstd, length);
        assert!(batch.len() < 500);
        let answer = fixture.produce(9, "t", 1, Some(batch)).await;
        assert_eq!(answer.error_code, error, "{length}");
    }
    assert_eq!(fixture.rejections(Limit::MessageBytes).await, 1);
    assert_eq!(fixture.rejections(Limit::DecompressedBytes).await, 0);
}

#[tokio::test]
async fn a_batch_that_is_a_bomb() {
    let fixture = Fixture::start_with(|config| {
        config.apply("compression.type", "lz4").unwrap();
    })
    .await;
    fixture.create("t", 1).await;
    let max = usize::try_from(fixture.limit(Limit::DecompressedBytes).await.maximum).unwrap();
    let bomb = zeros(Compression::Zstd, max);
    assert!(bomb.len() < 100_000, "{}", bomb.len());
    let answer = fixture.produce(9, "t", 1, Some(bomb)).await;
    assert_eq!(answer.error_code, code(ErrorCode::MessageTooLarge));
    assert!(answer.error_message.unwrap().contains("exceed the limit"));
    assert_eq!(fixture.rejections(Limit::DecompressedBytes).await, 1);
    assert_eq!(fixture.rejections(Limit::MessageBytes).await, 0);
    // Every batch is walked, also where the topic takes any codec.
    let fixture = Fixture::start().await;
    fixture.create("t", 1).await;
    let bomb = zeros(Compression::Zstd, max);
    let answer = fixture.produce(9, "t", 1, Some(bomb)).await;
    assert_eq!(answer.error_code, code(ErrorCode::MessageTooLarge));
}

#[tokio::test]
async fn more_partitions_than_there_may_be() {
    let fixture = Fixture::start_with(|config| config.partitions_max = 5).await;
    fixture.create("t", 3).await;
    let refused = code(ErrorCode::PolicyViolation);

    let request = CreateTopicsRequest::default().with_topics(vec![
        CreatableTopic::default()
            .with_name(topic("u"))
            .with_num_partitions(3)
            .with_replication_factor(1),
    ]);
    for request in [request.clone().with_validate_only(true), request] {
        let response = fixture.call(7, RequestKind::CreateTopics(request)).await;
        let result = body!(CreateTopics, response).topics.remove(0);
        assert_eq!(result.error_code, refused);
        assert!(
            result
                .error_message
                .unwrap()
                .contains("max.broker.partitions=5")
        );
    }

    let grown = |count| {
        let topic = CreatePartitionsTopic::default()
            .with_name(topic("t"))
            .with_count(count)
            .with_assignments(None);
        CreatePartitionsRequest::default().with_topics(vec![topic])
    };
    for (count, expected) in [(6, refused), (5, 0)] {
        let response = fixture
            .call(3, RequestKind::CreatePartitions(grown(count)))
            .await;
        let result = body!(CreatePartitions, response).results.remove(0);
        assert_eq!(result.error_code, expected);
    }

    let asked = MetadataRequestTopic::default().with_name(Some(topic("auto")));
    let request = MetadataRequest::default()
        .with_topics(Some(vec![asked]))
        .with_allow_auto_topic_creation(true);
    let response = fixture.call(9, RequestKind::Metadata(request)).await;
    let answer = body!(Metadata, response).topics.remove(0);
    assert_eq!(answer.error_code, refused);

    let limit = fixture.limit(Limit::Partitions).await;
    assert_eq!(
        (limit.used, limit.maximum, limit.rejections),
        (Some(5), 5, 4)
    );
    // The broker's own are not counted: groups work on a full broker.
    let joined = fixture.join_in(5, "g").await;
    assert_eq!(joined.error_code, 0);
    assert_eq!(fixture.limit(Limit::Partitions).await.used, Some(5));
}

#[tokio::test]
async fn groups_and_members_without_end() {
    let fixture = Fixture::start_with(|config| {
        config.groups.members_max = 1;
        config.groups.groups_max = 2;
    })
    .await;
    for group in ["a", "b"] {
        assert_eq!(fixture.join_in(5, group).await.error_code, 0);
    }
    let refused = code(ErrorCode::GroupMaxSizeReached);
    assert_eq!(fixture.join_in(5, "c").await.error_code, refused);
    let groups = fixture.limit(Limit::Groups).await;
    assert_eq!(
        (groups.used, groups.maximum, groups.rejections),
        (Some(2), 2, 1)
    );
    assert_eq!(fixture.rejections(Limit::GroupMembers).await, 0);
}

#[tokio::test]
async fn ids_that_nobody_joins_with() {
    let fixture = Fixture::start_with(|config| config.groups.members_max = 2).await;
    let ask = || fixture.join(5, join_request("g", ""));
    for _ in 0..2 {
        let given = ask().await.error_code;
        assert_eq!(given, code(ErrorCode::MemberIdRequired));
    }
    let refused = ask().await.error_code;
    assert_eq!(refused, code(ErrorCode::GroupMaxSizeReached));
    assert_eq!(fixture.rejections(Limit::GroupMembers).await, 1);
}

#[tokio::test]
async fn a_member_that_says_too_much_of_itself() {
    let fixture = Fixture::start_with(|config| {
        config.groups.member_bytes_max = 100;
        config.groups.group_bytes_max = 150;
    })
    .await;
    let long = |bytes: usize| {
        let mut request = join_request("g", "");
        request.group_instance_id = Some(StrBytes::from_string(format!("static-{bytes}")));
        request.protocols[0].metadata = Bytes::from(vec![0; bytes - "range".len()]);
        request
    };
    let answer = fixture.join(5, long(101)).await;
    assert_eq!(answer.error_code, code(ErrorCode::InvalidRequest));
    assert_eq!(fixture.rejections(Limit::MemberMetadata).await, 1);
    let joined = fixture.join(5, long(100)).await;
    assert_eq!(joined.error_code, 0);
    let answer = fixture.join(5, long(51)).await;
    assert_eq!(answer.error_code, code(ErrorCode::GroupMaxSizeReached));
    assert_eq!(fixture.rejections(Limit::GroupMetadata).await, 1);
    // Who comes back takes its own place.
    let again = long(100).with_member_id(joined.member_id.clone());
    assert_eq!(fixture.join(5, again).await.error_code, 0);
    let part = "x".repeat(151).leak();
    let synced = fixture
        .sync(3, "g", &joined, &[(&joined.member_id, part)])
        .await;
    assert_eq!(synced.error_code, code(ErrorCode::InvalidRequest));
    assert_eq!(fixture.rejections(Limit::GroupMetadata).await, 2);
}

#[tokio::test]
async fn a_long_text_beside_an_offset() {
    let fixture = Fixture::start().await;
    fixture.create("t", 1).await;
    let refused = fixture.commit(8, "g", 1, &"x".repeat(4097)).await;
    assert_eq!(refused, code(ErrorCode::OffsetMetadataTooLarge));
    assert_eq!(fixture.commit(8, "g", 1, &"x".repeat(4096)).await, 0);
    assert_eq!(fixture.rejections(Limit::OffsetMetadata).await, 1);
}

#[tokio::test]
async fn transactional_ids_without_end() {
    let fixture = Fixture::start_with(|config| config.transactions.ids_max = 1).await;
    for (id, expected) in [("a", 0), ("b", code(ErrorCode::PolicyViolation)), ("a", 0)] {
        let id = TransactionalId(StrBytes::from_static_str(id));
        let request = InitProducerIdRequest::default()
            .with_transactional_id(Some(id))
            .with_transaction_timeout_ms(1000);
        let response = fixture.call(2, RequestKind::InitProducerId(request)).await;
        assert_eq!(body!(InitProducerId, response).error_code, expected);
    }
    assert_eq!(fixture.rejections(Limit::TransactionalIds).await, 1);
}

#[tokio::test]
async fn fetch_sessions_without_end() {
    let fixture = Fixture::start_with(|config| config.fetch_session_slots = 1).await;
    fixture.create("t", 1).await;
    let open = || {
        let partition = FetchPartition::default().with_partition_max_bytes(1000);
        let topic = FetchTopic::default()
            .with_topic(topic("t"))
            .with_partitions(vec![partition]);
        let request = FetchRequest::default()
            .with_session_epoch(0)
            .with_topics(vec![topic]);
        RequestKind::Fetch(request)
    };
    let first = body!(Fetch, fixture.call(11, open()).await);
    assert_ne!(first.session_id, 0);
    let second = body!(Fetch, fixture.call(11, open()).await);
    assert_eq!((second.error_code, second.session_id), (0, 0));
    let limit = fixture.limit(Limit::FetchSessions).await;
    assert_eq!(
        (limit.used, limit.maximum, limit.rejections),
        (Some(1), 1, 1)
    );
}
