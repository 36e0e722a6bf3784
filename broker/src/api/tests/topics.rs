use brooklet_protocol::messages::kafka::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use brooklet_protocol::messages::kafka::create_topics_response::CreatableTopicResult;
use brooklet_protocol::messages::kafka::delete_topics_request::DeleteTopicState;
use brooklet_protocol::messages::kafka::metadata_request::MetadataRequestTopic;
use brooklet_protocol::messages::kafka::{
    CreateTopicsRequest, DeleteTopicsRequest, MetadataRequest, MetadataResponse,
};
use brooklet_protocol::messages::{ErrorCode, RequestKind, ResponseKind, StrBytes};
use uuid::Uuid;

use super::{Fixture, body, code, topic};

pub(super) async fn metadata(
    fixture: &Fixture,
    version: i16,
    names: Option<&[&str]>,
    auto_create: bool,
) -> MetadataResponse {
    let asked = |name: &&str| MetadataRequestTopic::default().with_name(Some(topic(name)));
    let request = MetadataRequest::default()
        .with_topics(names.map(|names| names.iter().map(asked).collect()))
        .with_allow_auto_topic_creation(auto_create);
    body!(
        Metadata,
        fixture.call(version, RequestKind::Metadata(request)).await
    )
}

fn new_topic(name: &str) -> CreatableTopic {
    CreatableTopic::default()
        .with_name(topic(name))
        .with_num_partitions(-1)
        .with_replication_factor(-1)
}

fn config(name: &'static str, value: Option<&'static str>) -> CreatableTopicConfig {
    CreatableTopicConfig::default()
        .with_name(StrBytes::from_static_str(name))
        .with_value(value.map(StrBytes::from_static_str))
}

fn assignment(partition: i32, brokers: &[i32]) -> CreatableReplicaAssignment {
    CreatableReplicaAssignment::default()
        .with_partition_index(partition)
        .with_broker_ids(brokers.iter().map(|id| (*id).into()).collect())
}

async fn create(
    fixture: &Fixture,
    version: i16,
    topics: Vec<CreatableTopic>,
) -> Vec<CreatableTopicResult> {
    let request = CreateTopicsRequest::default().with_topics(topics);
    body!(
        CreateTopics,
        fixture
            .call(version, RequestKind::CreateTopics(request))
            .await
    )
    .topics
}

async fn delete(fixture: &Fixture, version: i16, topics: Vec<DeleteTopicState>) -> Vec<i16> {
    let names = topics.iter().filter_map(|t| t.name.clone());
    let request = match version {
        ..6 => DeleteTopicsRequest::default().with_topic_names(names.collect()),
        6.. => DeleteTopicsRequest::default().with_topics(topics),
    };
    let response = fixture
        .call(version, RequestKind::DeleteTopics(request))
        .await;
    let results = body!(DeleteTopics, response).responses;
    results
        .into_iter()
        .map(|result| result.error_code)
        .collect()
}

fn by_name(name: &str) -> DeleteTopicState {
    DeleteTopicState::default().with_name(Some(topic(name)))
}

#[tokio::test]
async fn every_version_of_metadata_names_the_broker_and_the_leaders() {
    let fixture = Fixture::start().await;
    let id = fixture.create("clicks", 3).await;
    for version in 0..=13 {
        let names: Option<&[&str]> = if version == 0 { Some(&[]) } else { None };
        let all = metadata(&fixture, version, names, true).await;
        assert_eq!(all.brokers.len(), 1);
        assert_eq!(all.brokers[0].node_id.0, 1);
        assert_eq!(all.brokers[0].host.as_str(), "127.0.0.1");
        if version >= 2 {
            assert_eq!(all.cluster_id.unwrap().len(), 22);
        }
        let clicks = all
            .topics
            .iter()
            .find(|t| t.name == Some(topic("clicks")))
            .unwrap();
        assert_eq!(clicks.error_code, 0);
        assert_eq!(clicks.partitions.len(), 3);
        assert_eq!(clicks.topic_authorized_operations, i32::MIN);
        if version >= 10 {
            assert_eq!(clicks.topic_id, id);
        }
        for (index, partition) in (0..).zip(&clicks.partitions) {
            assert_eq!(
                (partition.partition_index, partition.leader_id.0),
                (index, 1)
            );
            assert_eq!(
                (partition.replica_nodes.len(), partition.isr_nodes.len()),
                (1, 1)
            );
            assert!(partition.offline_replicas.is_empty());
        }
    }
}

