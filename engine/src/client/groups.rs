//! Looking at consumer groups, and moving their offsets.
//!
//! What concerns one group is asked of its coordinator, which any broker names; a list of all groups is
//! put together from every broker's.
//!
//! Left out: taking part in a group.

use std::collections::BTreeMap;

use brooklet_protocol::messages::kafka::describe_groups_response::DescribedGroupMember;
use brooklet_protocol::messages::kafka::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use brooklet_protocol::messages::kafka::{
    DeleteGroupsRequest, DescribeGroupsRequest, FindCoordinatorRequest, GroupId, ListGroupsRequest,
    OffsetCommitRequest, OffsetFetchRequest,
};
use brooklet_protocol::messages::{ErrorCode, RequestKind, ResponseKind, StrBytes};
use brooklet_protocol::{BrokerId, Offset, PartitionId, TopicName, TopicPartition};
use bytes::{Buf, Bytes};

use super::{Client, ClientError, backoff, wire_name};
use crate::transport::Node;

const FIND_COORDINATOR_VERSION: i16 = 3;
const LIST_GROUPS_VERSION: i16 = 4;
/// The last version that answers a missing group as dead, and not with an error.
const DESCRIBE_GROUPS_VERSION: i16 = 5;
const DELETE_GROUPS_VERSION: i16 = 2;
/// The last version that asks for one group.
const OFFSET_FETCH_VERSION: i16 = 7;
const OFFSET_COMMIT_VERSION: i16 = 8;

/// A group in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupListing {
    /// Its id.
    pub id: String,
    /// Empty, PreparingRebalance, CompletingRebalance, Stable, as Kafka calls it; empty if the broker does not say.
    pub state: String,
    /// "consumer", "connect"; empty if it only has offsets.
    pub protocol_type: String,
}

/// A group in detail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupDescription {
    /// Its id.
    pub id: String,
    /// As in [`GroupListing`].
    pub state: String,
    /// As in [`GroupListing`].
    pub protocol_type: String,
    /// The assignor.
    pub protocol: String,
    /// Its members.
    pub members: Vec<GroupMember>,
}

/// A member of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMember {
    /// Given by the coordinator.
    pub id: String,
    /// Given by its owner, if it is static.
    pub instance_id: Option<String>,
    /// As the client calls itself.
    pub client_id: String,
    /// Where it connects from.
    pub host: String,
    /// What it reads; empty while the group rebalances, and if it is no consumer.
    pub partitions: Vec<TopicPartition>,
}

impl Client {
    /// All groups of all brokers, by their ids.
    ///
    /// # Errors
    /// No answer.
    pub async fn list_groups(&self) -> Result<Vec<GroupListing>, ClientError> {
        let brokers = self.metadata(Some(&[])).await?.brokers;
        let mut groups = Vec::new();
        for (broker, _) in brokers {
            let node = Node::Id(BrokerId(broker));
            let body = ListGroupsRequest::default().into();
            match self.ask_again(node, LIST_GROUPS_VERSION, body).await? {
                ResponseKind::ListGroups(answer) => {
                    check("list groups", answer.error_code)?;
                    groups.extend(answer.groups.into_iter().map(|group| GroupListing {
                        id: group.group_id.to_string(),
                        state: group.group_state.to_string(),
                        protocol_type: group.protocol_type.to_string(),
                    }));
                }
                other => return Err(ClientError::unexpected("ListGroups", &other)),
            }
        }
        groups.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(groups)
    }

