//! `window`: windowed analytics on any topic, from the command line.
//!
//! ```text
//!  topic ──rows──key_by──windows of event time──┬─ finals ──▶ stdout, one line per window and key
//!                                               └─ late ────▶ --late-to TOPIC
//! ```
//!
//! A result is printed once, when its window closes; `-e` reads what is there, closes all windows and
//! exits, and prints the same in each run. The keys meet in one task, so that results come in order
//! of closing time, window and key.

mod aggregate;
mod row;
mod spec;

use std::fmt::Write as _;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use brooklet_broker::clock::Clock as _;
use brooklet_engine::client::{Client, ClientError};
use brooklet_engine::codec::json;
use brooklet_engine::dsl::Malformed;
use brooklet_engine::time::Timestamp;
use brooklet_engine::{
    App, Bound, Final, Hopping, KeyedStream, Late, Repartition, RunOptions, RunReport, Start,
    Tumbling, Windows,
};
use brooklet_protocol::TopicName;
use bytes::Bytes;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::Globals;
use crate::exit::{CliError, Exit};
use crate::output::{Output, OutputError, OutputFormat, say};
use crate::time;
use crate::signals::Stop;
use aggregate::Aggregates;
use row::{Fields, Format, Row};
use spec::AggregateSpec;

/// Malformed records that are shown one by one; the others are counted.
const MALFORMED_SHOWN_MAX: u32 = 3;

/// Columns of the table that hold the key, and an aggregate at least.
const KEY_WIDTH: usize = 12;
const CELL_WIDTH_MIN: usize = 10;

/// The repartition topic's name within the application.
const BY_KEY: &str = "by-key";

/// How a record's value is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum InputFormat {
    Json,
    Csv,
}

/// How long a partition may be silent before the others go on without it.
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

A record is late for a window once the highest event time seen has reached the window's end plus the
grace; with several partitions the lowest of their highest counts. A window's results are printed when
it closes: so the last ones wait for records that move time on, or with -e for the end.

While it follows a topic, a partition without anything to read for --idle does not hold up the others. What
it then brings may be late: choose never, if your producers pause and no record may be missed.")]
pub(crate) struct Args {
    /// The topic to read
    topic: String,
    /// The field that holds the event time, as RFC 3339 or milliseconds [default: the record's timestamp]
    #[arg(long, value_name = "FIELD")]
    time: Option<String>,
    /// The field to group by; several make one key, none groups all records together
    #[arg(long, value_name = "FIELD")]
    by: Vec<String>,
    /// The windows' size, for example 1h or 30s
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    size: Duration,
    /// How long windows wait for stragglers
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    grace: Duration,
    /// Hopping windows: one begins at every multiple of this [default: the size]
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    hop: Option<Duration>,
    /// What to compute: count, or sum:FIELD, mean:FIELD, min:FIELD, max:FIELD
    #[arg(long = "agg", value_name = "AGG", default_value = "count")]
    aggregates: Vec<AggregateSpec>,
    /// Write late records, with the reason, to this topic
    #[arg(long, value_name = "TOPIC")]
    late_to: Option<String>,
    /// How values are read; fields of JSON are named by pointers (/a/b), of CSV by columns
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
    /// Begin with what comes from now on instead of the beginning
    #[arg(long)]
    from_now: bool,
    /// Exit at the end of what is there now, closing all windows
    #[arg(short = 'e', long)]
    exit_at_end: bool,
    /// Go on without a partition that has had nothing to read for so long, or never
    #[arg(
        long,
        value_name = "DURATION|never",
        default_value = "1s",
        conflicts_with = "exit_at_end"
    )]
    idle: Idle,
    /// How results are printed: json is one array, jsonl one object per line
    #[arg(short, long, value_enum, default_value_t = OutputFormat::Table)]
    output: OutputFormat,
}

/// Runs the query.
///
/// # Errors
/// No broker, no such topic, impossible windows.
pub(crate) async fn run(globals: &Globals, args: Args) -> anyhow::Result<Exit> {
    let topic = TopicName::new(&args.topic).map_err(|e| CliError::Usage(e.to_string()))?;
    let windows = windows(&args)?;
    let fields = fields(&args);
    fields.check().map_err(CliError::Usage)?;
    let mut stop = Stop::on_signal()?;
    let client = globals.connect().await?;
    client.partition_count(&topic).await?;

    let app_name = app_name(globals);
    let printer = Arc::new(Printer::new(&args)?);
    let program = program(&app_name, (&args, fields), windows, &printer, globals.quiet);
    let metrics = program.metrics();
    let options = RunOptions {
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
        // With -e the ends are known, and nobody needs to guess.
        idle: args.idle.0.filter(|_| !args.exit_at_end),
        ..RunOptions::default()
    };
    let outcome = tokio::select! {
        ran = program.run(&client, options) => ran.map(|_| Exit::Ok).map_err(anyhow::Error::from),
        failed = printer.failure() => Err(failed.into()),
        signal = stop.wait() => Ok(signal.exit()),
    };
    if !matches!(outcome, Ok(Exit::Ok)) {
        remove_repartition_topic(globals, &client, &app_name).await;
    }
    let finished = printer.finish();
    globals.note(summary(&metrics.snapshot()));
    let exit = outcome?;
    finished?;
    Ok(exit)
}

