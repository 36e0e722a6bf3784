//! Topics as directories: one per partition, named `TOPIC-PARTITION` as in Kafka.
//!
//! ```text
//!  DATA/clicks-0/            partition.metadata, see `identity`
//!                            00000000000000000000.log, .index, .timeindex
//!  DATA/clicks-0.<32 hex>-delete/   the topic was deleted; removed in the background
//!  DATA/clicks-0.<32 hex>-stray/    stood there before the topic was created; kept
//! ```
//!
//! A partition's directory goes through these steps, each of which a crash may interrupt:
//!
//! ```text
//!  clear_the_way   whatever has the name is renamed to -stray, before the tree knows the topic
//!  open            the directory and partition.metadata are created; the log is opened
//!  retire          the log is closed, its checkpoints go, the directory is renamed to -delete
//!  remove          the renamed directory is removed; `leftovers` finds it again after a crash
//! ```
//!
//! Invariants: a directory is opened only if it names its topic (the table is in [`identity`]); the
//! broker removes only directories that it has renamed itself, or created in the attempt that
//! failed; a partition that exists and cannot be opened is offline, and no other partition suffers
//! from it.
//!
//! Everything here blocks: the caller runs it on a thread for blocking work. Left out: more than
//! one data directory.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use brooklet_log::checkpoint::{Checkpoints, Positions};
use brooklet_log::clock::Clock;
use brooklet_log::epochs::{EPOCH_FILE, LeaderEpochs};
use brooklet_log::vfs::{OpenMode, Vfs};
use brooklet_log::{LogConfig, RecoveryStart};
use brooklet_protocol::{PartitionId, TopicPartition};
use uuid::Uuid;

use super::identity::{self, Identity, METADATA_FILE};
use super::znodes::TopicSpec;
use super::{ControllerError, topic_config};
use crate::partition::{DirtyBudget, OfflinePartition, Partition, PartitionSetup, PartitionState};

const DELETED: &str = "delete";
const STRAY: &str = "stray";
/// The longest file name that file systems allow.
const NAME_BYTES_MAX: usize = 255;

/// Opens and removes the directories of partitions.
#[derive(Debug)]
pub(super) struct Directories {
    pub(super) vfs: Arc<dyn Vfs>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) data_dir: PathBuf,
    pub(super) log: LogConfig,
    pub(super) sync: bool,
    pub(super) dirty: Arc<DirtyBudget>,
    pub(super) checkpoints: Arc<Checkpoints>,
}

/// What the checkpoints say of the logs before they are opened.
#[derive(Clone, Debug, Default)]
pub(super) struct Recovery {
    pub(super) clean_shutdown: bool,
    pub(super) points: BTreeMap<TopicPartition, Positions>,
    /// Whether the broker is starting: then a partition that cannot even be created is offline,
    /// too.
    pub(super) at_start: bool,
}

impl Recovery {
    /// A partition without a checkpoint is recovered from its start.
    fn start_of(&self, partition: &TopicPartition) -> RecoveryStart {
        let known = self.points.get(partition).copied().unwrap_or_default();
        RecoveryStart {
            clean_shutdown: self.clean_shutdown && known.recovery_point.is_some(),
            recovery_point: known.recovery_point.unwrap_or_default(),
            log_start_offset: known.log_start,
            cleaned_below: known.cleaned_below,
            unchecked_below: known.unchecked_below,
        }
    }
}

/// Where the directory of an open partition comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Prepared {
    /// It existed.
    Found,
    /// It was created.
    Created,
}

impl Directories {
    /// Opens the topic's partitions from `first` on. One that was there and cannot be opened is
    /// offline, and the others are served. If one that is new cannot be created, those before it
    /// are closed again, and new directories are gone.
    pub(super) fn open(
        &self,
        topic: &TopicSpec,
        first: usize,
        recovery: &Recovery,
    ) -> Result<Vec<PartitionState>, ControllerError> {
        let (mut opened, mut created) = (Vec::new(), Vec::new());
        let numbers = i32::try_from(first).unwrap_or(i32::MAX)..topic.partition_count;
        for number in numbers {
            let id = TopicPartition::new(topic.name.clone(), PartitionId(number));
            let dir = self.dir_of(&id);
            match self.open_one(topic, &id, recovery) {
                Ok((partition, prepared)) => {
                    created.extend((prepared != Prepared::Found).then_some(dir));
                    opened.push(PartitionState::Open(partition));
                }
                // A new directory would have been removed again: this one has data.
                Err(error) if recovery.at_start || self.vfs.exists(&dir) => {
                    opened.push(offline(id, &error));
                }
                Err(error) => {
                    close_all(&opened);
                    for dir in created {
                        self.remove(&dir);
                    }
                    return Err(error);
                }
            }
        }
        Ok(opened)
    }

