//! DescribeLogDirs (35), versions 1 to 4: the data directory, and the size of each partition in it.
//!
//! A partition that is offline is left out, since its size is unknown, and so is a topic or
//! partition that does not exist. Nothing moves between directories, so no partition lags.
//!
//! Left out: the size of the volume and its free space (version 4): -1, "unknown".

use std::collections::BTreeSet;

use brooklet_protocol::messages::kafka::describe_log_dirs_response::{
    DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic,
};
use brooklet_protocol::messages::kafka::{
    DescribeLogDirsRequest, DescribeLogDirsResponse, TopicName,
};

use super::call::Call;
use super::context::ApiContext;
use super::groups::text;
use crate::controller::Topic;
use crate::partition::PartitionState;

const UNKNOWN: i64 = -1;

pub(super) async fn handle(
    ctx: &ApiContext,
    Call { request, .. }: Call<DescribeLogDirsRequest>,
) -> DescribeLogDirsResponse {
    let image = ctx.controller.image();
    let topics = match request.topics {
        None => image
            .topics
            .values()
            .filter_map(|topic| describe(topic, None))
            .collect(),
        Some(asked) => {
            let found = asked.into_iter().filter_map(|asked| {
                let topic = image.topic(asked.topic.as_str())?;
                describe(topic, Some(&asked.partitions.into_iter().collect()))
            });
            found.collect()
        }
    };
    let result = DescribeLogDirsResult::default()
        .with_log_dir(text(&ctx.settings.log_dir))
        .with_topics(topics)
        .with_total_bytes(UNKNOWN)
        .with_usable_bytes(UNKNOWN);
    DescribeLogDirsResponse::default().with_results(vec![result])
}

/// The open partitions that are asked for, or all of them; `None` if there are none.
fn describe(topic: &Topic, asked: Option<&BTreeSet<i32>>) -> Option<DescribeLogDirsTopic> {
    let open = topic.partitions.iter().filter_map(PartitionState::open);
    let is_asked = |number: i32| asked.is_none_or(|asked| asked.contains(&number));
    let partitions = open.filter(|partition| is_asked(partition.id().partition.0));
    let partitions: Vec<_> = partitions
        .map(|partition| {
            let bytes = partition.log().size_bytes();
            DescribeLogDirsPartition::default()
                .with_partition_index(partition.id().partition.0)
                .with_partition_size(i64::try_from(bytes).unwrap_or(i64::MAX))
        })
        .collect();
    let is_empty = partitions.is_empty();
    let described = DescribeLogDirsTopic::default()
        .with_name(TopicName(text(topic.name.as_str())))
        .with_partitions(partitions);
    (!is_empty).then_some(described)
}