#[tokio::test]
async fn an_empty_list_asks_for_no_topics() {
    let fixture = Fixture::start().await;
    fixture.create("clicks", 1).await;
    assert!(
        metadata(&fixture, 1, Some(&[]), true)
            .await
            .topics
            .is_empty()
    );
}

#[tokio::test]
async fn asking_for_a_topic_creates_it_only_if_both_sides_allow_it() {
    let fixture = Fixture::start_with(|config| config.num_partitions = 4).await;
    let unknown = code(ErrorCode::UnknownTopicOrPartition);
    let refused = metadata(&fixture, 4, Some(&["clicks"]), false).await;
    assert_eq!(refused.topics[0].error_code, unknown);
    let created = metadata(&fixture, 4, Some(&["clicks", "clicks"]), true).await;
    assert_eq!(created.topics.len(), 1, "each topic is answered once");
    assert_eq!(created.topics[0].error_code, 0);
    assert_eq!(created.topics[0].partitions.len(), 4);

    let fixture = Fixture::start_with(|config| config.auto_create_topics = false).await;
    let refused = metadata(&fixture, 4, Some(&["clicks"]), true).await;
    assert_eq!(refused.topics[0].error_code, unknown);
}

#[tokio::test]
async fn bad_names_and_ids_are_told_apart_in_metadata() {
    let fixture = Fixture::start().await;
    fixture.create("a.b", 1).await;
    let long = "x".repeat(250);
    for name in ["", "..", "a/b", "a_b", long.as_str()] {
        let refused = metadata(&fixture, 12, Some(&[name]), true)
            .await
            .topics
            .remove(0);
        assert_eq!(
            refused.error_code,
            code(ErrorCode::InvalidTopicException),
            "{name}"
        );
        assert_eq!(refused.name, Some(topic(name)));
    }
    let by_id = |id| {
        MetadataRequestTopic::default()
            .with_topic_id(id)
            .with_name(None)
    };
    let id = Uuid::from_u128(99);
    for (version, asked, expected) in [
        (12, by_id(id), ErrorCode::UnknownTopicId),
        (
            10,
            by_id(id).with_name(Some(topic("a.b"))),
            ErrorCode::InvalidRequest,
        ),
    ] {
        let request = MetadataRequest::default().with_topics(Some(vec![asked]));
        let response = fixture.call(version, RequestKind::Metadata(request)).await;
        let answer = body!(Metadata, response).topics.remove(0);
        assert_eq!(answer.error_code, code(expected));
        assert_eq!(answer.topic_id, id);
    }
}

#[tokio::test]
async fn a_topic_is_found_by_its_id() {
    let fixture = Fixture::start().await;
    let id = fixture.create("clicks", 1).await;
    let asked = MetadataRequestTopic::default()
        .with_topic_id(id)
        .with_name(None);
    let request = MetadataRequest::default().with_topics(Some(vec![asked]));
    let response = fixture.call(12, RequestKind::Metadata(request)).await;
    let found = body!(Metadata, response).topics.remove(0);
    assert_eq!((found.error_code, found.name), (0, Some(topic("clicks"))));
    // As the Java client asks.
    let asked = MetadataRequestTopic::default()
        .with_topic_id(id)
        .with_name(Some(topic("")));
    let request = MetadataRequest::default()
        .with_topics(Some(vec![asked]))
        .with_allow_auto_topic_creation(true);
    let response = fixture.call(12, RequestKind::Metadata(request)).await;
    let found = body!(Metadata, response).topics.remove(0);
    assert_eq!((found.error_code, found.name), (0, Some(topic("clicks"))));
}

