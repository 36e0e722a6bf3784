//! A file system whose syncs can be counted and held up.

use std::collections::HashSet;
use std::fmt::Debug;
use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, ThreadId};

use brooklet_log::vfs::sim::SimVfs;
use brooklet_log::vfs::{DirEntry, FileId, OpenMode, Vfs, VfsDir, VfsFile};
use brooklet_protocol::Timestamp;
use parking_lot::{Condvar, Mutex};
use tokio::sync::Notify;

/// A [`SimVfs`] with a gate before every sync of a segment. Clones share the gate.
#[derive(Clone, Debug)]
pub(crate) struct GatedVfs {
    pub(crate) sim: SimVfs,
    gate: Arc<Gate>,
}

#[derive(Debug, Default)]
struct Gate {
    state: Mutex<GateState>,
    opened: Condvar,
    entered: Notify,
}

#[derive(Debug, Default)]
struct GateState {
    closed: bool,
    syncs: usize,
    readers: HashSet<ThreadId>,
}

impl GatedVfs {
    /// The gate is open.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            sim: SimVfs::new(seed),
            gate: Arc::default(),
        }
    }

    /// What is left after the loss of power, with a gate of its own that is open.
    pub(crate) fn crash(&self) -> Self {
        Self {
            sim: self.sim.crash(),
            gate: Arc::default(),
        }
    }

    /// From now on syncs wait.
    pub(crate) fn hold_syncs(&self) {
        self.gate.state.lock().closed = true;
    }

    /// Lets them go on.
    pub(crate) fn release_syncs(&self) {
        self.gate.state.lock().closed = false;
        self.gate.opened.notify_all();
    }

    /// Waits until a sync has come to the gate.
    pub(crate) async fn sync_begun(&self) {
        self.gate.entered.notified().await;
    }

    /// Whether this thread has read a segment since it was asked last.
    pub(crate) fn was_read_here(&self) -> bool {
        let here = thread::current().id();
        std::mem::take(&mut self.gate.state.lock().readers).contains(&here)
    }

    /// How many segments were synced so far.
    pub(crate) fn sync_count(&self) -> usize {
        self.gate.state.lock().syncs
    }
}

impl Vfs for GatedVfs {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn VfsFile>> {
        let file = self.sim.open(path, mode)?;
        if path.extension().is_none_or(|extension| extension != "log") {
            return Ok(file);
        }
        Ok(Arc::new(GatedFile {
            file,
            gate: Arc::clone(&self.gate),
        }))
    }
    fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        self.sim.read_dir(path)
    }
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.sim.create_dir_all(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.sim.rename(from, to)
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.sim.remove_file(path)
    }
    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.sim.remove_dir_all(path)
    }
    fn exists(&self, path: &Path) -> bool {
        self.sim.exists(path)
    }
    fn modified(&self, path: &Path) -> io::Result<Timestamp> {
        self.sim.modified(path)
    }
    fn identity(&self, path: &Path) -> io::Result<FileId> {
        self.sim.identity(path)
    }
    fn is_read_only(&self, path: &Path) -> io::Result<bool> {
        self.sim.is_read_only(path)
    }
    fn open_dir(&self, path: &Path) -> io::Result<Box<dyn VfsDir>> {
        self.sim.open_dir(path)
    }
    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        self.sim.free_bytes(path)
    }
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Debug + Send + Sync>> {
        self.sim.lock(path)
    }
}

#[derive(Debug)]
struct GatedFile {
    file: Arc<dyn VfsFile>,
    gate: Arc<Gate>,
}

impl GatedFile {
    fn note_reader(&self) {
        let mut state = self.gate.state.lock();
        state.readers.insert(thread::current().id());
    }
}

impl VfsFile for GatedFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn append(&self, slices: &[IoSlice<'_>]) -> io::Result<u64> {
        self.file.append(slices)
    }
    fn read_exact_at(&self, buffer: &mut [u8], position: u64) -> io::Result<()> {
        self.note_reader();
        self.file.read_exact_at(buffer, position)
    }
    fn set_len(&self, length: u64) -> io::Result<()> {
        self.file.set_len(length)
    }
    fn allocate(&self, length: u64) -> io::Result<()> {
        self.file.allocate(length)
    }
    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.gate.state.lock();
        state.syncs += 1;
        if state.closed {
            self.gate.entered.notify_one();
            self.gate
                .opened
                .wait_while(&mut state, |state| state.closed);
        }
        drop(state);
        self.file.sync_data()
    }
}
