//! `consume`: reads partitions and prints their records, with kcat's habits.
//!
//! Partitions are read side by side; records keep their order within a partition, not between
//! partitions. With `-e` the end is where each partition ended when reading began, so that it is
//! reached even while producers go on writing. With `--group` the partitions are shared with other
//! members ([`group`]).

mod group;

use std::collections::BTreeMap;
use std::io::Write;

use brooklet_client::{Client, Consumer, ConsumerConfig, Fetched, Isolation, OffsetSpec};
use brooklet_protocol::{Offset, PartitionId, TopicName, TopicPartition};

use crate::escape::{Delimiter, delimiter};
use crate::exit::{CliError, Exit};
use crate::format::{Format, Located, Parts, delimited};
use crate::globals::Globals;
use crate::isolation::{isolation, note_open_transactions};
use crate::output::{Output, OutputError};
use crate::signals::Stop;
use crate::start_offset::{OffsetRange, StartOffset};
use crate::terminal::{Stream, is_terminal};
use crate::topic::topic_error;

/// Bytes that a batch may have once it is decompressed.
const DECOMPRESSED_BYTES_MAX: usize = 64 << 20;

/// Arguments of `consume`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  brooklet consume flights                      all records, then new ones, until Ctrl-C
  brooklet consume flights -e                   all records, then exit
  brooklet consume flights -o -10 -e            the last 10 records of each partition
  brooklet consume flights -o end -n 1          the next new record
  brooklet consume flights -o @2013-03-08T12:00:00Z -e
  brooklet consume flights -e -f '%t [%p] at offset %o: key %k: %s\\n'
  brooklet consume flights -e -J | jq .payload
  brooklet consume flights clicks -G readers    start it twice, and both share the partitions
  brooklet consume flights -G readers --assignor cooperative-sticky
  brooklet consume payments --isolation read_uncommitted     also aborted and open transactions

Format: %s value  %S its length  %R its length as 4 bytes  %k key  %K its length
        %T timestamp in ms  %h headers  %t topic  %p partition  %o offset  %% percent
        \\n \\r \\t \\xNN; the length of null is -1; no line break is added

On a terminal, control characters in keys, values and headers are shown as escapes; a pipe gets
the bytes unchanged.")]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub(crate) struct Args {
    /// The topic; with --group, one or more
    #[arg(required = true, value_name = "TOPIC", value_parser = TopicName::new)]
    topics: Vec<TopicName>,
    /// Only this partition; may be repeated [default: all]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    partition: Vec<i32>,
    /// Where to start in each partition: beginning, end, N, -N (before the end), @TIME; with
    /// --group, where to start without a committed offset: beginning, end
    #[arg(short, long, value_name = "START", default_value = "beginning")]
    #[arg(allow_hyphen_values = true)]
    offset: StartOffset,
    #[command(flatten)]
    group: group::GroupArgs,
    /// read_committed skips records of aborted and open transactions, read_uncommitted includes
    /// them
    #[arg(long, value_name = "LEVEL", default_value = "read_committed", value_parser = isolation)]
    isolation: Isolation,
    /// Exit after this many records
    #[arg(short = 'n', short_alias = 'c', long, value_name = "COUNT")]
    count: Option<u64>,
    /// Exit at the offsets where the partitions ended at the start; with --group, at the end of
    /// this member's partitions, or at once if it gets none
    #[arg(short = 'e', long)]
    exit_at_end: bool,
    /// How to print a record; see below
    #[arg(short, long, value_name = "FORMAT", conflicts_with_all = ["json", "key_separator", "delimiter"])]
    format: Option<Parts>,
    /// Print each record as one line of JSON
    #[arg(short = 'J', long, conflicts_with_all = ["key_separator", "delimiter"])]
    json: bool,
    /// Print keys, with this between key and value [escapes: \n \t \xNN]
    #[arg(short = 'K', long, value_name = "SEP", value_parser = delimiter)]
    key_separator: Option<Delimiter>,
    /// What to print after each record [escapes: \n \t \xNN]
    #[arg(short = 'D', long, value_name = "SEP", default_value = "\\n", value_parser = delimiter)]
    delimiter: Delimiter,
    /// Print NULL for null keys and values
    #[arg(short = 'Z', long)]
    null: bool,
    /// Write each record as soon as it is read
    #[arg(short, long)]
    unbuffered: bool,
}

impl Args {
    fn consumer_config(&self) -> ConsumerConfig {
        ConsumerConfig {
            isolation: self.isolation,
            ..ConsumerConfig::default()
        }
    }

    /// The topic, outside a group.
    fn topic(&self) -> anyhow::Result<&TopicName> {
        match &self.topics[..] {
            [topic] => Ok(topic),
            _ => Err(CliError::Usage(
                "expected one topic, found several: to read several, add --group".into(),
            )
            .into()),
        }
    }

    fn format(&self) -> Format {
        let format = self.format_in_a_pipe();
        if is_terminal(Stream::Stdout) {
            Format::ForTerminal(Box::new(format))
        } else {
            format
        }
    }

