//! `group seek`: to the beginning, the end, an offset or a time.

use std::collections::BTreeMap;
use std::io::Write;

use brooklet_client::{Client, OffsetSpec};
use brooklet_protocol::{PartitionId, TopicName, TopicPartition};

use super::moves::{self, MoveArgs, Targets};
use crate::globals::Globals;
use crate::output::Output;
use crate::start_offset::StartOffset;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  brooklet group seek readers --to beginning             only shows what it would do
  brooklet group seek readers --to beginning --execute
  brooklet group seek readers --topic clicks --to @2013-03-08T12:00:00Z --execute")]
pub(super) struct SeekArgs {
    /// The group; created if it does not exist
    #[arg(value_name = "GROUP")]
    group: String,
    /// Where to move it: beginning, end, an offset, -N (before the end), @TIME
    #[arg(long, value_name = "START", allow_hyphen_values = true)]
    to: StartOffset,
    /// Only this topic; may be repeated [default: all topics with committed offsets]
    #[arg(long, value_name = "NAME", value_parser = TopicName::new)]
    topic: Vec<TopicName>,
    #[command(flatten)]
    how: MoveArgs,
}

pub(super) async fn seek<W: Write>(
    globals: &Globals,
    client: &Client,
    args: &SeekArgs,
    output: &mut Output<W>,
) -> anyhow::Result<()> {
    let mut partitions: Vec<TopicPartition> = Vec::new();
    for topic in &args.topic {
        let count = client.partition_count(topic).await?;
        partitions.extend((0..count).map(|p| TopicPartition::new(topic.clone(), PartitionId(p))));
    }
    if args.topic.is_empty() {
        partitions.extend(client.committed_offsets(&args.group).await?.into_keys());
    }
    let targets = targets(client, &partitions, args.to).await?;
    let targets = BTreeMap::from([(args.group.clone(), targets)]);
    moves::move_groups(globals, client, &targets, &args.how, output).await
}

/// The offset that a start means in each partition.
async fn targets(
    client: &Client,
    partitions: &[TopicPartition],
    to: StartOffset,
) -> anyhow::Result<Targets> {
    let ranges = moves::ranges(client, partitions).await?;
    let times = match to {
        StartOffset::Time(time) => {
            client
                .list_offsets(partitions, OffsetSpec::At(time))
                .await?
        }
        _ => BTreeMap::new(),
    };
    let target = |partition: &TopicPartition| {
        let placed = ranges[partition].resolve(to, times.get(partition).copied());
        (partition.clone(), placed)
    };
    Ok(partitions.iter().map(target).collect())
}
