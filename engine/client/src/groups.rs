//! Describing consumer groups, and moving their offsets.
//!
//! What concerns one group is asked of its coordinator, which any broker names; a list of all
//! groups is put together from every broker's. Taking part in one is a module of its own
//! ([`super::group`]).

use std::collections::BTreeMap;

use brooklet_protocol::messages::kafka::describe_groups_response::DescribedGroupMember;
use brooklet_protocol::messages::kafka::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use brooklet_protocol::messages::kafka::offset_fetch_request::OffsetFetchRequestTopic;
use brooklet_protocol::messages::kafka::{
    DeleteGroupsRequest, DeleteGroupsResponse, DescribeGroupsRequest, DescribeGroupsResponse,
    GroupId, ListGroupsRequest, OffsetCommitRequest, OffsetCommitResponse, OffsetFetchRequest,
    OffsetFetchResponse,
};
use brooklet_protocol::messages::{ErrorCode, RequestKind, ResponseKind, StrBytes};
use brooklet_protocol::{BrokerId, Offset, PartitionId, TopicName, TopicPartition};

use super::backoff::Attempts;
use super::calls::{Call, take_into};
use super::coordinators::{Kind, check, text};
use super::group::membership::Identity;
use super::group::protocol::{Partitions, decode_assignment};
use super::{Client, ClientError, wire_name};
use crate::transport::{BoxFuture, Node};

/// A group in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupListing {
    /// Its id.
    pub id: String,
    /// Empty, PreparingRebalance, CompletingRebalance, Stable, as Kafka calls it; empty if the
    /// broker does not say.
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
    /// Its id, from the coordinator.
    pub id: String,
    /// Its `group.instance.id`, if it is a static member.
    pub instance_id: Option<String>,
    /// Its `client.id`.
    pub client_id: String,
    /// The address that it connects from.
    pub host: String,
    /// What it reads; empty while the group rebalances, and if it is no consumer.
    pub partitions: Vec<TopicPartition>,
}

impl Client {
    /// All groups of all brokers, by their ids.
    ///
    /// # Errors
    /// No answer.
    pub fn list_groups(&self) -> BoxFuture<'_, Result<Vec<GroupListing>, ClientError>> {
        Box::pin(async move {
            let brokers = self.metadata(Some(&[])).await?.brokers;
            let mut groups = Vec::new();
            for (broker, _) in brokers {
                let node = Node::Id(BrokerId(broker));
                let body = ListGroupsRequest::default();
                let answer = self.call_again(node, body).await?;
                check("list groups", answer.error_code)?;
                groups.extend(answer.groups.into_iter().map(|group| GroupListing {
                    id: group.group_id.to_string(),
                    state: group.group_state.to_string(),
                    protocol_type: group.protocol_type.to_string(),
                }));
            }
            groups.sort_by(|a, b| a.id.cmp(&b.id));
            Ok(groups)
        })
    }

    /// A group with its members.
    ///
    /// # Errors
    /// `UnknownGroup`, no answer.
    pub fn describe_group<'a>(
        &'a self,
        id: &'a str,
    ) -> BoxFuture<'a, Result<GroupDescription, ClientError>> {
        Box::pin(async move {
            let body = DescribeGroupsRequest::default().with_groups(vec![group_id(id)]);
            self.call_coordinator(id, body, |answer| read_description(id, answer))
                .await
        })
    }

    /// The offsets that a group has committed; empty for a group that does not exist.
    ///
    /// # Errors
    /// No answer.
    pub fn committed_offsets<'a>(
        &'a self,
        id: &'a str,
    ) -> BoxFuture<'a, Result<BTreeMap<TopicPartition, Offset>, ClientError>> {
        Box::pin(async move { self.fetch_offsets(id, false).await })
    }

    /// The same, once no transaction is open or ending that will say otherwise (`require_stable`,
    /// KIP-447). Waits for that for a few seconds.
    ///
    /// # Errors
    /// `Broker` with `UnstableOffsetCommit` if one is open for longer; no answer.
    pub fn stable_offsets<'a>(
        &'a self,
        id: &'a str,
    ) -> BoxFuture<'a, Result<BTreeMap<TopicPartition, Offset>, ClientError>> {
        Box::pin(async move { self.fetch_offsets(id, true).await })
    }

    async fn fetch_offsets(
        &self,
        id: &str,
        is_stable: bool,
    ) -> Result<BTreeMap<TopicPartition, Offset>, ClientError> {
        let body = fetch_request(id, None, is_stable);
        self.call_coordinator(id, body, |answer| read_offsets(id, answer))
            .await
    }

    /// Moves a group that has no members to these offsets.
    ///
    /// # Errors
    /// `Broker` with `UnknownMemberId` if it has members; no answer.
    pub fn commit_offsets<'a>(
        &'a self,
        id: &'a str,
        offsets: &'a BTreeMap<TopicPartition, Offset>,
    ) -> BoxFuture<'a, Result<(), ClientError>> {
        Box::pin(async move {
            let body = commit_request(id, None, offsets);
            self.call_coordinator(id, body, |answer| read_commit(id, &answer))
                .await
        })
    }

    /// Deletes a group that has no members, with its offsets.
    ///
    /// # Errors
    /// `UnknownGroup`; `Broker` with `NonEmptyGroup`; no answer.
    pub fn delete_group<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<(), ClientError>> {
        Box::pin(async move {
            let body = DeleteGroupsRequest::default().with_groups_names(vec![group_id(id)]);
            self.call_coordinator(id, body, |answer| read_deletion(id, &answer))
                .await
        })
    }

    /// Asks a group's coordinator, and again after an error that is retriable: the group has moved,
    /// or its coordinator still loads it.
    async fn call_coordinator<R: Call, T: Send>(
        &self,
        group: &str,
        request: R,
        read: impl FnMut(R::Response) -> Result<T, ClientError> + Send,
    ) -> Result<T, ClientError> {
        let (version, mut found) = (request.version(), None);
        let mut take = take_into::<R, T>(&mut found, read);
        self.ask_coordinator(group, (version, request.into_kind()), &mut take)
            .await?;
        drop(take);
        Ok(found.expect("an accepted answer was taken"))
    }

    async fn ask_coordinator(
        &self,
        group: &str,
        (version, body): (i16, RequestKind),
        take: &mut (dyn FnMut(ResponseKind) -> Result<(), ClientError> + Send),
    ) -> Result<(), ClientError> {
        let mut attempts = Attempts::default();
        loop {
            let node = self.coordinator(group).await?;
            let answer = self.ask_again(node, version, body.clone()).await?;
            match take(answer) {
                Ok(()) => return Ok(()),
                Err(error) => attempts.pause(self, error).await?,
            }
        }
    }

    /// The broker that runs a group; asked until there is one.
    pub(super) async fn coordinator(&self, group: &str) -> Result<Node, ClientError> {
        let mut attempts = Attempts::default();
        loop {
            match self.find_coordinator(Kind::Group, group).await {
                Ok(node) => return Ok(node),
                Err(error) => attempts.pause(self, error).await?,
            }
        }
    }
}