    fn format_in_a_pipe(&self) -> Format {
        if self.json {
            return Format::Json;
        }
        let default = || delimited(self.key_separator.clone(), self.delimiter.clone());
        let Parts(parts) = self.format.clone().unwrap_or_else(default);
        let null = if self.null { "NULL" } else { "" };
        Format::Tokens { parts, null }
    }
}

/// Reads until the count, the end or a signal.
pub(crate) async fn run(globals: &Globals, args: Args) -> anyhow::Result<Exit> {
    let mut stop = Stop::on_signal()?;
    if let Some(group) = &args.group.group {
        let client = globals.connect().await?;
        let output = Output::stdout(!args.unbuffered);
        return group::run(globals, client, (group, &args), output, stop).await;
    }
    let reading = async {
        let client = globals.connect().await?;
        let output = Output::stdout(!args.unbuffered);
        consume(globals, client, &args, output).await
    };
    tokio::select! {
        result = reading => result.map(|()| Exit::Ok),
        // Nothing is lost: records are written before the next wait.
        signal = stop.wait() => Ok(signal.exit()),
    }
}

/// Reads until the count or the end.
pub(crate) async fn consume<W: Write>(
    globals: &Globals,
    client: Client,
    args: &Args,
    output: Output<W>,
) -> anyhow::Result<()> {
    let partitions = partitions(&client, args).await?;
    let ranges = ranges(&client, &partitions, args.isolation).await?;
    let starts = starts(&client, args.offset, &ranges).await?;
    report_moved_starts(globals, args.offset, &starts);
    if args.exit_at_end && args.isolation == Isolation::ReadCommitted {
        let ends = ranges.iter().map(|(p, range)| (p.clone(), range.end));
        note_open_transactions(globals, &client, &ends.collect()).await?;
    }

    let mut consumer = Consumer::new(client, args.consumer_config());
    consumer.assign(starts.clone());
    let mut printer = Printer::new(args, output);
    let mut ends = Ends::new(args.exit_at_end, &ranges);
    loop {
        let reached = ends.take_reached(|p| consumer.position(p));
        for (index, (partition, end)) in reached.iter().enumerate() {
            consumer.pause(partition);
            let is_last = ends.is_over() && index + 1 == reached.len();
            report_end(globals, partition, *end, is_last);
        }
        if ends.is_over() || printer.records_left == 0 {
            return Ok(());
        }
        for fetched in consumer.poll().await? {
            printer.print(&fetched, ends.end_of(&fetched.partition))?;
        }
        printer.output.flush()?;
    }
}

/// The requested partitions, or all.
async fn partitions(client: &Client, args: &Args) -> anyhow::Result<Vec<TopicPartition>> {
    let name = args.topic()?;
    let metadata = client.metadata(Some(&[name.as_str()])).await?;
    let topic = metadata.topics.first();
    if let Some(code) = topic.and_then(|topic| topic.error) {
        return Err(topic_error(name.as_str(), code).into());
    }
    let there = topic.map_or(&[][..], |topic| &topic.partitions);
    let there: Vec<_> = there.iter().map(|p| p.partition).collect();
    let wanted = if args.partition.is_empty() {
        there.clone()
    } else {
        args.partition.iter().copied().map(PartitionId).collect()
    };
    if let Some(missing) = wanted.iter().find(|p| !there.contains(p)) {
        let last = there.len().saturating_sub(1);
        let text = format!("topic '{name}' has no partition {missing}: expected 0 to {last}");
        return Err(CliError::NotFound(text).into());
    }
    let key = |p| TopicPartition::new(name.clone(), p);
    Ok(wanted.into_iter().map(key).collect())
}

type Ranges = BTreeMap<TopicPartition, OffsetRange>;

async fn ranges(
    client: &Client,
    partitions: &[TopicPartition],
    isolation: Isolation,
) -> anyhow::Result<Ranges> {
    let starts = client
        .list_offsets(partitions, OffsetSpec::Earliest)
        .await?;
    let ends = client
        .list_offsets_in(partitions, OffsetSpec::Latest, isolation)
        .await?;
    let both = starts.into_iter().filter_map(|(partition, start)| {
        let end = *ends.get(&partition)?;
        Some((partition, OffsetRange { start, end }))
    });
    Ok(both.collect())
}

async fn starts(
    client: &Client,
    start: StartOffset,
    ranges: &Ranges,
) -> anyhow::Result<Vec<(TopicPartition, Offset)>> {
    let at_time = match start {
        StartOffset::Time(time) => {
            let partitions: Vec<_> = ranges.keys().cloned().collect();
            client
                .list_offsets(&partitions, OffsetSpec::At(time))
                .await?
        }
        _ => BTreeMap::new(),
    };
    let start_of = |(partition, range): (&TopicPartition, &OffsetRange)| {
        let at_time = at_time.get(partition).copied();
        (partition.clone(), range.resolve(start, at_time))
    };
    Ok(ranges.iter().map(start_of).collect())
}

