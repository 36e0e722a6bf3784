//! The data directory: whose it is, who works in it, and whether it was left in order.
//!
//! ```text
//!  DATA/.lock                              held while a broker runs
//!       meta.properties                    whose it is, see `meta`
//!       .kafka_cleanshutdown               written last at shutdown, removed first at start
//!       recovery-point-offset-checkpoint   below these offsets everything is synced
//!       log-start-offset-checkpoint        below these, records were deleted
//!       cleaner-offset-checkpoint          below these, logs may have been compacted
//!       replication-offset-checkpoint      high watermarks, written and not read
//!       unchecked-offset-checkpoint        below these, batches may not have been checked
//!       __coordination-0/                  the coordination log
//!       TOPIC-PARTITION/                   the others
//! ```
//!
//! Names and contents are Kafka's. [`adoption`] makes one of Kafka's own directories ours. What is
//! done about a file that is damaged stands with its owner: `meta`,
//! [`checkpoint`](brooklet_log::checkpoint), the controller's `identity` for `partition.metadata`,
//! and [`log`](brooklet_log) for what is in a partition's directory. Of the lock and of the mark
//! only the names count, not what is in them.
//!
//! Invariants: nothing is written before the lock is held; the clean-shutdown mark is durably gone
//! before the first log is opened, so that it can never vouch for a later crash; names are synced
//! in their directories before anything below them is acknowledged.
//!
//! A directory can go while its broker runs: somebody removes it, mounts something over it, or puts
//! another in its place. [`WatchedVfs`] then refuses to write, and says so until it is back.
//!
//! An ephemeral broker has a directory of its own below the system's temporary one. Its lock is
//! how the next broker tells one that is in use from one that a `kill -9` has left.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io::{self, ErrorKind, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use brooklet_log::checkpoint::{CheckpointFile, Checkpoints, Made, Positions};
use brooklet_log::inspect::SegmentFiles;
use brooklet_log::vfs::watched::WatchedVfs;
use brooklet_log::vfs::{OpenMode, Vfs};
use brooklet_protocol::{BrokerId, TopicPartition};
use parking_lot::Mutex;
use uuid::Uuid;

use super::adoption;
use super::config::{BrokerConfig, Storage};
use super::errors::{StartError, or_missing};
use super::meta::{Meta, MetaFile};
use crate::controller::{Adopted, kafka_uuid};

const LOCK_FILE: &str = ".lock";
const META_FILE: &str = "meta.properties";
const CLEAN_SHUTDOWN_FILE: &str = ".kafka_cleanshutdown";
/// What Kafka writes into the mark.
const CLEAN_SHUTDOWN_CONTENT: &[u8] = br#"{"version":0,"brokerEpoch":-1}"#;
/// The directory of the coordination log.
pub(super) const COORDINATION_DIR: &str = "__coordination-0";
const EPHEMERAL_PREFIX: &str = "brooklet-";

/// A locked data directory.
#[derive(Debug)]
pub(super) struct DataDir {
    pub(super) vfs: Arc<dyn Vfs>,
    /// The same, to ask whether the directory is still there.
    pub(super) watched: Arc<WatchedVfs>,
    pub(super) path: PathBuf,
    pub(super) is_ephemeral: bool,
    pub(super) checkpoints: Arc<Checkpoints>,
    /// Directories with a new entry on the path to this one, not synced yet.
    parents: Vec<PathBuf>,
    /// `None` once released.
    lock: Mutex<Option<Box<dyn Debug + Send + Sync>>>,
}

/// What was found in a data directory at start.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) meta: FoundMeta,
    pub(super) clean_shutdown: bool,
    pub(super) positions: BTreeMap<TopicPartition, Positions>,
    /// What to adopt from Kafka; [`DataDir::mark_adopted`] completes it.
    pub(super) adopting: Option<Adopting>,
}

/// What became of `meta.properties`.
#[derive(Debug)]
pub(super) enum FoundMeta {
    /// It is whole.
    Whole(Meta),
    /// Its values are right, but it has to be rewritten.
    Stale(Meta),
    /// It has to be rebuilt: the reason, and the error if that is not possible.
    Lost(String, StartError),
}

/// A directory written by Kafka that is being adopted.
#[derive(Clone, Debug)]
pub(super) struct Adopting {
    pub(super) adopted: Adopted,
    meta: Meta,
}

impl DataDir {
    /// Creates the directory if needed, and locks it. Blocks.
    pub(super) fn lock(
        vfs: Arc<dyn Vfs>,
        storage: Storage,
        seed: u128,
    ) -> Result<Self, StartError> {
        match storage {
            Storage::Directory(path) => Self::lock_at(vfs, path, false),
            Storage::Ephemeral => Self::lock_ephemeral(vfs, seed),
        }
    }

