//! File descriptors: how many connections may be open, and what happens when there are none left.
//!
//! ```text
//!  the limit of open files (ulimit -n)
//!  ├── 20 of the process: its terminal, its timers, the lock, listeners, files that are written whole
//!  ├── 4 to 32 for HTTP, if it is on
//!  └── the rest: one half for the logs, the other for connections: max.connections is lowered to it
//! ```
//!
//! A log that is written has its file open; one that nobody has written for some seconds has not. If the
//! logs need more than there are all the same, for example because a thousand partitions are written at
//! once, the files of all that are synced are closed (`ReliefVfs`), and opened again with their next
//! append. Until a log is synced it keeps its file, and the sync of a new segment needs one more, for the
//! directory. So some descriptors are spare: only what is closed again at once may use them. Thus running
//! out of descriptors costs time, never a partition.
//!
//! The limit is that of the whole process, so the process has to name it (`serve` does); a broker that
//! is embedded somewhere and was not told counts nothing.

use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock, Weak};

use brooklet_log::close_read_files;
use brooklet_log::vfs::{DirEntry, FileId, OpenMode, Vfs, VfsDir, VfsFile};
use brooklet_protocol::Timestamp;
use parking_lot::RwLock;
use socket2::{Domain, Socket, Type};

use super::config::{BrokerConfig, Environment, StartError};
use crate::controller::Controller;
use crate::counters::{Counters, Limit};
use crate::server::is_out_of_files;

/// What the process needs for itself.
const OWN: usize = 20;
/// With less for logs, or with fewer connections, a broker is of no use.
const SHARE_MIN: usize = 8;
/// Descriptors for what is closed again at once.
const SPARE: usize = 4;
/// How often an operation is tried again after files were closed: others may be faster.
const TRIES: usize = 3;

/// How many connections HTTP may have in a process that may have this many files open.
pub fn http_connections_max(open_files_max: usize) -> usize {
    (open_files_max / 16).clamp(4, 32)
}

/// Lowers `max.connections` to what the limit of open files allows.
///
/// # Errors
/// Too few for a broker.
pub(super) fn fit(config: &mut BrokerConfig) -> Result<(), StartError> {
    let Some(limit) = config.open_files_max else {
        return Ok(());
    };
    let http = config.http_address.map(|_| http_connections_max(limit));
    let others = OWN + http.unwrap_or(0);
    let needed = others + 2 * SHARE_MIN;
    if limit < needed {
        return Err(StartError::OpenFiles { limit, needed });
    }
    let connections = (limit - others) / 2;
    let asked_for = config.max_connections;
    if asked_for > connections {
        let enough = others + 2 * asked_for;
        tracing::warn!(
            "max.connections={asked_for} is lowered to {connections}: no more than {limit} files may be open, \
             connections among them, and half is kept for the logs. For all, raise the limit: ulimit -n \
             {enough}"
        );
        config.max_connections = connections;
    }
    Ok(())
}

/// A file system that lets go of the files of idle logs when there are no descriptors left, and then tries
/// again.
#[derive(Debug)]
pub(super) struct ReliefVfs {
    vfs: Arc<dyn Vfs>,
    counters: Arc<Counters>,
    controller: OnceLock<Weak<Controller>>,
    /// Sockets that are not connected: descriptors, and nothing else. Whoever opens a file that stays open
    /// holds the lock for reading, so that nobody takes those that are let go of for a moment.
    spare: RwLock<Vec<Socket>>,
}

impl ReliefVfs {
    /// Takes the place of the file system that is there; with the counters of the broker, in which it
    /// counts.
    pub(super) fn put_into(environment: &mut Environment) -> (Arc<Self>, Arc<Counters>) {
        let counters: Arc<Counters> = Arc::default();
        let vfs = Arc::new(Self {
            vfs: Arc::clone(&environment.vfs),
            counters: Arc::clone(&counters),
            controller: OnceLock::new(),
            spare: RwLock::default(),
        });
        top_up(&mut vfs.spare.write());
        environment.vfs = vfs.clone();
        (vfs, counters)
    }

    /// Whose logs may close their files.
    pub(super) fn relieved_by(&self, controller: &Arc<Controller>) {
        // A second one is of no use: a broker has one.
        self.controller.get_or_init(|| Arc::downgrade(controller));
    }

    fn with_relief<T>(&self, operation: impl Fn() -> io::Result<T>) -> io::Result<T> {
        let mut done = operation();
        for _ in 0..TRIES {
            match &done {
                Err(error) if is_out_of_files(error) && self.relieve() => done = operation(),
                _ => break,
            }
        }
        done
    }

