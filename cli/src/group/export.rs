//! `group export`: committed offsets, as a file that Kafka's own tool and `group import` read.

use std::io::Write;
use std::path::{Path, PathBuf};

use brooklet_client::Client;
use brooklet_protocol::TopicName;

use super::csv::{self, Row};
use crate::exit::CliError;
use crate::files::write_whole;
use crate::globals::Globals;
use crate::output::Output;
use crate::terminal::{Stream, is_terminal};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  brooklet group export readers
  brooklet group export readers --topic clicks --output readers.csv
  brooklet group export readers | brooklet -b kafka:9092 group import readers -

Prints one line per partition: TOPIC,PARTITION,OFFSET, or GROUP,TOPIC,PARTITION,OFFSET for several
groups. kafka-consumer-groups.sh --reset-offsets reads it with --from-file, and writes the same
with --export.")]
pub(super) struct ExportArgs {
    /// The groups
    #[arg(required = true, value_name = "GROUP")]
    groups: Vec<String>,
    /// Only this topic; may be repeated [default: all topics with committed offsets]
    #[arg(long, value_name = "NAME", value_parser = TopicName::new)]
    topic: Vec<TopicName>,
    /// Write to this file; - is stdout [default: -]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(super) async fn export<W: Write>(
    globals: &Globals,
    client: &Client,
    args: &ExportArgs,
    output: &mut Output<W>,
) -> anyhow::Result<()> {
    let mut text = String::new();
    let mut count = 0;
    for group in &args.groups {
        let rows = rows(client, group, args).await?;
        count += rows.len();
        for row in &rows {
            csv::write(row, &mut text);
        }
    }
    match args
        .output
        .as_deref()
        .filter(|file| *file != Path::new("-"))
    {
        Some(file) => {
            write_whole(file, &text)?;
            globals.note(format_args!("wrote {count} offsets to {}", file.display()));
        }
        None if is_terminal(Stream::Stdout) => {
            text.lines().try_for_each(|line| output.line(line))?;
        }
        None => output.buffer().extend_from_slice(text.as_bytes()),
    }
    Ok(())
}

/// A group's rows, by topic and partition.
async fn rows(client: &Client, group: &str, args: &ExportArgs) -> anyhow::Result<Vec<Row>> {
    let name = (args.groups.len() > 1).then(|| group.to_owned());
    if name.as_ref().is_some_and(|name| name.contains('\n')) {
        let words = format!(
            "the name {group:?} contains a line break, which this format cannot hold: export this group by itself"
        );
        return Err(CliError::Usage(words).into());
    }
    let committed = client.committed_offsets(group).await?;
    if committed.is_empty() {
        // Tell a group without offsets from one that does not exist.
        client.describe_group(group).await?;
    }
    for topic in &args.topic {
        if !committed.keys().any(|partition| partition.topic == *topic) {
            let words = format!("group '{group}' has no committed offsets for topic '{topic}'");
            return Err(CliError::NotFound(words).into());
        }
    }
    let wanted = |topic: &TopicName| args.topic.is_empty() || args.topic.contains(topic);
    let chosen = committed
        .into_iter()
        .filter(|(partition, _)| wanted(&partition.topic));
    let row = |(partition, offset)| Row {
        group: name.clone(),
        partition,
        offset,
    };
    Ok(chosen.map(row).collect())
}
