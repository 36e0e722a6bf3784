//! More partitions, and what the broker tells of itself.

use brooklet_protocol::messages::kafka::create_partitions_request::{
    CreatePartitionsAssignment, CreatePartitionsTopic,
};
use brooklet_protocol::messages::kafka::describe_log_dirs_request::DescribableLogDirTopic;
use brooklet_protocol::messages::kafka::describe_producers_request::TopicRequest;
use brooklet_protocol::messages::kafka::{
    CreatePartitionsRequest, DescribeClusterRequest, DescribeLogDirsRequest,
    DescribeProducersRequest,
};
use brooklet_protocol::{ProducerEpoch, ProducerId};

use super::*;

impl Fixture {
    async fn grow(&self, topics: Vec<CreatePartitionsTopic>, validate_only: bool) -> Vec<i16> {
        let request = CreatePartitionsRequest::default()
            .with_topics(topics)
            .with_validate_only(validate_only);
        let answer = body!(CreatePartitions, self.call(3, request.into()).await);
        answer
            .results
            .iter()
            .map(|result| result.error_code)
            .collect()
    }

    fn count(&self, name: &str) -> usize {
        let image = self.broker.controller().image();
        image.topic(name).unwrap().partitions.len()
    }
}

fn more(name: &str, count: i32) -> CreatePartitionsTopic {
    CreatePartitionsTopic::default()
        .with_name(topic(name))
        .with_count(count)
        .with_assignments(None)
}

fn assigned(brokers: &[i32]) -> Vec<CreatePartitionsAssignment> {
    let to = |broker: &i32| {
        CreatePartitionsAssignment::default().with_broker_ids(vec![kafka::BrokerId(*broker)])
    };
    brokers.iter().map(to).collect()
}

#[tokio::test]
async fn a_topic_grows_and_stays_grown() {
    let fixture = Fixture::start().await;
    fixture.create("t", 1).await;
    fixture.produce(9, "t", -1, Some(batch(&["before"]))).await;
    assert_eq!(fixture.grow(vec![more("t", 3)], true).await, [0]);
    assert_eq!(fixture.count("t"), 1, "validated only");
    assert_eq!(fixture.grow(vec![more("t", 3)], false).await, [0]);
    assert_eq!(fixture.count("t"), 3);
    let request = produce_request("t", 2, -1, Some(batch(&["after"])));
    let answer = body!(Produce, fixture.call(9, request.into()).await);
    assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);

    let fixture = fixture.restart_after_crash().await;
    assert_eq!(fixture.count("t"), 3);
    let image = fixture.broker.controller().image();
    let ends = image.topic("t").unwrap().partitions.iter();
    let ends: Vec<_> = ends.map(|p| p.open().unwrap().high_watermark().0).collect();
    assert_eq!(ends, [1, 0, 1]);
    assert_eq!(fixture.grow(vec![more("t", 4)], false).await, [0]);
}

#[tokio::test]
async fn a_topic_does_not_grow_just_anyhow() {
    let fixture = Fixture::start().await;
    fixture.create("t", 2).await;
    for (topics, expected) in [
        (vec![more("t", 2)], ErrorCode::InvalidPartitions),
        (vec![more("t", 1)], ErrorCode::InvalidPartitions),
        (vec![more("t", 10_001)], ErrorCode::InvalidPartitions),
        (vec![more("none", 3)], ErrorCode::UnknownTopicOrPartition),
        (vec![more("t", 3), more("t", 4)], ErrorCode::InvalidRequest),
        (
            vec![more("t", 4).with_assignments(Some(assigned(&[1])))],
            ErrorCode::InvalidReplicaAssignment,
        ),
        (
            vec![more("t", 3).with_assignments(Some(assigned(&[7])))],
            ErrorCode::InvalidReplicaAssignment,
        ),
    ] {
        assert_eq!(
            fixture.grow(topics, false).await,
            [code(expected)],
            "{expected:?}"
        );
        assert_eq!(fixture.count("t"), 2);
    }
    let good = more("t", 4).with_assignments(Some(assigned(&[1, 1])));
    assert_eq!(fixture.grow(vec![good], false).await, [0]);
    assert_eq!(fixture.count("t"), 4);
}

#[tokio::test]
async fn the_cluster_is_this_broker() {
    let fixture = Fixture::start().await;
    for version in 0..=2 {
        let request = DescribeClusterRequest::default();
        let answer = body!(DescribeCluster, fixture.call(version, request.into()).await);
        let image = fixture.broker.controller().image();
        assert_eq!(&*answer.cluster_id, image.cluster_id);
        assert_eq!(
            (answer.controller_id.0, answer.brokers[0].broker_id.0),
            (1, 1)
        );
    }
    let controllers = DescribeClusterRequest::default().with_endpoint_type(2);
    let answer = body!(DescribeCluster, fixture.call(1, controllers.into()).await);
    assert_eq!(answer.error_code, code(ErrorCode::UnsupportedEndpointType));
}

#[tokio::test]
async fn sizes_are_those_of_the_logs() {
    let fixture = Fixture::start().await;
    fixture.create("t", 2).await;
    let records = batch(&["one", "two"]);
    fixture.produce(9, "t", -1, Some(records.clone())).await;
    for version in 1..=4 {
        let asked = |partitions: Vec<i32>| {
            let topic = DescribableLogDirTopic::default()
                .with_topic(topic("t"))
                .with_partitions(partitions);
            DescribeLogDirsRequest::default().with_topics(Some(vec![topic]))
        };
        for (request, sizes) in [
            (
                DescribeLogDirsRequest::default().with_topics(None),
                vec![(0, records.len()), (1, 0)],
            ),
            (asked(vec![1]), vec![(1, 0)]),
            (asked(vec![7]), vec![]),
        ] {
            let answer = body!(DescribeLogDirs, fixture.call(version, request.into()).await);
            assert_eq!(&*answer.results[0].log_dir, "/data");
            let partitions = answer.results[0]
                .topics
                .iter()
                .flat_map(|topic| &topic.partitions);
            let found = partitions.map(|p| (p.partition_index, p.partition_size as usize));
            assert_eq!(found.collect::<Vec<_>>(), sizes);
        }
    }
}

#[tokio::test]
async fn producers_are_those_that_the_log_remembers() {
    let fixture = Fixture::start().await;
    fixture.create("t", 1).await;
    let mut records =
        BatchBuilder::new(Compression::None).with_producer(ProducerId(7), ProducerEpoch(2), 0);
    for _ in 0..3 {
        records.append(Timestamp(5), None, Some(b"v"), &[]);
    }
    fixture
        .produce(9, "t", -1, Some(records.build().bytes().clone()))
        .await;
    let asked = TopicRequest::default()
        .with_name(topic("t"))
        .with_partition_indexes(vec![0, 1]);
    let request = DescribeProducersRequest::default().with_topics(vec![asked]);
    let answer = body!(DescribeProducers, fixture.call(0, request.into()).await);
    let [here, none] = &answer.topics[0].partitions[..] else {
        panic!("{answer:?}");
    };
    let producer = &here.active_producers[0];
    assert_eq!((producer.producer_id.0, producer.producer_epoch), (7, 2));
    assert_eq!(
        (producer.last_sequence, producer.current_txn_start_offset),
        (2, -1)
    );
    assert_eq!(none.error_code, code(ErrorCode::UnknownTopicOrPartition));
}
