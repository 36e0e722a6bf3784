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
    let names = "range, roundrobin, sticky, cooperative-sticky, brooklet-cooperative-copartitioned";
    assert!(
        error.ends_with(&format!("expected one of {names}")),
        "{error}"
    );
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

/// Nobody gets what another still reads.
fn check_given_up(members: &[Member], found: &Assignments) {
    for (id, places) in found {
        let others = members.iter().filter(|member| member.id != *id);
        let read: Partitions = others.flat_map(|m| m.subscription.owned.clone()).collect();
        assert!(places.is_disjoint(&read), "{found:?}");
    }
}

/// The fewest moves that make equal subscriptions even.
fn moves_min(members: &[Member], had: &Assignments, total: usize) -> usize {
    let sizes = members
        .iter()
        .map(|m| had.get(&m.id).map_or(0, Partitions::len));
    moves_min_of(sizes.collect(), total)
}

/// The larger shares go to those who had most.
fn moves_min_of(mut sizes: Vec<usize>, total: usize) -> usize {
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
            check_given_up(&members, &found);
            had = found;
        }
        check_whole(&counts, &named(&after), &had);
        check_balanced(&named(&after), &had);
    }
}

const COPARTITIONED: Assignor = Assignor::CooperativeCopartitioned;

#[test]
fn a_number_of_all_topics_goes_to_one_member() {
    let check = |counts: &[_], members: &[_], expected| {
        check(COPARTITIONED, counts, members, expected);
    };
    let two = ["A=t u v", "B=t u v"];
    let uneven = [("t", 4), ("u", 4), ("v", 2)];
    let all = "A: t0 t2 u0 u2 v0 | B: t1 t3 u1 u3 v1";
    check(&uneven, &two, all);
    check(&[("t", 1)], &two, "A: t0 | B:");
    check(&[], &["A=t"], "A:");
    check(&[("t", 3)], &["A=t", "B="], "A: t0 t1 t2 | B:");
    // Only A knows both, where there are both.
    let counts = [("t", 3), ("u", 2)];
    check(&counts, &["A=t u", "B=t"], "A: t0 t1 u0 u1 | B: t2");
    // Nobody knows all three: u and v have the same subscribers, and stay together.
    let counts = [("t", 2), ("u", 2), ("v", 2)];
    let members = ["A=t", "B=u v"];
    check(&counts, &members, "A: t0 t1 | B: u0 u1 v0 v1");
}

#[test]
fn a_member_gets_the_rest_of_its_unit_when_nobody_reads_any_of_it() {
    let of = |names: &str, number: i32| {
        let topics = names.split_whitespace().map(topic);
        let one = topics.flat_map(|t| partitions_of(&t, number..number + 1).collect::<Vec<_>>());
        one.collect::<Partitions>()
    };
    let mut members = [member("A", "t u v"), member("B", "t u v")];
    let found = |members: &[Member]| {
        let counts = counts(&[("t", 1), ("u", 1), ("v", 1)]);
        text(&COPARTITIONED.assign(&counts, members))
    };
    // They came from another assignor: B has more of it.
    members[0].subscription.owned = of("t", 0);
    members[1].subscription.owned = of("u v", 0);
    assert_eq!(found(&members), "A: | B: u0 v0", "t0 is given up first");
    members[0].subscription.owned = Partitions::new();
    assert_eq!(found(&members), "A: | B: t0 u0 v0");
    // With as much each it is the first who has it.
    members[0].subscription.owned = of("t", 0);
    members[1].subscription.owned = of("u", 0);
    assert_eq!(found(&members), "A: t0 | B:");
}

/// Who has partitions of each number.
fn by_number(found: &Assignments) -> BTreeMap<i32, BTreeSet<&str>> {
    let mut by_number = BTreeMap::<i32, BTreeSet<&str>>::new();
    for (id, partitions) in found {
        for partition in partitions {
            by_number
                .entry(partition.partition.0)
                .or_default()
                .insert(id);
        }
    }
    by_number
}

/// The numbers that each member has something of.
fn units(found: &Assignments) -> BTreeMap<&str, BTreeSet<i32>> {
    let numbers = |of: &Partitions| of.iter().map(|p| p.partition.0).collect();
    let each = found.iter();
    each.map(|(id, of)| (id.as_str(), numbers(of))).collect()
}

