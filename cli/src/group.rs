//! `group`: list, describe, move and delete consumer groups.

use std::collections::BTreeMap;
use std::io::Write;

use brooklet_engine::Client;
use brooklet_engine::client::{GroupDescription, GroupListing, OffsetSpec};
use brooklet_protocol::{Offset, PartitionId, TopicName, TopicPartition};
use clap::Subcommand;
use serde::Serialize;

use crate::Globals;
use crate::exit::Exit;
use crate::output::{Output, OutputFormat, print_all, table};
use crate::start_offset::{OffsetRange, StartOffset};

/// The version of the JSON that `group` prints; it changes when a key changes its meaning.
const SCHEMA: u32 = 1;

/// Arguments of `group`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  brooklet group list
  brooklet group describe readers
  brooklet group lag readers -o json
  brooklet group seek readers --to beginning --execute
  brooklet group delete readers")]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List all groups
    List(ListArgs),
    /// Show groups: their members, and what each reads
    Describe(DescribeArgs),
    /// Show how far groups are behind the end of what they read
    Lag(LagArgs),
    /// Move a group without members; shows what it would do, and does it with --execute
    Seek(SeekArgs),
    /// Delete groups without members, and their offsets
    Delete(DeleteArgs),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  brooklet group list
  brooklet group list -o jsonl | jq -r .group")]
struct ListArgs {
    /// How to print
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t)]
    output: OutputFormat,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  brooklet group describe readers
  brooklet group describe readers writers -o json")]
struct DescribeArgs {
    /// The groups
    #[arg(required = true, value_name = "GROUP")]
    groups: Vec<String>,
    /// How to print
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t)]
    output: OutputFormat,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  brooklet group lag readers
  brooklet group lag readers -o json | jq '[.partitions[].lag] | add'")]
struct LagArgs {
    /// The groups
    #[arg(required = true, value_name = "GROUP")]
    groups: Vec<String>,
    /// How to print
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t)]
    output: OutputFormat,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  brooklet group seek readers --to beginning             shows what would be done
  brooklet group seek readers --to beginning --execute
  brooklet group seek readers --topic clicks --to @2013-03-08T12:00:00Z --execute")]
struct SeekArgs {
    /// The group; it comes into being if it is not there
    #[arg(value_name = "GROUP")]
    group: String,
    /// Where to: beginning, end, an offset, -N (before the end), @TIME
    #[arg(long, value_name = "START", allow_hyphen_values = true)]
    to: StartOffset,
    /// This topic, may be repeated; without it all that the group has offsets of
    #[arg(long, value_name = "NAME", value_parser = TopicName::new)]
    topic: Vec<TopicName>,
    /// Do it
    #[arg(long)]
    execute: bool,
    /// How to print
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t)]
    output: OutputFormat,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  brooklet group delete readers")]
struct DeleteArgs {
    /// The groups
    #[arg(required = true, value_name = "GROUP")]
    groups: Vec<String>,
}

/// Runs one of the verbs.
pub(crate) async fn run(globals: &Globals, args: Args) -> anyhow::Result<Exit> {
    let client = globals.connect().await?;
    let mut output = Output::stdout(true);
    match args.verb {
        Verb::List(args) => list(&client, &args, &mut output).await?,
        Verb::Describe(args) => describe(&client, &args, &mut output).await?,
        Verb::Lag(args) => lag(&client, &args, &mut output).await?,
        Verb::Seek(args) => seek(globals, &client, &args, &mut output).await?,
        Verb::Delete(args) => {
            for group in &args.groups {
                client.delete_group(group).await?;
                globals.note(format_args!("deleted group {group}"));
            }
        }
    }
    output.flush()?;
    Ok(Exit::Ok)
}

/// A group as `group list` prints it.
#[derive(Debug, Serialize)]
struct Listed {
    group: String,
    state: String,
    protocol_type: String,
}

