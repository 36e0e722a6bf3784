//! `produce`: records from lines of a file or of stdin, with kcat's habits.
//!
//! ```text
//!  a thread that reads ──chunks of records──▶ producer ──deliveries──▶ tally
//!       (bounded queue)                          (bounded window)
//! ```
//!
//! Reading blocks, so it has a thread of its own; both queues are bounded, so that a slow broker
//! slows the reading down instead of filling memory. The first Ctrl-C stops the reading, what was
//! read is still delivered.

use std::io::{ErrorKind, Read};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, bail};
use brooklet_broker::clock::Clock;
use brooklet_engine::Client;
use brooklet_engine::client::{Acks, NewRecord, ProducerConfig};
use brooklet_protocol::records::Compression;
use brooklet_protocol::{PartitionId, TopicName};
use bytes::Bytes;
use clap::ValueEnum;
use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};
use memchr::memmem::Finder;
use tokio::sync::mpsc;

use crate::Globals;
use crate::escape::{Delimiter, delimiter};
use crate::exit::Exit;
use crate::files::{Input, open_input};
use crate::signals::{Signal, Stop};
use crate::split::{Splitter, split_key};
use crate::terminal::{Stream, is_terminal};

mod sender;

use sender::{Sender, Tally};

/// Bytes read at once.
const READ_BYTES: usize = 64 * 1024;
/// Chunks that may wait between reader and producer.
const CHUNKS_MAX: usize = 4;

/// Arguments of `produce`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  echo hello | brooklet produce greetings
  brooklet produce flights departures.csv -z zstd
  printf 'EWR:late\\nJFK:early\\n' | brooklet produce flights -K:
  printf 'EWR:' | brooklet produce flights -K: -Z        a tombstone: key, null value
  brooklet produce flights departures.csv --transactional-id loader

Empty lines are skipped. Without -K a record has no key, and neither has a line without the
separator. Prints what was stored to stderr; exits 1 if any record was not.")]
pub(crate) struct Args {
    /// The topic; an unknown one is created if the broker allows it
    #[arg(value_parser = TopicName::new)]
    topic: TopicName,
    /// Where records are read from, `-` or nothing: stdin
    file: Option<PathBuf>,
    /// What stands between key and value [escapes: \n \t \xNN]
    #[arg(short = 'K', long, value_name = "SEP", value_parser = delimiter)]
    key_separator: Option<Delimiter>,
    /// The key of records that have none of their own
    #[arg(short, long)]
    key: Option<String>,
    /// What ends a record [escapes: \n \t \xNN]
    #[arg(short = 'D', long, value_name = "SEP", default_value = "\\n", value_parser = delimiter)]
    delimiter: Delimiter,
    /// The partition; without it the key's hash decides
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    partition: Option<i32>,
    /// A header of every record, may be repeated; without `=` its value is null
    #[arg(short = 'H', long, value_name = "NAME=VALUE")]
    header: Vec<Header>,
    /// Compress batches: none, gzip, snappy, lz4, zstd
    #[arg(short = 'z', long, value_name = "CODEC", default_value = "none")]
    compression: Compression,
    /// With -K: an empty key or value becomes null
    #[arg(short = 'Z', long)]
    null: bool,
    /// Who has to confirm a record: 0 nobody, 1 in memory, all durable
    #[arg(long, value_enum, default_value_t = AcksArg::All)]
    acks: AcksArg,
    /// Send all as one transaction of this id: it counts once the input has ended, and not at all after
    /// an error or Ctrl-C
    #[arg(long, value_name = "ID", conflicts_with = "acks")]
    transactional_id: Option<String>,
    /// Commit whenever so many records were sent
    #[arg(long, value_name = "N", requires = "transactional_id")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    commit_every: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum AcksArg {
    #[value(name = "0")]
    None,
    #[value(name = "1")]
    Leader,
    #[value(name = "all", alias = "-1")]
    All,
}

impl From<AcksArg> for Acks {
    fn from(acks: AcksArg) -> Self {
        match acks {
            AcksArg::None => Self::None,
            AcksArg::Leader => Self::Leader,
            AcksArg::All => Self::All,
        }
    }
}

/// `NAME=VALUE`, or `NAME` for a null value.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Header(String, Option<Bytes>);

impl FromStr for Header {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(Bytes::copy_from_slice(value.as_bytes()))),
            None => (text, None),
        };
        match name {
            "" => Err("expected NAME=VALUE".into()),
            name => Ok(Self(name.into(), value)),
        }
    }
}

/// Makes records out of lines.
#[derive(Debug)]
struct RecordMaker {
    partition: Option<PartitionId>,
    key_separator: Option<Finder<'static>>,
    fixed_key: Option<Bytes>,
    empty_is_null: bool,
    headers: Vec<(String, Option<Bytes>)>,
}

