//! SaslHandshake (17), versions 0 and 1, and SaslAuthenticate (36), versions 0 to 2: refused, as on
//! a Kafka listener with `security.protocol=PLAINTEXT`.
//!
//! A client that is configured for SASL_PLAINTEXT gets ILLEGAL_SASL_STATE and an empty list of
//! mechanisms. The connection stays open; the server logs a line that names the client.

use brooklet_protocol::messages::kafka::{
    SaslAuthenticateRequest, SaslAuthenticateResponse, SaslHandshakeRequest, SaslHandshakeResponse,
};
use brooklet_protocol::messages::{ErrorCode, StrBytes};

use crate::api::call::Call;
use crate::api::context::ApiContext;

pub(in crate::api) async fn handshake(
    _: &ApiContext,
    _: Call<SaslHandshakeRequest>,
) -> SaslHandshakeResponse {
    SaslHandshakeResponse::default().with_error_code(ErrorCode::IllegalSaslState.code())
}

pub(in crate::api) async fn authenticate(
    _: &ApiContext,
    _: Call<SaslAuthenticateRequest>,
) -> SaslAuthenticateResponse {
    let message = "SASL is not supported: set security.protocol=PLAINTEXT";
    SaslAuthenticateResponse::default()
        .with_error_code(ErrorCode::IllegalSaslState.code())
        .with_error_message(Some(StrBytes::from_static_str(message)))
}
