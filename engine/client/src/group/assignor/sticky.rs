//! `sticky`: as even as the subscriptions allow, and what can stay where it was stays.
//!
//! Every partition is a unit of its own, and those of one topic are a class ([`super::sharing`]).
//! It stays with the member that claims it alone, or with the highest generation.

use std::collections::{BTreeMap, BTreeSet};

use brooklet_protocol::{PartitionId, TopicPartition};

use super::sharing::{Class, Unit, share_out};
use super::{Assignments, Claim, Member, PartitionCounts, owners, subscribed, subscribers};

/// Shares out; `claims` are those of `members`, in their order.
pub(super) fn assign(
    counts: &PartitionCounts,
    members: &[&Member],
    claims: &[Claim],
) -> Assignments {
    let topics = subscribed(counts, members);
    let class = |(topic, count): &(_, i32)| Class {
        takers: subscribers(members, [topic]),
        numbers: 0..*count,
    };
    let classes: Vec<_> = topics.iter().map(class).collect();
    let unit = |(partition, owner): (&TopicPartition, usize)| {
        let class = topics.iter().position(|(t, _)| *t == partition.topic)?;
        let number = partition.partition.0;
        Some((Unit { class, number }, owner))
    };
    let had = owners(claims).into_iter().filter_map(unit).collect();
    let holdings = share_out(&classes, members.len(), &had);
    let partition = |unit: Unit| {
        let (topic, _) = &topics[unit.class];
        TopicPartition::new(topic.clone(), PartitionId(unit.number))
    };
    let partitions = |units: BTreeSet<Unit>| units.into_iter().map(partition).collect();
    let ids = members.iter().map(|member| member.id.clone());
    ids.zip(holdings.into_iter().map(partitions)).collect()
}

/// Takes back what another still reads: it is given up in this generation and given away in the
/// next.
pub(super) fn hold_back(members: &[&Member], assignments: &mut Assignments) {
    let mut readers = BTreeMap::<&TopicPartition, Vec<&str>>::new();
    for member in members {
        for partition in &member.subscription.owned {
            readers.entry(partition).or_default().push(&member.id);
        }
    }
    for (id, assigned) in assignments {
        assigned.retain(|partition| match readers.get(partition) {
            Some(readers) => readers.contains(&id.as_str()),
            None => true,
        });
    }
}
