//! What is said of replicas and of who leads, where there is one of each.

use brooklet_protocol::messages::kafka::alter_partition_reassignments_request::{
    ReassignablePartition, ReassignableTopic,
};
use brooklet_protocol::messages::kafka::describe_topic_partitions_request::{Cursor, TopicRequest};
use brooklet_protocol::messages::kafka::elect_leaders_request::TopicPartitions;
use brooklet_protocol::messages::kafka::list_partition_reassignments_request::ListPartitionReassignmentsTopics;
use brooklet_protocol::messages::kafka::{
    AlterPartitionReassignmentsRequest, DescribeTopicPartitionsRequest,
    DescribeTopicPartitionsResponse, ElectLeadersRequest, ListPartitionReassignmentsRequest,
};
use brooklet_protocol::messages::{ErrorCode, ResponseKind};

use super::offline::damaged;
use super::{Fixture, body, code, topic};

async fn describe(
    fixture: &Fixture,
    topics: &[&str],
    limit: i32,
    cursor: Option<(&str, i32)>,
) -> DescribeTopicPartitionsResponse {
    let topics = topics
        .iter()
        .map(|name| TopicRequest::default().with_name(topic(name)));
    let cursor = cursor.map(|(name, partition)| {
        Cursor::default()
            .with_topic_name(topic(name))
            .with_partition_index(partition)
    });
    let request = DescribeTopicPartitionsRequest::default()
        .with_topics(topics.collect())
        .with_response_partition_limit(limit)
        .with_cursor(cursor);
    body!(
        DescribeTopicPartitions,
        fixture.call(0, request.into()).await
    )
}

/// A line for each topic, and the cursor.
fn page(response: &DescribeTopicPartitionsResponse) -> String {
    let topics = response.topics.iter().map(|topic| {
        let partitions = topic
            .partitions
            .iter()
            .map(|p| p.partition_index.to_string());
        let partitions: Vec<_> = partitions.collect();
        let name = topic.name.as_ref().map_or("none", |name| name.as_str());
        match topic.error_code {
            0 => format!("{name} {}", partitions.join(",")),
            error => format!("{name} error {error}"),
        }
    });
    let cursor = response.next_cursor.as_ref();
    let cursor = cursor.map(|at| format!("> {} {}", at.topic_name.as_str(), at.partition_index));
    topics.chain(cursor).collect::<Vec<_>>().join("; ")
}

#[tokio::test]
async fn partitions_are_told_page_by_page() {
    let fixture = Fixture::start().await;
    for (name, partitions) in [("b", 3), ("a", 2), ("c", 1)] {
        fixture.create(name, partitions).await;
    }
    let none: &[&str] = &[];
    for (topics, limit, cursor, expected) in [
        (none, 2000, None, "a 0,1; b 0,1,2; c 0"),
        (none, i32::MAX, None, "a 0,1; b 0,1,2; c 0"),
        (none, 2, None, "a 0,1; > b 0"),
        (none, 2, Some(("b", 0)), "b 0,1; > b 2"),
        (none, 2, Some(("b", 2)), "b 2; c 0"),
        (none, 0, None, "a 0; > a 1"),
        (none, -1, Some(("c", 0)), "c 0"),
        // Gone since the last page: the next one begins it; its partitions that were counted out.
        (none, 3, Some(("aa", 1)), "b 0,1,2; > c 0"),
        (none, 3, Some(("c", 7)), "c "),
        (&["c", "a", "c"], 9, None, "a 0,1; c 0"),
        (&["c", "a"], 2, None, "a 0,1; > c 0"),
        (&["c", "a"], 9, Some(("b", 1)), "b 1,2; c 0"),
        (&["a", "n", "~"], 9, None, "a 0,1; n error 3; ~ error 17"),
        (&["a", "n"], 2, None, "a 0,1; > n 0"),
        (&["a"], 9, Some(("aa", 0)), "aa error 3"),
        (&["a"], 9, Some(("a", -1)), "a error 42"),
    ] {
        let found = describe(&fixture, topics, limit, cursor).await;
        assert_eq!(page(&found), expected, "{topics:?} {limit} {cursor:?}");
    }
}

#[tokio::test]
async fn a_page_says_who_leads() {
    let fixture = Fixture::start_on(damaged().await, |_| {}).await;
    let id = fixture
        .broker
        .controller()
        .image()
        .topic("clicks")
        .unwrap()
        .id;
    let found = describe(&fixture, &["clicks"], 9, None)
        .await
        .topics
        .remove(0);
    assert_eq!((found.topic_id, found.is_internal), (id, false));
    assert_eq!(found.topic_authorized_operations, i32::MIN);
    let row = |index: usize| {
        let partition = &found.partitions[index];
        let nodes = |ids: &[brooklet_protocol::messages::kafka::BrokerId]| ids.len();
        assert_eq!(partition.eligible_leader_replicas, Some(vec![]));
        (
            partition.leader_id.0,
            partition.leader_epoch,
            nodes(&partition.replica_nodes),
            nodes(&partition.offline_replicas),
        )
    };
    assert_eq!((row(0), row(1)), ((-1, 0, 1, 1), (1, 0, 1, 0)));
}

