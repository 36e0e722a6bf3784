//! OffsetForLeaderEpoch (23), versions 2 to 4: where a leader epoch ends (KIP-320).
//!
//! A consumer that continues from an offset of a known epoch asks whether the log still has what it
//! has read. The response is the highest epoch up to the one asked for, and its end: for the
//! current epoch the end of the log. An epoch that has not begun is answered with -1 and -1,
//! without an error.
//!
//! The epoch that the client believes to be current is checked first: FENCED_LEADER_EPOCH,
//! UNKNOWN_LEADER_EPOCH. Followers (a `replica_id`) are answered as consumers.

use brooklet_protocol::LeaderEpoch;
use brooklet_protocol::messages::kafka::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use brooklet_protocol::messages::kafka::offset_for_leader_epoch_response::{
    EpochEndOffset, OffsetForLeaderTopicResult,
};
use brooklet_protocol::messages::kafka::{
    OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse, TopicName,
};

use super::call::Call;
use super::context::ApiContext;
use super::error::ApiError;
use super::topics::{TopicRef, check_leader_epoch, find_partition, find_topic};
use crate::controller::MetadataImage;

pub(super) async fn handle(
    ctx: &ApiContext,
    Call { request, .. }: Call<OffsetForLeaderEpochRequest>,
) -> OffsetForLeaderEpochResponse {
    let image = ctx.controller.image();
    let topics = request
        .topics
        .into_iter()
        .map(|topic| answer(&image, topic));
    OffsetForLeaderEpochResponse::default().with_topics(topics.collect())
}

fn answer(image: &MetadataImage, topic: OffsetForLeaderTopic) -> OffsetForLeaderTopicResult {
    let answers = topic.partitions.iter().map(|asked| {
        let answer = EpochEndOffset::default()
            .with_partition(asked.partition)
            .with_leader_epoch(-1)
            .with_end_offset(-1);
        match end_of(image, &topic.topic, asked) {
            Ok((epoch, end)) => answer.with_leader_epoch(epoch).with_end_offset(end),
            Err(error) => answer.with_error_code(error.code.code()),
        }
    });
    OffsetForLeaderTopicResult::default()
        .with_partitions(answers.collect())
        .with_topic(topic.topic)
}

fn end_of(
    image: &MetadataImage,
    topic: &TopicName,
    asked: &OffsetForLeaderPartition,
) -> Result<(i32, i64), ApiError> {
    let topic = find_topic(image, TopicRef::Name(topic))?;
    let partition = find_partition(topic, asked.partition)?;
    check_leader_epoch(partition, asked.current_leader_epoch)?;
    let end = partition.end_of_epoch(LeaderEpoch(asked.leader_epoch));
    Ok(end.map_or((-1, -1), |(epoch, end)| (epoch.0, end.0)))
}
