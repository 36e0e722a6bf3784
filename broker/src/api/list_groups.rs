//! ListGroups (16), versions 0 to 5: all groups, filtered by state (from version 4 on) and by type
//! (from version 5 on). All are of the type "classic".

use brooklet_machines::group;
use brooklet_protocol::messages::StrBytes;
use brooklet_protocol::messages::kafka::list_groups_response::ListedGroup;
use brooklet_protocol::messages::kafka::{ListGroupsRequest, ListGroupsResponse};

use super::call::Call;
use super::context::ApiContext;
use super::groups::{failed, text};

const CLASSIC: &str = "classic";

pub(super) async fn handle(
    ctx: &ApiContext,
    Call { request, .. }: Call<ListGroupsRequest>,
) -> ListGroupsResponse {
    let is_wanted = |filter: &[StrBytes], name: &str| {
        filter.is_empty()
            || filter
                .iter()
                .any(|wanted| wanted.eq_ignore_ascii_case(name))
    };
    let listed = ctx
        .groups
        .look_at_all(|groups| groups.list().collect::<Vec<_>>())
        .await;
    let listed = match listed {
        Ok(listed) => listed,
        Err(error) => {
            return ListGroupsResponse::default().with_error_code(failed("", &error));
        }
    };
    let all = listed.into_iter().flatten();
    let wanted = all.filter(|group| {
        is_wanted(&request.states_filter, group.state.name())
            && is_wanted(&request.types_filter, CLASSIC)
    });
    ListGroupsResponse::default().with_groups(wanted.map(|group| to_response(&group)).collect())
}

fn to_response(group: &group::ListedGroup) -> ListedGroup {
    ListedGroup::default()
        .with_group_id(text(&group.id).into())
        .with_protocol_type(text(&group.protocol_type))
        .with_group_state(text(group.state.name()))
        .with_group_type(text(CLASSIC))
}
