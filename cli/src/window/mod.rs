//! `window`: windowed analytics on any topic, from the command line.
//!
//! ```text
//!  topic ──rows──key_by──windows of event time──┬─ finals ──▶ stdout, one line per window and key
//!                                               └─ late ────▶ --late-to TOPIC
//! ```
//!
//! The windows are of one kind ([`kind`]). A result is printed once, when its window closes; with
//! `--updates` each change before that is printed, too, and marked as such ([`change`]). With `-e` it
//! reads to the present end, closes all windows and exits, and prints the same in each run. All keys
//! meet in one task, so that results come in order of closing time, window and key. At the end, an
//! account says what happened to every record and row ([`account`]).

mod spec;

mod fields;
mod json;
mod lines;

mod number;
mod row;

mod aggregate;
mod change;
mod kind;
mod program;

mod printer;

mod account;

#[cfg(test)]
mod laws;

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use brooklet_client::{Client, ClientError, ConsumerConfig, Isolation, OffsetSpec};
use brooklet_engine::runtime::Commits;
use brooklet_engine::{Bound, RunOptions, Start};
use brooklet_log::clock::Clock as _;
use brooklet_protocol::{Offset, PartitionId, TopicName, TopicPartition};

use crate::exit::{CliError, Exit};
use crate::globals::Globals;
use crate::isolation::{isolation, note_open_transactions};
use crate::output::OutputFormat;
use crate::signals::Stop;
use account::{Account, Tally};
use fields::{Fields, Format, Query};
use kind::WindowArgs;
use printer::{Columns, Printer};
use program::{Made, program, show_malformed};
use row::Unit;
use spec::AggregateSpec;

/// The repartition topic's name within the application.
const BY_KEY: &str = "by-key";

/// How a record's value is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum InputFormat {
    Json,
    Csv,
}

/// How long a partition may be silent before the others continue without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Idle(Option<Duration>);

impl FromStr for Idle {
    type Err = humantime::DurationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "never" => Ok(Self(None)),
            _ => humantime::parse_duration(text).map(|after| Self(Some(after))),
        }
    }
}

/// Arguments of `window`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  brooklet window flights --time /scheduled_at --by /origin --size 1h --grace 45m \\
      --agg count --agg mean:/delay_min
  brooklet window flights --time /scheduled_at --by /origin --size 3h --hop 1h --grace 6h \\
      --agg max:/delay_min --late-to too-late -e -o jsonl
  brooklet window prices --format csv --columns at,symbol,price --time at --by symbol \\
      --size 1m --grace 5s --agg min:price --agg max:price
  brooklet window orders --every day@Europe/Berlin --grace 1h --agg sum:/total
  brooklet window orders --size 1d --step 1h --grace 5m --agg sum:/total
  brooklet window clicks --by /user --session 30m --grace 1m --updates -o jsonl
  brooklet window logins --by /user --sliding 10s --grace 5s

A window contains its start but not its end. Session and sliding windows contain the moments of all
their rows, so their end is 1 ms later than the last moment inside. All times are printed in UTC: a
day in Europe/Berlin starts at 22:00Z or 23:00Z.

A record is too late for a window once the highest event time seen reaches the window's end plus
the grace period; with several partitions, the lowest of their highest event times counts. A session
can still grow for as long as its gap, so it waits for the gap and then for the grace period.
Results are printed when their window closes, so the last ones appear only after later records, or,
with -e, at the end.

With --updates, the first column is the kind of row: update, the result so far of an open window;
retraction, which takes back the update of a session that has grown or merged into another; and
final, the result of a window that has closed, exactly once.

Times are RFC 3339 with any offset, or numbers: milliseconds since 1970 unless --time-unit says
otherwise. Windows cover 1970 to the end of the year 9999; rows outside are reported and counted.
Keys are text: the characters of a string, the value of a number, the JSON of anything else; so 7,
7.0 and \"7\" are one key. A record whose key field is missing or null is malformed.
Numbers may be in quotes. Whole numbers (7, 7.0, 70e-1; -0.0 is 0) are summed exactly, up to 128
bits, others as 64-bit floats. NaN, and numbers that fit neither (1e400), are malformed; null, a
missing field and an empty cell add nothing. If a JSON object repeats a name, the last one counts.
A CSV record may hold any number of lines. A line that repeats the names of --columns is a header.
Fields are quoted as in RFC 4180; blanks around times and numbers, and a byte order mark, are
ignored.

At the end an account is printed: records (and rows, if records hold several) = counted + too late
+ malformed + skipped for another reason.

