//! OffsetCommit (8), versions 2 to 9: commits offsets of a group, synced before the response.
//!
//! - Members commit with their generation. With generation -1 anyone may commit while the group has
//!   no members.
//! - A partition that does not exist, or metadata that is too long, is refused for that partition
//!   alone.
//!
//! Left out: the retention time of versions 2 to 4, which Kafka ignores as well; topic ids (version
//! 10).

use brooklet_machines::group::{CommitOffsets, NewOffset};
use brooklet_protocol::messages::kafka::offset_commit_request::OffsetCommitRequestTopic;
use brooklet_protocol::messages::kafka::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use brooklet_protocol::messages::kafka::{OffsetCommitRequest, OffsetCommitResponse};
use brooklet_protocol::{Offset, PartitionId};

use super::call::Call;
use super::context::ApiContext;
use super::groups::{NONE, code_of, failed, identity, owned, refused, unknown_partition};
use crate::controller::MetadataImage;

pub(super) async fn handle(
    ctx: &ApiContext,
    Call { request, .. }: Call<OffsetCommitRequest>,
) -> OffsetCommitResponse {
    let group = request.group_id.as_str();
    let who = identity(
        &request.member_id,
        request.group_instance_id.as_ref(),
        request.generation_id_or_member_epoch,
    );
    let image = ctx.controller.image();
    let (mut answers, mut offsets) = (Vec::new(), Vec::new());
    for topic in &request.topics {
        answers.push(check(&image, topic, &mut offsets));
    }
    // Even without any offset, since the group may answer with an error.
    let commit = CommitOffsets {
        group: group.to_owned(),
        identity: who,
        offsets,
    };
    let mut codes = match ctx.groups.ask(group, commit).await {
        Ok(Ok(outcomes)) => Outcomes::Each(
            outcomes
                .into_iter()
                .map(|outcome| code_of(ctx, outcome))
                .collect(),
        ),
        Ok(Err(error)) => Outcomes::All(refused(ctx, &error)),
        Err(error) => Outcomes::All(failed(group, &error)),
    };
    for partition in answers.iter_mut().flat_map(|topic| &mut topic.partitions) {
        partition.error_code = codes.for_partition(partition.error_code);
    }
    OffsetCommitResponse::default().with_topics(answers)
}

/// The group's answer for each offset, in their order.
pub(super) enum Outcomes {
    All(i16),
    Each(std::collections::VecDeque<i16>),
}

impl Outcomes {
    /// The code of the next partition, given the one that it already has: a partition that was
    /// refused is not among the offsets.
    pub(super) fn for_partition(&mut self, known: i16) -> i16 {
        match self {
            _ if known != NONE => known,
            Self::All(code) => *code,
            Self::Each(codes) => codes.pop_front().expect("there is one for each offset"),
        }
    }
}

/// Collects the offsets of partitions that exist, and refuses the others.
pub(super) fn check(
    image: &MetadataImage,
    asked: &OffsetCommitRequestTopic,
    offsets: &mut Vec<NewOffset>,
) -> OffsetCommitResponseTopic {
    let topic = image.topic(asked.name.as_str());
    let partitions = asked.partitions.iter().map(|partition| {
        let number = PartitionId(partition.partition_index);
        let is_there = image.partition(asked.name.as_str(), number).is_some();
        let answer = OffsetCommitResponsePartition::default().with_partition_index(number.0);
        let Some(topic) = topic.filter(|_| is_there) else {
            return answer.with_error_code(unknown_partition());
        };
        offsets.push(NewOffset {
            topic: topic.name.clone(),
            partition: number,
            offset: Offset(partition.committed_offset),
            leader_epoch: partition.committed_leader_epoch,
            metadata: owned(partition.committed_metadata.as_ref()).unwrap_or_default(),
        });
        answer
    });
    OffsetCommitResponseTopic::default()
        .with_partitions(partitions.collect())
        .with_name(asked.name.clone())
}
