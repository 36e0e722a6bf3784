//! A file system in memory that fails as a seed says.
//!
//! Every file and directory exists twice: as the process sees it, and as the medium holds it. A
//! sync copies the first onto the second; [`SimVfs::crash`] throws the first away and lets chance
//! decide about what was under way:
//!
//! ```text
//!  file       [ synced ............ | appended since ............ ]
//!  survives   [ synced ............ | a prefix, some sectors zero ]   or none of it
//!
//!  directory  [ synced entries | create a | rename a b | remove c ]
//!  survives   [ synced entries | the first few of these changes   ]
//! ```
//!
//! So a new file needs both its own sync and its directory's, a rename is all or nothing, and a
//! cut that was not synced may come undone. A failed sync is final as on Linux: the pages count as
//! clean afterwards, the medium holds zeros in their place, and the next sync succeeds.
//!
//! A sector can be made unreadable: a read that touches it fails as on a disk that has lost it, now
//! and after every crash, until it is cut off or somebody writes a new file. And the number of open
//! files can be limited; opening one more then fails, as with `EMFILE`.
//!
//! Chance comes from one generator per file system, so the same calls with the same seed meet
//! the same faults. Left out: links, permissions, renames across directories (refused as if every
//! directory were a device of its own), and reordering between files beyond the above.

use std::collections::BTreeSet;
use std::fmt::{self, Debug};
use std::io::{self, ErrorKind, IoSlice};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use brooklet_protocol::Timestamp;
use parking_lot::Mutex;

use super::{DirEntry, FileId, OpenMode, Vfs, VfsDir, VfsFile};

mod random;
mod tree;

use random::Random;
use tree::{InodeId, Tree};

/// A file system in memory. Clones are the same file system.
#[derive(Clone)]
pub struct SimVfs {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    tree: Tree,
    random: Random,
    capacity_bytes: Option<u64>,
    fail_next_sync: bool,
    power: Power,
    operations: u64,
    opens: u64,
    files_open: usize,
    files_open_max: Option<usize>,
    time: Timestamp,
    locked: BTreeSet<PathBuf>,
    read_only: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Power {
    On,
    CutAfter(u64),
    Off,
}

/// What an operation that changes something may do.
enum Admission {
    /// Go on.
    Granted,
    /// The power goes off in the middle of it.
    Interrupted,
}

impl SimVfs {
    /// An empty file system whose faults follow from `seed`.
    pub fn new(seed: u64) -> Self {
        Self::with_tree(Tree::new(), Random::new(seed))
    }

    fn with_tree(tree: Tree, random: Random) -> Self {
        let state = State {
            tree,
            random,
            capacity_bytes: None,
            fail_next_sync: false,
            power: Power::On,
            operations: 0,
            opens: 0,
            files_open: 0,
            files_open_max: None,
            time: Timestamp(0),
            locked: BTreeSet::new(),
            read_only: false,
        };
        Self {
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// What the file system's clock says from now on; it says 1970 before.
    pub fn set_time(&self, time: Timestamp) {
        self.state.lock().time = time;
    }

    /// The file system that is found after a power cut now: what was synced, and of the rest what
    /// the seed leaves. This one stays as it is.
    pub fn crash(&self) -> Self {
        let mut state = self.state.lock();
        let mut random = state.random.fork();
        let survivors = state.tree.survivors(&mut random);
        Self::with_tree(survivors, random)
    }

    /// The next sync of a file or directory fails.
    pub fn fail_next_sync(&self) {
        self.state.lock().fail_next_sync = true;
    }

    /// Limits the bytes of all files together (`None`: no limit); an append beyond writes a part
    /// and fails with `StorageFull`.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.state.lock().capacity_bytes = bytes;
    }

    /// How many files and directories may be open at a time (`None`: as many as are wanted);
    /// opening one more fails.
    pub fn set_open_files_max(&self, count: Option<usize>) {
        self.state.lock().files_open_max = count;
    }

    /// How many files and directories are open.
    pub fn open_files(&self) -> usize {
        self.state.lock().files_open
    }

    /// As a file system that was mounted again: whether it takes no writes from now on.
    pub fn set_read_only(&self, read_only: bool) {
        self.state.lock().read_only = read_only;
    }

    /// Bytes in all files.
    pub fn used_bytes(&self) -> u64 {
        self.state.lock().tree.used_bytes()
    }

    /// After `operations` more changing operations the power goes off: the next one is interrupted,
    /// and all that follow fail. [`SimVfs::crash`] then shows what is left.
    pub fn cut_power_after(&self, operations: u64) {
        self.state.lock().power = Power::CutAfter(operations);
    }

    /// How many changing operations (creations, appends, cuts, syncs, renames, removals) there
    /// were so far.
    pub fn operations(&self) -> u64 {
        self.state.lock().operations
    }

    /// How often a file was opened, or found missing, so far.
    pub fn opens(&self) -> u64 {
        self.state.lock().opens
    }

    /// Bit rot: inverts bit `position` (bit 0 is the lowest of the first byte) of a file, in the
    /// cache and on the medium.
    ///
    /// # Errors
    /// `NotFound`, or `InvalidInput` past the end.
    pub fn flip_bit(&self, path: &Path, position: u64) -> io::Result<()> {
        let mut state = self.state.lock();
        let id = state.tree.find(path)?;
        state.tree.file_mut(id)?.flip_bit(position)
    }

    /// A read of a byte in `range` of a file fails from now on; a cut that takes the bytes away
    /// takes the fault with them.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn make_unreadable(&self, path: &Path, range: Range<u64>) -> io::Result<()> {
        let mut state = self.state.lock();
        let id = state.tree.find(path)?;
        state.tree.file_mut(id)?.make_unreadable(range);
        Ok(())
    }
}

impl Debug for SimVfs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimVfs").finish_non_exhaustive()
    }
}

