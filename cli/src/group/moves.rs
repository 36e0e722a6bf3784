//! Moving groups to offsets: what `seek` and `import` have in common.
//!
//! Nothing is done without `--execute`. A group with members is refused in either case, and before any
//! group is moved: the members would go on where they are, and commit that over what was set.

use std::collections::BTreeMap;
use std::io::Write;

use brooklet_client::{Client, ClientError, OffsetSpec};
use brooklet_protocol::messages::ErrorCode;
use brooklet_protocol::{Offset, TopicPartition};
use serde::Serialize;

use super::SCHEMA;
use crate::globals::Globals;
use crate::output::{Output, OutputFormat, print_all};
use crate::start_offset::OffsetRange;
use crate::text::{Text, table};

/// Where a group goes.
pub(super) type Targets = BTreeMap<TopicPartition, Offset>;

/// How a verb moves groups.
#[derive(Debug, clap::Args)]
pub(super) struct MoveArgs {
    /// Do it
    #[arg(long)]
    execute: bool,
    /// How to print
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t)]
    output: OutputFormat,
}

/// Where a group goes in one partition.
#[derive(Debug, Serialize)]
struct Move {
    group: String,
    topic: String,
    partition: i32,
    from: Option<i64>,
    to: i64,
}

/// What there is of each partition.
///
/// # Errors
/// No answer, no such partition.
pub(super) async fn ranges(
    client: &Client,
    places: &[TopicPartition],
) -> Result<BTreeMap<TopicPartition, OffsetRange>, ClientError> {
    let starts = client.list_offsets(places, OffsetSpec::Earliest).await?;
    let ends = client.list_offsets(places, OffsetSpec::Latest).await?;
    let range = |(place, start)| {
        let end = ends[&place];
        (place, OffsetRange { start, end })
    };
    Ok(starts.into_iter().map(range).collect())
}

/// Moves each group, or only says where it would go; prints either.
///
/// # Errors
/// A group has members; no answer. Groups that were moved before that are named.
pub(super) async fn move_groups<W: Write>(
    globals: &Globals,
    client: &Client,
    targets: &BTreeMap<String, Targets>,
    args: &MoveArgs,
    output: &mut Output<W>,
) -> anyhow::Result<()> {
    let mut moves = Vec::new();
    for (group, targets) in targets {
        refuse_members(client, group).await?;
        let committed = client.committed_offsets(group).await?;
        moves.extend(targets.iter().map(|(place, to)| Move {
            group: group.clone(),
            topic: place.topic.to_string(),
            partition: place.partition.0,
            from: committed.get(place).map(|offset| offset.0),
            to: to.0,
        }));
    }
    if args.execute {
        for (group, targets) in targets {
            client.commit_offsets(group, targets).await?;
            globals.note(format_args!("moved group {group}"));
        }
    } else {
        globals.note("nothing was done yet; do it with --execute");
    }
    let name_groups = targets.len() > 1;
    print_all(
        output,
        (args.output, SCHEMA, "partitions"),
        &moves,
        |moves| text(moves, name_groups),
    )
}

/// Fails as the broker would if a group with members were moved. It has the last word: someone may join
/// in between, and of a group of the next protocol (KIP-848) DescribeGroups knows nothing.
async fn refuse_members(client: &Client, group: &str) -> Result<(), ClientError> {
    match client.describe_group(group).await {
        Ok(described) if described.members.is_empty() => Ok(()),
        Ok(_) => Err(ClientError::Broker {
            what: format!("commit offsets of group '{group}'"),
            code: ErrorCode::UnknownMemberId,
            message: None,
        }),
        Err(ClientError::UnknownGroup(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

fn text(moves: &[Move], name_groups: bool) -> Text {
    let row = |m: &Move| {
        let from = m.from.map_or_else(|| "-".to_owned(), |n| n.to_string());
        let mut row = vec![m.topic.clone(), m.partition.to_string(), from];
        row.push(m.to.to_string());
        if name_groups {
            row.insert(0, m.group.clone());
        }
        row
    };
    let rows: Vec<_> = moves.iter().map(row).collect();
    let header = ["GROUP", "TOPIC", "PARTITION", "FROM", "TO"];
    table(&header[usize::from(!name_groups)..], &rows)
}
