//! WriteTxnMarkers (27), version 1: ends transactions in partitions, regardless of their
//! coordinator.
//!
//! Brokers send it to each other; here the coordinator writes markers itself. Operators use it to
//! end a hanging transaction (`kafka-transactions.sh abort`, KIP-664). A marker with a coordinator
//! epoch below the last one is refused, and so is one for `__transaction_state`
//! (INVALID_TOPIC_EXCEPTION), whose coordinators are the only writers there.

use brooklet_protocol::messages::ErrorCode;
use brooklet_protocol::messages::kafka::write_txn_markers_request::{
    WritableTxnMarker, WritableTxnMarkerTopic,
};
use brooklet_protocol::messages::kafka::write_txn_markers_response::{
    WritableTxnMarkerPartitionResult, WritableTxnMarkerResult, WritableTxnMarkerTopicResult,
};
use brooklet_protocol::messages::kafka::{WriteTxnMarkersRequest, WriteTxnMarkersResponse};
use brooklet_protocol::{PartitionId, Producer};

use super::call::Call;
use super::context::ApiContext;
use super::error::ApiError;
use super::groups::{NONE, failed};
use super::topics::{TopicRef, find_partition, find_topic};
use super::transactions::producer;
use crate::controller::MetadataImage;
use crate::coordinator::OFFSETS_TOPIC;
use crate::partition::Durability;

pub(super) async fn handle(
    ctx: &ApiContext,
    Call { request, .. }: Call<WriteTxnMarkersRequest>,
) -> WriteTxnMarkersResponse {
    let image = ctx.controller.image();
    let mut results = Vec::with_capacity(request.markers.len());
    for marker in request.markers {
        let mut topics = Vec::with_capacity(marker.topics.len());
        for topic in &marker.topics {
            topics.push(mark_topic(ctx, &image, &marker, topic).await);
        }
        results.push(
            WritableTxnMarkerResult::default()
                .with_producer_id(marker.producer_id)
                .with_topics(topics),
        );
    }
    WriteTxnMarkersResponse::default().with_markers(results)
}

async fn mark_topic(
    ctx: &ApiContext,
    image: &MetadataImage,
    marker: &WritableTxnMarker,
    topic: &WritableTxnMarkerTopic,
) -> WritableTxnMarkerTopicResult {
    let mut partitions = Vec::with_capacity(topic.partition_indexes.len());
    for index in &topic.partition_indexes {
        let who = producer(marker.producer_id, marker.producer_epoch);
        let marked = if topic.name.as_str() == OFFSETS_TOPIC {
            mark_offsets(ctx, marker, who, *index).await
        } else {
            mark(image, marker, who, (topic, *index)).await
        };
        partitions.push(
            WritableTxnMarkerPartitionResult::default()
                .with_partition_index(*index)
                .with_error_code(marked.err().unwrap_or(NONE)),
        );
    }
    WritableTxnMarkerTopicResult::default()
        .with_name(topic.name.clone())
        .with_partitions(partitions)
}

async fn mark(
    image: &MetadataImage,
    marker: &WritableTxnMarker,
    who: Producer,
    (topic, index): (&WritableTxnMarkerTopic, i32),
) -> Result<(), i16> {
    let code = |error: ApiError| error.code.code();
    let topic = find_topic(image, TopicRef::Name(&topic.name)).map_err(code)?;
    if topic.is_internal {
        // Its coordinator is the only writer of its partitions.
        return Err(ErrorCode::InvalidTopicException.code());
    }
    let partition = find_partition(topic, index).map_err(code)?;
    let epoch = Some(marker.coordinator_epoch);
    let appended = partition.append_marker(who, marker.transaction_result, epoch);
    let end = appended
        .map_err(|error| code(error.into()))?
        .last_offset
        .plus(1);
    let committed = partition.commit(end, Durability::Synced).await;
    committed.map_err(|error| code(error.into()))
}

/// The marker goes through the group coordinator, which has to know of it.
async fn mark_offsets(
    ctx: &ApiContext,
    marker: &WritableTxnMarker,
    who: Producer,
    index: i32,
) -> Result<(), i16> {
    let partition = PartitionId(index);
    let ended = ctx
        .groups
        .end_transaction(partition, who, marker.transaction_result)
        .await;
    ended.map_err(|error| failed(OFFSETS_TOPIC, &error))
}
