//! The two images of every file and directory: what the process sees, and what the medium holds.
//!
//! ```text
//!  file        live      [ settled ............ | not synced ....... ]
//!              durable   [ settled ............ ]
//!                                               ▲
//!                                      sync moves it to the end of live
//!
//!  directory   live      { a, c }
//!              durable   { a, b }      unsynced changes, in order: [b gone] [c created]
//! ```
//!
//! A crash makes a new tree, the *survivors*: of each file either the durable image, or the settled
//! bytes and a prefix of the others, with some sectors zeroed; of each directory the durable entries
//! and the first few of the unsynced changes. Chance decides, by the seed of the file system.
//!
//! Invariants:
//! - the settled part is equal in both images, unless a failed sync has left zeros on the medium;
//! - an inode stays valid after its last name is gone, as on Unix, and is never used for another file;
//! - a change of names (a rename takes one name and gives another) survives whole or not at all;
//! - a sector that was made unreadable stays so after a crash, until the file is cut below it.
//!
//! What is interrupted, refused or counted is decided one floor up, in [`SimVfs`](super::SimVfs).

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::path::{Component, Path};

use brooklet_protocol::Timestamp;

use super::random::Random;
use crate::vfs::DirEntry;

/// The unit in which a torn write is torn.
const SECTOR_BYTES: usize = 512;

/// Where a file or directory stands in its [`Tree`]; it stays valid after the name is gone.
pub(super) type InodeId = usize;

const ROOT: InodeId = 0;

/// All files and directories, named or not.
#[derive(Debug)]
pub(super) struct Tree {
    inodes: Vec<Inode>,
}

#[derive(Debug)]
enum Inode {
    File(File),
    Directory(Directory),
}

/// A file: `live` as seen, `durable` as on the medium. Below `settled` the medium has all it will
/// get from `live`; from there on `live` was not synced.
#[derive(Debug, Default)]
pub(super) struct File {
    live: Vec<u8>,
    durable: Vec<u8>,
    settled: usize,
    /// Bytes that no read gets.
    unreadable: Vec<Range<u64>>,
    /// When it was last changed.
    modified_ms: i64,
}

/// A directory: its entries as seen, as on the medium, and the changes that lie between, in order.
#[derive(Debug, Default)]
struct Directory {
    live: BTreeMap<String, InodeId>,
    durable: BTreeMap<String, InodeId>,
    unsynced: Vec<Change>,
}

/// Names that get a file or lose theirs in one step.
type Change = Vec<(String, Option<InodeId>)>;

impl File {
    pub(super) fn len(&self) -> u64 {
        self.live.len() as u64
    }

    pub(super) fn modified(&self) -> Timestamp {
        Timestamp(self.modified_ms)
    }

    pub(super) fn set_modified(&mut self, time: Timestamp) {
        self.modified_ms = time.0;
    }

    pub(super) fn append(&mut self, bytes: &[u8]) -> u64 {
        let position = self.len();
        self.live.extend_from_slice(bytes);
        position
    }

    pub(super) fn read_exact_at(&self, buffer: &mut [u8], position: u64) -> io::Result<()> {
        let start = usize::try_from(position).map_err(io::Error::other)?;
        let part = (start.checked_add(buffer.len())).and_then(|end| self.live.get(start..end));
        let part = part.ok_or(ErrorKind::UnexpectedEof)?;
        let end = position + part.len() as u64;
        if (self.unreadable.iter()).any(|bad| bad.start < end && position < bad.end) {
            return Err(super::input_output_error());
        }
        buffer.copy_from_slice(part);
        Ok(())
    }

    pub(super) fn set_len(&mut self, length: usize) {
        self.live.resize(length, 0);
        self.settled = self.settled.min(length);
        for bad in &mut self.unreadable {
            bad.end = bad.end.min(length as u64);
        }
        self.unreadable.retain(|bad| !bad.is_empty());
    }

    pub(super) fn sync(&mut self) {
        self.durable.truncate(self.settled);
        self.durable.extend_from_slice(&self.live[self.settled..]);
        self.settled = self.live.len();
    }

    /// The pages count as clean, but never reached the medium.
    pub(super) fn sync_failed(&mut self) {
        self.durable.truncate(self.settled);
        self.durable.resize(self.live.len(), 0);
        self.settled = self.live.len();
    }

    pub(super) fn make_unreadable(&mut self, range: Range<u64>) {
        self.unreadable.push(range);
    }

