//! OffsetFetch (9), versions 1 to 9: the committed offsets of groups.
//!
//! - From version 8 on a request asks for several groups (KIP-709). Without topics (from version 2
//!   on) it asks for all offsets.
//! - A partition without a committed offset, and any partition of a group that does not exist, is
//!   answered with offset -1 and no error.
//! - If stable offsets are required (from version 7 on, KIP-447), a partition with an offset in an
//!   open transaction is answered with UNSTABLE_OFFSET_COMMIT.
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

use super::call::Call;
use super::context::ApiContext;
use super::groups::{NONE, failed, text};

const SEVERAL_GROUPS: i16 = 8;

/// The topics and partitions that are asked for; `None` for all.
type Asked = Option<Vec<(kafka::TopicName, Vec<i32>)>>;
/// Each partition with its offset, if there is one.
type Found = Vec<(kafka::TopicName, Vec<(i32, Committed)>)>;

/// The state of a partition in a group.
#[derive(Clone, Debug)]
enum Committed {
    Offset(Option<CommittedOffset>),
    /// An open transaction decides.
    Unstable,
}

pub(super) async fn handle(
    ctx: &ApiContext,
    Call {
        version, request, ..
    }: Call<OffsetFetchRequest>,
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

/// The offsets of a group that are asked for, and an error code.
async fn find(ctx: &ApiContext, group: &str, asked: Asked, require_stable: bool) -> (Found, i16) {
    let look = |groups: &Groups| {
        let offsets = groups.offsets(group).into_iter().flatten();
        let offsets = offsets.map(|(partition, offset)| {
            (partition.clone(), Committed::Offset(Some(offset.clone())))
        });
        let mut offsets: BTreeMap<_, _> = offsets.collect();
        if require_stable {
            let pending = groups.pending_partitions(group).cloned();
            offsets.extend(pending.map(|partition| (partition, Committed::Unstable)));
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

/// `code` is the error of the group, for which these versions have no field.
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