    /// Opens a partition; leaves no new directory behind if that fails.
    fn open_one(
        &self,
        topic: &TopicSpec,
        id: &TopicPartition,
        recovery: &Recovery,
    ) -> Result<(Arc<Partition>, Prepared), ControllerError> {
        let dir = self.dir_of(id);
        let is_known = recovery
            .points
            .get(id)
            .is_some_and(|p| p.recovery_point.is_some());
        let prepared = self.prepare(&dir, topic.id, is_known)?;
        let start = recovery.start_of(id);
        let config = topic_config::log_config(&topic.configs, &self.log);
        let opened = Partition::open(PartitionSetup {
            vfs: Arc::clone(&self.vfs),
            clock: Arc::clone(&self.clock),
            id: id.clone(),
            dir: &dir,
            config,
            start,
            dirty: self.sync.then_some(&self.dirty),
        });
        if opened.is_err() && prepared != Prepared::Found {
            self.remove(&dir);
        }
        let (partition, report) = opened?;
        self.write_epochs(&dir);
        if let Some(side_file) = &report.side_file {
            let (bytes, side_file) = (report.bytes_cut, side_file.display());
            tracing::warn!("{id}: cut {bytes} bytes of a torn tail, saved in {side_file}");
        }
        Ok((partition, prepared))
    }

    /// Applies the topic's current settings to its open partitions.
    pub(super) fn configure(&self, topic: &TopicSpec, partitions: &[PartitionState]) {
        let config = topic_config::log_config(&topic.configs, &self.log);
        for partition in partitions.iter().filter_map(PartitionState::open) {
            if *partition.log().config() != config {
                partition.set_config(config.clone());
            }
        }
    }

    fn dir_of(&self, id: &TopicPartition) -> PathBuf {
        self.data_dir.join(id.to_string())
    }

    /// Makes sure that `dir` exists and belongs to the topic; the table is in [`identity`].
    fn prepare(
        &self,
        dir: &Path,
        id: Uuid,
        has_recovery_point: bool,
    ) -> Result<Prepared, ControllerError> {
        let found = Identity::read(&*self.vfs, dir).map_err(|error| {
            identity::refusal(dir, id, format_args!("a file that cannot be read: {error}"))
        })?;
        match found {
            Identity::Topic(found) if found == id => return Ok(Prepared::Found),
            Identity::NoDirectory | Identity::Unfinished if !has_recovery_point => {}
            Identity::NoDirectory => return Err(ControllerError::PartitionLost(dir.to_owned())),
            found => return Err(identity::refusal(dir, id, found)),
        }
        if let Err(error) = self.create(dir, id) {
            if self.vfs.exists(dir) {
                self.remove(dir);
            }
            return Err(failed("create", dir, error));
        }
        Ok(Prepared::Created)
    }

    /// Sets aside, durably, whatever has the name of one of these partitions, which the tree does
    /// not know yet: so that what is found under such a name later is the topic's. A directory that
    /// names the topic already is left from an attempt to create it.
    pub(super) fn clear_the_way(
        &self,
        topic: &TopicSpec,
        first: i32,
        unique: Uuid,
    ) -> Result<(), ControllerError> {
        // Fails if the data directory itself is gone.
        let there = self.vfs.create_dir_all(&self.data_dir);
        there.map_err(|e| failed("create a topic in", &self.data_dir, e))?;
        let mut is_changed = false;
        for number in first..topic.partition_count {
            let id = TopicPartition::new(topic.name.clone(), PartitionId(number));
            let dir = self.dir_of(&id);
            match Identity::read(&*self.vfs, &dir) {
                Ok(Identity::NoDirectory) => continue,
                Ok(Identity::Topic(id)) if id == topic.id => continue,
                // Whatever it is, and even if it cannot be read.
                Ok(_) | Err(_) => {}
            }
            let aside = self.rename(&dir, unique, STRAY)?;
            let (dir, aside) = (dir.display(), aside.display());
            tracing::warn!("{dir}: existed before its topic was created, renamed to {aside}");
            is_changed = true;
        }
        if is_changed && self.sync {
            let synced = self.vfs.sync_dir(&self.data_dir);
            synced.map_err(|e| failed("sync", &self.data_dir, e))?;
        }
        Ok(())
    }

    /// Leaves the file that says which leader epoch began where, for Kafka's tools: in a log that
    /// was begun here one epoch has it all. Without it only they miss something.
    fn write_epochs(&self, dir: &Path) {
        let path = dir.join(EPOCH_FILE);
        if self.vfs.exists(&path) {
            return;
        }
        let content = LeaderEpochs::default().to_text();
        let written = (self.vfs.open(&path, OpenMode::CreateNew))
            .and_then(|file| file.append(&[IoSlice::new(content.as_bytes())]));
        if let Err(error) = written {
            tracing::warn!("{}: cannot write: {error}", path.display());
        }
    }

    fn create(&self, dir: &Path, id: Uuid) -> io::Result<()> {
        self.vfs.create_dir_all(dir)?;
        if self.sync {
            identity::write_partition_id(&*self.vfs, dir, id)?;
            self.vfs.sync_dir(&self.data_dir)
        } else {
            let file = (self.vfs).open(&dir.join(METADATA_FILE), OpenMode::Truncate)?;
            let text = identity::to_text(id);
            file.append(&[IoSlice::new(text.as_bytes())]).map(drop)
        }
    }

