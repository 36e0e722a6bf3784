//! OffsetFetch (9), versions 1 to 9: how far groups have read.
//!
//! - Version 8 and up ask for several groups (KIP-709). Without topics all offsets are meant (version 2
//!   and up).
//! - What was never committed is answered with offset -1 and no error; so is everything of a group
//!   that there is not.
//! - Who requires stable offsets (version 7 and up, KIP-447) is told UNSTABLE_OFFSET_COMMIT where an open
//!   transaction will say how far the group has read.
//!
//! Left out: topic ids (version 10).

use std::collections::BTreeMap;

use brooklet_machines::group::Groups;
use brooklet_machines::group::record::CommittedOffset;
use brooklet_protocol::messages::kafka::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use brooklet_protocol::messages::kafka::{self, OffsetFetchRequest, OffsetFetchResponse};
use brooklet_protocol::messages::{ErrorCode, StrBytes};
use brooklet_protocol::{PartitionId, TopicName, TopicPartition};

use super::context::ApiContext;
use super::groups::{NONE, failed, text};

const SEVERAL_GROUPS: i16 = 8;

/// Topics with the partitions that are asked for; `None` for all.
type Asked = Option<Vec<(kafka::TopicName, Vec<i32>)>>;
/// For each partition its offset, if there is one.
type Found = Vec<(kafka::TopicName, Vec<(i32, Committed)>)>;

/// What a group has committed of a partition.
#[derive(Clone, Debug)]
enum Committed {
    Offset(Option<CommittedOffset>),
    /// An open transaction will say.
    Unstable,
}

pub(super) async fn handle(
    ctx: &ApiContext,
    version: i16,
    request: OffsetFetchRequest,
) -> OffsetFetchResponse {
    if version >= SEVERAL_GROUPS {
        let mut groups = Vec::with_capacity(request.groups.len());
        for group in request.groups {
            let topics = group.topics.map(|topics| {
                topics
                    .into_iter()
                    .map(|topic| (topic.name, topic.partition_indexes))
                    .collect()
            });
            let id = group.group_id.as_str();
            let (found, code) = find(ctx, id, topics, request.require_stable).await;
            let found = found.into_iter().map(|(name, partitions)| {
                OffsetFetchResponseTopics::default()
                    .with_name(name)
                    .with_partitions(partitions.into_iter().map(of_several).collect())
            });
            groups.push(
                OffsetFetchResponseGroup::default()
                    .with_group_id(group.group_id)
                    .with_topics(found.collect())
                    .with_error_code(code),
            );
        }
        return OffsetFetchResponse::default().with_groups(groups);
    }
    let topics = request.topics.map(|topics| {
        topics
            .into_iter()
            .map(|topic| (topic.name, topic.partition_indexes))
            .collect()
    });
    let id = request.group_id.as_str();
    let (found, code) = find(ctx, id, topics, request.require_stable).await;
    let found = found.into_iter().map(|(name, partitions)| {
        let partitions = partitions
            .into_iter()
            .map(|partition| of_one(partition, code));
        OffsetFetchResponseTopic::default()
            .with_name(name)
            .with_partitions(partitions.collect())
    });
    OffsetFetchResponse::default()
        .with_topics(found.collect())
        .with_error_code(code)
}

/// What a group has of what is asked, and an error code.
async fn find(ctx: &ApiContext, group: &str, asked: Asked, require_stable: bool) -> (Found, i16) {
    let look = |groups: &Groups| {
        let offsets = groups.offsets(group).into_iter().flatten();
        let offsets =
            offsets.map(|(place, offset)| (place.clone(), Committed::Offset(Some(offset.clone()))));
        let mut offsets: BTreeMap<_, _> = offsets.collect();
        if require_stable {
            let pending = groups.pending_partitions(group).cloned();
            offsets.extend(pending.map(|place| (place, Committed::Unstable)));
        }
        offsets
    };
    let (offsets, code) = match ctx.groups.look(group, look).await {
        Ok(offsets) => (offsets, 0),
        Err(error) => (BTreeMap::new(), failed(group, &error)),
    };
    let Some(asked) = asked else {
        return (everything(offsets), code);
    };
    let of_topic = |(name, partitions): (kafka::TopicName, Vec<i32>)| {
        let topic = TopicName::new(name.as_str()).ok();
        let offset = |partition: i32| {
            let at = topic.clone();
            let at = at.map(|topic| TopicPartition::new(topic, PartitionId(partition)));
            let found = at.and_then(|at| offsets.get(&at).cloned());
            found.unwrap_or(Committed::Offset(None))
        };
        let partitions = partitions
            .into_iter()
            .map(|partition| (partition, offset(partition)));
        (name, partitions.collect())
    };
    (asked.into_iter().map(of_topic).collect(), code)
}

fn everything(offsets: BTreeMap<TopicPartition, Committed>) -> Found {
    let mut found: Found = Vec::new();
    for (TopicPartition { topic, partition }, committed) in offsets {
        let name = kafka::TopicName(text(topic.as_str()));
        let offset = (partition.0, committed);
        match found.last_mut() {
            Some((last, partitions)) if *last == name => partitions.push(offset),
            _ => found.push((name, vec![offset])),
        }
    }
    found
}

fn of_several((partition, committed): (i32, Committed)) -> OffsetFetchResponsePartitions {
    let (offset, leader_epoch, metadata, code) = parts(committed);
    OffsetFetchResponsePartitions::default()
        .with_partition_index(partition)
        .with_committed_offset(offset)
        .with_committed_leader_epoch(leader_epoch)
        .with_metadata(Some(metadata))
        .with_error_code(code)
}

/// `code` is that of the group, which these versions have no other place for.
fn of_one((partition, committed): (i32, Committed), code: i16) -> OffsetFetchResponsePartition {
    let (offset, leader_epoch, metadata, own) = parts(committed);
    OffsetFetchResponsePartition::default()
        .with_partition_index(partition)
        .with_committed_offset(offset)
        .with_committed_leader_epoch(leader_epoch)
        .with_metadata(Some(metadata))
        .with_error_code(if code == NONE { own } else { code })
}

fn parts(committed: Committed) -> (i64, i32, StrBytes, i16) {
    match committed {
        Committed::Offset(Some(committed)) => (
            committed.offset.0,
            committed.leader_epoch,
            text(&committed.metadata),
            NONE,
        ),
        Committed::Offset(None) => (-1, -1, StrBytes::default(), NONE),
        Committed::Unstable => {
            let code = ErrorCode::UnstableOffsetCommit.code();
            (-1, -1, StrBytes::default(), code)
        }
    }
}
