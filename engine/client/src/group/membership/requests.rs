//! What a member says to the coordinator.

use std::time::Duration;

use brooklet_protocol::messages::StrBytes;
use brooklet_protocol::messages::kafka::join_group_request::JoinGroupRequestProtocol;
use brooklet_protocol::messages::kafka::join_group_response::JoinGroupResponseMember;
use brooklet_protocol::messages::kafka::leave_group_request::MemberIdentity;
use brooklet_protocol::messages::kafka::sync_group_request::SyncGroupRequestAssignment;
use brooklet_protocol::messages::kafka::{
    GroupId, HeartbeatRequest, JoinGroupRequest, LeaveGroupRequest, SyncGroupRequest,
};

use super::Membership;
use crate::group::assignor::{Assignments, Member};
use crate::group::protocol::{Subscription, encode_assignment};

/// What Kafka calls groups of consumers; others are groups of workers of Connect and the like.
const PROTOCOL_TYPE: StrBytes = StrBytes::from_static_str("consumer");

impl Membership {
    pub(super) fn join_request(&self) -> JoinGroupRequest {
        let protocol = |assignor: &crate::Assignor| {
            JoinGroupRequestProtocol::default()
                .with_name(StrBytes::from_static_str(assignor.name()))
                .with_metadata(self.subscription(*assignor).encode())
        };
        JoinGroupRequest::default()
            .with_group_id(self.group_id())
            .with_session_timeout_ms(millis(self.terms.session_timeout))
            .with_rebalance_timeout_ms(millis(self.terms.poll_interval_max))
            .with_member_id(text(&self.member_id))
            .with_group_instance_id(self.instance_id())
            .with_protocol_type(PROTOCOL_TYPE)
            .with_protocols(self.terms.assignors.iter().map(protocol).collect())
    }

    pub(super) fn sync_request(&self, assignments: &Assignments) -> SyncGroupRequest {
        let of_member = assignments.iter().map(|(id, assigned)| {
            SyncGroupRequestAssignment::default()
                .with_member_id(text(id))
                .with_assignment(encode_assignment(assigned))
        });
        let name = self
            .assignor
            .map(|assignor| StrBytes::from_static_str(assignor.name()));
        SyncGroupRequest::default()
            .with_group_id(self.group_id())
            .with_generation_id(self.generation)
            .with_member_id(text(&self.member_id))
            .with_group_instance_id(self.instance_id())
            .with_protocol_type(Some(PROTOCOL_TYPE))
            .with_protocol_name(name)
            .with_assignments(of_member.collect())
    }

    pub(super) fn heartbeat_request(&self) -> HeartbeatRequest {
        HeartbeatRequest::default()
            .with_group_id(self.group_id())
            .with_generation_id(self.generation)
            .with_member_id(text(&self.member_id))
            .with_group_instance_id(self.instance_id())
    }

    /// As from version 3 on, that is Kafka 2.4.
    pub(super) fn leave_request(&self) -> LeaveGroupRequest {
        let member = MemberIdentity::default()
            .with_member_id(text(&self.member_id))
            .with_group_instance_id(self.instance_id());
        LeaveGroupRequest::default()
            .with_group_id(self.group_id())
            .with_members(vec![member])
    }

    fn group_id(&self) -> GroupId {
        GroupId(text(&self.terms.group))
    }

    fn instance_id(&self) -> Option<StrBytes> {
        self.terms.instance_id.as_deref().map(text)
    }
}

/// A member in the leader's list; one whose subscription cannot be read gets nothing.
pub(super) fn member(member: JoinGroupResponseMember) -> Option<Member> {
    Some(Member {
        id: member.member_id.to_string(),
        instance_id: member.group_instance_id.map(|id| id.to_string()),
        subscription: Subscription::decode(member.metadata)?,
    })
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn millis(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}