    /// A group with its members.
    ///
    /// # Errors
    /// `UnknownGroup`, no answer.
    pub async fn describe_group(&self, id: &str) -> Result<GroupDescription, ClientError> {
        let what = format!("describe group '{id}'");
        let body = DescribeGroupsRequest::default().with_groups(vec![group_id(id)]);
        let answer = self
            .ask_coordinator(id, DESCRIBE_GROUPS_VERSION, body.into())
            .await?;
        let ResponseKind::DescribeGroups(answer) = answer else {
            return Err(ClientError::unexpected("DescribeGroups", &answer));
        };
        let group = answer.groups.into_iter().next();
        let group =
            group.ok_or_else(|| ClientError::Unexpected("no group in the answer".into()))?;
        if group.error_code == ErrorCode::GroupIdNotFound.code() || &*group.group_state == "Dead" {
            return Err(ClientError::UnknownGroup(id.to_owned()));
        }
        check(&what, group.error_code)?;
        Ok(GroupDescription {
            id: id.to_owned(),
            state: group.group_state.to_string(),
            protocol_type: group.protocol_type.to_string(),
            protocol: group.protocol_data.to_string(),
            members: group.members.iter().map(member).collect(),
        })
    }

    /// How far a group has read; nothing of one that there is not.
    ///
    /// # Errors
    /// No answer.
    pub async fn committed_offsets(
        &self,
        id: &str,
    ) -> Result<BTreeMap<TopicPartition, Offset>, ClientError> {
        let body = OffsetFetchRequest::default()
            .with_group_id(group_id(id))
            .with_topics(None);
        let answer = self
            .ask_coordinator(id, OFFSET_FETCH_VERSION, body.into())
            .await?;
        let ResponseKind::OffsetFetch(answer) = answer else {
            return Err(ClientError::unexpected("OffsetFetch", &answer));
        };
        let what = format!("look up the offsets of group '{id}'");
        check(&what, answer.error_code)?;
        let mut found = BTreeMap::new();
        for topic in answer.topics {
            let name = TopicName::new(&topic.name)
                .map_err(|error| ClientError::Unexpected(error.to_string()))?;
            for partition in topic.partitions {
                check(&what, partition.error_code)?;
                let place =
                    TopicPartition::new(name.clone(), PartitionId(partition.partition_index));
                found.insert(place, Offset(partition.committed_offset));
            }
        }
        Ok(found)
    }

    /// Moves a group that has no members to these offsets.
    ///
    /// # Errors
    /// `Broker` with `UnknownMemberId` if it has members; no answer.
    pub async fn commit_offsets(
        &self,
        id: &str,
        offsets: &BTreeMap<TopicPartition, Offset>,
    ) -> Result<(), ClientError> {
        let mut topics: BTreeMap<&TopicName, Vec<OffsetCommitRequestPartition>> = BTreeMap::new();
        for (place, offset) in offsets {
            let partition = OffsetCommitRequestPartition::default()
                .with_partition_index(place.partition.0)
                .with_committed_offset(offset.0)
                .with_committed_leader_epoch(-1)
                .with_committed_metadata(Some(StrBytes::default()));
            topics.entry(&place.topic).or_default().push(partition);
        }
        let topics = topics.into_iter().map(|(name, partitions)| {
            OffsetCommitRequestTopic::default()
                .with_name(wire_name(name))
                .with_partitions(partitions)
        });
        let body = OffsetCommitRequest::default()
            .with_group_id(group_id(id))
            .with_generation_id_or_member_epoch(-1)
            .with_topics(topics.collect());
        let answer = self
            .ask_coordinator(id, OFFSET_COMMIT_VERSION, body.into())
            .await?;
        let ResponseKind::OffsetCommit(answer) = answer else {
            return Err(ClientError::unexpected("OffsetCommit", &answer));
        };
        let mut partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
        let what = format!("move group '{id}'");
        partitions.try_for_each(|partition| check(&what, partition.error_code))
    }

    /// Deletes a group that has no members, with its offsets.
    ///
    /// # Errors
    /// `UnknownGroup`; `Broker` with `NonEmptyGroup`; no answer.
    pub async fn delete_group(&self, id: &str) -> Result<(), ClientError> {
        let body = DeleteGroupsRequest::default().with_groups_names(vec![group_id(id)]);
        let answer = self
            .ask_coordinator(id, DELETE_GROUPS_VERSION, body.into())
            .await?;
        let ResponseKind::DeleteGroups(answer) = answer else {
            return Err(ClientError::unexpected("DeleteGroups", &answer));
        };
        match answer.results.first().map(|result| result.error_code) {
            Some(code) if code == ErrorCode::GroupIdNotFound.code() => {
                Err(ClientError::UnknownGroup(id.to_owned()))
            }
            Some(code) => check(&format!("delete group '{id}'"), code),
            None => Err(ClientError::Unexpected("no group in the answer".into())),
        }
    }

