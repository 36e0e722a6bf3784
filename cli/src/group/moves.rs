//! Moving groups to offsets, for `seek` and `import`.
//!
//! Without `--execute`, nothing is changed. A group with members is always refused, before any
//! group is moved: its members would read on from where they are, and overwrite the new offsets
//! when they commit.

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

/// The offsets that a group is moved to.
pub(super) type Targets = BTreeMap<TopicPartition, Offset>;

/// How a verb moves groups.
#[derive(Debug, clap::Args)]
pub(super) struct MoveArgs {
    /// Make the change instead of only showing it
    #[arg(long)]
    execute: bool,
    /// How to print
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t)]
    output: OutputFormat,
}

/// The move of a group in one partition.
#[derive(Debug, Serialize)]
struct Move {
    group: String,
    topic: String,
    partition: i32,
    from: Option<i64>,
    to: i64,
}

/// The offsets that each partition has.
///
/// # Errors
/// No answer, no such partition.
pub(super) async fn ranges(
    client: &Client,
    partitions: &[TopicPartition],
) -> Result<BTreeMap<TopicPartition, OffsetRange>, ClientError> {
    let starts = client
        .list_offsets(partitions, OffsetSpec::Earliest)
        .await?;
    let ends = client.list_offsets(partitions, OffsetSpec::Latest).await?;
    let range = |(partition, start)| {
        let end = ends[&partition];
        (partition, OffsetRange { start, end })
    };
    Ok(starts.into_iter().map(range).collect())
}

/// Prints the moves, and makes them if told to.
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
        moves.extend(targets.iter().map(|(partition, to)| Move {
            group: group.clone(),
            topic: partition.topic.to_string(),
            partition: partition.partition.0,
            from: committed.get(partition).map(|offset| offset.0),
            to: to.0,
        }));
    }
    if args.execute {
        for (group, targets) in targets {
            client.commit_offsets(group, targets).await?;
            globals.note(format_args!("moved group {group}"));
        }
    } else {
        globals.note("nothing was changed: to make these changes, add --execute");
    }
    let name_groups = targets.len() > 1;
    print_all(
        output,
        (args.output, SCHEMA, "partitions"),
        &moves,
        |moves| text(moves, name_groups),
    )
}

/// Fails as the broker would when a group with members is moved. The broker still decides: a member
/// may join in between, and DescribeGroups does not know groups of the next protocol (KIP-848).
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