impl RecordMaker {
    fn new(args: &Args) -> Self {
        let separator = args.key_separator.as_ref();
        let headers = args.header.iter().cloned();
        Self {
            partition: args.partition.map(PartitionId),
            key_separator: separator.map(|k| Finder::new(&k.0).into_owned()),
            fixed_key: args.key.clone().map(Bytes::from),
            empty_is_null: args.null,
            headers: headers.map(|Header(name, value)| (name, value)).collect(),
        }
    }

    fn make(&self, line: Bytes) -> NewRecord {
        let (key, value) = match &self.key_separator {
            Some(separator) => split_key(line, separator),
            None => (None, line),
        };
        let is_kept = |bytes: &Bytes| !(self.empty_is_null && bytes.is_empty());
        NewRecord {
            partition: self.partition,
            timestamp: None,
            key: key.filter(is_kept).or_else(|| self.fixed_key.clone()),
            value: Some(value).filter(is_kept),
            headers: self.headers.clone(),
        }
    }
}

/// What one read brought.
#[derive(Debug)]
struct Chunk {
    lines: Vec<Bytes>,
    bytes_read: u64,
}

/// Produces until the input ends or a signal comes.
pub(crate) async fn run(globals: &Globals, args: Args) -> anyhow::Result<Exit> {
    let input = open_input(args.file.as_deref())?;
    let client = globals.connect().await?;
    produce(globals, client, &args, input, Stop::on_signal()?).await
}

/// Sends all of `input`.
pub(crate) async fn produce(
    globals: &Globals,
    client: Client,
    args: &Args,
    input: Input,
    stop: Stop,
) -> anyhow::Result<Exit> {
    let acks = Acks::from(args.acks);
    let config = ProducerConfig {
        acks,
        compression: args.compression,
        // A producer can only be idempotent if it learns what was stored.
        idempotence: acks == Acks::All,
        transactional_id: args.transactional_id.clone(),
        ..ProducerConfig::default()
    };
    let splitter = Splitter::new(&args.delimiter.0, config.request_bytes_max);
    let topic = args.topic.clone();
    let mut sender = Sender::new(client, topic, config, args.commit_every).await?;
    let progress = progress_bar(globals, input.bytes_total);
    let started = globals.clock.monotonic().0;
    let chunks = start_reading(input, splitter)?;
    let maker = RecordMaker::new(args);
    let sent = send_all(chunks, &maker, &mut sender, stop, &progress).await;
    let whole = matches!(sent, Ok(None));
    let tally = sender.finish(whole).await;
    progress.finish_and_clear();
    summarize(
        globals,
        &args.topic,
        &tally,
        globals.clock.monotonic().0.saturating_sub(started),
    );
    conclude(sent, tally)
}

/// Sends until the input ends; a signal that came earlier is returned.
async fn send_all(
    mut chunks: mpsc::Receiver<anyhow::Result<Chunk>>,
    maker: &RecordMaker,
    sender: &mut Sender,
    mut stop: Stop,
    progress: &ProgressBar,
) -> anyhow::Result<Option<Signal>> {
    loop {
        let chunk = tokio::select! {
            chunk = chunks.recv() => chunk,
            signal = stop.wait() => return Ok(Some(signal)),
        };
        let Some(chunk) = chunk else {
            return Ok(None);
        };
        let chunk = chunk?;
        for line in chunk.lines {
            if let Some(signal) = stop.asked() {
                return Ok(Some(signal));
            }
            sender.send(maker.make(line)).await?;
        }
        progress.inc(chunk.bytes_read);
    }
}

fn conclude(sent: anyhow::Result<Option<Signal>>, tally: Tally) -> anyhow::Result<Exit> {
    if let Some(error) = tally.first_error {
        let all = tally.stored + tally.failed;
        let what = match tally.failed {
            0 => "the transaction did not end".to_owned(),
            failed => format!("{failed} of {all} records were not stored"),
        };
        return Err(anyhow::Error::from(error).context(what));
    }
    Ok(sent?.map_or(Exit::Ok, Signal::exit))
}

fn start_reading(
    input: Input,
    splitter: Splitter,
) -> anyhow::Result<mpsc::Receiver<anyhow::Result<Chunk>>> {
    let (chunks, receiver) = mpsc::channel(CHUNKS_MAX);
    std::thread::Builder::new()
        .name("input".into())
        .spawn(move || {
            if let Err(error) = read_all(input.reader, splitter, &chunks) {
                // Without a receiver the verb has ended, and with it the interest in errors.
                drop(chunks.blocking_send(Err(error)));
            }
        })
        .context("cannot start a thread")?;
    Ok(receiver)
}

