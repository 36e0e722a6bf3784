//! The data directory: whose it is, who works in it, and whether it was left in order.
//!
//! ```text
//!  DATA/.lock                              held while a broker runs
//!       meta.properties                    cluster.id, node.id, directory.id, brooklet.format
//!       .kafka_cleanshutdown               written last at shutdown, removed first at start
//!       recovery-point-offset-checkpoint   below these offsets everything is synced
//!       log-start-offset-checkpoint        below these, records were deleted
//!       cleaner-offset-checkpoint          below these, logs may have been compacted
//!       replication-offset-checkpoint      high watermarks, written and not read
//!       __coordination-0/                  the coordination log
//!       TOPIC-PARTITION/                   the others
//! ```
//!
//! Names and contents are Kafka's; `brooklet.format` is ours and keeps Kafka's own directories
//! from being taken for one of these. [`adoption`] makes one of them ours.
//!
//! Invariants: nothing is written before the lock is held; the clean-shutdown mark is durably gone
//! before the first log is opened, so that it can never vouch for a later crash; names are synced in
//! their directories before anything below them is acknowledged.
//!
//! An ephemeral broker has a directory of its own below the system's temporary one. Its lock is
//! how the next broker tells one that is in use from one that a `kill -9` has left.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, ErrorKind, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use brooklet_protocol::{BrokerId, TopicPartition};
use parking_lot::Mutex;
use uuid::Uuid;

use super::adoption;
use super::config::{BrokerConfig, StartError, Storage};
use crate::controller::{Adopted, kafka_uuid};
use crate::log::checkpoint::{Checkpoints, Positions};
use crate::vfs::{OpenMode, Vfs};

const LOCK_FILE: &str = ".lock";
const META_FILE: &str = "meta.properties";
const CLEAN_SHUTDOWN_FILE: &str = ".kafka_cleanshutdown";
/// What Kafka writes into the mark.
const CLEAN_SHUTDOWN_CONTENT: &[u8] = br#"{"version":0,"brokerEpoch":-1}"#;
/// The directory of the coordination log.
pub(super) const COORDINATION_DIR: &str = "__coordination-0";
const META_VERSION: &str = "1";
const FORMAT: &str = "1";
const EPHEMERAL_PREFIX: &str = "brooklet-";

/// A locked data directory.
#[derive(Debug)]
pub(super) struct DataDir {
    pub(super) vfs: Arc<dyn Vfs>,
    pub(super) path: PathBuf,
    pub(super) is_ephemeral: bool,
    pub(super) checkpoints: Arc<Checkpoints>,
    /// Directories that have got a new name on the way to this one, not synced yet.
    parents: Vec<PathBuf>,
    /// `None` once released.
    lock: Mutex<Option<Box<dyn Debug + Send + Sync>>>,
}

/// What a data directory says of itself at start.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) cluster_id: String,
    pub(super) broker_id: BrokerId,
    pub(super) clean_shutdown: bool,
    pub(super) positions: BTreeMap<TopicPartition, Positions>,
    /// What is to be taken over from Kafka; then [`DataDir::mark_adopted`] ends it.
    pub(super) adopting: Option<Adopting>,
}