#[tokio::test]
async fn nobody_else_can_be_elected() {
    let fixture = Fixture::start_on(damaged().await, |_| {}).await;
    let elect = async |version, election_type, topics: Option<&[(&str, i32)]>| {
        let topics = topics.map(|topics| {
            let topics = topics.iter().map(|(name, partition)| {
                TopicPartitions::default()
                    .with_topic(topic(name))
                    .with_partitions(vec![*partition])
            });
            topics.collect()
        });
        let request = ElectLeadersRequest::default()
            .with_election_type(election_type)
            .with_topic_partitions(topics);
        let answer = body!(ElectLeaders, fixture.call(version, request.into()).await);
        let results = answer.replica_election_results.iter().flat_map(|topic| {
            let results = topic.partition_result.iter();
            results.map(|result| (result.partition_id, result.error_code))
        });
        (answer.error_code, results.collect::<Vec<_>>())
    };
    let asked: &[_] = &[("clicks", 0), ("clicks", 1), ("clicks", 2), ("nowhere", 0)];
    let unknown = code(ErrorCode::UnknownTopicOrPartition);
    let not_needed = code(ErrorCode::ElectionNotNeeded);
    for (election_type, without_leader) in [
        (0, ErrorCode::PreferredLeaderNotAvailable),
        (1, ErrorCode::EligibleLeadersNotAvailable),
    ] {
        let offline = code(without_leader);
        for version in election_type.into()..=2 {
            let results = vec![(0, offline), (1, not_needed), (2, unknown), (0, unknown)];
            assert_eq!(
                elect(version, election_type, Some(asked)).await,
                (0, results)
            );
            let all = elect(version, election_type, None).await;
            assert_eq!(all, (0, vec![(0, offline)]));
        }
    }
    let invalid = code(ErrorCode::InvalidRequest);
    assert_eq!(elect(2, 7, None).await, (invalid, vec![]));
}

#[tokio::test]
async fn replicas_stay_where_they_are() {
    let fixture = Fixture::start().await;
    fixture.create("clicks", 1).await;
    let here = fixture.broker.controller().image().broker_id.0;
    let reassign = async |version, name: &str, partition, replicas: Option<&[i32]>| {
        let replicas = replicas.map(|ids| ids.iter().map(|id| (*id).into()).collect());
        let partition = ReassignablePartition::default()
            .with_partition_index(partition)
            .with_replicas(replicas);
        let asked = ReassignableTopic::default()
            .with_name(topic(name))
            .with_partitions(vec![partition]);
        let request = AlterPartitionReassignmentsRequest::default().with_topics(vec![asked]);
        let answer = body!(
            AlterPartitionReassignments,
            fixture.call(version, request.into()).await
        );
        assert_eq!(answer.error_code, 0);
        let answer = &answer.responses[0].partitions[0];
        assert_eq!(answer.error_code == 0, answer.error_message.is_none());
        answer.error_code
    };
    for version in 0..=1 {
        assert_eq!(reassign(version, "clicks", 0, Some(&[here])).await, 0);
        for elsewhere in [
            &[here + 1][..],
            &[here, here + 1],
            &[here, here],
            &[],
            &[-1],
        ] {
            let refused = reassign(version, "clicks", 0, Some(elsewhere)).await;
            let expected = code(ErrorCode::InvalidReplicaAssignment);
            assert_eq!(refused, expected, "{elsewhere:?}");
        }
        let nothing = reassign(version, "clicks", 0, None).await;
        assert_eq!(nothing, code(ErrorCode::NoReassignmentInProgress));
        let unknown = code(ErrorCode::UnknownTopicOrPartition);
        assert_eq!(reassign(version, "clicks", 1, Some(&[here])).await, unknown);
        assert_eq!(reassign(version, "nowhere", 0, None).await, unknown);
    }
    let named = ListPartitionReassignmentsTopics::default()
        .with_name(topic("nowhere"))
        .with_partition_indexes(vec![0]);
    for topics in [None, Some(vec![named])] {
        let request = ListPartitionReassignmentsRequest::default().with_topics(topics);
        let answer = body!(
            ListPartitionReassignments,
            fixture.call(0, request.into()).await
        );
        assert_eq!((answer.error_code, answer.topics.len()), (0, 0));
    }
}