/// Says so where the start was moved, because the partition does not have the offset.
fn report_moved_starts(globals: &Globals, start: StartOffset, starts: &[(TopicPartition, Offset)]) {
    let StartOffset::At(wanted) = start else {
        return;
    };
    for (partition, placed) in starts.iter().filter(|(_, placed)| *placed != wanted) {
        let TopicPartition { topic, partition } = partition;
        globals.note(format_args!(
            "% Topic {topic} [{partition}] has no offset {wanted}: starting at {placed}"
        ));
    }
}

fn report_end(globals: &Globals, partition: &TopicPartition, end: Offset, is_last: bool) {
    let TopicPartition { topic, partition } = partition;
    let exiting = if is_last { ": exiting" } else { "" };
    globals.note(format_args!(
        "% Reached end of topic {topic} [{partition}] at offset {end}{exiting}"
    ));
}

/// The offset at which reading each partition ends, until it is reached.
#[derive(Debug)]
struct Ends {
    /// Empty, and never over, when following.
    ends: BTreeMap<TopicPartition, Offset>,
    remaining: BTreeMap<TopicPartition, Offset>,
}

impl Ends {
    fn new(exit_at_end: bool, ranges: &Ranges) -> Self {
        let ends = ranges.iter().map(|(p, range)| (p.clone(), range.end));
        let ends: BTreeMap<_, _> = ends.filter(|_| exit_at_end).collect();
        Self {
            remaining: ends.clone(),
            ends,
        }
    }

    /// The end of a partition, exclusive; `i64::MAX` if it is followed.
    fn end_of(&self, partition: &TopicPartition) -> Offset {
        let end = self.ends.get(partition);
        end.copied().unwrap_or(Offset(i64::MAX))
    }

    /// Removes the partitions whose position has reached their end, and returns them.
    fn take_reached(
        &mut self,
        position: impl Fn(&TopicPartition) -> Option<Offset>,
    ) -> Vec<(TopicPartition, Offset)> {
        let reached = |(p, end): &(&TopicPartition, &Offset)| position(p) >= Some(**end);
        let reached = self.remaining.iter().filter(reached);
        let reached: Vec<_> = reached.map(|(p, end)| (p.clone(), *end)).collect();
        for (partition, _) in &reached {
            self.remaining.remove(partition);
        }
        reached
    }

    /// Whether every end was reached.
    fn is_over(&self) -> bool {
        !self.ends.is_empty() && self.remaining.is_empty()
    }
}

/// Prints records until their count is used up.
#[derive(Debug)]
struct Printer<W> {
    output: Output<W>,
    format: Format,
    records_left: u64,
}

impl<W: Write> Printer<W> {
    fn new(args: &Args, output: Output<W>) -> Self {
        Self {
            output,
            format: args.format(),
            records_left: args.count.unwrap_or(u64::MAX),
        }
    }

    /// Prints the fetched records below `end`; returns the offset of the first that was not printed
    /// because the count was used up.
    fn print(&mut self, fetched: &Fetched, end: Offset) -> anyhow::Result<Option<Offset>> {
        let range = fetched.position..end;
        // Transaction markers are not data.
        for batch in fetched.batches.iter().filter(|b| !b.header().is_control()) {
            let records = batch.records(DECOMPRESSED_BYTES_MAX)?;
            for record in &records {
                let record = record?;
                if range.contains(&record.offset) {
                    if self.records_left == 0 {
                        return Ok(Some(record.offset));
                    }
                    let located = Located {
                        partition: &fetched.partition,
                        is_log_append_time: batch.header().is_log_append_time(),
                        record,
                    };
                    self.print_one(&located)?;
                }
            }
        }
        Ok(None)
    }

    fn print_one(&mut self, located: &Located<'_>) -> Result<(), OutputError> {
        self.records_left -= 1;
        self.format.append(self.output.buffer(), located);
        self.output.end_record()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(number: i32) -> TopicPartition {
        TopicPartition::new(TopicName::new("t").unwrap(), PartitionId(number))
    }

    fn ranges() -> Ranges {
        let range = |end| OffsetRange {
            start: Offset(0),
            end: Offset(end),
        };
        [(partition(0), range(0)), (partition(1), range(5))].into()
    }

    #[test]
    fn an_end_is_reached_once_and_an_empty_partition_at_once() {
        let mut ends = Ends::new(true, &ranges());
        let at_start = ends.take_reached(|_| Some(Offset(0)));
        assert_eq!(at_start, [(partition(0), Offset(0))]);
        assert!(!ends.is_over());
        assert!(ends.take_reached(|_| Some(Offset(4))).is_empty());
        assert_eq!(
            ends.take_reached(|_| Some(Offset(7))),
            [(partition(1), Offset(5))]
        );
        assert!(ends.is_over());
        assert_eq!(ends.end_of(&partition(1)), Offset(5));
    }

    #[test]
    fn following_has_no_end() {
        let mut ends = Ends::new(false, &ranges());
        assert!(ends.take_reached(|_| Some(Offset(9))).is_empty());
        assert!(!ends.is_over());
        assert_eq!(ends.end_of(&partition(1)), Offset(i64::MAX));
    }
}
