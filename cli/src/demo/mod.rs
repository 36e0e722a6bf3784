//! `demo`: a real week of flights, live.
//!
//! A broker and the engine in one process. A producer replays 6,027 departures through the Kafka
//! port; two queries compute the mean delay per airport and hour, one impatient, one patient; the
//! terminal shows what each has found. The last line is the lesson: a query that does not wait for
//! stragglers misses the delays, because the late records are the delayed flights.
//!
//! ```text
//!  replay ──Kafka port──▶ flights (3 partitions) ──embedded──▶ query ──▶ board ──▶ screen
//! ```
//!
//! The figures are the same in every run and at every speed: the queries merge the partitions by
//! record timestamp and wait for all three, so nothing depends on which was faster.

mod flights;
mod replay;

mod query;

mod board;
mod new_york;
mod screen;

mod lesson;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use brooklet_broker::{Broker, BrokerConfig, StartError, Storage};
use brooklet_client::{Client, ClientError};
use brooklet_engine::{Bound, Metrics, RunOptions};
use brooklet_log::clock::Clock as _;
use brooklet_protocol::messages::ErrorCode;
use brooklet_protocol::{Monotonic, Timestamp, TopicName};
use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::watch;

use crate::exit::Exit;
use crate::files;
use crate::globals::Globals;
use crate::output::Output;
use crate::picture::Picture;
use crate::signals::Stop;
use crate::terminal::{self, Stream};
use crate::text::Text;
use board::Board;
use new_york::NewYork;
use replay::Speed;
use screen::{Frame, thousands};

/// How often the table is drawn.
const REDRAW: Duration = Duration::from_millis(100);

const DEFAULT_KAFKA: &str = "127.0.0.1:9092";

/// Arguments of `demo`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  brooklet demo                              a week in a minute; stop it with Ctrl-C
  brooklet demo --speed max --exit           only the figures
  brooklet demo --data-dir week              keep the topic, then: brooklet serve --data-dir week")]
pub(crate) struct Args {
    /// How many times faster than real time, or max
    #[arg(
        long,
        value_name = "N|max",
        default_value = "10080",
        allow_hyphen_values = true
    )]
    speed: Speed,
    /// Keep the data in this directory [default: a temporary one]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Where Kafka clients connect [default: 127.0.0.1:9092, or a free port if that is in use]
    #[arg(long, value_name = "HOST:PORT")]
    kafka: Option<String>,
    /// Exit after the last record instead of waiting for Ctrl-C
    #[arg(long)]
    exit: bool,
    /// Write the final results to this file, one JSON object per line
    #[arg(long, value_name = "FILE")]
    finals: Option<PathBuf>,
}

/// Runs the demo.
///
/// # Errors
/// The broker does not start, the data directory already holds flights, a file cannot be written.
pub(crate) async fn run(globals: &Globals, args: Args) -> anyhow::Result<Exit> {
    let mut stop = Stop::on_signal()?;
    let broker = start_broker(globals, &args).await?;
    let outcome = tokio::select! {
        outcome = perform(globals, &args, &broker) => outcome,
        signal = stop.wait() => Ok(signal.exit()),
    };
    let stays =
        terminal::is_terminal(Stream::Stdout) && !args.exit && std::env::var_os("CI").is_none();
    if stays && matches!(outcome, Ok(Exit::Ok)) {
        globals.note("");
        globals.note(
            "The broker keeps running: try kcat, or brooklet consume flights. Stop it with Ctrl-C.",
        );
        stop.wait().await;
    }
    broker
        .shutdown()
        .await
        .context("cannot shut down cleanly")?;
    outcome
}

