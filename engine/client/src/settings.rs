//! Settings of topics, read and changed.

use std::collections::BTreeMap;

use brooklet_protocol::TopicName;
use brooklet_protocol::messages::kafka::describe_configs_request::{
    DescribeConfigsRequest, DescribeConfigsResource,
};
use brooklet_protocol::messages::kafka::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResponse,
};
use brooklet_protocol::messages::kafka::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use brooklet_protocol::messages::{ErrorCode, StrBytes};

use super::{Client, ClientError};
use crate::transport::{BoxFuture, Node};

/// Kafka's number for a topic, among the resources that have settings.
const TOPIC: i8 = 2;
/// Kafka's numbers for what happens to a setting.
const SET: i8 = 0;
const DELETE: i8 = 1;
/// Kafka's number for the source "default".
const DEFAULT_CONFIG: i8 = 5;

/// What is to become of a topic's setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigChange {
    /// It gets this value.
    Set(String),
    /// It goes back to the broker's default.
    Unset,
}

impl Client {
    /// Changes settings of a topic (IncrementalAlterConfigs): all of them, or none.
    ///
    /// # Errors
    /// `UnknownTopic`; `Broker` with `InvalidConfig`.
    pub fn alter_topic<'a>(
        &'a self,
        name: &'a TopicName,
        changes: &'a BTreeMap<String, ConfigChange>,
    ) -> BoxFuture<'a, Result<(), ClientError>> {
        Box::pin(async move {
            let config = |(key, change): (&String, &ConfigChange)| {
                let config =
                    AlterableConfig::default().with_name(StrBytes::from_string(key.clone()));
                match change {
                    ConfigChange::Set(value) => config
                        .with_config_operation(SET)
                        .with_value(Some(StrBytes::from_string(value.clone()))),
                    ConfigChange::Unset => config.with_config_operation(DELETE).with_value(None),
                }
            };
            let resource = AlterConfigsResource::default()
                .with_resource_type(TOPIC)
                .with_resource_name(StrBytes::from_string(name.to_string()))
                .with_configs(changes.iter().map(config).collect());
            let body = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
            self.metadata(Some(&[])).await?;
            let node = self.cache.read().controller();
            let answer = self.call(node, body).await?;
            let outcome = answer.responses.first().ok_or_else(nothing)?;
            let words = outcome.error_message.as_deref();
            check(name, "alter", outcome.error_code, words)
        })
    }

    /// The settings of a topic that somebody has given: its own, and those that the broker was
    /// started with where it has none (DescribeConfigs). All others have their defaults.
    ///
    /// # Errors
    /// `UnknownTopic`, no answer.
    pub fn topic_configs<'a>(
        &'a self,
        name: &'a TopicName,
    ) -> BoxFuture<'a, Result<BTreeMap<String, String>, ClientError>> {
        Box::pin(async move {
            let resource = DescribeConfigsResource::default()
                .with_resource_type(TOPIC)
                .with_resource_name(StrBytes::from_string(name.to_string()))
                .with_configuration_keys(None);
            let body = DescribeConfigsRequest::default().with_resources(vec![resource]);
            self.metadata(Some(&[])).await?;
            let node = self.cache.read().controller();
            let configs = described(name, self.call(node, body).await?)?;
            let is_given =
                |config: &DescribeConfigsResourceResult| config.config_source != DEFAULT_CONFIG;
            Ok(values(configs.into_iter().filter(is_given)))
        })
    }

    /// A topic's `max.message.bytes`, if the broker reports it.
    pub async fn message_bytes_max(&self, name: &TopicName) -> Option<usize> {
        let setting = "max.message.bytes";
        let settings = self.topic_settings(name, &[setting]).await.ok()?;
        settings.get(setting)?.parse().ok()
    }

    /// The values of these settings that are in force for a topic (DescribeConfigs).
    pub(super) async fn topic_settings(
        &self,
        name: &TopicName,
        settings: &[&str],
    ) -> Result<BTreeMap<String, String>, ClientError> {
        let keys = settings.iter();
        let keys = keys.map(|key| StrBytes::from_string((*key).to_owned()));
        let resource = DescribeConfigsResource::default()
            .with_resource_type(TOPIC)
            .with_resource_name(StrBytes::from_string(name.to_string()))
            .with_configuration_keys(Some(keys.collect()));
        let body = DescribeConfigsRequest::default().with_resources(vec![resource]);
        let configs = described(name, self.call_again(Node::Any, body).await?)?;
        Ok(values(configs.into_iter()))
    }
}

/// The settings of the one topic in the answer.
fn described(
    name: &TopicName,
    answer: DescribeConfigsResponse,
) -> Result<Vec<DescribeConfigsResourceResult>, ClientError> {
    let result = answer.results.into_iter().next().ok_or_else(nothing)?;
    let words = result.error_message.as_deref();
    check(name, "describe", result.error_code, words)?;
    Ok(result.configs)
}

/// Names and values, of those that have one.
fn values(
    configs: impl Iterator<Item = DescribeConfigsResourceResult>,
) -> BTreeMap<String, String> {
    let pair = |c: DescribeConfigsResourceResult| Some((c.name.to_string(), c.value?.to_string()));
    configs.filter_map(pair).collect()
}

fn nothing() -> ClientError {
    ClientError::Unexpected("the response is empty".into())
}

fn check(name: &TopicName, verb: &str, code: i16, words: Option<&str>) -> Result<(), ClientError> {
    match ErrorCode::try_from_code(code) {
        None => Ok(()),
        Some(ErrorCode::UnknownTopicOrPartition) => {
            Err(ClientError::UnknownTopic(name.to_string()))
        }
        Some(code) => Err(ClientError::broker(
            format!("{verb} topic '{name}'"),
            code,
            words,
        )),
    }
}
