//! AlterConfigs (33), versions 0 to 2: replaces all settings of a topic.
//!
//! What is not named goes back to its default. Kafka 4 has deprecated it for IncrementalAlterConfigs,
//! and some tools still use it.
//!
//! Left out: brokers, whose settings do not change while they run (INVALID_REQUEST).

use brooklet_protocol::messages::kafka::alter_configs_request::AlterConfigsResource;
use brooklet_protocol::messages::kafka::alter_configs_response::AlterConfigsResourceResponse;
use brooklet_protocol::messages::kafka::{AlterConfigsRequest, AlterConfigsResponse};

use super::configs;
use super::context::ApiContext;
use super::error::ApiError;

pub(super) async fn handle(ctx: &ApiContext, request: AlterConfigsRequest) -> AlterConfigsResponse {
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
    AlterConfigsResponse::default().with_responses(responses)
}

async fn alter(
    ctx: &ApiContext,
    resource: &AlterConfigsResource,
    validate_only: bool,
) -> Result<(), ApiError> {
    let key = (resource.resource_type, &*resource.resource_name);
    let replace = |_| {
        let pair = |config: &brooklet_protocol::messages::kafka::alter_configs_request::AlterableConfig| {
            let value = config.value.as_ref();
            let value = value.ok_or(format!("config '{}' has no value", config.name))?;
            Ok((config.name.to_string(), value.to_string()))
        };
        resource.configs.iter().map(pair).collect()
    };
    configs::alter(ctx, key, replace, validate_only).await
}
