//! `bench produce`, `consume` and `e2e`: any broker under load.
//!
//! The load generator is the crate `brooklet_load`. Here are the arguments, the broker that is
//! started if `-b` names none, and what is printed:
//!
//! ```text
//!  arguments ─▶ Load, Bench ─▶ brooklet_load::measure ─▶ Report ─▶ table or JSON, exit code
//! ```
//!
//! The exit code is 6 if the run is not valid. After Ctrl-C the topic is deleted, and nothing is
//! printed.

use std::time::Duration;

use anyhow::Context;
use brooklet_broker::Broker;
use brooklet_load::{Bench, Content, InvalidLoad, Load, Outcome, Pace, Rate, Target};
use brooklet_protocol::records::Compression;
use clap::ValueEnum;

use crate::departures;
use crate::exit::{CliError, Exit};
use crate::globals::Globals;
use crate::output::{Output, OutputFormat};
use crate::produce::AcksArg;
use crate::setting::Setting;
use crate::signals::Stop;

mod report;

/// Arguments of `bench produce`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  brooklet bench produce                               an ephemeral broker, as fast as it goes
  brooklet bench produce -b 127.0.0.1:9092 --acks 1 --size 1024 -z lz4 --payload text
  brooklet bench produce -b kafka:9092 --rate 20k -p 16 --producers 2 -o json
  brooklet bench produce -b kafka:9092 -c flush.messages=1

With a rate, latency is the time from when a record was due to its confirmation. With --rate max,
only the throughput says something about the broker. A producer sends one batch per partition at
a time: for more load, add producers, partitions, or a larger --batch-size. If the generator
falls behind, the run is not valid and the exit code is 6.")]
pub(super) struct ProduceArgs {
    /// Records per second from all producers together, or max
    #[arg(long, value_name = "RATE", default_value = "max")]
    rate: Rate,
    #[command(flatten)]
    pace: PaceArgs,
    #[command(flatten)]
    load: LoadArgs,
}

/// Arguments of `bench consume`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  brooklet bench consume                               an ephemeral broker
  brooklet bench consume -b 127.0.0.1:9092 --records 5000000 --size 1024
  brooklet bench consume -b kafka:9092 -p 4 --consumers 4 -z lz4 --payload text

Fills a topic, reads it once to warm up, and then reads it from the beginning once per round.
Records are decompressed, checked and iterated.")]
pub(super) struct ConsumeArgs {
    /// Records to fill the topic with
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    records: u64,
    /// Consumers, which share the partitions
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    consumers: u32,
    #[command(flatten)]
    load: LoadArgs,
}

/// Arguments of `bench e2e`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  brooklet bench e2e                                   an ephemeral broker, 1,000 records/s
  brooklet bench e2e -b 127.0.0.1:9092 --rate 10k --acks 1 --size 1024
  brooklet bench e2e -b kafka:9092 -p 4 --consumers 4 --linger 5ms -o json

Latency is the time from when a record was due until a consumer has it. If the generator falls
behind, the run is not valid and the exit code is 6.")]
pub(super) struct E2eArgs {
    /// Records per second from all producers together
    #[arg(long, value_name = "RATE", default_value = "1000", value_parser = per_second)]
    rate: u32,
    /// Consumers, which share the partitions
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    consumers: u32,
    #[command(flatten)]
    pace: PaceArgs,
    #[command(flatten)]
    load: LoadArgs,
}

/// The options of all three.
#[derive(Debug, clap::Args)]
struct LoadArgs {
    /// Bytes in the value of each record
    #[arg(long, value_name = "BYTES", default_value_t = 100)]
    size: usize,
    /// What records hold: random bytes, or text (a table of real departures)
    #[arg(long, value_enum, value_name = "KIND", default_value_t)]
    payload: Payload,
    /// Compress batches: none, gzip, snappy, lz4, zstd
    #[arg(short = 'z', long, value_name = "CODEC", default_value = "none")]
    codec: Compression,
    /// When a record is confirmed: 0 never, 1 once it is in memory, all once it is durable
    #[arg(long, value_enum, default_value_t = AcksArg::All)]
    acks: AcksArg,
    /// Partitions of the topic
    #[arg(short, long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(i32).range(1..))]
    partitions: i32,
    /// Producers, each with a connection and a thread of its own
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    producers: u32,
    /// How long a batch waits for more records [default: 5ms; e2e: 0s]
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    linger: Option<Duration>,
    /// Most bytes in a batch
    #[arg(long, value_name = "BYTES", default_value_t = 16384)]
    batch_size: usize,
    /// A setting of the topic, such as flush.messages=1; may be repeated
    #[arg(short, long, value_name = "KEY=VALUE")]
    config: Vec<Setting>,
    /// How many times to measure
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// How to print
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t)]
    output: OutputFormat,
}

