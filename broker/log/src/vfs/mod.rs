//! The file system, behind a trait.
//!
//! The broker touches the file system only through [`Vfs`]. [`disk`] is the real one; [`sim`] keeps
//! files in memory, loses, tears and refuses writes as a seed says, and forgets what was not synced
//! when it "crashes". The log's tests run under both.
//!
//! Files are read into memory and never mapped. A sector that cannot be read, or a file that
//! somebody else has cut, is then an error of one read; under a map it is a signal that ends the
//! process.
//!
//! Invariants: no other process opens a file; positions and lengths are in bytes; a file handle stays
//! valid after its file was renamed or removed, as on Unix.

use std::fmt::Debug;
use std::io::{self, ErrorKind, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use brooklet_protocol::Timestamp;

pub mod disk;
pub mod sim;
pub mod watched;

#[cfg(test)]
mod conformance;

/// How to open a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// For reading; it must exist.
    Read,
    /// For reading and writing; it must exist.
    Write,
    /// For reading and writing; created if missing.
    Create,
    /// For reading and writing; it must not exist.
    CreateNew,
    /// For reading and writing; created if missing, emptied if not.
    Truncate,
}

/// Tells a file or directory from every other, whatever it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileId {
    /// The device that it is on.
    pub device: u64,
    /// Its number there.
    pub inode: u64,
}

/// A file system.
pub trait Vfs: Debug + Send + Sync + 'static {
    /// Opens a file.
    ///
    /// # Errors
    /// As the file system says.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn VfsFile>>;
    /// The names in a directory with their kinds, sorted by name.
    ///
    /// # Errors
    /// As the file system says.
    fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>>;
    /// Creates a directory and its parents; an existing one is fine.
    ///
    /// # Errors
    /// As the file system says.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;
    /// Renames a file or directory; an existing file at `to` is replaced atomically.
    ///
    /// # Errors
    /// As the file system says.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    ///
    /// # Errors
    /// As the file system says.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Removes a directory and all in it.
    ///
    /// # Errors
    /// As the file system says.
    fn remove_dir_all(&self, path: &Path) -> io::Result<()>;
    /// Whether there is a file or directory.
    fn exists(&self, path: &Path) -> bool;
    /// When a file's content was last changed.
    ///
    /// # Errors
    /// As the file system says.
    fn modified(&self, path: &Path) -> io::Result<Timestamp>;
    /// Which file or directory has this name now.
    ///
    /// # Errors
    /// As the file system says.
    fn identity(&self, path: &Path) -> io::Result<FileId>;
    /// Whether the file system takes no writes there.
    ///
    /// # Errors
    /// As the file system says.
    fn is_read_only(&self, path: &Path) -> io::Result<bool>;
    /// Opens a directory, to sync it. This is apart from the sync because it may fail for want of
    /// descriptors, which says nothing about the disk.
    ///
    /// # Errors
    /// As the file system says.
    fn open_dir(&self, path: &Path) -> io::Result<Box<dyn VfsDir>>;
    /// Bytes that can still be written on the file system of `path`.
    ///
    /// # Errors
    /// As the file system says.
    fn free_bytes(&self, path: &Path) -> io::Result<u64>;
    /// Takes the exclusive lock of `path` (created if missing) until the guard is dropped.
    ///
    /// # Errors
    /// `WouldBlock` when another process or guard holds it.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Debug + Send + Sync>>;

    /// Opens a directory and makes the creations, renames and removals in it durable.
    ///
    /// # Errors
    /// As the file system says.
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.open_dir(path)?.sync()
    }

    /// The whole content of a file.
    ///
    /// # Errors
    /// As the file system says.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let file = self.open(path, OpenMode::Read)?;
        let mut content = vec![0; usize::try_from(file.len()?).map_err(io::Error::other)?];
        file.read_exact_at(&mut content, 0)?;
        Ok(content)
    }

    /// Replaces a file as a whole: temporary file, sync, rename, sync of the directory. A crash
    /// leaves the old content or the new.
    ///
    /// # Errors
    /// As the file system says.
    fn replace(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(".tmp");
        let temporary = PathBuf::from(temporary);
        let file = self.open(&temporary, OpenMode::Truncate)?;
        file.append(&[IoSlice::new(content)])?;
        file.sync_data()?;
        self.rename(&temporary, path)?;
        match path.parent() {
            Some(parent) => self.sync_dir(parent),
            None => Ok(()),
        }
    }
}

/// An open file. Writers append; readers read at positions; nobody seeks.
pub trait VfsFile: Debug + Send + Sync {
    /// Its length in bytes.
    ///
    /// # Errors
    /// As the file system says.
    fn len(&self) -> io::Result<u64>;
    /// Whether it has no bytes.
    ///
    /// # Errors
    /// As the file system says.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Writes all of `slices`, in order, at the end; returns the position of the first byte. After
    /// an error the file may have grown by a part of them: the caller cuts it back.
    ///
    /// # Errors
    /// As the file system says, for example no space.
    fn append(&self, slices: &[IoSlice<'_>]) -> io::Result<u64>;
    /// Fills `buffer` from `position`.
    ///
    /// # Errors
    /// `UnexpectedEof` when the file ends before.
    fn read_exact_at(&self, buffer: &mut [u8], position: u64) -> io::Result<()>;
    /// Cuts or extends (with zeros) the file.
    ///
    /// # Errors
    /// As the file system says.
    fn set_len(&self, length: u64) -> io::Result<()>;
    /// Reserves `length` bytes on the disk for the file; its length and content stay. `set_len`
    /// frees what is not used. A file system that cannot reserve does nothing.
    ///
    /// # Errors
    /// As the file system says, for example no space.
    fn allocate(&self, length: u64) -> io::Result<()>;
    /// Makes the content durable (`fdatasync`). A failure is final: what was not yet durable may
    /// be lost even if a later call succeeds.
    ///
    /// # Errors
    /// As the file system says.
    fn sync_data(&self) -> io::Result<()>;
}

/// An open directory.
pub trait VfsDir: Debug + Send + Sync {
    /// Makes the creations, renames and removals in it durable. A failure is final, as that of
    /// [`VfsFile::sync_data`].
    ///
    /// # Errors
    /// As the file system says.
    fn sync(&self) -> io::Result<()>;
}

/// Whether an operation failed for want of something that may be there a moment later: descriptors,
/// memory, or a call without a signal in it. Such an error says nothing about the file.
pub fn is_passing(error: &io::Error) -> bool {
    /// `ENFILE` and `EMFILE`, the same on Linux, macOS and the BSDs; the standard library has no
    /// kind for them.
    const TOO_MANY_OPEN_FILES: [i32; 2] = [23, 24];
    let kinds = [
        ErrorKind::OutOfMemory,
        ErrorKind::Interrupted,
        ErrorKind::WouldBlock,
    ];
    kinds.contains(&error.kind())
        || (error.raw_os_error()).is_some_and(|code| TOO_MANY_OPEN_FILES.contains(&code))
}

/// Whether an operation failed because the disk, or a quota on it, is full.
pub fn is_out_of_room(error: &io::Error) -> bool {
    [ErrorKind::StorageFull, ErrorKind::QuotaExceeded].contains(&error.kind())
}

/// A name in a directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DirEntry {
    /// The name, without its directory; names that are not UTF-8 are left out of listings.
    pub name: String,
    /// Whether it is a directory.
    pub is_dir: bool,
}
