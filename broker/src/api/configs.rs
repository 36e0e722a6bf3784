//! What the APIs of settings share: Kafka's numbers for resources and sources, and one loop for
//! both ways to alter settings.

use std::collections::{BTreeMap, BTreeSet};

use brooklet_protocol::TopicName;
use brooklet_protocol::messages::{ErrorCode, StrBytes};

use super::context::{ApiContext, DescribedSetting};
use super::error::ApiError;
use crate::controller::config_kind::ConfigKind;
use crate::controller::topic_config::{self, TopicConfig};
use crate::controller::{ControllerError, MetadataImage};

/// Kafka's number for a topic.
pub(super) const TOPIC: i8 = 2;
/// Kafka's number for a broker.
pub(super) const BROKER: i8 = 4;

/// Kafka's number for a value that the topic itself has.
pub(super) const DYNAMIC_TOPIC_CONFIG: i8 = 1;
/// Kafka's number for a value that the broker was started with.
pub(super) const STATIC_BROKER_CONFIG: i8 = 4;
/// Kafka's number for a default.
pub(super) const DEFAULT_CONFIG: i8 = 5;

/// The value of a topic setting that the topic does not set, and its source.
pub(super) fn broker_default(ctx: &ApiContext, config: &TopicConfig) -> (String, i8) {
    let setting = ctx.settings.described.get(config.broker_name);
    let given = setting.and_then(|setting| Some((setting.value.clone()?, source(setting))));
    given.unwrap_or_else(|| (config.default.to_owned(), DEFAULT_CONFIG))
}

/// The source of a broker setting.
pub(super) fn source(setting: &DescribedSetting) -> i8 {
    match setting.given {
        Some(_) => STATIC_BROKER_CONFIG,
        None => DEFAULT_CONFIG,
    }
}

/// Kafka's number for the type of a setting.
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

/// The type and the name of a resource.
type ResourceKey<'a> = (i8, &'a str);

/// Resources that a request names more than once. Kafka refuses them, since their order would
/// matter.
fn repeated<'a>(resources: impl Iterator<Item = ResourceKey<'a>>) -> BTreeSet<ResourceKey<'a>> {
    let mut seen = BTreeSet::new();
    resources
        .filter(|resource| !seen.insert(*resource))
        .collect()
}

type Configs = BTreeMap<String, String>;

/// What a request changes in one resource.
pub(super) trait Alteration {
    /// The resource.
    fn resource(&self) -> ResourceKey<'_>;

    /// The settings that it names, each with whether it has the value that it needs.
    fn settings(&self) -> impl Iterator<Item = (&str, bool)>;

    /// Checks that only this way of altering settings needs.
    fn check(&self) -> Result<(), ApiError>;

    /// Returns the settings of the resource with the changes applied.
    fn apply(&self, ctx: &ApiContext, configs: Configs) -> Result<Configs, String>;
}

/// Applies each of a request's alterations, or only validates it. Returns an error code, 0 for
/// success, and a message for each.
pub(super) async fn alter_all<A: Alteration>(
    ctx: &ApiContext,
    alterations: &[A],
    validate_only: bool,
) -> Vec<(i16, Option<StrBytes>)> {
    let image = ctx.controller.image();
    let repeated = repeated(alterations.iter().map(A::resource));
    let mut outcomes = Vec::with_capacity(alterations.len());
    for alteration in alterations {
        let mut altered = check_request(alteration, &repeated);
        if altered.is_ok() {
            let validate_only = validate_only.then_some(&*image);
            altered = alter(ctx, alteration, validate_only).await;
        }
        outcomes.push(match altered {
            Ok(()) => (0, None),
            Err(error) => (error.code.code(), error.message_bytes()),
        });
    }
    outcomes
}

/// Refuses a resource that the request names twice, a setting that it names twice, and one without
/// the value that it needs.
fn check_request(
    alteration: &impl Alteration,
    repeated: &BTreeSet<ResourceKey<'_>>,
) -> Result<(), ApiError> {
    let refused = |message| Err(ApiError::new(ErrorCode::InvalidRequest, message));
    let resource = alteration.resource();
    if repeated.contains(&resource) {
        return refused(format!("resource '{}' is in the request twice", resource.1));
    }
    let mut seen = BTreeSet::new();
    for (setting, has_value) in alteration.settings() {
        if !seen.insert(setting) {
            return refused(format!("config '{setting}' is in the request twice"));
        }
        if !has_value {
            return refused(format!("config '{setting}' has no value"));
        }
    }
    alteration.check()
}

/// Changes the settings of a resource; or, given an image, only validates the change against it.
///
/// # Errors
/// Only a topic's settings can be changed while the broker runs.
async fn alter(
    ctx: &ApiContext,
    alteration: &impl Alteration,
    validate_only: Option<&MetadataImage>,
) -> Result<(), ApiError> {
    let (resource_type, name) = alteration.resource();
    if resource_type == BROKER {
        let message = "broker settings cannot change while it runs: restart it with brooklet serve --set KEY=VALUE";
        return Err(ApiError::new(ErrorCode::InvalidRequest, message));
    }
    if resource_type != TOPIC {
        let message = format!("resource type is {resource_type}, expected {TOPIC} (topic)");
        return Err(ApiError::new(ErrorCode::InvalidRequest, message));
    }
    let name = TopicName::new(name)
        .map_err(|error| ApiError::new(ErrorCode::InvalidTopicException, error.to_string()))?;
    let change = |configs| alteration.apply(ctx, configs);
    let Some(image) = validate_only else {
        ctx.controller.alter_topic(&name, change).await?;
        return Ok(());
    };
    let topic = image.topic(name.as_str());
    let topic = topic.ok_or(ControllerError::UnknownTopic(name))?;
    change(topic.configs.clone())
        .and_then(|configs| topic_config::validate(&configs))
        .map_err(|reason| ControllerError::InvalidConfig(reason).into())
}
