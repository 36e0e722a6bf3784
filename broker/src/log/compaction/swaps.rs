//! Finishing the swaps that a crash has interrupted.
//!
//! A `BASE.log.swap` was whole and synced before it got this name. It replaces every segment that
//! begins at its base or behind, and before its end.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use brooklet_protocol::Offset;

use super::super::error::OrIo;
use super::super::files::{self, FileKind};
use super::super::segment::Segment;
use super::super::{LogError, files::SWAP_LOG};
use super::CHUNK_BYTES;
use crate::vfs::{OpenMode, Vfs};

/// Puts every `.swap` in `dir` into its place; tells how many there were.
///
/// # Errors
/// The disk; a `.swap` that is damaged, which is left alone.
pub(in crate::log) fn complete(vfs: &Arc<dyn Vfs>, dir: &Path) -> Result<usize, LogError> {
    let entries = vfs.read_dir(dir).or_io("list", dir)?;
    let kinds = || entries.iter().map(|entry| files::classify(&entry.name));
    let swaps: Vec<Offset> = kinds()
        .filter_map(|kind| match kind {
            FileKind::Swap(base) => Some(base),
            _ => None,
        })
        .collect();
    for base in &swaps {
        let swap = files::path(dir, *base, SWAP_LOG);
        let end = end_of(vfs, &swap, *base)?;
        // The crash may have come between a `.log` and its indexes, which now speak of nothing.
        let replaced = kinds().filter_map(|kind| match kind {
            FileKind::Segment(old) | FileKind::Index(old) if (*base..end).contains(&old) => {
                Some(old)
            }
            _ => None,
        });
        let replaced: BTreeSet<Offset> = replaced.collect();
        let log = |base| files::path(dir, base, files::LOG);
        // The new segment's, since before the swap began.
        let aborted = log(*base).with_extension(files::TXN_INDEX);
        let of_old = replaced
            .into_iter()
            .flat_map(|old| files::of_segment(&log(old)));
        for path in of_old.filter(|path| *path != aborted) {
            if vfs.exists(&path) {
                let to = files::deleted(&path);
                vfs.rename(&path, &to).or_io("rename", &path)?;
            }
        }
        tracing::info!(segment = %swap.display(), "interrupted swap: completed");
        vfs.rename(&swap, &log(*base)).or_io("rename", &swap)?;
        vfs.sync_dir(dir).or_io("sync", dir)?;
    }
    Ok(swaps.len())
}

/// Where a new segment ends, if it is whole.
fn end_of(vfs: &Arc<dyn Vfs>, path: &Path, base: Offset) -> Result<Offset, LogError> {
    let file = vfs.open(path, OpenMode::Read).or_io("open", path)?;
    let size = file.len().or_io("measure", path)?;
    let segment = Segment::sealed(
        Arc::clone(vfs),
        path.to_owned(),
        base,
        size,
        (0, Offset(i64::MAX)),
    );
    let mut cursor = segment.walk(CHUNK_BYTES);
    while let Some(header) = cursor.header()? {
        cursor.verify(&header)?;
        cursor.advance(&header);
    }
    Ok(cursor.next_offset())
}