#[tokio::test]
async fn a_created_topic_is_described_from_version_5_on() {
    let fixture = Fixture::start_with(|config| config.num_partitions = 4).await;
    for version in 2..=7 {
        let name = format!("topic-{version}");
        let asked = new_topic(&name).with_configs(vec![config("retention.ms", Some("1000"))]);
        let created = create(&fixture, version, vec![asked]).await.remove(0);
        assert_eq!(created.error_code, 0, "{created:?}");
        if version >= 5 {
            assert_eq!((created.num_partitions, created.replication_factor), (4, 1));
            let configs = created.configs.unwrap();
            let retention = configs
                .iter()
                .find(|c| c.name.as_str() == "retention.ms")
                .unwrap();
            assert_eq!(retention.value.as_deref(), Some("1000"));
            assert_eq!(retention.config_source, 1);
            let other = configs.iter().find(|c| c.name.as_str() == "segment.ms");
            assert_eq!(other.unwrap().config_source, 5, "a default is listed, too");
        }
        assert_eq!(created.topic_id.is_nil(), version < 7);
        let known = metadata(&fixture, 4, Some(&[&name]), false).await;
        assert_eq!(known.topics[0].partitions.len(), 4);
    }
}

#[tokio::test]
async fn topics_that_cannot_be_are_refused_by_name() {
    let fixture = Fixture::start().await;
    fixture.create("a.b", 1).await;
    let assigned = |assignments| new_topic("x").with_assignments(assignments);
    let one = || vec![assignment(0, &[1])];
    let cases = [
        (new_topic("a.b"), ErrorCode::TopicAlreadyExists),
        (new_topic("a_b"), ErrorCode::InvalidTopicException),
        (new_topic("a b"), ErrorCode::InvalidTopicException),
        (new_topic(""), ErrorCode::InvalidTopicException),
        (
            new_topic("x").with_num_partitions(0),
            ErrorCode::InvalidPartitions,
        ),
        (
            new_topic("x").with_num_partitions(-2),
            ErrorCode::InvalidPartitions,
        ),
        (
            new_topic("x").with_num_partitions(10_001),
            ErrorCode::InvalidPartitions,
        ),
        (
            new_topic("x").with_replication_factor(0),
            ErrorCode::InvalidReplicationFactor,
        ),
        (
            new_topic("x").with_replication_factor(3),
            ErrorCode::InvalidReplicationFactor,
        ),
        (
            assigned(one()).with_num_partitions(1),
            ErrorCode::InvalidRequest,
        ),
        (
            assigned(vec![assignment(0, &[2])]),
            ErrorCode::InvalidReplicaAssignment,
        ),
        (
            assigned(vec![assignment(0, &[1, 2])]),
            ErrorCode::InvalidReplicaAssignment,
        ),
        (
            assigned(vec![assignment(1, &[1])]),
            ErrorCode::InvalidReplicaAssignment,
        ),
        (
            assigned([one(), one()].concat()),
            ErrorCode::InvalidReplicaAssignment,
        ),
        (
            new_topic("x").with_configs(vec![config("retention.ms", None)]),
            ErrorCode::InvalidConfig,
        ),
        (
            new_topic("x").with_configs(vec![config("retention.mz", Some("1"))]),
            ErrorCode::InvalidConfig,
        ),
        (
            new_topic("x").with_configs(vec![config("retention.ms", Some("soon"))]),
            ErrorCode::InvalidConfig,
        ),
    ];
    for (asked, expected) in cases {
        let refused = create(&fixture, 7, vec![asked.clone()]).await.remove(0);
        assert_eq!(refused.error_code, code(expected), "{asked:?}: {refused:?}");
        assert!(
            refused
                .error_message
                .is_some_and(|message| !message.is_empty())
        );
    }
    let known = metadata(&fixture, 4, Some(&["x"]), false).await;
    assert_eq!(
        known.topics[0].error_code,
        code(ErrorCode::UnknownTopicOrPartition)
    );
}

