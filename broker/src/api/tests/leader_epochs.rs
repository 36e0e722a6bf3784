use std::path::Path;

use brooklet_log::vfs::Vfs;
use brooklet_protocol::messages::kafka::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use brooklet_protocol::messages::kafka::{MetadataRequest, OffsetForLeaderEpochRequest};
use brooklet_protocol::messages::{ErrorCode, RequestKind, ResponseKind};
use brooklet_protocol::records::Batches;

use super::fetch::{fetch_partitions, partition, request};
use super::{Fixture, batch, body, code, topic};

/// Error, epoch and end, for the epoch that the client believes to be the current one and the one
/// it asks for.
async fn end_of(
    fixture: &Fixture,
    version: i16,
    name: &str,
    (partition, current, epoch): (i32, i32, i32),
) -> (i16, i32, i64) {
    let asked = OffsetForLeaderPartition::default()
        .with_partition(partition)
        .with_current_leader_epoch(current)
        .with_leader_epoch(epoch);
    let asked = OffsetForLeaderTopic::default()
        .with_topic(topic(name))
        .with_partitions(vec![asked]);
    let request = OffsetForLeaderEpochRequest::default().with_topics(vec![asked]);
    let answer = body!(
        OffsetForLeaderEpoch,
        fixture
            .call(version, RequestKind::OffsetForLeaderEpoch(request))
            .await
    );
    assert_eq!(answer.topics[0].topic, topic(name));
    let answer = &answer.topics[0].partitions[0];
    assert_eq!(answer.partition, partition);
    (answer.error_code, answer.leader_epoch, answer.end_offset)
}

#[tokio::test]
async fn the_first_epoch_ends_where_the_log_does() {
    let fixture = Fixture::start().await;
    fixture.create("clicks", 1).await;
    fixture
        .produce(9, "clicks", 1, Some(batch(&["a", "b"])))
        .await;
    for version in 2..=4 {
        for (name, asked, expected) in [
            ("clicks", (0, -1, 0), (None, 0, 2)),
            ("clicks", (0, 0, 0), (None, 0, 2)),
            ("clicks", (0, 0, 1), (None, -1, -1)),
            ("clicks", (0, 0, -1), (None, -1, -1)),
            (
                "clicks",
                (0, -2, 0),
                (Some(ErrorCode::FencedLeaderEpoch), -1, -1),
            ),
            (
                "clicks",
                (0, 1, 0),
                (Some(ErrorCode::UnknownLeaderEpoch), -1, -1),
            ),
            (
                "clicks",
                (1, 0, 0),
                (Some(ErrorCode::UnknownTopicOrPartition), -1, -1),
            ),
            (
                "nowhere",
                (0, 0, 0),
                (Some(ErrorCode::UnknownTopicOrPartition), -1, -1),
            ),
        ] {
            let (error, epoch, end) = expected;
            let found = end_of(&fixture, version, name, asked).await;
            assert_eq!(
                found,
                (error.map_or(0, code), epoch, end),
                "{name} {asked:?}"
            );
        }
    }
}

/// As in a directory that Kafka has written, where a partition has had several leaders.
#[tokio::test]
async fn epochs_that_a_log_has_are_kept_and_the_last_one_goes_on() {
    let fixture = Fixture::start().await;
    fixture.create("clicks", 1).await;
    fixture
        .produce(9, "clicks", 1, Some(batch(&["a", "b", "c"])))
        .await;
    fixture.broker.shutdown().await.unwrap();
    let epochs = Path::new("/data/clicks-0/leader-epoch-checkpoint");
    fixture
        .vfs
        .sim
        .replace(epochs, b"0\n2\n2 0\n7 2\n")
        .unwrap();

    let fixture = Fixture::start_on(fixture.vfs.clone(), |_| {}).await;
    assert_eq!(end_of(&fixture, 4, "clicks", (0, 7, 2)).await, (0, 2, 2));
    assert_eq!(end_of(&fixture, 4, "clicks", (0, 7, 7)).await, (0, 7, 3));
    let fenced = code(ErrorCode::FencedLeaderEpoch);
    assert_eq!(
        end_of(&fixture, 4, "clicks", (0, 0, 2)).await,
        (fenced, -1, -1)
    );
    let metadata = MetadataRequest::default().with_topics(None);
    let metadata = body!(Metadata, fixture.call(9, metadata.into()).await);
    assert_eq!(metadata.topics[0].partitions[0].leader_epoch, 7);

    fixture.produce(9, "clicks", 1, Some(batch(&["d"]))).await;
    let asked = request("clicks", vec![partition(0, 3).with_current_leader_epoch(7)]);
    let data = fetch_partitions(&fixture, asked).await.remove(0);
    let written = Batches(data.records.unwrap()).next().unwrap().unwrap();
    assert_eq!(written.header().leader_epoch.0, 7);
}
