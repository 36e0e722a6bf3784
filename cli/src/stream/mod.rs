//! `stream`: applications of the stream engine, as they lie on a cluster.
//!
//! ```text
//!  stream list        ─▶ the ids of all applications
//!  stream describe ID ─▶ its plan; how far each task has come, and its stream time
//!  stream state ID    ─▶ how much each partition of its changelogs holds
//!  stream reset ID    ─▶ what a reset would delete; --execute deletes it
//! ```
//!
//! An application is a query that survives: what it has committed is enough to go on after any
//! crash. A reset makes the next run start over. It never touches the input or the results.

use std::io::Write;

use brooklet_client::{Client, OffsetSpec};
use brooklet_engine::runtime::{Application, TaskStanding};
use brooklet_protocol::{Offset, TopicPartition};
use clap::Subcommand;
use serde::Serialize;

use crate::exit::{CliError, Exit};
use crate::globals::Globals;
use crate::output::{Output, OutputFormat, print_all};
use crate::text::table;
use crate::time;

/// The version of the JSON that `stream` prints; it changes when a key changes its meaning.
const SCHEMA: u32 = 1;

/// Arguments of `stream`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  brooklet stream list
  brooklet stream describe delays
  brooklet stream state delays
  brooklet stream reset delays --execute")]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List applications
    #[command(after_help = "\
Examples:
  brooklet stream list
  brooklet stream list -o jsonl | jq -r .id")]
    List(ListArgs),
    /// Show an application: its plan, and how far each of its tasks has come
    #[command(after_help = "\
Examples:
  brooklet stream describe delays
  brooklet stream describe delays -o json")]
    Describe(OneArgs),
    /// Show how much state an application holds, by partition of its changelogs
    #[command(after_help = "\
Examples:
  brooklet stream state delays
  brooklet stream state delays -o json")]
    State(OneArgs),
    /// Delete what an application has committed, so that it starts over
    Reset(ResetArgs),
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    /// How to print
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t)]
    output: OutputFormat,
}

#[derive(Debug, clap::Args)]
struct OneArgs {
    /// The application's id
    id: String,
    /// How to print
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t)]
    output: OutputFormat,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  brooklet stream reset delays
  brooklet stream reset delays --execute

Without --execute it only says what it would delete. A run of the application that is still going
is stopped. Input and results stay; the next run reads the input from the beginning and writes its
results again.")]
struct ResetArgs {
    /// The application's id
    id: String,
    /// Delete it
    #[arg(long)]
    execute: bool,
}

/// Runs one of the verbs.
pub(crate) async fn run(globals: &Globals, args: Args) -> anyhow::Result<Exit> {
    let client = globals.connect().await?;
    let mut output = Output::stdout(true);
    match args.verb {
        Verb::List(args) => list(&client, args.output, &mut output).await?,
        Verb::Describe(args) => describe(&client, &args, &mut output).await?,
        Verb::State(args) => state(&client, &args, &mut output).await?,
        Verb::Reset(args) => reset(globals, &client, &args, &mut output).await?,
    }
    output.flush()?;
    Ok(Exit::Ok)
}

async fn find(client: &Client, id: &str) -> anyhow::Result<Application> {
    let found = Application::find(client, id).await?;
    Ok(found.ok_or_else(|| {
        CliError::NotFound(format!(
            "there is no application '{id}'; brooklet stream list shows those there are"
        ))
    })?)
}

/// An application as `stream list` prints it.
#[derive(Debug, Serialize)]
struct Listed {
    id: String,
}

async fn list<W: Write>(
    client: &Client,
    format: OutputFormat,
    output: &mut Output<W>,
) -> anyhow::Result<()> {
    let ids = Application::list(client).await?;
    let found: Vec<_> = ids.into_iter().map(|id| Listed { id }).collect();
    print_all(output, (format, SCHEMA, "applications"), &found, |found| {
        let rows: Vec<_> = found.iter().map(|one| vec![one.id.clone()]).collect();
        table(&["ID"], &rows)
    })
}

