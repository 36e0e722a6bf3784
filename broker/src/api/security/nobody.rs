//! DescribeClientQuotas (48), versions 0 and 1: no user or client has any (KIP-546).
//! DescribeUserScramCredentials (50), version 0: no user has any; a user that is named is answered
//! with RESOURCE_NOT_FOUND, as in Kafka (KIP-554).

use brooklet_protocol::messages::kafka::describe_user_scram_credentials_response::DescribeUserScramCredentialsResult;
use brooklet_protocol::messages::kafka::{
    DescribeClientQuotasRequest, DescribeClientQuotasResponse, DescribeUserScramCredentialsRequest,
    DescribeUserScramCredentialsResponse,
};
use brooklet_protocol::messages::{ErrorCode, StrBytes};

use crate::api::call::Call;
use crate::api::context::ApiContext;

pub(in crate::api) async fn client_quotas(
    _: &ApiContext,
    _: Call<DescribeClientQuotasRequest>,
) -> DescribeClientQuotasResponse {
    DescribeClientQuotasResponse::default()
        .with_error_message(None)
        .with_entries(Some(Vec::new()))
}

pub(in crate::api) async fn scram_credentials(
    _: &ApiContext,
    Call { request, .. }: Call<DescribeUserScramCredentialsRequest>,
) -> DescribeUserScramCredentialsResponse {
    let users = request.users.into_iter().flatten();
    let results = users.map(|user| {
        let message = format!(
            "Attempt to describe a user credential that does not exist: {}",
            user.name.as_str()
        );
        DescribeUserScramCredentialsResult::default()
            .with_user(user.name)
            .with_error_code(ErrorCode::ResourceNotFound.code())
            .with_error_message(Some(StrBytes::from_string(message)))
    });
    DescribeUserScramCredentialsResponse::default()
        .with_error_message(None)
        .with_results(results.collect())
}
