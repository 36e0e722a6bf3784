//! The command line: parse, run one verb, exit with its code.
//!
//! A verb is a module with `Args` (what clap parses) and `run` (what it does), and is plugged in at
//! three places below: its `mod`, its variant of `Command`, its arm in `Cli::run`.
//!
//! Habits of all verbs:
//! - data goes to stdout, everything else to stderr; `-q` silences the notes, never the errors;
//! - when the reader of stdout goes away (`| head`), the verb ends quietly, with success;
//! - exit codes are those of `exit::Exit`; an error says what, where, and the next step.
//!
//! Only this crate prints, and only this file and `signals` end the process.
//!
//! It is a library behind a one-line program because Cargo compiles a library while its
//! dependencies are still being optimized; a program has to wait for them.

mod globals;

mod exit;
mod refused;
mod signals;

mod serve;

mod cluster;
mod topic;

mod produce;

mod consume;

mod group;
mod txn;

mod stream;
mod window;

mod demo;

mod log;

mod bench;
mod completions;

mod output;
mod text;

mod escape;
mod terminal;

mod logging;

mod files;
mod properties;
mod setting;

mod format;
mod ranges;
mod split;
mod start_offset;
mod time;

mod departures;
mod isolation;
mod picture;
mod process;

mod http;

use anyhow::Context;
use brooklet_log::clock::SystemClock;
use clap::{CommandFactory, Parser, Subcommand};

use exit::Exit;
use globals::Globals;

/// A Kafka-protocol log broker, coordinator and stream engine in one binary.
#[derive(Debug, Parser)]
#[command(name = "brooklet", version, arg_required_else_help = true)]
#[command(max_term_width = 100, after_help = EXAMPLES)]
struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  brooklet serve --ephemeral                 a broker on 127.0.0.1:9092 that keeps nothing
  echo hello | brooklet produce greetings    one record per line of stdin
  brooklet consume greetings -e              all its records, then exit
  brooklet topic list

Exit codes:
  0 ok   1 failed   2 usage   3 cannot connect or timed out   4 not found   5 corruption
  6 a check failed, or a measurement is not valid
  130 interrupted by Ctrl-C   143 terminated";

#[derive(Debug, Subcommand)]
enum Command {
    /// Watch it work: a real week of flights, live
    Demo(demo::Args),
    /// Start a broker
    Serve(serve::Args),
    /// Create, list, describe, change, copy and delete topics
    Topic(topic::Args),
    /// List, describe, move and delete consumer groups
    Group(group::Args),
    /// List, describe and abort transactions
    Txn(txn::Args),
    /// Show the brokers: their APIs, directories and settings
    Cluster(cluster::Args),
    /// Send records, one per line of a file or of stdin
    Produce(produce::Args),
    /// Read records and print them
    #[command(visible_alias = "cat")]
    Consume(consume::Args),
    /// Aggregate a topic over windows of event time
    Window(window::Args),
    /// List, describe and reset applications: queries that survive
    Stream(stream::Args),
    /// Measure this machine, the log beside it, or any broker under load
    Bench(bench::Args),
    /// Inspect, check and repair the files of a log
    Log(log::Args),
    /// Print a shell's completion script
    Completions(completions::Args),
}

impl Cli {
    async fn run(self) -> anyhow::Result<Exit> {
        let globals = self.globals;
        match self.command {
            Command::Demo(args) => demo::run(&globals, args).await,
            Command::Serve(args) => serve::run(&globals, args).await,
            Command::Topic(args) => topic::run(&globals, args).await,
            Command::Group(args) => group::run(&globals, args).await,
            Command::Txn(args) => txn::run(&globals, args).await,
            Command::Cluster(args) => cluster::run(&globals, args).await,
            Command::Produce(args) => produce::run(&globals, args).await,
            Command::Consume(args) => consume::run(&globals, args).await,
            Command::Window(args) => window::run(&globals, args).await,
            Command::Stream(args) => stream::run(&globals, args).await,
            Command::Bench(args) => bench::run(&globals, args).await,
            Command::Log(args) => log::run(&globals, args),
            Command::Completions(args) => completions::run(args, Cli::command()),
        }
    }
}

/// The program: reads the command line, runs the verb, and ends the process with its exit code.
pub fn main() {
    let clock = SystemClock::new();
    let mut cli = Cli::parse();
    cli.globals.clock = clock;
    let exit = start(cli).unwrap_or_else(|error| exit::report(&error));
    // Also ends threads that still wait, for instance for a line on stdin.
    std::process::exit(exit.code());
}

fn start(cli: Cli) -> anyhow::Result<Exit> {
    logging::install(cli.globals.verbose)?;
    // Two workers: one serves requests while the other waits for a disk.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(cli.run())
}

#[cfg(test)]
mod tests;
