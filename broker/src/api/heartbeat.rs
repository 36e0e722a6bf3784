//! Heartbeat (12), versions 0 to 4: keeps a member in its group, and says when it has to rejoin.

use brooklet_machines::group::Heartbeat;
use brooklet_protocol::messages::kafka::{HeartbeatRequest, HeartbeatResponse};

use super::call::Call;
use super::context::ApiContext;
use super::groups::{code_of, failed, identity};

pub(super) async fn handle(
    ctx: &ApiContext,
    Call { request, .. }: Call<HeartbeatRequest>,
) -> HeartbeatResponse {
    let group = request.group_id.as_str();
    let heartbeat = Heartbeat {
        group: group.to_owned(),
        identity: identity(
            &request.member_id,
            request.group_instance_id.as_ref(),
            request.generation_id,
        ),
    };
    let code = match ctx.groups.ask(group, heartbeat).await {
        Ok(outcome) => code_of(ctx, outcome),
        Err(error) => failed(group, &error),
    };
    HeartbeatResponse::default().with_error_code(code)
}
