use std::collections::BTreeSet;

use brooklet_protocol::messages::kafka::list_offsets_request::{
    ListOffsetsPartition, ListOffsetsTopic,
};
use brooklet_protocol::messages::kafka::list_offsets_response::ListOffsetsPartitionResponse;
use brooklet_protocol::messages::kafka::{
    ApiVersionsRequest, HeartbeatRequest, InitProducerIdRequest, ListOffsetsRequest,
};
use brooklet_protocol::messages::{
    APIS, ApiKey, ErrorCode, Request, RequestKind, ResponseKind, StrBytes,
};

use super::{Fixture, batch, body, code, topic};

pub(super) async fn list(
    fixture: &Fixture,
    version: i16,
    name: &str,
    partitions: Vec<ListOffsetsPartition>,
) -> Vec<ListOffsetsPartitionResponse> {
    let request = ListOffsetsRequest::default().with_topics(vec![
        ListOffsetsTopic::default()
            .with_name(topic(name))
            .with_partitions(partitions),
    ]);
    let response = fixture
        .call(version, RequestKind::ListOffsets(request))
        .await;
    body!(ListOffsets, response).topics.remove(0).partitions
}

pub(super) fn asked(partition: i32, timestamp: i64) -> ListOffsetsPartition {
    ListOffsetsPartition::default()
        .with_partition_index(partition)
        .with_current_leader_epoch(-1)
        .with_timestamp(timestamp)
}

/// Records with timestamps 100, 101, 102.
async fn filled() -> Fixture {
    let fixture = Fixture::start().await;
    fixture.create("clicks", 2).await;
    fixture
        .produce(9, "clicks", 1, Some(batch(&["a", "b", "c"])))
        .await;
    fixture
}

#[tokio::test]
async fn every_kind_of_timestamp_has_its_offset_in_its_versions() {
    let fixture = filled().await;
    // (timestamp, from version, offset, its timestamp) of the filled partition
    let cases = [
        (-1, 1, 3, -1),
        (-2, 1, 0, -1),
        (-3, 7, 2, 102),
        (-4, 8, 0, -1),
        (-5, 9, -1, -1),
        (0, 1, 0, 100),
        (101, 1, 1, 101),
        (103, 1, -1, -1),
    ];
    for version in 1..=10 {
        for (timestamp, since, offset, found) in cases {
            let answer = list(&fixture, version, "clicks", vec![asked(0, timestamp)])
                .await
                .remove(0);
            if version < since {
                assert_eq!(answer.error_code, code(ErrorCode::UnsupportedVersion));
                continue;
            }
            assert_eq!(answer.error_code, 0);
            assert_eq!(
                (answer.offset, answer.timestamp),
                (offset, found),
                "{timestamp}"
            );
            let epoch = if version >= 4 && offset >= 0 { 0 } else { -1 };
            assert_eq!(answer.leader_epoch, epoch, "version {version}: {timestamp}");
        }
    }
}

#[tokio::test]
async fn an_empty_partition_has_offset_0_and_no_times() {
    let fixture = filled().await;
    for (timestamp, offset) in [(-1, 0), (-2, 0), (-3, -1), (0, -1)] {
        let answer = list(&fixture, 7, "clicks", vec![asked(1, timestamp)])
            .await
            .remove(0);
        assert_eq!(
            (answer.error_code, answer.offset, answer.timestamp),
            (0, offset, -1)
        );
    }
}

