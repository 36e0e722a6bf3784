//! Walks over the batches of a segment, header by header.
//!
//! A cursor stands at a batch and knows which offset must come there, so that a walk meets every
//! kind of damage: a malformed header, a batch that is cut off, offsets that do not continue.
//! (Base offset and length lie outside of a batch's checksum; the chain is what guards them.)
//! Checksums are checked on request, because a walk that only searches does not read bodies.

use std::ops::Range;

use brooklet_protocol::Offset;
use brooklet_protocol::records::{BATCH_HEADER_BYTES, BatchError, BatchHeader, RecordBatch};
use bytes::Bytes;

use super::files::OFFSET_MAX;
use super::segment::Segment;
use super::{Damage, LogError};

/// A position between two batches of a segment.
#[derive(Debug)]
pub(super) struct BatchCursor<'a> {
    segment: &'a Segment,
    position: u64,
    /// Where the walk ends: the segment's size when it began.
    end: u64,
    /// The offset that must come here, or the least that may where there are gaps; `None` where
    /// what comes before is unknown.
    next_offset: Option<Offset>,
    /// Bytes from `window_position` on.
    window: Bytes,
    window_position: u64,
    /// How much to read ahead, at least.
    window_bytes: usize,
}

impl<'a> BatchCursor<'a> {
    /// Stands at `position`, where the batch with `next_offset` begins, and reads ahead
    /// `window_bytes` at a time.
    pub(super) fn new(
        segment: &'a Segment,
        (position, next_offset): (u64, Option<Offset>),
        window_bytes: usize,
    ) -> Self {
        Self {
            segment,
            position,
            end: segment.size(),
            next_offset,
            window: Bytes::new(),
            window_position: position,
            window_bytes,
        }
    }

    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// The bytes from here to the end.
    pub(super) fn rest(&self) -> u64 {
        self.end.saturating_sub(self.position)
    }

    /// The offset that comes behind what the walk has passed.
    pub(super) fn next_offset(&self) -> Offset {
        self.next_offset.unwrap_or(self.segment.base_offset())
    }

    /// The header of the batch here; `None` at the end.
    pub(super) fn header(&mut self) -> Result<Option<BatchHeader>, LogError> {
        let rest = self.rest();
        if rest == 0 {
            return Ok(None);
        }
        let head = self.look(self.position, rest.min(BATCH_HEADER_BYTES as u64) as usize)?;
        let header = BatchHeader::parse(head).map_err(|error| self.corrupt(error.into()))?;
        if let Some(expected) = self.next_offset
            && header.base_offset != expected
            && !self.segment.may_be_gap(expected, header.base_offset)
        {
            let found = header.base_offset;
            return Err(self.corrupt(Damage::Offset { expected, found }));
        }
        if header.base_offset < self.segment.base_offset() || header.base_offset.0 > OFFSET_MAX {
            let (expected, found) = (self.segment.base_offset(), header.base_offset);
            return Err(self.corrupt(Damage::Offset { expected, found }));
        }
        if header.size() as u64 > rest {
            let cut_off = BatchError::Truncated {
                expected: header.size(),
                found: rest as usize,
            };
            return Err(self.corrupt(cut_off.into()));
        }
        Ok(Some(header))
    }

    /// The batch here, whose header was just read, with its checksum verified.
    pub(super) fn verified_batch(&mut self, header: &BatchHeader) -> Result<RecordBatch, LogError> {
        self.verified_at(self.position, header)
    }

    /// Verifies the checksum of the batch here, whose header was just read.
    pub(super) fn verify(&mut self, header: &BatchHeader) -> Result<(), LogError> {
        self.verify_passed(self.position, header)
    }

    /// Verifies the checksum of a batch at `position` that the walk has passed.
    pub(super) fn verify_passed(
        &mut self,
        position: u64,
        header: &BatchHeader,
    ) -> Result<(), LogError> {
        let bytes = self.look(position, header.size())?;
        let verified = header.verify_crc(bytes);
        verified.map_err(|error| self.segment.corrupt(position, error.into()))
    }

    fn verified_at(
        &mut self,
        position: u64,
        header: &BatchHeader,
    ) -> Result<RecordBatch, LogError> {
        let mut bytes = self.bytes(position, header.size())?;
        let batch = RecordBatch::split_from(&mut bytes)
            .and_then(|batch| batch.verify_crc().map(|()| batch));
        batch.map_err(|error| self.segment.corrupt(position, error.into()))
    }

    /// Goes behind the batch here, whose header was just read.
    pub(super) fn advance(&mut self, header: &BatchHeader) {
        self.position += header.size() as u64;
        self.next_offset = Some(header.next_offset());
    }

    /// Goes over batch after batch as long as `visit` and the headers are good; returns the damage
    /// that it meets, if any.
    pub(super) fn walk_to_end(
        &mut self,
        mut visit: impl FnMut(&mut Self, &BatchHeader) -> Result<(), LogError>,
    ) -> Result<Option<LogError>, LogError> {
        loop {
            let header = match self.header() {
                Ok(None) => return Ok(None),
                Ok(Some(header)) => visit(self, &header).map(|()| header),
                Err(error) => Err(error),
            };
            match header {
                Ok(header) => self.advance(&header),
                Err(error) if error.is_corruption() => return Ok(Some(error)),
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads `length` bytes ahead, from here on. If some are unreadable, the look at their batch
    /// fails later.
    pub(super) fn read_ahead(&mut self, length: usize) -> Result<(), LogError> {
        match self.part(self.position, length) {
            Err(error) if error.is_damage() => {
                self.window_bytes = 0;
                Ok(())
            }
            read => read.map(drop),
        }
    }

    /// Reads the batch here, whose header was just read, if it is not in the window.
    pub(super) fn load(&mut self, header: &BatchHeader) -> Result<(), LogError> {
        self.part(self.position, header.size()).map(drop)
    }

    /// `length` bytes from `position` on.
    pub(super) fn bytes(&mut self, position: u64, length: usize) -> Result<Bytes, LogError> {
        let part = self.part(position, length)?;
        Ok(self.window.slice(part))
    }

    fn look(&mut self, position: u64, length: usize) -> Result<&[u8], LogError> {
        let part = self.part(position, length)?;
        Ok(&self.window[part])
    }

    /// Where the window has these bytes; a new window is read if the present one has not.
    fn part(&mut self, position: u64, length: usize) -> Result<Range<usize>, LogError> {
        let window_end = self.window_position + self.window.len() as u64;
        if position < self.window_position || position + length as u64 > window_end {
            let ahead = length.max(self.window_bytes) as u64;
            let end = position.saturating_add(ahead).min(self.end);
            self.window = match self.segment.bytes(position..end) {
                // What was to be read ahead may be what cannot be read.
                Err(error) if error.is_unreadable() && ahead > length as u64 => {
                    self.window_bytes = 0;
                    self.segment.bytes(position..position + length as u64)?
                }
                read => read?,
            };
            self.window_position = position;
        }
        let start = (position - self.window_position) as usize;
        if start + length > self.window.len() {
            let cut_off = BatchError::Truncated {
                expected: length,
                found: self.window.len(),
            };
            return Err(self.segment.corrupt(position, cut_off.into()));
        }
        Ok(start..start + length)
    }

    /// Damage at the batch here.
    pub(super) fn corrupt(&self, source: Damage) -> LogError {
        self.segment.corrupt(self.position, source)
    }
}
