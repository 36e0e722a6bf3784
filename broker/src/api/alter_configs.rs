//! AlterConfigs (33), versions 0 to 2: replaces all settings of a topic.
//!
//! A setting that the request does not name returns to its default. Kafka 4 has deprecated this API
//! in favour of IncrementalAlterConfigs, and some tools still use it. Anything named twice is
//! refused (INVALID_REQUEST).
//!
//! Left out: brokers, whose settings cannot change while they run (INVALID_REQUEST).

use std::collections::BTreeMap;

use brooklet_protocol::messages::kafka::alter_configs_request::AlterConfigsResource;
use brooklet_protocol::messages::kafka::alter_configs_response::AlterConfigsResourceResponse;
use brooklet_protocol::messages::kafka::{AlterConfigsRequest, AlterConfigsResponse};

use super::call::Call;
use super::configs::{Alteration, alter_all};
use super::context::ApiContext;
use super::error::ApiError;

pub(super) async fn handle(
    ctx: &ApiContext,
    Call { request, .. }: Call<AlterConfigsRequest>,
) -> AlterConfigsResponse {
    let outcomes = alter_all(ctx, &request.resources, request.validate_only).await;
    let altered = request.resources.into_iter().zip(outcomes);
    let responses = altered.map(|(resource, (code, message))| {
        AlterConfigsResourceResponse::default()
            .with_error_code(code)
            .with_error_message(message)
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name)
    });
    AlterConfigsResponse::default().with_responses(responses.collect())
}

impl Alteration for AlterConfigsResource {
    fn resource(&self) -> (i8, &str) {
        (self.resource_type, &self.resource_name)
    }

    fn settings(&self) -> impl Iterator<Item = (&str, bool)> {
        let configs = self.configs.iter();
        configs.map(|config| (&*config.name, config.value.is_some()))
    }

    fn check(&self) -> Result<(), ApiError> {
        Ok(())
    }

    /// Replaces all of them.
    fn apply(
        &self,
        _: &ApiContext,
        _: BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, String>, String> {
        let configs = self.configs.iter().map(|config| {
            let value = config.value.as_deref().unwrap_or_default();
            (config.name.to_string(), value.to_owned())
        });
        Ok(configs.collect())
    }
}