/// A name that no other query has at the same time, on whatever machine: process ids repeat.
fn app_name(globals: &Globals) -> String {
    let (process, started) = (std::process::id(), globals.clock.wall().0);
    format!("brooklet-window-{process}-{started}")
}

fn windows(args: &Args) -> anyhow::Result<Windows> {
    let without_grace = match args.hop {
        Some(hop) => Hopping::of(args.size).advance(hop),
        None => Tumbling::of(args.size),
    };
    Ok(without_grace
        .try_grace(args.grace)
        .map_err(|e| CliError::Usage(e.to_string()))?)
}

/// A run that is cut short leaves its repartition topic behind. What cut it short matters more than
/// a topic that stays.
async fn remove_repartition_topic(globals: &Globals, client: &Client, app_name: &str) {
    let topic = format!("{app_name}-{BY_KEY}-repartition");
    let removed = match TopicName::new(&topic) {
        Ok(topic) => client.delete_topic(&topic).await,
        Err(_) => return,
    };
    match removed {
        Err(ClientError::UnknownTopic(_)) | Ok(()) => {}
        Err(error) => globals.note(format_args!("topic {topic} stays behind: {error}")),
    }
}

fn program(
    name: &str,
    (args, fields): (&Args, Fields),
    windows: Windows,
    printer: &Arc<Printer>,
    quiet: bool,
) -> App {
    let app = App::new(name);
    let rows = app
        .stream(&args.topic, fields.clone())
        .on_malformed(malformed_hook(quiet));
    let key = |row: &Row| row.key.clone();
    // One partition: all keys meet in one task, and results have one order.
    let by_key = || Repartition::named(BY_KEY).partitions(1);
    let keyed: KeyedStream<String, Row> = if fields.time.is_some() {
        let time = |row: &Row| row.time_ms.map_or(Timestamp::NONE, Timestamp);
        rows.event_time(time).key_by(by_key(), key, json())
    } else {
        rows.key_by(by_key(), key, json())
    };
    let aggregates = Aggregates::new(&args.aggregates, &fields.numbers);
    let results = keyed.window(windows).aggregate("results", aggregates);
    let printer = Arc::clone(printer);
    results
        .finals()
        .for_each(move |result| printer.print(&result));
    if let Some(topic) = &args.late_to {
        let late = results.late().map(|late| late_record(&late));
        late.to(
            topic,
            |late| {
                late["key"]
                    .as_str()
                    .map(|key| Bytes::copy_from_slice(key.as_bytes()))
            },
            json(),
        );
    }
    app
}

fn fields(args: &Args) -> Fields {
    let mut numbers: Vec<String> = args
        .aggregates
        .iter()
        .filter_map(|a| a.field.clone())
        .collect();
    numbers.sort_unstable();
    numbers.dedup();
    let format = match args.format {
        InputFormat::Json => Format::Json,
        InputFormat::Csv => Format::Csv(args.columns.clone()),
    };
    Fields {
        format,
        time: args.time.clone(),
        by: args.by.clone(),
        numbers,
        keep_original: args.late_to.is_some(),
    }
}

