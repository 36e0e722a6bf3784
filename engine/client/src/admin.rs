//! Creating, growing and deleting topics.
//!
//! Both change the cluster, so nothing is sent twice without need: a repetition that finds the work
//! done would report an error for a success. Only "not the controller" is answered by asking who is.

use std::collections::BTreeMap;

use brooklet_protocol::TopicName;
use brooklet_protocol::messages::kafka::create_partitions_request::CreatePartitionsTopic;
use brooklet_protocol::messages::kafka::create_topics_request::{
    CreatableTopic, CreatableTopicConfig, CreateTopicsRequest,
};
use brooklet_protocol::messages::kafka::{CreatePartitionsRequest, DeleteTopicsRequest};
use brooklet_protocol::messages::{ErrorCode, RequestKind, ResponseKind, StrBytes};

use crate::transport::BoxFuture;

use super::{Client, ClientError, wire_name};

const CREATE_TOPICS_VERSION: i16 = 7;
const CREATE_PARTITIONS_VERSION: i16 = 3;
/// The last version that names topics in one list; every broker serves it.
const DELETE_TOPICS_VERSION: i16 = 5;
/// How long the controller may take, in milliseconds.
const ADMIN_TIMEOUT_MS: i32 = 30_000;
/// How often a controller that moves is run after.
const CONTROLLERS_MAX: usize = 3;

impl Client {
    /// Creates a topic. `partitions` `None`: the broker's default.
    ///
    /// # Errors
    /// `Broker` with `TopicAlreadyExists` and the like.
    pub fn create_topic<'a>(
        &'a self,
        name: &'a TopicName,
        partitions: Option<i32>,
        configs: &'a BTreeMap<String, String>,
    ) -> BoxFuture<'a, Result<(), ClientError>> {
        Box::pin(async move {
            let config = |(name, value): (&String, &String)| {
                CreatableTopicConfig::default()
                    .with_name(StrBytes::from_string(name.clone()))
                    .with_value(Some(StrBytes::from_string(value.clone())))
            };
            let topic = CreatableTopic::default()
                .with_name(wire_name(name))
                .with_num_partitions(partitions.unwrap_or(-1))
                .with_replication_factor(-1)
                .with_configs(configs.iter().map(config).collect());
            let body = CreateTopicsRequest::default()
                .with_topics(vec![topic])
                .with_timeout_ms(ADMIN_TIMEOUT_MS);
            let what = format!("create topic '{name}'");
            self.ask_controller(&what, CREATE_TOPICS_VERSION, body.into())
                .await
        })
    }

    /// Gives a topic more partitions, `count` in all.
    ///
    /// # Errors
    /// `Broker` with `InvalidPartitions` if it has as many; `UnknownTopic`, no answer.
    pub fn add_partitions<'a>(
        &'a self,
        name: &'a TopicName,
        count: i32,
    ) -> BoxFuture<'a, Result<(), ClientError>> {
        Box::pin(async move {
            let topic = CreatePartitionsTopic::default()
                .with_name(wire_name(name))
                .with_count(count)
                .with_assignments(None);
            let body = CreatePartitionsRequest::default()
                .with_topics(vec![topic])
                .with_timeout_ms(ADMIN_TIMEOUT_MS);
            let what = format!("add partitions to topic '{name}'");
            let grown = self
                .ask_controller(&what, CREATE_PARTITIONS_VERSION, body.into())
                .await;
            self.forget(name);
            known(name, grown)
        })
    }

    /// Deletes a topic.
    ///
    /// # Errors
    /// `UnknownTopic`, no answer.
    pub fn delete_topic<'a>(
        &'a self,
        name: &'a TopicName,
    ) -> BoxFuture<'a, Result<(), ClientError>> {
        Box::pin(async move {
            let body = DeleteTopicsRequest::default()
                .with_topic_names(vec![wire_name(name)])
                .with_timeout_ms(ADMIN_TIMEOUT_MS);
            let what = format!("delete topic '{name}'");
            let deleted = self
                .ask_controller(&what, DELETE_TOPICS_VERSION, body.into())
                .await;
            self.forget(name);
            known(name, deleted)
        })
    }

    /// Sends a change of one topic to the controller and reads what became of it.
    async fn ask_controller(
        &self,
        what: &str,
        version: i16,
        body: RequestKind,
    ) -> Result<(), ClientError> {
        let mut asked = 0;
        loop {
            let node = self.cache.read().controller();
            let answer = self.ask(node, version, body.clone()).await?;
            asked += 1;
            match topic_error(&answer)? {
                None => return Ok(()),
                Some((ErrorCode::NotController, _)) if asked < CONTROLLERS_MAX => {
                    self.metadata(Some(&[])).await?;
                }
                Some((code, message)) => {
                    return Err(ClientError::broker(what, code, message.as_deref()));
                }
            }
        }
    }
}

/// Whether the topic is there.
fn known(name: &TopicName, outcome: Result<(), ClientError>) -> Result<(), ClientError> {
    match outcome {
        Err(ClientError::Broker {
            code: ErrorCode::UnknownTopicOrPartition,
            ..
        }) => Err(ClientError::UnknownTopic(name.to_string())),
        outcome => outcome,
    }
}

/// The error code and words of the one topic in the answer.
fn topic_error(answer: &ResponseKind) -> Result<Option<(ErrorCode, Option<String>)>, ClientError> {
    let words = |message: &Option<StrBytes>| message.as_ref().map(ToString::to_string);
    let topic = match answer {
        ResponseKind::CreateTopics(answer) => answer
            .topics
            .first()
            .map(|topic| (topic.error_code, words(&topic.error_message))),
        ResponseKind::DeleteTopics(answer) => answer
            .responses
            .first()
            .map(|topic| (topic.error_code, words(&topic.error_message))),
        ResponseKind::CreatePartitions(answer) => answer
            .results
            .first()
            .map(|topic| (topic.error_code, words(&topic.error_message))),
        other => {
            return Err(ClientError::unexpected(
                "CreateTopics, CreatePartitions or DeleteTopics",
                other,
            ));
        }
    };
    let (code, message) =
        topic.ok_or_else(|| ClientError::Unexpected("no topic in the answer".into()))?;
    Ok(ErrorCode::try_from_code(code).map(|code| (code, message)))
}
