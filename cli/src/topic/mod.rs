//! `topic`: create, list, describe, alter, extend, trim, copy and delete topics.
//!
//! | verb | does |
//! |---|---|
//! | `create`, `delete` | a topic, with partitions and settings |
//! | `list`, `describe` | names; settings, partitions with leader, replicas and offsets |
//! | `alter` | sets or resets settings while the topic is served |
//! | `add-partitions` | raises the number of partitions, which cannot be lowered |
//! | `trim` | deletes the oldest records, before an offset or all |
//! | [`copy`] | copies records to another topic or another cluster |
//!
//! All verbs work with any Kafka broker. A verb that names several topics stops at the first that
//! fails; those before it are done, and notes on stderr say which.
//!
//! A partition without a leader is described without offsets, since nobody knows them.

use std::collections::BTreeMap;
use std::io::Write;

use brooklet_client::{Client, ClientError, ConfigChange, OffsetSpec, TopicMetadata};
use brooklet_protocol::messages::ErrorCode;
use brooklet_protocol::{Offset, PartitionId, TopicName, TopicPartition};
use clap::Subcommand;
use serde::Serialize;

use crate::exit::Exit;
use crate::globals::Globals;
use crate::output::{Output, OutputFormat, print_all};
use crate::setting::Setting;
use crate::text::{Text, table};

mod copy;

/// The version of the JSON that `topic` prints; it changes when a key changes its meaning.
const SCHEMA: u32 = 1;

/// Arguments of `topic`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  brooklet topic create flights -p 3
  brooklet topic create clicks -c segment.bytes=1048576 --if-not-exists
  brooklet topic list -o json
  brooklet topic describe flights
  brooklet topic alter flights --set retention.ms=3600000
  brooklet topic add-partitions flights 6
  brooklet topic trim flights --before end
  brooklet topic copy flights flights-copy
  brooklet topic delete flights")]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Create a topic
    Create(CreateArgs),
    /// List all topics
    List(ListArgs),
    /// Show topics: settings that differ from the defaults, partitions with leader, replicas and
    /// offsets
    Describe(DescribeArgs),
    /// Change the settings of a topic while it is served
    Alter(AlterArgs),
    /// Add partitions to a topic; from then on, a key may map to another partition
    AddPartitions(AddPartitionsArgs),
    /// Delete the oldest records of a topic
    Trim(TrimArgs),
    /// Copy the records of a topic to another one, or to another cluster
    Copy(copy::CopyArgs),
    /// Delete topics and all their records
    Delete(DeleteArgs),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  brooklet topic create flights -p 3
  brooklet topic create tiny -c segment.bytes=256 -c retention.ms=60000")]
struct CreateArgs {
    /// The name: 1 to 249 characters of a-z A-Z 0-9 . _ -
    #[arg(value_parser = TopicName::new)]
    name: TopicName,
    /// Number of partitions [default: the broker's num.partitions]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    partitions: Option<i32>,
    /// A setting of the topic; may be repeated
    #[arg(short, long, value_name = "KEY=VALUE")]
    config: Vec<Setting>,
    /// Succeed if the topic already exists
    #[arg(long)]
    if_not_exists: bool,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  brooklet topic list
  brooklet topic list -o jsonl | jq -r .name")]
struct ListArgs {
    /// How to print
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t)]
    output: OutputFormat,
    /// Include the broker's own topics
    #[arg(long)]
    internal: bool,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  brooklet topic describe flights
  brooklet topic describe flights clicks -o json")]
struct DescribeArgs {
    /// The topics
    #[arg(required = true, value_name = "NAME", value_parser = TopicName::new)]
    names: Vec<TopicName>,
    /// How to print
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t)]
    output: OutputFormat,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  brooklet topic delete flights
  brooklet topic delete flights clicks --if-exists")]
