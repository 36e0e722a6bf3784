//! Groups, as tools and DescribeGroups show them.

use bytes::Bytes;

use super::classic::{Group, GroupState};

/// A group in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedGroup {
    /// Its id.
    pub id: String,
    /// The kind of the group: "consumer", "connect"; empty if no member has joined yet.
    pub protocol_type: String,
    /// Its state.
    pub state: GroupState,
    /// How many members it has.
    pub member_count: usize,
}

/// A group in detail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedGroup {
    /// Its state.
    pub state: GroupState,
    /// The kind of the group: "consumer", "connect"; empty if no member has joined yet.
    pub protocol_type: String,
    /// How many rebalances there were.
    pub generation: i32,
    /// The assignor, once one is chosen.
    pub protocol: String,
    /// Its members.
    pub members: Vec<DescribedMember>,
}

/// A member in detail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedMember {
    /// Its id.
    pub id: String,
    /// The name that its owner gave it, if it is static.
    pub instance_id: Option<String>,
    /// The name that the client gives itself.
    pub client_id: String,
    /// The host that it connects from.
    pub client_host: String,
    /// What it sent to the assignor; empty while the group rebalances.
    pub subscription: Bytes,
    /// Its assignment; empty while the group rebalances.
    pub assignment: Bytes,
}

impl ListedGroup {
    pub(super) fn of(id: &str, group: &Group) -> Self {
        Self {
            id: id.to_owned(),
            protocol_type: group.protocol_type.clone().unwrap_or_default(),
            state: group.state,
            member_count: group.members.len(),
        }
    }
}

impl DescribedGroup {
    pub(super) fn of(group: &Group) -> Self {
        let is_stable = group.state == GroupState::Stable;
        let protocol = group.protocol.clone().filter(|_| is_stable);
        let members = group.members.values().map(|member| DescribedMember {
            id: member.id.clone(),
            instance_id: member.instance_id.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            subscription: member.subscription(protocol.as_deref()),
            assignment: if is_stable {
                member.assignment.clone()
            } else {
                Bytes::new()
            },
        });
        Self {
            state: group.state,
            protocol_type: group.protocol_type.clone().unwrap_or_default(),
            generation: group.generation,
            members: members.collect(),
            protocol: protocol.unwrap_or_default(),
        }
    }
}