With --app the query survives: its state, its times and its position are committed every 100 ms,
together with what it writes to --to and --late-to. After a crash the next run with the same --app
and the same arguments goes on from there, and a reader of those topics with read_committed
finds each result exactly once; stdout may repeat what came after the last commit. See brooklet stream.

When it follows a topic, a partition that is silent for --idle no longer holds up the others. Its
next records may then be too late: use never if producers pause and no record may be missed.")]
pub(crate) struct Args {
    /// The topic to read
    topic: String,
    /// The field with the event time, in RFC 3339 or as a number [default: the record's timestamp]
    #[arg(long, value_name = "FIELD")]
    time: Option<String>,
    /// The unit of numeric times, record timestamps included
    #[arg(long, value_name = "UNIT", value_enum, default_value_t)]
    time_unit: Unit,
    /// The field to group by; may be repeated to form one key [default: all records in one group]
    #[arg(long, value_name = "FIELD")]
    by: Vec<String>,
    #[command(flatten)]
    windows: WindowArgs,
    /// Print each change of a result, too, while its window is open
    #[arg(long)]
    updates: bool,
    /// What to compute: count, or sum:FIELD, mean:FIELD, min:FIELD, max:FIELD
    #[arg(long = "agg", value_name = "AGG", default_value = "count")]
    aggregates: Vec<AggregateSpec>,
    /// Run as an application of this name: it goes on where its last run stopped, however that was
    #[arg(long, value_name = "ID")]
    app: Option<String>,
    /// Write the results to this topic as well, as the JSON objects of -o jsonl
    #[arg(long, value_name = "TOPIC")]
    to: Option<String>,
    /// Do not let one row move time further ahead than this; a second one confirms it
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    max_jump: Option<Duration>,
    /// Write late records, with the reason, to this topic
    #[arg(long, value_name = "TOPIC")]
    late_to: Option<String>,
    /// The format of values; JSON fields are named by pointers (/a/b), CSV fields by column
    #[arg(long, value_enum, default_value_t = InputFormat::Json)]
    format: InputFormat,
    /// The names of the CSV columns, in order
    #[arg(
        long,
        value_name = "NAME,..",
        value_delimiter = ',',
        required_if_eq("format", "csv")
    )]
    columns: Vec<String>,
    /// read_committed skips records of aborted and open transactions, read_uncommitted includes
    /// them
    #[arg(long, value_name = "LEVEL", default_value = "read_committed", value_parser = isolation)]
    isolation: Isolation,
    /// Start at the end of the topic instead of the beginning
    #[arg(long)]
    from_now: bool,
    /// Exit at the present end of the topic, closing all windows
    #[arg(short = 'e', long)]
    exit_at_end: bool,
    /// Continue without a partition that has been silent for this long, or never
    #[arg(
        long,
        value_name = "DURATION|never",
        default_value = "1s",
        conflicts_with = "exit_at_end"
    )]
    idle: Idle,
    /// How to print results: json is one array, jsonl one object per line
    #[arg(short, long, value_enum, default_value_t = OutputFormat::Table)]
    output: OutputFormat,
}

/// Runs the query.
///
/// # Errors
/// No broker, no such topic, invalid windows.
pub(crate) async fn run(globals: &Globals, args: Args) -> anyhow::Result<Exit> {
    let topic = TopicName::new(&args.topic).map_err(|e| CliError::Usage(e.to_string()))?;
    if args.app.is_some() && args.isolation == Isolation::ReadUncommitted {
        let words = "--app reads committed records only: leave --isolation out";
        return Err(CliError::Usage(words.into()).into());
    }
    let kind = args.windows.kind();
    let kind = kind.map_err(|error| CliError::Usage(error.to_string()))?;
    let query = query(&args).map_err(CliError::Usage)?;
    let tally = Arc::new(Tally::new(&query.numbers));
    let numbers = query.numbers.clone();
    let fields = Fields::new(query, Arc::clone(&tally)).map_err(CliError::Usage)?;
    let mut stop = Stop::on_signal()?;
    let client = globals.connect().await?;
    client.partition_count(&topic).await?;

    let app_name = args.app.clone().unwrap_or_else(|| app_name(globals));
    let columns = Columns {
        names: args.aggregates.iter().map(ToString::to_string).collect(),
        has_marks: args.updates,
        has_millis: kind.is_made_by_rows(),
    };
    let printer = Arc::new(Printer::new(
        args.output,
        columns.clone(),
        args.exit_at_end,
    )?);
    let made = Made {
        fields,
        numbers,
        kind,
        columns,
        tally: Arc::clone(&tally),
    };
    let print = {
        let printer = Arc::clone(&printer);
        move |change| printer.print(&change)
    };
    let malformed = show_malformed(globals.quiet);
    let program = program(&app_name, &args, made, print, malformed);
    let metrics = program.metrics();
    if args.exit_at_end && args.isolation == Isolation::ReadCommitted {
        note_open_transactions(globals, &client, &ends(&client, &topic).await?).await?;
    }
    let options = options(&args);
    let outcome = tokio::select! {
        ran = program.run(&client, options) => ran.map(|_| Exit::Ok).map_err(anyhow::Error::from),
        failed = printer.failure() => Err(failed.into()),
        signal = stop.wait() => Ok(signal.exit()),
    };
    if args.app.is_none() && !matches!(outcome, Ok(Exit::Ok)) {
        remove_repartition_topic(globals, &client, &app_name).await;
    }
    let finished = printer.finish();
    globals.note(Account::new(&metrics.snapshot(), &tally).to_text());
    let exit = outcome?;
    finished?;
    Ok(exit)
}

