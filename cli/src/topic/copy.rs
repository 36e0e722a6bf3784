//! `topic copy`: the records of a topic, with their keys, timestamps and headers, to another topic or
//! another cluster.
//!
//! Each record goes to the partition of the number that it came from, in the order that it has there. What
//! counts is copied: records of committed transactions, up to the last stable offset of the beginning.

use std::collections::{BTreeMap, VecDeque};

use brooklet_engine::Client;
use brooklet_engine::client::{
    ClientError, Consumer, ConsumerConfig, Delivery, Fetched, Isolation, NewRecord, OffsetSpec,
    Producer, ProducerConfig,
};
use brooklet_protocol::messages::ErrorCode;
use brooklet_protocol::{Offset, PartitionId, TopicName, TopicPartition};
use bytes::Bytes;

use crate::Globals;
use crate::exit::CliError;

/// What a batch may grow to when it is decompressed.
const DECOMPRESSED_BYTES_MAX: usize = 64 << 20;
/// Records sent and not yet looked at again.
const DELIVERIES_MAX: usize = 16 * 1024;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  brooklet topic copy flights flights-copy
  brooklet topic copy flights flights --to kafka:9092

A target that is not there is created, with as many partitions and the settings of the source.")]
pub(super) struct CopyArgs {
    /// The topic to read
    #[arg(value_name = "FROM", value_parser = TopicName::new)]
    from: TopicName,
    /// The topic to write
    #[arg(value_name = "TARGET", value_parser = TopicName::new)]
    target: TopicName,
    /// The brokers of the target, if they are others
    #[arg(long, value_name = "HOST:PORT,..")]
    to: Option<String>,
}

pub(super) async fn copy(globals: &Globals, client: &Client, args: CopyArgs) -> anyhow::Result<()> {
    let target = match &args.to {
        Some(servers) => Client::connect(servers, "brooklet-cli").await?,
        None if args.from == args.target => {
            let words =
                "a topic cannot be copied to itself: name another one, or brokers with --to";
            return Err(CliError::Usage(words.to_owned()).into());
        }
        None => client.clone(),
    };
    let count = client.partition_count(&args.from).await?;
    prepare(client, &target, &args, count).await?;
    let places: Vec<_> = (0..count)
        .map(|number| TopicPartition::new(args.from.clone(), PartitionId(number)))
        .collect();
    let starts = client.list_offsets(&places, OffsetSpec::Earliest).await?;
    let isolation = Isolation::ReadCommitted;
    let ends = client
        .list_offsets_in(&places, OffsetSpec::Latest, isolation)
        .await?;
    let config = ConsumerConfig {
        isolation,
        ..ConsumerConfig::default()
    };
    let mut consumer = Consumer::new(client.clone(), config);
    consumer.assign(starts.iter().map(|(place, start)| (place.clone(), *start)));
    let mut copier = Copier {
        producer: Producer::new(target, ProducerConfig::default()).await?,
        target: args.target.clone(),
        under_way: VecDeque::new(),
        copied: 0,
    };
    let mut remaining: BTreeMap<_, _> = ends
        .into_iter()
        .filter(|(place, end)| starts[place] < *end)
        .collect();
    while !remaining.is_empty() {
        for fetched in consumer.poll().await? {
            if let Some(end) = remaining.get(&fetched.partition) {
                copier.send(&fetched, *end).await?;
            }
        }
        remaining.retain(|place, end| consumer.position(place) < Some(*end));
    }
    let copied = copier.finish().await?;
    globals.note(format_args!(
        "copied {copied} records of {} to {}",
        args.from, args.target
    ));
    Ok(())
}

/// Sees to it that the target is there, and has partitions enough.
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
            "topic '{}' has {found} partitions, '{}' has {count}: add some with brooklet topic add-partitions",
            args.target, args.from
        );
        return Err(CliError::Usage(words).into());
    }
    Ok(())
}

#[derive(Debug)]
struct Copier {
    producer: Producer,
    target: TopicName,
    under_way: VecDeque<Delivery>,
    copied: u64,
}

impl Copier {
    /// Sends what counts of a fetch, up to `end`.
    async fn send(&mut self, fetched: &Fetched, end: Offset) -> anyhow::Result<()> {
        for batch in &fetched.batches {
            for record in &batch.records(DECOMPRESSED_BYTES_MAX)? {
                let record = record?;
                if record.offset < fetched.position || record.offset >= end {
                    continue;
                }
                let headers = record
                    .headers()
                    .map(|(name, value)| (name.into_owned(), value.map(Bytes::copy_from_slice)));
                let copy = NewRecord {
                    partition: Some(fetched.partition.partition),
                    timestamp: Some(record.timestamp),
                    key: record.key.map(Bytes::copy_from_slice),
                    value: record.value.map(Bytes::copy_from_slice),
                    headers: headers.collect(),
                };
                let delivery = self.producer.send(&self.target, copy).await?;
                self.under_way.push_back(delivery);
                if self.under_way.len() >= DELIVERIES_MAX {
                    self.settle_oldest().await?;
                }
            }
        }
        Ok(())
    }

    async fn settle_oldest(&mut self) -> Result<(), ClientError> {
        if let Some(delivery) = self.under_way.pop_front() {
            delivery.wait().await?;
            self.copied += 1;
        }
        Ok(())
    }

    /// Waits for all that is under way; tells how many were copied.
    async fn finish(mut self) -> Result<u64, ClientError> {
        self.producer.flush().await?;
        while !self.under_way.is_empty() {
            self.settle_oldest().await?;
        }
        Ok(self.copied)
    }
}
