//! Groups through the one door, in every version of their APIs.

use brooklet_protocol::messages::kafka::MetadataRequest;
use brooklet_protocol::messages::kafka::join_group_request::JoinGroupRequestProtocol;
use brooklet_protocol::messages::kafka::leave_group_request::MemberIdentity;
use brooklet_protocol::messages::kafka::metadata_request::MetadataRequestTopic;
use brooklet_protocol::messages::kafka::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use brooklet_protocol::messages::kafka::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use brooklet_protocol::messages::kafka::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use brooklet_protocol::messages::kafka::sync_group_request::SyncGroupRequestAssignment;
use brooklet_protocol::messages::kafka::{
    DeleteGroupsRequest, DeleteTopicsRequest, DescribeGroupsRequest, FindCoordinatorRequest,
    GroupId, HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest,
    ListGroupsRequest, OffsetCommitRequest, OffsetDeleteRequest, OffsetFetchRequest,
    SyncGroupRequest, SyncGroupResponse,
};

use super::*;

fn id(name: &str) -> GroupId {
    GroupId(StrBytes::from_string(name.to_owned()))
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

pub(super) fn join_request(group: &str, member: &str) -> JoinGroupRequest {
    let range = JoinGroupRequestProtocol::default()
        .with_name(text("range"))
        .with_metadata(Bytes::from_static(b"\0\0\0\0\0\x01\0\x01t"));
    JoinGroupRequest::default()
        .with_group_id(id(group))
        .with_member_id(text(member))
        .with_session_timeout_ms(10_000)
        .with_rebalance_timeout_ms(20_000)
        .with_protocol_type(text("consumer"))
        .with_protocols(vec![range])
}

impl Fixture {
    pub(super) async fn join(&self, version: i16, request: JoinGroupRequest) -> JoinGroupResponse {
        body!(JoinGroup, self.call(version, request.into()).await)
    }

    /// Joins as clients do: again, with the id that is given.
    pub(super) async fn join_in(&self, version: i16, group: &str) -> JoinGroupResponse {
        let joined = self.join(version, join_request(group, "")).await;
        if joined.error_code != code(ErrorCode::MemberIdRequired) {
            return joined;
        }
        self.join(version, join_request(group, &joined.member_id))
            .await
    }

    pub(super) async fn sync(
        &self,
        version: i16,
        group: &str,
        joined: &JoinGroupResponse,
        parts: &[(&StrBytes, &'static str)],
    ) -> SyncGroupResponse {
        let part = |(member, part): &(&StrBytes, &'static str)| {
            SyncGroupRequestAssignment::default()
                .with_member_id((*member).clone())
                .with_assignment(Bytes::from_static(part.as_bytes()))
        };
        let request = SyncGroupRequest::default()
            .with_group_id(id(group))
            .with_generation_id(joined.generation_id)
            .with_member_id(joined.member_id.clone())
            .with_assignments(parts.iter().map(part).collect());
        body!(SyncGroup, self.call(version, request.into()).await)
    }

    async fn heartbeat(&self, version: i16, group: &str, joined: &JoinGroupResponse) -> i16 {
        let request = HeartbeatRequest::default()
            .with_group_id(id(group))
            .with_generation_id(joined.generation_id)
            .with_member_id(joined.member_id.clone());
        body!(Heartbeat, self.call(version, request.into()).await).error_code
    }

    /// Commits an offset of `t-0` and gives the code.
    pub(super) async fn commit(
        &self,
        version: i16,
        group: &str,
        offset: i64,
        metadata: &str,
    ) -> i16 {
        let partition = OffsetCommitRequestPartition::default()
            .with_committed_offset(offset)
            .with_committed_metadata(Some(text(metadata)));
        let topic = OffsetCommitRequestTopic::default()
            .with_name(topic("t"))
            .with_partitions(vec![partition]);
        let request = OffsetCommitRequest::default()
            .with_group_id(id(group))
            .with_generation_id_or_member_epoch(-1)
            .with_topics(vec![topic]);
        let mut answer = body!(OffsetCommit, self.call(version, request.into()).await);
        answer.topics.remove(0).partitions.remove(0).error_code
    }

    /// The committed offset of `t-0`, asked for by name or not.
    async fn committed(&self, version: i16, group: &str, by_name: bool) -> Option<i64> {
        let request = if version >= 8 {
            let named = OffsetFetchRequestTopics::default()
                .with_name(topic("t"))
                .with_partition_indexes(vec![0]);
            let group = OffsetFetchRequestGroup::default()
                .with_group_id(id(group))
                .with_topics(by_name.then(|| vec![named]));
            OffsetFetchRequest::default().with_groups(vec![group])
        } else {
            let named = OffsetFetchRequestTopic::default()
                .with_name(topic("t"))
                .with_partition_indexes(vec![0]);
            OffsetFetchRequest::default()
                .with_group_id(id(group))
                .with_topics(by_name.then(|| vec![named]))
        };
        let answer = body!(OffsetFetch, self.call(version, request.into()).await);
        if let Some(group) = answer.groups.first() {
            assert_eq!(group.error_code, 0);
            return Some(group.topics.first()?.partitions[0].committed_offset);
        }
        assert_eq!(answer.error_code, 0);
        Some(answer.topics.first()?.partitions[0].committed_offset)
    }

    async fn states(&self) -> Vec<(String, String)> {
        let listed = body!(
            ListGroups,
            self.call(5, ListGroupsRequest::default().into()).await
        );
        let groups = listed.groups.iter();
        groups
            .map(|group| (group.group_id.to_string(), group.group_state.to_string()))
            .collect()
    }
}

#[tokio::test]
async fn this_broker_runs_every_group() {
    let fixture = Fixture::start().await;
    let group = StrBytes::from_static_str("g");
    for version in 0..=6 {
        for (key_type, expected) in [(0, 0), (1, 0), (7, code(ErrorCode::InvalidRequest))] {
            if version == 0 && key_type > 0 {
                continue;
            }
            let request = FindCoordinatorRequest::default().with_key_type(key_type);
            let request = if version < 4 {
                request.with_key(group.clone())
            } else {
                request.with_coordinator_keys(vec![group.clone()])
            };
            let answer = body!(FindCoordinator, fixture.call(version, request.into()).await);
            let (error, node) = match &answer.coordinators[..] {
                [] => (answer.error_code, answer.node_id),
                [one] => {
                    assert_eq!(one.key, group);
                    (one.error_code, one.node_id)
                }
                more => panic!("one key was asked for: {more:?}"),
            };
            let expected_node = if expected == 0 { 1 } else { -1 };
            assert_eq!((error, node.0), (expected, expected_node), "{version}");
        }
    }
    let topic = fixture
        .broker
        .controller()
        .image()
        .topic("__consumer_offsets")
        .cloned();
    let topic = topic.expect("it is made when somebody looks for a group");
    assert!(topic.is_internal);
    assert_eq!(topic.configs["cleanup.policy"], "compact");
}

#[tokio::test]
async fn two_members_share_in_every_version() {
    let fixture = Fixture::start().await;
    for version in 0..=9_i16 {
        let group = format!("g{version}");
        let sync_version = version.min(5);
        let first = fixture.join_in(version, &group).await;
        assert_eq!((first.error_code, first.generation_id), (0, 1), "{version}");
        assert_eq!(first.leader, first.member_id);
        assert_eq!(first.members.len(), 1);
        let all = [(&first.member_id, "all")];
        let synced = fixture.sync(sync_version, &group, &first, &all).await;
        assert_eq!(
            (synced.error_code, &synced.assignment[..]),
            (0, &b"all"[..])
        );

        let again = async {
            while fixture.heartbeat(version.min(4), &group, &first).await == 0 {
                tokio::task::yield_now().await;
            }
            fixture
                .join(version, join_request(&group, &first.member_id))
                .await
        };
        let (second, first) = tokio::join!(fixture.join_in(version, &group), again);
        assert_eq!((second.generation_id, first.generation_id), (2, 2));
        assert_eq!((second.members.len(), first.members.len()), (0, 2));
        assert_eq!(second.leader, first.member_id);
        let parts = [(&first.member_id, "a"), (&second.member_id, "b")];
        let (a, b) = tokio::join!(
            fixture.sync(sync_version, &group, &first, &parts),
            fixture.sync(sync_version, &group, &second, &[]),
        );
        assert_eq!(
            (&a.assignment[..], &b.assignment[..]),
            (&b"a"[..], &b"b"[..])
        );

        let leave = LeaveGroupRequest::default().with_group_id(id(&group));
        let leave_version = version.min(5);
        let leave = if leave_version < 3 {
            leave.with_member_id(first.member_id.clone())
        } else {
            let member = MemberIdentity::default().with_member_id(first.member_id.clone());
            leave.with_members(vec![member])
        };
        let left = body!(LeaveGroup, fixture.call(leave_version, leave.into()).await);
        assert_eq!(left.error_code, 0);
        assert!(left.members.iter().all(|member| member.error_code == 0));
        let beat = fixture.heartbeat(version.min(4), &group, &second).await;
        assert_eq!(beat, code(ErrorCode::RebalanceInProgress));
        let beat = fixture.heartbeat(version.min(4), &group, &first).await;
        assert_eq!(beat, code(ErrorCode::UnknownMemberId));
    }
}

#[tokio::test]
async fn groups_are_described_listed_and_deleted() {
    let fixture = Fixture::start().await;
    let joined = fixture.join_in(9, "g").await;
    fixture
        .sync(5, "g", &joined, &[(&joined.member_id, "all")])
        .await;
    for version in 0..=6 {
        let request = DescribeGroupsRequest::default().with_groups(vec![id("g"), id("none")]);
        let answer = body!(DescribeGroups, fixture.call(version, request.into()).await);
        let [group, none] = &answer.groups[..] else {
            panic!("{answer:?}");
        };
        let shown = (
            &*group.group_state,
            &*group.protocol_type,
            &*group.protocol_data,
        );
        assert_eq!(shown, ("Stable", "consumer", "range"));
        assert_eq!(group.members[0].member_assignment[..], *b"all");
        assert_eq!(&*group.members[0].client_host, "/127.0.0.1");
        let not_found = if version < 6 {
            0
        } else {
            code(ErrorCode::GroupIdNotFound)
        };
        assert_eq!((&*none.group_state, none.error_code), ("Dead", not_found));
    }
    for version in 0..=5 {
        let listed = ListGroupsRequest::default();
        let listed = body!(ListGroups, fixture.call(version, listed.into()).await);
        assert_eq!(&*listed.groups[0].group_id, "g");
    }
    let filtered = |states: &str, types: &str| {
        let filter = |text_: &str| {
            if text_.is_empty() {
                vec![]
            } else {
                vec![text(text_)]
            }
        };
        let request = ListGroupsRequest::default()
            .with_states_filter(filter(states))
            .with_types_filter(filter(types));
        let call = fixture.call(5, request.into());
        async { body!(ListGroups, call.await).groups.len() }
    };
    assert_eq!(filtered("stable", "classic").await, 1);
    assert_eq!(filtered("Empty", "").await, 0);
    assert_eq!(filtered("", "consumer").await, 0);

    let delete = |group: &str| {
        let request = DeleteGroupsRequest::default().with_groups_names(vec![id(group)]);
        let call = fixture.call(2, request.into());
        async { body!(DeleteGroups, call.await).results[0].error_code }
    };
    assert_eq!(delete("g").await, code(ErrorCode::NonEmptyGroup));
    assert_eq!(delete("none").await, code(ErrorCode::GroupIdNotFound));
    let member = MemberIdentity::default().with_member_id(joined.member_id.clone());
    let leave = LeaveGroupRequest::default()
        .with_group_id(id("g"))
        .with_members(vec![member]);
    fixture.call(5, leave.into()).await;
    assert_eq!(
        fixture.states().await,
        [("g".to_owned(), "Empty".to_owned())]
    );
    assert_eq!(delete("g").await, 0);
    assert_eq!(fixture.states().await, []);
}

#[tokio::test]
async fn offsets_are_committed_and_fetched_in_every_version() {
    let fixture = Fixture::start().await;
    fixture.create("t", 1).await;
    for version in 2..=9 {
        let group = format!("g{version}");
        assert_eq!(
            fixture.commit(version, &group, 7, "m").await,
            0,
            "{version}"
        );
        for fetch in 1..=9 {
            assert_eq!(fixture.committed(fetch, &group, true).await, Some(7));
            if fetch >= 2 {
                assert_eq!(fixture.committed(fetch, &group, false).await, Some(7));
            }
        }
    }
    assert_eq!(fixture.committed(9, "none", true).await, Some(-1));
    assert_eq!(fixture.committed(9, "none", false).await, None);
    let too_long = "m".repeat(4097);
    let refused = fixture.commit(9, "g9", 8, &too_long).await;
    assert_eq!(refused, code(ErrorCode::OffsetMetadataTooLarge));
    let refused = fixture.commit(9, "", 8, "").await;
    assert_eq!(refused, code(ErrorCode::InvalidGroupId));
    let joined = fixture.join_in(9, "g9").await;
    assert_eq!(joined.error_code, 0);
    let refused = fixture.commit(9, "g9", 8, "").await;
    assert_eq!(refused, code(ErrorCode::UnknownMemberId));
    assert_eq!(fixture.committed(9, "g9", true).await, Some(7));
}

#[tokio::test]
async fn offsets_outlast_a_power_cut_and_go_with_their_topic() {
    let fixture = Fixture::start().await;
    fixture.create("t", 1).await;
    let joined = fixture.join_in(9, "with-members").await;
    let parts = [(&joined.member_id, "all")];
    fixture.sync(5, "with-members", &joined, &parts).await;
    assert_eq!(fixture.commit(9, "g", 7, "").await, 0);

    let fixture = fixture.restart_after_crash().await;
    assert_eq!(fixture.committed(9, "g", true).await, Some(7));
    // The members go on, in their generation.
    assert_eq!(fixture.heartbeat(4, "with-members", &joined).await, 0);
    let synced = fixture.sync(5, "with-members", &joined, &[]).await;
    assert_eq!(synced.assignment[..], *b"all");

    let delete = OffsetDeleteRequest::default()
        .with_group_id(id("g"))
        .with_topics(vec![
            OffsetDeleteRequestTopic::default()
                .with_name(topic("t"))
                .with_partitions(vec![OffsetDeleteRequestPartition::default()]),
        ]);
    let deleted = body!(OffsetDelete, fixture.call(0, delete.clone().into()).await);
    assert_eq!(deleted.topics[0].partitions[0].error_code, 0);
    assert_eq!(fixture.committed(9, "g", true).await, Some(-1));
    let unknown = delete.with_group_id(id("none"));
    let refused = body!(OffsetDelete, fixture.call(0, unknown.into()).await);
    assert_eq!(refused.error_code, code(ErrorCode::GroupIdNotFound));

    assert_eq!(fixture.commit(9, "g", 8, "").await, 0);
    let request = DeleteTopicsRequest::default().with_topic_names(vec![topic("t")]);
    fixture.call(5, request.into()).await;
    assert_eq!(fixture.committed(9, "g", true).await, Some(-1));
    let refused = fixture.commit(9, "g", 9, "").await;
    assert_eq!(refused, code(ErrorCode::UnknownTopicOrPartition));
}

#[tokio::test]
async fn whoever_waits_is_answered_when_the_broker_stops() {
    let fixture = Fixture::start().await;
    let joined = fixture.join_in(9, "g").await;
    fixture
        .sync(5, "g", &joined, &[(&joined.member_id, "all")])
        .await;
    let waits = fixture.join_in(9, "g");
    let stops = async {
        while fixture.heartbeat(4, "g", &joined).await == 0 {
            tokio::task::yield_now().await;
        }
        fixture.broker.shutdown().await.unwrap();
    };
    let (waited, ()) = tokio::join!(waits, stops);
    assert_eq!(waited.error_code, code(ErrorCode::CoordinatorNotAvailable));
}

#[tokio::test]
async fn a_silent_member_is_out_when_its_session_is_over() {
    let fixture = Fixture::start().await;
    let joined = fixture.join_in(9, "g").await;
    fixture
        .sync(5, "g", &joined, &[(&joined.member_id, "all")])
        .await;
    fixture.clock.advance(std::time::Duration::from_secs(10));
    while fixture.states().await != [("g".to_owned(), "Empty".to_owned())] {
        tokio::task::yield_now().await;
    }
    let beat = fixture.heartbeat(4, "g", &joined).await;
    assert_eq!(beat, code(ErrorCode::UnknownMemberId));
}

/// With other settings the offsets would go after a week.
#[tokio::test]
async fn the_offsets_topic_is_made_by_the_broker_only() {
    let fixture = Fixture::start().await;
    let created = kafka::CreateTopicsRequest::default().with_topics(vec![
        CreatableTopic::default()
            .with_name(topic("__consumer_offsets"))
            .with_num_partitions(3)
            .with_replication_factor(1),
    ]);
    let created = body!(CreateTopics, fixture.call(7, created.into()).await);
    assert_eq!(
        created.topics[0].error_code,
        code(ErrorCode::InvalidTopicException)
    );

    let ask = |name: &str| {
        let asked = MetadataRequestTopic::default().with_name(Some(topic(name)));
        let request = MetadataRequest::default()
            .with_topics(Some(vec![asked]))
            .with_allow_auto_topic_creation(true);
        fixture.call(12, request.into())
    };
    let found = body!(Metadata, ask("__consumer_offsets").await);
    assert_eq!(
        (found.topics[0].error_code, found.topics[0].partitions.len()),
        (0, 1)
    );
    let image = fixture.broker.controller().image();
    let made = image.topic("__consumer_offsets").unwrap();
    assert_eq!(made.configs["cleanup.policy"], "compact");
    let found = body!(Metadata, ask("__transaction_state").await);
    assert_eq!(found.topics[0].error_code, 0);
    let image = fixture.broker.controller().image();
    let made = image.topic("__transaction_state").unwrap();
    assert_eq!(made.configs["cleanup.policy"], "compact");
}
