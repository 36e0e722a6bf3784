//! DescribeProducers (61), version 0: the active producers of partitions (KIP-664).

use brooklet_log::producer_state;
use brooklet_protocol::ProducerId;
use brooklet_protocol::messages::kafka::describe_producers_request::TopicRequest;
use brooklet_protocol::messages::kafka::describe_producers_response::{
    PartitionResponse, ProducerState, TopicResponse,
};
use brooklet_protocol::messages::kafka::{
    self, DescribeProducersRequest, DescribeProducersResponse,
};

use super::call::Call;
use super::context::ApiContext;
use super::error::ApiError;
use super::topics::{TopicRef, find_partition, find_topic};
use crate::controller::MetadataImage;

/// The start offset if no transaction is open.
const NONE_OPEN: i64 = -1;

pub(super) async fn handle(
    ctx: &ApiContext,
    Call { request, .. }: Call<DescribeProducersRequest>,
) -> DescribeProducersResponse {
    let image = ctx.controller.image();
    let topics = request.topics.iter().map(|asked| {
        let partitions = asked.partition_indexes.iter().map(|index| {
            let answer = PartitionResponse::default().with_partition_index(*index);
            match producers(&image, asked, *index) {
                Ok(producers) => answer.with_active_producers(producers),
                Err(error) => answer
                    .with_error_code(error.code.code())
                    .with_error_message(error.message_bytes()),
            }
        });
        TopicResponse::default()
            .with_name(asked.name.clone())
            .with_partitions(partitions.collect())
    });
    DescribeProducersResponse::default().with_topics(topics.collect())
}

fn producers(
    image: &MetadataImage,
    asked: &TopicRequest,
    index: i32,
) -> Result<Vec<ProducerState>, ApiError> {
    let topic = find_topic(image, TopicRef::Name(&asked.name))?;
    let mut producers = find_partition(topic, index)?.producers();
    producers.sort_unstable_by_key(|(id, _)| *id);
    Ok(producers.into_iter().map(to_response).collect())
}

fn to_response((id, state): (ProducerId, producer_state::ProducerState)) -> ProducerState {
    ProducerState::default()
        .with_producer_id(kafka::ProducerId(id.0))
        .with_producer_epoch(i32::from(state.epoch.0))
        .with_last_sequence(state.last_sequence())
        .with_last_timestamp(state.last_seen.0)
        .with_coordinator_epoch(state.coordinator_epoch)
        .with_current_txn_start_offset(state.open_transaction.map_or(NONE_OPEN, |first| first.0))
}
