//! OffsetDelete (47), version 0: deletes committed offsets of a group (KIP-496).
//!
//! A topic that a member is subscribed to is refused with GROUP_SUBSCRIBED_TO_TOPIC.

use brooklet_machines::group::DeleteOffsets;
use brooklet_protocol::messages::kafka::offset_delete_request::OffsetDeleteRequestTopic;
use brooklet_protocol::messages::kafka::offset_delete_response::{
    OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use brooklet_protocol::messages::kafka::{OffsetDeleteRequest, OffsetDeleteResponse};
use brooklet_protocol::{PartitionId, TopicName, TopicPartition};

use super::call::Call;
use super::context::ApiContext;
use super::groups::{NONE, code_of, failed, refused, unknown_partition};

pub(super) async fn handle(
    ctx: &ApiContext,
    Call { request, .. }: Call<OffsetDeleteRequest>,
) -> OffsetDeleteResponse {
    let group = request.group_id.as_str();
    let mut partitions = Vec::new();
    let mut answers: Vec<_> = request
        .topics
        .iter()
        .map(|t| check(t, &mut partitions))
        .collect();
    let delete = DeleteOffsets {
        group: group.to_owned(),
        partitions,
    };
    let refuse = |code| OffsetDeleteResponse::default().with_error_code(code);
    let outcomes = match ctx.groups.ask(group, delete).await {
        Ok(Ok(outcomes)) => outcomes,
        Ok(Err(error)) => return refuse(refused(ctx, &error)),
        Err(error) => return refuse(failed(group, &error)),
    };
    let mut codes = outcomes.into_iter().map(|outcome| code_of(ctx, outcome));
    for partition in answers.iter_mut().flat_map(|topic| &mut topic.partitions) {
        if partition.error_code == NONE {
            partition.error_code = codes.next().expect("there is one for each offset");
        }
    }
    OffsetDeleteResponse::default().with_topics(answers)
}

fn check(
    asked: &OffsetDeleteRequestTopic,
    named: &mut Vec<TopicPartition>,
) -> OffsetDeleteResponseTopic {
    let topic = TopicName::new(asked.name.as_str()).ok();
    let partitions = asked.partitions.iter().map(|partition| {
        let number = partition.partition_index;
        let answer = OffsetDeleteResponsePartition::default().with_partition_index(number);
        match &topic {
            Some(topic) => named.push(TopicPartition::new(topic.clone(), PartitionId(number))),
            None => return answer.with_error_code(unknown_partition()),
        }
        answer
    });
    OffsetDeleteResponseTopic::default()
        .with_partitions(partitions.collect())
        .with_name(asked.name.clone())
}