fn read_all(
    mut reader: impl Read,
    mut splitter: Splitter,
    chunks: &mpsc::Sender<anyhow::Result<Chunk>>,
) -> anyhow::Result<()> {
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let count = match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(e) if e.kind() == ErrorKind::Interrupted => continue,
            Err(e) => bail!("cannot read the input: {e}"),
        };
        splitter.push(&buffer[..count]);
        let mut chunk = Chunk {
            lines: Vec::new(),
            bytes_read: count as u64,
        };
        // Records before one that is too long are still sent.
        let result = loop {
            match splitter.next() {
                Ok(Some(line)) => chunk.lines.push(line),
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        if chunks.blocking_send(Ok(chunk)).is_err() {
            return Ok(());
        }
        result?;
    }
    let lines = Vec::from_iter(splitter.finish()?);
    let last = Chunk {
        lines,
        bytes_read: 0,
    };
    drop(chunks.blocking_send(Ok(last)));
    Ok(())
}

/// A bar on stderr when a person watches a file being sent, else an invisible one.
fn progress_bar(globals: &Globals, bytes_total: Option<u64>) -> ProgressBar {
    match bytes_total {
        Some(total) if !globals.quiet && is_terminal(Stream::Stderr) => {
            let template = "{bar:40} {bytes}/{total_bytes}  {bytes_per_sec}  {eta} left";
            let style = ProgressStyle::with_template(template).expect("the template is valid");
            ProgressBar::new(total).with_style(style)
        }
        _ => ProgressBar::hidden(),
    }
}

fn summarize(globals: &Globals, topic: &TopicName, tally: &Tally, took: Duration) {
    let records = if tally.stored == 1 {
        "record"
    } else {
        "records"
    };
    globals.note(format_args!(
        "produced {} {records} ({}) to {topic} in {:.3} s",
        HumanCount(tally.stored),
        HumanBytes(tally.bytes_stored),
        took.as_secs_f64()
    ));
    if tally.aborted > 0 {
        globals.note(format_args!(
            "aborted the last transaction: its {} records do not count",
            HumanCount(tally.aborted)
        ));
    }
}

#[cfg(test)]
mod tests {
    use brooklet_engine::client::ClientError;

    use super::*;

    fn maker(separator: Option<&'static str>, fixed: Option<&'static str>) -> RecordMaker {
        RecordMaker {
            partition: None,
            key_separator: separator.map(|s| Finder::new(s).into_owned()),
            fixed_key: fixed.map(Bytes::from),
            empty_is_null: false,
            headers: Vec::new(),
        }
    }

    fn parts(record: &NewRecord) -> (Option<&[u8]>, Option<&[u8]>) {
        (record.key.as_deref(), record.value.as_deref())
    }

    #[test]
    fn a_line_is_a_value_and_before_the_separator_a_key() {
        let made = maker(None, None).make("k:v".into());
        assert_eq!(parts(&made), (None, Some(&b"k:v"[..])));
        let made = maker(Some(":"), None).make("k:v".into());
        assert_eq!(parts(&made), (Some(&b"k"[..]), Some(&b"v"[..])));
        let made = maker(Some(":"), Some("f")).make("v".into());
        assert_eq!(parts(&made), (Some(&b"f"[..]), Some(&b"v"[..])));
    }

    #[test]
    fn empty_becomes_null_only_when_asked() {
        let mut maker = maker(Some(":"), None);
        let made = maker.make("k:".into());
        assert_eq!(parts(&made), (Some(&b"k"[..]), Some(&b""[..])));
        maker.empty_is_null = true;
        assert_eq!(parts(&maker.make("k:".into())), (Some(&b"k"[..]), None));
        assert_eq!(parts(&maker.make(":v".into())), (None, Some(&b"v"[..])));
    }

    #[test]
    fn a_header_without_value_is_null() {
        assert_eq!("a=b=c".parse(), Ok(Header("a".into(), Some("b=c".into()))));
        assert_eq!("a=".parse(), Ok(Header("a".into(), Some("".into()))));
        assert_eq!("a".parse(), Ok(Header("a".into(), None)));
        assert!("=b".parse::<Header>().is_err());
    }

    #[test]
    fn reading_keeps_what_came_before_a_record_that_is_too_long() {
        let (chunks, mut receiver) = mpsc::channel(CHUNKS_MAX);
        let result = read_all(&b"one\ntoo long\n"[..], Splitter::new(b"\n", 4), &chunks);
        assert!(result.is_err());
        let chunk = receiver.try_recv().unwrap().unwrap();
        assert_eq!(chunk.lines, ["one"]);
    }

    #[test]
    fn the_tally_keeps_the_first_error() {
        let mut tally = Tally::default();
        tally.count(3, Ok(()));
        tally.count(3, Err(ClientError::UnknownTopic("first".into())));
        tally.count(3, Err(ClientError::Closed));
        let error = conclude(Ok(None), tally).unwrap_err();
        assert_eq!(error.to_string(), "2 of 3 records were not stored");
        assert_eq!(
            error.root_cause().to_string(),
            "topic 'first' does not exist"
        );
    }
}
