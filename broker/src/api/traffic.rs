//! Counts what producers bring and consumers take, beside the handlers that do it.
//!
//! Requests and answers list topics and partitions in the same order, so that what was sent and what
//! became of it are joined by place. As in Kafka a batch that is sent again counts again, and what
//! names no partition of ours counts nowhere.

use brooklet_protocol::messages::kafka::{FetchResponse, ProduceRequest, ProduceResponse};
use brooklet_protocol::records::BatchHeader;
use bytes::Bytes;

use super::context::ApiContext;
use super::topics::{TopicRef, find_topic};
use crate::controller::{MetadataImage, Topic};
use crate::partition::Partition;

/// From this version on produce requests and answers name topics by their ids.
const PRODUCE_BY_ID: i16 = 13;
/// The same of fetches.
const FETCH_BY_ID: i16 = 13;

/// The batches of a produce request, by topic and partition: records and bytes.
pub(super) struct Sent(Vec<Vec<(u64, u64)>>);

impl Sent {
    pub(super) fn of(request: &ProduceRequest) -> Self {
        let topics = request.topic_data.iter().map(|topic| {
            let partitions = topic.partition_data.iter();
            partitions
                .map(|data| data.records.as_ref().map_or((0, 0), size_of))
                .collect()
        });
        Self(topics.collect())
    }

    /// Counts, now that it is known what became of each batch.
    pub(super) fn count(&self, ctx: &ApiContext, version: i16, response: &ProduceResponse) {
        let image = ctx.controller.image();
        for (topic, sent) in response.responses.iter().zip(&self.0) {
            let topic_ref = match version {
                ..PRODUCE_BY_ID => TopicRef::Name(&topic.name),
                PRODUCE_BY_ID.. => TopicRef::Id(topic.topic_id),
            };
            let found = find_topic(&image, topic_ref).ok();
            for (answer, (messages, bytes)) in topic.partition_responses.iter().zip(sent) {
                let Some(partition) = found.and_then(|topic| partition_of(topic, answer.index))
                else {
                    continue;
                };
                for traffic in [&ctx.counters.traffic, partition.traffic()] {
                    if answer.error_code == 0 {
                        traffic.produced(*messages, *bytes);
                    } else {
                        traffic.produce_failed();
                    }
                }
            }
        }
    }
}

/// Counts what a fetch is answered with.
pub(super) fn count_fetched(ctx: &ApiContext, version: i16, response: &FetchResponse) {
    if response.responses.is_empty() {
        return;
    }
    let image: &MetadataImage = &ctx.controller.image();
    for topic in &response.responses {
        let topic_ref = match version {
            ..FETCH_BY_ID => TopicRef::Name(&topic.topic),
            FETCH_BY_ID.. => TopicRef::Id(topic.topic_id),
        };
        let Ok(found) = find_topic(image, topic_ref) else {
            continue;
        };
        for answer in &topic.partitions {
            let Some(partition) = partition_of(found, answer.partition_index) else {
                continue;
            };
            let bytes = answer.records.as_ref().map_or(0, Bytes::len);
            for traffic in [&ctx.counters.traffic, partition.traffic()] {
                if answer.error_code == 0 {
                    traffic.fetched(bytes as u64);
                } else {
                    traffic.fetch_failed();
                }
            }
        }
    }
}

/// The records that a batch says it has, and its bytes. Read only where it was then appended.
fn size_of(records: &Bytes) -> (u64, u64) {
    let count = BatchHeader::parse(records).map_or(0, |header| header.record_count);
    let messages = u64::try_from(count).expect("a header's count is checked");
    (messages, records.len() as u64)
}

fn partition_of(topic: &Topic, index: i32) -> Option<&Partition> {
    let index = usize::try_from(index).ok()?;
    let state = topic.partitions.get(index)?;
    state.open().map(|partition| &**partition)
}
