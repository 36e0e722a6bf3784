//! `serve`: a broker in the foreground, until a signal.
//!
//! ```text
//!  start ──▶ "ready in 6 ms  kafka=127.0.0.1:9092" ──signal──▶ clean shutdown ──▶ exit 0
//! ```
//!
//! The ready line is for people, the ready file for programs: it appears, whole, once the broker
//! answers, and names the ports that were picked.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::Context;
use brooklet_broker::clock::Clock;
use brooklet_broker::{Broker, BrokerConfig, Storage};

use crate::Globals;
use crate::exit::Exit;
use crate::files;
use crate::output::Output;
use crate::signals::Stop;

/// Arguments of `serve`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  brooklet serve                                 data in ./brooklet-data, kept
  brooklet serve --ephemeral                     keeps nothing, syncs nothing
  brooklet serve --data-dir /var/lib/brooklet --kafka 127.0.0.1:19092
  brooklet serve --ephemeral --kafka 127.0.0.1:0 --ready-file ready    a free port, for tests

Ctrl-C or SIGTERM shuts down cleanly; a second one exits at once.")]
pub(crate) struct Args {
    /// Where the data lives; created if missing
    #[arg(long, value_name = "DIR", default_value = "brooklet-data")]
    data_dir: PathBuf,
    /// Keep the data in a temporary directory, never sync it, remove it at shutdown
    #[arg(long, conflicts_with = "data_dir")]
    ephemeral: bool,
    /// Take over a data directory that Apache Kafka has written; it cannot be given back
    #[arg(long, conflicts_with = "ephemeral")]
    adopt: bool,
    /// Where Kafka clients connect; port 0 picks a free one
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:9092")]
    kafka: String,
    /// Write the addresses to FILE, as `kafka=HOST:PORT`, once clients can connect
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
}

impl Args {
    fn broker_config(&self) -> BrokerConfig {
        let storage = if self.ephemeral {
            Storage::Ephemeral
        } else {
            Storage::Directory(self.data_dir.clone())
        };
        BrokerConfig {
            storage,
            adopt: self.adopt,
            kafka: Some(self.kafka.clone()),
            ..BrokerConfig::default()
        }
    }
}

/// Runs a broker until a signal comes.
pub(crate) async fn run(globals: &Globals, args: Args) -> anyhow::Result<Exit> {
    let mut stop = Stop::on_signal()?;
    raise_open_files();
    if let Some(file) = &args.ready_file {
        files::remove_stale(file)?;
    }
    let broker = tokio::select! {
        broker = Broker::start(args.broker_config()) => broker?,
        // Recovery of a large log may take a while; what is unfinished is done again next time.
        signal = stop.wait() => return Ok(signal.exit()),
    };
    announce(globals, &args, &broker)?;
    stop.wait().await;
    broker
        .shutdown()
        .await
        .context("the shutdown is not clean")?;
    Ok(Exit::Ok)
}

/// Takes as many open files as the system gives: connections and logs share them, and the usual soft
/// limit is from a time of fewer. What is refused is no reason not to start.
fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::debug!("the limit of open files stays as it is: {error}");
    }
}

fn announce(globals: &Globals, args: &Args, broker: &Broker) -> anyhow::Result<()> {
    let addresses = [("kafka", broker.kafka_address())];
    let mut line = format!("ready in {} ms", globals.clock.monotonic().0.as_millis());
    let mut file = String::new();
    for (name, address) in addresses {
        if let Some(address) = address {
            write!(line, "  {name}={address}")?;
            writeln!(file, "{name}={address}")?;
        }
    }
    if let Some(path) = &args.ready_file {
        files::write_whole(path, &file)?;
    }
    let mut output = Output::stdout(false);
    output.line(line)?;
    Ok(())
}
