//! `cluster`: the brokers, their APIs, their directories and their settings.
//!
//! | verb | asks by | prints |
//! |---|---|---|
//! | `info` | Metadata | the cluster's id, the brokers, and which one is the controller |
//! | `apis` | ApiVersions | each API of one broker, with its versions |
//! | `log-dirs` | DescribeLogDirs | the partitions on each broker, with directory and size |
//! | `config` | DescribeConfigs | the settings of one broker: those not at their default, or all |
//!
//! All of it works with any Kafka broker. `apis` and `config` are about one broker: the one that
//! `--broker` names, or else the first in the metadata. An API that this program does not know by
//! name is listed with its key.
//!
//! Left out: changing a broker's settings while it runs.

use std::io::Write;

use brooklet_client::{BrokerSetting, Client, LogDir, ServedApi};
use brooklet_protocol::BrokerId;
use clap::Subcommand;
use indicatif::HumanBytes;
use serde::Serialize;

use crate::exit::{CliError, Exit};
use crate::globals::Globals;
use crate::output::{Output, OutputFormat, print_all};
use crate::text::table;

/// The version of the JSON that `cluster` prints; it changes when a key changes its meaning.
const SCHEMA: u32 = 1;

/// Arguments of `cluster`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  brooklet cluster info
  brooklet cluster apis -b kafka:9092
  brooklet cluster log-dirs
  brooklet cluster config --all")]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show the cluster's id and its brokers
    Info(InfoArgs),
    /// List the APIs that a broker serves, with their versions
    Apis(ApisArgs),
    /// Show where brokers keep their logs, and how large they are
    LogDirs(LogDirsArgs),
    /// Show the settings that a broker was started with
    Config(ConfigArgs),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  brooklet cluster info
  brooklet cluster info -o json | jq -r .cluster_id")]
struct InfoArgs {
    /// How to print
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t)]
    output: OutputFormat,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  brooklet cluster apis
  brooklet cluster apis --broker 2 -o jsonl")]
struct ApisArgs {
    #[command(flatten)]
    which: Which,
    /// How to print
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t)]
    output: OutputFormat,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  brooklet cluster log-dirs
  brooklet cluster log-dirs -o json | jq '[.partitions[].bytes] | add'")]
struct LogDirsArgs {
    /// How to print
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t)]
    output: OutputFormat,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  brooklet cluster config                  the settings that differ from the defaults
  brooklet cluster config --all
  brooklet cluster config --all -o json")]
struct ConfigArgs {
    #[command(flatten)]
    which: Which,
    /// Include settings that have their defaults
    #[arg(long)]
    all: bool,
    /// How to print
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t)]
    output: OutputFormat,
}

#[derive(Debug, clap::Args)]
struct Which {
    /// The broker's id [default: the first in the list]
    #[arg(long, value_name = "ID")]
    broker: Option<i32>,
}

impl Which {
    async fn broker(&self, client: &Client) -> anyhow::Result<BrokerId> {
        let brokers = client.metadata(Some(&[])).await?.brokers;
        let found = brokers.iter().map(|(id, _)| *id);
        let found = found
            .clone()
            .find(|id| self.broker.is_none_or(|asked| asked == *id));
        let known: Vec<_> = brokers.iter().map(|(id, _)| id.to_string()).collect();
        found.map(BrokerId).ok_or_else(|| {
            let asked = self.broker.unwrap_or(-1);
            let words = format!(
                "expected the id of a broker ({}), found {asked}",
                known.join(", ")
            );
            CliError::NotFound(words).into()
        })
    }
}

/// Runs one of the verbs.
pub(crate) async fn run(globals: &Globals, args: Args) -> anyhow::Result<Exit> {
    let client = globals.connect().await?;
    let mut output = Output::stdout(true);
    match args.verb {
        Verb::Info(args) => info(&client, &args, &mut output).await?,
        Verb::Apis(args) => apis(&client, &args, &mut output).await?,
        Verb::LogDirs(args) => log_dirs(&client, &args, &mut output).await?,
        Verb::Config(args) => config(&client, &args, &mut output).await?,
    }
    output.flush()?;
    Ok(Exit::Ok)
}

/// A cluster as `cluster info` prints it.
#[derive(Debug, Serialize)]
struct Info {
    schema: u32,
    cluster_id: Option<String>,
    controller: i32,
    brokers: Vec<Broker>,
}

#[derive(Debug, Serialize)]
struct Broker {
    id: i32,
    address: String,
}

