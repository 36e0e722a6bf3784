//! `group export`: what groups have committed, as a file that Kafka's own tool and `group import` read.

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

One line per partition, TOPIC,PARTITION,OFFSET; of several groups, GROUP,TOPIC,PARTITION,OFFSET. It
is what kafka-consumer-groups.sh --reset-offsets writes with --export and reads with --from-file.")]
pub(super) struct ExportArgs {
    /// The groups
    #[arg(required = true, value_name = "GROUP")]
    groups: Vec<String>,
    /// This topic, may be repeated; without it all that the groups have offsets of
    #[arg(long, value_name = "NAME", value_parser = TopicName::new)]
    topic: Vec<TopicName>,
    /// Write to this file; without it, or with -, to stdout
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
            globals.note(format_args!("{count} offsets in {}", file.display()));
        }
        None if is_terminal(Stream::Stdout) => {
            text.lines().try_for_each(|line| output.line(line))?;
        }
        None => output.buffer().extend_from_slice(text.as_bytes()),
    }
    Ok(())
}

/// A group's lines, by topic and partition.
async fn rows(client: &Client, group: &str, args: &ExportArgs) -> anyhow::Result<Vec<Row>> {
    let name = (args.groups.len() > 1).then(|| group.to_owned());
    if name.as_ref().is_some_and(|name| name.contains('\n')) {
        let words = format!("a line break in {group:?}: export this group by itself");
        return Err(CliError::Usage(words).into());
    }
    let committed = client.committed_offsets(group).await?;
    if committed.is_empty() {
        // A group that is not there has no offsets either, and should be told apart.
        client.describe_group(group).await?;
    }
    for topic in &args.topic {
        if !committed.keys().any(|place| place.topic == *topic) {
            let words = format!("group '{group}' has no offsets of topic '{topic}'");
            return Err(CliError::NotFound(words).into());
        }
    }
    let wanted = |topic: &TopicName| args.topic.is_empty() || args.topic.contains(topic);
    let chosen = committed
        .into_iter()
        .filter(|(place, _)| wanted(&place.topic));
    let row = |(place, offset)| Row {
        group: name.clone(),
        place,
        offset,
    };
    Ok(chosen.map(row).collect())
}
