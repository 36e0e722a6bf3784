//! DeleteRecords (21), versions 0 to 2: moves the log start, so that records below it are no longer
//! served.
//!
//! - Offset -1 stands for the high watermark. An offset at or below the log start succeeds and
//!   changes nothing; one above the high watermark is answered with OFFSET_OUT_OF_RANGE.
//! - When the response is sent, the new log start is durable.
//! - Segments that lie entirely below it are removed by the next retention pass.
//! - A topic that is compacted only is refused with POLICY_VIOLATION, as in Kafka.
//!
//! Left out: the timeout, since there is no follower to wait for.

use brooklet_protocol::Offset;
use brooklet_protocol::messages::ErrorCode;
use brooklet_protocol::messages::kafka::delete_records_request::DeleteRecordsPartition;
use brooklet_protocol::messages::kafka::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsTopicResult,
};
use brooklet_protocol::messages::kafka::{DeleteRecordsRequest, DeleteRecordsResponse};

use super::call::Call;
use super::context::ApiContext;
use super::error::ApiError;
use super::topics::{TopicRef, find_partition, find_topic};
use crate::controller::Topic;

pub(super) async fn handle(
    ctx: &ApiContext,
    Call { request, .. }: Call<DeleteRecordsRequest>,
) -> DeleteRecordsResponse {
    let image = ctx.controller.image();
    let mut topics = Vec::with_capacity(request.topics.len());
    for asked in request.topics {
        let topic = find_topic(&image, TopicRef::Name(&asked.name));
        let mut partitions = Vec::with_capacity(asked.partitions.len());
        for partition in asked.partitions {
            let deleted = match &topic {
                Ok(topic) => delete(ctx, topic, &partition).await,
                Err(error) => Err(error.clone()),
            };
            partitions.push(answer(partition.partition_index, deleted));
        }
        topics.push(
            DeleteRecordsTopicResult::default()
                .with_name(asked.name)
                .with_partitions(partitions),
        );
    }
    DeleteRecordsResponse::default().with_topics(topics)
}

async fn delete(
    ctx: &ApiContext,
    topic: &Topic,
    asked: &DeleteRecordsPartition,
) -> Result<Offset, ApiError> {
    if topic.is_internal {
        let message = format!(
            "topic '{}' is internal, its records cannot be deleted",
            topic.name
        );
        return Err(ApiError::new(ErrorCode::InvalidTopicException, message));
    }
    let partition = find_partition(topic, asked.partition_index)?;
    if !partition.log().config().cleanup.delete {
        let message = "cleanup.policy does not contain delete";
        return Err(ApiError::new(ErrorCode::PolicyViolation, message));
    }
    let offset = match asked.offset {
        -1 => partition.high_watermark(),
        offset => Offset(offset),
    };
    Ok(ctx.controller.delete_records(partition, offset).await?)
}

fn answer(index: i32, deleted: Result<Offset, ApiError>) -> DeleteRecordsPartitionResult {
    let result = DeleteRecordsPartitionResult::default().with_partition_index(index);
    match deleted {
        Ok(start) => result.with_low_watermark(start.0),
        Err(error) => result
            .with_low_watermark(-1)
            .with_error_code(error.code.code()),
    }
}