    /// Does what needs descriptors for a moment only, if need be with the spare ones.
    fn with_spare<T>(&self, operation: impl Fn() -> io::Result<T>) -> io::Result<T> {
        match self.with_relief(&operation) {
            Err(error) if is_out_of_files(&error) => {
                let mut spare = self.spare.write();
                spare.clear();
                let done = operation();
                top_up(&mut spare);
                done
            }
            done => done,
        }
    }

    /// Closes the files of sealed segments that were kept for readers, and those of logs that are synced
    /// and that nobody writes right now. False if there are none.
    fn relieve(&self) -> bool {
        self.counters.rejected(Limit::LogFiles);
        let closed = close_read_files();
        let Some(controller) = self.controller.get().and_then(Weak::upgrade) else {
            return closed > 0;
        };
        controller.image().rest_logs() + closed > 0
    }
}

fn top_up(spare: &mut Vec<Socket>) {
    while spare.len() < SPARE
        && let Ok(socket) = Socket::new(Domain::IPV4, Type::STREAM, None)
    {
        spare.push(socket);
    }
}

impl Vfs for ReliefVfs {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn VfsFile>> {
        if mode == OpenMode::Truncate {
            // A file that is written whole, and then takes another's place.
            return self.with_spare(|| self.vfs.open(path, mode));
        }
        self.with_relief(|| {
            let _stays_open = self.spare.read();
            self.vfs.open(path, mode)
        })
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        self.with_spare(|| self.vfs.read_dir(path))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.vfs.create_dir_all(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.vfs.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.vfs.remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.with_spare(|| self.vfs.remove_dir_all(path))
    }

    fn exists(&self, path: &Path) -> bool {
        self.vfs.exists(path)
    }

    fn modified(&self, path: &Path) -> io::Result<Timestamp> {
        self.vfs.modified(path)
    }

    fn identity(&self, path: &Path) -> io::Result<FileId> {
        self.vfs.identity(path)
    }

    fn is_read_only(&self, path: &Path) -> io::Result<bool> {
        self.vfs.is_read_only(path)
    }

    fn open_dir(&self, path: &Path) -> io::Result<Box<dyn VfsDir>> {
        self.with_spare(|| self.vfs.open_dir(path))
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        self.vfs.free_bytes(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn std::fmt::Debug + Send + Sync>> {
        self.vfs.lock(path)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use brooklet_log::vfs::sim::SimVfs;

    use super::*;

    fn fitted(limit: usize, connections: usize) -> Result<usize, String> {
        let mut config = BrokerConfig {
            open_files_max: Some(limit),
            http_address: Some(([127, 0, 0, 1], 7092).into()),
            max_connections: connections,
            ..BrokerConfig::default()
        };
        fit(&mut config).map_err(|error| error.to_string())?;
        Ok(config.max_connections)
    }

    #[test]
    fn connections_follow_the_limit_of_open_files() {
        let rows = [
            (40, 8192, 8),
            (48, 8192, 12),
            (1024, 8192, 486),
            (1024, 100, 100),
            (20_000, 8192, 8192),
            (20_000, 10_000, 9974),
        ];
        for (limit, asked_for, expected) in rows {
            assert_eq!(fitted(limit, asked_for), Ok(expected), "{limit}");
        }
        let error = fitted(39, 8192).unwrap_err();
        assert_eq!(
            error,
            "39 files may be open, and a broker needs 40. Raise the limit: ulimit -n 40"
        );
        let mut config = BrokerConfig::default();
        fit(&mut config).unwrap();
        assert_eq!(config.max_connections, 8192);
    }

    #[test]
    fn what_fails_for_another_reason_is_not_tried_again() {
        let mut environment = Environment {
            vfs: Arc::new(SimVfs::new(1)),
            ..Environment::default()
        };
        let (vfs, counters) = ReliefVfs::put_into(&mut environment);
        for (code, expected) in [(2, 0), (24, 1), (23, 2)] {
            let tried = AtomicUsize::new(0);
            let done = vfs.with_relief(|| -> io::Result<()> {
                tried.fetch_add(1, Ordering::Relaxed);
                Err(io::Error::from_raw_os_error(code))
            });
            assert_eq!(done.unwrap_err().raw_os_error(), Some(code));
            // Without a controller there is nothing to close.
            assert_eq!(tried.into_inner(), 1);
            assert_eq!(counters.rejections(Limit::LogFiles), expected);
        }
    }

    #[test]
    fn what_needs_a_descriptor_for_a_moment_gets_a_spare_one() {
        let mut environment = Environment::default();
        let (vfs, _) = ReliefVfs::put_into(&mut environment);
        let done = vfs.with_spare(|| {
            // They are closed while the lock is held.
            let are_free = vfs.spare.is_locked_exclusive();
            are_free
                .then_some(7)
                .ok_or(io::Error::from_raw_os_error(24))
        });
        assert_eq!(done.unwrap(), 7);
        assert_eq!(vfs.spare.read().len(), SPARE);
    }
}