#[tokio::test]
async fn a_truthful_assignment_is_taken() {
    let fixture = Fixture::start().await;
    let asked = new_topic("x").with_assignments(vec![assignment(1, &[1]), assignment(0, &[1])]);
    let created = create(&fixture, 7, vec![asked]).await.remove(0);
    assert_eq!(
        (created.error_code, created.num_partitions),
        (0, 2),
        "{created:?}"
    );
}

#[tokio::test]
async fn a_name_that_occurs_twice_is_refused_once_and_the_others_are_created() {
    let fixture = Fixture::start().await;
    let asked = vec![new_topic("twice"), new_topic("once"), new_topic("twice")];
    let results = create(&fixture, 7, asked).await;
    let codes: Vec<_> = results
        .iter()
        .map(|r| (r.name.as_str(), r.error_code))
        .collect();
    assert_eq!(
        codes,
        [("twice", code(ErrorCode::InvalidRequest)), ("once", 0)]
    );
}

#[tokio::test]
async fn validation_creates_nothing() {
    let fixture = Fixture::start().await;
    let request = CreateTopicsRequest::default()
        .with_topics(vec![new_topic("x"), new_topic("y").with_num_partitions(0)])
        .with_validate_only(true);
    let response = fixture.call(7, RequestKind::CreateTopics(request)).await;
    let results = body!(CreateTopics, response).topics;
    assert_eq!((results[0].error_code, results[0].num_partitions), (0, 1));
    assert_eq!(results[1].error_code, code(ErrorCode::InvalidPartitions));
    let known = metadata(&fixture, 4, Some(&["x"]), false).await;
    assert_eq!(
        known.topics[0].error_code,
        code(ErrorCode::UnknownTopicOrPartition)
    );
}

#[tokio::test]
async fn a_deleted_topic_is_gone_in_every_version() {
    let fixture = Fixture::start().await;
    for version in 1..=6 {
        fixture.create("clicks", 1).await;
        assert_eq!(
            delete(&fixture, version, vec![by_name("clicks")]).await,
            [0]
        );
        let known = metadata(&fixture, 4, Some(&["clicks"]), false).await;
        assert_eq!(
            known.topics[0].error_code,
            code(ErrorCode::UnknownTopicOrPartition)
        );
    }
}

#[tokio::test]
async fn a_topic_is_deleted_by_its_id_and_comes_back_with_another() {
    let fixture = Fixture::start().await;
    let id = fixture.create("clicks", 1).await;
    let by_id = DeleteTopicState::default()
        .with_name(None)
        .with_topic_id(id);
    assert_eq!(delete(&fixture, 6, vec![by_id.clone()]).await, [0]);
    let unknown = code(ErrorCode::UnknownTopicId);
    assert_eq!(delete(&fixture, 6, vec![by_id]).await, [unknown]);
    assert_ne!(fixture.create("clicks", 1).await, id);
}

#[tokio::test]
async fn deletions_that_make_no_sense_are_refused() {
    let fixture = Fixture::start().await;
    let id = fixture.create("clicks", 1).await;
    let neither = DeleteTopicState::default().with_name(None);
    let both = by_name("clicks").with_topic_id(id);
    let unknown = by_name("nowhere");
    let asked = vec![neither, both, unknown, by_name("clicks"), by_name("clicks")];
    let invalid = code(ErrorCode::InvalidRequest);
    let codes = delete(&fixture, 6, asked).await;
    let nowhere = code(ErrorCode::UnknownTopicOrPartition);
    assert_eq!(codes, [invalid, invalid, nowhere, 0, invalid]);
}
