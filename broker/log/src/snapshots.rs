//! The files with the producers' state, and how the state is found again when a log is opened.
//!
//! ```text
//!             newest good snapshot          log end
//!                     ▼                        ▼
//!  ── 1 MiB before ───┼──── what is behind ────┤
//!    fills windows    │        replayed        │
//! ```
//!
//! A snapshot is written where a segment begins, at a clean close, and after every 64 MiB. So the
//! part to replay is bounded, and only headers are read for it. A snapshot is a hint, like an
//! index: one that is torn or beyond the log's end is ignored, and the log is replayed instead.
//! Losing all of them costs time only. (A producer whose records were all deleted is unknown then,
//! as in Kafka.)
//!
//! The newest two are kept, and those where a segment begins, which are deleted with it.

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use brooklet_protocol::records::{BatchHeader, EndTxnMarker};
use brooklet_protocol::{Offset, Timestamp};

use super::cursor::BatchCursor;
use super::error::OrIo;
use super::findings::{Action, Finding};
use super::producer_state::{EndedTransaction, ProducerStates, snapshot};
use super::recovery::Opened;
use super::segment::WALK_WINDOW_BYTES;
use super::shared::Shared;
use super::{AbortedTransaction, LogError, files};
use crate::vfs::{OpenMode, Vfs};

/// A new snapshot is written after this many bytes of log.
pub(super) const INTERVAL_BYTES: u64 = 64 << 20;
/// How far before a snapshot to look for the batches that it does not hold.
const WINDOW_BYTES: u64 = 1 << 20;
/// Snapshots that are kept wherever they are.
const KEPT: usize = 2;

/// Writes a snapshot at `offset`. It is not synced: its checksum tells whether it is whole.
pub(super) fn write(
    vfs: &dyn Vfs,
    dir: &Path,
    offset: Offset,
    states: &ProducerStates,
) -> io::Result<()> {
    let file = vfs.open(&path(dir, offset), OpenMode::Truncate)?;
    file.append(&[IoSlice::new(&snapshot::encode(states))])?;
    Ok(())
}

/// The path of a snapshot.
pub(super) fn path(dir: &Path, offset: Offset) -> PathBuf {
    files::path(dir, offset, files::SNAPSHOT)
}

/// Removes the snapshots that are neither where a segment begins nor among the newest.
pub(super) fn remove_old(shared: &Shared) -> io::Result<()> {
    let (vfs, dir) = (shared.vfs(), shared.dir());
    let mut offsets: Vec<Offset> = (vfs.read_dir(dir)?.iter())
        .filter_map(|entry| files::snapshot_offset(&entry.name))
        .collect();
    offsets.sort_unstable();
    offsets.truncate(offsets.len().saturating_sub(KEPT));
    let segments = shared.segments();
    for offset in offsets {
        let begins = segments.binary_search_by_key(&offset, |segment| segment.base_offset());
        if begins.is_err() {
            vfs.remove_file(&path(dir, offset))?;
        }
    }
    Ok(())
}

/// The producers' state at the end of a log that was just opened, from the newest good snapshot and
/// what the log says behind it. Rebuilds the transaction indexes on the way.
pub(super) fn restore(opened: &mut Opened) -> Result<(ProducerStates, Offset), LogError> {
    let (mut states, from) = load(opened)?;
    let shared = &opened.shared;
    if !states.is_empty() {
        fill_windows(shared, from, &mut states)?;
    }
    replay(shared, from, &mut states)?;
    shared.unstable().set_open(states.first_open_offset());
    Ok((states, from))
}

/// The newest snapshot that can be used, and its offset; nothing, at the log's first segment, if
/// there is none.
fn load(opened: &mut Opened) -> Result<(ProducerStates, Offset), LogError> {
    let found = std::mem::take(&mut opened.snapshots);
    let (vfs, dir) = (
        Arc::clone(opened.shared.vfs()),
        opened.shared.dir().to_owned(),
    );
    let (end, point) = (opened.shared.end_offset(), opened.shared.recovery_point());
    // A snapshot vouches for the transaction index before it, which is on the disk up to the
    // recovery point.
    let usable = found
        .iter()
        .rev()
        .filter(|offset| **offset <= point || **offset > end);
    let begin = opened.shared.segments()[0].base_offset();
    for offset in usable {
        let path = path(&dir, *offset);
        let ignored = if *offset > end {
            format!("it is newer than the log, which ends at {end}")
        } else if *offset < begin {
            // A transaction that it has for open may have ended in what is deleted.
            format!("it is older than the log, which begins at {begin}")
        } else {
            let read = vfs.read(&path).map_err(|error| error.to_string());
            match read.and_then(|bytes| snapshot::decode(&bytes).map_err(|e| e.to_string())) {
                Ok(states) => return Ok((states, *offset)),
                Err(reason) => reason,
            }
        };
        tracing::warn!(snapshot = %path.display(), reason = %ignored, "snapshot ignored");
        if opened.decide(Finding::UnusableSnapshot) == Action::Remove {
            vfs.remove_file(&path).or_io("remove", &path)?;
            // Before anything is appended: if it came back behind that, it would be believed.
            vfs.sync_dir(&dir).or_io("sync", &dir)?;
        }
    }
    Ok((ProducerStates::default(), begin))
}

