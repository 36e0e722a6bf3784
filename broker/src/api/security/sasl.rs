//! SaslHandshake (17), versions 0 and 1, and SaslAuthenticate (36), versions 0 to 2: no credentials are
//! taken, as at a listener of Kafka with `security.protocol=PLAINTEXT`.
//!
//! A client that is set up with SASL_PLAINTEXT learns that the state is wrong, and which mechanisms there
//! are: none. The connection stays; the server writes a line that names the client.

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
    let message = "no credentials are taken: set security.protocol=PLAINTEXT";
    SaslAuthenticateResponse::default()
        .with_error_code(ErrorCode::IllegalSaslState.code())
        .with_error_message(Some(StrBytes::from_static_str(message)))
}