/// Commits in the name of a member, or of nobody for a group that has none.
pub(super) fn commit_request(
    id: &str,
    member: Option<&Identity>,
    offsets: &BTreeMap<TopicPartition, Offset>,
) -> OffsetCommitRequest {
    let mut topics: BTreeMap<&TopicName, Vec<OffsetCommitRequestPartition>> = BTreeMap::new();
    for (tp, offset) in offsets {
        let partition = OffsetCommitRequestPartition::default()
            .with_partition_index(tp.partition.0)
            .with_committed_offset(offset.0)
            .with_committed_leader_epoch(-1)
            .with_committed_metadata(Some(StrBytes::default()));
        topics.entry(&tp.topic).or_default().push(partition);
    }
    let topics = topics.into_iter().map(|(name, partitions)| {
        OffsetCommitRequestTopic::default()
            .with_name(wire_name(name))
            .with_partitions(partitions)
    });
    let body = OffsetCommitRequest::default()
        .with_group_id(group_id(id))
        .with_generation_id_or_member_epoch(member.map_or(-1, |member| member.generation))
        .with_topics(topics.collect());
    match member {
        Some(member) => body
            .with_member_id(text(&member.member_id))
            .with_group_instance_id(member.instance_id.as_deref().map(text)),
        None => body,
    }
}

/// The first partition's error is that of all.
pub(super) fn read_commit(id: &str, answer: &OffsetCommitResponse) -> Result<(), ClientError> {
    let mut partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
    let what = format!("commit offsets of group '{id}'");
    partitions.try_for_each(|partition| check(&what, partition.error_code))
}

/// Asks for the offsets of these partitions, or of all; `is_stable`: not while a transaction may
/// still move them.
pub(super) fn fetch_request(
    id: &str,
    partitions: Option<&Partitions>,
    is_stable: bool,
) -> OffsetFetchRequest {
    let topics = partitions.map(|partitions| {
        let mut topics: BTreeMap<&TopicName, Vec<i32>> = BTreeMap::new();
        for tp in partitions {
            let partitions = topics.entry(&tp.topic).or_default();
            partitions.push(tp.partition.0);
        }
        let topic = |(name, partitions)| {
            OffsetFetchRequestTopic::default()
                .with_name(wire_name(name))
                .with_partition_indexes(partitions)
        };
        topics.into_iter().map(topic).collect()
    });
    OffsetFetchRequest::default()
        .with_group_id(group_id(id))
        .with_topics(topics)
        .with_require_stable(is_stable)
}

