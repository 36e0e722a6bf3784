//! CreateDelegationToken (38), versions 1 to 3, RenewDelegationToken (39) and ExpireDelegationToken
//! (40), versions 1 and 2, DescribeDelegationToken (41), versions 1 to 3: clients are not
//! authenticated, so none may have a token (KIP-48). Kafka answers the same where
//! `security.protocol` is PLAINTEXT.

use brooklet_protocol::messages::kafka::{
    CreateDelegationTokenRequest, CreateDelegationTokenResponse, DescribeDelegationTokenRequest,
    DescribeDelegationTokenResponse, ExpireDelegationTokenRequest, ExpireDelegationTokenResponse,
    RenewDelegationTokenRequest, RenewDelegationTokenResponse,
};
use brooklet_protocol::messages::{ErrorCode, StrBytes};

use crate::api::call::Call;
use crate::api::context::ApiContext;

const CODE: ErrorCode = ErrorCode::DelegationTokenRequestNotAllowed;
/// The times of a token that does not exist.
const NO_TIME: i64 = -1;
/// Kafka's name for clients that are not authenticated.
const NOBODY: (StrBytes, StrBytes) = (
    StrBytes::from_static_str("User"),
    StrBytes::from_static_str("ANONYMOUS"),
);

pub(in crate::api) async fn create(
    _: &ApiContext,
    Call {
        version, request, ..
    }: Call<CreateDelegationTokenRequest>,
) -> CreateDelegationTokenResponse {
    let named = |name: Option<StrBytes>| name.filter(|name| !name.is_empty());
    let owner_type = named(request.owner_principal_type).unwrap_or(NOBODY.0);
    let owner_name = named(request.owner_principal_name).unwrap_or(NOBODY.1);
    let refused = CreateDelegationTokenResponse::default()
        .with_error_code(CODE.code())
        .with_principal_type(owner_type)
        .with_principal_name(owner_name)
        .with_issue_timestamp_ms(NO_TIME)
        .with_expiry_timestamp_ms(NO_TIME)
        .with_max_timestamp_ms(NO_TIME);
    if version < 3 {
        return refused;
    }
    refused
        .with_token_requester_principal_type(NOBODY.0)
        .with_token_requester_principal_name(NOBODY.1)
}

pub(in crate::api) async fn renew(
    _: &ApiContext,
    _: Call<RenewDelegationTokenRequest>,
) -> RenewDelegationTokenResponse {
    RenewDelegationTokenResponse::default()
        .with_error_code(CODE.code())
        .with_expiry_timestamp_ms(NO_TIME)
}

pub(in crate::api) async fn expire(
    _: &ApiContext,
    _: Call<ExpireDelegationTokenRequest>,
) -> ExpireDelegationTokenResponse {
    ExpireDelegationTokenResponse::default()
        .with_error_code(CODE.code())
        .with_expiry_timestamp_ms(NO_TIME)
}

pub(in crate::api) async fn describe(
    _: &ApiContext,
    _: Call<DescribeDelegationTokenRequest>,
) -> DescribeDelegationTokenResponse {
    DescribeDelegationTokenResponse::default().with_error_code(CODE.code())
}