impl State {
    /// Counts a changing operation and asks whether there is power for it.
    fn admit(&mut self) -> io::Result<Admission> {
        self.operations += 1;
        if self.read_only {
            return Err(ErrorKind::ReadOnlyFilesystem.into());
        }
        match self.power {
            Power::On => Ok(Admission::Granted),
            Power::CutAfter(0) => {
                self.power = Power::Off;
                Ok(Admission::Interrupted)
            }
            Power::CutAfter(left) => {
                self.power = Power::CutAfter(left - 1);
                Ok(Admission::Granted)
            }
            Power::Off => Err(no_power()),
        }
    }

    /// As [`State::admit`], for operations that are done or not.
    fn admit_whole(&mut self) -> io::Result<()> {
        match self.admit()? {
            Admission::Granted => Ok(()),
            Admission::Interrupted => Err(no_power()),
        }
    }

    fn append(&mut self, id: InodeId, bytes: &[u8]) -> io::Result<u64> {
        let interrupted = matches!(self.admit()?, Admission::Interrupted);
        let room = match self.capacity_bytes {
            Some(capacity) => capacity.saturating_sub(self.tree.used_bytes()),
            None => u64::MAX,
        };
        let full = bytes.len() as u64 > room;
        let fits = if full { room as usize } else { bytes.len() };
        let taken = if full || interrupted {
            self.random.up_to(fits)
        } else {
            fits
        };
        let file = self.tree.file_mut(id)?;
        file.set_modified(self.time);
        let position = file.append(&bytes[..taken]);
        match (interrupted, full) {
            (true, _) => Err(no_power()),
            (false, true) => Err(storage_full()),
            (false, false) => Ok(position),
        }
    }

    fn set_len(&mut self, id: InodeId, length: u64) -> io::Result<()> {
        self.admit_whole()?;
        let used = self.used_with(id, length)?;
        if (self.capacity_bytes).is_some_and(|capacity| used > capacity) {
            return Err(storage_full());
        }
        let file = self.tree.file_mut(id)?;
        file.set_modified(self.time);
        file.set_len(length as usize);
        Ok(())
    }

    /// Whether another file may be opened.
    fn check_open_files(&self) -> io::Result<()> {
        match self.files_open_max {
            Some(most) if self.files_open >= most => Err(too_many_open_files()),
            Some(_) | None => Ok(()),
        }
    }

    fn used_with(&mut self, id: InodeId, length: u64) -> io::Result<u64> {
        let grows_by = length.saturating_sub(self.tree.file_mut(id)?.len());
        Ok(self.tree.used_bytes() + grows_by)
    }

    /// Whether this sync is the one that fails.
    fn take_sync_failure(&mut self) -> bool {
        std::mem::take(&mut self.fail_next_sync)
    }
}

impl Vfs for SimVfs {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn VfsFile>> {
        let mut state = self.state.lock();
        state.opens += 1;
        state.check_open_files()?;
        let found = match state.tree.find(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            found => Some(found?),
        };
        let id = match (found, mode) {
            (None, OpenMode::Read | OpenMode::Write) => return Err(ErrorKind::NotFound.into()),
            (Some(_), OpenMode::CreateNew) => return Err(ErrorKind::AlreadyExists.into()),
            (None, _) => {
                state.admit_whole()?;
                state.tree.create_file(path)?
            }
            (Some(id), OpenMode::Truncate) => {
                state.set_len(id, 0)?;
                id
            }
            (Some(id), _) => id,
        };
        state.tree.file_mut(id)?;
        state.files_open += 1;
        Ok(Arc::new(SimFile {
            state: Arc::clone(&self.state),
            id,
            writable: mode != OpenMode::Read,
        }))
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let state = self.state.lock();
        state.check_open_files()?;
        state.tree.read_dir(path)
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.admit_whole()?;
        state.tree.create_dir_all(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.admit_whole()?;
        state.tree.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.admit_whole()?;
        state.tree.remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.admit_whole()?;
        state.tree.remove_dir_all(path)
    }

