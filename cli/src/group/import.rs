//! `group import`: moves groups to the offsets of a file that `group export` or Kafka's own tool
//! wrote.
//!
//! As in Kafka's `ConsumerGroupCommand`: only the named groups of a file are moved, the last of
//! several lines for one partition counts, and an offset outside the log is replaced by the nearer
//! end of the log, with a warning (`checkOffsetsRange`). Nothing is moved unless every line is
//! valid.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use brooklet_client::Client;
use brooklet_protocol::{Offset, TopicPartition};

use super::csv::{self, Row};
use super::moves::{self, MoveArgs, Targets};
use crate::exit::CliError;
use crate::files::open_input;
use crate::globals::Globals;
use crate::output::Output;
use crate::start_offset::StartOffset;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  brooklet group import readers readers.csv              only shows what it would do
  brooklet group import readers readers.csv --execute
  brooklet group export readers | brooklet -b kafka:9092 group import readers - --execute

Reads lines of TOPIC,PARTITION,OFFSET or GROUP,TOPIC,PARTITION,OFFSET, as written by group export
and by kafka-consumer-groups.sh --reset-offsets with --export.")]
pub(super) struct ImportArgs {
    /// The groups to move, created if they do not exist; other groups in the file are ignored
    #[arg(required = true, value_name = "GROUP")]
    groups: Vec<String>,
    /// The file to read; - is stdin
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    how: MoveArgs,
}

/// A line's number and its offset.
type Wanted = (usize, Offset);

/// The offsets asked for, by group.
type Plan = BTreeMap<String, BTreeMap<TopicPartition, Wanted>>;

pub(super) async fn import<W: Write>(
    globals: &Globals,
    client: &Client,
    args: &ImportArgs,
    output: &mut Output<W>,
) -> anyhow::Result<()> {
    let file = name(&args.file);
    let mut text = Vec::new();
    let mut input = open_input(Some(&args.file))?;
    let read = input.reader.read_to_end(&mut text);
    read.with_context(|| format!("cannot read {file}"))?;
    let rows = csv::read(&text).map_err(|bad| CliError::Usage(format!("{file}:{bad}")))?;
    let plan = plan(&file, &args.groups, rows)?;
    check_partitions(client, &file, &plan).await?;
    let mut targets = BTreeMap::new();
    for (group, wanted) in &plan {
        targets.insert(
            group.clone(),
            partition(globals, client, &file, wanted).await?,
        );
    }
    moves::move_groups(globals, client, &targets, &args.how, output).await
}

fn name(file: &Path) -> String {
    match file.to_str() {
        Some("-") => "stdin".to_owned(),
        _ => file.display().to_string(),
    }
}

/// Sorts the rows by the groups that are named.
fn plan(file: &str, groups: &[String], rows: Vec<(usize, Row)>) -> Result<Plan, CliError> {
    let groups: BTreeSet<_> = groups.iter().collect();
    let mut plan = Plan::new();
    for (line, row) in rows {
        let group = match (row.group, groups.first()) {
            (Some(group), _) => group,
            (None, Some(group)) if groups.len() == 1 => (*group).clone(),
            (None, _) => {
                let words = format!(
                    "{file} names no groups: expected one group as an argument, found several"
                );
                return Err(CliError::Usage(words));
            }
        };
        if groups.contains(&group) {
            let wanted = plan.entry(group).or_default();
            wanted.insert(row.partition, (line, row.offset));
        }
    }
    match groups.into_iter().find(|group| !plan.contains_key(*group)) {
        Some(group) => {
            let words = format!("{file} has no offsets for group '{group}'");
            Err(CliError::NotFound(words))
        }
        None => Ok(plan),
    }
}

/// Fails with the first line whose partition does not exist.
async fn check_partitions(client: &Client, file: &str, plan: &Plan) -> anyhow::Result<()> {
    let mut lines: Vec<(usize, &TopicPartition)> = Vec::new();
    for wanted in plan.values() {
        lines.extend(
            wanted
                .iter()
                .map(|(partition, (line, _))| (*line, partition)),
        );
    }
    lines.sort_unstable();
    for (line, partition) in lines {
        let topic = &partition.topic;
        let count = client.partition_count(topic).await;
        let count = count.with_context(|| format!("{file}:{line}"))?;
        let number = partition.partition;
        if number.0 >= count {
            let words = format!(
                "{file}:{line}: topic '{topic}' has no partition {number}: it has {count}, counted from 0"
            );
            return Err(CliError::NotFound(words).into());
        }
    }
    Ok(())
}

/// The offsets that a group is moved to: those asked for, kept within the log.
async fn partition(
    globals: &Globals,
    client: &Client,
    file: &str,
    wanted: &BTreeMap<TopicPartition, Wanted>,
) -> anyhow::Result<Targets> {
    let partitions: Vec<_> = wanted.keys().cloned().collect();
    let ranges = moves::ranges(client, &partitions).await?;
    let mut targets = Targets::new();
    for (partition, (line, offset)) in wanted {
        let range = ranges[partition];
        let target = range.resolve(StartOffset::At(*offset), None);
        if target != *offset {
            globals.note(format_args!(
                "{file}:{line}: warning: {partition} has offsets {} to {}, not {offset}: using {target}",
                range.start, range.end
            ));
        }
        targets.insert(partition.clone(), target);
    }
    Ok(targets)
}

#[cfg(test)]
mod tests {
    use brooklet_protocol::{PartitionId, TopicName};

    use super::*;

    fn planned(groups: &[&str], text: &str) -> Result<Plan, String> {
        let groups: Vec<_> = groups.iter().map(|&group| group.to_owned()).collect();
        plan("f", &groups, csv::read(text.as_bytes()).unwrap()).map_err(|e| e.to_string())
    }

    fn wanted(partition: i32, line: usize, offset: i64) -> (TopicPartition, Wanted) {
        let topic = TopicName::new("t").unwrap();
        let partition = TopicPartition::new(topic, PartitionId(partition));
        (partition, (line, Offset(offset)))
    }

    #[test]
    fn rows_go_to_the_groups_that_are_named() {
        let a = BTreeMap::from([wanted(0, 3, 9), wanted(1, 2, 8)]);
        let b = BTreeMap::from([wanted(0, 4, 5)]);
        let one = Plan::from([("a".into(), a.clone())]);
        let both = Plan::from([("a".into(), a), ("b".into(), b)]);
        // If a partition is there twice, the last line counts.
        assert_eq!(planned(&["a"], "t,0,7\nt,1,8\nt,0,9\n"), Ok(one.clone()));
        let many = "a,t,0,7\na,t,1,8\na,t,0,9\nb,t,0,5\n";
        assert_eq!(planned(&["a"], many), Ok(one));
        assert_eq!(planned(&["b", "a", "b"], many), Ok(both));
    }

    #[test]
    fn what_nobody_or_anybody_may_be_meant_by_is_refused() {
        let whose = "f names no groups: expected one group as an argument, found several";
        assert_eq!(planned(&["a", "b"], "t,0,7"), Err(whose.into()));
        let none = |group| Err(format!("f has no offsets for group '{group}'"));
        assert_eq!(planned(&["a", "b"], "a,t,0,7"), none("b"));
        assert_eq!(planned(&["a"], ""), none("a"));
    }
}
