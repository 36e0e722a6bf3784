//! Keeping what recovery takes out of a log, in files called `SEGMENT.log.cut-N`.
//!
//! No byte is destroyed: a tail is copied and synced before it is cut off, and a segment is
//! renamed.

use std::io::IoSlice;
use std::path::PathBuf;

use brooklet_protocol::Offset;

use super::super::error::OrIo;
use super::super::segment::log_path;
use super::super::{LogError, files};
use super::{Recovery, SCAN_WINDOW_BYTES, Tail};
use crate::vfs::OpenMode;

impl Recovery<'_> {
    /// Copies what is behind the good batches to a side file, then cuts it off.
    pub(super) fn cut(&mut self, tail: &Tail) -> Result<(), LogError> {
        let path = tail.segment.path();
        let (good, size) = (tail.segment.size(), tail.file.len().or_io("measure", path)?);
        if good == size {
            return Ok(());
        }
        let side_path = files::side_path(&*self.vfs, path);
        let side_file =
            (self.vfs.open(&side_path, OpenMode::CreateNew)).or_io("create", &side_path)?;
        let mut position = good;
        while position < size {
            let length = (size - position).min(SCAN_WINDOW_BYTES as u64);
            let mut buffer = vec![0; length as usize];
            (tail.file.read_exact_at(&mut buffer, position)).or_io("read", path)?;
            (side_file.append(&[IoSlice::new(&buffer)])).or_io("write", &side_path)?;
            position += length;
        }
        // The copy is safe before the original goes.
        side_file.sync_data().or_io("sync", &side_path)?;
        self.vfs.sync_dir(self.dir).or_io("sync", self.dir)?;
        tail.file.set_len(good).or_io("cut", path)?;
        // And the original is gone before anything is written over it: a good batch behind the torn
        // one could otherwise turn up again behind a new batch of the torn one's size.
        tail.file.sync_data().or_io("sync", path)?;
        self.note_cut(side_path, size - good);
        Ok(())
    }

    /// Renames segments that can no longer be reached to side files.
    pub(super) fn set_aside(&mut self, bases: &[Offset]) -> Result<(), LogError> {
        for base in bases {
            let path = log_path(self.dir, *base);
            let (_, size) = self.open_file(&path)?;
            let side_path = files::side_path(&*self.vfs, &path);
            tracing::warn!(segment = %path.display(), to = %side_path.display(), "segment cannot be reached: renamed to a side file");
            self.vfs.rename(&path, &side_path).or_io("rename", &path)?;
            let indexes = files::indexes_of(&path).into_iter();
            (self.leftovers).extend(indexes.filter(|index| self.vfs.exists(index)));
            self.note_cut(side_path, size);
        }
        if bases.is_empty() {
            return Ok(());
        }
        self.vfs.sync_dir(self.dir).or_io("sync", self.dir)
    }

    fn note_cut(&mut self, side_path: PathBuf, bytes: u64) {
        self.report.bytes_cut += bytes;
        self.report.side_file.get_or_insert(side_path);
    }
}
