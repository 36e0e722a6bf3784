//! `group lag`: how far groups are behind, and who reads what.

use std::collections::BTreeMap;
use std::io::Write;

use brooklet_engine::Client;
use brooklet_engine::client::OffsetSpec;
use brooklet_protocol::TopicPartition;
use serde::Serialize;

use super::{SCHEMA, or_dash};
use crate::output::{Output, OutputFormat, print_all, table};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  brooklet group lag readers
  brooklet group lag readers -o json | jq '[.partitions[].lag] | add'")]
pub(super) struct LagArgs {
    /// The groups
    #[arg(required = true, value_name = "GROUP")]
    groups: Vec<String>,
    /// How to print
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t)]
    output: OutputFormat,
}

/// How far a group is in one partition.
#[derive(Debug, Serialize)]
struct Progress {
    topic: String,
    partition: i32,
    /// The next record that the group will read; `None` if it has not committed any.
    offset: Option<i64>,
    /// The next record to come.
    end: i64,
    /// How many it has still to read, as far as it has committed.
    lag: Option<i64>,
    /// Who reads it now.
    client: Option<String>,
}

/// A group as `group lag` prints it.
#[derive(Debug, Serialize)]
struct Lagging {
    group: String,
    lag: i64,
    partitions: Vec<Progress>,
}

pub(super) async fn lag<W: Write>(
    client: &Client,
    args: &LagArgs,
    output: &mut Output<W>,
) -> anyhow::Result<()> {
    let mut groups = Vec::new();
    for group in &args.groups {
        groups.push(lags_of(client, group).await?);
    }
    print_all(output, (args.output, SCHEMA, "groups"), &groups, |groups| {
        let texts: Vec<_> = groups.iter().map(lag_table).collect();
        texts.join("\n\n")
    })
}

async fn lags_of(client: &Client, group: &str) -> anyhow::Result<Lagging> {
    let described = client.describe_group(group).await?;
    let committed = client.committed_offsets(group).await?;
    let mut readers: BTreeMap<TopicPartition, Option<String>> = BTreeMap::new();
    readers.extend(committed.keys().map(|place| (place.clone(), None)));
    for member in described.members {
        let places = member.partitions.into_iter();
        readers.extend(places.map(|place| (place, Some(member.client_id.clone()))));
    }
    let places: Vec<_> = readers.keys().cloned().collect();
    let ends = client.list_offsets(&places, OffsetSpec::Latest).await?;
    let partitions = readers.into_iter().map(|(place, reader)| {
        let offset = committed.get(&place).map(|offset| offset.0);
        let end = ends[&place].0;
        Progress {
            topic: place.topic.to_string(),
            partition: place.partition.0,
            offset,
            end,
            // What was deleted since is not to be read any more, but still counts, as in Kafka.
            lag: offset.map(|offset| (end - offset).max(0)),
            client: reader,
        }
    });
    let partitions: Vec<_> = partitions.collect();
    Ok(Lagging {
        group: group.to_owned(),
        lag: partitions
            .iter()
            .filter_map(|partition| partition.lag)
            .sum(),
        partitions,
    })
}

fn lag_table(lags: &Lagging) -> String {
    let number = |number: Option<i64>| number.map_or_else(|| "-".to_owned(), |n| n.to_string());
    let row = |lag: &Progress| {
        vec![
            lag.topic.clone(),
            lag.partition.to_string(),
            number(lag.offset),
            lag.end.to_string(),
            number(lag.lag),
            or_dash(lag.client.as_deref().unwrap_or_default()),
        ]
    };
    let rows: Vec<_> = lags.partitions.iter().map(row).collect();
    let header = ["TOPIC", "PARTITION", "OFFSET", "END", "LAG", "CLIENT"];
    format!(
        "group {}  lag {}\n{}",
        lags.group,
        lags.lag,
        table(&header, &rows)
    )
}
