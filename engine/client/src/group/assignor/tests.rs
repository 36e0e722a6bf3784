//! The results of Kafka's assignors, word for word, and the laws of the sticky ones.

use super::*;
use proptest::prelude::*;

fn topic(name: &str) -> TopicName {
    TopicName::new(name).unwrap()
}

fn member(id: &str, topics: &str) -> Member {
    Member {
        id: id.to_owned(),
        instance_id: None,
        subscription: Subscription {
            topics: topics.split_whitespace().map(topic).collect(),
            user_data: None,
            owned: Partitions::new(),
            generation: -1,
            rack: None,
        },
    }
}

fn counts(of: &[(&str, i32)]) -> PartitionCounts {
    of.iter()
        .map(|(name, count)| (topic(name), *count))
        .collect()
}

/// `A: t0 t1 | B: t2`
fn text(assignments: &Assignments) -> String {
    let place = |place: &TopicPartition| format!(" {}{}", place.topic, place.partition);
    let member = |(id, places): (&String, &Partitions)| {
        format!("{id}:{}", places.iter().map(place).collect::<String>())
    };
    assignments
        .iter()
        .map(member)
        .collect::<Vec<_>>()
        .join(" | ")
}

/// Members as `A=t u`, topics as `t=3`, and who gets what.
fn check(assignor: Assignor, counts_of: &[(&str, i32)], members: &[&str], expected: &str) {
    let members = members.iter().map(|text| {
        let (id, topics) = text.split_once('=').unwrap();
        member(id, topics)
    });
    let members: Vec<_> = members.collect();
    let found = assignor.assign(&counts(counts_of), &members);
    assert_eq!(text(&found), expected, "{assignor} {members:?}");
}

/// The cases of Kafka's `RangeAssignorTest`, as far as racks are not in them.
#[test]
fn range_is_kafkas() {
    let check = |counts: &[_], members: &[_], expected| {
        check(Assignor::Range, counts, members, expected);
    };
    check(&[], &["A="], "A:");
    check(&[], &["A=t"], "A:");
    check(&[("t", 3)], &["A=t"], "A: t0 t1 t2");
    check(&[("t", 3), ("other", 3)], &["A=t"], "A: t0 t1 t2");
    check(&[("t", 1), ("u", 2)], &["A=t u"], "A: t0 u0 u1");
    check(&[("t", 1)], &["A=t", "B=t"], "A: t0 | B:");
    check(&[("t", 2)], &["A=t", "B=t"], "A: t0 | B: t1");
    let mixed = ["A=t", "B=t u", "C=t"];
    check(&[("t", 3), ("u", 2)], &mixed, "A: t0 | B: t1 u0 u1 | C: t2");
    let two = ["A=t u", "B=t u"];
    check(&[("t", 3), ("u", 3)], &two, "A: t0 t1 u0 u1 | B: t2 u2");
    let three = ["A=t", "B=t", "C=t"];
    check(&[("t", 7)], &three, "A: t0 t1 t2 | B: t3 t4 | C: t5 t6");
    check(&[("t", 5)], &three, "A: t0 t1 | B: t2 t3 | C: t4");
}

/// The cases of Kafka's `RoundRobinAssignorTest`.
#[test]
fn roundrobin_is_kafkas() {
    let check = |counts: &[_], members: &[_], expected| {
        check(Assignor::RoundRobin, counts, members, expected);
    };
    check(&[], &["A="], "A:");
    check(&[], &["A=t"], "A:");
    check(&[("t", 3), ("other", 3)], &["A=t"], "A: t0 t1 t2");
    check(&[("t", 1), ("u", 2)], &["A=t u"], "A: t0 u0 u1");
    check(&[("t", 1)], &["A=t", "B=t"], "A: t0 | B:");
    check(&[("t", 2)], &["A=t", "B=t"], "A: t0 | B: t1");
    let mixed = ["A=t", "B=t u", "C=t"];
    check(&[("t", 3), ("u", 2)], &mixed, "A: t0 | B: t1 u0 u1 | C: t2");
    let two = ["A=t u", "B=t u"];
    check(&[("t", 3), ("u", 3)], &two, "A: t0 t2 u1 | B: t1 u0 u2");
    // The example of its documentation, for subscriptions that differ.
    let some = [("t", 1), ("u", 2), ("v", 3)];
    let members = ["A=t", "B=t u", "C=t u v"];
    check(&some, &members, "A: t0 | B: u0 | C: u1 v0 v1 v2");
}

#[test]
fn static_members_stand_first_in_the_order_of_their_names() {
    let mut members = [member("A", "t"), member("B", "t"), member("C", "t")];
    members[1].instance_id = Some("y".into());
    members[2].instance_id = Some("x".into());
    for assignor in [Assignor::Range, Assignor::RoundRobin] {
        let found = assignor.assign(&counts(&[("t", 3)]), &members);
        assert_eq!(text(&found), "A: t2 | B: t1 | C: t0");
    }
}