async fn start_broker(globals: &Globals, args: &Args) -> anyhow::Result<Broker> {
    let config = |kafka: &str| BrokerConfig {
        storage: args
            .data_dir
            .clone()
            .map_or(Storage::Ephemeral, Storage::Directory),
        kafka: Some(kafka.to_owned()),
        ..BrokerConfig::default()
    };
    let broker = match &args.kafka {
        Some(address) => Broker::start(config(address)).await?,
        None => match Broker::start(config(DEFAULT_KAFKA)).await {
            Err(StartError::Bind { .. }) => {
                globals.note(format_args!(
                    "{DEFAULT_KAFKA} is in use: listening on a free port instead"
                ));
                Broker::start(config("127.0.0.1:0")).await?
            }
            started => started?,
        },
    };
    let ready = globals.clock.monotonic().0.as_millis();
    globals.note(format_args!(
        "ready in {ready} ms  kafka={}",
        address(&broker)
    ));
    Ok(broker)
}

fn address(broker: &Broker) -> String {
    broker
        .kafka_address()
        .map_or_else(|| "-".into(), |address| address.to_string())
}

/// The replay, the queries and the screen, side by side, until the last window is closed.
async fn perform(globals: &Globals, args: &Args, broker: &Broker) -> anyhow::Result<Exit> {
    let flights = flights::flights()?;
    let board = Arc::new(Mutex::new(Board {
        queries: query::queries(),
        records_in: 0,
        records_total: flights.len() as u64,
        malformed: 0,
        stream_time: None,
    }));
    let producer = Client::connect(&address(broker), "brooklet-demo").await?;
    create_topic(&producer, args).await?;

    let program = query::program(&board);
    let metrics = program.metrics();
    let (say_ends, ends) = watch::channel(None);
    let options = RunOptions {
        stop: Bound::Signalled(ends),
        ..RunOptions::default()
    };
    let engine = Client::embedded(broker.clone(), "brooklet-demo-engine");
    let replaying = async {
        let ends = replay::replay(producer, &flights, args.speed, &globals.clock).await?;
        say_ends.send_replace(Some(ends));
        Ok(())
    };
    let querying = async {
        program
            .run(&engine, options)
            .await
            .map_err(anyhow::Error::from)
    };
    let both = async { tokio::try_join!(replaying, querying) };
    let mut show = Show::new(globals, &board, &metrics, address(broker));
    tokio::select! {
        ended = both => { ended?; }
        failed = show.redraw() => failed?,
    }
    show.refresh();
    show.draw()?;
    show.end(truth(&flights))?;
    if let Some(file) = &args.finals {
        write_finals(file, &board.lock())?;
    }
    Ok(Exit::Ok)
}

async fn create_topic(client: &Client, args: &Args) -> anyhow::Result<()> {
    let topic = TopicName::new(query::TOPIC)?;
    // The flights are from 2013: with the default retention of a week they would be deleted at
    // once.
    let configs = [("retention.ms", "-1"), ("retention.bytes", "-1")];
    let configs = configs.map(|(key, value)| (key.to_owned(), value.to_owned()));
    match client
        .create_topic(&topic, Some(replay::PARTITIONS), &BTreeMap::from(configs))
        .await
    {
        Err(ClientError::Broker {
            code: ErrorCode::TopicAlreadyExists,
            ..
        }) => {
            let dir = args.data_dir.as_deref().unwrap_or(Path::new("."));
            bail!(
                "{} already has a topic '{topic}'. Name an empty --data-dir, or look at what is \
                 there: brooklet serve --data-dir {}",
                dir.display(),
                dir.display()
            )
        }
        created => Ok(created?),
    }
}

/// Count and mean delay of all flights, in a window or not.
fn truth(flights: &[flights::Flight]) -> (i64, f64) {
    let sum: i64 = flights.iter().map(|flight| flight.delay_min).sum();
    (flights.len() as i64, sum as f64 / flights.len() as f64)
}

/// Writes the finals in order of query, window and origin, so that two runs are equal byte by byte.
fn write_finals(file: &Path, board: &Board) -> anyhow::Result<()> {
    let mut text = String::new();
    for query in &board.queries {
        for ((start, origin), cell) in query.cells.iter().filter(|(_, cell)| cell.closed) {
            let line = json!({
                "query": query.name,
                "origin": origin,
                "window_start_ms": start,
                "window_end_ms": start + board::WINDOW_MS,
                "count": cell.count,
                "delay_min_sum": cell.delay_min_sum,
            });
            text.push_str(&line.to_string());
            text.push('\n');
        }
    }
    files::write_whole(file, &text)
}

