//! AlterPartitionReassignments (45), versions 0 and 1: moves replicas to other brokers (KIP-455),
//! of which there are none.
//!
//! The only possible list of replicas is this broker alone, which every partition already has: it
//! succeeds at once. Any other list is answered with INVALID_REPLICA_ASSIGNMENT. No reassignment is
//! ever in progress, so cancelling one (no list) is answered with NO_REASSIGNMENT_IN_PROGRESS.
//!
//! Left out: the timeout, since nothing is left to wait for; whether the number of replicas may
//! change (version 1), since it cannot.

use brooklet_protocol::messages::ErrorCode;
use brooklet_protocol::messages::kafka::alter_partition_reassignments_request::ReassignablePartition;
use brooklet_protocol::messages::kafka::alter_partition_reassignments_response::{
    ReassignablePartitionResponse, ReassignableTopicResponse,
};
use brooklet_protocol::messages::kafka::{
    self, AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse,
};

use super::call::Call;
use super::context::ApiContext;
use super::error::ApiError;
use super::topics::{TopicRef, find_state, find_topic};
use crate::controller::MetadataImage;

pub(super) async fn handle(
    ctx: &ApiContext,
    Call { request, .. }: Call<AlterPartitionReassignmentsRequest>,
) -> AlterPartitionReassignmentsResponse {
    let image = ctx.controller.image();
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|asked| {
            let answer = ReassignablePartitionResponse::default()
                .with_partition_index(asked.partition_index)
                .with_error_message(None);
            match reassign(&image, &topic.name, asked) {
                Ok(()) => answer,
                Err(error) => answer
                    .with_error_code(error.code.code())
                    .with_error_message(error.message_bytes()),
            }
        });
        ReassignableTopicResponse::default()
            .with_partitions(partitions.collect())
            .with_name(topic.name)
    });
    AlterPartitionReassignmentsResponse::default()
        .with_allow_replication_factor_change(request.allow_replication_factor_change)
        .with_error_message(None)
        .with_responses(topics.collect())
}

fn reassign(
    image: &MetadataImage,
    name: &kafka::TopicName,
    asked: &ReassignablePartition,
) -> Result<(), ApiError> {
    let topic = find_topic(image, TopicRef::Name(name))?;
    let partition = find_state(topic, asked.partition_index)?.id();
    let Some(replicas) = &asked.replicas else {
        let message = format!("{partition} is not being reassigned");
        return Err(ApiError::new(ErrorCode::NoReassignmentInProgress, message));
    };
    let broker = image.broker_id;
    if *replicas == [kafka::BrokerId(broker.0)] {
        return Ok(());
    }
    let found: Vec<_> = replicas.iter().map(|replica| replica.0).collect();
    let message = format!("{partition}: expected broker {broker} alone, found {found:?}");
    Err(ApiError::new(ErrorCode::InvalidReplicaAssignment, message))
}