/// The members join until nothing changes.
fn settled(counts: &PartitionCounts, members: &[Member], had: Assignments) -> Assignments {
    let mut had = had;
    for generation in 1..10 {
        let members = rejoined(COPARTITIONED, members, &had, generation);
        let found = COPARTITIONED.assign(counts, &members);
        check_given_up(&members, &found);
        if found == had {
            return had;
        }
        had = found;
    }
    panic!("it never comes to rest: {had:?}");
}

proptest! {
    /// However many members there were before and are after: partitions of a number are together
    /// at all times, all is even in the end, and no more units have moved than must.
    #[test]
    fn copartitioned_units_stay_whole_and_move_no_more_than_they_must(
        before in prop::collection::btree_set(0..8_u8, 1..7),
        after in prop::collection::btree_set(0..8_u8, 1..7),
        sizes in [0..9, 0..9, 0..9],
    ) {
        let all = |numbers: &BTreeSet<u8>| named(&numbers.iter().map(|n| (*n, (0..3).collect())).collect());
        let (counts, total) = (counted(sizes), *sizes.iter().max().unwrap() as usize);
        let first = COPARTITIONED.assign(&counts, &all(&before));
        let mut had = first.clone();
        // One round gives up, the next gives away.
        for generation in 1..=2 {
            let members = rejoined(COPARTITIONED, &all(&after), &had, generation);
            had = COPARTITIONED.assign(&counts, &members);
            check_given_up(&members, &had);
            prop_assert!(by_number(&had).values().all(|ids| ids.len() == 1), "{:?}", had);
        }
        check_whole(&counts, &all(&after), &had);
        prop_assert_eq!(&settled(&counts, &all(&after), had.clone()), &had, "it is at rest");
        let (former, now) = (units(&first), units(&had));
        let loads = now.values().map(BTreeSet::len);
        prop_assert!(loads.clone().max().unwrap() - loads.min().unwrap() <= 1, "{:?}", now);
        let lost = |(id, units): (&&str, &BTreeSet<i32>)| {
            now.get(*id).map_or(0, |now| units.difference(now).count())
        };
        let moved = former.iter().map(lost).sum::<usize>();
        let sizes = after.iter().map(|n| former.get(&*n.to_string()).map_or(0, BTreeSet::len));
        prop_assert_eq!(moved, moves_min_of(sizes.collect(), total));
        if after.is_subset(&before) {
            prop_assert_eq!(moved, 0, "only what the leavers had moves");
        }
        if before.is_subset(&after) {
            let joined = after.len() - before.len();
            prop_assert!(moved <= joined * total.div_ceil(after.len()));
        }
    }

    /// With any subscriptions, and whatever the members read before.
    #[test]
    fn copartitioned_comes_to_rest_with_units_in_one_hand_where_that_can_be(
        before in members(), after in members(), by in 0..Assignor::ALL.len(),
        sizes in [0..9, 0..9, 0..9], later in [0..9, 0..9, 0..9],
    ) {
        let had = Assignor::ALL[by].assign(&counted(sizes), &named(&before));
        let (counts, members) = (counted(later), named(&after));
        let found = settled(&counts, &members, had);
        check_whole(&counts, &members, &found);
        let refs: Vec<&Member> = members.iter().collect();
        for (number, ids) in by_number(&found) {
            let there = subscribed(&counts, &refs);
            let here = there.iter().filter(|(_, count)| number < *count);
            let topics: Vec<_> = here.map(|(topic, _)| topic).collect();
            let knows_all = subscribers(&refs, topics.iter().copied());
            prop_assert!(ids.len() == 1 || knows_all.is_empty(), "{}: {:?}", number, found);
            // Topics with the same subscribers are together even so.
            let readers_of = |topic: &TopicName| {
                let place = TopicPartition::new(topic.clone(), PartitionId(number));
                let mut all = found.iter();
                all.find(|(_, of)| of.contains(&place)).map(|(id, _)| id)
            };
            for (a, b) in topics.iter().zip(topics.iter().skip(1)) {
                let same = subscribers(&refs, [*a]) == subscribers(&refs, [*b]);
                prop_assert!(!same || readers_of(a) == readers_of(b), "{:?}", found);
            }
        }
    }
}
