//! `serve`: a broker in the foreground, until a signal.
//!
//! ```text
//!  start ──▶ "ready in 6 ms  kafka=127.0.0.1:9092" ──signal──▶ clean shutdown ──▶ exit 0
//! ```
//!
//! A setting is taken from the first of these that has it: a flag, `--set`, the file of `--config`,
//! the default.
//!
//! HTTP listens first, so that `/readyz` says so while a large log is recovered.
//!
//! The ready line is for people, the ready file for programs: it appears, complete, once the broker
//! answers, and names the ports that were picked.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::Context;
use brooklet_broker::{Broker, BrokerConfig, Storage};
use brooklet_log::clock::Clock;

use crate::exit::{CliError, Exit};
use crate::files;
use crate::globals::Globals;
use crate::http::{self, Http};
use crate::output::Output;
use crate::properties;
use crate::setting::Setting;
use crate::signals::Stop;

const DATA_DIR_DEFAULT: &str = "brooklet-data";

/// Arguments of `serve`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  brooklet serve                                 data in ./brooklet-data, kept
  brooklet serve --ephemeral                     keeps nothing, syncs nothing
  brooklet serve --data-dir /var/lib/brooklet --kafka 127.0.0.1:19092
  brooklet serve --set log.retention.hours=1 --set num.partitions=3
  brooklet serve --config server.properties      Kafka's own file; names settings without effect
  brooklet serve --ephemeral --kafka 127.0.0.1:0 --ready-file ready    free ports, for tests

Ctrl-C or SIGTERM shuts down cleanly; a second one exits at once.")]
pub(crate) struct Args {
    /// The data directory, created if missing [default: log.dirs, or else brooklet-data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Keep the data in a temporary directory, never sync it, and remove it at shutdown
    #[arg(long, conflicts_with = "data_dir")]
    ephemeral: bool,
    /// Take over a data directory written by Apache Kafka; this cannot be undone
    #[arg(long, conflicts_with = "ephemeral")]
    adopt: bool,
    /// Where Kafka clients connect; port 0 picks a free one [default: listeners, or else
    /// 127.0.0.1:9092]
    #[arg(long, value_name = "HOST:PORT")]
    kafka: Option<String>,
    /// Where /metrics, /healthz and /readyz are served, or off [default: 127.0.0.1:7092 if it is
    /// free; a free port if --kafka picks one]
    #[arg(long, value_name = "HOST:PORT")]
    http: Option<String>,
    /// Set one of Kafka's broker settings; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<Setting>,
    /// Read settings from a properties file, such as Kafka's server.properties
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Once clients can connect, write the addresses to FILE as `kafka=HOST:PORT` and
    /// `http=HOST:PORT`
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
}

impl Args {
    /// Applies the file, then `--set`, then the flags; the last value holds.
    fn broker_config(&self) -> anyhow::Result<BrokerConfig> {
        let mut config = BrokerConfig {
            storage: Storage::Directory(DATA_DIR_DEFAULT.into()),
            adopt: self.adopt,
            ..BrokerConfig::default()
        };
        if let Some(file) = &self.config {
            for property in properties::read(file)? {
                let place = format!("{}:{}", file.display(), property.line);
                apply(&mut config, &place, (&property.key, &property.value))?;
            }
        }
        for setting in &self.set {
            apply(&mut config, "--set", (&setting.key, &setting.value))?;
        }
        if let Some(dir) = &self.data_dir {
            config.storage = Storage::Directory(dir.clone());
        }
        if self.ephemeral {
            config.storage = Storage::Ephemeral;
        }
        if let Some(address) = &self.kafka {
            config.kafka = Some(address.clone());
        }
        Ok(config)
    }

    /// Where to listen for HTTP, if anywhere.
    fn http_address<'a>(&'a self, config: &BrokerConfig) -> Option<&'a str> {
        let picks_free = config.kafka.as_deref().is_some_and(|k| k.ends_with(":0"));
        match self.http.as_deref() {
            Some(http::OFF) => None,
            Some(address) => Some(address),
            None if picks_free => Some(http::ADDRESS_FREE),
            None => Some(http::ADDRESS_DEFAULT),
        }
    }
}

fn apply(
    config: &mut BrokerConfig,
    place: &str,
    (key, value): (&str, &str),
) -> Result<(), CliError> {
    let applied = config.apply(key, value);
    // A setting without effect, or one that is outranked, is not an error; the broker names the
    // former.
    applied
        .map(drop)
        .map_err(|error| CliError::Usage(format!("{place}: {error}")))
}

