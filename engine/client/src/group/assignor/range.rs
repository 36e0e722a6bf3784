//! `range`: of each topic a run of partitions to each of its subscribers, in the order of the
//! members.
//!
//! ```text
//!  7 partitions, 3 subscribers:   0 1 2 │ 3 4 │ 5 6      the first 7 mod 3 get one more
//! ```
//!
//! Topics with as many partitions and the same subscribers are shared out alike, so that partition
//! n of both has the same reader. The price is that the first members get the odd ones of every
//! topic.

use super::{Assignments, Member, PartitionCounts, partitions_of, subscribed};

pub(super) fn assign(counts: &PartitionCounts, members: &[&Member], assignments: &mut Assignments) {
    for (topic, count) in subscribed(counts, members) {
        let readers = members
            .iter()
            .filter(|m| m.subscription.topics.contains(&topic));
        let readers: Vec<_> = readers.collect();
        let reader_count =
            i32::try_from(readers.len()).expect("a group has fewer than 2^31 members");
        let (each, mut odd) = (count / reader_count, count % reader_count);
        let mut start = 0;
        for reader in readers {
            let end = start + each + i32::from(odd > 0);
            odd = (odd - 1).max(0);
            let partitions = partitions_of(&topic, start..end);
            assignments
                .entry(reader.id.clone())
                .or_default()
                .extend(partitions);
            start = end;
        }
    }
}
