//! DescribeConfigs (32), versions 1 to 4: all settings of a topic or of the broker.
//!
//! - Each setting comes with its value, its source (the topic, the broker's own settings, or the
//!   default), its type, and from version 3 on its documentation. On request it comes with
//!   synonyms: the topic's own value, then the broker setting of the same meaning, then the
//!   default.
//! - Null `configuration_keys` ask for all settings; unknown names are left out, as in Kafka.
//! - The broker is named by its id or by the empty string. Its settings are read-only, because they
//!   are given at startup. One that stands for another and was not set, as `log.retention.hours`,
//!   is null.
//!
//! Left out: loggers (resource type 8), client quotas, groups.

use std::collections::BTreeMap;

use brooklet_protocol::messages::kafka::describe_configs_request::DescribeConfigsResource;
use brooklet_protocol::messages::kafka::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use brooklet_protocol::messages::kafka::{self, DescribeConfigsRequest, DescribeConfigsResponse};
use brooklet_protocol::messages::{ErrorCode, StrBytes};

use super::call::Call;
use super::configs::{
    BROKER, DEFAULT_CONFIG, DYNAMIC_TOPIC_CONFIG, STATIC_BROKER_CONFIG, TOPIC, broker_default,
    source, type_code,
};
use super::context::{ApiContext, DescribedSetting};
use super::error::ApiError;
use super::topics::{TopicRef, find_topic};
use crate::controller::MetadataImage;
use crate::controller::config_kind::int;
use crate::controller::topic_config::{TOPIC_CONFIGS, TopicConfig};

pub(super) async fn handle(
    ctx: &ApiContext,
    Call { request, .. }: Call<DescribeConfigsRequest>,
) -> DescribeConfigsResponse {
    let image = ctx.controller.image();
    let described = request.resources.into_iter().map(|resource| {
        let configs = describe(ctx, &image, &resource);
        let result = DescribeConfigsResult::default()
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name.clone());
        match configs {
            Ok(configs) => {
                let wanted = |config: &DescribeConfigsResourceResult| {
                    let keys = resource.configuration_keys.as_ref();
                    keys.is_none_or(|keys| keys.is_empty() || keys.contains(&config.name))
                };
                let strip = |mut config: DescribeConfigsResourceResult| {
                    if !request.include_synonyms {
                        config.synonyms.clear();
                    }
                    if !request.include_documentation {
                        config.documentation = None;
                    }
                    config
                };
                result.with_configs(configs.into_iter().filter(wanted).map(strip).collect())
            }
            Err(error) => result
                .with_error_code(error.code.code())
                .with_error_message(error.message_bytes()),
        }
    });
    DescribeConfigsResponse::default().with_results(described.collect())
}

fn describe(
    ctx: &ApiContext,
    image: &MetadataImage,
    resource: &DescribeConfigsResource,
) -> Result<Vec<DescribeConfigsResourceResult>, ApiError> {
    match resource.resource_type {
        TOPIC => {
            let name = kafka::TopicName(resource.resource_name.clone());
            let topic = find_topic(image, TopicRef::Name(&name))?;
            let settings = TOPIC_CONFIGS.iter();
            Ok(settings
                .map(|config| of_topic(ctx, config, &topic.configs))
                .collect())
        }
        BROKER
            if resource.resource_name.is_empty()
                || *resource.resource_name == *image.broker_id.to_string() =>
        {
            Ok(of_broker(ctx))
        }
        BROKER => {
            let (found, expected) = (&resource.resource_name, image.broker_id);
            let message = format!("expected broker {expected}, the only one, found '{found}'");
            Err(ApiError::new(ErrorCode::InvalidRequest, message))
        }
        other => {
            let message =
                format!("resource type is {other}, expected {TOPIC} (topic) or {BROKER} (broker)");
            Err(ApiError::new(ErrorCode::InvalidRequest, message))
        }
    }
}

/// A setting of a topic. Its synonyms, in order of precedence: the topic's own value, the broker's,
/// the default.
fn of_topic(
    ctx: &ApiContext,
    config: &TopicConfig,
    configs: &BTreeMap<String, String>,
) -> DescribeConfigsResourceResult {
    let (inherited, source) = broker_default(ctx, config);
    let own = configs.get(config.name).map(String::as_str);
    let own_synonym = own.map(|value| synonym((config.name, value, DYNAMIC_TOPIC_CONFIG)));
    let of_the_broker = match ctx.settings.described.get(config.broker_name) {
        Some(setting) => synonyms(config.broker_name, setting),
        None => vec![synonym((config.broker_name, config.default, source))],
    };
    DescribeConfigsResourceResult::default()
        .with_name(text(config.name))
        .with_value(Some(text(own.unwrap_or(&inherited))))
        .with_config_source(own.map_or(source, |_| DYNAMIC_TOPIC_CONFIG))
        .with_config_type(type_code(config.kind))
        .with_documentation(Some(text(config.doc)))
        .with_synonyms(own_synonym.into_iter().chain(of_the_broker).collect())
}

/// The settings of the broker, including its defaults for topics; and those that never change, for
/// tools that look at them before they create a topic with replicas.
fn of_broker(ctx: &ApiContext) -> Vec<DescribeConfigsResourceResult> {
    let acting = ctx.settings.described.iter();
    let acting = acting.map(|(name, setting)| of_broker_one(name, setting));
    let stored = TOPIC_CONFIGS.iter().filter(|config| !config.acts());
    let stored = stored.map(|c| (c.broker_name, c.default, c.kind, c.doc));
    let replicas = "the replicas of a partition; there is one broker";
    let always = stored.chain([("default.replication.factor", "1", int(1), replicas)]);
    let always = always.map(|(name, value, kind, doc)| {
        let setting = DescribedSetting {
            value: Some(value.to_owned()),
            default: Some(value),
            given: None,
            kind,
            doc,
        };
        of_broker_one(name, &setting)
    });
    acting.chain(always).collect()
}

fn of_broker_one(name: &'static str, setting: &DescribedSetting) -> DescribeConfigsResourceResult {
    DescribeConfigsResourceResult::default()
        .with_name(text(name))
        .with_value(setting.value.as_deref().map(text))
        .with_read_only(true)
        .with_config_source(source(setting))
        .with_config_type(type_code(setting.kind))
        .with_documentation(Some(text(setting.doc)))
        .with_synonyms(synonyms(name, setting))
}

/// The value that was set, then the default.
fn synonyms(name: &str, setting: &DescribedSetting) -> Vec<DescribeConfigsSynonym> {
    let given = setting.given.as_ref();
    let given = given.map(|(name, value)| synonym((name, value, STATIC_BROKER_CONFIG)));
    let default = setting
        .default
        .map(|value| synonym((name, value, DEFAULT_CONFIG)));
    given.into_iter().chain(default).collect()
}

fn synonym((name, value, source): (&str, &str, i8)) -> DescribeConfigsSynonym {
    DescribeConfigsSynonym::default()
        .with_name(text(name))
        .with_value(Some(text(value)))
        .with_source(source)
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}