async fn list<W: Write>(
    client: &Client,
    args: &ListArgs,
    output: &mut Output<W>,
) -> anyhow::Result<()> {
    let listed = |group: GroupListing| Listed {
        group: group.id,
        state: group.state,
        protocol_type: group.protocol_type,
    };
    let groups: Vec<_> = client
        .list_groups()
        .await?
        .into_iter()
        .map(listed)
        .collect();
    print_all(output, (args.output, SCHEMA, "groups"), &groups, |groups| {
        let row = |group: &Listed| {
            vec![
                group.group.clone(),
                group.state.clone(),
                or_dash(&group.protocol_type),
            ]
        };
        let rows: Vec<_> = groups.iter().map(row).collect();
        table(&["GROUP", "STATE", "TYPE"], &rows)
    })
}

/// A group as `group describe` prints it.
#[derive(Debug, Serialize)]
struct Described {
    group: String,
    state: String,
    protocol_type: String,
    /// The assignor.
    protocol: String,
    members: Vec<DescribedMember>,
}

#[derive(Debug, Serialize)]
struct DescribedMember {
    member: String,
    /// Of a static member.
    instance: Option<String>,
    client: String,
    host: String,
    /// As `TOPIC-PARTITION`.
    partitions: Vec<String>,
}

impl From<GroupDescription> for Described {
    fn from(group: GroupDescription) -> Self {
        let members = group.members.into_iter().map(|member| DescribedMember {
            member: member.id,
            instance: member.instance_id,
            client: member.client_id,
            host: member.host,
            partitions: member.partitions.iter().map(ToString::to_string).collect(),
        });
        Self {
            members: members.collect(),
            group: group.id,
            state: group.state,
            protocol_type: group.protocol_type,
            protocol: group.protocol,
        }
    }
}

async fn describe<W: Write>(
    client: &Client,
    args: &DescribeArgs,
    output: &mut Output<W>,
) -> anyhow::Result<()> {
    let mut groups = Vec::new();
    for group in &args.groups {
        groups.push(Described::from(client.describe_group(group).await?));
    }
    print_all(output, (args.output, SCHEMA, "groups"), &groups, |groups| {
        let texts: Vec<_> = groups.iter().map(description).collect();
        texts.join("\n\n")
    })
}

fn description(group: &Described) -> String {
    let row = |member: &DescribedMember| {
        vec![
            member.member.clone(),
            member
                .instance
                .as_deref()
                .map_or_else(|| or_dash(""), or_dash),
            or_dash(&member.client),
            member.host.clone(),
            or_dash(&member.partitions.join(",")),
        ]
    };
    let rows: Vec<_> = group.members.iter().map(row).collect();
    let (name, state, protocol) = (&group.group, &group.state, or_dash(&group.protocol));
    let head = format!("group {name}  {state}  assignor {protocol}");
    if rows.is_empty() {
        return head;
    }
    let header = ["MEMBER", "INSTANCE", "CLIENT", "HOST", "PARTITIONS"];
    format!("{head}\n{}", table(&header, &rows))
}

/// How far a group is in one partition.
#[derive(Debug, Serialize)]
struct Progress {
    topic: String,
    partition: i32,
    /// The next record that the group will read; `None` if it has not committed any.
    offset: Option<i64>,
    /// The next record to come.
    end: i64,
    /// How many it has still to read, as far as it has committed.
    lag: Option<i64>,
    /// Who reads it now.
    client: Option<String>,
}

/// A group as `group lag` prints it.
#[derive(Debug, Serialize)]
struct Lagging {
    group: String,
    lag: i64,
    partitions: Vec<Progress>,
}

async fn lag<W: Write>(
    client: &Client,
    args: &LagArgs,
    output: &mut Output<W>,
) -> anyhow::Result<()> {
    let mut groups = Vec::new();
    for group in &args.groups {
        groups.push(lags_of(client, group).await?);
    }
    print_all(output, (args.output, SCHEMA, "groups"), &groups, |groups| {
        let texts: Vec<_> = groups.iter().map(lag_table).collect();
        texts.join("\n\n")
    })
}

