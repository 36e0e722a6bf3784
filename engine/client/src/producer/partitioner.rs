//! The choice of a record's partition.
//!
//! A record that names its partition goes there. A key decides by its murmur2, as the Java client
//! does it, so that equal keys meet in one partition, whichever client sent them. Records without
//! either stick to one partition until a batch of it is begun, then move on to the next (KIP-480):
//! fewer, fuller batches.

use brooklet_protocol::PartitionId;
use brooklet_protocol::murmur2::partition_for_key;

/// Where a record may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// To this partition.
    Fixed(usize),
    /// Wherever a batch is open.
    Sticky,
}

/// Decides for a topic of `partition_count` partitions, by the partition that a record names and by
/// its key; `None` for a partition that is not there.
pub(super) fn choose(
    partition: Option<PartitionId>,
    key: Option<&[u8]>,
    partition_count: usize,
) -> Option<Choice> {
    let count = i32::try_from(partition_count)
        .ok()
        .filter(|count| *count > 0)?;
    let number = match (partition, key) {
        (Some(partition), _) => partition.0,
        (None, Some(key)) => partition_for_key(key, count).0,
        (None, None) => return Some(Choice::Sticky),
    };
    let index = usize::try_from(number).ok()?;
    (index < partition_count).then_some(Choice::Fixed(index))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_beats_a_key_and_a_key_beats_stickiness() {
        let (partition, key) = (Some(PartitionId(2)), Some(&b"LGA"[..]));
        assert_eq!(choose(partition, key, 3), Some(Choice::Fixed(2)));
        let by_key = choose(None, key, 3);
        assert_eq!(by_key, Some(Choice::Fixed(0)), "murmur2 of LGA");
        assert_eq!(choose(None, None, 3), Some(Choice::Sticky));
    }

    #[test]
    fn a_partition_that_is_not_there_is_refused() {
        for (number, count) in [(3, 3), (-1, 3), (0, 0)] {
            let chosen = choose(Some(PartitionId(number)), None, count);
            assert_eq!(chosen, None, "{number} of {count}");
        }
    }
}