#[test]
fn names_are_read_as_they_are_told() {
    for assignor in Assignor::ALL {
        assert_eq!(assignor.to_string().parse(), Ok(assignor));
    }
    let error = "Range".parse::<Assignor>().unwrap_err();
    assert!(error.ends_with("expected one of range, roundrobin, sticky, cooperative-sticky"));
}

/// The example of Kafka's documentation of `StickyAssignor`: C0 leaves, and what C1 and C2 have
/// stays.
#[test]
fn sticky_keeps_what_the_others_have() {
    let three = counts(&[("t", 2), ("u", 2), ("v", 2), ("w", 2)]);
    let members = ["C0", "C1", "C2"].map(|id| member(id, "t u v w"));
    let first = Assignor::Sticky.assign(&three, &members);
    let left = rejoined(Assignor::Sticky, &members[1..], &first, 1);
    let second = Assignor::Sticky.assign(&three, &left);
    for id in ["C1", "C2"] {
        assert!(second[id].is_superset(&first[id]), "{id}: {second:?}");
        assert_eq!(second[id].len(), 4);
    }
}

#[test]
fn a_chain_of_members_evens_out_what_no_pair_can() {
    let mut members = [member("A", "t"), member("B", "t u"), member("C", "u")];
    let claim = |places: Partitions| Some(encode_sticky(&places, 1));
    let of = |name, partitions| partitions_of(&topic(name), partitions).collect::<Partitions>();
    members[0].subscription.user_data = claim(of("t", 0..4));
    members[1].subscription.user_data = claim(of("u", 0..3));
    members[2].subscription.user_data = claim(of("u", 3..5));
    let found = Assignor::Sticky.assign(&counts(&[("t", 4), ("u", 5)]), &members);
    assert_eq!(text(&found), "A: t1 t2 t3 | B: t0 u1 u2 | C: u0 u3 u4");
}

#[test]
fn the_claim_of_the_later_generation_counts_and_of_equal_ones_none() {
    let mut members = [member("A", "t"), member("B", "t")];
    let both: Partitions = partitions_of(&topic("t"), 0..2).collect();
    let found = |members: &[Member]| {
        let found = Assignor::CooperativeSticky.assign(&counts(&[("t", 4)]), members);
        text(&found)
    };
    members[0].subscription.owned = both.clone();
    members[0].subscription.generation = 4;
    members[1].subscription.owned = both;
    members[1].subscription.generation = 5;
    assert_eq!(found(&members), "A: t2 t3 | B: t0 t1");
    members[0].subscription.generation = 5;
    assert_eq!(found(&members), "A: t0 t2 | B: t1 t3");
}

/// The members join once more, with what they were given.
fn rejoined(
    assignor: Assignor,
    members: &[Member],
    had: &Assignments,
    generation: i32,
) -> Vec<Member> {
    let joins = |member: &Member| {
        let mut member = member.clone();
        let had = had.get(&member.id).cloned().unwrap_or_default();
        let subscription = &mut member.subscription;
        subscription.user_data = assignor.user_data(&had, generation);
        if assignor.is_cooperative() {
            subscription.owned = had;
            subscription.generation = generation;
        }
        member
    };
    members.iter().map(joins).collect()
}

/// Each partition of a topic that somebody is subscribed to has one reader, who is subscribed to
/// it.
fn check_whole(counts: &PartitionCounts, members: &[Member], found: &Assignments) {
    let all: Vec<&Member> = members.iter().collect();
    let topics = subscribed(counts, &all).into_iter();
    let expected: Partitions = topics
        .flat_map(|(t, count)| partitions_of(&t, 0..count).collect::<Vec<_>>())
        .collect();
    let given: Vec<_> = found.values().flatten().cloned().collect();
    assert_eq!(
        given.len(),
        expected.len(),
        "twice or not at all: {found:?}"
    );
    assert_eq!(given.into_iter().collect::<Partitions>(), expected);
    assert_eq!(found.len(), members.len(), "everybody is told something");
    for member in members {
        let topics = &member.subscription.topics;
        assert!(
            found[&member.id]
                .iter()
                .all(|place| topics.contains(&place.topic))
        );
    }
}

/// No two subscriptions are as uneven as one move could mend.
fn check_balanced(members: &[Member], found: &Assignments) {
    for member in members {
        for other in members {
            let can_take =
                |place: &TopicPartition| other.subscription.topics.contains(&place.topic);
            let (much, little) = (&found[&member.id], &found[&other.id]);
            let is_uneven = much.len() > little.len() + 1;
            assert!(!(is_uneven && much.iter().any(can_take)), "{found:?}");
        }
    }
}

