//! CreateTopics (19), versions 2 to 7: creates topics.
//!
//! - Topics are independent: one that fails does not keep the others from being created. When the
//!   response is sent, the new topics exist and have leaders.
//! - `num_partitions` -1 stands for `num.partitions`. There is one broker, so the replication
//!   factor must be 1 or -1, or is answered with INVALID_REPLICATION_FACTOR.
//! - A manual assignment is accepted if it lists partitions 0, 1, … each on this broker alone, and
//!   is answered with INVALID_REPLICA_ASSIGNMENT otherwise.
//! - A name that occurs twice is refused (INVALID_REQUEST), and answered once.
//! - An internal topic is refused (INVALID_TOPIC_EXCEPTION): the broker creates it with the
//!   settings it needs.
//! - `validate_only` checks everything and creates nothing.
//! - From version 5 on the response has the number of partitions, the replication factor and all
//!   settings, including defaults; from version 7 on also the topic's id.
//!
//! Left out: the timeout, since nothing is left to wait for.

use std::collections::{BTreeMap, BTreeSet};

use brooklet_protocol::messages::kafka::create_topics_request::CreatableTopic;
use brooklet_protocol::messages::kafka::create_topics_response::{
    CreatableTopicConfigs, CreatableTopicResult,
};
use brooklet_protocol::messages::kafka::{self, CreateTopicsRequest, CreateTopicsResponse};
use brooklet_protocol::messages::{ErrorCode, StrBytes};
use brooklet_protocol::{BrokerId, TopicName};
use uuid::Uuid;

use super::call::Call;
use super::configs::{DYNAMIC_TOPIC_CONFIG, broker_default};
use super::context::ApiContext;
use super::error::{ApiError, refused_by_controller};
use super::topics::each_once;
use crate::controller::topic_config::TOPIC_CONFIGS;
use crate::controller::{NewTopic, is_internal};

pub(super) async fn handle(
    ctx: &ApiContext,
    Call {
        version, request, ..
    }: Call<CreateTopicsRequest>,
) -> CreateTopicsResponse {
    let this_broker = ctx.controller.image().broker_id;
    let mut results = Vec::with_capacity(request.topics.len());
    for (topic, is_once) in each_once(request.topics, |topic| &topic.name) {
        let created = match is_once {
            Ok(()) => create(ctx, this_broker, &topic, request.validate_only).await,
            Err(error) => Err(error),
        };
        results.push(answer(ctx, version, topic, created));
    }
    CreateTopicsResponse::default().with_topics(results)
}

/// A topic that was created, or with `validate_only` would have been.
struct Created {
    id: Uuid,
    partition_count: i32,
    configs: BTreeMap<String, String>,
}

async fn create(
    ctx: &ApiContext,
    this_broker: BrokerId,
    asked: &CreatableTopic,
    validate_only: bool,
) -> Result<Created, ApiError> {
    let topic = new_topic(this_broker, asked)?;
    let refused = |error| refused_by_controller(&ctx.counters, error);
    let partition_count = topic.partition_count.unwrap_or(ctx.settings.num_partitions);
    if validate_only {
        ctx.controller.validate_topic(&topic).map_err(refused)?;
        return Ok(Created {
            id: Uuid::nil(),
            partition_count,
            configs: topic.configs,
        });
    }
    let created = ctx.controller.create_topic(topic).await.map_err(refused)?;
    Ok(Created {
        id: created.id,
        partition_count: i32::try_from(created.partitions.len()).unwrap_or(i32::MAX),
        configs: created.configs.clone(),
    })
}

fn new_topic(this_broker: BrokerId, asked: &CreatableTopic) -> Result<NewTopic, ApiError> {
    let name = TopicName::new(&asked.name)
        .map_err(|error| ApiError::new(ErrorCode::InvalidTopicException, error.to_string()))?;
    if is_internal(&name) {
        let message =
            format!("topic '{name}' is internal: the broker creates it when it is needed");
        return Err(ApiError::new(ErrorCode::InvalidTopicException, message));
    }
    let mut configs = BTreeMap::new();
    for config in &asked.configs {
        let Some(value) = &config.value else {
            let message = format!("config '{}' has no value", config.name.as_str());
            return Err(ApiError::new(ErrorCode::InvalidConfig, message));
        };
        configs.insert(config.name.to_string(), value.to_string());
    }
    Ok(NewTopic {
        name,
        partition_count: partition_count(this_broker, asked)?,
        configs,
    })
}

/// The number of partitions, by count or by assignment.
fn partition_count(this_broker: BrokerId, asked: &CreatableTopic) -> Result<Option<i32>, ApiError> {
    if !asked.assignments.is_empty() {
        if (asked.num_partitions, asked.replication_factor) != (-1, -1) {
            let message = "expected a partition count or an assignment, found both";
            return Err(ApiError::new(ErrorCode::InvalidRequest, message));
        }
        return assigned_count(this_broker, asked).map(Some);
    }
    if !matches!(asked.replication_factor, -1 | 1) {
        let factor = asked.replication_factor;
        let message = format!("replication factor is {factor}, expected 1: there is one broker");
        return Err(ApiError::new(ErrorCode::InvalidReplicationFactor, message));
    }
    match asked.num_partitions {
        -1 => Ok(None),
        count if count >= 1 => Ok(Some(count)),
        count => {
            let message = format!("partition count is {count}, expected at least 1");
            Err(ApiError::new(ErrorCode::InvalidPartitions, message))
        }
    }
}

fn assigned_count(this_broker: BrokerId, asked: &CreatableTopic) -> Result<i32, ApiError> {
    let refused = |message| Err(ApiError::new(ErrorCode::InvalidReplicaAssignment, message));
    let mut partitions = BTreeSet::new();
    for assignment in &asked.assignments {
        if assignment.broker_ids != [kafka::BrokerId(this_broker.0)] {
            return refused(format!(
                "partition {} is assigned to brokers {:?}, expected [{this_broker}]",
                assignment.partition_index, assignment.broker_ids
            ));
        }
        partitions.insert(assignment.partition_index);
    }
    let count = i32::try_from(asked.assignments.len()).unwrap_or(i32::MAX);
    if partitions.into_iter().eq(0..count) {
        Ok(count)
    } else {
        refused("expected the assigned partitions to be numbered 0, 1, 2, …".to_owned())
    }
}

fn answer(
    ctx: &ApiContext,
    version: i16,
    asked: CreatableTopic,
    created: Result<Created, ApiError>,
) -> CreatableTopicResult {
    let result = CreatableTopicResult::default()
        .with_name(asked.name)
        .with_error_message(None);
    match created {
        Ok(created) if version >= 5 => result
            .with_topic_id(created.id)
            .with_num_partitions(created.partition_count)
            .with_replication_factor(1)
            .with_configs(Some(settings(ctx, &created.configs))),
        Ok(_) => result,
        Err(error) => result
            .with_error_code(error.code.code())
            .with_error_message(error.message_bytes()),
    }
}

/// All settings of a topic, each with its source.
fn settings(ctx: &ApiContext, own: &BTreeMap<String, String>) -> Vec<CreatableTopicConfigs> {
    let settings = TOPIC_CONFIGS.iter().map(|config| {
        let (value, source) = match own.get(config.name) {
            Some(value) => (value.clone(), DYNAMIC_TOPIC_CONFIG),
            None => broker_default(ctx, config),
        };
        CreatableTopicConfigs::default()
            .with_name(StrBytes::from_static_str(config.name))
            .with_value(Some(StrBytes::from_string(value)))
            .with_config_source(source)
    });
    settings.collect()
}
