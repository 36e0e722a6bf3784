//! `topic copy`: the records of a topic, with their keys, timestamps and headers, to another topic
//! or another cluster.
//!
//! Each record goes to the partition with the same number, in the same order, in a batch with the
//! same codec, since with another one it might no longer fit. Only what counts is copied: records
//! of committed transactions, up to the last stable offset at the start.
//!
//! A record that the target refuses is named and skipped, and the copy fails at its end. It then
//! names what is missing in the form of `--only`, so that the copy can be completed without
//! starting over.

use std::collections::{BTreeMap, VecDeque};
use std::str::FromStr;

use brooklet_client::{
    Client, ClientError, Consumer, ConsumerConfig, Delivery, Fetched, Isolation, NewRecord,
    OffsetSpec, Producer, ProducerConfig,
};
use brooklet_protocol::messages::ErrorCode;
use brooklet_protocol::records::{RecordBatch, Records};
use brooklet_protocol::{Offset, PartitionId, TopicName, TopicPartition};
use bytes::Bytes;

use crate::exit::CliError;
use crate::globals::Globals;
use crate::ranges::Ranges;
use crate::refused::{Refusals, incomplete, is_of_record};

/// Bytes that a batch may have once it is decompressed: as many as any that Brooklet stores.
const DECOMPRESSED_BYTES_MAX: usize = 1 << 30;
/// Records under way at most.
const DELIVERIES_MAX: usize = 16 * 1024;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  brooklet topic copy flights flights-copy
  brooklet topic copy flights flights --to kafka:9092
  brooklet topic copy flights flights-copy --only 0:17,23-40 --only 2:100-

The target is created if it does not exist, with the partitions and settings of the source.

A record that the target refuses (too large, too old) is named by its partition and offset, and
the others are copied. The exit code is then 1, and the last message says how to copy the missing
records with --only; they are appended after those that were copied before.")]
pub(super) struct CopyArgs {
    /// The topic to read
    #[arg(value_name = "FROM", value_parser = TopicName::new)]
    from: TopicName,
    /// The topic to write
    #[arg(value_name = "TARGET", value_parser = TopicName::new)]
    target: TopicName,
    /// The brokers of the target, if it is another cluster
    #[arg(long, value_name = "HOST:PORT,..")]
    to: Option<String>,
    /// Copy only these offsets of a partition, for example 0:17,23-40,100-; may be repeated
    #[arg(long, value_name = "PARTITION:LIST")]
    only: Vec<Only>,
    /// The most bytes in a record, before compression, with the batch's overhead [default: what the
    /// target's max.message.bytes allows]
    #[arg(long, value_name = "BYTES")]
    max_request_size: Option<usize>,
}

/// Offsets of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Only {
    partition: i32,
    offsets: Ranges,
}

impl FromStr for Only {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || format!("expected PARTITION:LIST such as 0:17,23-40, found '{text}'");
        let (partition, offsets) = text.split_once(':').ok_or_else(expected)?;
        Ok(Self {
            partition: (partition.parse().ok())
                .filter(|number| *number >= 0)
                .ok_or_else(expected)?,
            offsets: offsets.parse()?,
        })
    }
}

/// The offsets to copy, by partition.
type Wanted = BTreeMap<TopicPartition, Ranges>;

pub(super) async fn copy(globals: &Globals, client: &Client, args: CopyArgs) -> anyhow::Result<()> {
    let target = match &args.to {
        Some(servers) => Client::connect(servers, "brooklet-cli").await?,
        None if args.from == args.target => {
            let words =
                "cannot copy a topic to itself: name another topic, or other brokers with --to";
            return Err(CliError::Usage(words.to_owned()).into());
        }
        None => client.clone(),
    };
    let count = client.partition_count(&args.from).await?;
    prepare(client, &target, &args, count).await?;
    let wanted = wanted(client, &args, count).await?;
    let config = ProducerConfig {
        request_bytes_max: args.max_request_size,
        ..ProducerConfig::default()
    };
    let mut copier = Copier {
        producer: Producer::new(target, config).await?,
        target: args.target.clone(),
        under_way: VecDeque::new(),
        failed: Wanted::new(),
        next: BTreeMap::new(),
        refusals: Refusals::default(),
        tally: Tally::default(),
    };
    let mut outcome = copier.run(client, &wanted).await;
    let settled = copier.finish().await;
    if outcome.is_ok() {
        outcome = settled;
    }
    let copied = copier.tally.copied;
    globals.note(format_args!(
        "copied {copied} records of {} to {}",
        args.from, args.target
    ));
    copier.conclude(outcome, &wanted)
}

