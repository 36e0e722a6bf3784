//! What the APIs about settings share: whose settings, and how they are told.

use std::collections::BTreeMap;

use brooklet_protocol::messages::ErrorCode;

use super::context::ApiContext;
use super::error::ApiError;
use crate::controller::ControllerError;
use crate::controller::topic_config::{self, ConfigKind};
use brooklet_protocol::TopicName;

/// Kafka's number for a topic.
pub(super) const TOPIC: i8 = 2;
/// Kafka's number for a broker.
pub(super) const BROKER: i8 = 4;

/// Kafka's number for what a setting takes.
pub(super) fn type_code(kind: ConfigKind) -> i8 {
    match kind {
        ConfigKind::Boolean => 1,
        ConfigKind::Word(_) => 2,
        ConfigKind::Number { max, .. } if max <= i64::from(i32::MAX) => 3,
        ConfigKind::Number { .. } => 5,
        ConfigKind::Ratio => 6,
        ConfigKind::Words(_) => 7,
    }
}

type Configs = BTreeMap<String, String>;

/// Changes the settings of a resource, or only checks whether they could be.
///
/// # Errors
/// Only a topic's settings can be changed while the broker runs.
pub(super) async fn alter(
    ctx: &ApiContext,
    (resource_type, name): (i8, &str),
    change: impl FnOnce(Configs) -> Result<Configs, String>,
    validate_only: bool,
) -> Result<(), ApiError> {
    if resource_type == BROKER {
        let message = "a broker's settings are given at its start (brooklet serve)";
        return Err(ApiError::new(ErrorCode::InvalidRequest, message));
    }
    if resource_type != TOPIC {
        let message = format!("resource type {resource_type}, expected {TOPIC}, a topic");
        return Err(ApiError::new(ErrorCode::InvalidRequest, message));
    }
    let name = TopicName::new(name)
        .map_err(|error| ApiError::new(ErrorCode::InvalidTopicException, error.to_string()))?;
    if !validate_only {
        ctx.controller.alter_topic(&name, change).await?;
        return Ok(());
    }
    let image = ctx.controller.image();
    let topic = image.topic(name.as_str());
    let topic = topic.ok_or(ControllerError::UnknownTopic(name))?;
    change(topic.configs.clone())
        .and_then(|configs| topic_config::validate(&configs))
        .map_err(|reason| ControllerError::InvalidConfig(reason).into())
}
