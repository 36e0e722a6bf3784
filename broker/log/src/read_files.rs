//! The files of sealed segments that are being read, open.
//!
//! A reader goes through a segment, and searches its indexes, in many steps. A file that stays open
//! between them costs no look-up of its name, and the kernel remembers for it how far it has read
//! ahead. But descriptors are few and segments are many, so the process keeps the [`OPEN_MAX`]
//! files that were read last. (The file of an active segment is its writer's, and is not counted
//! here.)
//!
//! Invariant: a file is kept under a number that no other file ever has. So a segment that takes
//! another's place, and its name, is never read from the other's file.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::vfs::VfsFile;

/// Files kept open at most.
pub const OPEN_MAX: usize = 128;

/// The process has one: what matters is how many descriptors there are in all.
static OPEN: ReadFiles = ReadFiles::new();

/// The number of a file, for as long as the process runs. With it goes what is kept under it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct FileNumber(u64);

impl FileNumber {
    /// One that no other file has had.
    pub(super) fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }

    /// The file, if it is kept.
    pub(super) fn get(&self) -> Option<Arc<dyn VfsFile>> {
        OPEN.get(self.0)
    }

    /// Keeps the file open; that which was not read for longest makes room.
    pub(super) fn keep(&self, file: Arc<dyn VfsFile>) {
        OPEN.keep(self.0, file);
    }

    /// Closes the file: it no longer has a name, or has another's.
    pub(super) fn forget(&self) {
        OPEN.forget(self.0);
    }
}

/// Closes all files, for the sake of what needs descriptors more; returns how many.
pub fn close_read_files() -> usize {
    let closed = std::mem::take(&mut *OPEN.files.lock());
    closed.len()
}

impl Drop for FileNumber {
    fn drop(&mut self) {
        self.forget();
    }
}

#[derive(Debug)]
struct ReadFiles {
    /// The one that was read last is the last.
    files: Mutex<Vec<(u64, Arc<dyn VfsFile>)>>,
}

impl ReadFiles {
    const fn new() -> Self {
        Self {
            files: Mutex::new(Vec::new()),
        }
    }

    fn get(&self, number: u64) -> Option<Arc<dyn VfsFile>> {
        let mut files = self.files.lock();
        let at = files.iter().rposition(|(kept, _)| *kept == number)?;
        files[at..].rotate_left(1);
        files.last().map(|(_, file)| Arc::clone(file))
    }

    fn keep(&self, number: u64, file: Arc<dyn VfsFile>) {
        let mut files = self.files.lock();
        let at = files.iter().position(|(kept, _)| *kept == number);
        let closed = match at {
            Some(at) => Some(files.remove(at)),
            None if files.len() >= OPEN_MAX => Some(files.remove(0)),
            None => None,
        };
        files.push((number, file));
        drop(files);
        // Closing may take a while; nobody needs to wait for it.
        drop(closed);
    }

    fn forget(&self, number: u64) {
        let mut files = self.files.lock();
        let at = files.iter().position(|(kept, _)| *kept == number);
        let closed = at.map(|at| files.remove(at));
        drop(files);
        drop(closed);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::vfs::sim::SimVfs;
    use crate::vfs::{OpenMode, Vfs};

    #[test]
    fn those_that_were_read_last_are_kept() {
        let (vfs, files) = (SimVfs::new(0), ReadFiles::new());
        let open = || vfs.open(Path::new("f"), OpenMode::Create).unwrap();
        let last = OPEN_MAX as u64;
        for number in 0..last {
            files.keep(number, open());
        }
        assert_eq!(vfs.open_files(), OPEN_MAX);
        assert!(files.get(0).is_some());
        files.keep(last, open());
        assert_eq!(vfs.open_files(), OPEN_MAX);
        assert!(files.get(1).is_none(), "it was read before all");
        assert!(files.get(0).is_some() && files.get(last).is_some());
        files.keep(0, open());
        assert_eq!(vfs.open_files(), OPEN_MAX, "one for each segment");
        files.forget(0);
        files.forget(0);
        assert_eq!(vfs.open_files(), OPEN_MAX - 1);
        assert!(files.get(0).is_none());
    }
}
