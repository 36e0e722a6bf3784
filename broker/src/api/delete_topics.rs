//! DeleteTopics (20), versions 1 to 6: deletes topics by name, and from version 6 on also by id.
//!
//! - When the response is sent, the topics are gone from the metadata; their files follow.
//! - An unknown name is answered with UNKNOWN_TOPIC_OR_PARTITION, an unknown id with
//!   UNKNOWN_TOPIC_ID; a topic named by both name and id, by neither, or twice with
//!   INVALID_REQUEST.
//! - The offsets that groups have committed for the topic are deleted.
//! - An internal topic cannot be deleted: INVALID_TOPIC_EXCEPTION.
//!
//! Left out: `delete.topic.enable=false`; the timeout, since nothing is left to wait for.

use std::collections::BTreeSet;

use brooklet_protocol::TopicName;
use brooklet_protocol::messages::kafka::delete_topics_request::DeleteTopicState;
use brooklet_protocol::messages::kafka::delete_topics_response::DeletableTopicResult;
use brooklet_protocol::messages::kafka::{self, DeleteTopicsRequest, DeleteTopicsResponse};
use brooklet_protocol::messages::{ErrorCode, StrBytes};
use uuid::Uuid;

use super::call::Call;
use super::context::ApiContext;
use super::error::ApiError;
use super::topics::{TopicRef, find_topic};
use crate::controller::MetadataImage;

pub(super) async fn handle(
    ctx: &ApiContext,
    Call {
        version, request, ..
    }: Call<DeleteTopicsRequest>,
) -> DeleteTopicsResponse {
    let image = ctx.controller.image();
    let asked: Vec<_> = if version >= 6 {
        request.topics
    } else {
        let by_name = |name| DeleteTopicState::default().with_name(Some(name));
        request.topic_names.into_iter().map(by_name).collect()
    };
    let (mut seen, mut gone) = (BTreeSet::new(), Vec::new());
    let mut responses = Vec::with_capacity(asked.len());
    for topic in asked {
        let deleted = delete(ctx, &image, &topic, &mut seen).await;
        gone.extend(
            deleted
                .as_ref()
                .ok()
                .and_then(|(name, _)| TopicName::new(name.as_str()).ok()),
        );
        responses.push(answer(topic, deleted));
    }
    // A later topic of the same name starts over, also for groups that had read the old one.
    if let Err(error) = ctx.groups.forget_topics(&gone).await {
        tracing::warn!("cannot remove the committed offsets of deleted topics: {error}");
    }
    DeleteTopicsResponse::default().with_responses(responses)
}

/// The name and the id of a deleted topic.
type Deleted = (kafka::TopicName, Uuid);

async fn delete(
    ctx: &ApiContext,
    image: &MetadataImage,
    asked: &DeleteTopicState,
    seen: &mut BTreeSet<Uuid>,
) -> Result<Deleted, ApiError> {
    let topic_ref = match &asked.name {
        Some(name) if asked.topic_id.is_nil() => TopicRef::Name(name),
        None if !asked.topic_id.is_nil() => TopicRef::Id(asked.topic_id),
        Some(_) | None => {
            let message = "expected either a topic name or a topic id";
            return Err(ApiError::new(ErrorCode::InvalidRequest, message));
        }
    };
    let topic = find_topic(image, topic_ref)?;
    if !seen.insert(topic.id) {
        let message = format!("topic '{}' is in the request twice", topic.name);
        return Err(ApiError::new(ErrorCode::InvalidRequest, message));
    }
    if topic.is_internal {
        let message = format!("topic '{}' is internal and cannot be deleted", topic.name);
        return Err(ApiError::new(ErrorCode::InvalidTopicException, message));
    }
    ctx.controller.delete_topic(&topic.name).await?;
    let name = StrBytes::from_string(topic.name.to_string());
    Ok((kafka::TopicName(name), topic.id))
}

fn answer(asked: DeleteTopicState, deleted: Result<Deleted, ApiError>) -> DeletableTopicResult {
    match deleted {
        Ok((name, id)) => DeletableTopicResult::default()
            .with_name(Some(name))
            .with_topic_id(id),
        Err(error) => DeletableTopicResult::default()
            .with_name(asked.name)
            .with_topic_id(asked.topic_id)
            .with_error_code(error.code.code())
            .with_error_message(error.message_bytes()),
    }
}
