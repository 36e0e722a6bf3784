//! GetTelemetrySubscriptions (71), version 0: which of a client's own metrics the broker wants (KIP-714).
//!
//! None: the subscription is empty, and a client that has it sends nothing, but asks again every five
//! minutes. A client without an id gets one, which it can tell its application and its log.
//!
//! A Kafka broker without a plugin that receives metrics does not serve this API. Here it is served so
//! that clients have their instance id; where their metrics would go is theirs to say.

use brooklet_protocol::messages::kafka::{
    GetTelemetrySubscriptionsRequest, GetTelemetrySubscriptionsResponse,
};

use super::call::Call;
use super::context::ApiContext;

/// The empty subscription; a client that pushes says which it has.
pub(super) const SUBSCRIPTION_ID: i32 = 0;
/// zstd, lz4, gzip and snappy, in the order of preference.
pub(super) const COMPRESSION_TYPES: [i8; 4] = [4, 3, 1, 2];
/// Kafka's `telemetry.max.bytes`.
pub(super) const TELEMETRY_BYTES_MAX: i32 = 1 << 20;
/// Kafka's default of `interval.ms`.
const PUSH_INTERVAL_MS: i32 = 5 * 60 * 1000;

pub(super) async fn handle(
    ctx: &ApiContext,
    Call { request, .. }: Call<GetTelemetrySubscriptionsRequest>,
) -> GetTelemetrySubscriptionsResponse {
    let id = match request.client_instance_id {
        none if none.is_nil() => ctx.controller.new_id(),
        id => id,
    };
    GetTelemetrySubscriptionsResponse::default()
        .with_client_instance_id(id)
        .with_subscription_id(SUBSCRIPTION_ID)
        .with_accepted_compression_types(COMPRESSION_TYPES.to_vec())
        .with_push_interval_ms(PUSH_INTERVAL_MS)
        .with_telemetry_max_bytes(TELEMETRY_BYTES_MAX)
        .with_delta_temporality(true)
        .with_requested_metrics(Vec::new())
}