async fn lags_of(client: &Client, group: &str) -> anyhow::Result<Lagging> {
    let described = client.describe_group(group).await?;
    let committed = client.committed_offsets(group).await?;
    let mut readers: BTreeMap<TopicPartition, Option<String>> = BTreeMap::new();
    readers.extend(committed.keys().map(|place| (place.clone(), None)));
    for member in described.members {
        let places = member.partitions.into_iter();
        readers.extend(places.map(|place| (place, Some(member.client_id.clone()))));
    }
    let places: Vec<_> = readers.keys().cloned().collect();
    let ends = client.list_offsets(&places, OffsetSpec::Latest).await?;
    let partitions = readers.into_iter().map(|(place, reader)| {
        let offset = committed.get(&place).map(|offset| offset.0);
        let end = ends[&place].0;
        Progress {
            topic: place.topic.to_string(),
            partition: place.partition.0,
            offset,
            end,
            // What was deleted since is not to be read any more, but still counts, as in Kafka.
            lag: offset.map(|offset| (end - offset).max(0)),
            client: reader,
        }
    });
    let partitions: Vec<_> = partitions.collect();
    Ok(Lagging {
        group: group.to_owned(),
        lag: partitions
            .iter()
            .filter_map(|partition| partition.lag)
            .sum(),
        partitions,
    })
}

fn lag_table(lags: &Lagging) -> String {
    let number = |number: Option<i64>| number.map_or_else(|| "-".to_owned(), |n| n.to_string());
    let row = |lag: &Progress| {
        vec![
            lag.topic.clone(),
            lag.partition.to_string(),
            number(lag.offset),
            lag.end.to_string(),
            number(lag.lag),
            or_dash(lag.client.as_deref().unwrap_or_default()),
        ]
    };
    let rows: Vec<_> = lags.partitions.iter().map(row).collect();
    let header = ["TOPIC", "PARTITION", "OFFSET", "END", "LAG", "CLIENT"];
    format!(
        "group {}  lag {}\n{}",
        lags.group,
        lags.lag,
        table(&header, &rows)
    )
}

/// Where a group goes in one partition.
#[derive(Debug, Serialize)]
struct Move {
    topic: String,
    partition: i32,
    from: Option<i64>,
    to: i64,
}

async fn seek<W: Write>(
    globals: &Globals,
    client: &Client,
    args: &SeekArgs,
    output: &mut Output<W>,
) -> anyhow::Result<()> {
    let committed = client.committed_offsets(&args.group).await?;
    let mut places: Vec<TopicPartition> = Vec::new();
    for topic in &args.topic {
        let count = client.partition_count(topic).await?;
        places.extend((0..count).map(|p| TopicPartition::new(topic.clone(), PartitionId(p))));
    }
    if args.topic.is_empty() {
        places.extend(committed.keys().cloned());
    }
    let targets = targets(client, &places, args.to).await?;
    if args.execute {
        client.commit_offsets(&args.group, &targets).await?;
        globals.note(format_args!("moved group {}", args.group));
    } else {
        globals.note("nothing was done yet; do it with --execute");
    }
    let moves = targets.iter().map(|(place, to)| Move {
        topic: place.topic.to_string(),
        partition: place.partition.0,
        from: committed.get(place).map(|offset| offset.0),
        to: to.0,
    });
    let moves: Vec<_> = moves.collect();
    print_all(
        output,
        (args.output, SCHEMA, "partitions"),
        &moves,
        |moves| {
            let from = |from: Option<i64>| from.map_or_else(|| "-".to_owned(), |n| n.to_string());
            let row = |m: &Move| {
                vec![
                    m.topic.clone(),
                    m.partition.to_string(),
                    from(m.from),
                    m.to.to_string(),
                ]
            };
            let rows: Vec<_> = moves.iter().map(row).collect();
            table(&["TOPIC", "PARTITION", "FROM", "TO"], &rows)
        },
    )
}

/// The offset of a start in each partition.
async fn targets(
    client: &Client,
    places: &[TopicPartition],
    to: StartOffset,
) -> anyhow::Result<BTreeMap<TopicPartition, Offset>> {
    let starts = client.list_offsets(places, OffsetSpec::Earliest).await?;
    let ends = client.list_offsets(places, OffsetSpec::Latest).await?;
    let times = match to {
        StartOffset::Time(time) => client.list_offsets(places, OffsetSpec::At(time)).await?,
        _ => BTreeMap::new(),
    };
    let target = |place: &TopicPartition| {
        let range = OffsetRange {
            start: starts[place],
            end: ends[place],
        };
        (place.clone(), range.place(to, times.get(place).copied()))
    };
    Ok(places.iter().map(target).collect())
}

fn or_dash(text: &str) -> String {
    if text.is_empty() { "-" } else { text }.to_owned()
}