    fn lock_at(vfs: Arc<dyn Vfs>, path: PathBuf, is_ephemeral: bool) -> Result<Self, StartError> {
        let parents = parents_of_missing(&*vfs, &path);
        vfs.create_dir_all(&path)
            .map_err(|source| disk("create the data directory", &path, source))?;
        let lock_path = path.join(LOCK_FILE);
        let lock = vfs.lock(&lock_path).map_err(|source| match source.kind() {
            ErrorKind::WouldBlock => StartError::Locked {
                path: lock_path.clone(),
            },
            _ => disk("write", &lock_path, source),
        })?;
        let watched = Arc::new(WatchedVfs::new(vfs, path.clone(), lock_path));
        let vfs: Arc<dyn Vfs> = Arc::<WatchedVfs>::clone(&watched);
        let checkpoints = Arc::new(Checkpoints::new(&vfs, &path));
        Ok(Self {
            vfs,
            watched,
            path,
            is_ephemeral,
            checkpoints,
            parents,
            lock: Mutex::new(Some(lock)),
        })
    }

    /// Another broker that removes leftovers may be faster than our lock: then the directory is
    /// locked or gone, and another name is tried.
    fn lock_ephemeral(vfs: Arc<dyn Vfs>, seed: u128) -> Result<Self, StartError> {
        let process = std::process::id();
        let mut attempt = seed as u64;
        loop {
            let name = format!("{EPHEMERAL_PREFIX}{process}-{attempt:016x}");
            let path = std::env::temp_dir().join(name);
            match Self::lock_at(Arc::clone(&vfs), path, true) {
                Ok(dir) if vfs.exists(&dir.path.join(LOCK_FILE)) => return Ok(dir),
                Ok(_) | Err(StartError::Locked { .. }) => attempt = attempt.wrapping_add(1),
                Err(error) => return Err(error),
            }
        }
    }

    /// Makes the directory itself outlast a crash, if it is new. Blocks.
    pub(super) fn sync_name(&self) -> Result<(), StartError> {
        if self.is_ephemeral {
            return Ok(());
        }
        self.parents.iter().try_for_each(|parent| {
            let synced = self.vfs.sync_dir(parent);
            synced.map_err(|source| disk("sync", parent, source))
        })
    }

    /// Reads what the last run has left, and removes its clean-shutdown mark; a directory of
    /// another broker than `node_id` stays as it is. Blocks.
    pub(super) fn read(
        &self,
        seed: u128,
        adopt: bool,
        node_id: Option<BrokerId>,
    ) -> Result<Found, StartError> {
        let (meta, is_kafkas) = self.read_meta(seed, adopt, node_id)?;
        if let FoundMeta::Whole(meta) | FoundMeta::Stale(meta) = &meta {
            self.check_node_id(meta.node_id, node_id)?;
        }
        let mark = self.path.join(CLEAN_SHUTDOWN_FILE);
        let clean_shutdown = self.vfs.exists(&mark);
        let partitions = self.partitions()?;
        // Older versions did not make all of the files, and Kafka makes them empty.
        let is_complete = matches!(meta, FoundMeta::Whole(_)) && !is_kafkas;
        if !is_complete {
            for file in self.checkpoints.all() {
                CheckpointFile::fill_if_empty(file)?;
            }
        }
        let made = match (is_complete, clean_shutdown) {
            (false, _) => Made::Unknown,
            (true, false) => Made::InOrder,
            (true, true) => Made::All,
        };
        let positions = self.checkpoints.read_at_start(&partitions, made)?;
        if clean_shutdown {
            let removed = self.vfs.remove_file(&mark);
            removed
                .and_then(|()| self.vfs.sync_dir(&self.path))
                .map_err(|source| disk("remove", &mark, source))?;
        }
        let adopting = match &meta {
            FoundMeta::Whole(meta) if is_kafkas => Some(self.adopting(meta, &positions, seed)?),
            _ => None,
        };
        Ok(Found {
            meta,
            clean_shutdown,
            positions,
            adopting,
        })
    }

    /// What `meta.properties` says, by the table in [`meta`](super::meta), and whether it is
    /// Kafka's.
    fn read_meta(
        &self,
        seed: u128,
        adopt: bool,
        node_id: Option<BrokerId>,
    ) -> Result<(FoundMeta, bool), StartError> {
        let path = self.meta_path();
        let has_tree = self.has_tree()?;
        let found = match self.vfs.read(&path) {
            Ok(content) => match MetaFile::parse(&content) {
                MetaFile::Kafkas(meta) if adopt => return Ok((FoundMeta::Whole(meta), true)),
                parsed => found_meta(parsed, path, has_tree)?,
            },
            Err(error) if error.kind() == ErrorKind::NotFound && !has_tree => {
                let node_id = node_id.unwrap_or(BrokerConfig::NODE_ID_DEFAULT);
                FoundMeta::Whole(self.create_meta(seed, node_id)?)
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                FoundMeta::Lost("it is missing".to_owned(), StartError::MetaLost { path })
            }
            Err(error) => {
                let why = format!("cannot read it: {error}");
                FoundMeta::Lost(why, disk("read", &path, error))
            }
        };
        match found {
            // Without a tree nothing else knows the ids.
            FoundMeta::Lost(_, error) if !has_tree => Err(error),
            found => Ok((found, false)),
        }
    }