/// How long the rounds take.
#[derive(Debug, clap::Args)]
struct PaceArgs {
    /// The length of a round
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration)]
    duration: Duration,
    /// The time before the first round; what is measured in it is discarded
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = humantime::parse_duration)]
    warmup: Duration,
}

/// What records hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Payload {
    /// Random bytes: no codec makes them smaller
    #[default]
    Random,
    /// Lines of a table of real departures: codecs make them several times smaller
    Text,
}

/// One of the three.
#[derive(Debug)]
pub(super) enum Verb {
    Produce(ProduceArgs),
    Consume(ConsumeArgs),
    E2e(E2eArgs),
}

fn duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(Duration::ZERO) => Err("expected more than zero".to_owned()),
        Ok(duration) => Ok(duration),
        Err(error) => Err(error.to_string()),
    }
}

fn per_second(text: &str) -> Result<u32, String> {
    match text.parse()? {
        Rate::Max => Err("expected a rate: end-to-end latency has no max".to_owned()),
        Rate::PerSecond(rate) => Ok(rate),
    }
}

impl Payload {
    fn content(self) -> anyhow::Result<Content> {
        Ok(match self {
            Self::Random => Content::Noise,
            Self::Text => Content::Text(departures::text()?.into()),
        })
    }
}

impl PaceArgs {
    fn pace(&self) -> Pace {
        Pace {
            duration: self.duration,
            warmup: self.warmup,
        }
    }
}

impl LoadArgs {
    fn load(&self) -> anyhow::Result<Load> {
        let setting = |setting: &Setting| (setting.key.clone(), setting.value.clone());
        Ok(Load {
            value_bytes: self.size,
            content: self.payload.content()?,
            compression: self.codec,
            acks: self.acks.into(),
            partitions: self.partitions,
            producers: self.producers,
            linger: self.linger,
            batch_bytes: self.batch_size,
            topic_configs: self.config.iter().map(setting).collect(),
            rounds: self.rounds,
        })
    }
}

impl Verb {
    fn args(&self) -> &LoadArgs {
        match self {
            Self::Produce(args) => &args.load,
            Self::Consume(args) => &args.load,
            Self::E2e(args) => &args.load,
        }
    }

    fn bench(&self) -> Bench {
        match self {
            Self::Produce(args) => Bench::Produce {
                rate: args.rate,
                pace: args.pace.pace(),
            },
            Self::Consume(args) => Bench::Consume {
                records: args.records,
                consumers: args.consumers,
            },
            Self::E2e(args) => Bench::E2e {
                per_second: args.rate,
                pace: args.pace.pace(),
                consumers: args.consumers,
            },
        }
    }
}

/// An invalid load, with the option that mends it.
fn usage(error: InvalidLoad) -> CliError {
    let step = match error {
        InvalidLoad::TooFewPartitions { .. } => "Raise -p or lower --consumers",
        InvalidLoad::ValueTooShort { .. } => "Raise --size",
    };
    CliError::Usage(format!("{error}. {step}"))
}

/// Measures and prints.
pub(super) async fn run(globals: &Globals, verb: Verb) -> anyhow::Result<Exit> {
    let (load, bench) = (verb.args().load()?, verb.bench());
    load.check(&bench).map_err(usage)?;
    let mut stop = Stop::on_signal()?;
    let (target, own) = find_broker(globals).await?;
    let note = |words: &str| globals.note(words);
    let outcome = brooklet_load::measure(&target, &load, &bench, &note, stop.wait()).await;
    if let Some(broker) = own {
        broker.shutdown().await?;
    }
    let report = match outcome? {
        Outcome::Measured(report) => report,
        Outcome::Stopped(signal) => return Ok(signal.exit()),
    };
    let mut output = Output::stdout(true);
    report::print(&report, verb.args().output, &mut output)?;
    output.flush()?;
    Ok(if report.verdict.valid {
        Exit::Ok
    } else {
        Exit::CheckFailed
    })
}

/// The broker that `-b` names, or else one that is started for this run.
async fn find_broker(globals: &Globals) -> anyhow::Result<(Target, Option<Broker>)> {
    if let Some(servers) = &globals.bootstrap_server {
        let target = Target {
            address: servers.clone(),
            is_embedded: false,
        };
        return Ok((target, None));
    }
    let broker = Broker::ephemeral().await?;
    let address = broker.kafka_address().context("the broker listens")?;
    globals.note("no -b: measuring an ephemeral broker in this process");
    let target = Target {
        address: address.to_string(),
        is_embedded: true,
    };
    Ok((target, Some(broker)))
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn text_compresses() {
        let text = departures::text().unwrap();
        let block = &text.as_bytes()[..60_000];
        let mut packer = flate2::read::GzEncoder::new(block, flate2::Compression::fast());
        let packed = packer.read_to_end(&mut Vec::new()).unwrap();
        assert!((packed as f64 / block.len() as f64) < 0.5);
    }
}