/// Draws while the demo runs: over the last picture on a terminal, else a note per day of event
/// time.
struct Show<'a> {
    globals: &'a Globals,
    board: &'a Mutex<Board>,
    metrics: &'a Metrics,
    kafka: String,
    output: Output,
    live: bool,
    picture: Picture,
    rate: Rate,
    date: Option<String>,
}

impl<'a> Show<'a> {
    fn new(
        globals: &'a Globals,
        board: &'a Mutex<Board>,
        metrics: &'a Metrics,
        kafka: String,
    ) -> Self {
        let live = terminal::is_terminal(Stream::Stdout);
        let output = Output::stdout(true);
        let rate = Rate::default();
        Self {
            globals,
            board,
            metrics,
            kafka,
            output,
            live,
            picture: Picture::default(),
            rate,
            date: None,
        }
    }

    /// Draws until stdout fails.
    async fn redraw(&mut self) -> anyhow::Result<()> {
        loop {
            let next = Monotonic(self.globals.clock.monotonic().0 + REDRAW);
            self.globals.clock.sleep_until(next).await;
            self.refresh();
            self.draw()?;
        }
    }

    /// Copies what the engine has counted to the board.
    fn refresh(&mut self) {
        let report = self.metrics.snapshot();
        let mut board = self.board.lock();
        board.records_in = report.records_in();
        board.malformed = report.malformed();
        let time = report
            .windows
            .values()
            .map(|window| window.stream_time)
            .min();
        let is_a_moment = |t: &Timestamp| *t > Timestamp::MIN && *t < Timestamp::MAX;
        board.stream_time = time.filter(is_a_moment).or(board.stream_time);
        self.rate
            .note(self.globals.clock.monotonic(), board.records_in);
    }

    fn draw(&mut self) -> anyhow::Result<()> {
        let board = self.board.lock().clone();
        if !self.live {
            self.note_the_day(&board);
            return Ok(());
        }
        let colour = terminal::color(Stream::Stdout);
        let frame = Frame {
            board: &board,
            kafka: &self.kafka,
            rate: self.rate.per_second,
            colour,
        };
        Ok(self
            .picture
            .draw(&Text::styled(frame.lines()), &mut self.output)?)
    }

    fn note_the_day(&mut self, board: &Board) {
        let date = board.stream_time.map(|time| NewYork::at(time).date());
        if date == self.date {
            return;
        }
        let late = board
            .queries
            .iter()
            .map(|q| format!("{} {}", q.name, thousands(q.late)));
        let late = late.collect::<Vec<_>>().join(", ");
        let read = thousands(board.records_in);
        self.globals.note(format_args!(
            "{}: {read} records read; too late so far: {late}",
            date.as_deref().unwrap_or("-")
        ));
        self.date = date;
    }

    /// Prints what was found, and the lesson.
    fn end(&mut self, truth: (i64, f64)) -> anyhow::Result<()> {
        if self.live {
            self.output.line("")?;
        }
        for line in lesson::lines(&self.board.lock(), truth) {
            self.output.line(line)?;
        }
        Ok(self.output.flush()?)
    }
}

/// Records per second, smoothed over about a second.
#[derive(Debug, Default)]
struct Rate {
    last: Option<(Monotonic, u64)>,
    per_second: f64,
}

impl Rate {
    fn note(&mut self, now: Monotonic, records: u64) {
        if let Some((then, before)) = self.last {
            let seconds = now.0.saturating_sub(then.0).as_secs_f64();
            if seconds > 0.0 {
                let current = records.saturating_sub(before) as f64 / seconds;
                let weight = seconds.min(1.0);
                self.per_second += (current - self.per_second) * weight;
            }
        }
        self.last = Some((now, records));
    }
}
