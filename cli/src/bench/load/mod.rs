//! `bench produce`, `consume`, `e2e`: a broker under load, ours or any other, through our client.
//!
//! ```text
//!  make a topic ─▶ warm-up ─▶ rounds, one after the other ─▶ delete the topic ─▶ verdict, figures
//! ```
//!
//! With a rate the load is an open loop: records are due at fixed times, and their latency counts from
//! the time at which they were due, so that a broker that stalls is charged for all records that had to
//! wait. Without one it is a closed loop, which tells a throughput, and of time only how long a record
//! was on its way: the service time, which a slow broker shortens by being sent less.
//!
//! All producers and consumers are in this process, and there is one clock. Nothing is left behind: the
//! topic is deleted after an error and after Ctrl-C, too.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;
use brooklet_broker::Broker;
use brooklet_client::{Acks, Client, Producer, ProducerConfig};
use brooklet_protocol::records::Compression;

use crate::globals::Globals;
use crate::exit::{CliError, Exit};
use crate::output::{Output, OutputFormat};
use crate::produce::AcksArg;
use crate::setting::Setting;
use crate::signals::{Signal, Stop};

mod consume;
mod cpu;
mod e2e;
mod generator;
mod payload;
mod produce;
mod report;
mod schedule;
mod tally;
mod topic;
mod verdict;

use generator::{Plan, RunClock, Running};
use payload::{Kind, Payload, STAMP_BYTES};
use report::Report;
use schedule::{Phases, Rate, Schedule};
use topic::OwnTopic;

/// What all three understand.
#[derive(Debug, clap::Args)]
pub(super) struct Load {
    /// Bytes of a record's value
    #[arg(long, value_name = "BYTES", default_value_t = 100)]
    size: usize,
    /// What records hold: random (no codec makes it smaller) or text (real departures)
    #[arg(long, value_enum, value_name = "KIND", default_value_t)]
    payload: Kind,
    /// Compress batches: none, gzip, snappy, lz4, zstd
    #[arg(short = 'z', long, value_name = "CODEC", default_value = "none")]
    codec: Compression,
    /// Who has to confirm a record: 0 nobody, 1 in memory, all durable
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
    /// Bytes that a batch may have
    #[arg(long, value_name = "BYTES", default_value_t = 16384)]
    batch_size: usize,
    /// A setting of the topic, may be repeated, as flush.messages=1
    #[arg(short, long, value_name = "KEY=VALUE")]
    config: Vec<Setting>,
    /// How often it is measured
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// How to print
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t)]
    output: OutputFormat,
}

/// How long, and how fast.
#[derive(Debug, clap::Args)]
pub(super) struct Pace {
    /// How long a round is
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration)]
    duration: Duration,
    /// What is discarded before the first round
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = humantime::parse_duration)]
    warmup: Duration,
}

fn duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(Duration::ZERO) => Err("a round takes some time".to_owned()),
        Ok(duration) => Ok(duration),
        Err(error) => Err(error.to_string()),
    }
}

pub(super) use consume::Args as ConsumeArgs;
pub(super) use e2e::Args as E2eArgs;
pub(super) use produce::Args as ProduceArgs;

/// One of the three.
#[derive(Debug)]
pub(super) enum Verb {
    Produce(ProduceArgs),
    Consume(ConsumeArgs),
    E2e(E2eArgs),
}

impl Verb {
    fn load(&self) -> &Load {
        match self {
            Self::Produce(args) => &args.load,
            Self::Consume(args) => &args.load,
            Self::E2e(args) => &args.load,
        }
    }

    fn check(&self) -> Result<(), CliError> {
        let (consumers, is_stamped) = match self {
            Self::Produce(_) => (1, false),
            Self::Consume(args) => (args.consumers, false),
            Self::E2e(args) => (args.consumers, true),
        };
        let load = self.load();
        if consumers > load.partitions.unsigned_abs() {
            let words = format!("{consumers} consumers need as many partitions: add -p");
            return Err(CliError::Usage(words));
        }
        if is_stamped && load.size < STAMP_BYTES {
            let words = format!("--size: end to end, records have at least {STAMP_BYTES} bytes");
            return Err(CliError::Usage(words));
        }
        Ok(())
    }
}

/// The broker under load.
#[derive(Debug)]
struct Target {
    address: String,
    /// If it runs in this process.
    broker: Option<Broker>,
}

