//! `bench`: what the machine can do, how close the log comes to it, and any broker under load
//! (`load`).
//!
//! Each of our figures stands beside a limit that was measured in the same run, on the same file
//! system, in turns, so that other work on the machine slows both. What is printed is the median of
//! the rounds; the share is the ratio of the medians.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use brooklet_load::statistics::{median, spread};
use clap::Subcommand;
use serde::Serialize;

use crate::exit::Exit;
use crate::globals::Globals;
use crate::output::{Output, OutputFormat};
use crate::text::table;

mod files;
mod map;

mod disk;
mod loopback;

mod log;

mod flush;
mod partitions;

mod load;

/// Arguments of `bench`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  brooklet bench disk
  brooklet bench log
  brooklet bench log --only append --rounds 9 -o json
  brooklet bench produce -b 127.0.0.1:9092 --size 1024
  brooklet bench e2e -b 127.0.0.1:9092 --rate 10k")]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Measure the machine: page cache, disk, memory, checksums, codecs, loopback
    Disk(Options),
    /// Measure the log beside the machine's limits
    Log(Options),
    /// Send records to a broker: how many it takes per second, or how soon it confirms them
    Produce(load::ProduceArgs),
    /// Read stored records from a broker: how fast consumers catch up
    Consume(load::ConsumeArgs),
    /// Send and read records: how soon a record reaches a consumer
    E2e(load::E2eArgs),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  brooklet bench disk --dir /mnt/data
  brooklet bench log --only 'group commit' -o json
  brooklet bench log --only steady --long")]
struct Options {
    /// Where to write; everything written is removed at the end
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// MiB written per round
    #[arg(long, value_name = "MIB", default_value_t = 256)]
    size: u64,
    /// How many times to measure each row
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Only measure rows whose name contains this
    #[arg(
        long,
        value_name = "WORDS",
        default_value = "",
        hide_default_value = true
    )]
    only: String,
    /// Include what takes minutes: five minutes of steady writing, reopening 10 GiB
    #[arg(long)]
    long: bool,
    /// How to print
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t)]
    output: OutputFormat,
}

/// One row of the table.
#[derive(Clone, Debug, Serialize)]
struct Row {
    name: String,
    unit: &'static str,
    /// Our figure; for `bench disk`, the machine's.
    figure: f64,
    /// The smallest and the greatest of the rounds.
    spread: (f64, f64),
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<Limit>,
}

/// What a figure is compared with.
#[derive(Clone, Debug, Serialize)]
struct Limit {
    name: String,
    figure: f64,
    /// Our figure divided by the limit's.
    share: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    goal: Option<Goal>,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct Goal {
    /// The share to reach; the share not to exceed if less is better.
    share: f64,
    less_is_better: bool,
    is_met: bool,
}

/// The figures of all rounds of a pair.
#[derive(Clone, Debug, Default)]
struct Rounds {
    ours: Vec<f64>,
    limit: Vec<f64>,
}

/// A run that collects rows.
struct Bench<'a> {
    options: &'a Options,
    globals: &'a Globals,
    dir: files::Scratch,
    rows: Vec<Row>,
}

pub(crate) async fn run(globals: &Globals, args: Args) -> anyhow::Result<Exit> {
    let (options, is_disk) = match args.verb {
        Verb::Disk(options) => (options, true),
        Verb::Log(options) => (options, false),
        Verb::Produce(args) => return load::run(globals, load::Verb::Produce(args)).await,
        Verb::Consume(args) => return load::run(globals, load::Verb::Consume(args)).await,
        Verb::E2e(args) => return load::run(globals, load::Verb::E2e(args)).await,
    };
    let options = &options;
    let mut bench = Bench {
        options,
        globals,
        dir: files::Scratch::create(&options.dir)?,
        rows: Vec::new(),
    };
    if is_disk {
        disk::run(&mut bench)?;
    } else {
        log::run(&mut bench).await?;
        flush::run(&mut bench).await?;
        partitions::run(&mut bench)?;
    }
    let rows = std::mem::take(&mut bench.rows);
    drop(bench);
    print(options, &rows)?;
    Ok(Exit::Ok)
}