    /// Closes the topic's partitions, forgets their recovery points and renames their directories;
    /// returns the directories to remove.
    pub(super) fn retire(
        &self,
        partitions: &[PartitionState],
        unique: Uuid,
    ) -> Result<Vec<PathBuf>, ControllerError> {
        close_all(partitions);
        self.forget(|id| partitions.iter().any(|partition| partition.id() == id))?;
        let dirs = partitions
            .iter()
            .map(|partition| self.dir_of(partition.id()));
        // The directory of a partition that could not be opened may be missing.
        let dirs = dirs.filter(|dir| self.vfs.exists(dir));
        let renamed = dirs.map(|dir| self.rename(&dir, unique, DELETED));
        let renamed = renamed.collect();
        if self.sync {
            let data_dir = &self.data_dir;
            let synced = self.vfs.sync_dir(data_dir);
            synced.map_err(|e| failed("sync", data_dir, e))?;
        }
        renamed
    }

    /// Removes lines from the checkpoint files.
    pub(super) fn forget(
        &self,
        gone: impl Fn(&TopicPartition) -> bool,
    ) -> Result<(), ControllerError> {
        if self.sync {
            self.checkpoints.retain(|id| !gone(id))?;
        }
        Ok(())
    }

    /// Removes a directory; a failure is logged, and the next start tries again. One that is gone
    /// is fine: an ephemeral broker removes the whole data directory at its end.
    pub(super) fn remove(&self, dir: &Path) {
        match self.vfs.remove_dir_all(dir) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                tracing::warn!("{}: cannot remove: {error}", dir.display());
            }
            _ => {}
        }
    }

    /// Directories of topics whose deletion was not finished.
    pub(super) fn leftovers(&self) -> Result<Vec<PathBuf>, ControllerError> {
        let is_leftover = |name: &str| name.ends_with(&format!("-{DELETED}"));
        self.names(is_leftover)
    }

    /// Logs the directories of partitions that belong to no topic; they are left alone.
    pub(super) fn report_strays(
        &self,
        is_known: impl Fn(&TopicPartition) -> bool,
    ) -> Result<(), ControllerError> {
        let is_stray =
            |name: &str| TopicPartition::from_dir_name(name).is_some_and(|id| !is_known(&id));
        for dir in self.names(is_stray)? {
            tracing::warn!("{}: belongs to no topic; left alone", dir.display());
        }
        Ok(())
    }

    fn names(&self, wanted: impl Fn(&str) -> bool) -> Result<Vec<PathBuf>, ControllerError> {
        let entries = self.vfs.read_dir(&self.data_dir);
        let entries = entries.map_err(|e| failed("list", &self.data_dir, e))?;
        let dirs = entries.into_iter().filter(|e| e.is_dir && wanted(&e.name));
        Ok(dirs.map(|e| self.data_dir.join(e.name)).collect())
    }

    fn rename(&self, dir: &Path, unique: Uuid, why: &str) -> Result<PathBuf, ControllerError> {
        let name = dir.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        let renamed = self.data_dir.join(renamed(name, unique, why));
        let done = self.vfs.rename(dir, &renamed);
        done.map_err(|e| failed("rename", dir, e))?;
        Ok(renamed)
    }
}

/// Logs why a partition is offline, and keeps the reason for requests that name the partition.
fn offline(id: TopicPartition, error: &ControllerError) -> PartitionState {
    let reason = error.to_string();
    tracing::error!("{id} is offline, its files are left untouched: {reason}");
    PartitionState::Offline(Arc::new(OfflinePartition { id, reason }))
}

/// Closes partitions that will be discarded: it does not matter whether they reach the disk.
fn close_all(partitions: &[PartitionState]) {
    for partition in partitions.iter().filter_map(PartitionState::open) {
        if let Err(error) = partition.close() {
            tracing::warn!("{}: {error}", partition.id());
        }
    }
}

/// `clicks-0` becomes `clicks-0.<32 hex>-delete`; a long topic name is cut so that it fits.
fn renamed(name: &str, unique: Uuid, why: &str) -> String {
    let (topic, partition) = name.rsplit_once('-').unwrap_or((name, "0"));
    let suffix = format!("-{partition}.{}-{why}", unique.simple());
    // Topic names are ASCII.
    let topic = topic.get(..NAME_BYTES_MAX - suffix.len()).unwrap_or(topic);
    format!("{topic}{suffix}")
}

fn failed(action: &'static str, path: &Path, source: io::Error) -> ControllerError {
    ControllerError::Io {
        action,
        path: path.into(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deleted_directory_is_named_as_in_kafka() {
        let unique = Uuid::from_u128(0xabc);
        let hex = "00000000000000000000000000000abc";
        assert_eq!(
            renamed("my-clicks-12", unique, DELETED),
            format!("my-clicks-12.{hex}-delete")
        );
        let long = renamed(&format!("{}-7", "x".repeat(249)), unique, DELETED);
        assert_eq!(long.len(), NAME_BYTES_MAX);
        assert!(long.ends_with(&format!("x-7.{hex}-delete")));
    }
}
