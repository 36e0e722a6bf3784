//! JoinGroup (11), versions 0 to 9: joins a group, or rejoins it.
//!
//! - The response waits until all members have joined, or until the rebalance timeout.
//! - From version 4 on a client without a member id is assigned one, and has to join again with it
//!   (KIP-394); a static member (from version 5 on, KIP-345) is admitted at once.
//! - In version 9 a leader that rejoins may be asked to skip the assignment (KIP-814).

use std::time::Duration;

use brooklet_machines::group::{GroupError, JoinGroup, Joined, Waiter};
use brooklet_protocol::messages::StrBytes;
use brooklet_protocol::messages::kafka::join_group_response::JoinGroupResponseMember;
use brooklet_protocol::messages::kafka::{JoinGroupRequest, JoinGroupResponse};

use super::call::Call;
use super::context::ApiContext;
use super::groups::{client_host, failed, owned, refused, text};

/// From this version on a rebalance has its own timeout.
const REBALANCE_TIMEOUT: i16 = 1;
const MEMBER_ID_REQUIRED: i16 = 4;
/// From this version on the name of the protocol may be null.
const NULLABLE_PROTOCOL: i16 = 7;
const SKIP_ASSIGNMENT: i16 = 9;

pub(super) async fn handle(
    ctx: &ApiContext,
    Call {
        version,
        client_id,
        request,
        ..
    }: Call<JoinGroupRequest>,
) -> JoinGroupResponse {
    let group = request.group_id.as_str().to_owned();
    let given = request.member_id.clone();
    let join = to_join(ctx, version, client_id.as_ref(), request);
    let refuse = |code, member_id| {
        JoinGroupResponse::default()
            .with_error_code(code)
            .with_generation_id(-1)
            .with_protocol_name((version < NULLABLE_PROTOCOL).then(StrBytes::default))
            .with_member_id(member_id)
    };
    match ctx.groups.join(join).await {
        Ok(Ok(joined)) => to_response(version, joined),
        Ok(Err(error)) => {
            let member_id = match &error {
                GroupError::MemberIdRequired(id) => text(id),
                _ => given,
            };
            refuse(refused(ctx, &error), member_id)
        }
        Err(error) => refuse(failed(&group, &error), given),
    }
}

fn to_join(
    ctx: &ApiContext,
    version: i16,
    client_id: Option<&StrBytes>,
    request: JoinGroupRequest,
) -> JoinGroup {
    let millis = |ms: i32| Duration::from_millis(u64::try_from(ms).unwrap_or(0));
    let client_id = client_id.map_or("", StrBytes::as_str);
    let instance_id = owned(request.group_instance_id.as_ref());
    let session_timeout = millis(request.session_timeout_ms);
    let protocols = request.protocols.into_iter();
    JoinGroup {
        group: request.group_id.as_str().to_owned(),
        waiter: Waiter::default(),
        member_id: request.member_id.as_str().to_owned(),
        new_member_id: (ctx.groups).new_member_id(instance_id.as_deref().unwrap_or(client_id)),
        instance_id,
        client_id: client_id.to_owned(),
        client_host: client_host(ctx),
        protocol_type: request.protocol_type.as_str().to_owned(),
        protocols: protocols
            .map(|protocol| (protocol.name.as_str().to_owned(), protocol.metadata))
            .collect(),
        rebalance_timeout: if version >= REBALANCE_TIMEOUT {
            millis(request.rebalance_timeout_ms)
        } else {
            session_timeout
        },
        session_timeout,
        must_know_id: version >= MEMBER_ID_REQUIRED,
        may_skip_assignment: version >= SKIP_ASSIGNMENT,
    }
}

fn to_response(version: i16, joined: Joined) -> JoinGroupResponse {
    let protocol = joined.protocol.as_deref().map(text);
    let members = joined.members.into_iter().map(|member| {
        JoinGroupResponseMember::default()
            .with_member_id(text(&member.id))
            .with_group_instance_id(member.instance_id.as_deref().map(text))
            .with_metadata(member.subscription)
    });
    JoinGroupResponse::default()
        .with_generation_id(joined.generation)
        .with_protocol_type(joined.protocol_type.as_deref().map(text))
        .with_protocol_name(if version < NULLABLE_PROTOCOL {
            Some(protocol.unwrap_or_default())
        } else {
            protocol
        })
        .with_leader(text(&joined.leader))
        .with_skip_assignment(joined.skip_assignment && version >= SKIP_ASSIGNMENT)
        .with_member_id(text(&joined.member_id))
        .with_members(members.collect())
}
