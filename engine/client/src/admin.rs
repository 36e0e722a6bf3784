//! Creating, growing and deleting topics.
//!
//! Both change the cluster, so nothing is sent twice without need: a repetition that finds the work
//! done would report an error for a success. Only "not the controller" is answered by asking who
//! is.

use std::collections::BTreeMap;

use brooklet_protocol::TopicName;
use brooklet_protocol::messages::kafka::create_partitions_request::CreatePartitionsTopic;
use brooklet_protocol::messages::kafka::create_topics_request::{
    CreatableTopic, CreatableTopicConfig, CreateTopicsRequest,
};
use brooklet_protocol::messages::kafka::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreateTopicsResponse, DeleteTopicsRequest,
    DeleteTopicsResponse,
};
use brooklet_protocol::messages::{ErrorCode, RequestKind, ResponseKind, StrBytes};

use crate::transport::BoxFuture;

use super::calls::{Call, answer};
use super::{Client, ClientError, wire_name};

/// How long the controller may take, in milliseconds.
const ADMIN_TIMEOUT_MS: i32 = 30_000;
/// How many controllers are asked in turn while the controller moves.
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
            self.call_controller(&what, body).await
        })
    }

    /// Adds partitions to a topic until it has `count`.
    ///
    /// # Errors
    /// `Broker` with `InvalidPartitions` if it has that many already; `UnknownTopic`, no answer.
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
            let grown = self.call_controller(&what, body).await;
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
            let deleted = self.call_controller(&what, body).await;
            self.forget(name);
            known(name, deleted)
        })
    }

    /// Sends a change of one topic to the controller.
    async fn call_controller<R: Call>(&self, what: &str, request: R) -> Result<(), ClientError>
    where
        R::Response: OneTopic,
    {
        let version = request.version();
        let read = |kind| answer::<R>(kind).map(OneTopic::outcome);
        self.ask_controller(what, (version, request.into_kind()), &read)
            .await
    }

    async fn ask_controller(
        &self,
        what: &str,
        (version, body): (i16, RequestKind),
        read: &(dyn Fn(ResponseKind) -> Result<Option<Outcome>, ClientError> + Sync),
    ) -> Result<(), ClientError> {
        let mut asked = 0;
        loop {
            let node = self.cache.read().controller();
            let answer = self.ask(node, version, body.clone()).await?;
            asked += 1;
            let (code, message) = read(answer)?
                .ok_or_else(|| ClientError::Unexpected("no topic in the response".into()))?;
            match ErrorCode::try_from_code(code) {
                None => return Ok(()),
                Some(ErrorCode::NotController) if asked < CONTROLLERS_MAX => {
                    self.metadata(Some(&[])).await?;
                }
                Some(code) => return Err(ClientError::broker(what, code, message.as_deref())),
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

/// The error code of one topic, and the broker's words.
type Outcome = (i16, Option<StrBytes>);

/// An answer about the one topic that was asked for.
trait OneTopic {
    /// What became of it; `None` if the answer is empty.
    fn outcome(self) -> Option<Outcome>;
}

impl OneTopic for CreateTopicsResponse {
    fn outcome(self) -> Option<Outcome> {
        let topic = self.topics.into_iter().next()?;
        Some((topic.error_code, topic.error_message))
    }
}

impl OneTopic for CreatePartitionsResponse {
    fn outcome(self) -> Option<Outcome> {
        let topic = self.results.into_iter().next()?;
        Some((topic.error_code, topic.error_message))
    }
}

impl OneTopic for DeleteTopicsResponse {
    fn outcome(self) -> Option<Outcome> {
        let topic = self.responses.into_iter().next()?;
        Some((topic.error_code, topic.error_message))
    }
}
