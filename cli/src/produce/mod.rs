//! `produce`: records from lines of a file or of stdin, with kcat's habits.
//!
//! ```text
//!  a thread that reads ──chunks of records──▶ producer ──deliveries──▶ tally
//!       (bounded queue)                          (bounded window)
//! ```
//!
//! Reading blocks, so it has a thread of its own; both queues are bounded, so that a slow broker
//! slows the reading down instead of filling memory. The first Ctrl-C stops the reading; what was
//! read is still delivered.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use brooklet_client::{Acks, Client, ClientError, NewRecord, ProducerConfig};
use brooklet_log::clock::Clock;
use brooklet_protocol::records::Compression;
use brooklet_protocol::{PartitionId, TopicName};
use bytes::Bytes;
use clap::ValueEnum;
use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};
use memchr::memmem::Finder;
use tokio::sync::mpsc;

use crate::escape::{Delimiter, delimiter};
use crate::exit::Exit;
use crate::files::{Input, open_input};
use crate::globals::Globals;
use crate::ranges::Ranges;
use crate::refused::incomplete;
use crate::signals::{Signal, Stop};
use crate::split::{Splitter, split_key};
use crate::terminal::{Stream, is_terminal};

mod reading;
mod sender;

use reading::{Chunk, start_reading};
use sender::{Sender, Tally};

/// Longer lines are not kept in memory. It is more than the largest request that a broker accepts
/// by default (`socket.request.max.bytes`).
const LINE_BYTES_MAX: usize = 128 << 20;

/// Arguments of `produce`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  echo hello | brooklet produce greetings
  brooklet produce flights departures.csv -z zstd
  printf 'EWR:late\\nJFK:early\\n' | brooklet produce flights -K:
  printf 'EWR:' | brooklet produce flights -K: -Z        a tombstone: key, null value
  brooklet produce flights departures.csv --transactional-id loader

Empty lines are skipped. A record has no key without -K, or if its line has no separator. Prints
the number of stored records on stderr; exits with 1 if any record was not stored.

If the topic refuses a record (too large, or without a key in a compacted topic), its line is
named, the others are sent, and the last message says how to send the missing ones with --lines.
A transaction stores all records or none: the first refused record ends it.")]
pub(crate) struct Args {
    /// The topic; created if it does not exist and the broker allows that
    #[arg(value_parser = TopicName::new)]
    topic: TopicName,
    /// The file to read; - is stdin [default: -]
    file: Option<PathBuf>,
    /// The separator between key and value [escapes: \n \t \xNN]
    #[arg(short = 'K', long, value_name = "SEP", value_parser = delimiter)]
    key_separator: Option<Delimiter>,
    /// The key of records without one of their own
    #[arg(short, long)]
    key: Option<String>,
    /// The delimiter at the end of each record [escapes: \n \t \xNN]
    #[arg(short = 'D', long, value_name = "SEP", default_value = "\\n", value_parser = delimiter)]
    delimiter: Delimiter,
    /// The partition [default: by the hash of the key]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    partition: Option<i32>,
    /// A header for every record; may be repeated; without `=` its value is null
    #[arg(short = 'H', long, value_name = "NAME=VALUE")]
    header: Vec<Header>,
    /// Compress batches: none, gzip, snappy, lz4, zstd
    #[arg(short = 'z', long, value_name = "CODEC", default_value = "none")]
    compression: Compression,
    /// With -K, an empty key or value becomes null
    #[arg(short = 'Z', long)]
    null: bool,
    /// Send only these lines of the input, counted from 1, for example 17,23-40,100-
    #[arg(long, value_name = "LIST")]
    lines: Option<Ranges>,
    /// The most bytes in a record, before compression, with the batch's overhead [default: what the
    /// topic's max.message.bytes allows]
    #[arg(long, value_name = "BYTES")]
    max_request_size: Option<usize>,
    /// When a record is confirmed: 0 never, 1 once it is in memory, all once it is durable
    #[arg(long, value_enum, default_value_t = AcksArg::All)]
    acks: AcksArg,
    /// Send all records in one transaction with this id: committed at the end of the input, aborted
    /// on an error or Ctrl-C
    #[arg(long, value_name = "ID", conflicts_with = "acks")]
    transactional_id: Option<String>,
    /// Commit after every N records
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

/// Makes records from lines.
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
            compression: None,
        }
    }
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
        // A producer can only be idempotent if every record is confirmed.
        idempotence: acks == Acks::All,
        transactional_id: args.transactional_id.clone(),
        request_bytes_max: args.max_request_size,
        ..ProducerConfig::default()
    };
    let line_bytes_max = args.max_request_size.unwrap_or(0).max(LINE_BYTES_MAX);
    let splitter = Splitter::new(&args.delimiter.0, line_bytes_max);
    let topic = args.topic.clone();
    let mut sender = Sender::new(client, (topic, noun(args)), config, args.commit_every).await?;
    let progress = progress_bar(globals, input.bytes_total);
    let started = globals.clock.monotonic().0;
    let chunks = start_reading(input, splitter)?;
    let maker = RecordMaker::new(args);
    let feed = Feed {
        maker: &maker,
        lines: args.lines.as_ref(),
        line_bytes_max,
        progress: &progress,
    };
    let sent = feed.send_all(chunks, &mut sender, stop).await;
    let whole = matches!(sent.end, End::Whole);
    let tally = sender.finish(whole).await;
    progress.finish_and_clear();
    let took = globals.clock.monotonic().0.saturating_sub(started);
    summarize(globals, &args.topic, &tally, took);
    conclude(globals, args, sent, tally)
}

