//! `group lag`: how far groups are behind, and which member reads what; once, or repeatedly
//! (`--watch`).
//!
//! A watch survives the loss of its broker: it says once that it waits, and once that the broker is
//! back. A group that does not exist, or no longer exists, ends it.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io::Write;
use std::time::Duration;

use brooklet_client::{Client, ClientError, OffsetSpec};
use brooklet_log::clock::Clock;
use brooklet_protocol::{Monotonic, TopicPartition};
use serde::Serialize;

use super::{SCHEMA, or_dash};
use crate::exit::words;
use crate::globals::Globals;
use crate::output::{Output, OutputFormat, print_all};
use crate::picture::Picture;
use crate::signals::Stop;
use crate::terminal::{Stream, is_terminal};
use crate::text::{Text, table};
use crate::time;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  brooklet group lag readers
  brooklet group lag readers -o json | jq '[.groups[].lag] | add'
  brooklet group lag readers writers --watch
  brooklet group lag readers --watch --interval 5000 -o jsonl >> lag.jsonl

--watch runs until Ctrl-C. On a terminal each table replaces the last one; in a pipe they follow
each other, each with its time, and so do the lines of JSON.")]
pub(super) struct LagArgs {
    /// The groups
    #[arg(required = true, value_name = "GROUP")]
    groups: Vec<String>,
    /// Repeat until Ctrl-C
    #[arg(long)]
    watch: bool,
    /// Milliseconds between two measurements
    #[arg(long, value_name = "MS", requires = "watch", default_value_t = 1000)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=INTERVAL_MS_MAX))]
    interval: u64,
    /// How to print
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t)]
    output: OutputFormat,
}

/// A day.
const INTERVAL_MS_MAX: u64 = 24 * 60 * 60 * 1000;

/// The position of a group in one partition.
#[derive(Debug, Serialize)]
struct Progress {
    topic: String,
    partition: i32,
    /// The next record that the group will read; `None` if it has not committed any.
    offset: Option<i64>,
    /// The next record to come.
    end: i64,
    /// The number of records from the committed offset to the end.
    lag: Option<i64>,
    /// The client that reads it now.
    client: Option<String>,
}

/// A group as `group lag` prints it.
#[derive(Debug, Serialize)]
struct Lagging {
    /// When it was measured, if it is watched.
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    group: String,
    lag: i64,
    partitions: Vec<Progress>,
}

pub(super) async fn lag<W: Write>(
    globals: &Globals,
    client: &Client,
    args: &LagArgs,
    output: &mut Output<W>,
) -> anyhow::Result<()> {
    if !args.watch {
        return print(&look(client, args).await?, args, output);
    }
    let mut stop = Stop::on_signal()?;
    tokio::select! {
        failed = Watch::new(globals, args).run(client, output) => failed.map(|never| match never {}),
        _ = stop.wait() => Ok(()),
    }
}

/// A watch.
struct Watch<'a> {
    globals: &'a Globals,
    args: &'a LagArgs,
    seen: Seen,
    picture: Picture,
}

/// What the last measurement of a watch found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// There was none.
    Nothing,
    /// The groups.
    Groups,
    /// No answer.
    Silence,
}

impl Seen {
    /// Notes that the groups were found; returns what to say about it.
    fn hit(&mut self) -> Option<String> {
        let before = std::mem::replace(self, Self::Groups);
        (before == Self::Silence).then(|| "the broker is back".to_owned())
    }

    /// Notes a failure; returns what to say about it, or the error if there is no point in trying
    /// again: if none ever succeeded, or if it is not the kind of error that passes.
    fn miss(&mut self, error: anyhow::Error) -> anyhow::Result<Option<String>> {
        if *self == Self::Nothing || !passes(&error) {
            return Err(error);
        }
        let before = std::mem::replace(self, Self::Silence);
        Ok((before == Self::Groups).then(|| format!("waiting for the broker: {}", words(&error))))
    }
}

impl<'a> Watch<'a> {
    fn new(globals: &'a Globals, args: &'a LagArgs) -> Self {
        Self {
            globals,
            args,
            seen: Seen::Nothing,
            picture: Picture::default(),
        }
    }

    /// Repeats until it fails for good.
    async fn run<W: Write>(
        mut self,
        client: &Client,
        output: &mut Output<W>,
    ) -> anyhow::Result<Infallible> {
        let clock = &self.globals.clock;
        let interval = Duration::from_millis(self.args.interval);
        let mut next = clock.monotonic().0;
        loop {
            match look(client, self.args).await {
                Ok(groups) => {
                    let said = self.seen.hit();
                    self.note(said);
                    self.show(groups, output)?;
                }
                Err(error) => {
                    let said = self.seen.miss(error)?;
                    self.note(said);
                }
            }
            next = (next + interval).max(clock.monotonic().0);
            clock.sleep_until(Monotonic(next)).await;
        }
    }

