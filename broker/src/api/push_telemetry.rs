//! PushTelemetry (72), version 0: a client's own metrics (KIP-714).
//!
//! No metrics are requested ([`super::get_telemetry_subscriptions`]). Those that come nevertheless,
//! as from a client that shuts down, are checked as in Kafka and discarded: INVALID_REQUEST without
//! an instance id, UNKNOWN_SUBSCRIPTION_ID for another subscription, then
//! UNSUPPORTED_COMPRESSION_TYPE and TELEMETRY_TOO_LARGE.
//!
//! Left out: refusing a client that pushes too often, since clients are not remembered.

use brooklet_protocol::messages::ErrorCode;
use brooklet_protocol::messages::kafka::{PushTelemetryRequest, PushTelemetryResponse};

use super::call::Call;
use super::context::ApiContext;
use super::get_telemetry_subscriptions::{COMPRESSION_TYPES, SUBSCRIPTION_ID, TELEMETRY_BYTES_MAX};

/// The compression type of metrics that are not compressed.
const NONE: i8 = 0;

pub(super) async fn handle(
    _: &ApiContext,
    Call { request, .. }: Call<PushTelemetryRequest>,
) -> PushTelemetryResponse {
    let compression = request.compression_type;
    let error = if request.client_instance_id.is_nil() {
        Some(ErrorCode::InvalidRequest)
    } else if request.subscription_id != SUBSCRIPTION_ID {
        Some(ErrorCode::UnknownSubscriptionId)
    } else if compression != NONE && !COMPRESSION_TYPES.contains(&compression) {
        Some(ErrorCode::UnsupportedCompressionType)
    } else if request.metrics.len() > TELEMETRY_BYTES_MAX as usize {
        Some(ErrorCode::TelemetryTooLarge)
    } else {
        None
    };
    let code = error.map_or(0, |error| error.code());
    PushTelemetryResponse::default().with_error_code(code)
}
