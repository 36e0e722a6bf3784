//! `brooklet-cooperative-copartitioned`: partition n of every topic goes to the same member.
//!
//! A task of the stream engine joins what stands under one key in several topics, so it needs the
//! partitions of one number from all of them. Here the number is what is shared out:
//!
//! ```text
//!  t has 4 partitions, u has 4, v has 2                            members A and B
//!
//!    unit     0           1           2        3
//!             t0 u0 v0    t1 u1 v1    t2 u2    t3 u3
//!             A           B           A        B
//! ```
//!
//! Laws:
//! - every partition of a topic with a subscriber belongs to one unit, and a unit goes to one
//!   member; the number of units differs by at most one if all members may have all of them;
//! - a unit stays with the member that had most of it, and as few units move as possible
//!   ([`super::sharing`]);
//! - what moves is given up first (KIP-429): a member gets the rest of its unit only when no other
//!   member reads any of it. So never do two members read partitions of one unit, unless they came
//!   to it by another assignor.
//!
//! Members with different subscriptions: a unit goes to a member that is subscribed to all topics
//! that have a partition of that number. If only one member is (the first with a new version of the
//! program), it gets all of these units until others follow. If none is, the unit falls apart:
//! topics with the same subscribers stay together, and others do not. So everything is read, but
//! not beside its partner. A program that cannot live with that runs a version with other topics
//! under another group.
//!
//! A unit counts as one, however many topics have a partition of its number.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use brooklet_protocol::{PartitionId, TopicName, TopicPartition};

use super::sharing::{Class, Unit, share_out};
use super::{
    Assignments, Claim, Member, PartitionCounts, Partitions, owners, subscribed, subscribers,
};

/// Numbers that the same topics have.
#[derive(Debug)]
struct Band {
    topics: Vec<TopicName>,
    class: Class,
}

/// Shares out; `claims` are those of `members`, in their order.
pub(super) fn assign(
    counts: &PartitionCounts,
    members: &[&Member],
    claims: &[Claim],
) -> Assignments {
    let bands = bands(&subscribed(counts, members), members);
    let had = had(&bands, claims);
    let (topics, classes): (Vec<_>, Vec<_>) =
        bands.into_iter().map(|b| (b.topics, b.class)).unzip();
    let holdings = share_out(&classes, members.len(), &had);
    let readers = readers(members);
    let mut assignments = Assignments::new();
    for (member, units) in members.iter().zip(holdings) {
        let assigned = assignments.entry(member.id.clone()).or_default();
        for unit in units {
            let partitions = of_unit(&topics[unit.class], unit.number);
            assigned.extend(released(partitions, &member.id, &readers));
        }
    }
    assignments
}

/// The topics that have a number are the same from one topic's count to the next higher one.
fn bands(topics: &[(TopicName, i32)], members: &[&Member]) -> Vec<Band> {
    let ends: BTreeSet<i32> = topics.iter().map(|(_, count)| *count).collect();
    let mut bands = Vec::new();
    let mut start = 0;
    for end in ends {
        let here = topics.iter().filter(|(_, count)| *count >= end);
        let here: Vec<_> = here.map(|(topic, _)| topic).collect();
        bands.extend(of_numbers(start..end, here, members));
        start = end;
    }
    bands
}

/// One band, if somebody is subscribed to all of the topics.
fn of_numbers(numbers: Range<i32>, topics: Vec<&TopicName>, members: &[&Member]) -> Vec<Band> {
    let all = subscribers(members, topics.iter().copied());
    let mut by_takers = BTreeMap::<Vec<usize>, Vec<TopicName>>::new();
    for topic in topics {
        let takers = if all.is_empty() {
            subscribers(members, [topic])
        } else {
            all.clone()
        };
        by_takers.entry(takers).or_default().push(topic.clone());
    }
    let band = |(takers, topics)| {
        let numbers = numbers.clone();
        let class = Class { takers, numbers };
        Band { topics, class }
    };
    by_takers.into_iter().map(band).collect()
}

/// Who has had most of each unit; of several, the first.
fn had(bands: &[Band], claims: &[Claim]) -> BTreeMap<Unit, usize> {
    let mut shares = BTreeMap::<Unit, BTreeMap<usize, usize>>::new();
    for (partition, owner) in owners(claims) {
        let number = partition.partition.0;
        let is_its = |band: &Band| {
            band.class.numbers.contains(&number) && band.topics.contains(&partition.topic)
        };
        if let Some(class) = bands.iter().position(is_its) {
            let of_unit = shares.entry(Unit { class, number }).or_default();
            *of_unit.entry(owner).or_default() += 1;
        }
    }
    let most = |(unit, of_unit): (Unit, BTreeMap<usize, usize>)| {
        let of_unit = of_unit.into_iter();
        let most = of_unit.min_by_key(|(member, count)| (std::cmp::Reverse(*count), *member));
        most.map(|(member, _)| (unit, member))
    };
    shares.into_iter().filter_map(most).collect()
}

/// Who reads what, and has not given it up.
fn readers<'a>(members: &[&'a Member]) -> BTreeMap<&'a TopicPartition, Vec<&'a str>> {
    let mut readers = BTreeMap::<_, Vec<_>>::new();
    for member in members {
        for partition in &member.subscription.owned {
            let of_partition = readers.entry(partition).or_default();
            of_partition.push(member.id.as_str());
        }
    }
    readers
}

/// What a member gets of its unit in this generation: all of it, or, while another reads some of
/// it, what it has already.
fn released(
    mut partitions: Partitions,
    id: &str,
    readers: &BTreeMap<&TopicPartition, Vec<&str>>,
) -> Partitions {
    let by_others = |partition: &TopicPartition| {
        let readers = readers.get(partition).into_iter().flatten();
        readers.filter(|reader| **reader != id).count() > 0
    };
    let by_itself = |partition: &TopicPartition| {
        let readers = readers.get(partition);
        readers.is_some_and(|readers| readers.contains(&id))
    };
    if partitions.iter().any(by_others) {
        partitions.retain(by_itself);
    }
    partitions
}

fn of_unit(topics: &[TopicName], number: i32) -> Partitions {
    let of_topic = |topic: &TopicName| TopicPartition::new(topic.clone(), PartitionId(number));
    topics.iter().map(of_topic).collect()
}
