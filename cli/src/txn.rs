//! `txn`: list, describe and abort transactions.

use std::io::Write;
use std::time::Duration;

use brooklet_client::{
    ActiveProducer, Client, TransactionDescription, TransactionFilter, TransactionListing,
};
use brooklet_protocol::{Offset, PartitionId, TopicName, TopicPartition};
use clap::Subcommand;
use serde::Serialize;

use crate::exit::{CliError, Exit};
use crate::globals::Globals;
use crate::output::{Output, OutputFormat, print_all};
use crate::text::table;
use crate::time;

/// The version of the JSON that `txn` prints; it changes when a key changes its meaning.
const SCHEMA: u32 = 1;

/// Arguments of `txn`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  brooklet txn list
  brooklet txn list --state Ongoing --open-for 10m
  brooklet txn describe loader
  brooklet txn abort loader")]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List transactional ids
    List(ListArgs),
    /// Show transactional ids: producer, state, and what the open transaction is in
    Describe(DescribeArgs),
    /// Fence who uses transactional ids, and abort what they have open
    Abort(AbortArgs),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  brooklet txn list
  brooklet txn list --state Ongoing --state PrepareCommit
  brooklet txn list --open-for 10m -o jsonl | jq -r .id")]
struct ListArgs {
    /// Only those in this state, may be repeated: Empty, Ongoing, PrepareCommit, PrepareAbort,
    /// CompleteCommit, CompleteAbort
    #[arg(long, value_name = "STATE")]
    state: Vec<String>,
    /// Only those whose transaction has been open for longer
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    open_for: Option<Duration>,
    /// How to print
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t)]
    output: OutputFormat,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  brooklet txn describe loader
  brooklet txn describe loader mover -o json")]
struct DescribeArgs {
    /// The transactional ids
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
    /// How to print
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t)]
    output: OutputFormat,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  brooklet txn abort loader
  brooklet txn abort --topic orders --partition 0 --start-offset 4711

The second form is for a transaction that its coordinator does not know of, so that nobody ends it; it
begins at that offset of the partition.")]
struct AbortArgs {
    /// The transactional ids
    #[arg(required_unless_present = "topic", value_name = "ID")]
    ids: Vec<String>,
    /// Abort a transaction in one partition, whatever its coordinator says
    #[arg(long, value_name = "NAME", value_parser = TopicName::new)]
    #[arg(requires_all = ["partition", "start_offset"], conflicts_with = "ids")]
    topic: Option<TopicName>,
    /// Which partition
    #[arg(long, value_name = "N", requires = "topic")]
    #[arg(value_parser = clap::value_parser!(i32).range(0..))]
    partition: Option<i32>,
    /// Where the transaction begins
    #[arg(long, value_name = "OFFSET", requires = "topic")]
    #[arg(value_parser = clap::value_parser!(i64).range(0..))]
    start_offset: Option<i64>,
}

/// Runs one of the verbs.
pub(crate) async fn run(globals: &Globals, args: Args) -> anyhow::Result<Exit> {
    let client = globals.connect().await?;
    let mut output = Output::stdout(true);
    match args.verb {
        Verb::List(args) => list(&client, args, &mut output).await?,
        Verb::Describe(args) => describe(&client, &args, &mut output).await?,
        Verb::Abort(args) => abort(globals, &client, args).await?,
    }
    output.flush()?;
    Ok(Exit::Ok)
}

/// A transactional id as `txn list` prints it.
#[derive(Debug, Serialize)]
struct Listed {
    id: String,
    producer_id: i64,
    state: String,
}

