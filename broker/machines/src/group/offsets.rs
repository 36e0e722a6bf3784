//! The records that take committed offsets back: on request, with their topic, and when they
//! expire.
//!
//! Pure functions of what is known of a group; what they return is logged by the machine.

use std::collections::BTreeSet;
use std::time::Duration;

use brooklet_protocol::{Timestamp, TopicPartition};

use super::answer::GroupError;
use super::classic::Group;
use super::command::Outcomes;
use super::hard::HardState;
use super::member::subscribed_topics;
use super::record::{CommittedOffset, GroupRecord};
use crate::LogRecord;

/// The protocol type of consumers.
const CONSUMER: &str = "consumer";

/// The record of an offset; `None` is its tombstone.
pub(super) fn record(
    group: &str,
    at: TopicPartition,
    committed: Option<CommittedOffset>,
) -> LogRecord {
    let record = GroupRecord::Offset {
        group: group.to_owned(),
        topic: at.topic,
        partition: at.partition,
        committed,
    };
    record.encode()
}

/// Tombstones of the offsets that count and that `is_gone` picks.
pub(super) fn tombstones(
    hard: &HardState,
    id: &str,
    is_gone: impl Fn(&TopicPartition, &CommittedOffset) -> bool,
) -> Vec<LogRecord> {
    let offsets = hard.offsets(id).iter();
    let gone = offsets.filter(|(at, offset)| is_gone(at, offset));
    gone.map(|(at, _)| record(id, at.clone(), None)).collect()
}

/// Tombstones of the pending offsets that `is_gone` picks, except where one counts, too.
pub(super) fn pending_tombstones(
    hard: &HardState,
    id: &str,
    is_gone: impl Fn(&TopicPartition) -> bool,
) -> Vec<LogRecord> {
    let offsets = hard.offsets(id);
    let pending = hard.pending().partitions(id);
    let gone: BTreeSet<_> = pending
        .filter(|at| is_gone(at) && !offsets.contains_key(at))
        .collect();
    let gone = gone.into_iter();
    gone.map(|at| record(id, at.clone(), None)).collect()
}

/// Tombstones of a group's offsets that `is_gone` picks, and of the group, if it has no members and
/// no offsets are left.
pub(super) fn deletion(
    hard: &HardState,
    (id, group): (&str, &Group),
    is_gone: impl Fn(&TopicPartition, &CommittedOffset) -> bool,
) -> Vec<LogRecord> {
    let mut records = tombstones(hard, id, is_gone);
    if records.len() == hard.offsets(id).len() && group.is_empty() {
        let group = id.to_owned();
        let stored = None;
        records.push(GroupRecord::Group { group, stored }.encode());
    }
    records
}

/// Tombstones of what has expired (KIP-211): offsets that a group without members committed too
/// long ago, or that belong to a topic that no member reads any longer. The group goes with its
/// last offset.
pub(super) fn expired(
    hard: &HardState,
    (id, group): (&str, &Group),
    now: Timestamp,
    retention: Duration,
) -> Vec<LogRecord> {
    if hard.pending().partitions(id).next().is_some() {
        return Vec::new();
    }
    let retention = i64::try_from(retention.as_millis()).unwrap_or(i64::MAX);
    let is_old = |since: Timestamp| now.0.saturating_sub(since.0) >= retention;
    if group.is_empty() {
        let since_empty = group.protocol_type.is_some().then_some(group.since);
        return deletion(hard, (id, group), |_, committed| {
            let since = since_empty.unwrap_or(committed.committed_at);
            is_old(since.max(committed.committed_at))
        });
    }
    match subscriptions(group) {
        Some(topics) => tombstones(hard, id, |at, committed| {
            is_old(committed.committed_at) && !topics.contains(at.topic.as_str())
        }),
        None => Vec::new(),
    }
}

/// Tombstones of offsets that a client deletes, and a result for each of them.
///
/// # Errors
/// The group is in use by others than consumers.
pub(super) fn deleted(
    hard: &HardState,
    (id, group): (&str, &Group),
    partitions: Vec<TopicPartition>,
) -> Result<(Vec<LogRecord>, Outcomes), GroupError> {
    let is_consumers = group.protocol_type.as_deref() == Some(CONSUMER);
    if !group.is_empty() && !is_consumers {
        return Err(GroupError::NotEmpty);
    }
    let subscribed = if group.is_empty() {
        Some(BTreeSet::new())
    } else {
        subscriptions(group)
    };
    let mut records = Vec::new();
    let results = partitions.into_iter().map(|at| {
        let is_read = |topics: &BTreeSet<String>| topics.contains(at.topic.as_str());
        if subscribed.as_ref().is_none_or(is_read) {
            return Err(GroupError::Subscribed);
        }
        let is_pending = hard.pending().partitions(id).any(|pending| *pending == at);
        if is_pending || hard.offsets(id).contains_key(&at) {
            records.push(record(id, at, None));
        }
        Ok(())
    });
    let results = results.collect();
    Ok((records, results))
}

/// The topics that the members of a group of consumers are subscribed to; `None` if that is
/// unknown.
fn subscriptions(group: &Group) -> Option<BTreeSet<String>> {
    if group.protocol_type.as_deref() != Some(CONSUMER) {
        return None;
    }
    let protocol = group.protocol.as_deref();
    let mut all = BTreeSet::new();
    for member in group.members.values() {
        all.extend(subscribed_topics(&member.subscription(protocol))?);
    }
    Some(all)
}