fn options(args: &Args) -> RunOptions {
    RunOptions {
        start: if args.from_now {
            Start::Latest
        } else {
            Start::Earliest
        },
        stop: if args.exit_at_end {
            Bound::AtEnd
        } else {
            Bound::Never
        },
        // With -e the ends are known, so that no partition needs to be called idle.
        idle: args.idle.0.filter(|_| !args.exit_at_end),
        commits: args.app.as_ref().map(|_| Commits::default()),
        consumer: ConsumerConfig {
            isolation: args.isolation,
            ..ConsumerConfig::default()
        },
        ..RunOptions::default()
    }
}

/// The last stable offsets of the topic's partitions.
async fn ends(
    client: &Client,
    topic: &TopicName,
) -> Result<BTreeMap<TopicPartition, Offset>, ClientError> {
    let partitions = 0..client.partition_count(topic).await?;
    let partitions = partitions.map(|p| TopicPartition::new(topic.clone(), PartitionId(p)));
    let (latest, committed) = (OffsetSpec::Latest, Isolation::ReadCommitted);
    client
        .list_offsets_in(&partitions.collect::<Vec<_>>(), latest, committed)
        .await
}

/// The fields that the arguments name.
///
/// # Errors
/// In words: a name occurs twice.
fn query(args: &Args) -> Result<Query, String> {
    let columns: Vec<_> = args.columns.iter().map(|c| c.trim().to_owned()).collect();
    let is_csv = args.format == InputFormat::Csv;
    let field = |field: &str| {
        let column = fields::name(field);
        if is_csv { column } else { field }.to_owned()
    };
    refuse_twice(
        "the aggregate",
        args.aggregates.iter().map(|spec| AggregateSpec {
            field: spec.field.as_deref().map(field),
            ..spec.clone()
        }),
    )?;
    refuse_twice("the column", columns.iter())?;
    refuse_twice("--by", args.by.iter().map(|by| field(by)))?;
    let numbers = args.aggregates.iter().filter_map(|a| a.field.clone());
    let mut numbers: Vec<_> = numbers.collect();
    numbers.sort_unstable();
    numbers.dedup();
    Ok(Query {
        format: match args.format {
            InputFormat::Json => Format::Json,
            InputFormat::Csv => Format::Csv(columns),
        },
        time: args.time.clone(),
        unit: args.time_unit,
        by: args.by.clone(),
        numbers,
        keep_original: args.late_to.is_some(),
    })
}

/// Two results with one name would be indistinguishable, and one of two columns would never be
/// read.
fn refuse_twice(what: &str, names: impl Iterator<Item = impl ToString>) -> Result<(), String> {
    let mut seen = std::collections::BTreeSet::new();
    for name in names.map(|name| name.to_string()) {
        if seen.contains(&name) {
            return Err(format!("{what} {name} is given twice: name it once"));
        }
        seen.insert(name);
    }
    Ok(())
}

/// A name that no other query has at the same time on any machine: process ids alone may repeat.
fn app_name(globals: &Globals) -> String {
    let (process, started) = (std::process::id(), globals.clock.wall().0);
    format!("brooklet-window-{process}-{started}")
}

/// Removes the repartition topic that an interrupted run leaves behind. A failure is only noted:
/// the reason for the interruption matters more.
async fn remove_repartition_topic(globals: &Globals, client: &Client, app_name: &str) {
    let topic = format!("{app_name}-{BY_KEY}-repartition");
    let removed = match TopicName::new(&topic) {
        Ok(topic) => client.delete_topic(&topic).await,
        Err(_) => return,
    };
    match removed {
        Err(ClientError::UnknownTopic(_)) | Ok(()) => {}
        Err(error) => globals.note(format_args!(
            "cannot delete topic {topic}: {error}. Delete it with: brooklet topic delete {topic}"
        )),
    }
}
