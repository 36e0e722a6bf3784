//! Describing brokers: the APIs that they serve, their log directories and their settings.

use brooklet_protocol::messages::kafka::describe_configs_request::{
    DescribeConfigsRequest, DescribeConfigsResource,
};
use brooklet_protocol::messages::kafka::{ApiVersionsRequest, DescribeLogDirsRequest};
use brooklet_protocol::messages::{ApiKey, ErrorCode, StrBytes};
use brooklet_protocol::{BrokerId, PartitionId, TopicName, TopicPartition};

use super::{Client, ClientError};
use crate::transport::{BoxFuture, Node};

/// Kafka's number for a broker, among the resources that have settings.
const BROKER: i8 = 4;
/// Kafka's number for the source "default".
const DEFAULT_CONFIG: i8 = 5;

/// An API that a broker serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServedApi {
    /// Its number.
    pub key: i16,
    /// Its name; `None` for one that this client does not know.
    pub name: Option<String>,
    /// The lowest version.
    pub version_min: i16,
    /// The highest version.
    pub version_max: i16,
}

/// A directory with the logs of a broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogDir {
    /// Where it is, on the broker's machine.
    pub path: String,
    /// Partitions and their size in bytes.
    pub partitions: Vec<(TopicPartition, i64)>,
}

/// A setting of a broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerSetting {
    /// Its name.
    pub name: String,
    /// Its value; `None` for one that is secret or unset.
    pub value: Option<String>,
    /// Whether it is the default.
    pub is_default: bool,
    /// What it means, if the broker says so.
    pub documentation: Option<String>,
}

impl Client {
    /// The APIs that a broker serves, by their numbers.
    ///
    /// # Errors
    /// No answer.
    pub fn served_apis(
        &self,
        broker: BrokerId,
    ) -> BoxFuture<'_, Result<Vec<ServedApi>, ClientError>> {
        Box::pin(async move {
            let node = Node::Id(broker);
            let answer = self.call_again(node, api_versions_request()).await?;
            check("ask for versions", answer.error_code, None)?;
            let mut apis: Vec<_> = answer
                .api_keys
                .iter()
                .map(|api| ServedApi {
                    key: api.api_key,
                    name: ApiKey::try_from(api.api_key)
                        .ok()
                        .map(|key| format!("{key:?}")),
                    version_min: api.min_version,
                    version_max: api.max_version,
                })
                .collect();
            apis.sort_by_key(|api| api.key);
            Ok(apis)
        })
    }

    /// Where a broker's logs are, and how large.
    ///
    /// # Errors
    /// `Broker` with the directory's error; no answer.
    pub fn log_dirs(&self, broker: BrokerId) -> BoxFuture<'_, Result<Vec<LogDir>, ClientError>> {
        Box::pin(async move {
            let body = DescribeLogDirsRequest::default().with_topics(None);
            let node = Node::Id(broker);
            let answer = self.call_again(node, body).await?;
            let mut dirs = Vec::new();
            for dir in answer.results {
                check(
                    &format!("describe log directory {}", dir.log_dir.as_str()),
                    dir.error_code,
                    None,
                )?;
                let mut partitions = Vec::new();
                for topic in dir.topics {
                    let name = TopicName::new(&topic.name)
                        .map_err(|error| ClientError::Unexpected(error.to_string()))?;
                    partitions.extend(topic.partitions.iter().map(|found| {
                        let number = PartitionId(found.partition_index);
                        (
                            TopicPartition::new(name.clone(), number),
                            found.partition_size,
                        )
                    }));
                }
                partitions.sort();
                dirs.push(LogDir {
                    path: dir.log_dir.to_string(),
                    partitions,
                });
            }
            Ok(dirs)
        })
    }

    /// The settings of a broker, by their names.
    ///
    /// # Errors
    /// No answer.
    pub fn broker_settings(
        &self,
        broker: BrokerId,
    ) -> BoxFuture<'_, Result<Vec<BrokerSetting>, ClientError>> {
        Box::pin(async move {
            let resource = DescribeConfigsResource::default()
                .with_resource_type(BROKER)
                .with_resource_name(StrBytes::from_string(broker.to_string()))
                .with_configuration_keys(None);
            let body = DescribeConfigsRequest::default()
                .with_include_documentation(true)
                .with_resources(vec![resource]);
            let node = Node::Id(broker);
            let answer = self.call_again(node, body).await?;
            let result = answer.results.into_iter().next();
            let result = result
                .ok_or_else(|| ClientError::Unexpected("no broker in the response".into()))?;
            let words = result.error_message.as_deref();
            check(
                &format!("describe broker {broker}"),
                result.error_code,
                words,
            )?;
            let mut settings: Vec<_> = result
                .configs
                .into_iter()
                .map(|config| BrokerSetting {
                    name: config.name.to_string(),
                    value: config.value.map(|value| value.to_string()),
                    is_default: config.config_source == DEFAULT_CONFIG,
                    documentation: config.documentation.map(|words| words.to_string()),
                })
                .collect();
            settings.sort_by(|a, b| a.name.cmp(&b.name));
            Ok(settings)
        })
    }
}

/// Asks which APIs a broker serves, and which features are in effect.
pub(super) fn api_versions_request() -> ApiVersionsRequest {
    ApiVersionsRequest::default()
        .with_client_software_name(StrBytes::from_static_str(env!("CARGO_PKG_NAME")))
        .with_client_software_version(StrBytes::from_static_str(env!("CARGO_PKG_VERSION")))
}

fn check(what: &str, code: i16, words: Option<&str>) -> Result<(), ClientError> {
    match ErrorCode::try_from_code(code) {
        None => Ok(()),
        Some(code) => Err(ClientError::broker(what, code, words)),
    }
}
