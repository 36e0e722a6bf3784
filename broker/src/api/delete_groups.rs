//! DeleteGroups (42), versions 0 to 2: deletes groups without members, and their offsets (KIP-229).

use brooklet_machines::group::DeleteGroup;
use brooklet_protocol::messages::kafka::delete_groups_response::DeletableGroupResult;
use brooklet_protocol::messages::kafka::{DeleteGroupsRequest, DeleteGroupsResponse};

use super::call::Call;
use super::context::ApiContext;
use super::groups::{code_of, failed};

pub(super) async fn handle(
    ctx: &ApiContext,
    Call { request, .. }: Call<DeleteGroupsRequest>,
) -> DeleteGroupsResponse {
    let mut results = Vec::with_capacity(request.groups_names.len());
    for id in request.groups_names {
        let group = id.as_str();
        let delete = DeleteGroup {
            group: group.to_owned(),
        };
        let code = match ctx.groups.ask(group, delete).await {
            Ok(outcome) => code_of(ctx, outcome),
            Err(error) => failed(group, &error),
        };
        results.push(
            DeletableGroupResult::default()
                .with_group_id(id)
                .with_error_code(code),
        );
    }
    DeleteGroupsResponse::default().with_results(results)
}