    fn exists(&self, path: &Path) -> bool {
        self.state.lock().tree.find(path).is_ok()
    }

    fn modified(&self, path: &Path) -> io::Result<Timestamp> {
        let mut state = self.state.lock();
        let id = state.tree.find(path)?;
        Ok(state.tree.file_mut(id)?.modified())
    }

    fn identity(&self, path: &Path) -> io::Result<FileId> {
        let inode = self.state.lock().tree.find(path)? as u64;
        Ok(FileId { device: 0, inode })
    }

    fn is_read_only(&self, _path: &Path) -> io::Result<bool> {
        Ok(self.state.lock().read_only)
    }

    fn open_dir(&self, path: &Path) -> io::Result<Box<dyn VfsDir>> {
        let mut state = self.state.lock();
        state.check_open_files()?;
        let id = state.tree.find_dir(path)?;
        state.files_open += 1;
        Ok(Box::new(SimDir {
            state: Arc::clone(&self.state),
            id,
        }))
    }

    fn free_bytes(&self, _path: &Path) -> io::Result<u64> {
        let state = self.state.lock();
        Ok(match state.capacity_bytes {
            Some(capacity) => capacity.saturating_sub(state.tree.used_bytes()),
            None => u64::MAX,
        })
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Debug + Send + Sync>> {
        drop(self.open(path, OpenMode::Create)?);
        if !self.state.lock().locked.insert(path.to_owned()) {
            let message = format!("{} is locked", path.display());
            return Err(io::Error::new(ErrorKind::WouldBlock, message));
        }
        Ok(Box::new(SimLock {
            vfs: self.clone(),
            path: path.to_owned(),
        }))
    }
}

/// Holds a lock until it is dropped.
#[derive(Debug)]
struct SimLock {
    vfs: SimVfs,
    path: PathBuf,
}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.vfs.state.lock().locked.remove(&self.path);
    }
}

#[derive(Debug)]
struct SimDir {
    state: Arc<Mutex<State>>,
    id: InodeId,
}

impl VfsDir for SimDir {
    fn sync(&self) -> io::Result<()> {
        let mut state = self.state.lock();
        state.admit_whole()?;
        if state.take_sync_failure() {
            return Err(input_output_error());
        }
        state.tree.sync_dir(self.id)
    }
}

impl Drop for SimDir {
    fn drop(&mut self) {
        self.state.lock().files_open -= 1;
    }
}

struct SimFile {
    state: Arc<Mutex<State>>,
    id: InodeId,
    writable: bool,
}

impl Debug for SimFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimFile")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl SimFile {
    fn check_writable(&self) -> io::Result<()> {
        if self.writable {
            return Ok(());
        }
        let message = "the file is open for reading only";
        Err(io::Error::new(ErrorKind::PermissionDenied, message))
    }
}

impl VfsFile for SimFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state.lock().tree.file_mut(self.id)?.len())
    }

    fn append(&self, slices: &[IoSlice<'_>]) -> io::Result<u64> {
        self.check_writable()?;
        let bytes: Vec<u8> = slices
            .iter()
            .flat_map(|slice| slice.iter().copied())
            .collect();
        self.state.lock().append(self.id, &bytes)
    }

    fn read_exact_at(&self, buffer: &mut [u8], position: u64) -> io::Result<()> {
        let mut state = self.state.lock();
        state
            .tree
            .file_mut(self.id)?
            .read_exact_at(buffer, position)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.check_writable()?;
        self.state.lock().set_len(self.id, length)
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        self.check_writable()?;
        let mut state = self.state.lock();
        state.admit_whole()?;
        let used = state.used_with(self.id, length)?;
        if (state.capacity_bytes).is_some_and(|capacity| used > capacity) {
            return Err(storage_full());
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.state.lock();
        state.admit_whole()?;
        if state.take_sync_failure() {
            state.tree.file_mut(self.id)?.sync_failed();
            return Err(input_output_error());
        }
        state.tree.file_mut(self.id)?.sync();
        Ok(())
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        self.state.lock().files_open -= 1;
    }
}

fn no_power() -> io::Error {
    io::Error::other("simulated: the power is off")
}

fn storage_full() -> io::Error {
    io::Error::new(ErrorKind::StorageFull, "simulated: no space left")
}

/// `EIO`, as the system says it.
fn input_output_error() -> io::Error {
    io::Error::from_raw_os_error(5)
}

/// `EMFILE`.
fn too_many_open_files() -> io::Error {
    io::Error::from_raw_os_error(24)
}

#[cfg(test)]
mod tests;
