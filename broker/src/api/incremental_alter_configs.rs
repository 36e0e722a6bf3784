//! IncrementalAlterConfigs (44), versions 0 and 1: changes single settings of a topic (KIP-339).
//!
//! | operation | | what it does |
//! |---|---|---|
//! | 0 | SET | gives the setting this value |
//! | 1 | DELETE | goes back to the default |
//! | 2 | APPEND | adds words to a list, those that are not in it |
//! | 3 | SUBTRACT | takes words out of a list |
//!
//! All changes of a topic happen, or none; when the answer leaves, the partitions work by them.
//!
//! Left out: brokers, whose settings do not change while they run (INVALID_REQUEST).

use std::collections::{BTreeMap, BTreeSet};

use brooklet_protocol::messages::kafka::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use brooklet_protocol::messages::kafka::incremental_alter_configs_response::AlterConfigsResourceResponse;
use brooklet_protocol::messages::kafka::{
    IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
};

use super::configs;
use super::context::ApiContext;
use super::error::ApiError;
use crate::controller::topic_config::{ConfigKind, TOPIC_CONFIGS};

pub(super) async fn handle(
    ctx: &ApiContext,
    request: IncrementalAlterConfigsRequest,
) -> IncrementalAlterConfigsResponse {
    let mut responses = Vec::with_capacity(request.resources.len());
    for resource in request.resources {
        let altered = alter(ctx, &resource, request.validate_only).await;
        let response = AlterConfigsResourceResponse::default()
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name);
        responses.push(match altered {
            Ok(()) => response,
            Err(error) => response
                .with_error_code(error.code.code())
                .with_error_message(error.message_bytes()),
        });
    }
    IncrementalAlterConfigsResponse::default().with_responses(responses)
}

async fn alter(
    ctx: &ApiContext,
    resource: &AlterConfigsResource,
    validate_only: bool,
) -> Result<(), ApiError> {
    let key = (resource.resource_type, &*resource.resource_name);
    let change = |configs| changed(configs, &resource.configs);
    configs::alter(ctx, key, change, validate_only).await
}

fn changed(
    mut configs: BTreeMap<String, String>,
    changes: &[AlterableConfig],
) -> Result<BTreeMap<String, String>, String> {
    let mut seen = BTreeSet::new();
    for change in changes {
        let name = change.name.to_string();
        if !seen.insert(name.clone()) {
            return Err(format!("config '{name}' is in the request twice"));
        }
        let value = || {
            let value = change.value.as_ref().map(ToString::to_string);
            value.ok_or(format!("config '{name}' has no value"))
        };
        match change.config_operation {
            0 => {
                configs.insert(name.clone(), value()?);
            }
            1 => {
                configs.remove(&name);
            }
            operation @ (2 | 3) => {
                let list = edited(&configs, &name, &value()?, operation == 2)?;
                configs.insert(name.clone(), list);
            }
            other => {
                return Err(format!(
                    "config '{name}': operation {other}, expected 0 to 3"
                ));
            }
        }
    }
    Ok(configs)
}

/// The list with words added or taken out.
fn edited(
    configs: &BTreeMap<String, String>,
    name: &str,
    words: &str,
    adds: bool,
) -> Result<String, String> {
    let setting = TOPIC_CONFIGS.iter().find(|config| config.name == name);
    let setting = setting.filter(|config| matches!(config.kind, ConfigKind::Words(_)));
    let setting = setting.ok_or(format!("config '{name}' is no list"))?;
    let now = configs.get(name).map_or(setting.default, |value| value);
    let split = |list: &str| -> Vec<String> {
        let words = list.split(',').map(str::trim);
        words
            .filter(|word| !word.is_empty())
            .map(str::to_owned)
            .collect()
    };
    let (mut list, words) = (split(now), split(words));
    if adds {
        for word in words {
            if !list.contains(&word) {
                list.push(word);
            }
        }
    } else {
        list.retain(|word| !words.contains(word));
    }
    Ok(list.join(","))
}