    /// Whether there is a coordination log with something in it.
    fn has_tree(&self) -> Result<bool, StartError> {
        let dir = self.path.join(COORDINATION_DIR);
        let segments = match SegmentFiles::in_dir(&*self.vfs, &dir) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            segments => segments.map_err(|source| disk("list", &dir, source))?,
        };
        let has_bytes = |segment: &SegmentFiles| {
            let file = self.vfs.open(&segment.log, OpenMode::Read);
            // A file that cannot be read exists all the same.
            !file
                .and_then(|file| file.is_empty())
                .is_ok_and(|is_empty| is_empty)
        };
        Ok(segments.iter().any(has_bytes))
    }

    /// Every directory that has the name of a partition.
    fn partitions(&self) -> Result<Vec<TopicPartition>, StartError> {
        let entries = self.vfs.read_dir(&self.path);
        let entries = entries.map_err(|source| disk("list", &self.path, source))?;
        let dirs = entries.iter().filter(|entry| entry.is_dir);
        Ok(dirs
            .filter_map(|dir| TopicPartition::from_dir_name(&dir.name))
            .collect())
    }

    /// Refuses a directory that belongs to another broker.
    pub(super) fn check_node_id(
        &self,
        found: BrokerId,
        expected: Option<BrokerId>,
    ) -> Result<(), StartError> {
        match expected {
            Some(expected) if expected != found => Err(StartError::NodeId {
                path: self.path.join(META_FILE),
                found,
                expected,
            }),
            Some(_) | None => Ok(()),
        }
    }

    pub(super) fn meta_path(&self) -> PathBuf {
        self.path.join(META_FILE)
    }

    /// The content of `meta.properties`, rebuilt from what the tree knows.
    pub(super) fn remade_meta(cluster_id: String, node_id: BrokerId, seed: u128) -> Meta {
        Meta {
            cluster_id,
            node_id,
            directory_id: Some(directory_id(seed)),
        }
    }

    /// Rewrites `meta.properties`, durably. Blocks.
    pub(super) fn write_meta(&self, meta: &Meta) -> Result<(), StartError> {
        let path = self.path.join(META_FILE);
        let written = self.vfs.replace(&path, meta.to_text().as_bytes());
        written.map_err(|source| disk("write", &path, source))
    }

    fn adopting(
        &self,
        meta: &Meta,
        positions: &BTreeMap<TopicPartition, Positions>,
        seed: u128,
    ) -> Result<Adopting, StartError> {
        // Any ids that differ; those of topics that have one stay.
        let mut ids = seed;
        let new_id = || {
            ids = ids.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(1);
            Uuid::from_u128(ids)
        };
        let adopted = adoption::adopt(&*self.vfs, &self.path, positions, new_id);
        let adopted = adopted.map_err(|source| disk("adopt", &self.path, source))?;
        let coordination = self.path.join(COORDINATION_DIR);
        (self.vfs.create_dir_all(&coordination))
            .and_then(|()| self.vfs.sync_dir(&self.path))
            .map_err(|source| disk("create", &coordination, source))?;
        let mut meta = meta.clone();
        meta.directory_id.get_or_insert_with(|| directory_id(seed));
        Ok(Adopting { adopted, meta })
    }

    /// Completes an adoption: from now on the directory is ours. Blocks.
    pub(super) fn mark_adopted(&self, adopting: &Adopting) -> Result<(), StartError> {
        self.write_meta(&adopting.meta)
    }

    /// Leaves the mark that spares the next start any scan. Blocks.
    pub(super) fn mark_clean(&self) -> io::Result<()> {
        let mark = self.path.join(CLEAN_SHUTDOWN_FILE);
        self.vfs.replace(&mark, CLEAN_SHUTDOWN_CONTENT)
    }

    /// Removes an ephemeral directory while it is still locked, then unlocks. Blocks.
    pub(super) fn release(&self) {
        let mut lock = self.lock.lock();
        if self.is_ephemeral && lock.is_some() {
            remove_leftover(&*self.vfs, &self.path);
        }
        *lock = None;
    }

    /// Makes an empty directory ours.
    fn create_meta(&self, seed: u128, node_id: BrokerId) -> Result<Meta, StartError> {
        let entries = self.vfs.read_dir(&self.path);
        let entries = entries.map_err(|source| disk("list", &self.path, source))?;
        // An interrupted first start may have left the last two.
        let known = ["lost+found", "meta.properties.tmp", COORDINATION_DIR];
        let harmless = |name: &str| name.starts_with('.') || known.contains(&name);
        if let Some(foreign) = entries.into_iter().find(|entry| !harmless(&entry.name)) {
            return Err(StartError::NotADataDir {
                path: self.path.clone(),
                found: foreign.name,
            });
        }
        let meta = Meta {
            cluster_id: kafka_uuid::to_text(Uuid::from_u128(seed)),
            node_id,
            directory_id: Some(directory_id(seed)),
        };
        let content = meta.to_text();
        // Before the file, whose writing syncs the directory and thereby both names.
        let coordination = self.path.join(COORDINATION_DIR);
        self.vfs
            .create_dir_all(&coordination)
            .map_err(|source| disk("create", &coordination, source))?;
        let path = self.path.join(META_FILE);
        let written = if self.is_ephemeral {
            self.vfs
                .open(&path, OpenMode::CreateNew)
                .and_then(|file| file.append(&[IoSlice::new(content.as_bytes())]).map(drop))
        } else {
            self.vfs.replace(&path, content.as_bytes())
        };
        written.map_err(|source| disk("write", &path, source))?;
        Ok(meta)
    }
}

