//! How many records a broker takes, or how soon it confirms them.

use std::time::Duration;

use crate::cpu;
use crate::generator::Running;
use crate::load::{Load, Pace};
use crate::report::Measured;
use crate::run::Run;
use crate::schedule::{Phases, Rate};
use crate::statistics;
use crate::tally::{Figure, RoundTally, Tally, percentile};
use crate::verdict::Observed;

/// Kafka's default, from 4.0 on.
pub(crate) const LINGER_DEFAULT: Duration = Duration::from_millis(5);

pub(crate) async fn run(run: &Run<'_>, rate: Rate, pace: Pace) -> anyhow::Result<Measured> {
    let phases = pace.phases(run.load);
    let linger = run.load.linger.unwrap_or(LINGER_DEFAULT);
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

/// Adds up what all producers counted.
pub(crate) async fn gather(running: Vec<Running>, phases: Phases) -> anyhow::Result<Tally> {
    let mut tally = Tally::new(phases);
    for producer in running {
        tally.merge(&producer.finish().await?);
    }
    Ok(tally)
}

/// The names of the percentiles of the time that a record took.
pub(crate) fn latency_name(rate: Rate) -> [&'static str; 4] {
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

/// Records and bytes per second.
pub(crate) fn throughput(rounds: &[RoundTally], phases: Phases, load: &Load) -> Vec<Figure> {
    let seconds = phases.duration.as_secs_f64();
    let records = |round: &RoundTally| round.records as f64 / seconds;
    let records: Vec<_> = rounds.iter().map(records).collect();
    let mib = |records: &f64| records * load.value_bytes as f64 / f64::from(1 << 20);
    let bytes: Vec<_> = records.iter().map(mib).collect();
    vec![
        Figure::new("records", "/s", &records),
        Figure::new("values", "MiB/s", &bytes),
    ]
}

/// Percentiles of the latency, under these names.
pub(crate) fn latencies(names: [&'static str; 4], rounds: &[RoundTally]) -> Vec<Figure> {
    let percents = [50.0, 99.0, 99.9, 100.0];
    let figure = |(name, percent)| {
        let of = |round: &RoundTally| percentile(&round.latency, percent);
        let figures: Vec<_> = rounds.iter().map(of).collect();
        Figure::new(name, "ms", &figures)
    };
    names.into_iter().zip(percents).map(figure).collect()
}

/// The input of the verdict; `arrived` counts the records that were done, and their latency.
pub(crate) fn observed(
    sent: &Tally,
    arrived: &[RoundTally],
    (rate, phases): (Rate, Phases),
    cpu: &[f64],
) -> Observed {
    let median = |figure: &dyn Fn(&RoundTally) -> f64, rounds: &[RoundTally]| {
        let figures: Vec<_> = rounds.iter().map(figure).collect();
        statistics::median(&figures)
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
        cpu: statistics::median(cpu),
        cpus: cpu::processors(),
        is_embedded: false,
    }
}
