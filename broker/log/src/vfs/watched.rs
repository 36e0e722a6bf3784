//! A file system that stops writing when the directory it works in is gone.
//!
//! On Unix an open file outlives its name: a process whose directory was removed, or hidden by a
//! mount, writes and syncs on without an error, and what it confirms is lost. So the directory is
//! known by a file in it, the *anchor*, which is looked at
//!
//! - after each sync, before it is reported as a success;
//! - before a name is made or changed;
//! - at each call of [`WatchedVfs::check`].
//!
//! Once the anchor is missing, is another file, or lies on a file system that takes no writes,
//! every write fails. Reads go on. If the directory comes back, writes do, too; a sync that has
//! failed meanwhile stays a failed sync.

use std::fmt::Debug;
use std::io::{self, ErrorKind, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use brooklet_protocol::Timestamp;
use parking_lot::Mutex;

use super::{DirEntry, FileId, OpenMode, Vfs, VfsDir, VfsFile};

/// A file system whose user works in one directory.
#[derive(Debug)]
pub struct WatchedVfs {
    watched: Arc<WatchedDir>,
}

#[derive(Debug)]
struct WatchedDir {
    vfs: Arc<dyn Vfs>,
    dir: PathBuf,
    anchor: PathBuf,
    /// `None` if it was gone before anybody looked.
    id: Option<FileId>,
    is_gone: AtomicBool,
    /// What is wrong, while something is.
    trouble: Mutex<Option<String>>,
}

impl WatchedVfs {
    /// Works in `dir` as long as `anchor`, a file in it, is the one that is there now. Blocks.
    pub fn new(vfs: Arc<dyn Vfs>, dir: PathBuf, anchor: PathBuf) -> Self {
        let id = vfs.identity(&anchor).ok();
        Self {
            watched: Arc::new(WatchedDir {
                vfs,
                dir,
                anchor,
                id,
                is_gone: AtomicBool::new(false),
                trouble: Mutex::new(None),
            }),
        }
    }

    /// Looks whether the directory is still there. Blocks.
    ///
    /// # Errors
    /// What is wrong; it is logged when it begins and when it ends.
    pub fn check(&self) -> io::Result<()> {
        self.watched.check()
    }

    /// What was wrong at the last look.
    pub fn trouble(&self) -> Option<String> {
        self.watched.trouble.lock().clone()
    }
}

impl WatchedDir {
    fn look(&self) -> Option<String> {
        let (dir, anchor) = (self.dir.display(), self.anchor.display());
        match self.vfs.identity(&self.anchor) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Some(format!(
                    "the data directory {dir} is gone: there is no {anchor}"
                ));
            }
            Err(error) => return Some(format!("{anchor}: cannot be checked: {error}")),
            Ok(id) if Some(id) != self.id => {
                return Some(format!("{dir} is another directory than at the start"));
            }
            Ok(_) => {}
        }
        match self.vfs.is_read_only(&self.dir) {
            Ok(false) => None,
            Ok(true) => Some(format!("the file system of {dir} is mounted read-only")),
            Err(error) => Some(format!("{dir}: cannot be checked: {error}")),
        }
    }

    fn check(&self) -> io::Result<()> {
        let found = self.look();
        let mut trouble = self.trouble.lock();
        if *trouble != found {
            if let Some(words) = &found {
                tracing::error!(
                    "{words}. Writes are refused from now on. Stop the broker, bring the directory back, \
                     and start it again"
                );
            } else {
                tracing::warn!("the data directory {} is back", self.dir.display());
            }
        }
        self.is_gone.store(found.is_some(), Ordering::Release);
        trouble.clone_from(&found);
        drop(trouble);
        found.map_or(Ok(()), |words| Err(io::Error::other(words)))
    }

    /// As [`WatchedDir::check`], without looking.
    fn check_known(&self) -> io::Result<()> {
        if !self.is_gone.load(Ordering::Acquire) {
            return Ok(());
        }
        let words = self.trouble.lock().clone();
        words.map_or(Ok(()), |words| Err(io::Error::other(words)))
    }
}

impl Vfs for WatchedVfs {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn VfsFile>> {
        match mode {
            OpenMode::Read => return self.watched.vfs.open(path, mode),
            OpenMode::Write => self.watched.check_known()?,
            OpenMode::Create | OpenMode::CreateNew | OpenMode::Truncate => self.watched.check()?,
        }
        Ok(Arc::new(WatchedFile {
            file: self.watched.vfs.open(path, mode)?,
            watched: Arc::clone(&self.watched),
        }))
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        self.watched.vfs.read_dir(path)
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.watched.check()?;
        self.watched.vfs.create_dir_all(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.watched.check()?;
        self.watched.vfs.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.watched.vfs.remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.watched.vfs.remove_dir_all(path)
    }