    pub(super) fn flip_bit(&mut self, position: u64) -> io::Result<()> {
        let (byte, mask) = ((position / 8) as usize, 1 << (position % 8));
        *self.live.get_mut(byte).ok_or(ErrorKind::InvalidInput)? ^= mask;
        if let Some(durable) = self.durable.get_mut(byte) {
            *durable ^= mask;
        }
        Ok(())
    }

    fn survivor(&self, random: &mut Random) -> Self {
        let content = if random.one_in(3) {
            self.durable.clone()
        } else {
            self.partly_written(random)
        };
        Self {
            live: content.clone(),
            settled: content.len(),
            durable: content,
            unreadable: self.unreadable.clone(),
            modified_ms: self.modified_ms,
        }
    }

    /// The settled bytes and a prefix of the others, at times with sectors that were not written.
    fn partly_written(&self, random: &mut Random) -> Vec<u8> {
        let mut content = self.durable[..self.settled].to_vec();
        let unsynced = &self.live[self.settled..];
        content.extend_from_slice(&unsynced[..random.up_to(unsynced.len())]);
        if random.one_in(2) {
            let mut start = self.settled;
            while start < content.len() {
                let end = content.len().min((start / SECTOR_BYTES + 1) * SECTOR_BYTES);
                if random.one_in(4) {
                    content[start..end].fill(0);
                }
                start = end;
            }
        }
        content
    }
}

impl Directory {
    fn change(&mut self, change: Change) {
        apply(&mut self.live, &change);
        self.unsynced.push(change);
    }

    fn sync(&mut self) {
        self.durable.clone_from(&self.live);
        self.unsynced.clear();
    }

    fn survivor(&self, random: &mut Random) -> BTreeMap<String, InodeId> {
        let mut entries = self.durable.clone();
        for change in &self.unsynced[..random.up_to(self.unsynced.len())] {
            apply(&mut entries, change);
        }
        entries
    }
}

fn apply(entries: &mut BTreeMap<String, InodeId>, change: &Change) {
    for (name, id) in change {
        match id {
            Some(id) => entries.insert(name.clone(), *id),
            None => entries.remove(name),
        };
    }
}

impl Tree {
    pub(super) fn new() -> Self {
        Self {
            inodes: vec![Inode::Directory(Directory::default())],
        }
    }

    pub(super) fn find(&self, path: &Path) -> io::Result<InodeId> {
        let mut id = ROOT;
        for name in names(path)? {
            let entries = &self.directory(id)?.live;
            id = *entries.get(name).ok_or(ErrorKind::NotFound)?;
        }
        Ok(id)
    }

    pub(super) fn file_mut(&mut self, id: InodeId) -> io::Result<&mut File> {
        match &mut self.inodes[id] {
            Inode::File(file) => Ok(file),
            Inode::Directory(_) => Err(ErrorKind::IsADirectory.into()),
        }
    }

    fn directory(&self, id: InodeId) -> io::Result<&Directory> {
        match &self.inodes[id] {
            Inode::Directory(directory) => Ok(directory),
            Inode::File(_) => Err(ErrorKind::NotADirectory.into()),
        }
    }

    fn directory_mut(&mut self, id: InodeId) -> io::Result<&mut Directory> {
        match &mut self.inodes[id] {
            Inode::Directory(directory) => Ok(directory),
            Inode::File(_) => Err(ErrorKind::NotADirectory.into()),
        }
    }

