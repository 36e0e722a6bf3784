//! The machine alone, on told time, against a coordinator that says what the test wants.

use super::*;
use brooklet_protocol::PartitionId;
use brooklet_protocol::messages::StrBytes;
use brooklet_protocol::messages::kafka::join_group_response::JoinGroupResponseMember;
use bytes::Bytes;

use crate::group::protocol::encode_assignment;
use crate::transport::TransportError;

fn topic() -> TopicName {
    TopicName::new("t").unwrap()
}

fn places(partitions: &[i32]) -> Partitions {
    let place = |number: &i32| TopicPartition::new(topic(), PartitionId(*number));
    partitions.iter().map(place).collect()
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn terms(assignors: &[Assignor]) -> Terms {
    Terms {
        group: "g".into(),
        instance_id: None,
        rack: None,
        topics: [topic()].into(),
        assignors: assignors.to_vec(),
        session_timeout: ms(45_000),
        heartbeat_interval: ms(3_000),
        poll_interval_max: ms(300_000),
        metadata_age_max: ms(300_000),
    }
}

const EAGER: &[Assignor] = &[Assignor::Range, Assignor::CooperativeSticky];
const COOPERATIVE: &[Assignor] = &[Assignor::CooperativeSticky];

fn member(assignors: &[Assignor]) -> Membership {
    Membership::new(terms(assignors), Duration::ZERO)
}

/// The member joins, and asks in this subscription.
fn joins(member: &mut Membership, now: u64) -> (JoinGroupRequest, Subscription) {
    match member.next(ms(now)) {
        Task::Join(request) => {
            let asked = Subscription::decode(request.protocols[0].metadata.clone()).unwrap();
            (request, asked)
        }
        other => panic!("expected a JoinGroup at {now} ms, found {other:?}"),
    }
}

/// The answer to a follower.
fn accepted(member_id: &str, generation: i32, assignor: Assignor) -> JoinGroupResponse {
    JoinGroupResponse::default()
        .with_member_id(text(member_id))
        .with_leader(text("another"))
        .with_generation_id(generation)
        .with_protocol_name(Some(text(assignor.name())))
}

fn join_refused(code: ErrorCode) -> Outcome {
    Outcome::Joined(JoinGroupResponse::default().with_error_code(code.code()))
}

fn given(partitions: &[i32]) -> Outcome {
    let assignment = encode_assignment(&places(partitions));
    Outcome::Synced(SyncGroupResponse::default().with_assignment(assignment))
}

/// Joins a generation as a follower and gets these partitions.
fn enters(member: &mut Membership, generation: i32, partitions: &[i32], now: u64) -> Subscription {
    let (_, asked) = joins(member, now);
    let assignor = member.terms.assignors[0];
    member.done(
        Outcome::Joined(accepted("m", generation, assignor)),
        ms(now),
    );
    let Task::Sync(sync) = member.next(ms(now)) else {
        panic!("expected a SyncGroup")
    };
    assert_eq!((sync.generation_id, &*sync.member_id), (generation, "m"));
    assert!(sync.assignments.is_empty(), "a follower assigns nothing");
    member.done(given(partitions), ms(now));
    asked
}

/// A heartbeat is due and answered so.
fn hears(member: &mut Membership, code: Option<ErrorCode>, now: u64) {
    let Task::Heartbeat(heartbeat) = member.next(ms(now)) else {
        panic!("expected a heartbeat at {now} ms")
    };
    assert_eq!(heartbeat.generation_id, member.generation);
    let code = code.map_or(0, |code| code.code());
    member.done(Outcome::Heard(code), ms(now));
}

#[test]
fn a_follower_joins_syncs_and_beats() {
    let mut member = member(EAGER);
    let (request, asked) = joins(&mut member, 0);
    assert_eq!(&*request.member_id, "");
    assert_eq!(request.session_timeout_ms, 45_000);
    assert_eq!(request.rebalance_timeout_ms, 300_000);
    let names: Vec<_> = request
        .protocols
        .iter()
        .map(|p| p.name.to_string())
        .collect();
    assert_eq!(names, ["range", "cooperative-sticky"]);
    assert_eq!(asked.topics, [topic()].into());
    assert_eq!(member.next(ms(0)), Task::Wait(None), "one thing at a time");

    // Since KIP-394 a member gets its id first.
    let id_first = JoinGroupResponse::default()
        .with_error_code(ErrorCode::MemberIdRequired.code())
        .with_member_id(text("m"));
    member.done(Outcome::Joined(id_first), ms(1));
    let (request, _) = joins(&mut member, 1);
    assert_eq!(&*request.member_id, "m");
    member.done(Outcome::Joined(accepted("m", 1, Assignor::Range)), ms(2));
    assert!(matches!(member.next(ms(2)), Task::Sync(_)));
    member.done(given(&[0, 1]), ms(3));
    assert_eq!(member.event(), Some(&GroupEvent::Assigned(places(&[0, 1]))));
    assert_eq!(member.next(ms(3)), Task::Wait(Some(ms(3_003))));
    hears(&mut member, None, 3_003);
    assert_eq!(member.next(ms(3_004)), Task::Wait(Some(ms(6_003))));
    let identity = member.identity().unwrap();
    assert_eq!((identity.member_id.as_str(), identity.generation), ("m", 1));
}

#[test]
fn a_leader_looks_at_the_topics_and_assigns() {
    let mut leader = member(EAGER);
    let (request, _) = joins(&mut leader, 0);
    let in_list = |id: &str, metadata: Bytes| {
        JoinGroupResponseMember::default()
            .with_member_id(text(id))
            .with_metadata(metadata)
    };
    let own = request.protocols[0].metadata.clone();
    let members = vec![
        in_list("a", own.clone()),
        in_list("b", own),
        in_list("c", Bytes::new()),
    ];
    let answer = accepted("a", 1, Assignor::Range).with_leader(text("a"));
    leader.done(Outcome::Joined(answer.with_members(members)), ms(0));
    assert_eq!(leader.next(ms(0)), Task::Look([topic()].into()));
    leader.done(Outcome::Looked([(topic(), 3)].into()), ms(0));
    let Task::Sync(sync) = leader.next(ms(0)) else {
        panic!("expected a SyncGroup")
    };
    let told: Vec<_> = sync
        .assignments
        .iter()
        .map(|to| {
            (
                to.member_id.to_string(),
                decode_assignment(to.assignment.clone()).unwrap(),
            )
        })
        .collect();
    // Whoever cannot be understood gets nothing.
    assert_eq!(
        told,
        [("a".into(), places(&[0, 1])), ("b".into(), places(&[2]))]
    );

    // Later it looks again, and more partitions are a reason to begin anew.
    leader.done(given(&[0, 1]), ms(0));
    leader.acknowledge();
    let same = [(topic(), 3)].into();
    for (now, counts, is_eager_to_rejoin) in [
        (300_000, same, false),
        (600_000, [(topic(), 4)].into(), true),
    ] {
        leader.polled(ms(now));
        hears(&mut leader, None, now);
        assert_eq!(leader.next(ms(now)), Task::Look([topic()].into()));
        leader.done(Outcome::Looked(counts), ms(now));
        assert_eq!(leader.event().is_some(), is_eager_to_rejoin);
    }
    assert_eq!(
        leader.acknowledge(),
        Some(GroupEvent::Revoked(places(&[0, 1])))
    );
    joins(&mut leader, 600_000);
}

#[test]
fn an_eager_member_gives_all_up_before_it_joins_again() {
    let mut member = member(EAGER);
    enters(&mut member, 1, &[0, 1], 0);
    member.acknowledge();
    hears(&mut member, Some(ErrorCode::RebalanceInProgress), 3_000);
    assert_eq!(member.event(), Some(&GroupEvent::Revoked(places(&[0, 1]))));
    // The program takes its time; the member lives on, and can commit.
    hears(&mut member, Some(ErrorCode::RebalanceInProgress), 6_000);
    assert!(member.identity().is_some());
    member.acknowledge();
    assert_eq!(member.event(), None, "it is told once");
    let asked = enters(&mut member, 2, &[0], 6_500);
    assert_eq!(asked.owned, Partitions::new());
    assert_eq!(member.event(), Some(&GroupEvent::Assigned(places(&[0]))));
}

#[test]
fn a_cooperative_member_keeps_what_it_is_not_told_to_give_up() {
    let mut member = member(COOPERATIVE);
    enters(&mut member, 1, &[0, 1], 0);
    member.acknowledge();
    hears(&mut member, Some(ErrorCode::RebalanceInProgress), 3_000);
    assert_eq!(member.event(), None);
    let asked = enters(&mut member, 2, &[0, 2], 3_001);
    assert_eq!((asked.owned, asked.generation), (places(&[0, 1]), 1));
    assert_eq!(
        member.acknowledge(),
        Some(GroupEvent::Revoked(places(&[1])))
    );
    // Nothing is joined before the program knows all.
    assert_eq!(member.next(ms(3_002)), Task::Wait(Some(ms(6_001))));
    assert_eq!(
        member.acknowledge(),
        Some(GroupEvent::Assigned(places(&[2])))
    );
    let asked = enters(&mut member, 3, &[0, 2], 3_003);
    assert_eq!((asked.owned, asked.generation), (places(&[0, 2]), 2));
    assert_eq!(member.event(), None);
    assert_eq!(
        member.next(ms(3_004)),
        Task::Wait(Some(ms(6_003))),
        "it is at rest"
    );
}

#[test]
fn sticky_remembers_what_it_has_given_up() {
    let mut member = member(&[Assignor::Sticky]);
    enters(&mut member, 7, &[0, 1], 0);
    member.acknowledge();
    hears(&mut member, Some(ErrorCode::RebalanceInProgress), 3_000);
    member.acknowledge();
    let (_, asked) = joins(&mut member, 3_000);
    assert_eq!(asked.owned, Partitions::new());
    assert_eq!(
        asked.user_data,
        Assignor::Sticky.user_data(&places(&[0, 1]), 7)
    );
}

#[test]
fn what_the_group_has_given_up_is_lost_and_the_member_begins_anew() {
    let table = [
        (ErrorCode::UnknownMemberId, ""),
        (ErrorCode::IllegalGeneration, "m"),
    ];
    for (code, id) in table {
        for assignors in [EAGER, COOPERATIVE] {
            let mut member = member(assignors);
            enters(&mut member, 1, &[0], 0);
            member.acknowledge();
            hears(&mut member, Some(code), 3_000);
            assert_eq!(member.event(), Some(&GroupEvent::Lost(places(&[0]))));
            assert_eq!(member.identity(), None, "nobody commits in its name");
            assert_eq!(
                member.next(ms(3_200)),
                Task::Wait(None),
                "not before it is known"
            );
            member.acknowledge();
            let (request, asked) = joins(&mut member, 3_200);
            assert_eq!((&*request.member_id, asked.generation), (id, -1));
            assert_eq!(asked.owned, Partitions::new());
        }
    }
}

#[test]
fn what_was_to_be_given_up_may_be_lost_before_it_is() {
    let mut member = member(EAGER);
    enters(&mut member, 1, &[0], 0);
    member.acknowledge();
    hears(&mut member, Some(ErrorCode::RebalanceInProgress), 3_000);
    assert_eq!(member.event(), Some(&GroupEvent::Revoked(places(&[0]))));
    hears(&mut member, Some(ErrorCode::UnknownMemberId), 6_000);
    assert_eq!(member.acknowledge(), Some(GroupEvent::Lost(places(&[0]))));
    assert_eq!(member.event(), None);
}

#[test]
fn a_rebalance_that_begins_on_the_way_is_joined_at_once() {
    let mut member = member(COOPERATIVE);
    enters(&mut member, 1, &[0], 0);
    member.acknowledge();
    hears(&mut member, Some(ErrorCode::RebalanceInProgress), 3_000);
    joins(&mut member, 3_000);
    member.done(Outcome::Joined(accepted("m", 2, COOPERATIVE[0])), ms(3_000));
    assert!(matches!(member.next(ms(3_000)), Task::Sync(_)));
    let code = ErrorCode::RebalanceInProgress.code();
    member.done(
        Outcome::Synced(SyncGroupResponse::default().with_error_code(code)),
        ms(3_000),
    );
    let (_, asked) = joins(&mut member, 3_000);
    assert_eq!((asked.owned, asked.generation), (places(&[0]), 2));
}

#[test]
fn what_passes_is_tried_again_after_a_while() {
    let broken = || {
        let (address, reason) = ("b:1".into(), "gone".into());
        Outcome::Failed(TransportError::Broken { address, reason }.into())
    };
    let mut member = member(EAGER);
    joins(&mut member, 0);
    member.done(broken(), ms(0));
    assert_eq!(member.next(ms(0)), Task::Wait(Some(ms(100))));
    joins(&mut member, 100);
    member.done(join_refused(ErrorCode::CoordinatorLoadInProgress), ms(100));
    assert_eq!(member.next(ms(299)), Task::Wait(Some(ms(300))));
    enters(&mut member, 1, &[0], 300);
    member.acknowledge();
    assert!(matches!(member.next(ms(3_300)), Task::Heartbeat(_)));
    member.done(broken(), ms(3_300));
    hears(&mut member, Some(ErrorCode::NotCoordinator), 3_400);
    hears(&mut member, None, 3_600);
    assert_eq!(member.event(), None);
}

#[test]
fn what_does_not_pass_is_the_programs_to_know() {
    for code in [
        ErrorCode::FencedInstanceId,
        ErrorCode::InconsistentGroupProtocol,
        ErrorCode::GroupAuthorizationFailed,
        ErrorCode::InvalidSessionTimeout,
    ] {
        let mut member = member(EAGER);
        joins(&mut member, 0);
        member.done(join_refused(code), ms(0));
        assert!(member.is_out());
        let error = member.take_failure().unwrap();
        assert_eq!(error.to_string(), format!("join in group 'g': {code:?}"));
    }
    let mut member = member(EAGER);
    enters(&mut member, 1, &[0], 0);
    member.acknowledge();
    hears(&mut member, Some(ErrorCode::FencedInstanceId), 3_000);
    assert_eq!(member.event(), Some(&GroupEvent::Lost(places(&[0]))));
    assert!(member.is_out() && member.take_failure().is_some());
}

#[test]
fn a_program_that_hangs_loses_its_place_until_it_polls() {
    let mut member = member(EAGER);
    enters(&mut member, 1, &[0], 0);
    member.acknowledge();
    member.polled(ms(1_000));
    let mut now = 3_000;
    while now < 301_000 {
        hears(&mut member, None, now);
        now += 3_000;
    }
    assert_eq!(member.next(ms(300_999)), Task::Wait(Some(ms(301_000))));
    let Task::Leave(leave) = member.next(ms(301_000)) else {
        panic!("expected a LeaveGroup")
    };
    assert_eq!(&*leave.members[0].member_id, "m");
    member.done(Outcome::Left, ms(301_001));
    assert_eq!(
        member.next(ms(400_000)),
        Task::Wait(None),
        "it would hang again"
    );
    member.polled(ms(400_000));
    assert_eq!(member.acknowledge(), Some(GroupEvent::Lost(places(&[0]))));
    let (request, _) = joins(&mut member, 400_000);
    assert_eq!(&*request.member_id, "");
}

#[test]
fn a_member_that_is_held_stays_in_its_generation_until_it_is_polled() {
    let mut member = member(COOPERATIVE);
    assert_eq!(member.hold(), None, "it is in none");
    enters(&mut member, 1, &[0], 0);
    member.acknowledge();
    let held = member.hold().unwrap();
    assert_eq!((held.member_id.as_str(), held.generation), ("m", 1));
    hears(&mut member, Some(ErrorCode::RebalanceInProgress), 3_000);
    hears(&mut member, Some(ErrorCode::RebalanceInProgress), 6_000);
    assert_eq!(member.next(ms(6_001)), Task::Wait(Some(ms(9_000))));
    member.polled(ms(6_002));
    joins(&mut member, 6_002);
    assert_eq!(member.hold(), None, "the next one is being agreed on");
    member.done(Outcome::Joined(accepted("m", 2, COOPERATIVE[0])), ms(6_003));
    assert_eq!(member.hold(), None);
    assert!(matches!(member.next(ms(6_003)), Task::Sync(_)));
    member.done(given(&[0]), ms(6_003));
    assert_eq!(member.hold().unwrap().generation, 2);
    // Whom the group has given up is not held back from joining again.
    hears(&mut member, Some(ErrorCode::UnknownMemberId), 9_003);
    assert_eq!(member.hold(), None);
    member.acknowledge();
    joins(&mut member, 9_103);
}

#[test]
fn a_program_that_holds_and_hangs_loses_its_place_too() {
    let mut member = member(COOPERATIVE);
    enters(&mut member, 1, &[0], 0);
    member.hold();
    assert!(matches!(member.next(ms(300_000)), Task::Leave(_)));
}

#[test]
fn a_member_leaves_whatever_is_under_way() {
    let mut member = member(EAGER);
    enters(&mut member, 1, &[0], 0);
    assert!(matches!(member.next(ms(3_000)), Task::Heartbeat(_)));
    member.leave();
    assert!(matches!(member.next(ms(3_000)), Task::Leave(_)));
    let (address, timeout_ms) = ("b:1".into(), 1);
    let lost = TransportError::TimedOut {
        address,
        timeout_ms,
    };
    member.done(Outcome::Failed(lost.into()), ms(3_001));
    assert!(member.is_out(), "and does not insist");
}

#[test]
fn who_is_not_in_the_group_or_static_goes_without_a_word() {
    let mut stranger = member(EAGER);
    joins(&mut stranger, 0);
    stranger.leave();
    assert!(stranger.is_out());

    let mut named = Membership::new(
        Terms {
            instance_id: Some("i".into()),
            ..terms(EAGER)
        },
        Duration::ZERO,
    );
    let (request, _) = joins(&mut named, 0);
    assert_eq!(request.group_instance_id, Some(text("i")));
    named.done(Outcome::Joined(accepted("m", 1, Assignor::Range)), ms(0));
    let Task::Sync(sync) = named.next(ms(0)) else {
        panic!("expected a SyncGroup")
    };
    assert_eq!(sync.group_instance_id, Some(text("i")));
    named.done(given(&[0]), ms(0));
    assert_eq!(named.identity().unwrap().instance_id, Some("i".into()));
    named.leave();
    assert!(named.is_out());
}

#[test]
fn a_refused_commit_says_something_only_about_the_generation_it_was_for() {
    let mut member = member(EAGER);
    enters(&mut member, 1, &[0], 0);
    member.acknowledge();
    let former = member.identity().unwrap();
    hears(&mut member, Some(ErrorCode::RebalanceInProgress), 3_000);
    member.acknowledge();
    enters(&mut member, 2, &[0], 3_000);
    member.acknowledge();
    member.commit_refused(&former, ErrorCode::IllegalGeneration, ms(3_001));
    assert_eq!(member.event(), None);
    let current = member.identity().unwrap();
    member.commit_refused(&current, ErrorCode::RebalanceInProgress, ms(3_002));
    assert_eq!(member.event(), Some(&GroupEvent::Revoked(places(&[0]))));
}
