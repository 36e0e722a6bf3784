//! How fast consumers catch up with what is stored.
//!
//! The topic is filled first. In each round all consumers start at its beginning, with new
//! connections; the round ends when the last of them has read to the end. What was just written is
//! in the page cache, so this measures broker, network and client, not the disk.

use std::time::{Duration, Instant};

use anyhow::Context;
use brooklet_client::{Consumer, NewRecord, OffsetSpec};
use brooklet_protocol::{Offset, TopicPartition};
use hdrhistogram::Histogram;
use tokio::task::JoinSet;

use crate::payload::Payload;
use crate::report::Measured;
use crate::run::Run;
use crate::tally::{Figure, percentile, record};
use crate::verdict::Observed;
use crate::{cpu, e2e, produce, statistics};

/// What one consumer read.
#[derive(Debug)]
struct Read {
    records: u64,
    /// How long each poll took, in nanoseconds.
    polls: Histogram<u64>,
}

pub(crate) async fn run(run: &Run<'_>, records: u64, consumers: u32) -> anyhow::Result<Measured> {
    run.say(&format!("storing {records} records"));
    fill(run, records).await?;
    let all: Vec<_> = run.share(0, 1).collect();
    let ends = run
        .client()
        .await?
        .list_offsets(&all, OffsetSpec::Latest)
        .await?;
    let stored: i64 = ends.values().map(|end| end.0).sum();
    let (mut rates, mut bytes, mut cpu) = (Vec::new(), Vec::new(), Vec::new());
    let (mut p50, mut p99, mut lost) = (Vec::new(), Vec::new(), 0);
    for round in 0..=run.load.rounds {
        run.say("reading all of them");
        let used = cpu::used();
        let (read, took) = read_all(
            run,
            consumers,
            &ends.clone().into_iter().collect::<Vec<_>>(),
        )
        .await?;
        if round == 0 {
            continue;
        }
        let rate = read.records as f64 / took.as_secs_f64();
        rates.push(rate);
        bytes.push(rate * run.load.value_bytes as f64 / f64::from(1 << 20));
        cpu.push((cpu::used() - used) / took.as_secs_f64());
        p50.push(percentile(&read.polls, 50.0));
        p99.push(percentile(&read.polls, 99.0));
        lost += stored.unsigned_abs().saturating_sub(read.records);
    }
    let figures = vec![
        Figure::new("records", "/s", &rates),
        Figure::new("values", "MiB/s", &bytes),
        Figure::new("poll service time p50", "ms", &p50),
        Figure::new("poll service time p99", "ms", &p99),
        Figure::new("processors used here", "", &cpu),
    ];
    let observed = Observed {
        lost,
        cpu: statistics::median(&cpu),
        cpus: cpu::processors(),
        ..Observed::default()
    };
    Ok(Measured {
        bench: "consume",
        workload: format!("{stored} records, {consumers} consumers"),
        figures,
        observed,
    })
}

async fn fill(run: &Run<'_>, records: u64) -> anyhow::Result<()> {
    let producers = run.load.producers;
    let mut filling = JoinSet::new();
    for number in 0..producers {
        let producer = run.producer(produce::LINGER_DEFAULT).await?;
        let mut payload = Payload::new(&run.load.content, run.load.value_bytes, number.into());
        let topic = run.topic.name.clone();
        let (number, producers) = (u64::from(number), u64::from(producers));
        let share = records / producers + u64::from(number < records % producers);
        filling.spawn(async move {
            for _ in 0..share {
                let record = NewRecord {
                    value: Some(payload.next()),
                    ..NewRecord::default()
                };
                producer.send(&topic, record).await?;
            }
            producer.flush().await
        });
    }
    while let Some(filled) = filling.join_next().await {
        filled.context("a producer task panicked")??;
    }
    Ok(())
}

async fn read_all(
    run: &Run<'_>,
    count: u32,
    ends: &[(TopicPartition, Offset)],
) -> anyhow::Result<(Read, Duration)> {
    let mut consumers = Vec::new();
    for number in 0..count {
        let own: Vec<_> = run.share(number, count).collect();
        let ends: Vec<_> = (ends.iter())
            .filter(|(id, _)| own.contains(id))
            .cloned()
            .collect();
        consumers.push((run.consumer(number, count).await?, ends));
    }
    let start = Instant::now();
    let mut reading = JoinSet::new();
    for (consumer, ends) in consumers {
        reading.spawn(read(consumer, ends));
    }
    let mut read = Read {
        records: 0,
        polls: Histogram::new(3)?,
    };
    while let Some(ended) = reading.join_next().await {
        let one: Read = ended.context("a consumer task panicked")??;
        read.records += one.records;
        read.polls.add(&one.polls)?;
    }
    Ok((read, start.elapsed()))
}

/// Reads until all partitions are at their ends.
async fn read(mut consumer: Consumer, ends: Vec<(TopicPartition, Offset)>) -> anyhow::Result<Read> {
    let (mut records, mut polls) = (0, Histogram::new(3)?);
    let is_behind = |consumer: &Consumer| {
        let behind = |(id, end): &(TopicPartition, Offset)| consumer.position(id) < Some(*end);
        ends.iter().any(behind)
    };
    while is_behind(&consumer) {
        let asked = Instant::now();
        let fetched = consumer.poll().await?;
        record(&mut polls, asked.elapsed());
        for fetched in fetched {
            for batch in &fetched.batches {
                for record in &batch.records(e2e::DECOMPRESSED_BYTES_MAX)? {
                    records += u64::from(record?.offset >= fetched.position);
                }
            }
        }
    }
    Ok(Read { records, polls })
}
