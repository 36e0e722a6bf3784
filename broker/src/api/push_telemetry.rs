//! PushTelemetry (72), version 0: a client's own metrics (KIP-714).
//!
//! Nobody has asked for any ([`super::get_telemetry_subscriptions`]); what comes all the same, as from a
//! client that ends, is checked as Kafka does and let go: without an instance id INVALID_REQUEST, for another
//! subscription UNKNOWN_SUBSCRIPTION_ID, then UNSUPPORTED_COMPRESSION_TYPE and TELEMETRY_TOO_LARGE.
//!
//! Left out: to refuse a client that pushes too often; clients are not remembered.

use brooklet_protocol::messages::ErrorCode;
use brooklet_protocol::messages::kafka::{PushTelemetryRequest, PushTelemetryResponse};

use super::call::Call;
use super::context::ApiContext;
use super::get_telemetry_subscriptions::{COMPRESSION_TYPES, SUBSCRIPTION_ID, TELEMETRY_BYTES_MAX};

/// Not compressed.
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
