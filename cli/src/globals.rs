//! The options that every verb takes, and what follows from them: where to connect, and whether to
//! print notes.

use brooklet_client::Client;
use brooklet_log::clock::SystemClock;

use crate::output::say;

/// Where a broker listens by default.
const BOOTSTRAP_SERVER_DEFAULT: &str = "127.0.0.1:9092";

/// The options that every verb takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Globals {
    /// The brokers to connect to [default: 127.0.0.1:9092]
    #[arg(
        short,
        long,
        global = true,
        value_name = "HOST:PORT,..",
        help_heading = "Global options"
    )]
    #[arg(env = "BROOKLET_BOOTSTRAP_SERVER")]
    pub(crate) bootstrap_server: Option<String>,
    /// Print no notes and no progress, only errors
    #[arg(short, long, global = true, help_heading = "Global options")]
    pub(crate) quiet: bool,
    /// More log lines: -v info, -vv debug, -vvv trace
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    #[arg(help_heading = "Global options")]
    pub(crate) verbose: u8,
    /// Counts from the start of the process.
    #[arg(skip)]
    pub(crate) clock: SystemClock,
}

impl Globals {
    /// Connects to the brokers that `-b` names.
    pub(crate) async fn connect(&self) -> anyhow::Result<Client> {
        let servers = self.bootstrap_server.as_deref();
        let servers = servers.unwrap_or(BOOTSTRAP_SERVER_DEFAULT);
        Ok(Client::connect(servers, "brooklet-cli").await?)
    }

    /// Prints a note on stderr, unless `-q` silences it.
    pub(crate) fn note(&self, text: impl std::fmt::Display) {
        if !self.quiet {
            say(text.to_string());
        }
    }
}