async fn list<W: Write>(
    client: &Client,
    args: ListArgs,
    output: &mut Output<W>,
) -> anyhow::Result<()> {
    let filter = TransactionFilter {
        states: args.state,
        open_for: args.open_for,
    };
    let listed = |listing: TransactionListing| Listed {
        id: listing.id,
        producer_id: listing.producer_id.0,
        state: listing.state,
    };
    let found = client.list_transactions(&filter).await?;
    let found: Vec<_> = found.into_iter().map(listed).collect();
    print_all(
        output,
        (args.output, SCHEMA, "transactions"),
        &found,
        |found| {
            let row = |one: &Listed| {
                vec![
                    one.id.clone(),
                    one.producer_id.to_string(),
                    one.state.clone(),
                ]
            };
            let rows: Vec<_> = found.iter().map(row).collect();
            table(&["ID", "PRODUCER", "STATE"], &rows)
        },
    )
}

/// A transactional id as `txn describe` prints it.
#[derive(Debug, Serialize)]
struct Described {
    id: String,
    state: String,
    producer_id: i64,
    producer_epoch: i16,
    timeout_ms: u128,
    /// RFC 3339; null if no transaction ever began.
    started: Option<String>,
    /// As `TOPIC-PARTITION`.
    partitions: Vec<String>,
}

impl From<TransactionDescription> for Described {
    fn from(found: TransactionDescription) -> Self {
        Self {
            id: found.id,
            state: found.state,
            producer_id: found.producer.id.0,
            producer_epoch: found.producer.epoch.0,
            timeout_ms: found.timeout.as_millis(),
            started: (found.started.0 >= 0).then(|| time::to_text(found.started)),
            partitions: found.partitions.iter().map(ToString::to_string).collect(),
        }
    }
}

async fn describe<W: Write>(
    client: &Client,
    args: &DescribeArgs,
    output: &mut Output<W>,
) -> anyhow::Result<()> {
    let mut found = Vec::with_capacity(args.ids.len());
    for id in &args.ids {
        found.push(Described::from(client.describe_transaction(id).await?));
    }
    print_all(
        output,
        (args.output, SCHEMA, "transactions"),
        &found,
        |found| {
            let row = |one: &Described| {
                vec![
                    one.id.clone(),
                    one.state.clone(),
                    one.producer_id.to_string(),
                    one.producer_epoch.to_string(),
                    format!("{} ms", one.timeout_ms),
                    one.started.clone().unwrap_or_else(|| "-".to_owned()),
                    one.partitions.join(" "),
                ]
            };
            let rows: Vec<_> = found.iter().map(row).collect();
            let heads = [
                "ID",
                "STATE",
                "PRODUCER",
                "EPOCH",
                "TIMEOUT",
                "STARTED",
                "PARTITIONS",
            ];
            table(&heads, &rows)
        },
    )
}

async fn abort(globals: &Globals, client: &Client, args: AbortArgs) -> anyhow::Result<()> {
    for id in &args.ids {
        client.fence_producer(id).await?;
        globals.note(format_args!("aborted {id}"));
    }
    let (Some(topic), Some(partition), Some(offset)) =
        (args.topic, args.partition, args.start_offset)
    else {
        return Ok(());
    };
    let place = TopicPartition::new(topic, PartitionId(partition));
    let producers = client.describe_producers(&place).await?;
    let begins_there =
        |producer: &&ActiveProducer| producer.open_transaction == Some(Offset(offset));
    let Some(hanging) = producers.iter().find(begins_there) else {
        let open: Vec<_> = producers
            .iter()
            .filter_map(|p| p.open_transaction)
            .collect();
        return Err(CliError::NotFound(nothing_open(&place, offset, &open)).into());
    };
    client.abort_hanging(&place, hanging).await?;
    let id = hanging.producer.id;
    globals.note(format_args!(
        "aborted the transaction of producer {id} in {place}"
    ));
    Ok(())
}

fn nothing_open(place: &TopicPartition, offset: i64, open: &[Offset]) -> String {
    let begin = format!("no transaction that is open in {place} begins at {offset}");
    if open.is_empty() {
        return format!("{begin}: none is open there");
    }
    let open: Vec<_> = open.iter().map(ToString::to_string).collect();
    format!("{begin}: those begin at {}", open.join(", "))
}