impl Target {
    /// The one that `-b` names, or else one of our own.
    async fn find(globals: &Globals) -> anyhow::Result<Self> {
        if let Some(servers) = &globals.bootstrap_server {
            return Ok(Self {
                address: servers.clone(),
                broker: None,
            });
        }
        let broker = Broker::ephemeral().await?;
        let address = broker.kafka_address().context("the broker listens")?;
        globals.note("no -b: measuring an ephemeral broker in this process");
        Ok(Self {
            address: address.to_string(),
            broker: Some(broker),
        })
    }

    /// A client with connections of its own.
    async fn connect(&self) -> anyhow::Result<Client> {
        Ok(Client::connect(&self.address, "brooklet-bench").await?)
    }
}

/// What a run needs.
#[derive(Debug)]
struct Run<'a> {
    globals: &'a Globals,
    load: &'a Load,
    target: &'a Target,
    topic: &'a OwnTopic,
}

/// Measures and prints.
pub(super) async fn run(globals: &Globals, verb: Verb) -> anyhow::Result<Exit> {
    verb.check()?;
    let mut stop = Stop::on_signal()?;
    let target = Target::find(globals).await?;
    let outcome = on_own_topic(globals, &verb, &target, &mut stop).await;
    if let Some(broker) = target.broker {
        broker.shutdown().await?;
    }
    let report = match outcome? {
        Ok(report) => report,
        Err(signal) => return Ok(signal.exit()),
    };
    let mut output = Output::stdout(true);
    report.print(verb.load().output, &mut output)?;
    output.flush()?;
    Ok(if report.is_valid() {
        Exit::Ok
    } else {
        Exit::CheckFailed
    })
}

/// Makes a topic, measures on it until the end or a signal, and deletes it in either case.
async fn on_own_topic(
    globals: &Globals,
    verb: &Verb,
    target: &Target,
    stop: &mut Stop,
) -> anyhow::Result<Result<Report, Signal>> {
    let load = verb.load();
    let settings = load.config.iter().map(|s| (s.key.clone(), s.value.clone()));
    let configs: BTreeMap<_, _> = settings.collect();
    let topic = OwnTopic::create(target.connect().await?, load.partitions, &configs).await?;
    let run = Run {
        globals,
        load,
        target,
        topic: &topic,
    };
    let outcome = tokio::select! {
        measured = run.measure(verb) => measured.map(Ok),
        signal = stop.wait() => Ok(Err(signal)),
    };
    let deleted = topic.delete().await;
    let outcome = outcome?;
    deleted?;
    Ok(outcome)
}

impl Run<'_> {
    async fn measure(&self, verb: &Verb) -> anyhow::Result<Report> {
        self.topic
            .await_leaders(&self.target.connect().await?)
            .await?;
        let durability = self.topic.durability(self.load.acks.into()).await?;
        let measured = match verb {
            Verb::Produce(args) => produce::run(self, args).await?,
            Verb::Consume(args) => consume::run(self, args).await?,
            Verb::E2e(args) => e2e::run(self, args).await?,
        };
        Ok(Report::new(self, durability, measured))
    }

    /// A client that knows the topic.
    async fn client(&self) -> anyhow::Result<Client> {
        let client = self.target.connect().await?;
        self.topic.await_leaders(&client).await?;
        Ok(client)
    }

    fn say(&self, what: &str) {
        self.globals.note(what);
    }

    async fn producer(&self, linger: Duration) -> anyhow::Result<Producer> {
        let acks = Acks::from(self.load.acks);
        let config = ProducerConfig {
            acks,
            linger,
            batch_bytes: self.load.batch_size,
            compression: self.load.codec,
            idempotence: acks == Acks::All,
            create_topics: false,
            ..ProducerConfig::default()
        };
        Ok(Producer::new(self.client().await?, config).await?)
    }

    /// Starts all producers; the run's time begins.
    async fn start_producers(
        &self,
        (rate, phases): (Rate, Phases),
        linger: Duration,
        is_stamped: bool,
    ) -> anyhow::Result<(RunClock, Vec<Running>)> {
        let mut producers = Vec::new();
        for _ in 0..self.load.producers {
            producers.push(self.producer(linger).await?);
        }
        let clock = RunClock(std::time::Instant::now());
        let workers = (0..self.load.producers).zip(producers);
        let running = workers.map(|(worker, producer)| {
            let plan = Plan {
                producer,
                topic: self.topic.name.clone(),
                partitions: usize::try_from(self.load.partitions)?,
                schedule: Schedule::new(rate, worker, self.load.producers),
                phases,
                payload: Payload::new(self.load.payload, self.load.size, worker.into())?,
                is_stamped,
            };
            generator::start(plan, clock)
        });
        Ok((clock, running.collect::<anyhow::Result<_>>()?))
    }
}