/// The requested offsets that exist.
async fn wanted(client: &Client, args: &CopyArgs, count: i32) -> anyhow::Result<Wanted> {
    if let Some(only) = args.only.iter().find(|only| only.partition >= count) {
        let words = format!(
            "topic '{}' has no partition {}: it has {count}, counted from 0",
            args.from, only.partition
        );
        return Err(CliError::NotFound(words).into());
    }
    let partitions: Vec<_> = (0..count)
        .map(|number| TopicPartition::new(args.from.clone(), PartitionId(number)))
        .collect();
    let starts = client
        .list_offsets(&partitions, OffsetSpec::Earliest)
        .await?;
    let ends = client
        .list_offsets_in(&partitions, OffsetSpec::Latest, Isolation::ReadCommitted)
        .await?;
    let mut wanted = Wanted::new();
    for (partition, end) in ends {
        let (start, end) = (starts[&partition].0 as u64, end.0 as u64);
        let mut offsets = Ranges::default();
        if start < end {
            offsets.insert_range(start, end - 1);
        }
        if !args.only.is_empty() {
            let mut asked = Ranges::default();
            let only = args.only.iter();
            for only in only.filter(|only| only.partition == partition.partition.0) {
                asked = asked.or(&only.offsets);
            }
            offsets = offsets.and(&asked);
        }
        if !offsets.is_empty() {
            wanted.insert(partition, offsets);
        }
    }
    Ok(wanted)
}

/// Makes sure that the target exists and has enough partitions.
async fn prepare(
    client: &Client,
    target: &Client,
    args: &CopyArgs,
    count: i32,
) -> anyhow::Result<()> {
    let settings = client.topic_configs(&args.from).await?;
    match target
        .create_topic(&args.target, Some(count), &settings)
        .await
    {
        Ok(()) => return Ok(()),
        Err(ClientError::Broker {
            code: ErrorCode::TopicAlreadyExists,
            ..
        }) => {}
        Err(error) => return Err(error.into()),
    }
    let found = target.partition_count(&args.target).await?;
    if found < count {
        let words = format!(
            "topic '{}' has {found} partitions, but '{}' has {count}. Add some with: brooklet topic add-partitions",
            args.target, args.from
        );
        return Err(CliError::Usage(words).into());
    }
    Ok(())
}

/// The outcome so far.
#[derive(Debug, Default)]
struct Tally {
    copied: u64,
    refused: u64,
    first_refusal: Option<ClientError>,
}

#[derive(Debug)]
struct Copier {
    producer: Producer,
    target: TopicName,
    under_way: VecDeque<(TopicPartition, Offset, Delivery)>,
    /// The offsets that were sent but may not be in the target.
    failed: Wanted,
    /// The next offset to send, by partition.
    next: BTreeMap<TopicPartition, u64>,
    refusals: Refusals,
    tally: Tally,
}

impl Copier {
    /// Sends all wanted records.
    async fn run(&mut self, client: &Client, wanted: &Wanted) -> anyhow::Result<()> {
        let config = ConsumerConfig {
            isolation: Isolation::ReadCommitted,
            ..ConsumerConfig::default()
        };
        let mut consumer = Consumer::new(client.clone(), config);
        let first = |offsets: &Ranges| Offset(offsets.next(0).map_or(0, |first| first as i64));
        let starts = wanted.iter();
        consumer.assign(starts.map(|(partition, offsets)| (partition.clone(), first(offsets))));
        let mut remaining = wanted.clone();
        while !remaining.is_empty() {
            for fetched in consumer.poll().await? {
                if let Some(offsets) = remaining.get(&fetched.partition) {
                    self.send_fetched(&fetched, offsets).await?;
                }
            }
            remaining.retain(|partition, offsets| {
                let position = consumer
                    .position(partition)
                    .map_or(0, |offset| offset.0 as u64);
                let next = offsets.next(position);
                // Skip what is not wanted.
                if let Some(next) = next.filter(|next| *next > position) {
                    consumer.seek(partition, Offset(next as i64));
                }
                next.is_some()
            });
        }
        Ok(())
    }

