//! `group`: list, describe, move and delete consumer groups; export and import their offsets.
//!
//! | verb | does | changes something |
//! |---|---|---|
//! | `list`, `describe` | shows groups and their members | no |
//! | [`lag`] | shows how far groups are behind, once or repeatedly | no |
//! | [`seek`] | moves a group to the beginning, the end, an offset or a time | with `--execute` |
//! | [`export`] | writes committed offsets in the format of Kafka's own tool | no |
//! | [`import`] | moves groups to the offsets in such a file | with `--execute` |
//! | `delete` | deletes groups and their offsets | yes |
//!
//! A group is only moved or deleted while it has no members ([`moves`] says why). All verbs work
//! with any Kafka broker.

mod lag;

mod moves;
mod seek;

mod csv;
mod export;
mod import;

use std::io::Write;

use brooklet_client::{Client, GroupDescription, GroupListing};
use clap::Subcommand;
use serde::Serialize;

use crate::exit::Exit;
use crate::globals::Globals;
use crate::output::{Output, OutputFormat, print_all};
use crate::text::{Text, table};

/// The version of the JSON that `group` prints; it changes when a key changes its meaning.
const SCHEMA: u32 = 1;

/// Arguments of `group`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  brooklet group list
  brooklet group describe readers
  brooklet group lag readers --watch
  brooklet group seek readers --to beginning --execute
  brooklet group export readers --output readers.csv
  brooklet group import readers readers.csv --execute
  brooklet group delete readers")]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List all groups
    List(ListArgs),
    /// Show groups: their members, and the partitions that each one reads
    Describe(DescribeArgs),
    /// Show how far groups are behind the end of their partitions
    Lag(lag::LagArgs),
    /// Move a group without members to other offsets; only shows what it would do without --execute
    Seek(seek::SeekArgs),
    /// Write committed offsets, in the format of Kafka's kafka-consumer-groups.sh
    Export(export::ExportArgs),
    /// Move groups without members to the offsets in such a file; only shows what it would do
    /// without --execute
    Import(import::ImportArgs),
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
        Verb::Lag(args) => lag::lag(globals, &client, &args, &mut output).await?,
        Verb::Seek(args) => seek::seek(globals, &client, &args, &mut output).await?,
        Verb::Export(args) => export::export(globals, &client, &args, &mut output).await?,
        Verb::Import(args) => import::import(globals, &client, &args, &mut output).await?,
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
    /// The name of a static member.
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
        Text::paragraphs(groups.iter().map(description))
    })
}

fn description(group: &Described) -> Text {
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
    let head = Text::line(format!("group {name}  {state}  assignor {protocol}"));
    if rows.is_empty() {
        return head;
    }
    let header = ["MEMBER", "INSTANCE", "CLIENT", "HOST", "PARTITIONS"];
    head.and(table(&header, &rows))
}

fn or_dash(text: &str) -> String {
    if text.is_empty() { "-" } else { text }.to_owned()
}
