//! DescribeAcls (29), CreateAcls (30) and DeleteAcls (31), versions 1 to 3: there is no authorizer,
//! so each entry is answered with SECURITY_DISABLED (KIP-140).

use brooklet_protocol::messages::kafka::create_acls_response::AclCreationResult;
use brooklet_protocol::messages::kafka::delete_acls_response::DeleteAclsFilterResult;
use brooklet_protocol::messages::kafka::{
    CreateAclsRequest, CreateAclsResponse, DeleteAclsRequest, DeleteAclsResponse,
    DescribeAclsRequest, DescribeAclsResponse,
};
use brooklet_protocol::messages::{ErrorCode, StrBytes};

use crate::api::call::Call;
use crate::api::context::ApiContext;

const CODE: ErrorCode = ErrorCode::SecurityDisabled;

/// Kafka's message, which scripts look for.
const MESSAGE: StrBytes = StrBytes::from_static_str("No Authorizer is configured.");

pub(in crate::api) async fn describe(
    _: &ApiContext,
    _: Call<DescribeAclsRequest>,
) -> DescribeAclsResponse {
    let message = StrBytes::from_static_str("No Authorizer is configured on the broker");
    DescribeAclsResponse::default()
        .with_error_code(CODE.code())
        .with_error_message(Some(message))
}

pub(in crate::api) async fn create(
    _: &ApiContext,
    Call { request, .. }: Call<CreateAclsRequest>,
) -> CreateAclsResponse {
    let refused = AclCreationResult::default()
        .with_error_code(CODE.code())
        .with_error_message(Some(MESSAGE));
    CreateAclsResponse::default().with_results(vec![refused; request.creations.len()])
}

pub(in crate::api) async fn delete(
    _: &ApiContext,
    Call { request, .. }: Call<DeleteAclsRequest>,
) -> DeleteAclsResponse {
    let refused = DeleteAclsFilterResult::default()
        .with_error_code(CODE.code())
        .with_error_message(Some(MESSAGE));
    DeleteAclsResponse::default().with_filter_results(vec![refused; request.filters.len()])
}
