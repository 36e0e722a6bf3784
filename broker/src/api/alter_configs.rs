//! AlterConfigs (33), versions 0 to 2: replaces all settings of a topic.
//!
//! What is not named goes back to its default. Kafka 4 has deprecated it for IncrementalAlterConfigs,
//! and some tools still use it. What the request names twice is refused (INVALID_REQUEST).
//!
//! Left out: brokers, whose settings do not change while they run (INVALID_REQUEST).

use std::collections::BTreeSet;

use brooklet_protocol::messages::kafka::alter_configs_request::AlterConfigsResource;
use brooklet_protocol::messages::kafka::alter_configs_response::AlterConfigsResourceResponse;
use brooklet_protocol::messages::kafka::{AlterConfigsRequest, AlterConfigsResponse};

use super::configs::{self, ResourceKey};
use super::context::ApiContext;
use super::error::ApiError;

pub(super) async fn handle(ctx: &ApiContext, request: AlterConfigsRequest) -> AlterConfigsResponse {
    let repeated = configs::repeated(request.resources.iter().map(key));
    let mut responses = Vec::with_capacity(request.resources.len());
    for resource in request.resources {
        let altered = alter(ctx, &resource, &repeated, request.validate_only).await;
        let response = AlterConfigsResourceResponse::default()
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name)
            .with_error_message(None);
        responses.push(match altered {
            Ok(()) => response,
            Err(error) => response
                .with_error_code(error.code.code())
                .with_error_message(error.message_bytes()),
        });
    }
    AlterConfigsResponse::default().with_responses(responses)
}

fn key(resource: &AlterConfigsResource) -> ResourceKey<'_> {
    (resource.resource_type, &resource.resource_name)
}

async fn alter(
    ctx: &ApiContext,
    resource: &AlterConfigsResource,
    repeated: &BTreeSet<(i8, String)>,
    validate_only: bool,
) -> Result<(), ApiError> {
    let settings = resource.configs.iter();
    let settings = settings.map(|config| (&*config.name, config.value.is_some()));
    configs::check_request(key(resource), repeated, settings)?;
    let replacement = resource.configs.iter().map(|config| {
        let value = config.value.as_deref().unwrap_or_default();
        (config.name.to_string(), value.to_owned())
    });
    let replacement = replacement.collect();
    configs::alter(ctx, key(resource), |_| Ok(replacement), validate_only).await
}
