//! Finding where a log ends: at a glance after a clean shutdown, else batch by batch.
//!
//! ```text
//!                  recovery point
//!                        ▼
//!  [ trusted | trusted | trusted part ▒▒▒ scanned ▒▒▒ | ▒ scanned ▒ ]
//!                                   ▲
//!                    the last index entry below the recovery point
//! ```
//!
//! Segments below the recovery point's are taken over unread. In its segment an index entry leads
//! to where the scan begins; the entry is a hint, so it is checked where it leads.

use std::path::Path;
use std::sync::Arc;

use brooklet_protocol::Offset;

use super::super::error::OrIo;
use super::super::findings::{Action, Finding};
use super::super::indexes::{self, GrowingIndexes};
use super::super::segment::{Content, Segment, WALK_WINDOW_BYTES, log_path};
use super::super::{Damage, LogError};
use super::{Recovery, SCAN_WINDOW_BYTES, Tail};

impl Recovery<'_> {
    /// Reads only the end of the last segment, after a clean shutdown. `None` if it is not whole.
    pub(super) fn open_clean(
        &mut self,
        bases: &[Offset],
    ) -> Result<Option<(Tail, Action)>, LogError> {
        let (last, sealed) = bases.split_last().expect("there is a segment");
        let tail = self.walk_to_end(*last)?;
        let end = tail.next_offset;
        let finding = Finding::CleanEnd {
            end,
            is_whole: tail.broken.is_none(),
        };
        let place = (tail.segment.path(), tail.segment.size());
        let action = self.decide_end(finding, place, end)?;
        if action == Action::Scan {
            let (log, broken) = (self.dir.display(), tail.broken.as_ref());
            let broken = broken.map(ToString::to_string).unwrap_or_default();
            tracing::warn!(%log, %broken, "marked as cleanly shut down, but not whole: scanning");
            return Ok(None);
        }
        self.trust(sealed)?;
        Ok(Some((tail, action)))
    }

    /// Walks over the headers behind the last index entry; over all, and indexes them, when the
    /// indexes are not usable.
    fn walk_to_end(&mut self, base: Offset) -> Result<Tail, LogError> {
        let path = log_path(self.dir, base);
        let (file, size) = self.open_file(&path)?;
        let indexed = indexes::read_growing(&*self.vfs, &path, size).or_io("index", &path)?;
        let rebuild = indexed.is_none() && size > 0;
        let indexes = indexed.unwrap_or_default();
        let content = Content {
            file: Arc::clone(&file),
            size,
            verified_from: size,
        };
        let segment = Segment::active(self.spec(path, base), content, indexes);
        let mut cursor = segment.seek_last(WALK_WINDOW_BYTES)?;
        let broken = cursor.walk_to_end(|cursor, header| {
            if rebuild {
                segment.index(header, cursor.position());
            }
            Ok(())
        })?;
        let next_offset = cursor.next_offset();
        if rebuild && broken.is_none() {
            let path = segment.path().display();
            tracing::warn!(segment = %path, "indexes missing or inconsistent: rebuilt");
            self.report.indexes_rebuilt += 1;
            self.decide(Finding::UnusableIndex);
        }
        Ok(Tail {
            segment,
            file,
            next_offset,
            broken,
            indexes_are_new: rebuild,
        })
    }

    /// Reads every batch from the recovery point on, and cuts off a torn tail.
    pub(super) fn scan(&mut self, bases: &[Offset]) -> Result<(Tail, Action), LogError> {
        // The process that wrote these files may not have synced their names.
        self.unsynced_names.insert(self.dir.to_owned());
        let above = bases.partition_point(|base| *base <= self.synced_below());
        let first = above.saturating_sub(1);
        self.trust(&bases[..first])?;
        let mut left = &bases[first..];
        loop {
            let (base, behind) = left.split_first().expect("there is a segment");
            let mut tail = self.scan_segment(*base)?;
            let end = tail.next_offset;
            if let Some(broken) = tail.broken.take() {
                let action = self.decide_broken(Finding::BadBatch { end }, broken)?;
                self.cut(&tail)?;
                if !behind.is_empty() {
                    self.decide(Finding::BehindEnd);
                    self.set_aside(behind)?;
                }
                return Ok((tail, action));
            }
            let Some(next_base) = behind.first() else {
                let place = (tail.segment.path(), tail.segment.size());
                let action = self.decide_end(Finding::ScannedEnd { end }, place, end)?;
                return Ok((tail, action));
            };
            if *next_base != end && !tail.segment.may_be_gap(end, *next_base) {
                let broken = hole(&log_path(self.dir, *next_base), end, *next_base);
                let action = self.decide_broken(Finding::Hole { end }, broken)?;
                self.set_aside(behind)?;
                return Ok((tail, action));
            }
            if tail.indexes_are_new {
                tail.segment.replace_indexes()?;
            }
            tail.segment.seal();
            self.segments.push(Arc::new(tail.segment));
            left = behind;
        }
    }

    /// As [`Recovery::decide`], of a log that is broken; `broken` is the error if that is refused.
    fn decide_broken(&mut self, finding: Finding, broken: LogError) -> Result<Action, LogError> {
        let action = self.decide(finding);
        if action == Action::Refuse {
            return Err(broken);
        }
        let synced = self.known.synced.max(self.known.log_start);
        tracing::warn!(%broken, %synced, "torn tail: kept in side files and cut");
        Ok(action)
    }

    fn scan_segment(&mut self, base: Offset) -> Result<Tail, LogError> {
        let scanned = self.verify_segment(base);
        if scanned.as_ref().is_err_and(LogError::is_unreadable) {
            self.decide(Finding::UnreadableSector);
        }
        scanned
    }

    /// Verifies a segment from the recovery point on, batch by batch, and rebuilds the indexes of
    /// what it verifies.
    fn verify_segment(&mut self, base: Offset) -> Result<Tail, LogError> {
        let path = log_path(self.dir, base);
        let (file, size) = self.open_file(&path)?;
        let (indexes, trusted_bytes) = self.trusted_part(&path, base, size)?;
        self.report.indexes_rebuilt += u64::from(trusted_bytes == 0);
        let content = Content {
            file: Arc::clone(&file),
            size,
            verified_from: trusted_bytes,
        };
        let segment = Segment::active(self.spec(path, base), content, indexes);
        let mut cursor = segment.walk_from(trusted_bytes, SCAN_WINDOW_BYTES);
        let batches_scanned = &mut self.report.batches_scanned;
        let broken = cursor.walk_to_end(|cursor, header| {
            cursor.verify(header)?;
            segment.index(header, cursor.position());
            *batches_scanned += 1;
            Ok(())
        })?;
        let (next_offset, good_bytes) = (cursor.next_offset(), cursor.position());
        segment.publish(good_bytes);
        Ok(Tail {
            segment,
            file,
            next_offset,
            broken,
            indexes_are_new: trusted_bytes == 0 && base < self.synced_below(),
        })
    }

    /// What a segment's index says of the part below the recovery point: its entries, and how many
    /// bytes lie before the last of them. Nothing if it says nothing, or something wrong.
    fn trusted_part(
        &mut self,
        path: &Path,
        base: Offset,
        size: u64,
    ) -> Result<(GrowingIndexes, u64), LogError> {
        let nothing = (GrowingIndexes::default(), 0);
        let relative = self.synced_below().0 - base.0;
        if relative <= 0 {
            return Ok(nothing);
        }
        let indexed = indexes::read_growing(&*self.vfs, path, size).or_io("index", path)?;
        let Some(mut indexes) = indexed else {
            self.decide(Finding::UnusableIndex);
            return Ok(nothing);
        };
        let Some(entry) = indexes.cut_to(relative) else {
            return Ok(nothing);
        };
        let segment = Segment::sealed(self.spec(path.to_owned(), base), size);
        let Some(cursor) = segment.follow(entry, WALK_WINDOW_BYTES)? else {
            self.decide(Finding::UnusableIndex);
            return Ok(nothing);
        };
        Ok((indexes, cursor.position()))
    }

    /// What was deleted was durable before, whatever the recovery point says.
    fn synced_below(&self) -> Offset {
        self.start.recovery_point.max(self.start.log_start_offset)
    }
}

/// The segment at `path` does not start where the one before it ends.
fn hole(path: &Path, expected: Offset, found: Offset) -> LogError {
    LogError::Corrupt {
        path: path.to_owned(),
        position: 0,
        source: Damage::Offset { expected, found },
    }
}
