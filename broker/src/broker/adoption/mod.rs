//! Taking over a data directory that Apache Kafka has written.
//!
//! ```text
//!  meta.properties without brooklet.format, and --adopt
//!    ─▶ topics by their directories and partition.metadata, their settings by Kafka's metadata log
//!    ─▶ registered in the coordination tree
//!    ─▶ logs opened as Kafka left them ─▶ meta.properties gets brooklet.format
//! ```
//!
//! Segments, indexes, snapshots, checkpoints and the mark of a clean shutdown are Kafka's own, and
//! are believed as Kafka would believe them. The settings of topics come from Kafka's metadata log
//! (`metadata`). ZooKeeper has them of a directory that was under it; there a topic that was
//! compacted goes on being compacted, and the rest is lost, which is said.
//!
//! It has to be asked for, because there is no way back: Kafka would take what it does not know,
//! and that is all that is created here, for strays, and delete it. The last step makes the
//! directory ours; until then a start without `--adopt` says what it has found, and one with it
//! begins again.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use brooklet_log::checkpoint::Positions;
use brooklet_log::vfs::Vfs;
use brooklet_protocol::{Offset, TopicName, TopicPartition};
use uuid::Uuid;

use crate::controller::{
    Adopted, AdoptedTopic, CLUSTER_METADATA, COORDINATION_TOPIC, Identity, write_partition_id,
};

mod metadata;

use metadata::KafkaMetadata;

/// Without Kafka's metadata nobody knows which producer ids were given; no broker has given so
/// many.
const PRODUCER_IDS_END_UNKNOWN: i64 = 1 << 40;

/// The topics whose partitions are in `dir`, and what else Kafka knew. A partition without
/// `partition.metadata`, from before Kafka 2.8, gets one. The id is that of Kafka's metadata log,
/// or else the one that most of the topic's partitions have.
pub(super) fn adopt(
    vfs: &dyn Vfs,
    dir: &Path,
    positions: &BTreeMap<TopicPartition, Positions>,
    mut new_id: impl FnMut() -> Uuid,
) -> io::Result<Adopted> {
    let mut found = BTreeMap::<TopicName, BTreeSet<i32>>::new();
    for entry in vfs.read_dir(dir)?.into_iter().filter(|entry| entry.is_dir) {
        let Some(id) = TopicPartition::from_dir_name(&entry.name) else {
            continue;
        };
        if ![CLUSTER_METADATA, COORDINATION_TOPIC].contains(&id.topic.as_str()) {
            found.entry(id.topic).or_default().insert(id.partition.0);
        }
    }
    let metadata_log = dir.join(format!("{CLUSTER_METADATA}-0"));
    let mut metadata = KafkaMetadata::read(vfs, &metadata_log)?;
    if metadata.is_none() {
        tracing::warn!(
            "{} not found, so the settings of topics are lost: they have the defaults, which delete \
             records after a week. To keep records, set them with brooklet topic alter",
            metadata_log.display()
        );
    }
    let mut topics = Vec::with_capacity(found.len());
    for (name, partitions) in found {
        let dirs: Vec<_> = partitions
            .iter()
            .map(|n| dir.join(format!("{name}-{n}")))
            .collect();
        let found: Vec<_> = dirs.iter().map(|dir| Identity::read(vfs, dir)).collect();
        let recorded = metadata.as_ref().and_then(|metadata| metadata.id_of(&name));
        let id = recorded.or_else(|| most_named(&found));
        let id = id.unwrap_or_else(&mut new_id);
        for (dir, found) in dirs.iter().zip(&found) {
            // One that is damaged stays as it is: the partition is offline then, and named.
            if matches!(found, Ok(Identity::Missing | Identity::Unfinished)) {
                write_partition_id(vfs, dir, id)?;
            }
        }
        let configs = match &mut metadata {
            Some(metadata) => metadata.take_configs(&name),
            None => guessed(&name, positions),
        };
        let partition_count = partitions.last().map_or(0, |last| last + 1);
        tracing::info!("adopting topic {name} with {partition_count} partitions");
        topics.push(AdoptedTopic {
            name,
            id,
            partition_count,
            configs,
        });
    }
    let producer_ids_end = metadata.map_or(PRODUCER_IDS_END_UNKNOWN, |m| m.producer_ids_end);
    Ok(Adopted {
        topics,
        producer_ids_end,
    })
}

/// The id that most of a topic's partitions name: a single one may be damaged.
fn most_named(found: &[io::Result<Identity>]) -> Option<Uuid> {
    let mut counts = BTreeMap::<Uuid, usize>::new();
    for identity in found.iter().flatten() {
        if let Identity::Topic(id) = identity {
            *counts.entry(*id).or_default() += 1;
        }
    }
    let most = counts.into_iter().max_by_key(|(_, count)| *count);
    most.map(|(id, _)| id)
}

/// What can be known of a topic's settings without Kafka's metadata.
fn guessed(
    name: &TopicName,
    positions: &BTreeMap<TopicPartition, Positions>,
) -> BTreeMap<String, String> {
    let was_compacted = |(id, known): (&TopicPartition, &Positions)| {
        id.topic == *name && known.cleaned_below > Offset::ZERO
    };
    let policy = ("cleanup.policy".to_owned(), "compact".to_owned());
    let policy = positions.iter().any(was_compacted).then_some(policy);
    policy.into_iter().collect()
}
