//! Listing, describing and deleting consumer groups.
//!
//! What concerns one group is asked of its coordinator, which any broker names; a list of all
//! groups is put together from every broker's. Their offsets ([`super::committed`]) and taking part
//! in one ([`super::group`]) are modules of their own.

use brooklet_protocol::messages::kafka::describe_groups_response::DescribedGroupMember;
use brooklet_protocol::messages::kafka::{
    DeleteGroupsRequest, DeleteGroupsResponse, DescribeGroupsRequest, DescribeGroupsResponse,
    GroupId, ListGroupsRequest,
};
use brooklet_protocol::messages::{ErrorCode, RequestKind, ResponseKind};
use brooklet_protocol::{BrokerId, TopicPartition};

use super::backoff::Attempts;
use super::calls::{Call, take_into};
use super::coordinators::{Kind, check, text};
use super::group::protocol::decode_assignment;
use super::{Client, ClientError};
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
    pub(super) async fn call_coordinator<R: Call, T: Send>(
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

pub(super) fn group_id(id: &str) -> GroupId {
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
    use brooklet_protocol::messages::{Request, Response, StrBytes};
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
