//! The files of a segment: opened when they are needed, synced, sealed, retired.
//!
//! The `.log` of the active segment is open while it is written or read; that of a sealed one until
//! it is synced. A retired segment has its files under other names, so whatever is done by name
//! here has to expect that they are gone.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::super::error::OrIo;
use super::super::{LogError, files};
use super::Segment;
use crate::vfs::{OpenMode, VfsFile};

impl Segment {
    /// Nothing more will be written.
    pub(in crate::log) fn seal(&self) {
        self.indexes.seal(&*self.vfs, &self.path);
        self.unsettled.store(true, Ordering::Release);
        self.sealed.store(true, Ordering::Release);
    }

    /// Makes the segment durable; not its indexes, which can be made anew.
    pub(in crate::log) fn sync(&self) -> Result<(), LogError> {
        // Asked first: what is sealed now cannot get more bytes after the sync.
        let sealed = self.is_sealed();
        let open = self.file.lock().clone();
        let file = match open.map_or_else(|| self.vfs.open(&self.path, OpenMode::Read), Ok) {
            // It went while we came: what is deleted nobody needs on the disk.
            Err(error) if error.kind() == ErrorKind::NotFound && self.is_retired() => return Ok(()),
            file => file.or_io("open", &self.path)?,
        };
        file.sync_data().or_io("sync", &self.path)?;
        if sealed {
            *self.file.lock() = None;
        }
        Ok(())
    }

    /// The file, for the one writer.
    pub(in crate::log) fn open_to_write(&self) -> Result<Arc<dyn VfsFile>, LogError> {
        let opened = self.vfs.open(&self.path, OpenMode::Write);
        let opened = opened.or_io("open", &self.path)?;
        *self.file.lock() = Some(Arc::clone(&opened));
        Ok(opened)
    }

    /// Lets go of the file; whoever needs it opens it again. All that was written is synced. True if
    /// there was one.
    ///
    /// Whoever opens it right now keeps it: that may be the one who asks, for want of descriptors.
    pub(in crate::log) fn close_file(&self) -> bool {
        let held = self.file.try_lock();
        held.is_some_and(|mut file| file.take().is_some())
    }

    /// The file of the active segment; `None` once it is sealed and not open any more, because then
    /// another's may have its name: that of what compaction has put in its place.
    pub(super) fn open_to_read(&self) -> Result<Option<Arc<dyn VfsFile>>, LogError> {
        let mut file = self.file.lock();
        if file.is_none() {
            let opened = self.vfs.open(&self.path, OpenMode::Read);
            let opened = opened.or_io("open", &self.path)?;
            // Asked last: only what is sealed is replaced.
            if self.is_sealed() {
                return Ok(None);
            }
            *file = Some(opened);
        }
        Ok(file.clone())
    }

    /// Whether the next sync has to come by, whatever its recovery point says.
    pub(in crate::log) fn holds_file(&self) -> bool {
        self.file.lock().is_some()
    }

    /// Brings the indexes to the disk, as far as they are not: those of what is in the segment now.
    /// Whether names may have to be synced.
    pub(in crate::log) fn settle(&self) -> Result<bool, LogError> {
        // Before the look: what comes meanwhile is for the next time.
        if !self.unsettled.swap(false, Ordering::AcqRel) {
            return Ok(false);
        }
        let settled = self.settle_files();
        if settled.is_err() {
            self.unsettled.store(true, Ordering::Release);
        }
        settled.map(|()| true)
    }

    fn settle_files(&self) -> Result<(), LogError> {
        if !self.is_retired() {
            (self.indexes.flush(&*self.vfs, &self.path))
                .or_io("write the indexes of", &self.path)?;
        }
        for path in files::indexes_of(&self.path) {
            match self.vfs.open(&path, OpenMode::Read) {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                file => file
                    .and_then(|file| file.sync_data())
                    .or_io("sync", &path)?,
            }
        }
        Ok(())
    }

    /// Replaces the index files by what was made anew, durably.
    pub(in crate::log) fn replace_indexes(&self) -> Result<(), LogError> {
        let replaced = self.indexes.replace_files(&*self.vfs, &self.path);
        replaced.or_io("replace the indexes of", &self.path)
    }

    /// Renames the files to `.deleted`, after which no look-up by name finds them; returns the new
    /// names. `but` belongs to what takes the segment's place. If a file cannot be renamed, those before it are, and the segment is as it was
    /// for whoever opens the log next only if the `.log` is among the others: it goes first.
    pub(in crate::log) fn retire(&self, but: Option<&Path>) -> Result<Vec<PathBuf>, LogError> {
        // Whoever makes indexes anew writes them under the old names, or sees that they are gone.
        let _guard = self.loading.lock();
        self.retired.store(true, Ordering::Release);
        let mut renamed = Vec::new();
        let paths = files::of_segment(&self.path).into_iter();
        for path in paths.filter(|path| but != Some(path)) {
            let to = files::deleted(&path);
            match self.vfs.rename(&path, &to) {
                Ok(()) => renamed.push(to),
                // An index, which need not be there.
                Err(error) if error.kind() == ErrorKind::NotFound && !renamed.is_empty() => {}
                Err(error) => {
                    // With its `.log` in place it is still a segment; without, its indexes are
                    // leftovers.
                    self.retired.store(!renamed.is_empty(), Ordering::Release);
                    return Err(error).or_io("rename", &path);
                }
            }
        }
        Ok(renamed)
    }
}
