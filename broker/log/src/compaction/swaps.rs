//! Finishing the swaps that a crash has interrupted.
//!
//! A `BASE.log.swap` was whole and synced before it got this name. It replaces every segment that
//! begins at its base or behind, and before its end. The old ones go oldest first, so `BASE.log`
//! tells whether the swap had begun:
//!
//! | found | done |
//! |---|---|
//! | whole, and it ends no earlier than the segments that it replaces | completed |
//! | damaged, unreadable, or it ends earlier (a cut that no batch shows), and `BASE.log` is there | set aside as a side file: the old segments are all there |
//! | the same without `BASE.log` | refused, nothing is touched: some of the old segments are called `.deleted` |
//!
//! These are the last rows of [recovery's table](super::super::findings).

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use brooklet_protocol::Offset;

use super::super::error::OrIo;
use super::super::files::{self, FileKind};
use super::super::findings::{Action, Finding, Known, Row, decide};
use super::super::segment::{Segment, SegmentSpec};
use super::super::{Damage, LogError, files::SWAP_LOG};
use super::CHUNK_BYTES;
use crate::vfs::{OpenMode, Vfs};

/// Puts every `.swap` in `dir` into its place; returns the row of each in recovery's table.
///
/// # Errors
/// The disk; a `.swap` that is damaged while it is needed, which is left alone.
pub(crate) fn complete(
    vfs: &Arc<dyn Vfs>,
    dir: &Path,
    known: &Known,
) -> Result<Vec<Row>, LogError> {
    let entries = vfs.read_dir(dir).or_io("list", dir)?;
    let kinds = || entries.iter().map(|entry| files::classify(&entry.name));
    let swaps: Vec<Offset> = kinds()
        .filter_map(|kind| match kind {
            FileKind::Swap(base) => Some(base),
            _ => None,
        })
        .collect();
    let mut rows = Vec::new();
    for base in &swaps {
        let swap = files::path(dir, *base, SWAP_LOG);
        let end = end_of(vfs, &swap, *base)
            .and_then(|end| check_end(vfs, dir, (&swap, *base, end), kinds()).map(|()| end));
        let finding = Finding::Swap {
            is_whole: end.is_ok(),
            has_begun: !vfs.exists(&files::path(dir, *base, files::LOG)),
        };
        let (row, action) = decide(finding, known);
        rows.push(row);
        let end = match end {
            Ok(end) => end,
            Err(error) if action == Action::SetAside => {
                set_aside(vfs, dir, &swap, &error)?;
                continue;
            }
            Err(error) => return Err(error),
        };
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
    Ok(rows)
}

/// Takes a `.swap` out of the way whose old segments are all there.
fn set_aside(vfs: &Arc<dyn Vfs>, dir: &Path, swap: &Path, why: &LogError) -> Result<(), LogError> {
    let aside = files::side_path(&**vfs, &swap.with_extension(""));
    let (from, to) = (swap.display(), aside.display());
    tracing::warn!("{from}: not put in its place, kept as {to}: {why}");
    vfs.rename(swap, &aside).or_io("rename", swap)?;
    vfs.sync_dir(dir).or_io("sync", dir)
}

/// Refuses a new segment that ends before the last of the old ones that it would replace.
fn check_end(
    vfs: &Arc<dyn Vfs>,
    dir: &Path,
    (swap, base, end): (&Path, Offset, Offset),
    kinds: impl Iterator<Item = FileKind>,
) -> Result<(), LogError> {
    // One that ends where it begins would still take the name of the first.
    let replaced = base..end.max(base.plus(1));
    let bases = kinds.filter_map(|kind| match kind {
        FileKind::Segment(old) | FileKind::Retired(old) if replaced.contains(&old) => Some(old),
        _ => None,
    });
    let Some(last) = bases.max() else {
        return Ok(());
    };
    let log = files::path(dir, last, files::LOG);
    for path in [files::deleted(&log), log] {
        if !vfs.exists(&path) {
            continue;
        }
        let expected = last_end(vfs, &path, last)?;
        if expected > end {
            return Err(LogError::Corrupt {
                path: swap.to_owned(),
                position: 0,
                source: Damage::EndsEarly { end, expected },
            });
        }
    }
    Ok(())
}

/// Where an old segment ends, as far as its headers make sense.
fn last_end(vfs: &Arc<dyn Vfs>, path: &Path, base: Offset) -> Result<Offset, LogError> {
    let segment = whole_file(vfs, path, base)?;
    let mut cursor = segment.walk(CHUNK_BYTES);
    loop {
        match cursor.header() {
            Ok(Some(header)) => cursor.advance(&header),
            Ok(None) => return Ok(cursor.next_offset()),
            // The reader finds the damage.
            Err(error) if error.is_corruption() => return Ok(cursor.next_offset()),
            Err(error) => return Err(error),
        }
    }
}

fn whole_file(vfs: &Arc<dyn Vfs>, path: &Path, base: Offset) -> Result<Segment, LogError> {
    let file = vfs.open(path, OpenMode::Read).or_io("open", path)?;
    let size = file.len().or_io("measure", path)?;
    let spec = SegmentSpec {
        vfs: Arc::clone(vfs),
        path: path.to_owned(),
        base_offset: base,
        index_interval_bytes: 0,
        gaps_below: Offset(i64::MAX),
    };
    Ok(Segment::sealed(spec, size))
}

/// Where a new segment ends, if it is whole.
fn end_of(vfs: &Arc<dyn Vfs>, path: &Path, base: Offset) -> Result<Offset, LogError> {
    let segment = whole_file(vfs, path, base)?;
    let mut cursor = segment.walk(CHUNK_BYTES);
    while let Some(header) = cursor.header()? {
        cursor.verify(&header)?;
        cursor.advance(&header);
    }
    Ok(cursor.next_offset())
}
