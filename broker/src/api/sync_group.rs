//! SyncGroup (14), versions 0 to 5: a member asks for its assignment, and the leader sends all of
//! them.
//!
//! The response waits for the leader's request, whose assignments are synced to the disk before any
//! member gets its own.

use brooklet_machines::group::{SyncGroup, Waiter};
use brooklet_protocol::messages::kafka::{SyncGroupRequest, SyncGroupResponse};

use super::call::Call;
use super::context::ApiContext;
use super::groups::{failed, identity, owned, refused, text};

pub(super) async fn handle(
    ctx: &ApiContext,
    Call { request, .. }: Call<SyncGroupRequest>,
) -> SyncGroupResponse {
    let group = request.group_id.as_str().to_owned();
    let assignments = request.assignments.into_iter();
    let sync = SyncGroup {
        group: group.clone(),
        waiter: Waiter::default(),
        identity: identity(
            &request.member_id,
            request.group_instance_id.as_ref(),
            request.generation_id,
        ),
        protocol_type: owned(request.protocol_type.as_ref()),
        protocol: owned(request.protocol_name.as_ref()),
        assignments: assignments
            .map(|part| (part.member_id.as_str().to_owned(), part.assignment))
            .collect(),
    };
    let refuse = |code| SyncGroupResponse::default().with_error_code(code);
    match ctx.groups.sync(sync).await {
        Ok(Ok(synced)) => SyncGroupResponse::default()
            .with_protocol_type(synced.protocol_type.as_deref().map(text))
            .with_protocol_name(synced.protocol.as_deref().map(text))
            .with_assignment(synced.assignment),
        Ok(Err(error)) => refuse(refused(ctx, &error)),
        Err(error) => refuse(failed(&group, &error)),
    }
}