/// Finds the batches before the snapshot that it does not hold, as far as they are near.
fn fill_windows(
    shared: &Shared,
    before: Offset,
    states: &mut ProducerStates,
) -> Result<(), LogError> {
    let segments = shared.segments();
    let below = segments.partition_point(|segment| segment.base_offset() < before);
    let Some(segment) = below.checked_sub(1).map(|last| &segments[last]) else {
        return Ok(());
    };
    let mut older = ProducerStates::default();
    let walked = segment
        .seek_before(before, WINDOW_BYTES)
        .and_then(|mut cursor| {
            while let Some(header) = cursor
                .header()?
                .filter(|header| header.base_offset < before)
            {
                if !header.is_control() {
                    older.record(&header, Timestamp::NONE);
                }
                cursor.advance(&header);
            }
            Ok(())
        });
    states.fill_windows(&older);
    pass_damage(walked)
}

/// Replays everything from `from` on, and rebuilds what the transaction indexes say of it.
fn replay(shared: &Shared, from: Offset, states: &mut ProducerStates) -> Result<(), LogError> {
    let segments = shared.segments();
    let above = segments.partition_point(|segment| segment.base_offset() <= from);
    for segment in &segments[above.saturating_sub(1)..] {
        let mut aborted = segment.read_aborted()?;
        aborted.truncate(aborted.partition_point(|known| known.last_offset < from));
        let cursor = if segment.base_offset() >= from {
            Ok(segment.walk(WALK_WINDOW_BYTES))
        } else if from < shared.end_offset() {
            segment.seek(from, WALK_WINDOW_BYTES)
        } else {
            segment.mend_aborted(&aborted)?;
            return Ok(());
        };
        let walked = cursor.and_then(|mut cursor| {
            while let Some(header) = cursor.header()? {
                if let Some(ended) = note(states, &mut cursor, &header)? {
                    aborted.extend(note_ended(shared, states, ended));
                }
                cursor.advance(&header);
            }
            Ok(())
        });
        pass_damage(walked)?;
        // A snapshot that is taken later vouches for them.
        segment.mend_aborted(&aborted)?;
    }
    Ok(())
}

/// Replays the batch here; returns the transaction that it has ended, if any.
fn note(
    states: &mut ProducerStates,
    cursor: &mut BatchCursor<'_>,
    header: &BatchHeader,
) -> Result<Option<EndedTransaction>, LogError> {
    if !header.is_control() {
        states.record(header, Timestamp::NONE);
        return Ok(None);
    }
    let marker = EndTxnMarker::read(&cursor.verified_batch(header)?);
    let marker = marker.map_err(|error| cursor.corrupt(error.into()))?;
    Ok(marker.and_then(|marker| states.record_marker(header, marker, Timestamp::NONE)))
}

/// Notes the end of a transaction; returns the entry for the index of the marker's segment.
pub(super) fn note_ended(
    shared: &Shared,
    states: &ProducerStates,
    ended: EndedTransaction,
) -> Option<AbortedTransaction> {
    (shared.unstable()).ended(ended.first_offset, ended.last_offset);
    if !ended.committed {
        shared.note_has_aborted();
    }
    let behind = ended.last_offset.plus(1);
    (!ended.committed).then(|| AbortedTransaction {
        producer_id: ended.producer_id,
        first_offset: ended.first_offset,
        last_offset: ended.last_offset,
        last_stable_offset: states.first_open_offset().unwrap_or(behind),
    })
}

/// Damage is reported to those who read the records; the state then lacks what is behind it.
fn pass_damage(walked: Result<(), LogError>) -> Result<(), LogError> {
    match walked {
        Err(damage) if damage.is_damage() => {
            tracing::warn!(%damage, "the producers' state ends before the damage");
            Ok(())
        }
        walked => walked,
    }
}