#[tokio::test]
async fn offsets_of_what_is_not_there_are_refused() {
    let fixture = filled().await;
    let cases = [
        ("nowhere", asked(0, -1), ErrorCode::UnknownTopicOrPartition),
        ("clicks", asked(2, -1), ErrorCode::UnknownTopicOrPartition),
        ("clicks", asked(0, -6), ErrorCode::UnsupportedVersion),
        (
            "clicks",
            asked(0, -1).with_current_leader_epoch(1),
            ErrorCode::UnknownLeaderEpoch,
        ),
    ];
    for (name, partition, expected) in cases {
        let answer = list(&fixture, 10, name, vec![partition]).await.remove(0);
        assert_eq!(answer.error_code, code(expected));
        assert_eq!((answer.offset, answer.timestamp), (-1, -1));
    }
    let twice = list(&fixture, 10, "clicks", vec![asked(0, -1), asked(0, -2)]).await;
    assert_eq!(twice[0].error_code, 0);
    assert_eq!(twice[1].error_code, code(ErrorCode::InvalidRequest));
}

#[tokio::test]
async fn producer_ids_are_given_once() {
    let fixture = Fixture::start().await;
    let mut seen = BTreeSet::new();
    for version in 0..=5 {
        let request = InitProducerIdRequest::default().with_transactional_id(None);
        let response = fixture
            .call(version, RequestKind::InitProducerId(request))
            .await;
        let given = body!(InitProducerId, response);
        assert_eq!((given.error_code, given.producer_epoch), (0, 0));
        assert!(given.producer_id.0 >= 0);
        assert!(seen.insert(given.producer_id), "{given:?}");
    }
}

fn software(name: &'static str, version: &'static str) -> RequestKind {
    let request = ApiVersionsRequest::default()
        .with_client_software_name(StrBytes::from_static_str(name))
        .with_client_software_version(StrBytes::from_static_str(version));
    RequestKind::ApiVersions(request)
}

#[tokio::test]
async fn every_version_of_api_versions_lists_the_table() {
    let fixture = Fixture::start().await;
    for version in 0..=4 {
        let answer = fixture
            .call(version, software("librdkafka", "2.10.0-rc.1"))
            .await;
        let answer = body!(ApiVersions, answer);
        assert_eq!((answer.error_code, answer.api_keys.len()), (0, APIS.len()));
        assert!(!answer.zk_migration_ready);
        let finalized = answer.finalized_features.iter();
        let finalized: Vec<_> = finalized
            .map(|f| (f.name.as_str(), f.max_version_level))
            .collect();
        let holds: &[_] = if version < 3 {
            &[]
        } else {
            &[("transaction.version", 2)]
        };
        assert_eq!(finalized, holds);
        assert_eq!(answer.supported_features.len(), usize::from(version >= 4));
        let produce = &answer.api_keys[0];
        assert_eq!(produce.api_key, ApiKey::Produce as i16);
        assert_eq!((produce.min_version, produce.max_version), (0, 13));
    }
}

#[tokio::test]
async fn a_client_has_a_proper_name() {
    let fixture = Fixture::start().await;
    for (name, version) in [("", "1"), ("a", ""), ("-a", "1"), ("a", "1."), ("a b", "1")] {
        let answer = fixture.call(3, software(name, version)).await;
        let refused = body!(ApiVersions, answer);
        assert_eq!(
            refused.error_code,
            code(ErrorCode::InvalidRequest),
            "{name} {version}"
        );
        assert_eq!(
            body!(ApiVersions, fixture.call(2, software(name, version)).await).error_code,
            0
        );
    }
}

#[tokio::test]
async fn what_is_not_served_says_so() {
    let fixture = Fixture::start().await;
    let software = software("a", "1");
    let heartbeat = RequestKind::Heartbeat(HeartbeatRequest::default());
    for (version, body) in [(99, software), (5, heartbeat.clone()), (-1, heartbeat)] {
        let request = Request {
            version,
            client_id: None,
            body,
        };
        let answer = body!(ApiVersions, fixture.broker.call(request).await);
        assert_eq!(answer.error_code, code(ErrorCode::UnsupportedVersion));
        assert_eq!(answer.api_keys.len(), 1);
        assert_eq!(answer.api_keys[0].api_key, ApiKey::ApiVersions as i16);
        assert_eq!(answer.api_keys[0].max_version, 4);
    }
}