    fn exists(&self, path: &Path) -> bool {
        self.watched.vfs.exists(path)
    }

    fn identity(&self, path: &Path) -> io::Result<FileId> {
        self.watched.vfs.identity(path)
    }

    fn is_read_only(&self, path: &Path) -> io::Result<bool> {
        self.watched.vfs.is_read_only(path)
    }

    fn modified(&self, path: &Path) -> io::Result<Timestamp> {
        self.watched.vfs.modified(path)
    }

    fn open_dir(&self, path: &Path) -> io::Result<Box<dyn VfsDir>> {
        self.watched.vfs.open_dir(path)
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        self.watched.vfs.free_bytes(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Debug + Send + Sync>> {
        self.watched.vfs.lock(path)
    }
}

/// A file that may be written.
#[derive(Debug)]
struct WatchedFile {
    file: Arc<dyn VfsFile>,
    watched: Arc<WatchedDir>,
}

impl VfsFile for WatchedFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn append(&self, slices: &[IoSlice<'_>]) -> io::Result<u64> {
        self.watched.check_known()?;
        self.file.append(slices)
    }

    fn read_exact_at(&self, buffer: &mut [u8], position: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, position)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.file.set_len(length)
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        self.file.allocate(length)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()?;
        self.watched.check()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vfs::sim::SimVfs;

    fn watched() -> (SimVfs, WatchedVfs) {
        let sim = SimVfs::new(0);
        sim.create_dir_all(Path::new("/data")).unwrap();
        drop(
            sim.open(Path::new("/data/.lock"), OpenMode::Create)
                .unwrap(),
        );
        let vfs = WatchedVfs::new(Arc::new(sim.clone()), "/data".into(), "/data/.lock".into());
        (sim, vfs)
    }

    #[test]
    fn behaves_as_a_vfs_has_to() {
        let (_, vfs) = watched();
        vfs.create_dir_all(Path::new("/data/check")).unwrap();
        crate::vfs::conformance::check(&vfs, Path::new("/data/check"));
    }

    #[test]
    fn nothing_is_written_where_the_directory_is_gone() {
        let (sim, vfs) = watched();
        let path = Path::new("/data/f");
        let file = vfs.open(path, OpenMode::Create).unwrap();
        file.append(&[IoSlice::new(b"a")]).unwrap();
        file.sync_data().unwrap();
        sim.remove_dir_all(Path::new("/data")).unwrap();
        file.append(&[IoSlice::new(b"nobody has looked yet")])
            .unwrap();
        let error = file.sync_data().unwrap_err().to_string();
        assert_eq!(
            error,
            "the data directory /data is gone: there is no /data/.lock"
        );
        assert!(file.append(&[IoSlice::new(b"b")]).is_err());
        // Another broker may have begun there.
        sim.create_dir_all(Path::new("/data")).unwrap();
        drop(
            sim.open(Path::new("/data/.lock"), OpenMode::Create)
                .unwrap(),
        );
        assert!(vfs.open(path, OpenMode::Create).is_err());
        let words = "/data is another directory than at the start";
        assert_eq!(vfs.trouble().as_deref(), Some(words));
        assert!(!sim.exists(path));
    }

    #[test]
    fn a_directory_that_comes_back_is_written_to_again() {
        let (sim, vfs) = watched();
        let (dir, aside) = (Path::new("/data"), Path::new("/aside"));
        let file = vfs.open(Path::new("/data/f"), OpenMode::Create).unwrap();
        sim.rename(dir, aside).unwrap();
        assert!(vfs.check().is_err() && file.append(&[IoSlice::new(b"a")]).is_err());
        sim.rename(aside, dir).unwrap();
        vfs.check().unwrap();
        assert_eq!(vfs.trouble(), None);
        file.append(&[IoSlice::new(b"b")]).unwrap();
        file.sync_data().unwrap();
    }

    #[test]
    fn a_file_system_that_takes_no_writes_is_noticed_before_one_fails() {
        let (sim, vfs) = watched();
        sim.set_read_only(true);
        let error = vfs.check().unwrap_err().to_string();
        assert_eq!(error, "the file system of /data is mounted read-only");
        sim.set_read_only(false);
        vfs.check().unwrap();
    }
}