    async fn ask_coordinator(
        &self,
        group: &str,
        version: i16,
        body: RequestKind,
    ) -> Result<ResponseKind, ClientError> {
        let node = self.coordinator(group).await?;
        self.ask_again(node, version, body).await
    }

    /// The broker that runs a group; asked until there is one.
    async fn coordinator(&self, group: &str) -> Result<Node, ClientError> {
        let mut failures = 0;
        loop {
            let error = match self.find_coordinator(group).await {
                Ok(node) => return Ok(node),
                Err(error) => error,
            };
            failures += 1;
            if !error.is_retriable() || failures >= backoff::ATTEMPTS_MAX {
                return Err(error);
            }
            tokio::time::sleep(backoff::after(failures)).await;
        }
    }

    async fn find_coordinator(&self, group: &str) -> Result<Node, ClientError> {
        let body = FindCoordinatorRequest::default()
            .with_key(StrBytes::from_string(group.to_owned()))
            .into();
        match self
            .ask_again(Node::Any, FIND_COORDINATOR_VERSION, body)
            .await?
        {
            ResponseKind::FindCoordinator(answer) => {
                let what = format!("find the coordinator of group '{group}'");
                check(&what, answer.error_code)?;
                Ok(Node::Id(BrokerId(answer.node_id.0)))
            }
            other => Err(ClientError::unexpected("FindCoordinator", &other)),
        }
    }
}

fn group_id(id: &str) -> GroupId {
    GroupId(StrBytes::from_string(id.to_owned()))
}

fn check(what: &str, code: i16) -> Result<(), ClientError> {
    match ErrorCode::try_from_code(code) {
        None => Ok(()),
        Some(code) => Err(ClientError::broker(what, code, None)),
    }
}

fn member(member: &DescribedGroupMember) -> GroupMember {
    GroupMember {
        id: member.member_id.to_string(),
        instance_id: member.group_instance_id.as_ref().map(ToString::to_string),
        client_id: member.client_id.to_string(),
        host: member.client_host.to_string(),
        partitions: assigned(&member.member_assignment).unwrap_or_default(),
    }
}

/// What an assignment of consumers says, of which only the begin is looked at:
///
/// ```text
///  version i16 | number of topics i32 | (topic string | number of partitions i32 | partition i32 …) …
/// ```
fn assigned(assignment: &Bytes) -> Option<Vec<TopicPartition>> {
    let mut rest = assignment.clone();
    rest.try_get_i16().ok()?;
    let mut partitions = Vec::new();
    for _ in 0..rest.try_get_i32().ok()? {
        let length = usize::try_from(rest.try_get_i16().ok()?).ok()?;
        let name = (length <= rest.len()).then(|| rest.split_to(length))?;
        let topic = TopicName::new(str::from_utf8(&name).ok()?).ok()?;
        for _ in 0..rest.try_get_i32().ok()? {
            let partition = PartitionId(rest.try_get_i32().ok()?);
            partitions.push(TopicPartition::new(topic.clone(), partition));
        }
    }
    Some(partitions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assignment_is_read_and_anything_else_is_none() {
        let bytes = b"\0\x01\0\0\0\x01\0\x01t\0\0\0\x02\0\0\0\x03\0\0\0\x05\xff\xff\xff\xff";
        let found = assigned(&Bytes::from_static(bytes)).unwrap();
        let found: Vec<_> = found.iter().map(ToString::to_string).collect();
        assert_eq!(found, ["t-3", "t-5"]);
        for cut in 0..bytes.len() - 4 {
            assert_eq!(
                assigned(&Bytes::copy_from_slice(&bytes[..cut])),
                None,
                "{cut}"
            );
        }
        assert_eq!(
            assigned(&Bytes::from_static(b"\0\0\0\0\0\x01\xff\xff")),
            None
        );
    }
}
