//! DescribeTopicPartitions (75), version 0: the leaders of partitions, page by page (KIP-966).
//!
//! - A request without topics asks for all. Topics are answered in the order of their names, each
//!   once.
//! - A page has as many partitions as the client asks for, at least one and at most
//!   [`PARTITIONS_MAX`]. If there are more, `next_cursor` says where the next page begins; the
//!   client sends it back with the same topics.
//! - A name that does not exist is answered with UNKNOWN_TOPIC_OR_PARTITION, an invalid one with
//!   INVALID_TOPIC_EXCEPTION. If all topics are asked for, a topic deleted since the last page is
//!   left out.
//! - A negative partition in the cursor is answered with INVALID_REQUEST.
//!
//! Left out: authorized operations. With one replica, nobody but the leader is eligible to lead.

use std::collections::BTreeSet;

use brooklet_protocol::TopicName;
use brooklet_protocol::messages::ErrorCode;
use brooklet_protocol::messages::kafka::describe_topic_partitions_response::{
    Cursor, DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use brooklet_protocol::messages::kafka::{
    self, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse,
};

use super::call::Call;
use super::context::ApiContext;
use super::groups::text;
use super::topics::NO_LEADER;
use crate::controller::{MetadataImage, Topic};
use crate::partition::PartitionState;

/// The limit of partitions in a page: Kafka's `max.request.partition.size.limit`.
const PARTITIONS_MAX: usize = 2000;

pub(super) async fn handle(
    ctx: &ApiContext,
    Call { request, .. }: Call<DescribeTopicPartitionsRequest>,
) -> DescribeTopicPartitionsResponse {
    let image = ctx.controller.image();
    let (from, index) = match &request.cursor {
        None => ("", 0),
        Some(cursor) => match usize::try_from(cursor.partition_index) {
            Ok(index) => (cursor.topic_name.as_str(), index),
            Err(_) => return invalid_cursor(&request),
        },
    };
    let asks_for_all = request.topics.is_empty();
    let mut names: BTreeSet<&str> = if asks_for_all {
        image.topics.keys().map(TopicName::as_str).collect()
    } else {
        request
            .topics
            .iter()
            .map(|topic| topic.name.as_str())
            .collect()
    };
    if !asks_for_all && !from.is_empty() {
        // If it was deleted since the last page, this page says so.
        names.insert(from);
    }
    let limit = usize::try_from(request.response_partition_limit).unwrap_or(0);
    let mut page = Page {
        response: DescribeTopicPartitionsResponse::default(),
        room: limit.clamp(1, PARTITIONS_MAX),
    };
    for name in names.range(from..) {
        let first = if *name == from { index } else { 0 };
        let has_room = match image.topic(name) {
            Some(topic) => page.add(&image, topic, first),
            None if asks_for_all => true,
            None => page.add_unknown(name),
        };
        if !has_room {
            break;
        }
    }
    page.response
}

/// As in Kafka, the error stands beside each topic that was asked for.
fn invalid_cursor(request: &DescribeTopicPartitionsRequest) -> DescribeTopicPartitionsResponse {
    let refused = request.topics.iter().map(|topic| {
        DescribeTopicPartitionsResponseTopic::default()
            .with_error_code(ErrorCode::InvalidRequest.code())
            .with_name(Some(topic.name.clone()))
    });
    DescribeTopicPartitionsResponse::default().with_topics(refused.collect())
}

/// A response, and how many more partitions fit.
struct Page {
    response: DescribeTopicPartitionsResponse,
    room: usize,
}

impl Page {
    /// Adds the partitions of a topic from `first` on; returns whether all of them fit.
    fn add(&mut self, image: &MetadataImage, topic: &Topic, first: usize) -> bool {
        let name = kafka::TopicName(text(topic.name.as_str()));
        if self.room == 0 {
            self.end_before(name, 0);
            return false;
        }
        let rest = topic.partitions.get(first..).unwrap_or_default();
        let taken = rest.len().min(self.room);
        self.room -= taken;
        let partitions = rest[..taken].iter().map(|p| describe(image, p));
        self.response.topics.push(
            DescribeTopicPartitionsResponseTopic::default()
                .with_name(Some(name.clone()))
                .with_topic_id(topic.id)
                .with_is_internal(topic.is_internal)
                .with_partitions(partitions.collect()),
        );
        if taken < rest.len() {
            self.end_before(name, first + taken);
        }
        taken == rest.len()
    }

    fn add_unknown(&mut self, name: &str) -> bool {
        if self.room == 0 {
            self.end_before(kafka::TopicName(text(name)), 0);
            return false;
        }
        let error = match TopicName::new(name) {
            Ok(_) => ErrorCode::UnknownTopicOrPartition,
            Err(_) => ErrorCode::InvalidTopicException,
        };
        self.response.topics.push(
            DescribeTopicPartitionsResponseTopic::default()
                .with_error_code(error.code())
                .with_name(Some(kafka::TopicName(text(name)))),
        );
        true
    }

    fn end_before(&mut self, topic: kafka::TopicName, partition: usize) {
        let cursor = Cursor::default()
            .with_topic_name(topic)
            .with_partition_index(partition as i32);
        self.response.next_cursor = Some(cursor);
    }
}

fn describe(
    image: &MetadataImage,
    partition: &PartitionState,
) -> DescribeTopicPartitionsResponsePartition {
    let this_broker = kafka::BrokerId(image.broker_id.0);
    let answer = DescribeTopicPartitionsResponsePartition::default()
        .with_partition_index(partition.id().partition.0)
        .with_leader_id(this_broker)
        .with_leader_epoch(partition.leader_epoch().0)
        .with_replica_nodes(vec![this_broker])
        .with_isr_nodes(vec![this_broker])
        .with_eligible_leader_replicas(Some(Vec::new()))
        .with_last_known_elr(Some(Vec::new()));
    if !partition.is_offline() {
        return answer;
    }
    answer
        .with_leader_id(NO_LEADER)
        .with_offline_replicas(vec![this_broker])
}