impl Drop for DataDir {
    fn drop(&mut self) {
        self.release();
    }
}

/// What became of the file at `path`, by what is in it. One of Kafka's is not to be adopted.
fn found_meta(parsed: MetaFile, path: PathBuf, has_tree: bool) -> Result<FoundMeta, StartError> {
    match parsed {
        MetaFile::Ours(meta, true) => Ok(FoundMeta::Whole(meta)),
        MetaFile::Ours(meta, false) => Ok(FoundMeta::Stale(meta)),
        MetaFile::Kafkas(_) if has_tree => Err(StartError::HalfKafkas { path }),
        MetaFile::Kafkas(_) => Err(StartError::Kafkas { path }),
        MetaFile::OtherVersion {
            key,
            found,
            expected,
        } => Err(StartError::FormatVersion {
            path,
            key,
            found,
            expected,
        }),
        MetaFile::Damaged {
            key,
            found,
            expected,
        } => {
            let value = or_missing(found.as_deref());
            let why = format!("{key} is {value}, expected {expected}");
            let error = StartError::BadMeta {
                path,
                key,
                found,
                expected,
            };
            Ok(FoundMeta::Lost(why, error))
        }
    }
}

/// The directories that get a new name when `path` is created.
fn parents_of_missing(vfs: &dyn Vfs, path: &Path) -> Vec<PathBuf> {
    let missing = path.ancestors().take_while(|dir| !vfs.exists(dir));
    let parents = missing.filter_map(Path::parent);
    // The parent of a relative path's first part is here.
    let here = |dir: &Path| dir.as_os_str().is_empty();
    parents
        .map(|dir| {
            if here(dir) {
                PathBuf::from(".")
            } else {
                dir.to_owned()
            }
        })
        .collect()
}

/// Made from the same seed as the cluster's id, and clearly different from it.
fn directory_id(seed: u128) -> String {
    kafka_uuid::to_text(Uuid::from_u128(!seed.rotate_left(64)))
}

/// Removes the ephemeral directories that no broker holds. Blocks.
pub(super) fn remove_leftovers(vfs: &dyn Vfs) {
    let parent = std::env::temp_dir();
    let Ok(entries) = vfs.read_dir(&parent) else {
        return;
    };
    for entry in entries {
        let path = parent.join(&entry.name);
        let lock_path = path.join(LOCK_FILE);
        let is_ours = entry.is_dir && entry.name.starts_with(EPHEMERAL_PREFIX);
        // Without a lock file, the broker that created the directory is still starting.
        if !is_ours || !vfs.exists(&lock_path) {
            continue;
        }
        if let Ok(_lock) = vfs.lock(&lock_path) {
            remove_leftover(vfs, &path);
        }
    }
}

fn remove_leftover(vfs: &dyn Vfs, path: &Path) {
    if let Err(error) = vfs.remove_dir_all(path) {
        tracing::warn!("{}: cannot remove: {error}", path.display());
    }
}

fn disk(action: &'static str, path: &Path, source: io::Error) -> StartError {
    if source.kind() == ErrorKind::IsADirectory {
        return StartError::InTheWay {
            path: path.to_owned(),
        };
    }
    StartError::DataDir {
        action,
        path: path.to_owned(),
        source,
    }
}
