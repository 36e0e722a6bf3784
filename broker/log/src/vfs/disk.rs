//! The machine's own file system.
//!
//! Writing handles are opened in append mode, so the operating system puts every write at the end,
//! and keep the length themselves, so that an append knows where it landed without asking. This
//! holds as long as a file has one writing handle at a time; reading handles are free. Syncing is
//! `fdatasync`: the length is part of what it makes durable, time stamps are not.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, IoSlice, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use brooklet_protocol::Timestamp;
use parking_lot::Mutex;

use super::{DirEntry, FileId, OpenMode, Vfs, VfsDir, VfsFile};

/// The machine's own file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct DiskVfs;

impl Vfs for DiskVfs {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn VfsFile>> {
        let mut options = OpenOptions::new();
        options.read(true);
        match mode {
            OpenMode::Read => &mut options,
            OpenMode::Write => options.append(true),
            OpenMode::Create | OpenMode::Truncate => options.append(true).create(true),
            OpenMode::CreateNew => options.append(true).create_new(true),
        };
        let file = options.open(path)?;
        if mode == OpenMode::Truncate {
            // Append mode and truncation exclude each other in one open call.
            file.set_len(0)?;
        }
        let length = Mutex::new(file.metadata()?.len());
        Ok(Arc::new(DiskFile { file, length }))
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let is_dir = entry.file_type()?.is_dir();
            if let Ok(name) = entry.file_name().into_string() {
                entries.push(DirEntry { name, is_dir });
            }
        }
        entries.sort();
        Ok(entries)
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir_all(path)
    }

    fn exists(&self, path: &Path) -> bool {
        path.exists()
    }

    fn modified(&self, path: &Path) -> io::Result<Timestamp> {
        let modified = fs::metadata(path)?.modified()?;
        // A time before 1970 is as good as 1970.
        let millis = modified.duration_since(UNIX_EPOCH).unwrap_or_default();
        let millis = i64::try_from(millis.as_millis()).unwrap_or(i64::MAX);
        Ok(Timestamp(millis))
    }

    fn identity(&self, path: &Path) -> io::Result<FileId> {
        let metadata = fs::metadata(path)?;
        Ok(FileId {
            device: metadata.dev(),
            inode: metadata.ino(),
        })
    }

    fn is_read_only(&self, path: &Path) -> io::Result<bool> {
        let found = rustix::fs::statvfs(path)?;
        Ok(found.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY))
    }

    fn open_dir(&self, path: &Path) -> io::Result<Box<dyn VfsDir>> {
        Ok(Box::new(DiskDir(File::open(or_here(path))?)))
    }

    #[cfg(unix)]
    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        let found = rustix::fs::statvfs(or_here(path))?;
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }

    /// Elsewhere free space is not measured; an append that fails shows that the disk is full.
    #[cfg(not(unix))]
    fn free_bytes(&self, _path: &Path) -> io::Result<u64> {
        Ok(u64::MAX)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn std::fmt::Debug + Send + Sync>> {
        let file = OpenOptions::new().append(true).create(true).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Box::new(file)),
            Err(TryLockError::WouldBlock) => Err(io::Error::new(
                io::ErrorKind::WouldBlock,
                format!("{} is locked", path.display()),
            )),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

/// The parent of a bare name is the empty path; the system calls it ".".
fn or_here(path: &Path) -> &Path {
    if path.as_os_str().is_empty() {
        Path::new(".")
    } else {
        path
    }
}

#[derive(Debug)]
struct DiskDir(File);

impl VfsDir for DiskDir {
    fn sync(&self) -> io::Result<()> {
        self.0.sync_all()
    }
}

/// An open file. The mutex orders appends and holds the length.
#[derive(Debug)]
struct DiskFile {
    file: File,
    length: Mutex<u64>,
}

impl VfsFile for DiskFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn append(&self, slices: &[IoSlice<'_>]) -> io::Result<u64> {
        let mut length = self.length.lock();
        let position = *length;
        match write_all_vectored(&self.file, slices) {
            Ok(written) => {
                *length += written;
                Ok(position)
            }
            Err(error) => {
                *length = self.file.metadata()?.len();
                Err(error)
            }
        }
    }

    fn read_exact_at(&self, buffer: &mut [u8], position: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, position)
    }

    fn set_len(&self, new: u64) -> io::Result<()> {
        let mut length = self.length.lock();
        self.file.set_len(new)?;
        *length = new;
        Ok(())
    }

    #[cfg(target_os = "linux")]
    fn allocate(&self, length: u64) -> io::Result<()> {
        use rustix::fs::{FallocateFlags, fallocate};
        if length == 0 {
            return Ok(());
        }
        match fallocate(&self.file, FallocateFlags::KEEP_SIZE, 0, length) {
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => Ok(()),
            allocated => Ok(allocated?),
        }
    }

    /// Elsewhere there is no portable way that keeps the length.
    #[cfg(not(target_os = "linux"))]
    fn allocate(&self, _length: u64) -> io::Result<()> {
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

/// Writes all bytes of all slices and returns how many they were; the system may take any part of
/// them per call.
fn write_all_vectored(mut writer: impl Write, slices: &[IoSlice<'_>]) -> io::Result<u64> {
    let total = slices.iter().map(|slice| slice.len()).sum::<usize>();
    // Nearly always the first call takes all, and nothing needs to be remembered.
    let first = match writer.write_vectored(slices) {
        Ok(written) if written == total => return Ok(total as u64),
        Ok(written) => written,
        Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
        Err(error) => return Err(error),
    };
    let mut rest = slices.to_vec();
    let mut rest = rest.as_mut_slice();
    // Drops what is written and empty slices in front: an empty write reads as "no room".
    IoSlice::advance_slices(&mut rest, first);
    while !rest.is_empty() {
        match writer.write_vectored(rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut rest, written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(total as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vfs::conformance;

    #[test]
    fn behaves_as_a_vfs_has_to() {
        let dir = tempfile::tempdir().unwrap();
        conformance::check(&DiskVfs, dir.path());
    }

    #[test]
    fn an_open_file_outlives_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sealed");
        let file = DiskVfs.open(&path, OpenMode::Create).unwrap();
        file.append(&[IoSlice::new(b"0123456789")]).unwrap();
        DiskVfs.remove_file(&path).unwrap();
        let mut middle = [0; 3];
        file.read_exact_at(&mut middle, 3).unwrap();
        assert_eq!(&middle, b"345");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn allocated_room_is_taken_and_given_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let taken_bytes = || fs::metadata(&path).unwrap().blocks() * 512;
        let file = DiskVfs.open(&path, OpenMode::Create).unwrap();
        file.append(&[IoSlice::new(b"abc")]).unwrap();
        file.allocate(1 << 20).unwrap();
        assert!(taken_bytes() >= 1 << 20, "{}", taken_bytes());
        file.set_len(3).unwrap();
        assert!(taken_bytes() < 1 << 17, "{}", taken_bytes());
        assert_eq!(DiskVfs.read(&path).unwrap(), b"abc");
    }

    /// Takes at most three bytes a call and is interrupted every second time.
    struct Stutter {
        taken: Vec<u8>,
        calls: usize,
    }

    impl Write for &mut Stutter {
        fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
            self.calls += 1;
            if self.calls % 2 == 1 {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let part = &buffer[..buffer.len().min(3)];
            self.taken.extend_from_slice(part);
            Ok(part.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn partial_and_interrupted_writes_go_on_where_they_stopped() {
        let mut stutter = Stutter {
            taken: Vec::new(),
            calls: 0,
        };
        let slices = [b"".as_slice(), b"abcdefgh", b"", b"ij", b""].map(IoSlice::new);
        assert_eq!(write_all_vectored(&mut stutter, &slices).unwrap(), 10);
        assert_eq!(stutter.taken, b"abcdefghij");
    }
}
