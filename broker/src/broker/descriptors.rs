//! File descriptors: how many connections may be open, and what happens when there are none left.
//!
//! ```text
//!  the limit of open files (ulimit -n)
//!  ├── 20 of the process: its terminal, its timers, the lock, listeners, files that are written whole
//!  ├── 4 to 32 for HTTP, if it is on
//!  └── the rest: one half for the logs, the other for connections: max.connections is lowered to it
//! ```
//!
//! A log keeps its file open while it is written, and closes it after some seconds without appends.
//! If the logs still need more descriptors than there are, for example because a thousand
//! partitions are written at once, the files of all synced logs are closed (`ReliefVfs`), and
//! opened again with their next append. A log keeps its file until it is synced, and the sync of a
//! new segment needs one more, for the directory. So some descriptors are spare, and only
//! operations that close them at once may use them. Thus running out of descriptors costs time,
//! never a partition.
//!
//! The limit is that of the whole process, so the process has to pass it in (`serve` does); an
//! embedded broker that does not know the limit counts nothing.

use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock, Weak};

use brooklet_log::close_read_files;
use brooklet_log::vfs::{DirEntry, FileId, OpenMode, Vfs, VfsDir, VfsFile};
use brooklet_protocol::Timestamp;
use parking_lot::RwLock;
use socket2::{Domain, Socket, Type};

use super::config::BrokerConfig;
use super::environment::Environment;
use super::errors::StartError;
use crate::controller::Controller;
use crate::counters::{Counters, Limit};
use crate::server::is_out_of_files;

/// Descriptors that the process needs for itself.
const OWN: usize = 20;
/// A broker with fewer for logs, or for connections, would be useless.
const SHARE_MIN: usize = 8;
/// Descriptors for files that are closed again at once.
const SPARE: usize = 4;
/// How often an operation is retried after files were closed: another one may take them first.
const TRIES: usize = 3;

/// How many connections HTTP may have in a process that may have this many files open.
pub fn http_connections_max(open_files_max: usize) -> usize {
    (open_files_max / 16).clamp(4, 32)
}

/// Lowers `max.connections` to what the limit of open files allows.
///
/// # Errors
/// The limit is too low for a broker.
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
            "max.connections lowered from {asked_for} to {connections}: the limit of open files is \
             {limit}, and half is kept for the logs. For all {asked_for}, raise it: ulimit -n {enough}"
        );
        config.max_connections = connections;
    }
    Ok(())
}

/// A file system that closes the files of idle logs when no descriptors are left, and then retries.
#[derive(Debug)]
pub(super) struct ReliefVfs {
    vfs: Arc<dyn Vfs>,
    counters: Arc<Counters>,
    controller: OnceLock<Weak<Controller>>,
    /// Sockets that are not connected, as descriptors. An operation that opens a file for long
    /// holds the lock for reading, so that it cannot take those that are freed for a moment.
    spare: RwLock<Vec<Socket>>,
}

impl ReliefVfs {
    /// Wraps the file system of `environment`; returns it with the broker's counters, which it
    /// uses.
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

    /// Sets the controller whose logs may close their files.
    pub(super) fn relieved_by(&self, controller: &Arc<Controller>) {
        // A broker has one: a second call changes nothing.
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

    /// Runs an operation that needs descriptors only for a moment, if need be with the spare ones.
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

    /// Closes the files of sealed segments that were kept for readers, and those of synced logs
    /// that are not being written. False if there are none.
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
            // A file that is written as a whole and then replaces another.
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
            "the limit of open files is 39, expected at least 40. Raise it: ulimit -n 40"
        );
        let mut config = BrokerConfig::default();
        fit(&mut config).unwrap();
        assert_eq!(config.max_connections, 8192);
    }

    #[test]
    fn what_fails_for_another_reason_is_not_retried() {
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