/// Shows the first malformed records on stderr.
fn malformed_hook(quiet: bool) -> impl Fn(&Malformed<'_>) + Send + Sync + 'static {
    let shown = AtomicU32::new(0);
    move |malformed| {
        if !quiet && shown.fetch_add(1, Relaxed) < MALFORMED_SHOWN_MAX {
            let Malformed {
                partition,
                offset,
                reason,
                ..
            } = malformed;
            say(format!(
                "skipped: partition {partition} offset {offset}: {reason}"
            ));
        }
    }
}

/// What `--late-to` gets of a record and a window that was closed to it.
fn late_record(late: &Late<String, Row>) -> Value {
    let original = late.value.original.as_deref().unwrap_or_default();
    let original = serde_json::from_str(original).unwrap_or_else(|_| Value::from(original));
    json!({
        "key": late.key,
        "event_time": time::to_text(late.timestamp),
        "window_start": time::to_text(late.window.start),
        "window_end": time::to_text(late.window.end),
        "closed_at": time::to_text(late.close_at),
        "stream_time": time::to_text(late.stream_time),
        "late_by_ms": u64::try_from(late.late_by().as_millis()).unwrap_or(u64::MAX),
        "reason": late.reason(),
        "record": original,
    })
}

fn summary(report: &RunReport) -> String {
    let (mut late, mut results) = (0, 0);
    for window in report.windows.values() {
        late += window.counts.late_pairs;
        results += window.counts.finals;
    }
    let (records, malformed) = (report.records_in(), report.malformed());
    format!("{records} records read, {malformed} malformed, {late} too late, {results} results")
}

/// Prints finals in the asked format; the engine's tasks call it.
#[derive(Debug)]
struct Printer {
    state: Mutex<PrinterState>,
    failed: Notify,
    format: OutputFormat,
    columns: Vec<String>,
}

#[derive(Debug)]
struct PrinterState {
    output: Output,
    printed: u64,
    failure: Option<OutputError>,
}

impl Printer {
    fn new(args: &Args) -> Result<Self, OutputError> {
        let columns: Vec<_> = args.aggregates.iter().map(ToString::to_string).collect();
        let mut output =
            Output::stdout(!matches!(args.output, OutputFormat::Table) && args.exit_at_end);
        match args.output {
            OutputFormat::Table => {
                let header = table_line("WINDOW START", "WINDOW END", "KEY", &columns, &columns);
                output.line(header)?;
            }
            OutputFormat::Json => output.line("[")?,
            OutputFormat::Jsonl => {}
        }
        let state = Mutex::new(PrinterState {
            output,
            printed: 0,
            failure: None,
        });
        Ok(Self {
            state,
            failed: Notify::new(),
            format: args.output,
            columns,
        })
    }

    fn print(&self, result: &Final<String, Vec<Value>>) {
        let mut state = self.state.lock();
        if state.failure.is_some() {
            return;
        }
        let separator = if state.printed > 0 { "," } else { " " };
        let line = match self.format {
            OutputFormat::Table => self.table_row(result),
            OutputFormat::Json => format!("{separator}{}", self.object(result)),
            OutputFormat::Jsonl => self.object(result),
        };
        state.printed += 1;
        if let Err(error) = state.output.line(line) {
            state.failure = Some(error);
            self.failed.notify_one();
        }
    }

    fn table_row(&self, result: &Final<String, Vec<Value>>) -> String {
        let cell = |value: &Value| match value.as_f64() {
            Some(number) if value.is_f64() => format!("{number:.2}"),
            _ if value.is_null() => "-".into(),
            _ => value.to_string(),
        };
        let cells: Vec<_> = result.value.iter().map(cell).collect();
        let seconds = |time| time::to_text(time).replace(".000Z", "Z");
        table_line(
            &seconds(result.window.start),
            &seconds(result.window.end),
            &result.key,
            &cells,
            &self.columns,
        )
    }

    /// The fields in the order of the table's columns.
    fn object(&self, result: &Final<String, Vec<Value>>) -> String {
        let of_window = [
            ("window_start", time::to_text(result.window.start)),
            ("window_end", time::to_text(result.window.end)),
            ("key", result.key.clone()),
        ];
        let of_window = of_window.map(|(name, text)| (name, Value::from(text)));
        let columns = self.columns.iter().map(String::as_str);
        let results = columns.zip(result.value.iter().cloned());
        let fields = of_window.into_iter().chain(results);
        let fields = fields.map(|(name, value)| format!("{}:{value}", Value::from(name)));
        format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
    }

    /// Ready once stdout takes no more.
    async fn failure(&self) -> OutputError {
        loop {
            self.failed.notified().await;
            if let Some(error) = self.state.lock().failure.take() {
                return error;
            }
        }
    }

    fn finish(&self) -> Result<(), OutputError> {
        let mut state = self.state.lock();
        if self.format == OutputFormat::Json && state.failure.is_none() {
            state.output.line("]")?;
        }
        state.output.flush()
    }
}

/// A line as wide as its heading; results leave one by one, so no column can wait for its widest cell.
fn table_line(start: &str, end: &str, key: &str, cells: &[String], columns: &[String]) -> String {
    let mut line = format!("{start:<20}  {end:<20}  {key:<KEY_WIDTH$}");
    for (cell, column) in cells.iter().zip(columns) {
        let width = column.chars().count().max(CELL_WIDTH_MIN);
        write!(line, "  {cell:>width$}").expect("a String takes all");
    }
    line
}
