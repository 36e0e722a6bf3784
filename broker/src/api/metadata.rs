//! Metadata (3), versions 0 to 13: the brokers, and the leaders of partitions.
//!
//! - Without a list of topics (version 0: with an empty one) a request asks for all; an empty list
//!   asks for the brokers only.
//! - A topic that does not exist is created, if the broker (`auto.create.topics.enable`) and the
//!   request (from version 4 on) allow it. Kafka answers LEADER_NOT_AVAILABLE in the meantime and
//!   lets the client retry; here the topic exists when the response is sent.
//! - An invalid name is answered with INVALID_TOPIC_EXCEPTION, an unknown one with
//!   UNKNOWN_TOPIC_OR_PARTITION, an unknown id with UNKNOWN_TOPIC_ID (from version 12 on; a name
//!   beside an id is ignored).
//! - A partition that is offline, because its log is damaged or its disk has failed, has no leader:
//!   LEADER_NOT_AVAILABLE and -1, with this broker among the offline replicas. As in Kafka, clients
//!   retry until it is back or they give up.
//!
//! Left out: authorized operations (always "not requested", -2147483648) and racks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use brooklet_protocol::TopicName;
use brooklet_protocol::messages::kafka::metadata_request::MetadataRequestTopic;
use brooklet_protocol::messages::kafka::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use brooklet_protocol::messages::kafka::{self, MetadataRequest, MetadataResponse};
use brooklet_protocol::messages::{ErrorCode, StrBytes};

use super::call::Call;
use super::context::ApiContext;
use super::error::{ApiError, coordinator_error_code, refused_by_controller};
use super::topics::{NO_LEADER, TopicRef, find_topic};
use crate::controller::{ControllerError, MetadataImage, NewTopic, Topic};
use crate::coordinator::{OFFSETS_TOPIC, TRANSACTIONS_TOPIC};
use crate::partition::PartitionState;

pub(super) async fn handle(
    ctx: &ApiContext,
    Call {
        version, request, ..
    }: Call<MetadataRequest>,
) -> MetadataResponse {
    let asked = request
        .topics
        .filter(|topics| version > 0 || !topics.is_empty());
    let mut image = ctx.controller.image();
    let mut refused = BTreeMap::new();
    if request.allow_auto_topic_creation && ctx.settings.auto_create_topics {
        let missing = missing(&image, asked.iter().flatten());
        if !missing.is_empty() {
            refused = create_all(ctx, missing).await;
            // Everything is answered from this image: the one before lacks what was created.
            image = ctx.controller.image();
        }
    }
    let topics = match asked {
        None => image.topics.values().map(|t| describe(&image, t)).collect(),
        Some(topics) => listed(&image, version, topics, &refused),
    };
    MetadataResponse::default()
        .with_brokers(vec![this_broker(ctx, &image)])
        .with_cluster_id(Some(StrBytes::from_string(image.cluster_id.clone())))
        .with_controller_id(image.broker_id.0.into())
        .with_topics(topics)
}

fn this_broker(ctx: &ApiContext, image: &MetadataImage) -> MetadataResponseBroker {
    MetadataResponseBroker::default()
        .with_node_id(image.broker_id.0.into())
        .with_host(StrBytes::from_string(ctx.settings.advertised_host.clone()))
        .with_port(ctx.settings.advertised_port)
}

/// The topics that do not exist, out of those asked for by name. A bad name is not among them: it
/// is refused when topics are listed, as it is when nothing may be created.
fn missing<'a>(
    image: &MetadataImage,
    asked: impl Iterator<Item = &'a MetadataRequestTopic>,
) -> Vec<TopicName> {
    let by_name = asked.filter(|topic| topic.topic_id.is_nil());
    let names = by_name.filter_map(|topic| topic.name.as_ref());
    names
        .filter(|name| image.topic(name.as_str()).is_none())
        .filter_map(|name| TopicName::new(name).ok())
        .collect()
}

/// Creates topics; returns why some could not be created.
async fn create_all(ctx: &ApiContext, names: Vec<TopicName>) -> BTreeMap<TopicName, ApiError> {
    let mut refused = BTreeMap::new();
    for name in names {
        if let Err(error) = create(ctx, name.clone()).await {
            refused.insert(name, error);
        }
    }
    refused
}