async fn info<W: Write>(
    client: &Client,
    args: &InfoArgs,
    output: &mut Output<W>,
) -> anyhow::Result<()> {
    let found = client.metadata(Some(&[])).await?;
    let brokers = found.brokers.into_iter();
    let info = Info {
        schema: SCHEMA,
        cluster_id: found.cluster_id,
        controller: found.controller_id,
        brokers: brokers
            .map(|(id, address)| Broker { id, address })
            .collect(),
    };
    if args.output != OutputFormat::Table {
        return Ok(output.json(&info)?);
    }
    output.line(format!(
        "cluster {}",
        info.cluster_id.as_deref().unwrap_or("-")
    ))?;
    let row = |broker: &Broker| {
        let is_controller = broker.id == info.controller;
        let role = if is_controller { "controller" } else { "" };
        vec![
            broker.id.to_string(),
            broker.address.clone(),
            role.to_owned(),
        ]
    };
    let rows: Vec<_> = info.brokers.iter().map(row).collect();
    Ok(output.text(&table(&["BROKER", "ADDRESS", "ROLE"], &rows))?)
}

/// An API as `cluster apis` prints it.
#[derive(Debug, Serialize)]
struct Api {
    key: i16,
    name: Option<String>,
    version_min: i16,
    version_max: i16,
}

async fn apis<W: Write>(
    client: &Client,
    args: &ApisArgs,
    output: &mut Output<W>,
) -> anyhow::Result<()> {
    let broker = args.which.broker(client).await?;
    let api = |api: ServedApi| Api {
        key: api.key,
        name: api.name,
        version_min: api.version_min,
        version_max: api.version_max,
    };
    let apis: Vec<_> = client
        .served_apis(broker)
        .await?
        .into_iter()
        .map(api)
        .collect();
    print_all(output, (args.output, SCHEMA, "apis"), &apis, |apis| {
        let row = |api: &Api| {
            let name = api.name.clone().unwrap_or_else(|| "-".to_owned());
            let versions = format!("{}-{}", api.version_min, api.version_max);
            vec![api.key.to_string(), name, versions]
        };
        let rows: Vec<_> = apis.iter().map(row).collect();
        table(&["KEY", "API", "VERSIONS"], &rows)
    })
}

/// A partition as `cluster log-dirs` prints it.
#[derive(Debug, Serialize)]
struct Placed {
    broker: i32,
    dir: String,
    topic: String,
    partition: i32,
    bytes: i64,
}

async fn log_dirs<W: Write>(
    client: &Client,
    args: &LogDirsArgs,
    output: &mut Output<W>,
) -> anyhow::Result<()> {
    let mut all = Vec::new();
    for (broker, _) in client.metadata(Some(&[])).await?.brokers {
        for LogDir { path, partitions } in client.log_dirs(BrokerId(broker)).await? {
            all.extend(partitions.into_iter().map(|(partition, bytes)| Placed {
                broker,
                dir: path.clone(),
                topic: partition.topic.to_string(),
                partition: partition.partition.0,
                bytes,
            }));
        }
    }
    print_all(output, (args.output, SCHEMA, "partitions"), &all, |all| {
        let row = |placed: &Placed| {
            vec![
                placed.broker.to_string(),
                placed.dir.clone(),
                placed.topic.clone(),
                placed.partition.to_string(),
                HumanBytes(u64::try_from(placed.bytes).unwrap_or(0)).to_string(),
            ]
        };
        let rows: Vec<_> = all.iter().map(row).collect();
        table(
            &["BROKER", "DIRECTORY", "TOPIC", "PARTITION", "SIZE"],
            &rows,
        )
    })
}

/// A setting as `cluster config` prints it.
#[derive(Debug, Serialize)]
struct Setting {
    name: String,
    value: Option<String>,
    is_default: bool,
    documentation: Option<String>,
}

async fn config<W: Write>(
    client: &Client,
    args: &ConfigArgs,
    output: &mut Output<W>,
) -> anyhow::Result<()> {
    let broker = args.which.broker(client).await?;
    let setting = |setting: BrokerSetting| Setting {
        name: setting.name,
        value: setting.value,
        is_default: setting.is_default,
        documentation: setting.documentation,
    };
    let settings = client.broker_settings(broker).await?.into_iter();
    let settings = settings.filter(|setting| args.all || !setting.is_default);
    let settings: Vec<_> = settings.map(setting).collect();
    print_all(
        output,
        (args.output, SCHEMA, "settings"),
        &settings,
        |settings| {
            let row = |setting: &Setting| {
                let value = setting.value.clone().unwrap_or_else(|| "-".to_owned());
                let words = setting.documentation.clone().unwrap_or_default();
                vec![setting.name.clone(), value, words]
            };
            let rows: Vec<_> = settings.iter().map(row).collect();
            table(&["SETTING", "VALUE", "MEANING"], &rows)
        },
    )
}