/// A directory that Kafka has written, on its way to be ours.
#[derive(Clone, Debug)]
pub(super) struct Adopting {
    pub(super) adopted: Adopted,
    meta: String,
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
        let checkpoints = Arc::new(Checkpoints::new(&vfs, &path));
        Ok(Self {
            vfs,
            path,
            is_ephemeral,
            checkpoints,
            parents,
            lock: Mutex::new(Some(lock)),
        })
    }

    /// Another broker that clears away leftovers may be faster than our lock: then the lock is
    /// taken, or the directory is gone, and another name is tried.
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

    /// Reads what the last run has left, and removes its clean-shutdown mark; a directory of another
    /// broker than `node_id` stays as it is. Blocks.
    pub(super) fn read(
        &self,
        seed: u128,
        adopt: bool,
        node_id: Option<BrokerId>,
    ) -> Result<Found, StartError> {
        let meta = match self.vfs.read(&self.path.join(META_FILE)) {
            Ok(content) => self.parse_meta(&String::from_utf8_lossy(&content), adopt)?,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.create_meta(seed, node_id.unwrap_or(BrokerConfig::NODE_ID_DEFAULT))?
            }
            Err(error) => return Err(disk("read", &self.path.join(META_FILE), error)),
        };
        if let Some(expected) = node_id.filter(|id| *id != meta.node_id) {
            return Err(StartError::NodeId {
                path: self.path.join(META_FILE),
                found: meta.node_id,
                expected,
            });
        }
        let positions = self.checkpoints.read()?;
        let mark = self.path.join(CLEAN_SHUTDOWN_FILE);
        let clean_shutdown = self.vfs.exists(&mark);
        if clean_shutdown {
            let removed = self.vfs.remove_file(&mark);
            removed
                .and_then(|()| self.vfs.sync_dir(&self.path))
                .map_err(|source| disk("remove", &mark, source))?;
        }
        let adopting = if meta.is_kafkas {
            Some(self.adopting(&meta, &positions, seed)?)
        } else {
            None
        };
        Ok(Found {
            cluster_id: meta.cluster_id,
            broker_id: meta.node_id,
            clean_shutdown,
            positions,
            adopting,
        })
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
        let directory_id = kafka_uuid::to_text(Uuid::from_u128(!seed.rotate_left(64)));
        let directory_id = meta.directory_id.as_ref().unwrap_or(&directory_id);
        let (cluster_id, node_id) = (&meta.cluster_id, meta.node_id);
        Ok(Adopting {
            adopted,
            meta: meta_content(cluster_id, node_id, directory_id),
        })
    }

    /// From now on the directory is ours. Blocks.
    pub(super) fn mark_adopted(&self, adopting: &Adopting) -> Result<(), StartError> {
        let path = self.path.join(META_FILE);
        let written = self.vfs.replace(&path, adopting.meta.as_bytes());
        written.map_err(|source| disk("write", &path, source))
    }

    /// Leaves the mark that the next start need not scan anything. Blocks.
    pub(super) fn mark_clean(&self) -> io::Result<()> {
        let mark = self.path.join(CLEAN_SHUTDOWN_FILE);
        self.vfs.replace(&mark, CLEAN_SHUTDOWN_CONTENT)
    }

    /// Removes an ephemeral directory while it is still locked, then lets go of the lock. Blocks.
    pub(super) fn release(&self) {
        let mut lock = self.lock.lock();
        if self.is_ephemeral && lock.is_some() {
            remove_leftover(&*self.vfs, &self.path);
        }
        *lock = None;
    }

    fn parse_meta(&self, content: &str, adopt: bool) -> Result<Meta, StartError> {
        let path = self.path.join(META_FILE);
        let entries = properties(content);
        let is_kafkas =
            !entries.contains_key("brooklet.format") && entries.contains_key("cluster.id");
        if is_kafkas && !adopt {
            return Err(StartError::Kafkas { path });
        }
        if !is_kafkas {
            known_version(&path, &entries, "version", META_VERSION)?;
            known_version(&path, &entries, "brooklet.format", FORMAT)?;
        }
        let bad = |key, expected| StartError::BadMeta {
            path: path.clone(),
            key,
            found: entries.get(key).map(|&found| found.to_owned()),
            expected,
        };
        let value = |key| entries.get(key).copied().filter(|value| !value.is_empty());
        let cluster_id = value("cluster.id").ok_or_else(|| bad("cluster.id", "an id"))?;
        // With ZooKeeper, Kafka called it broker.id.
        let node_id = value("node.id").or_else(|| value("broker.id").filter(|_| is_kafkas));
        let node_id = node_id
            .and_then(|id| id.parse::<u16>().ok())
            .ok_or_else(|| bad("node.id", "a number from 0 to 65535"))?;
        let directory_id = value("directory.id").filter(|id| kafka_uuid::from_text(id).is_some());
        if directory_id.is_none() && !is_kafkas {
            return Err(bad("directory.id", "22 characters of base64"));
        }
        Ok(Meta {
            cluster_id: cluster_id.to_owned(),
            node_id: BrokerId(i32::from(node_id)),
            directory_id: directory_id.map(str::to_owned),
            is_kafkas,
        })
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
        // Two ids from one seed: the second is a mix of it that nobody would take for the first.
        let id = |bits| kafka_uuid::to_text(Uuid::from_u128(bits));
        let (cluster_id, directory_id) = (id(seed), id(!seed.rotate_left(64)));
        let content = meta_content(&cluster_id, node_id, &directory_id);
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
        Ok(Meta {
            cluster_id,
            node_id,
            directory_id: Some(directory_id),
            is_kafkas: false,
        })
    }
}

impl Drop for DataDir {
    fn drop(&mut self) {
        self.release();
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

/// What `meta.properties` says.
struct Meta {
    cluster_id: String,
    node_id: BrokerId,
    directory_id: Option<String>,
    /// Whether Kafka has written it.
    is_kafkas: bool,
}

fn meta_content(cluster_id: &str, node_id: BrokerId, directory_id: &str) -> String {
    format!(
        "version={META_VERSION}\ncluster.id={cluster_id}\nnode.id={node_id}\n\
         directory.id={directory_id}\nbrooklet.format={FORMAT}\n"
    )
}

/// The `key=value` lines of a Java properties file; comments and empty lines are skipped.
fn properties(content: &str) -> BTreeMap<&str, &str> {
    let lines = content.lines().map(str::trim);
    lines
        .filter(|line| !line.starts_with(['#', '!']))
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (key.trim(), value.trim()))
        .collect()
}

fn known_version(
    path: &Path,
    entries: &BTreeMap<&str, &str>,
    key: &'static str,
    expected: &'static str,
) -> Result<(), StartError> {
    match entries.get(key) {
        Some(found) if *found == expected => Ok(()),
        found => Err(StartError::FormatVersion {
            path: path.to_owned(),
            key,
            found: found.map_or("missing", |found| found).to_owned(),
            expected,
        }),
    }
}

/// Removes the ephemeral directories that no broker holds any more. Blocks.
pub(super) fn remove_leftovers(vfs: &dyn Vfs) {
    let parent = std::env::temp_dir();
    let Ok(entries) = vfs.read_dir(&parent) else {
        return;
    };
    for entry in entries {
        let path = parent.join(&entry.name);
        let lock_path = path.join(LOCK_FILE);
        let is_ours = entry.is_dir && entry.name.starts_with(EPHEMERAL_PREFIX);
        // Whoever has a directory without a lock in it has not got that far yet.
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
    StartError::DataDir {
        action,
        path: path.to_owned(),
        source,
    }
}

/// 128 random bits, from the keys that the standard library draws for its hash maps.
pub(super) fn random_u128() -> u128 {
    let half = || u128::from(RandomState::new().hash_one(std::process::id()));
    half() << 64 | half()
}
