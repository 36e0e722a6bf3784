//! CreatePartitions (37), versions 0 to 3: adds partitions to topics.
//!
//! - When the response is sent, the new partitions have leaders. From then on some keys hash to
//!   other partitions than before, as in Kafka.
//! - A count that is not higher than before is answered with INVALID_PARTITIONS. An assignment has
//!   to name this broker for each new partition, or is answered with INVALID_REPLICA_ASSIGNMENT.
//! - An internal topic cannot grow (INVALID_TOPIC_EXCEPTION): its groups would then hash to other
//!   partitions.
//!
//! Left out: the timeout, since nothing is left to wait for.

use brooklet_protocol::TopicName;
use brooklet_protocol::messages::ErrorCode;
use brooklet_protocol::messages::kafka::create_partitions_request::CreatePartitionsTopic;
use brooklet_protocol::messages::kafka::create_partitions_response::CreatePartitionsTopicResult;
use brooklet_protocol::messages::kafka::{self, CreatePartitionsRequest, CreatePartitionsResponse};

use super::call::Call;
use super::context::ApiContext;
use super::error::{ApiError, refused_by_controller};
use super::topics::{TopicRef, each_once, find_topic};
use crate::controller::MetadataImage;

pub(super) async fn handle(
    ctx: &ApiContext,
    Call { request, .. }: Call<CreatePartitionsRequest>,
) -> CreatePartitionsResponse {
    let image = ctx.controller.image();
    let mut results = Vec::with_capacity(request.topics.len());
    for (topic, is_once) in each_once(request.topics, |topic| &topic.name) {
        let grown = match is_once {
            Ok(()) => grow(ctx, &image, &topic, request.validate_only).await,
            Err(error) => Err(error),
        };
        let result = CreatePartitionsTopicResult::default().with_name(topic.name);
        results.push(match grown {
            Ok(()) => result,
            Err(error) => result
                .with_error_code(error.code.code())
                .with_error_message(error.message_bytes()),
        });
    }
    CreatePartitionsResponse::default().with_results(results)
}

async fn grow(
    ctx: &ApiContext,
    image: &MetadataImage,
    asked: &CreatePartitionsTopic,
    validate_only: bool,
) -> Result<(), ApiError> {
    let topic = find_topic(image, TopicRef::Name(&asked.name))?;
    if topic.is_internal {
        let message = format!(
            "topic '{}' is internal, its partition count is fixed",
            topic.name
        );
        return Err(ApiError::new(ErrorCode::InvalidTopicException, message));
    }
    let refused = |error| refused_by_controller(&ctx.counters, error);
    (ctx.controller.validate_partitions(&topic.name, asked.count)).map_err(refused)?;
    if let Some(assignments) = &asked.assignments {
        let here = [kafka::BrokerId(image.broker_id.0)];
        let new = usize::try_from(asked.count).unwrap_or(0) - topic.partitions.len();
        let are_here = assignments
            .iter()
            .all(|assignment| assignment.broker_ids == here);
        if assignments.len() != new || !are_here {
            let broker = image.broker_id;
            let message = format!("expected {new} assignments, each to broker {broker} alone");
            return Err(ApiError::new(ErrorCode::InvalidReplicaAssignment, message));
        }
    }
    if !validate_only {
        let name: &TopicName = &topic.name;
        let added = ctx.controller.add_partitions(name, asked.count).await;
        added.map_err(refused)?;
    }
    Ok(())
}
