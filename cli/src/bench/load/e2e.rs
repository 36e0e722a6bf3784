//! `bench e2e`: how soon a record that was due is in a consumer's hands.
//!
//! The value of each record begins with the time at which it was due, in nanoseconds since the run's
//! start; consumers are in the same process and look at the same clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use brooklet_client::{Consumer, ConsumerConfig};
use brooklet_protocol::{Offset, PartitionId, TopicPartition};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::generator::RunClock;
use super::payload::stamp_of;
use super::produce::{gather, latencies, observed, throughput};
use super::report::Measured;
use super::schedule::Rate;
use super::tally::{Figure, Tally};
use super::{Load, Pace, Run, cpu};

/// What a batch may grow to when it is decompressed.
pub(super) const DECOMPRESSED_BYTES_MAX: usize = 64 << 20;
/// How long records that are stored may take to come, after the last was sent.
const ARRIVAL_MAX: Duration = Duration::from_secs(30);

/// Arguments of `bench e2e`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  brooklet bench e2e                                   an ephemeral broker, 1,000 records/s
  brooklet bench e2e -b 127.0.0.1:9092 --rate 10k --acks 1 --size 1024
  brooklet bench e2e -b kafka:9092 -p 4 --consumers 4 --linger 5ms -o json

Latency counts from the time at which a record was due, to its being in a consumer's hands. A
run whose generator fell behind is not valid: exit code 6.")]
pub(crate) struct Args {
    /// Records a second by all producers together
    #[arg(long, value_name = "RATE", default_value = "1000", value_parser = open_loop)]
    rate: Rate,
    /// Consumers, which share the partitions
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) consumers: u32,
    #[command(flatten)]
    pace: Pace,
    #[command(flatten)]
    pub(super) load: Load,
}

fn open_loop(text: &str) -> Result<Rate, String> {
    match text.parse()? {
        Rate::Max => Err("end to end there is no max: name a rate".to_owned()),
        rate @ Rate::PerSecond(_) => Ok(rate),
    }
}

/// What consumers and whoever waits for them share.
#[derive(Debug)]
struct Arrivals {
    tally: Mutex<Tally>,
    count: AtomicU64,
    changed: Notify,
}

pub(super) async fn run(run: &Run<'_>, args: &Args) -> anyhow::Result<Measured> {
    let phases = args.pace.phases(run.load);
    let (rate, linger) = (args.rate, run.load.linger.unwrap_or(Duration::ZERO));
    run.say(&format!("producing and consuming, for {:?}", phases.end()));
    let arrivals = Arc::new(Arrivals {
        tally: Mutex::new(Tally::new(phases)),
        count: AtomicU64::new(0),
        changed: Notify::new(),
    });
    let mut consumers = Vec::new();
    for number in 0..args.consumers {
        consumers.push(run.consumer(number, args.consumers).await?);
    }
    let (clock, running) = run.start_producers((rate, phases), linger, true).await?;
    let mut reading = JoinSet::new();
    for consumer in consumers {
        reading.spawn(read(consumer, clock, Arc::clone(&arrivals)));
    }
    let measuring = async { tokio::join!(cpu::by_round(phases, clock), gather(running, phases)) };
    let (cpu, sent) = tokio::select! {
        (cpu, sent) = measuring => (cpu, sent?),
        Some(ended) = reading.join_next() => {
            ended.context("a consumer has died")??;
            bail!("a consumer has ended before its time");
        }
    };
    let lost = sent.done - await_arrivals(&arrivals, sent.done).await;
    reading.shutdown().await;
    let received = arrivals.tally.lock();
    let mut figures = throughput(&received.rounds, phases, run.load);
    let names = ["e2e p50", "e2e p99", "e2e p99.9", "e2e max"];
    figures.extend(latencies(names, &received.rounds));
    let names = [
        "confirmed p50",
        "confirmed p99",
        "confirmed p99.9",
        "confirmed max",
    ];
    figures.extend(latencies(names, &sent.rounds).into_iter().take(2));
    figures.push(Figure::new("processors used here", "", &cpu));
    let mut observed = observed(&sent, &received.rounds, (rate, phases), &cpu);
    observed.lost = lost;
    Ok(Measured {
        bench: "e2e",
        workload: format!(
            "rate {rate}, linger {linger:?}, {} consumers",
            args.consumers
        ),
        figures,
        observed,
    })
}

impl Run<'_> {
    /// Consumer number `number` of `count`, at the beginning of its share of the partitions.
    pub(super) async fn consumer(&self, number: u32, count: u32) -> anyhow::Result<Consumer> {
        let mut consumer = Consumer::new(self.client().await?, ConsumerConfig::default());
        consumer.assign(
            self.share(number, count)
                .map(|partition| (partition, Offset::ZERO)),
        );
        Ok(consumer)
    }

    /// Every `count`-th partition.
    pub(super) fn share(&self, number: u32, count: u32) -> impl Iterator<Item = TopicPartition> {
        let own = (0..self.load.partitions).skip(number as usize);
        let partition = |id| TopicPartition::new(self.topic.name.clone(), PartitionId(id));
        own.step_by(count as usize).map(partition)
    }
}

async fn read(
    mut consumer: Consumer,
    clock: RunClock,
    arrivals: Arc<Arrivals>,
) -> anyhow::Result<()> {
    loop {
        let fetched = consumer.poll().await?;
        let at = clock.now();
        let mut count = 0;
        for fetched in fetched {
            for batch in &fetched.batches {
                let records = batch.records(DECOMPRESSED_BYTES_MAX)?;
                let mut tally = arrivals.tally.lock();
                for record in &records {
                    let record = record?;
                    if record.offset < fetched.position {
                        continue;
                    }
                    let stamp = record.value.and_then(stamp_of);
                    let stamp = stamp.context("a record without a stamp: who else writes here?")?;
                    tally.finish(Duration::from_nanos(stamp), at);
                    count += 1;
                }
            }
        }
        arrivals.count.fetch_add(count, Ordering::Relaxed);
        arrivals.changed.notify_one();
    }
}

/// Waits until so many have come; returns how many of them have.
async fn await_arrivals(arrivals: &Arrivals, expected: u64) -> u64 {
    let all = async {
        while arrivals.count.load(Ordering::Relaxed) < expected {
            arrivals.changed.notified().await;
        }
    };
    let in_time = tokio::time::timeout(ARRIVAL_MAX, all).await;
    if in_time.is_err() {
        tracing::debug!("records are missing");
    }
    arrivals.count.load(Ordering::Relaxed).min(expected)
}
