//! DescribeGroups (15), versions 0 to 6: groups with their members.
//!
//! A group that does not exist is "Dead" without an error; from version 6 on also
//! GROUP_ID_NOT_FOUND (KIP-1043).

use brooklet_machines::group;
use brooklet_protocol::messages::ErrorCode;
use brooklet_protocol::messages::kafka::describe_groups_response::{
    DescribedGroup, DescribedGroupMember,
};
use brooklet_protocol::messages::kafka::{DescribeGroupsRequest, DescribeGroupsResponse, GroupId};

use super::call::Call;
use super::context::ApiContext;
use super::groups::{failed, text};

const NOT_FOUND: i16 = 6;
const DEAD: &str = "Dead";

pub(super) async fn handle(
    ctx: &ApiContext,
    Call {
        version, request, ..
    }: Call<DescribeGroupsRequest>,
) -> DescribeGroupsResponse {
    let mut groups = Vec::with_capacity(request.groups.len());
    for id in request.groups {
        groups.push(describe(ctx, version, id).await);
    }
    DescribeGroupsResponse::default().with_groups(groups)
}

async fn describe(ctx: &ApiContext, version: i16, id: GroupId) -> DescribedGroup {
    let looked = ctx
        .groups
        .look(id.as_str(), |groups| groups.describe(id.as_str()))
        .await;
    let dead = || DescribedGroup::default().with_group_state(text(DEAD));
    let described = match looked {
        Ok(Some(group)) => to_response(group),
        Ok(None) if version >= NOT_FOUND => dead()
            .with_error_code(ErrorCode::GroupIdNotFound.code())
            .with_error_message(Some(text(&format!("Group {} not found.", id.as_str())))),
        Ok(None) => dead(),
        Err(error) => DescribedGroup::default().with_error_code(failed(id.as_str(), &error)),
    };
    described.with_group_id(id)
}

fn to_response(group: group::DescribedGroup) -> DescribedGroup {
    let members = group.members.into_iter().map(|member| {
        DescribedGroupMember::default()
            .with_member_id(text(&member.id))
            .with_group_instance_id(member.instance_id.as_deref().map(text))
            .with_client_id(text(&member.client_id))
            .with_client_host(text(&member.client_host))
            .with_member_metadata(member.subscription)
            .with_member_assignment(member.assignment)
    });
    DescribedGroup::default()
        .with_group_state(text(group.state.name()))
        .with_protocol_type(text(&group.protocol_type))
        .with_protocol_data(text(&group.protocol))
        .with_members(members.collect())
}