    /// Sends the wanted records of a fetch.
    async fn send_fetched(&mut self, fetched: &Fetched, wanted: &Ranges) -> anyhow::Result<()> {
        for batch in &fetched.batches {
            let partition = &fetched.partition;
            let records = decompressed(batch).map_err(|error| {
                let offset = batch.header().base_offset;
                error.context(format!("{partition}, batch at offset {offset}"))
            })?;
            let compression = batch.header().compression().ok();
            for record in &records {
                let record = record?;
                let offset = record.offset;
                if offset < fetched.position || !wanted.contains(offset.0 as u64) {
                    continue;
                }
                let headers = record
                    .headers()
                    .map(|(name, value)| (name.into_owned(), value.map(Bytes::copy_from_slice)));
                let copy = NewRecord {
                    partition: Some(partition.partition),
                    timestamp: Some(record.timestamp),
                    key: record.key.map(Bytes::copy_from_slice),
                    value: record.value.map(Bytes::copy_from_slice),
                    headers: headers.collect(),
                    compression,
                };
                self.next.insert(partition.clone(), offset.0 as u64 + 1);
                self.send(partition, offset, copy).await?;
            }
        }
        Ok(())
    }

    async fn send(
        &mut self,
        partition: &TopicPartition,
        offset: Offset,
        copy: NewRecord,
    ) -> Result<(), ClientError> {
        match self.producer.send(&self.target, copy).await {
            Ok(delivery) => self
                .under_way
                .push_back((partition.clone(), offset, delivery)),
            Err(error) => return self.refuse(partition, offset, error),
        }
        if self.under_way.len() >= DELIVERIES_MAX {
            self.settle_oldest().await?;
        }
        Ok(())
    }

    /// Names a record that the target refuses; returns the error if it is pointless to continue.
    fn refuse(
        &mut self,
        partition: &TopicPartition,
        offset: Offset,
        error: ClientError,
    ) -> Result<(), ClientError> {
        let failed = self.failed.entry(partition.clone()).or_default();
        failed.insert(offset.0 as u64);
        if !is_of_record(&error) {
            return Err(error);
        }
        self.refusals
            .say(&format!("{partition} offset {offset}"), &error);
        self.tally.refused += 1;
        self.tally.first_refusal.get_or_insert(error);
        Ok(())
    }

    async fn settle_oldest(&mut self) -> Result<(), ClientError> {
        if let Some((partition, offset, delivery)) = self.under_way.pop_front() {
            if let Err(error) = delivery.wait().await {
                return self.refuse(&partition, offset, error);
            }
            self.tally.copied += 1;
        }
        Ok(())
    }

    /// Waits for all records under way.
    async fn finish(&mut self) -> anyhow::Result<()> {
        if let Err(error) = self.producer.flush().await {
            tracing::debug!(%error, "the flush failed; the deliveries say for which records");
        }
        let mut outcome = Ok(());
        while !self.under_way.is_empty() {
            let settled = self.settle_oldest().await;
            if outcome.is_ok() {
                outcome = settled.map_err(anyhow::Error::from);
            }
        }
        outcome
    }

    /// Reports what is missing, and how to copy it.
    fn conclude(self, outcome: anyhow::Result<()>, wanted: &Wanted) -> anyhow::Result<()> {
        let mut missing = self.failed;
        if outcome.is_err() {
            for (partition, offsets) in wanted {
                let mut rest = Ranges::default();
                rest.insert_from(self.next.get(partition).copied().unwrap_or(0));
                let failed = missing.remove(partition).unwrap_or_default();
                missing.insert(partition.clone(), failed.or(&rest.and(offsets)));
            }
            missing.retain(|_, offsets| !offsets.is_empty());
        }
        let go_on = go_on(&missing);
        let Tally {
            copied,
            refused,
            first_refusal,
        } = self.tally;
        let source = match (outcome, first_refusal) {
            (Ok(()), None) => return Ok(()),
            (Ok(()), Some(error)) => error,
            (Err(error), _) => match error.downcast::<ClientError>() {
                Ok(error) => error,
                Err(error) => {
                    return Err(error.context(format!("stopped after {copied} records; {go_on}")));
                }
            },
        };
        let what = match refused {
            0 => format!("stopped after {copied} records"),
            _ => format!("{refused} of {} records were not copied", copied + refused),
        };
        Err(incomplete(what, &go_on, source).into())
    }
}

fn decompressed(batch: &RecordBatch) -> anyhow::Result<Records> {
    Ok(batch.records(DECOMPRESSED_BYTES_MAX)?)
}

fn go_on(missing: &Wanted) -> String {
    let each = missing.iter();
    let each =
        each.map(|(partition, offsets)| format!(" --only {}:{offsets}", partition.partition));
    format!("copy the missing records with:{}", each.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_of_a_partition_are_a_list() {
        let only: Only = "2:17,20-".parse().unwrap();
        assert_eq!(
            (only.partition, only.offsets.to_string()),
            (2, "17,20-".into())
        );
        for wrong in ["", "17", "a:1", "-1:1", "0:", "0:x"] {
            assert!(wrong.parse::<Only>().is_err(), "{wrong}");
        }
    }
}
