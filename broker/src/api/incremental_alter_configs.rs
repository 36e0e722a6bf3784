//! IncrementalAlterConfigs (44), versions 0 and 1: changes single settings of a topic (KIP-339).
//!
//! | operation | | effect |
//! |---|---|---|
//! | 0 | SET | sets the value |
//! | 1 | DELETE | returns to the default |
//! | 2 | APPEND | adds words to a list, unless they are in it |
//! | 3 | SUBTRACT | removes words from a list |
//!
//! The changes of a topic are applied together or not at all, and are in effect when the response
//! is sent. Anything named twice and a change without its value are refused (INVALID_REQUEST).
//!
//! Left out: brokers, whose settings cannot change while they run (INVALID_REQUEST).

use std::collections::BTreeMap;

use brooklet_protocol::messages::ErrorCode;
use brooklet_protocol::messages::kafka::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use brooklet_protocol::messages::kafka::incremental_alter_configs_response::AlterConfigsResourceResponse;
use brooklet_protocol::messages::kafka::{
    IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
};

use super::call::Call;
use super::configs::{Alteration, alter_all, broker_default};
use super::context::ApiContext;
use super::error::ApiError;
use crate::controller::config_kind::ConfigKind;
use crate::controller::topic_config::TOPIC_CONFIGS;

/// Kafka's numbers for operations.
const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

pub(super) async fn handle(
    ctx: &ApiContext,
    Call { request, .. }: Call<IncrementalAlterConfigsRequest>,
) -> IncrementalAlterConfigsResponse {
    let outcomes = alter_all(ctx, &request.resources, request.validate_only).await;
    let altered = request.resources.into_iter().zip(outcomes);
    let responses = altered.map(|(resource, (code, message))| {
        AlterConfigsResourceResponse::default()
            .with_error_code(code)
            .with_error_message(message)
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name)
    });
    IncrementalAlterConfigsResponse::default().with_responses(responses.collect())
}

impl Alteration for AlterConfigsResource {
    fn resource(&self) -> (i8, &str) {
        (self.resource_type, &self.resource_name)
    }

    fn settings(&self) -> impl Iterator<Item = (&str, bool)> {
        self.configs.iter().map(|change| {
            let has_value = change.value.is_some() || change.config_operation == DELETE;
            (&*change.name, has_value)
        })
    }

    /// Checks that every operation is one of the four.
    fn check(&self) -> Result<(), ApiError> {
        let is_unknown =
            |change: &&AlterableConfig| !(SET..=SUBTRACT).contains(&change.config_operation);
        let Some(change) = self.configs.iter().find(is_unknown) else {
            return Ok(());
        };
        let (name, operation) = (&change.name, change.config_operation);
        let message = format!("config '{name}': expected operation 0 to 3, found {operation}");
        Err(ApiError::new(ErrorCode::InvalidRequest, message))
    }

    fn apply(
        &self,
        ctx: &ApiContext,
        mut configs: BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, String>, String> {
        for change in &self.configs {
            let name = change.name.to_string();
            let value = change.value.as_deref().unwrap_or_default();
            match change.config_operation {
                DELETE => {
                    configs.remove(&name);
                }
                operation @ (APPEND | SUBTRACT) => {
                    let list = edited(ctx, &configs, (&name, value), operation == APPEND)?;
                    configs.insert(name, list);
                }
                _ => {
                    configs.insert(name, value.to_owned());
                }
            }
        }
        Ok(configs)
    }
}

/// The list with words added or removed.
fn edited(
    ctx: &ApiContext,
    configs: &BTreeMap<String, String>,
    (name, words): (&str, &str),
    adds: bool,
) -> Result<String, String> {
    let setting = TOPIC_CONFIGS.iter().find(|config| config.name == name);
    let setting = setting.filter(|config| matches!(config.kind, ConfigKind::Words(_)));
    let setting = setting.ok_or(format!("config '{name}' is not a list"))?;
    let (inherited, _) = broker_default(ctx, setting);
    let now = configs.get(name).unwrap_or(&inherited);
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
