//! The part of `log repair` that is about `partition.metadata`.
//!
//! The file says whose partition a directory holds, and the broker does not serve one where it does not
//! fit: one flipped bit makes one topic's id into another. The coordination log knows the topic's id. Whether
//! the records are the topic's, only a person can say; so the plan names both ids.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context;
use brooklet_broker::controller::{Identity, registered_topics, write_partition_id};
use brooklet_log::vfs::Vfs;
use brooklet_protocol::TopicPartition;

use crate::globals::Globals;

const METADATA_FILE: &str = "partition.metadata";

/// A file to be written.
pub(super) struct IdentityPlan {
    /// What is wrong, and what will be done about it.
    pub(super) words: String,
    expected: Identity,
}

/// What is to be done about the file in `dir`; nothing if it is right, or if nobody knows the topic.
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
        Err(error) => format!("a file that cannot be read: {error}"),
    };
    let expected = Identity::Topic(id);
    let mut words = String::new();
    writeln!(
        words,
        "damage: {METADATA_FILE}: expected {expected}, found {found}"
    )?;
    writeln!(
        words,
        "write: {METADATA_FILE} with the id that topic '{topic}' has in the coordination log; the old file \
         is kept as {METADATA_FILE}.old-N"
    )?;
    writeln!(
        words,
        "check before: `brooklet log dump {} --records` shows whose records they are",
        dir.display()
    )?;
    Ok(Some(IdentityPlan { words, expected }))
}

impl IdentityPlan {
    /// Does it, durably.
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
        globals.note(format_args!("{} is rewritten", path.display()));
        Ok(())
    }
}
