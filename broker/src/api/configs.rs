//! What the APIs about settings share: whose settings, and how they are told.

use std::collections::{BTreeMap, BTreeSet};

use brooklet_protocol::messages::ErrorCode;

use super::context::{ApiContext, ToldSetting};
use super::error::ApiError;
use crate::controller::ControllerError;
use crate::controller::config_kind::ConfigKind;
use crate::controller::topic_config::{self, TopicConfig};
use brooklet_protocol::TopicName;

/// Kafka's number for a topic.
pub(super) const TOPIC: i8 = 2;
/// Kafka's number for a broker.
pub(super) const BROKER: i8 = 4;

/// Kafka's number for a value that the topic itself has.
pub(super) const DYNAMIC_TOPIC_CONFIG: i8 = 1;
/// Kafka's number for a value that the broker was started with.
pub(super) const STATIC_BROKER_CONFIG: i8 = 4;
/// Kafka's number for a value that nobody gave.
pub(super) const DEFAULT_CONFIG: i8 = 5;

/// What a topic gets that does not say, and where that comes from.
pub(super) fn broker_default(ctx: &ApiContext, config: &TopicConfig) -> (String, i8) {
    let told = ctx.settings.told.get(config.broker_name);
    let given = told.and_then(|told| Some((told.value.clone()?, source(told))));
    given.unwrap_or_else(|| (config.default.to_owned(), DEFAULT_CONFIG))
}

/// Where a setting of the broker comes from.
pub(super) fn source(told: &ToldSetting) -> i8 {
    match told.given {
        Some(_) => STATIC_BROKER_CONFIG,
        None => DEFAULT_CONFIG,
    }
}

/// Kafka's number for what a setting takes.
pub(super) fn type_code(kind: ConfigKind) -> i8 {
    match kind {
        ConfigKind::Boolean => 1,
        ConfigKind::Word(_) | ConfigKind::Text { .. } => 2,
        ConfigKind::Number { max, .. } if max <= i64::from(i32::MAX) => 3,
        ConfigKind::Number { .. } => 5,
        ConfigKind::Ratio => 6,
        ConfigKind::Words(_) => 7,
    }
}

/// A resource in a request: type and name.
pub(super) type ResourceKey<'a> = (i8, &'a str);

/// Those that a request names more than once. Kafka refuses each of them: their order would decide.
pub(super) fn repeated<'a>(
    resources: impl Iterator<Item = ResourceKey<'a>>,
) -> BTreeSet<(i8, String)> {
    let mut seen = BTreeSet::new();
    let again = resources.filter(|resource| !seen.insert(*resource));
    again.map(|(kind, name)| (kind, name.to_owned())).collect()
}

/// Refuses a resource that the request names twice, a setting that it names twice, and one without
/// the value that it needs.
pub(super) fn check_request<'a>(
    (resource_type, name): ResourceKey<'_>,
    repeated: &BTreeSet<(i8, String)>,
    settings: impl Iterator<Item = (&'a str, bool)>,
) -> Result<(), ApiError> {
    let refused = |message| Err(ApiError::new(ErrorCode::InvalidRequest, message));
    if repeated.contains(&(resource_type, name.to_owned())) {
        return refused(format!("resource '{name}' is in the request twice"));
    }
    let mut seen = BTreeSet::new();
    for (setting, has_value) in settings {
        if !seen.insert(setting) {
            return refused(format!("config '{setting}' is in the request twice"));
        }
        if !has_value {
            return refused(format!("config '{setting}' has no value"));
        }
    }
    Ok(())
}

type Configs = BTreeMap<String, String>;

/// Changes the settings of a resource, or only checks whether they could be.
///
/// # Errors
/// Only a topic's settings can be changed while the broker runs.
pub(super) async fn alter(
    ctx: &ApiContext,
    (resource_type, name): ResourceKey<'_>,
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