    /// The directory that holds (or could hold) `path`, and the last name.
    fn parent<'p>(&self, path: &'p Path) -> io::Result<(InodeId, &'p str)> {
        let names = names(path)?;
        let (name, parents) = names.split_last().ok_or(ErrorKind::InvalidInput)?;
        let parent = self.find(&parents.iter().collect::<std::path::PathBuf>())?;
        self.directory(parent)?;
        Ok((parent, name))
    }

    fn create(&mut self, parent: InodeId, name: &str, inode: Inode) -> io::Result<InodeId> {
        let id = self.inodes.len();
        let change = vec![(name.to_owned(), Some(id))];
        self.directory_mut(parent)?.change(change);
        self.inodes.push(inode);
        Ok(id)
    }

    pub(super) fn create_file(&mut self, path: &Path) -> io::Result<InodeId> {
        let (parent, name) = self.parent(path)?;
        self.create(parent, name, Inode::File(File::default()))
    }

    pub(super) fn create_dir_all(&mut self, path: &Path) -> io::Result<()> {
        let mut id = ROOT;
        for name in names(path)? {
            let found = self.directory(id)?.live.get(name).copied();
            id = match found {
                Some(child) => child,
                None => self.create(id, name, Inode::Directory(Directory::default()))?,
            };
        }
        self.directory(id).map(|_| ())
    }

    pub(super) fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let directory = self.directory(self.find(path)?)?;
        let entries = directory.live.iter().map(|(name, id)| DirEntry {
            name: name.clone(),
            is_dir: matches!(self.inodes[*id], Inode::Directory(_)),
        });
        Ok(entries.collect())
    }

    pub(super) fn find_dir(&self, path: &Path) -> io::Result<InodeId> {
        let id = self.find(path)?;
        self.directory(id)?;
        Ok(id)
    }

    pub(super) fn sync_dir(&mut self, id: InodeId) -> io::Result<()> {
        self.directory_mut(id)?.sync();
        Ok(())
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let id = self.find(from)?;
        let (from_parent, from_name) = self.parent(from)?;
        let (to_parent, to_name) = self.parent(to)?;
        if from_parent != to_parent {
            return Err(ErrorKind::CrossesDevices.into());
        }
        if let Some(replaced) = self.directory(to_parent)?.live.get(to_name)
            && let Inode::Directory(directory) = &self.inodes[*replaced]
        {
            if matches!(self.inodes[id], Inode::File(_)) {
                return Err(ErrorKind::IsADirectory.into());
            }
            if !directory.live.is_empty() {
                return Err(ErrorKind::DirectoryNotEmpty.into());
            }
        }
        let change = vec![(from_name.to_owned(), None), (to_name.to_owned(), Some(id))];
        self.directory_mut(from_parent)?.change(change);
        Ok(())
    }

    pub(super) fn remove_file(&mut self, path: &Path) -> io::Result<()> {
        let id = self.find(path)?;
        self.file_mut(id)?;
        self.unlink(path)
    }

    pub(super) fn remove_dir_all(&mut self, path: &Path) -> io::Result<()> {
        for entry in self.read_dir(path)? {
            let child = path.join(&entry.name);
            if entry.is_dir {
                self.remove_dir_all(&child)?;
            } else {
                self.unlink(&child)?;
            }
        }
        self.unlink(path)
    }

    fn unlink(&mut self, path: &Path) -> io::Result<()> {
        let (parent, name) = self.parent(path)?;
        let change = vec![(name.to_owned(), None)];
        self.directory_mut(parent)?.change(change);
        Ok(())
    }

    /// Bytes of all files that have a name.
    pub(super) fn used_bytes(&self) -> u64 {
        self.used_below(ROOT)
    }

    fn used_below(&self, id: InodeId) -> u64 {
        match &self.inodes[id] {
            Inode::File(file) => file.len(),
            Inode::Directory(directory) => {
                directory.live.values().map(|id| self.used_below(*id)).sum()
            }
        }
    }

    /// What a power cut leaves.
    pub(super) fn survivors(&self, random: &mut Random) -> Self {
        let mut survivors = Self { inodes: Vec::new() };
        self.survive(ROOT, random, &mut survivors);
        survivors
    }

    fn survive(&self, id: InodeId, random: &mut Random, survivors: &mut Self) -> InodeId {
        let new_id = survivors.inodes.len();
        match &self.inodes[id] {
            Inode::File(file) => survivors.inodes.push(Inode::File(file.survivor(random))),
            Inode::Directory(directory) => {
                (survivors.inodes).push(Inode::Directory(Directory::default()));
                let mut entries = BTreeMap::new();
                for (name, id) in directory.survivor(random) {
                    entries.insert(name, self.survive(id, random, survivors));
                }
                survivors.inodes[new_id] = Inode::Directory(Directory {
                    live: entries.clone(),
                    durable: entries,
                    unsynced: Vec::new(),
                });
            }
        }
        new_id
    }
}

/// The names in a path. It starts at the root, with or without a slash.
fn names(path: &Path) -> io::Result<Vec<&str>> {
    let mut names = Vec::new();
    for component in path.components() {
        match component {
            Component::RootDir | Component::CurDir => {}
            Component::Normal(name) => names.push(name.to_str().ok_or(ErrorKind::InvalidInput)?),
            Component::ParentDir | Component::Prefix(_) => {
                return Err(ErrorKind::InvalidInput.into());
            }
        }
    }
    Ok(names)
}