impl Bench<'_> {
    fn wants(&self, name: &str) -> bool {
        name.contains(&self.options.only)
    }

    fn bytes(&self) -> u64 {
        self.options.size << 20
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn say(&self, name: &str) {
        self.globals.note(format_args!("measuring: {name}"));
    }

    /// Measures a row without a limit: the median of the rounds.
    fn alone(
        &mut self,
        name: &str,
        unit: &'static str,
        mut round: impl FnMut() -> anyhow::Result<f64>,
    ) -> anyhow::Result<()> {
        if !self.wants(name) {
            return Ok(());
        }
        self.say(name);
        let mut figures = Vec::new();
        for _ in 0..self.options.rounds {
            figures.push(round().with_context(|| name.to_owned())?);
        }
        self.rows.push(Row {
            name: name.to_owned(),
            unit,
            figure: median(&figures),
            spread: spread(&figures),
            limit: None,
        });
        Ok(())
    }

    /// Adds a row with its limit; the share is that of the medians.
    fn beside(
        &mut self,
        name: &str,
        unit: &'static str,
        rounds: &Rounds,
        limit: &str,
        goal: Option<(f64, bool)>,
    ) {
        let (figure, against) = (median(&rounds.ours), median(&rounds.limit));
        let share = figure / against;
        let goal = goal.map(|(goal, less_is_better)| Goal {
            share: goal,
            less_is_better,
            is_met: if less_is_better {
                share <= goal
            } else {
                share >= goal
            },
        });
        self.rows.push(Row {
            name: name.to_owned(),
            unit,
            figure,
            spread: spread(&rounds.ours),
            limit: Some(Limit {
                name: limit.to_owned(),
                figure: against,
                share,
                goal,
            }),
        });
    }
}

/// Mebibytes per second.
fn rate(bytes: u64, took: Duration) -> f64 {
    bytes as f64 / f64::from(1 << 20) / took.as_secs_f64()
}

/// Does the work; returns how long it took.
fn timed<T>(work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<(T, Duration)> {
    let start = Instant::now();
    let done = work()?;
    Ok((done, start.elapsed()))
}

fn print(options: &Options, rows: &[Row]) -> anyhow::Result<()> {
    let mut output = Output::stdout(true);
    match options.output {
        OutputFormat::Json => output.json(&serde_json::json!({"schema": 1, "rows": rows}))?,
        OutputFormat::Jsonl => rows.iter().try_for_each(|row| output.json(row))?,
        OutputFormat::Table => {
            let cells: Vec<_> = rows.iter().map(cells).collect();
            let header = ["WHAT", "FIGURE", "SPREAD", "LIMIT", "", "SHARE", "GOAL"];
            output.text(&table(&header, &cells))?;
        }
    }
    output.flush()?;
    Ok(())
}

fn cells(row: &Row) -> Vec<String> {
    let number = |number: f64| {
        if number.abs() >= 100.0 {
            format!("{number:.0}")
        } else {
            format!("{number:.2}")
        }
    };
    let mut cells = vec![
        row.name.clone(),
        format!("{} {}", number(row.figure), row.unit),
        format!("{}-{}", number(row.spread.0), number(row.spread.1)),
    ];
    if let Some(limit) = &row.limit {
        cells.extend([
            number(limit.figure),
            limit.name.clone(),
            format!("{:.2}", limit.share),
        ]);
        cells.extend(limit.goal.map(|goal| {
            let sign = if goal.less_is_better { "≤" } else { "≥" };
            let met = if goal.is_met { "met" } else { "not met" };
            format!("{sign} {:.2} {met}", goal.share)
        }));
    }
    cells
}
