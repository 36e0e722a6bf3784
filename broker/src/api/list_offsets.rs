//! ListOffsets (2), versions 1 to 10: offsets by timestamp.
//!
//! | timestamp | meaning | from version |
//! |---|---|---|
//! | ≥ 0 | the first record with this timestamp or a later one; if none: offset and timestamp -1 | 1 |
//! | -1 | latest: the high watermark, or the last stable offset | 1 |
//! | -2 | earliest: the log start | 1 |
//! | -3 | the record with the highest timestamp; if none: -1 | 7 |
//! | -4 | earliest on this machine's disk: the log start | 8 |
//! | -5 | the last in tiered storage, which does not exist: -1 | 9 |
//!
//! Other negative timestamps, and these before their version, are answered with
//! UNSUPPORTED_VERSION, and a partition named twice with INVALID_REQUEST. Under read_committed
//! (from version 2 on) the latest offset is the last stable offset, and records beyond it are not
//! found.

use std::collections::BTreeSet;

use brooklet_protocol::messages::ErrorCode;
use brooklet_protocol::messages::kafka::list_offsets_request::ListOffsetsPartition;
use brooklet_protocol::messages::kafka::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use brooklet_protocol::messages::kafka::{ListOffsetsRequest, ListOffsetsResponse, TopicName};
use brooklet_protocol::{Isolation, Offset, Timestamp};
use tokio::task::spawn_blocking;

use super::call::Call;
use super::context::ApiContext;
use super::error::ApiError;
use super::topics::{TopicRef, check_leader_epoch, find_partition, find_topic};
use crate::controller::{MetadataImage, joined};
use crate::partition::Partition;

/// The timestamp that asks for the record with the highest one.
const MAX_TIMESTAMP: i64 = -3;
/// The answer if there is no such record.
const NONE: (Offset, Timestamp) = (Offset(-1), Timestamp::NONE);

pub(super) async fn handle(
    ctx: &ApiContext,
    Call {
        version, request, ..
    }: Call<ListOffsetsRequest>,
) -> ListOffsetsResponse {
    let image = ctx.controller.image();
    if !looks_into_logs(&request) {
        return answers(&image, version, &request);
    }
    joined(spawn_blocking(move || answers(&image, version, &request)).await)
}

/// Whether records have to be searched, which may have to wait for the disk.
fn looks_into_logs(request: &ListOffsetsRequest) -> bool {
    let mut asked = request.topics.iter().flat_map(|topic| &topic.partitions);
    asked.any(|partition| partition.timestamp >= 0 || partition.timestamp == MAX_TIMESTAMP)
}

fn answers(
    image: &MetadataImage,
    version: i16,
    request: &ListOffsetsRequest,
) -> ListOffsetsResponse {
    let isolation = Isolation::of_level(request.isolation_level);
    let mut seen = BTreeSet::new();
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in &request.topics {
        let answers = topic.partitions.iter().map(|asked| {
            let found = if seen.insert((topic.name.clone(), asked.partition_index)) {
                look_up(image, (version, isolation), &topic.name, asked)
            } else {
                Err(ApiError::new(
                    ErrorCode::InvalidRequest,
                    "the partition is in the request twice",
                ))
            };
            answer(version, asked.partition_index, found)
        });
        let partitions = answers.collect();
        topics.push(
            ListOffsetsTopicResponse::default()
                .with_name(topic.name.clone())
                .with_partitions(partitions),
        );
    }
    ListOffsetsResponse::default().with_topics(topics)
}

/// The offset, the timestamp and the leader epoch.
type Found = (Offset, Timestamp, i32);

fn look_up(
    image: &MetadataImage,
    (version, isolation): (i16, Isolation),
    name: &TopicName,
    asked: &ListOffsetsPartition,
) -> Result<Found, ApiError> {
    let topic = find_topic(image, TopicRef::Name(name))?;
    let partition = find_partition(topic, asked.partition_index)?;
    check_leader_epoch(partition, asked.current_leader_epoch)?;
    let (offset, timestamp) = offset_at(partition, (version, isolation), asked.timestamp)?;
    let epoch = match offset {
        Offset(-1) => -1,
        Offset(_) => partition.leader_epoch().0,
    };
    Ok((offset, timestamp, epoch))
}

fn offset_at(
    partition: &Partition,
    (version, isolation): (i16, Isolation),
    timestamp: i64,
) -> Result<(Offset, Timestamp), ApiError> {
    Ok(match timestamp {
        0.. => partition
            .offset_for_timestamp(Timestamp(timestamp), isolation)?
            .unwrap_or(NONE),
        -1 => (partition.end_for(isolation), Timestamp::NONE),
        -2 => (partition.log_start_offset(), Timestamp::NONE),
        MAX_TIMESTAMP if version >= 7 => partition.max_timestamp(isolation)?.unwrap_or(NONE),
        -4 if version >= 8 => (partition.log_start_offset(), Timestamp::NONE),
        -5 if version >= 9 => NONE,
        _ => {
            let message = format!("timestamp {timestamp} is not supported in version {version}");
            return Err(ApiError::new(ErrorCode::UnsupportedVersion, message));
        }
    })
}

fn answer(
    version: i16,
    index: i32,
    found: Result<Found, ApiError>,
) -> ListOffsetsPartitionResponse {
    let response = ListOffsetsPartitionResponse::default().with_partition_index(index);
    match found {
        Ok((offset, timestamp, epoch)) => response
            .with_offset(offset.0)
            .with_timestamp(timestamp.0)
            .with_leader_epoch(if version >= 4 { epoch } else { -1 }),
        Err(error) => response
            .with_error_code(error.code.code())
            .with_offset(-1)
            .with_timestamp(-1)
            .with_leader_epoch(-1),
    }
}
