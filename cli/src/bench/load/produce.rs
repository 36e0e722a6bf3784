//! `bench produce`: how many records a broker takes, or how soon it confirms them.

use std::time::Duration;

use super::report::Measured;
use super::schedule::{Phases, Rate};
use super::tally::{Figure, RoundTally, Tally, percentile};
use super::verdict::Observed;
use super::{Load, Pace, Run, cpu};

/// As of Kafka 4.0.
pub(super) const LINGER_DEFAULT: Duration = Duration::from_millis(5);

/// Arguments of `bench produce`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  brooklet bench produce                               an ephemeral broker, as fast as it goes
  brooklet bench produce -b 127.0.0.1:9092 --acks 1 --size 1024 -z lz4 --payload text
  brooklet bench produce -b kafka:9092 --rate 20k -p 16 --producers 2 -o json
  brooklet bench produce -b kafka:9092 -c flush.messages=1

With a rate, latency counts from the time at which a record was due, to its confirmation; at
--rate max only the throughput tells of the broker. A producer has one batch per partition on
its way at a time: more of either, or a larger --batch-size, load a broker more. A run whose
generator fell behind is not valid: exit code 6.")]
pub(crate) struct Args {
    /// Records a second by all producers together, or max
    #[arg(long, value_name = "RATE", default_value = "max")]
    rate: Rate,
    #[command(flatten)]
    pace: Pace,
    #[command(flatten)]
    pub(super) load: Load,
}

pub(super) async fn run(run: &Run<'_>, args: &Args) -> anyhow::Result<Measured> {
    let phases = args.pace.phases(run.load);
    let (rate, linger) = (args.rate, run.load.linger.unwrap_or(LINGER_DEFAULT));
    run.say(&format!("producing, for {:?}", phases.end()));
    let (clock, running) = run.start_producers((rate, phases), linger, false).await?;
    let cpu = cpu::by_round(phases, clock);
    let (cpu, tally) = tokio::join!(cpu, gather(running, phases));
    let tally = tally?;
    let mut figures = throughput(&tally.rounds, phases, run.load);
    figures.extend(latencies(latency_name(rate), &tally.rounds));
    figures.push(Figure::new("processors used here", "", &cpu));
    let observed = observed(&tally, &tally.rounds, (rate, phases), &cpu);
    Ok(Measured {
        bench: "produce",
        workload: format!("rate {rate}, linger {linger:?}"),
        figures,
        observed,
    })
}

impl Pace {
    pub(super) fn phases(&self, load: &Load) -> Phases {
        Phases {
            warmup: self.warmup,
            duration: self.duration,
            rounds: load.rounds,
        }
    }
}

/// What all producers have counted, together.
pub(super) async fn gather(running: Vec<super::Running>, phases: Phases) -> anyhow::Result<Tally> {
    let mut tally = Tally::new(phases);
    for producer in running {
        tally.merge(&producer.finish().await?);
    }
    Ok(tally)
}

/// What to call the time that a record took.
pub(super) fn latency_name(rate: Rate) -> [&'static str; 4] {
    match rate {
        Rate::PerSecond(_) => ["latency p50", "latency p99", "latency p99.9", "latency max"],
        Rate::Max => [
            "service time p50",
            "service time p99",
            "service time p99.9",
            "service time max",
        ],
    }
}

/// Records and bytes a second.
pub(super) fn throughput(rounds: &[RoundTally], phases: Phases, load: &Load) -> Vec<Figure> {
    let seconds = phases.duration.as_secs_f64();
    let records = |round: &RoundTally| round.records as f64 / seconds;
    let records: Vec<_> = rounds.iter().map(records).collect();
    let mib = |records: &f64| records * load.size as f64 / f64::from(1 << 20);
    let bytes: Vec<_> = records.iter().map(mib).collect();
    vec![
        Figure::new("records", "/s", &records),
        Figure::new("values", "MiB/s", &bytes),
    ]
}

/// Percentiles of the latency, under those names.
pub(super) fn latencies(names: [&'static str; 4], rounds: &[RoundTally]) -> Vec<Figure> {
    let percents = [50.0, 99.0, 99.9, 100.0];
    let figure = |(name, percent)| {
        let of = |round: &RoundTally| percentile(&round.latency, percent);
        let figures: Vec<_> = rounds.iter().map(of).collect();
        Figure::new(name, "ms", &figures)
    };
    names.into_iter().zip(percents).map(figure).collect()
}

/// What the verdict looks at; `arrived` says when records were done, and how late.
pub(super) fn observed(
    sent: &Tally,
    arrived: &[RoundTally],
    (rate, phases): (Rate, Phases),
    cpu: &[f64],
) -> Observed {
    let median = |figure: &dyn Fn(&RoundTally) -> f64, rounds: &[RoundTally]| {
        let figures: Vec<_> = rounds.iter().map(figure).collect();
        crate::bench::median(&figures)
    };
    let seconds = phases.duration.as_secs_f64();
    Observed {
        due_per_second: match rate {
            Rate::PerSecond(rate) => Some(f64::from(rate)),
            Rate::Max => None,
        },
        done_per_second: median(&|round| round.records as f64 / seconds, arrived),
        latency_p99: median(&|round| percentile(&round.latency, 99.0), arrived),
        lateness_p99: median(&|round| percentile(&round.lateness, 99.0), &sent.rounds),
        blocked: sent.blocked.as_secs_f64() / phases.end().as_secs_f64(),
        failed: sent.failed,
        first_error: sent.first_error.clone(),
        lost: 0,
        cpu: crate::bench::median(cpu),
        cpus: cpu::processors(),
        is_embedded: false,
    }
}
