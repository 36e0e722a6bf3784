//! DescribeConfigs (32), versions 1 to 4: all settings of a topic or of the broker.
//!
//! - Each with its value, where that comes from (the topic, or the default), what it takes, and from
//!   version 3 on what it means; with synonyms where they are asked for: the topic's own value, then
//!   the broker's setting of the same meaning.
//! - `configuration_keys` null asks for all; names that are not there are left out, as in Kafka.
//! - The broker's are read-only: they are given at its start.
//!
//! Left out: loggers (resource type 8), client quotas, groups.

use std::collections::BTreeMap;

use brooklet_protocol::messages::kafka::describe_configs_request::DescribeConfigsResource;
use brooklet_protocol::messages::kafka::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use brooklet_protocol::messages::kafka::{self, DescribeConfigsRequest, DescribeConfigsResponse};
use brooklet_protocol::messages::{ErrorCode, StrBytes};

use super::configs::{
    BROKER, DYNAMIC_TOPIC_CONFIG, STATIC_BROKER_CONFIG, TOPIC, broker_default, type_code,
};
use super::context::ApiContext;
use super::error::ApiError;
use super::topics::{TopicRef, find_topic};
use crate::controller::topic_config::{ConfigKind, TOPIC_CONFIGS, TopicConfig};

pub(super) fn handle(ctx: &ApiContext, request: DescribeConfigsRequest) -> DescribeConfigsResponse {
    let described = request.resources.into_iter().map(|resource| {
        let configs = describe(ctx, &resource);
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
    resource: &DescribeConfigsResource,
) -> Result<Vec<DescribeConfigsResourceResult>, ApiError> {
    let image = ctx.controller.image();
    match resource.resource_type {
        TOPIC => {
            let name = kafka::TopicName(resource.resource_name.clone());
            let topic = find_topic(&image, TopicRef::Name(&name))?;
            let settings = TOPIC_CONFIGS.iter();
            Ok(settings
                .map(|config| of_topic(ctx, config, &topic.configs))
                .collect())
        }
        BROKER if *resource.resource_name == *image.broker_id.to_string() => Ok(of_broker(ctx)),
        BROKER => {
            let (found, expected) = (&resource.resource_name, image.broker_id);
            let message = format!("broker '{found}', this is broker {expected}");
            Err(ApiError::new(ErrorCode::InvalidRequest, message))
        }
        other => {
            let message = format!("resource type {other}, expected {TOPIC} or {BROKER}");
            Err(ApiError::new(ErrorCode::InvalidRequest, message))
        }
    }
}

fn of_topic(
    ctx: &ApiContext,
    config: &TopicConfig,
    configs: &BTreeMap<String, String>,
) -> DescribeConfigsResourceResult {
    let (default, source) = broker_default(ctx, config);
    let own = configs.get(config.name).map(String::as_str);
    let own_synonym = own.map(|value| (config.name, value, DYNAMIC_TOPIC_CONFIG));
    let synonyms = own_synonym
        .into_iter()
        .chain([(config.broker_name, &*default, source)]);
    DescribeConfigsResourceResult::default()
        .with_name(text(config.name))
        .with_value(Some(text(own.unwrap_or(&default))))
        .with_config_source(own.map_or(source, |_| DYNAMIC_TOPIC_CONFIG))
        .with_config_type(type_code(config.kind))
        .with_documentation(Some(text(config.doc)))
        .with_synonyms(synonyms.map(synonym).collect())
}

/// What the broker was started with, and the defaults that it gives to topics.
fn of_broker(ctx: &ApiContext) -> Vec<DescribeConfigsResourceResult> {
    const COUNT: ConfigKind = ConfigKind::Number {
        min: 1,
        max: i32::MAX as i64,
    };
    let settings = &ctx.settings;
    let id = ctx.controller.image().broker_id.to_string();
    let given = [
        ("node.id", id.clone(), COUNT, "the broker's number"),
        ("broker.id", id, COUNT, "the same, under its older name"),
        (
            "num.partitions",
            settings.num_partitions.to_string(),
            COUNT,
            "the partitions of a topic that does not say how many",
        ),
        (
            "auto.create.topics.enable",
            settings.auto_create_topics.to_string(),
            ConfigKind::Boolean,
            "whether asking for a topic creates it",
        ),
        (
            "fetch.max.bytes",
            settings.fetch_max_bytes.to_string(),
            COUNT,
            "the most bytes of one answer to a fetch",
        ),
        (
            "acks.all.sync",
            settings.acks_all_sync.to_string(),
            ConfigKind::Boolean,
            "whether acks=all waits for the disk; a setting of Brooklet's own",
        ),
        (
            "default.replication.factor",
            "1".to_owned(),
            COUNT,
            "the replicas of a partition; there is one broker",
        ),
    ];
    let given = given.into_iter().map(|(name, value, kind, doc)| {
        of_broker_one(name, &value, STATIC_BROKER_CONFIG, kind, doc)
    });
    let defaults = TOPIC_CONFIGS.iter().map(|config| {
        let (value, source) = broker_default(ctx, config);
        of_broker_one(config.broker_name, &value, source, config.kind, config.doc)
    });
    given.chain(defaults).collect()
}

fn of_broker_one(
    name: &str,
    value: &str,
    source: i8,
    kind: ConfigKind,
    doc: &str,
) -> DescribeConfigsResourceResult {
    DescribeConfigsResourceResult::default()
        .with_name(text(name))
        .with_value(Some(text(value)))
        .with_read_only(true)
        .with_config_source(source)
        .with_config_type(type_code(kind))
        .with_documentation(Some(text(doc)))
        .with_synonyms(vec![synonym((name, value, source))])
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
