//! `txn`: list, describe and abort transactions.
//!
//! ```text
//!  txn list --open-for 10m ─▶ ids whose transaction has been open for long
//!  txn describe ID         ─▶ its producer, its state, the partitions of the open transaction
//!  txn abort ID            ─▶ its producer is fenced, its open transaction aborted
//! ```
//!
//! An open transaction holds up every consumer with `read_committed` in its partitions, so one that
//! its producer has left behind has to be found and ended. Usually its coordinator does that, at
//! the transaction's timeout or for `abort ID`.
//!
//! A *hanging* transaction is one that the coordinator does not know, so that nothing ends it.
//! Older brokers could leave such transactions (KIP-664, KIP-890). `abort --topic T --partition P
//! --start-offset O` writes an abort marker for the producer whose transaction starts at that
//! offset.

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
    /// Show transactional ids: producer, state, and the partitions of the open transaction
    Describe(DescribeArgs),
    /// Fence the producers of transactional ids, and abort their open transactions
    Abort(AbortArgs),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  brooklet txn list
  brooklet txn list --state Ongoing --state PrepareCommit
  brooklet txn list --open-for 10m -o jsonl | jq -r .id")]
struct ListArgs {
    /// Only ids in this state: Empty, Ongoing, PrepareCommit, PrepareAbort, CompleteCommit,
    /// CompleteAbort; may be repeated
    #[arg(long, value_name = "STATE")]
    state: Vec<String>,
    /// Only ids whose transaction has been open for longer than this
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

The second form is for a hanging transaction: one that its coordinator does not know, so that it
never ends. It starts at that offset of the partition.")]
struct AbortArgs {
    /// The transactional ids
    #[arg(required_unless_present = "topic", value_name = "ID")]
    ids: Vec<String>,
    /// Abort a hanging transaction in a partition of this topic
    #[arg(long, value_name = "NAME", value_parser = TopicName::new)]
    #[arg(requires_all = ["partition", "start_offset"], conflicts_with = "ids")]
    topic: Option<TopicName>,
    /// The partition
    #[arg(long, value_name = "N", requires = "topic")]
    #[arg(value_parser = clap::value_parser!(i32).range(0..))]
    partition: Option<i32>,
    /// The offset at which the transaction starts
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
    /// In RFC 3339; null if there has been no transaction.
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
        globals.note(format_args!(
            "aborted the open transaction of {id}, if it had one"
        ));
    }
    let (Some(topic), Some(partition), Some(offset)) =
        (args.topic, args.partition, args.start_offset)
    else {
        return Ok(());
    };
    let partition = TopicPartition::new(topic, PartitionId(partition));
    let producers = client.describe_producers(&partition).await?;
    let begins_there =
        |producer: &&ActiveProducer| producer.open_transaction == Some(Offset(offset));
    let Some(hanging) = producers.iter().find(begins_there) else {
        let open: Vec<_> = producers
            .iter()
            .filter_map(|p| p.open_transaction)
            .collect();
        return Err(CliError::NotFound(nothing_open(&partition, offset, &open)).into());
    };
    client.abort_hanging(&partition, hanging).await?;
    let id = hanging.producer.id;
    globals.note(format_args!(
        "aborted the transaction of producer {id} in {partition}"
    ));
    Ok(())
}

fn nothing_open(partition: &TopicPartition, offset: i64, open: &[Offset]) -> String {
    let begin = format!("no open transaction in {partition} starts at offset {offset}");
    if open.is_empty() {
        return format!("{begin}: none is open");
    }
    let open: Vec<_> = open.iter().map(ToString::to_string).collect();
    format!("{begin}: the open ones start at {}", open.join(", "))
}
