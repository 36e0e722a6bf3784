//! The choice of a record's partition.
//!
//! A record that names its partition goes there. A key decides by its murmur2, as the Java client
//! does it, so that equal keys meet in one partition, whichever client sent them. Records without
//! either stick to one partition until a batch of it is begun, then move on to the next (KIP-480):
//! fewer, fuller batches.

use brooklet_protocol::murmur2::partition_for_key;

use super::NewRecord;

/// Where a record may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// To this partition.
    Fixed(usize),
    /// Wherever a batch is open.
    Sticky,
}

/// Decides for a topic of `partition_count` partitions; `None` for a partition that is not there.
pub(super) fn choose(record: &NewRecord, partition_count: usize) -> Option<Choice> {
    let count = i32::try_from(partition_count)
        .ok()
        .filter(|count| *count > 0)?;
    let number = match (record.partition, &record.key) {
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
    use brooklet_protocol::PartitionId;
    use bytes::Bytes;

    #[test]
    fn a_partition_beats_a_key_and_a_key_beats_stickiness() {
        let key = Some(Bytes::from_static(b"LGA"));
        let mut record = NewRecord {
            key,
            partition: Some(PartitionId(2)),
            ..Default::default()
        };
        assert_eq!(choose(&record, 3), Some(Choice::Fixed(2)));
        record.partition = None;
        assert_eq!(choose(&record, 3), Some(Choice::Fixed(0)), "murmur2 of LGA");
        record.key = None;
        assert_eq!(choose(&record, 3), Some(Choice::Sticky));
    }

    #[test]
    fn a_partition_that_is_not_there_is_refused() {
        for (number, count) in [(3, 3), (-1, 3), (0, 0)] {
            let record = NewRecord {
                partition: Some(PartitionId(number)),
                ..Default::default()
            };
            assert_eq!(choose(&record, count), None, "{number} of {count}");
        }
    }
}
