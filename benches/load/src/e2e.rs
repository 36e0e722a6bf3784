//! How soon a record that was due reaches a consumer.
//!
//! The value of each record begins with the time at which it was due, in nanoseconds since the
//! run's start; consumers run in the same process and read the same clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use brooklet_client::Consumer;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::cpu;
use crate::generator::RunClock;
use crate::load::Pace;
use crate::payload::stamp_of;
use crate::produce::{gather, latencies, observed, throughput};
use crate::report::Measured;
use crate::run::Run;
use crate::schedule::Rate;
use crate::tally::{Figure, Tally};

/// Bytes that a batch may have once it is decompressed.
pub(crate) const DECOMPRESSED_BYTES_MAX: usize = 64 << 20;
/// How long stored records may take to arrive after the last was sent.
const ARRIVAL_MAX: Duration = Duration::from_secs(30);

/// Shared by the consumers and the run that waits for them.
#[derive(Debug)]
struct Arrivals {
    tally: Mutex<Tally>,
    count: AtomicU64,
    changed: Notify,
}

pub(crate) async fn run(
    run: &Run<'_>,
    rate: Rate,
    pace: Pace,
    consumers: u32,
) -> anyhow::Result<Measured> {
    let phases = pace.phases(run.load);
    let linger = run.load.linger.unwrap_or(Duration::ZERO);
    run.say(&format!("producing and consuming, for {:?}", phases.end()));
    let arrivals = Arc::new(Arrivals {
        tally: Mutex::new(Tally::new(phases)),
        count: AtomicU64::new(0),
        changed: Notify::new(),
    });
    let mut readers = Vec::new();
    for number in 0..consumers {
        readers.push(run.consumer(number, consumers).await?);
    }
    let (clock, running) = run.start_producers((rate, phases), linger, true).await?;
    let mut reading = JoinSet::new();
    for consumer in readers {
        reading.spawn(read(consumer, clock, Arc::clone(&arrivals)));
    }
    let measuring = async { tokio::join!(cpu::by_round(phases, clock), gather(running, phases)) };
    let (cpu, sent) = tokio::select! {
        (cpu, sent) = measuring => (cpu, sent?),
        Some(ended) = reading.join_next() => {
            ended.context("a consumer task panicked")??;
            bail!("a consumer ended before the run did");
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
        workload: format!("rate {rate}, linger {linger:?}, {consumers} consumers"),
        figures,
        observed,
    })
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
                    let stamp = stamp.context("found a record that this run did not send: another program writes to its topic")?;
                    tally.finish(Duration::from_nanos(stamp), at);
                    count += 1;
                }
            }
        }
        arrivals.count.fetch_add(count, Ordering::Relaxed);
        arrivals.changed.notify_one();
    }
}

/// Waits until `expected` records have arrived, but not forever; returns how many have.
async fn await_arrivals(arrivals: &Arrivals, expected: u64) -> u64 {
    let all = async {
        while arrivals.count.load(Ordering::Relaxed) < expected {
            arrivals.changed.notified().await;
        }
    };
    // What is missing after that is lost, and the verdict says so.
    tokio::time::timeout(ARRIVAL_MAX, all).await.ok();
    arrivals.count.load(Ordering::Relaxed).min(expected)
}