/// The fewest moves that make equal subscriptions even: the larger shares go to those who had most.
fn moves_min(members: &[Member], had: &Assignments, total: usize) -> usize {
    let sizes = members
        .iter()
        .map(|m| had.get(&m.id).map_or(0, Partitions::len));
    let mut sizes: Vec<_> = sizes.collect();
    sizes.sort_unstable_by(|a, b| b.cmp(a));
    let (each, odd) = (total / sizes.len(), total % sizes.len());
    let too_many = |(i, size): (usize, &usize)| size.saturating_sub(each + usize::from(i < odd));
    sizes.iter().enumerate().map(too_many).sum()
}

/// What members gave up to others.
fn moves(had: &Assignments, found: &Assignments) -> usize {
    let lost = |(id, places): (&String, &Partitions)| match found.get(id) {
        Some(now) => places.difference(now).count(),
        None => 0,
    };
    had.iter().map(lost).sum()
}

/// Members by their numbers, with the topics that they are subscribed to.
fn members() -> impl Strategy<Value = BTreeMap<u8, BTreeSet<usize>>> {
    prop::collection::btree_map(0..8_u8, prop::collection::btree_set(0..3_usize, 0..4), 1..7)
}

const TOPICS: [&str; 3] = ["t", "u", "v"];

fn named(members: &BTreeMap<u8, BTreeSet<usize>>) -> Vec<Member> {
    let member_of = |(number, topics): (&u8, &BTreeSet<usize>)| {
        let topics: Vec<_> = topics.iter().map(|topic| TOPICS[*topic]).collect();
        member(&number.to_string(), &topics.join(" "))
    };
    members.iter().map(member_of).collect()
}

fn counted(sizes: [i32; 3]) -> PartitionCounts {
    counts(&[("t", sizes[0]), ("u", sizes[1]), ("v", sizes[2])])
}

proptest! {
    #[test]
    fn every_partition_has_one_reader_who_is_subscribed(
        of in members(), sizes in [0..9, 0..9, 0..9],
    ) {
        let (members, counts) = (named(&of), counted(sizes));
        for assignor in Assignor::ALL {
            let found = assignor.assign(&counts, &members);
            check_whole(&counts, &members, &found);
            let backwards: Vec<_> = members.iter().rev().cloned().collect();
            prop_assert_eq!(&assignor.assign(&counts, &backwards), &found, "order does not matter");
        }
    }

    #[test]
    fn sticky_is_even_after_any_change_and_at_rest_without_one(
        before in members(), after in members(),
        sizes in [0..9, 0..9, 0..9], later in [0..9, 0..9, 0..9],
    ) {
        let first = Assignor::Sticky.assign(&counted(sizes), &named(&before));
        check_balanced(&named(&before), &first);
        let again = rejoined(Assignor::Sticky, &named(&before), &first, 1);
        prop_assert_eq!(&Assignor::Sticky.assign(&counted(sizes), &again), &first);

        let members = rejoined(Assignor::Sticky, &named(&after), &first, 1);
        let second = Assignor::Sticky.assign(&counted(later), &members);
        check_whole(&counted(later), &members, &second);
        check_balanced(&members, &second);
    }

    #[test]
    fn with_equal_subscriptions_sticky_moves_no_more_than_it_must(
        before in prop::collection::btree_set(0..8_u8, 1..7),
        after in prop::collection::btree_set(0..8_u8, 1..7),
        sizes in [0..9, 0..9, 0..9],
    ) {
        let all = |numbers: &BTreeSet<u8>| named(&numbers.iter().map(|n| (*n, (0..3).collect())).collect());
        let counts = counted(sizes);
        let first = Assignor::Sticky.assign(&counts, &all(&before));
        let members = rejoined(Assignor::Sticky, &all(&after), &first, 1);
        let second = Assignor::Sticky.assign(&counts, &members);
        let loads = second.values().map(Partitions::len);
        prop_assert!(loads.clone().max().unwrap() - loads.min().unwrap() <= 1);
        let total = sizes.iter().sum::<i32>() as usize;
        prop_assert_eq!(moves(&first, &second), moves_min(&members, &first, total));
    }

    /// Never has a partition two readers, and soon after a change all is even. With unequal
    /// subscriptions, giving away what was given up may take one thing more from somebody else; so
    /// two rounds, which are enough for equal ones, may not be.
    #[test]
    fn cooperative_gives_away_only_what_has_been_given_up(
        before in members(), after in members(), sizes in [0..9, 0..9, 0..9],
    ) {
        let (assignor, counts) = (Assignor::CooperativeSticky, counted(sizes));
        let mut had = assignor.assign(&counts, &named(&before));
        for generation in 1..=5 {
            let members = rejoined(assignor, &named(&after), &had, generation);
            let found = assignor.assign(&counts, &members);
            for (id, places) in &found {
                let others = members.iter().filter(|member| member.id != *id);
                let read: Partitions = others.flat_map(|m| m.subscription.owned.clone()).collect();
                prop_assert!(places.is_disjoint(&read), "{generation}: {found:?}");
            }
            had = found;
        }
        check_whole(&counts, &named(&after), &had);
        check_balanced(&named(&after), &had);
    }
}
