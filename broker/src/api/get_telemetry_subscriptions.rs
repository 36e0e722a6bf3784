//! GetTelemetrySubscriptions (71), version 0: which of a client's own metrics the broker wants
//! (KIP-714).
//!
//! None: the subscription is empty, and a client with an empty subscription sends nothing and asks
//! again every five minutes. A client without an instance id is assigned one, for its application
//! and its log.
//!
//! A Kafka broker without a plugin for metrics does not serve this API. Brooklet serves it so that
//! clients get their instance id.

use brooklet_protocol::messages::kafka::{
    GetTelemetrySubscriptionsRequest, GetTelemetrySubscriptionsResponse,
};

use super::call::Call;
use super::context::ApiContext;

/// The id of the empty subscription, which a client sends with its metrics.
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