/// The word for a piece of the input: line or record.
fn noun(args: &Args) -> &'static str {
    if args.delimiter.0 == b"\n" {
        "line"
    } else {
        "record"
    }
}

/// How the sending ended.
#[derive(Debug)]
enum End {
    /// At the end of the input.
    Whole,
    Signal(Signal),
    /// With an error that would also stop every other record.
    Failed(anyhow::Error),
}

/// What was sent.
#[derive(Debug)]
struct Sent {
    end: End,
    /// The first line that was not sent.
    next_line: u64,
}

/// The input, as it becomes records.
struct Feed<'a> {
    maker: &'a RecordMaker,
    lines: Option<&'a Ranges>,
    line_bytes_max: usize,
    progress: &'a ProgressBar,
}

impl Feed<'_> {
    /// Sends until the input ends, a signal arrives, or an error makes it pointless to continue.
    async fn send_all(
        &self,
        mut chunks: mpsc::Receiver<anyhow::Result<Chunk>>,
        sender: &mut Sender,
        mut stop: Stop,
    ) -> Sent {
        let mut next_line = 1;
        let end = loop {
            let chunk = tokio::select! {
                chunk = chunks.recv() => chunk,
                signal = stop.wait() => break End::Signal(signal),
            };
            match chunk {
                None => break End::Whole,
                Some(Err(error)) => break End::Failed(error),
                Some(Ok(chunk)) => {
                    let sent = self.send_chunk(chunk, sender, &stop, &mut next_line).await;
                    if let Some(end) = sent {
                        break end;
                    }
                }
            }
        };
        Sent { end, next_line }
    }

    async fn send_chunk(
        &self,
        chunk: Chunk,
        sender: &mut Sender,
        stop: &Stop,
        next_line: &mut u64,
    ) -> Option<End> {
        for line in chunk.lines {
            if let Some(signal) = stop.asked() {
                return Some(End::Signal(signal));
            }
            let number = line.number;
            // The tally knows what becomes of this one.
            *next_line = number + 1;
            if self.lines.is_none_or(|lines| lines.contains(number)) {
                let sent = match line.record {
                    Some(record) => sender.send(self.maker.make(record), number).await,
                    None => sender.refuse_long(number, self.line_bytes_max),
                };
                if let Err(error) = sent {
                    return Some(End::Failed(error.into()));
                }
            }
        }
        self.progress.inc(chunk.bytes_read);
        None
    }
}

/// Reports what is missing, and how to send it.
fn conclude(globals: &Globals, args: &Args, sent: Sent, tally: Tally) -> anyhow::Result<Exit> {
    let (mut missing, refused) = (tally.missing, tally.refused);
    if !matches!(sent.end, End::Whole) {
        missing.insert_from(sent.next_line);
    }
    if let Some(first) = tally.uncommitted_from {
        missing = Ranges::default();
        missing.insert_from(first);
    }
    if let Some(lines) = &args.lines {
        missing = missing.and(lines);
    }
    let go_on = format!("send the missing records with: --lines {missing}");
    let source = match (sent.end, tally.first_error) {
        (End::Failed(error), _) => match error.downcast::<ClientError>() {
            Ok(error) => error,
            Err(error) => return Err(error.context(format!("stopped; {go_on}"))),
        },
        (_, Some(error)) => error,
        (End::Signal(signal), None) => {
            globals.note(format_args!("interrupted; {go_on}"));
            return Ok(signal.exit());
        }
        (End::Whole, None) => return Ok(Exit::Ok),
    };
    let noun = noun(args);
    let plural = if missing.count() == 1 { "" } else { "s" };
    let all = tally.stored + refused;
    let what = match tally.uncommitted_from {
        Some(_) => "the transaction was not committed".to_owned(),
        None => format!("{refused} of {all} records were not stored ({noun}{plural} {missing})"),
    };
    Err(incomplete(what, &go_on, source).into())
}

/// A progress bar on stderr if a file is sent and a person watches, else a hidden one.
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
            "aborted the last transaction with {} records",
            HumanCount(tally.aborted)
        ));
    }
}

#[cfg(test)]
mod tests {
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
}