    fn show<W: Write>(
        &mut self,
        mut groups: Vec<Lagging>,
        output: &mut Output<W>,
    ) -> anyhow::Result<()> {
        let time = time::to_text(self.globals.clock.wall());
        match self.args.output {
            OutputFormat::Table if is_terminal(Stream::Stdout) => {
                let text = Text::line(&time).and(lag_tables(&groups));
                return Ok(self.picture.draw(&text, output)?);
            }
            OutputFormat::Table => output.line(&time)?,
            OutputFormat::Json | OutputFormat::Jsonl => {
                for group in &mut groups {
                    group.time = Some(time.clone());
                }
            }
        }
        print(&groups, self.args, output)?;
        Ok(output.flush()?)
    }

    fn note(&mut self, text: Option<String>) {
        if let Some(text) = text {
            self.globals.note(text);
            self.picture.leave();
        }
    }
}

/// Whether the broker may come back.
fn passes(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<ClientError>()
        .is_some_and(ClientError::is_retriable)
}

async fn look(client: &Client, args: &LagArgs) -> anyhow::Result<Vec<Lagging>> {
    let mut groups = Vec::new();
    for group in &args.groups {
        groups.push(lags_of(client, group).await?);
    }
    Ok(groups)
}

fn print<W: Write>(
    groups: &[Lagging],
    args: &LagArgs,
    output: &mut Output<W>,
) -> anyhow::Result<()> {
    print_all(output, (args.output, SCHEMA, "groups"), groups, lag_tables)
}

async fn lags_of(client: &Client, group: &str) -> anyhow::Result<Lagging> {
    let described = client.describe_group(group).await?;
    let committed = client.committed_offsets(group).await?;
    let mut readers: BTreeMap<TopicPartition, Option<String>> = BTreeMap::new();
    readers.extend(committed.keys().map(|partition| (partition.clone(), None)));
    for member in described.members {
        let partitions = member.partitions.into_iter();
        readers.extend(partitions.map(|partition| (partition, Some(member.client_id.clone()))));
    }
    let partitions: Vec<_> = readers.keys().cloned().collect();
    let ends = client.list_offsets(&partitions, OffsetSpec::Latest).await?;
    let partitions = readers.into_iter().map(|(partition, reader)| {
        let offset = committed.get(&partition).map(|offset| offset.0);
        let end = ends[&partition].0;
        Progress {
            topic: partition.topic.to_string(),
            partition: partition.partition.0,
            offset,
            end,
            // Records deleted since then still count, as in Kafka.
            lag: offset.map(|offset| (end - offset).max(0)),
            client: reader,
        }
    });
    let partitions: Vec<_> = partitions.collect();
    Ok(Lagging {
        time: None,
        group: group.to_owned(),
        lag: partitions
            .iter()
            .filter_map(|partition| partition.lag)
            .sum(),
        partitions,
    })
}

fn lag_tables(groups: &[Lagging]) -> Text {
    Text::paragraphs(groups.iter().map(lag_table))
}

fn lag_table(lags: &Lagging) -> Text {
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
    let head = Text::line(format!("group {}  lag {}", lags.group, lags.lag));
    head.and(table(&header, &rows))
}

#[cfg(test)]
mod tests {

    use brooklet_client::transport::TransportError;

    use super::*;

    fn away() -> anyhow::Error {
        let (address, reason) = ("b:1".to_owned(), "gone".to_owned());
        ClientError::from(TransportError::Broken { address, reason }).into()
    }

    #[test]
    fn a_broker_that_is_away_is_named_once_each_time() {
        let mut seen = Seen::Nothing;
        assert!(seen.miss(away()).is_err(), "it has never been there");
        for _ in 0..2 {
            assert_eq!(seen.hit(), None);
            assert_eq!(seen.hit(), None);
            let said = seen.miss(away()).unwrap().unwrap();
            assert!(said.starts_with("waiting for the broker: "), "{said}");
            assert_eq!(seen.miss(away()).unwrap(), None);
            assert_eq!(seen.hit(), Some("the broker is back".into()));
        }
        let missing = ClientError::UnknownGroup("g".into());
        assert!(seen.miss(missing.into()).is_err(), "it stays missing");
    }
}
