//! The part of `log repair` that is about `partition.metadata`.
//!
//! The file says which topic a directory belongs to, and the broker does not serve a partition
//! whose file does not match: one flipped bit may turn one topic's id into another's. The
//! coordination log knows the topic's id, but only a person can say whether the records are that
//! topic's, so the plan names both ids.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context;
use brooklet_broker::controller::{Identity, registered_topics, write_partition_id};
use brooklet_log::vfs::Vfs;
use brooklet_protocol::TopicPartition;

use crate::globals::Globals;

const METADATA_FILE: &str = "partition.metadata";

/// A file to write.
pub(super) struct IdentityPlan {
    /// The damage, and what will be done about it.
    pub(super) words: String,
    expected: Identity,
}

/// The plan for the file in `dir`: empty if it is right, or if the topic is unknown.
pub(super) fn plan(
    vfs: &dyn Vfs,
    data_dir: &Path,
    dir: &Path,
    partition: &TopicPartition,
) -> anyhow::Result<Option<IdentityPlan>> {
    let topics = registered_topics(vfs, data_dir)
        .with_context(|| format!("cannot read the topics of {}", data_dir.display()))?;
    let topic = &partition.topic;
    let Some(id) = topics.get(topic).copied() else {
        return Ok(None);
    };
    let found = match Identity::read(vfs, dir) {
        Ok(Identity::Topic(found)) if found == id => return Ok(None),
        Ok(found) => found.to_string(),
        Err(error) => format!("a file that cannot be decoded: {error}"),
    };
    let expected = Identity::Topic(id);
    let mut words = String::new();
    writeln!(
        words,
        "damage: {METADATA_FILE}: expected {expected}, found {found}"
    )?;
    writeln!(
        words,
        "write: {METADATA_FILE} with the id of topic '{topic}' in the coordination log; the old file \
         is kept as {METADATA_FILE}.old-N"
    )?;
    writeln!(
        words,
        "check first: `brooklet log dump {} --records` shows which topic's records they are",
        dir.display()
    )?;
    Ok(Some(IdentityPlan { words, expected }))
}

impl IdentityPlan {
    /// Writes the file, durably.
    pub(super) fn write(self, globals: &Globals, vfs: &dyn Vfs, dir: &Path) -> anyhow::Result<()> {
        let Identity::Topic(id) = self.expected else {
            unreachable!("a topic is expected");
        };
        let path = dir.join(METADATA_FILE);
        if vfs.exists(&path) {
            let name = |number: u32| dir.join(format!("{METADATA_FILE}.old-{number}"));
            let free = (1..u32::MAX).map(name).find(|name| !vfs.exists(name));
            let aside = free.expect("numbers do not end");
            vfs.rename(&path, &aside)?;
            globals.note(format_args!("kept {}", aside.display()));
        }
        write_partition_id(vfs, dir, id)?;
        globals.note(format_args!("rewrote {}", path.display()));
        Ok(())
    }
}
