//! LeaveGroup (13), versions 0 to 5: removes members, and the group rebalances.
//!
//! From version 3 on a request removes several members, static ones by instance id alone (KIP-345).

use brooklet_machines::group::LeaveGroup;
use brooklet_protocol::messages::kafka::leave_group_response::MemberResponse;
use brooklet_protocol::messages::kafka::{LeaveGroupRequest, LeaveGroupResponse};

use super::call::Call;
use super::context::ApiContext;
use super::groups::{NONE, code_of, failed, owned};

const SEVERAL: i16 = 3;

pub(super) async fn handle(
    ctx: &ApiContext,
    Call {
        version, request, ..
    }: Call<LeaveGroupRequest>,
) -> LeaveGroupResponse {
    let group = request.group_id.as_str();
    let members = if version < SEVERAL {
        vec![(request.member_id.as_str().to_owned(), None)]
    } else {
        let members = request.members.iter();
        let named = members.map(|member| {
            let instance_id = owned(member.group_instance_id.as_ref());
            (member.member_id.as_str().to_owned(), instance_id)
        });
        named.collect()
    };
    let leave = LeaveGroup {
        group: group.to_owned(),
        members,
    };
    let left = match ctx.groups.ask(group, leave).await {
        Ok(left) => left,
        Err(error) => {
            return LeaveGroupResponse::default().with_error_code(failed(group, &error));
        }
    };
    let mut codes = left.into_iter().map(|outcome| code_of(ctx, outcome));
    if version < SEVERAL {
        let code = codes.next().unwrap_or(NONE);
        return LeaveGroupResponse::default().with_error_code(code);
    }
    let members = request
        .members
        .into_iter()
        .zip(codes)
        .map(|(member, code)| {
            MemberResponse::default()
                .with_member_id(member.member_id)
                .with_group_instance_id(member.group_instance_id)
                .with_error_code(code)
        });
    LeaveGroupResponse::default().with_members(members.collect())
}