struct DeleteArgs {
    /// The topics
    #[arg(required = true, value_name = "NAME", value_parser = TopicName::new)]
    names: Vec<TopicName>,
    /// Succeed if a topic does not exist
    #[arg(long)]
    if_exists: bool,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  brooklet topic alter clicks --set retention.ms=60000 --set cleanup.policy=compact
  brooklet topic alter clicks --unset retention.ms")]
struct AlterArgs {
    /// The topic
    #[arg(value_name = "NAME", value_parser = TopicName::new)]
    name: TopicName,
    /// Set a setting; may be repeated
    #[arg(long, value_name = "KEY=VALUE", required_unless_present = "unset")]
    set: Vec<Setting>,
    /// Reset a setting to the broker's default; may be repeated
    #[arg(long, value_name = "KEY")]
    unset: Vec<String>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  brooklet topic add-partitions clicks 6")]
struct AddPartitionsArgs {
    /// The topic
    #[arg(value_name = "NAME", value_parser = TopicName::new)]
    name: TopicName,
    /// The new total number of partitions
    #[arg(value_name = "COUNT", value_parser = clap::value_parser!(i32).range(1..))]
    count: i32,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  brooklet topic trim clicks --before end
  brooklet topic trim clicks -p 2 --before 4096")]
struct TrimArgs {
    /// The topic
    #[arg(value_name = "NAME", value_parser = TopicName::new)]
    name: TopicName,
    /// Only this partition [default: all]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    partition: Option<i32>,
    /// The first record to keep, or `end` to keep none
    #[arg(long, value_name = "OFFSET|end", value_parser = trim_offset)]
    before: TrimOffset,
}

/// The new start of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TrimOffset {
    At(Offset),
    End,
}

fn trim_offset(text: &str) -> Result<TrimOffset, String> {
    match text {
        "end" => Ok(TrimOffset::End),
        number => match number.parse() {
            Ok(offset @ 0..) => Ok(TrimOffset::At(Offset(offset))),
            _ => Err("expected an offset or end".into()),
        },
    }
}

/// Runs one of the verbs.
pub(crate) async fn run(globals: &Globals, args: Args) -> anyhow::Result<Exit> {
    let client = globals.connect().await?;
    topic(globals, client, args, Output::stdout(true)).await?;
    Ok(Exit::Ok)
}

/// Runs one of the verbs with this client and output.
pub(crate) async fn topic<W: Write>(
    globals: &Globals,
    client: Client,
    args: Args,
    mut output: Output<W>,
) -> anyhow::Result<()> {
    match args.verb {
        Verb::Create(args) => create(globals, &client, args).await?,
        Verb::List(args) => list(&client, &args, &mut output).await?,
        Verb::Describe(args) => describe(&client, &args, &mut output).await?,
        Verb::Alter(args) => alter(globals, &client, args).await?,
        Verb::AddPartitions(args) => {
            client.add_partitions(&args.name, args.count).await?;
            globals.note(format_args!(
                "topic {} now has {} partitions",
                args.name, args.count
            ));
        }
        Verb::Trim(args) => trim(globals, &client, args).await?,
        Verb::Copy(args) => copy::copy(globals, &client, args).await?,
        Verb::Delete(args) => delete(globals, &client, args).await?,
    }
    output.flush()?;
    Ok(())
}

async fn create(globals: &Globals, client: &Client, args: CreateArgs) -> anyhow::Result<()> {
    let settings = args.config.into_iter().map(|s| (s.key, s.value));
    let configs: BTreeMap<String, String> = settings.collect();
    let created = client
        .create_topic(&args.name, args.partitions, &configs)
        .await;
    match created {
        Ok(()) => globals.note(format_args!("created topic {}", args.name)),
        Err(ClientError::Broker {
            code: ErrorCode::TopicAlreadyExists,
            ..
        }) if args.if_not_exists => {
            globals.note(format_args!("topic {} already exists", args.name));
        }
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

async fn alter(globals: &Globals, client: &Client, args: AlterArgs) -> anyhow::Result<()> {
    let set = args
        .set
        .into_iter()
        .map(|s| (s.key, ConfigChange::Set(s.value)));
    let unset = args.unset.into_iter().map(|key| (key, ConfigChange::Unset));
    let changes: BTreeMap<_, _> = set.chain(unset).collect();
    client.alter_topic(&args.name, &changes).await?;
    globals.note(format_args!("altered topic {}", args.name));
    Ok(())
}

async fn trim(globals: &Globals, client: &Client, args: TrimArgs) -> anyhow::Result<()> {
    let metadata = client.metadata(Some(&[args.name.as_str()])).await?;
    let topic = metadata.topics.first();
    let partitions: Vec<_> = match (args.partition, topic) {
        (Some(partition), _) => vec![PartitionId(partition)],
        (None, Some(topic)) => match topic.error {
            Some(code) => return Err(topic_error(&topic.name, code).into()),
            None => topic.partitions.iter().map(|p| p.partition).collect(),
        },
        (None, None) => Vec::new(),
    };
    let before = match args.before {
        TrimOffset::At(offset) => offset,
        TrimOffset::End => Offset(-1),
    };
    for partition in partitions {
        let id = TopicPartition::new(args.name.clone(), partition);
        for (id, start) in client.delete_records(&[(id, before)].into()).await? {
            globals.note(format_args!("{id} now starts at offset {start}"));
        }
    }
    Ok(())
}

async fn delete(globals: &Globals, client: &Client, args: DeleteArgs) -> anyhow::Result<()> {
    for name in &args.names {
        match client.delete_topic(name).await {
            Ok(()) => globals.note(format_args!("deleted topic {name}")),
            Err(ClientError::UnknownTopic(_)) if args.if_exists => {
                globals.note(format_args!("topic {name} does not exist"));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// A topic as `topic list` prints it.
#[derive(Debug, Serialize)]
struct Listed {
    name: String,
    id: String,
    partitions: usize,
    internal: bool,
}

impl From<&TopicMetadata> for Listed {
    fn from(topic: &TopicMetadata) -> Self {
        Self {
            name: topic.name.clone(),
            id: topic.id.to_string(),
            partitions: topic.partitions.len(),
            internal: topic.is_internal,
        }
    }
}

async fn list<W: Write>(
    client: &Client,
    args: &ListArgs,
    output: &mut Output<W>,
) -> anyhow::Result<()> {
    let metadata = client.metadata(None).await?;
    let shown = metadata
        .topics
        .iter()
        .filter(|t| args.internal || !t.is_internal);
    let topics: Vec<Listed> = shown.map(Listed::from).collect();
    let row = |topic: &Listed| vec![topic.name.clone(), topic.partitions.to_string()];
    let text = |topics: &[Listed]| {
        let rows: Vec<_> = topics.iter().map(row).collect();
        table(&["NAME", "PARTITIONS"], &rows)
    };
    print_all(output, (args.output, SCHEMA, "topics"), &topics, text)
}

/// A topic as `topic describe` prints it.
#[derive(Debug, Serialize)]
struct Described {
    name: String,
    id: String,
    internal: bool,
    /// Its own settings, and those that the broker was started with; the others have their
    /// defaults.
    configs: BTreeMap<String, String>,
    partitions: Vec<DescribedPartition>,
}

#[derive(Debug, Serialize)]
struct DescribedPartition {
    partition: i32,
    leader: i32,
    replicas: Vec<i32>,
    isr: Vec<i32>,
    /// The log start offset; `None` while the partition has no leader.
    start_offset: Option<i64>,
    /// The next offset; `None` while the partition has no leader.
    end_offset: Option<i64>,
}

async fn describe<W: Write>(
    client: &Client,
    args: &DescribeArgs,
    output: &mut Output<W>,
) -> anyhow::Result<()> {
    let names: Vec<&str> = args.names.iter().map(TopicName::as_str).collect();
    let metadata = client.metadata(Some(&names)).await?;
    let mut topics = Vec::new();
    for topic in &metadata.topics {
        if let Some(code) = topic.error {
            return Err(topic_error(&topic.name, code).into());
        }
        topics.push(describe_topic(client, topic).await?);
    }
    print_all(output, (args.output, SCHEMA, "topics"), &topics, |topics| {
        Text::paragraphs(topics.iter().map(description))
    })
}

/// The error that one topic has in the metadata.
pub(crate) fn topic_error(name: &str, code: ErrorCode) -> ClientError {
    match code {
        ErrorCode::UnknownTopicOrPartition => ClientError::UnknownTopic(name.into()),
        code => ClientError::Broker {
            what: format!("describe topic '{name}'"),
            code,
            message: None,
        },
    }
}

async fn describe_topic(client: &Client, topic: &TopicMetadata) -> anyhow::Result<Described> {
    let name = TopicName::new(&topic.name)?;
    let key = |p| TopicPartition::new(name.clone(), p);
    // Without a leader the offsets are unknown; the partition is listed all the same.
    let led = topic.partitions.iter().filter(|p| p.leader >= 0);
    let all: Vec<_> = led.map(|p| key(p.partition)).collect();
    let starts = client.list_offsets(&all, OffsetSpec::Earliest).await?;
    let ends = client.list_offsets(&all, OffsetSpec::Latest).await?;
    let offset = |of: &BTreeMap<TopicPartition, Offset>, p| of.get(&key(p)).map(|o| o.0);
    let partitions = topic.partitions.iter().map(|p| DescribedPartition {
        partition: p.partition.0,
        leader: p.leader,
        replicas: p.replicas.clone(),
        isr: p.isr.clone(),
        start_offset: offset(&starts, p.partition),
        end_offset: offset(&ends, p.partition),
    });
    Ok(Described {
        configs: client.topic_configs(&name).await?,
        partitions: partitions.collect(),
        name: topic.name.clone(),
        id: topic.id.to_string(),
        internal: topic.is_internal,
    })
}

fn description(topic: &Described) -> Text {
    let offset = |o: Option<i64>| o.map_or("-".into(), |o| o.to_string());
    let leader = |p: &DescribedPartition| match p.leader {
        -1 => "offline".into(),
        leader => leader.to_string(),
    };
    let ids = |ids: &[i32]| ids.iter().map(i32::to_string).collect::<Vec<_>>().join(",");
    let rows = topic.partitions.iter().map(|p| {
        vec![
            p.partition.to_string(),
            leader(p),
            ids(&p.replicas),
            ids(&p.isr),
            offset(p.start_offset),
            offset(p.end_offset),
        ]
    });
    let rows: Vec<_> = rows.collect();
    let header = ["PARTITION", "LEADER", "REPLICAS", "ISR", "START", "END"];
    let configs: Vec<_> = (topic.configs.iter())
        .map(|(key, value)| format!("  {key}={value}"))
        .collect();
    let configs = configs.concat();
    let head = format!("topic {}  id {}{configs}", topic.name, topic.id);
    Text::line(head).and(table(&header, &rows))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described() -> Described {
        Described {
            configs: BTreeMap::new(),
            name: "flights".into(),
            id: "7".into(),
            internal: false,
            partitions: vec![DescribedPartition {
                partition: 0,
                leader: 1,
                replicas: vec![1, 2],
                isr: vec![1],
                start_offset: Some(0),
                end_offset: Some(2009),
            }],
        }
    }

    #[test]
    fn a_setting_has_a_key_and_a_value() {
        let setting = |key: &str, value: &str| Setting {
            key: key.into(),
            value: value.into(),
        };
        assert_eq!("a=b=c".parse(), Ok(setting("a", "b=c")));
        assert_eq!("a=".parse(), Ok(setting("a", "")));
        assert!("a".parse::<Setting>().is_err());
        assert!("=b".parse::<Setting>().is_err());
    }

    #[test]
    fn a_setting_of_a_foreign_broker_is_shown_and_not_obeyed() {
        let mut topic = described();
        let evil = "\x1b]0;title\x07\nfake";
        topic.configs = BTreeMap::from([("k".into(), evil.into())]);
        let head = r"topic flights  id 7  k=\u001b]0;title\u0007\nfake";
        assert_eq!(description(&topic).lines()[0], head);
    }

    #[test]
    fn a_description_lines_up() {
        assert_eq!(
            description(&described()).lines(),
            [
                "topic flights  id 7",
                "PARTITION  LEADER  REPLICAS  ISR  START  END",
                "0          1       1,2       1    0      2009"
            ]
        );
    }
}
