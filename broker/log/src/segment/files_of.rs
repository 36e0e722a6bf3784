//! The files of a segment: opened when they are needed, synced, sealed, retired.
//!
//! The `.log` of the active segment is open while it is written or read; that of a sealed one until
//! it is synced, and while it is among those that were [read last](super::super::read_files). A
//! retired segment has its files under other names, so everything that is done by name here has to
//! expect that they are gone.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::super::error::OrIo;
use super::super::read_files::FileNumber;
use super::super::{LogError, files};
use super::Segment;
use crate::vfs::{OpenMode, VfsFile};

/// The file of a segment that is about to be synced.
#[derive(Debug)]
pub(crate) struct UnsyncedFile {
    file: Arc<dyn VfsFile>,
    is_sealed: bool,
}

impl Segment {
    /// No more batches will be written.
    pub(crate) fn seal(&self) {
        self.indexes.seal(&*self.vfs, &self.path);
        self.unsettled.store(true, Ordering::Release);
        self.sealed.store(true, Ordering::Release);
    }

    /// The file, to be synced; `None` if the segment was retired meanwhile, because deleted records
    /// need not be durable.
    ///
    /// # Errors
    /// It cannot be opened. No sync was tried, so a later one may succeed.
    pub(crate) fn open_to_sync(&self) -> Result<Option<UnsyncedFile>, LogError> {
        // Asked first: what is sealed now cannot get more bytes after the sync.
        let is_sealed = self.is_sealed();
        let open = self.file.lock().clone();
        match open.map_or_else(|| self.vfs.open(&self.path, OpenMode::Read), Ok) {
            Err(error) if error.kind() == ErrorKind::NotFound && self.is_retired() => Ok(None),
            file => {
                let file = file.or_io("open", &self.path)?;
                Ok(Some(UnsyncedFile { file, is_sealed }))
            }
        }
    }

    /// Makes the segment durable; not its indexes, which can be rebuilt.
    ///
    /// # Errors
    /// The sync failed, which is final.
    pub(crate) fn sync(&self, unsynced: &UnsyncedFile) -> Result<(), LogError> {
        unsynced.file.sync_data().or_io("sync", &self.path)?;
        if unsynced.is_sealed {
            *self.file.lock() = None;
        }
        Ok(())
    }

    /// The file, for the one writer.
    pub(crate) fn open_to_write(&self) -> Result<Arc<dyn VfsFile>, LogError> {
        let opened = self.vfs.open(&self.path, OpenMode::Write);
        let opened = opened.or_io("open", &self.path)?;
        *self.file.lock() = Some(Arc::clone(&opened));
        Ok(opened)
    }

    /// Closes the file; the next user opens it again. Everything written is synced already. Returns
    /// whether there was one.
    ///
    /// If it is being opened right now it stays open: the caller may be that very opener, short of
    /// descriptors.
    pub(crate) fn close_file(&self) -> bool {
        let held = self.file.try_lock();
        held.is_some_and(|mut file| file.take().is_some())
    }

    /// The file, to read it. Once the segment is retired and no longer open the file is not found:
    /// by then its name may be that of the segment that compaction has made of it.
    pub(super) fn open_to_read(&self) -> Result<Arc<dyn VfsFile>, LogError> {
        let mut held = self.file.lock();
        if let Some(file) = &*held {
            return Ok(Arc::clone(file));
        }
        if !self.is_sealed() {
            let opened = self.vfs.open(&self.path, OpenMode::Read);
            let opened = opened.or_io("open", &self.path)?;
            // Asked last: only what is sealed is replaced.
            if !self.is_sealed() {
                *held = Some(Arc::clone(&opened));
                return Ok(opened);
            }
        }
        drop(held);
        self.open_sealed()
    }

    fn open_sealed(&self) -> Result<Arc<dyn VfsFile>, LogError> {
        (self.open_kept(&self.number, &self.path)).or_io("open", &self.path)
    }

    /// A file of the sealed segment, which may be kept open under this number.
    pub(super) fn open_kept(
        &self,
        number: &FileNumber,
        path: &Path,
    ) -> io::Result<Arc<dyn VfsFile>> {
        if let Some(file) = number.get() {
            return Ok(file);
        }
        let opened = self.vfs.open(path, OpenMode::Read)?;
        number.keep(Arc::clone(&opened));
        // Asked last: a segment is called retired before its files lose their names.
        if self.is_retired() {
            number.forget();
            return Err(ErrorKind::NotFound.into());
        }
        Ok(opened)
    }

    /// An index file of the sealed segment.
    pub(super) fn open_index(
        &self,
        number: &FileNumber,
        extension: &str,
    ) -> io::Result<Arc<dyn VfsFile>> {
        self.open_kept(number, &self.path.with_extension(extension))
    }

    /// Whether the next sync has to include it, whatever the recovery point says.
    pub(crate) fn holds_file(&self) -> bool {
        self.file.lock().is_some()
    }

    /// Brings the indexes to the disk, as far as they are not: those of what is in the segment now.
    /// Whether names may have to be synced.
    pub(crate) fn settle(&self) -> Result<bool, LogError> {
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
        self.write_aborted()?;
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

    /// Replaces the index files by what was rebuilt, durably.
    pub(crate) fn replace_indexes(&self) -> Result<(), LogError> {
        let replaced = self.indexes.replace_files(&*self.vfs, &self.path);
        replaced.or_io("replace the indexes of", &self.path)
    }

    /// Renames the files to `.deleted`, after which no look-up by name finds them; returns the new
    /// names. `but` belongs to the segment that replaces it. If a file cannot be renamed, those
    /// before it are. The `.log` goes first: without it the next open takes the other files for
    /// leftovers.
    pub(crate) fn retire(&self, but: Option<&Path>) -> Result<Vec<PathBuf>, LogError> {
        // A rebuild of the indexes writes them under the old names, or sees that they are gone.
        let _guard = self.loading.lock();
        self.retired.store(true, Ordering::Release);
        // An open file would keep its room on the disk after it is removed.
        self.number.forget();
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