/// Runs a broker until a signal comes.
pub(crate) async fn run(globals: &Globals, args: Args) -> anyhow::Result<Exit> {
    // Before anything that takes time or may fail, so that nobody reads an old file.
    if let Some(file) = &args.ready_file {
        files::remove_stale(file)?;
    }
    let mut config = args.broker_config()?;
    let mut stop = Stop::on_signal()?;
    let open_files_max = raise_open_files();
    config.open_files_max = Some(open_files_max);
    let http = match args.http_address(&config) {
        Some(address) => {
            match Http::start(address, globals.clock.monotonic().0, open_files_max).await {
                Ok(http) => Some(http),
                // The user did not ask for this port, so another broker on it must not stop this
                // one.
                Err(error) if args.http.is_none() => {
                    globals.note(format_args!("no metrics and no health checks: {error:#}"));
                    None
                }
                Err(error) => return Err(error.into()),
            }
        }
        None => None,
    };
    config.http_address = http.as_ref().map(Http::address);
    let broker = tokio::select! {
        broker = Broker::start(config) => broker?,
        // Recovery of a large log may take a while; the next start begins it again.
        signal = stop.wait() => return Ok(signal.exit()),
    };
    if let Some(http) = &http {
        http.serves(&broker);
    }
    announce(globals, &args, &broker, http.as_ref())?;
    stop.wait().await;
    broker
        .shutdown()
        .await
        .context("cannot shut down cleanly; the next start recovers the logs")?;
    Ok(Exit::Ok)
}

/// Raises the soft limit of open files to the hard limit: connections and logs share it, and the
/// usual soft limit is low for historical reasons. If the system refuses, the broker starts all the
/// same. Returns the limit.
fn raise_open_files() -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::debug!("cannot raise the limit of open files: {error}");
    }
    // `None` is no limit.
    let current = getrlimit(Resource::Nofile).current;
    current.map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(usize::MAX))
}

fn announce(
    globals: &Globals,
    args: &Args,
    broker: &Broker,
    http: Option<&Http>,
) -> anyhow::Result<()> {
    let addresses = [
        ("kafka", broker.kafka_address()),
        ("http", http.map(Http::address)),
    ];
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

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn config(line: &[&str]) -> anyhow::Result<BrokerConfig> {
        let line = Line::try_parse_from([&["serve"], line].concat())?;
        line.args.broker_config()
    }

    #[test]
    fn a_flag_goes_before_set_and_set_before_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("server.properties");
        let text = "listeners = PLAINTEXT://127.0.0.1:1\nlog.dirs: /file\n\
                    num.partitions 2\nmax.connections=3\n";
        std::fs::write(&path, text).unwrap();
        let file = ["--config", path.to_str().unwrap()];

        let plain = config(&[]).unwrap();
        assert_eq!(plain.storage, Storage::Directory("brooklet-data".into()));
        assert_eq!(plain.kafka.as_deref(), Some("127.0.0.1:9092"));

        let from_file = config(&file).unwrap();
        assert_eq!(from_file.storage, Storage::Directory("/file".into()));
        assert_eq!(from_file.kafka.as_deref(), Some("127.0.0.1:1"));
        assert_eq!(
            (from_file.num_partitions, from_file.max_connections),
            (2, 3)
        );

        let set = ["--set", "num.partitions=5", "--set", "log.dirs=/set"];
        let set = config(&[&set[..], &file].concat()).unwrap();
        assert_eq!((set.num_partitions, set.max_connections), (5, 3));
        assert_eq!(set.storage, Storage::Directory("/set".into()));

        let flags = [
            "--set",
            "log.dirs=/set",
            "--data-dir",
            "/flag",
            "--kafka",
            "h:0",
        ];
        let flags = config(&[&flags[..], &file].concat()).unwrap();
        assert_eq!(flags.storage, Storage::Directory("/flag".into()));
        assert_eq!(flags.kafka.as_deref(), Some("h:0"));
        let ephemeral = config(&[&["--ephemeral"], &file[..]].concat()).unwrap();
        assert_eq!(ephemeral.storage, Storage::Ephemeral);
    }

    #[test]
    fn an_error_names_the_file_and_the_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("server.properties");
        std::fs::write(&path, "# mine\n\nlog.segment.bytes = 1\n").unwrap();
        let file = path.to_str().unwrap();
        let error = config(&["--config", file]).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "{file}:3: log.segment.bytes: expected a whole number from 256 to 2147483647, \
                 found '1'"
            )
        );
        assert_eq!(crate::exit::exit_of(&error), Exit::Usage);
    }
}
