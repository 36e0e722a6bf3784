//! `--isolation`: whether records of open and aborted transactions are read.

use std::collections::BTreeMap;

use brooklet_client::{Client, Isolation, OffsetSpec};
use brooklet_protocol::{Offset, TopicPartition};

use crate::globals::Globals;

/// Reads the option's value.
///
/// # Errors
/// What was expected.
pub(crate) fn isolation(text: &str) -> Result<Isolation, String> {
    match text {
        "read_uncommitted" => Ok(Isolation::ReadUncommitted),
        "read_committed" => Ok(Isolation::ReadCommitted),
        _ => Err("expected read_uncommitted or read_committed".into()),
    }
}

/// Says which partitions have records beyond `ends` that are not read, because a transaction is
/// open.
///
/// # Errors
/// No answer.
pub(crate) async fn note_open_transactions(
    globals: &Globals,
    client: &Client,
    ends: &BTreeMap<TopicPartition, Offset>,
) -> anyhow::Result<()> {
    let partitions: Vec<_> = ends.keys().cloned().collect();
    let all = client.list_offsets(&partitions, OffsetSpec::Latest).await?;
    for (TopicPartition { topic, partition }, end) in ends {
        let key = TopicPartition::new(topic.clone(), *partition);
        let Some(last) = all.get(&key).filter(|last| *last > end) else {
            continue;
        };
        globals.note(format_args!(
            "% Topic {topic} [{partition}]: offsets {end}..{last} are not read, because a transaction is open. \
             Find it with: brooklet txn list --state Ongoing; or read them with: --isolation read_uncommitted"
        ));
    }
    Ok(())
}
