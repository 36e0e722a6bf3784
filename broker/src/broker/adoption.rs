//! Taking over a data directory that Apache Kafka has written.
//!
//! ```text
//!  meta.properties without brooklet.format, and --adopt
//!    ─▶ topics by their directories and partition.metadata ─▶ registered in the coordination tree
//!    ─▶ logs opened as Kafka left them ─▶ meta.properties gets brooklet.format
//! ```
//!
//! Segments, indexes, snapshots, checkpoints and the mark of a clean shutdown are Kafka's own, and
//! are believed as Kafka would believe them. What only Kafka's metadata log knows, the settings of
//! topics, is lost, but for one: a topic that was compacted goes on being compacted.
//!
//! It has to be asked for, because there is no way back: Kafka would take what it does not know, and
//! that is all that is created here, for strays, and delete it. The last step makes the directory
//! ours; until then a start without `--adopt` says what it has found, and one with it begins again.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use brooklet_protocol::{TopicName, TopicPartition};
use uuid::Uuid;

use crate::controller::{AdoptedTopic, COORDINATION_TOPIC, read_partition_id, write_partition_id};
use crate::log::checkpoint::Positions;
use crate::vfs::Vfs;

/// Kafka's own metadata; what it says of topics is not read.
const CLUSTER_METADATA: &str = "__cluster_metadata";

/// The topics whose partitions are in `dir`. A partition without `partition.metadata`, from before
/// Kafka 2.8, gets one.
pub(super) fn topics(
    vfs: &dyn Vfs,
    dir: &Path,
    positions: &BTreeMap<TopicPartition, Positions>,
    mut new_id: impl FnMut() -> Uuid,
) -> io::Result<Vec<AdoptedTopic>> {
    let mut found = BTreeMap::<TopicName, BTreeSet<i32>>::new();
    for entry in vfs.read_dir(dir)?.into_iter().filter(|entry| entry.is_dir) {
        let Some(id) = TopicPartition::from_dir_name(&entry.name) else {
            continue;
        };
        if ![CLUSTER_METADATA, COORDINATION_TOPIC].contains(&id.topic.as_str()) {
            found.entry(id.topic).or_default().insert(id.partition.0);
        }
    }
    let mut topics = Vec::with_capacity(found.len());
    for (name, partitions) in found {
        let dirs: Vec<_> = partitions
            .iter()
            .map(|n| dir.join(format!("{name}-{n}")))
            .collect();
        let mut id = None;
        for dir in &dirs {
            id = id.or(read_partition_id(vfs, dir)?);
        }
        let id = id.unwrap_or_else(&mut new_id);
        for dir in &dirs {
            if read_partition_id(vfs, dir)?.is_none() {
                write_partition_id(vfs, dir, id)?;
            }
        }
        let was_compacted = |(id, known): (&TopicPartition, &Positions)| {
            id.topic == name && known.cleaned_below > brooklet_protocol::Offset::ZERO
        };
        let policy = ("cleanup.policy".to_owned(), "compact".to_owned());
        let configs = positions.iter().any(was_compacted).then_some(policy);
        let partition_count = partitions.last().map_or(0, |last| last + 1);
        tracing::info!("adopting topic {name} with {partition_count} partitions");
        topics.push(AdoptedTopic {
            name,
            id,
            partition_count,
            configs: configs.into_iter().collect(),
        });
    }
    Ok(topics)
}