/// A task as `stream describe` prints it.
#[derive(Debug, Serialize)]
struct Described {
    /// What it reads, as `TOPIC-PARTITION`.
    reads: String,
    /// The offset of the next record to be read.
    offset: i64,
    /// How many offsets lie between that and the partition's end.
    lag: Option<i64>,
    /// In RFC 3339; null before the first record.
    stream_time: Option<String>,
}

impl Described {
    fn new(partition: &TopicPartition, task: &TaskStanding, end: Option<Offset>) -> Self {
        Self {
            reads: partition.to_string(),
            offset: task.offset.0,
            lag: end.map(|end| (end.0 - task.offset.0).max(0)),
            stream_time: task.stream_time.map(time::to_text),
        }
    }
}

async fn describe<W: Write>(
    client: &Client,
    args: &OneArgs,
    output: &mut Output<W>,
) -> anyhow::Result<()> {
    let application = find(client, &args.id).await?;
    let partitions: Vec<_> = application.tasks.keys().cloned().collect();
    let ends = client.list_offsets(&partitions, OffsetSpec::Latest).await?;
    let described = |(partition, task): (&TopicPartition, &TaskStanding)| {
        Described::new(partition, task, ends.get(partition).copied())
    };
    let tasks: Vec<_> = application.tasks.iter().map(described).collect();
    if args.output == OutputFormat::Table {
        for line in application.plan.lines() {
            output.line(line)?;
        }
        output.line("")?;
    }
    print_all(output, (args.output, SCHEMA, "tasks"), &tasks, |tasks| {
        let row = |one: &Described| {
            vec![
                one.reads.clone(),
                one.offset.to_string(),
                one.lag
                    .map_or_else(|| "-".to_owned(), |lag| lag.to_string()),
                one.stream_time.clone().unwrap_or_else(|| "-".to_owned()),
            ]
        };
        let rows: Vec<_> = tasks.iter().map(row).collect();
        table(&["READS", "OFFSET", "LAG", "STREAM TIME"], &rows)
    })
}

/// A partition of a changelog as `stream state` prints it.
#[derive(Debug, Serialize)]
struct Held {
    /// As `TOPIC-PARTITION`.
    changelog: String,
    rows: u64,
    bytes: u64,
}

async fn state<W: Write>(
    client: &Client,
    args: &OneArgs,
    output: &mut Output<W>,
) -> anyhow::Result<()> {
    let application = find(client, &args.id).await?;
    let sizes = application.state(client).await?;
    let held = sizes.into_iter().map(|(partition, size)| Held {
        changelog: partition.to_string(),
        rows: size.rows,
        bytes: size.bytes,
    });
    let held: Vec<_> = held.collect();
    print_all(output, (args.output, SCHEMA, "changelogs"), &held, |held| {
        let row = |one: &Held| {
            vec![
                one.changelog.clone(),
                one.rows.to_string(),
                one.bytes.to_string(),
            ]
        };
        let rows: Vec<_> = held.iter().map(row).collect();
        table(&["CHANGELOG", "ROWS", "BYTES"], &rows)
    })
}

async fn reset<W: Write>(
    globals: &Globals,
    client: &Client,
    args: &ResetArgs,
    output: &mut Output<W>,
) -> anyhow::Result<()> {
    let application = find(client, &args.id).await?;
    let id = &application.id;
    let verb = if args.execute {
        "deletes"
    } else {
        "would delete"
    };
    output.line(format!("{verb} the committed offsets of group {id}"))?;
    for topic in application.topics() {
        output.line(format!("{verb} topic {topic}"))?;
    }
    output.flush()?;
    if args.execute {
        application.remove(client).await?;
        globals.note(format_args!(
            "application {id} starts over with its next run"
        ));
    } else {
        globals.note("nothing was deleted: add --execute to do it");
    }
    Ok(())
}
