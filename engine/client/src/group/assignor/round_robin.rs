//! `roundrobin`: all partitions of all topics, like cards, to one member after the other.
//!
//! A member that is not subscribed to a partition's topic is passed over and has its turn with the
//! next.

use super::{Assignments, Member, PartitionCounts, partitions_of, subscribed};

pub(super) fn assign(counts: &PartitionCounts, members: &[&Member], assignments: &mut Assignments) {
    let mut turn = members.iter().cycle();
    for (topic, count) in subscribed(counts, members) {
        for partition in partitions_of(&topic, 0..count) {
            let reader = turn.find(|member| member.subscription.topics.contains(&topic));
            let reader = reader.expect("somebody is subscribed to the topic");
            assignments
                .entry(reader.id.clone())
                .or_default()
                .insert(partition);
        }
    }
}