/// The offsets that there are.
pub(super) fn read_offsets(
    id: &str,
    answer: OffsetFetchResponse,
) -> Result<BTreeMap<TopicPartition, Offset>, ClientError> {
    let what = format!("look up the offsets of group '{id}'");
    check(&what, answer.error_code)?;
    let mut found = BTreeMap::new();
    for topic in answer.topics {
        let name = TopicName::new(&topic.name)
            .map_err(|error| ClientError::Unexpected(error.to_string()))?;
        for partition in topic.partitions {
            check(&what, partition.error_code)?;
            let tp = TopicPartition::new(name.clone(), PartitionId(partition.partition_index));
            // -1 stands for none.
            if partition.committed_offset >= 0 {
                found.insert(tp, Offset(partition.committed_offset));
            }
        }
    }
    Ok(found)
}

fn read_description(
    id: &str,
    answer: DescribeGroupsResponse,
) -> Result<GroupDescription, ClientError> {
    let group = answer.groups.into_iter().next().ok_or_else(no_group)?;
    if group.error_code == ErrorCode::GroupIdNotFound.code() || &*group.group_state == "Dead" {
        return Err(ClientError::UnknownGroup(id.to_owned()));
    }
    check(&format!("describe group '{id}'"), group.error_code)?;
    Ok(GroupDescription {
        id: id.to_owned(),
        state: group.group_state.to_string(),
        protocol_type: group.protocol_type.to_string(),
        protocol: group.protocol_data.to_string(),
        members: group.members.iter().map(member).collect(),
    })
}

fn read_deletion(id: &str, answer: &DeleteGroupsResponse) -> Result<(), ClientError> {
    match answer.results.first().ok_or_else(no_group)?.error_code {
        code if code == ErrorCode::GroupIdNotFound.code() => {
            Err(ClientError::UnknownGroup(id.to_owned()))
        }
        code => check(&format!("delete group '{id}'"), code),
    }
}

fn no_group() -> ClientError {
    ClientError::Unexpected("no group in the response".into())
}

fn group_id(id: &str) -> GroupId {
    GroupId(text(id))
}

fn member(member: &DescribedGroupMember) -> GroupMember {
    let assigned = decode_assignment(member.member_assignment.clone());
    GroupMember {
        id: member.member_id.to_string(),
        instance_id: member.group_instance_id.as_ref().map(ToString::to_string),
        client_id: member.client_id.to_string(),
        host: member.client_host.to_string(),
        partitions: assigned.unwrap_or_default().into_iter().collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use brooklet_protocol::messages::kafka::FindCoordinatorResponse;
    use brooklet_protocol::messages::kafka::describe_groups_response::DescribedGroup;
    use brooklet_protocol::messages::{Request, Response};
    use parking_lot::Mutex;

    use super::*;
    use crate::testing::PausedClock;
    use crate::transport::{BoxFuture, Transport, TransportError};

    /// A broker that answers as many times with each error, and then that the group is empty.
    #[derive(Debug)]
    struct Starting(Mutex<Vec<ErrorCode>>);

    impl Transport for Starting {
        fn call(
            &self,
            _: Node,
            request: Request,
        ) -> BoxFuture<'_, Result<Response, TransportError>> {
            let answer = match request.body {
                RequestKind::FindCoordinator(_) => FindCoordinatorResponse::default().into(),
                RequestKind::DescribeGroups(_) => {
                    let error = self.0.lock().pop();
                    let group = DescribedGroup::default()
                        .with_error_code(error.map_or(0, |error| error.code()))
                        .with_group_state(StrBytes::from_static_str("Empty"));
                    DescribeGroupsResponse::default()
                        .with_groups(vec![group])
                        .into()
                }
                other => panic!("not played: {other:?}"),
            };
            Box::pin(std::future::ready(Ok(answer)))
        }

        fn learn(&self, _: &[(BrokerId, String)]) {}
    }

    /// What a client learns after these errors, the last first, and how many are left.
    async fn described_after(errors: Vec<ErrorCode>) -> (Result<String, ErrorCode>, usize) {
        let broker = Arc::new(Starting(Mutex::new(errors)));
        let client = Client::with_clock(broker.clone(), PausedClock::new());
        let found = client.describe_group("g").await;
        let found = found.map(|group| group.state).map_err(|error| match error {
            ClientError::Broker { code, .. } => code,
            other => panic!("{other}"),
        });
        let left = broker.0.lock().len();
        (found, left)
    }

    #[tokio::test(start_paused = true)]
    async fn a_coordinator_that_is_not_ready_is_asked_again() {
        use ErrorCode::{CoordinatorLoadInProgress, InvalidGroupId, NotCoordinator};
        let starting = vec![NotCoordinator, CoordinatorLoadInProgress, NotCoordinator];
        assert_eq!(described_after(starting).await, (Ok("Empty".into()), 0));
        let attempts = crate::backoff::ATTEMPTS_MAX as usize;
        let never = vec![NotCoordinator; attempts + 1];
        assert_eq!(described_after(never).await, (Err(NotCoordinator), 1));
        let wrong = vec![NotCoordinator, InvalidGroupId];
        assert_eq!(described_after(wrong).await, (Err(InvalidGroupId), 1));
    }
}