/// Creates a topic; an internal one only as its coordinator creates it.
async fn create(ctx: &ApiContext, name: TopicName) -> Result<(), ApiError> {
    let created = match name.as_str() {
        OFFSETS_TOPIC => Some(ctx.groups.create_topic().await),
        TRANSACTIONS_TOPIC => Some(ctx.transactions.create_topic().await),
        _ => None,
    };
    if let Some(created) = created {
        return created
            .map_err(|error| ApiError::new(coordinator_error_code(&error), error.to_string()));
    }
    let topic = NewTopic {
        name,
        partition_count: None,
        configs: BTreeMap::new(),
    };
    match ctx.controller.create_topic(topic).await {
        // Another client was faster.
        Ok(_) | Err(ControllerError::TopicExists(_)) => Ok(()),
        Err(error) => Err(refused_by_controller(&ctx.counters, error)),
    }
}

/// The topics asked for, each once.
fn listed(
    image: &MetadataImage,
    version: i16,
    asked: Vec<MetadataRequestTopic>,
    refused: &BTreeMap<TopicName, ApiError>,
) -> Vec<MetadataResponseTopic> {
    let mut seen = BTreeSet::new();
    let mut topics = Vec::with_capacity(asked.len());
    for topic in asked {
        if !seen.insert((topic.name.clone(), topic.topic_id)) {
            continue;
        }
        let found = look_up(image, version, &topic, refused);
        topics.push(found.map_or_else(
            |code| unknown(version, topic, code),
            |topic| describe(image, topic),
        ));
    }
    topics
}

fn look_up<'a>(
    image: &'a MetadataImage,
    version: i16,
    asked: &MetadataRequestTopic,
    refused: &BTreeMap<TopicName, ApiError>,
) -> Result<&'a Arc<Topic>, ErrorCode> {
    match &asked.name {
        // The Java client sends an empty name beside the id.
        _ if version >= 12 && !asked.topic_id.is_nil() => {
            find_topic(image, TopicRef::Id(asked.topic_id)).map_err(|error| error.code)
        }
        Some(name) if asked.topic_id.is_nil() => {
            if let Some(error) = refused.get(name.as_str()) {
                return Err(error.code);
            }
            if TopicName::new(name).is_err() {
                return Err(ErrorCode::InvalidTopicException);
            }
            find_topic(image, TopicRef::Name(name)).map_err(|error| error.code)
        }
        // Neither name nor id, or an id in a version whose answer has no ids.
        Some(_) | None => Err(ErrorCode::InvalidRequest),
    }
}

fn unknown(version: i16, asked: MetadataRequestTopic, code: ErrorCode) -> MetadataResponseTopic {
    let name = match asked.name {
        None if version < 12 => Some(kafka::TopicName::default()),
        _ if code == ErrorCode::UnknownTopicId => None,
        name => name,
    };
    MetadataResponseTopic::default()
        .with_error_code(code.code())
        .with_name(name)
        .with_topic_id(asked.topic_id)
}

fn describe(image: &MetadataImage, topic: &Arc<Topic>) -> MetadataResponseTopic {
    let partitions = topic.partitions.iter().map(|p| leader_of(image, p));
    let name = StrBytes::from_string(topic.name.to_string());
    MetadataResponseTopic::default()
        .with_name(Some(kafka::TopicName(name)))
        .with_topic_id(topic.id)
        .with_is_internal(topic.is_internal)
        .with_partitions(partitions.collect())
}

fn leader_of(image: &MetadataImage, partition: &PartitionState) -> MetadataResponsePartition {
    let this_broker = kafka::BrokerId(image.broker_id.0);
    let answer = MetadataResponsePartition::default()
        .with_partition_index(partition.id().partition.0)
        .with_leader_id(this_broker)
        .with_leader_epoch(partition.leader_epoch().0)
        .with_replica_nodes(vec![this_broker])
        .with_isr_nodes(vec![this_broker]);
    if !partition.is_offline() {
        return answer;
    }
    answer
        .with_error_code(ErrorCode::LeaderNotAvailable.code())
        .with_leader_id(NO_LEADER)
        .with_offline_replicas(vec![this_broker])
}
