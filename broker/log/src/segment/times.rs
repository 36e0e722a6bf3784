//! What a segment knows of its records' timestamps: look-ups by time, and the highest.
//!
//! Both go by the max timestamp in each batch's header. The broker computes it from the records
//! when a batch is appended, so it holds for whatever this version has appended. A segment that was
//! there before may hold batches of which it does not hold: kafkajs 2.2.4 and sarama up to 1.44
//! wrote others, and brokers stored them. Such a segment is *unchecked*:
//!
//! ```text
//!                     headers are believed         records are read
//!  highest timestamp  last entry of the index      survey of all batches, once, kept in memory
//!  look-up            index, then headers          batches from the first on, record by record
//! ```
//!
//! If the survey finds no header that lies, the segment counts as checked from then on.
//!
//! In an unchecked segment a batch whose records cannot be read, though its checksum is right, is
//! passed over: no reader can use it, and it must not take the others with it.

use std::sync::atomic::Ordering;

use brooklet_protocol::records::{BatchError, BatchHeader, RecordBatch};
use brooklet_protocol::{Offset, Timestamp};

use super::super::LogError;
use super::super::cursor::BatchCursor;
use super::lookup::LookedUp;
use super::{DECOMPRESSED_BYTES_MAX, Segment, WALK_WINDOW_BYTES};

/// What is read at once where all of a segment is read.
const SURVEY_WINDOW_BYTES: usize = 1 << 20;

/// A record, as (offset, timestamp).
type Found = (Offset, Timestamp);

impl Segment {
    /// From now on headers' max timestamps are not believed.
    pub(crate) fn distrust_times(&self) {
        self.unchecked.store(true, Ordering::Release);
    }

    /// Whether headers' max timestamps may be other than the records'.
    pub(crate) fn is_unchecked(&self) -> bool {
        self.unchecked.load(Ordering::Acquire)
    }

    /// The first record from offset `from` on at or after `timestamp`, as (offset, its timestamp).
    pub(crate) fn find_timestamp(
        &self,
        timestamp: Timestamp,
        from: Offset,
    ) -> Result<Option<Found>, LogError> {
        if (self.max_timestamp()?).is_none_or(|highest| highest < timestamp) {
            return Ok(None);
        }
        // Asked after the survey, which may have found that all headers are right.
        let is_unchecked = self.is_unchecked();
        let mut cursor = if is_unchecked {
            self.walk(SURVEY_WINDOW_BYTES)
        } else {
            self.seek_time(timestamp)?
        };
        while let Some(header) = cursor.header()? {
            if (is_unchecked || header.max_timestamp >= timestamp)
                && header.last_offset() >= from
                && header.record_count > 0
            {
                let found = first_record(&mut cursor, &header, timestamp, from);
                match found {
                    Err(error) if is_unchecked && error.is_corruption() => self.pass_over(&error),
                    found => {
                        if let Some(found) = found? {
                            return Ok(Some(found));
                        }
                    }
                }
            }
            cursor.advance(&header);
        }
        Ok(None)
    }

    /// Stands before all records at or after `timestamp`, as near as the index knows.
    fn seek_time(&self, timestamp: Timestamp) -> Result<BatchCursor<'_>, LogError> {
        let entry = match self.look_up(|open| self.indexes.time_floor(open, timestamp))? {
            LookedUp::Entry(entry) => entry,
            LookedUp::Nothing => return Ok(self.walk(WALK_WINDOW_BYTES)),
            LookedUp::Wrong => {
                self.rebuild_indexes()?;
                return Ok(self.walk(WALK_WINDOW_BYTES));
            }
        };
        let last_offset = self.base_offset.plus(i64::from(entry.relative_offset));
        let mut cursor = self.seek(last_offset, WALK_WINDOW_BYTES)?;
        let right = |header: BatchHeader| {
            header.last_offset() == last_offset && header.max_timestamp == entry.timestamp
        };
        if cursor.header()?.is_some_and(right) {
            return Ok(cursor);
        }
        self.rebuild_indexes()?;
        Ok(self.walk(WALK_WINDOW_BYTES))
    }

    /// The highest timestamp in the segment, if a record has any.
    pub(crate) fn max_timestamp(&self) -> Result<Option<Timestamp>, LogError> {
        if self.is_unchecked() {
            return self.surveyed();
        }
        self.load_indexes()?;
        Ok(self.indexes.highest().map(|highest| highest.timestamp))
    }

    /// The highest timestamp of the records from offset `from` on, if one of them has any.
    pub(crate) fn max_timestamp_from(&self, from: Offset) -> Result<Option<Timestamp>, LogError> {
        if from <= self.base_offset {
            return self.max_timestamp();
        }
        let mut highest = Timestamp::NONE;
        let mut cursor = self.seek(from, WALK_WINDOW_BYTES)?;
        while let Some(header) = cursor.header()? {
            let is_whole = header.base_offset >= from;
            if header.record_count == 0 {
                // Compaction has left a header only.
            } else if is_whole && !self.is_unchecked() {
                highest = highest.max(header.max_timestamp);
            } else {
                match highest_of(&mut cursor, &header, from) {
                    Err(error) if self.is_unchecked() && error.is_corruption() => {
                        self.pass_over(&error);
                    }
                    found => highest = highest.max(found?),
                }
            }
            cursor.advance(&header);
        }
        Ok(Some(highest).filter(|highest| highest.0 >= 0))
    }

    /// The highest timestamp as the records have it. Reads all of the segment, once.
    fn surveyed(&self) -> Result<Option<Timestamp>, LogError> {
        if let Some(known) = self.surveyed.get() {
            return Ok(*known);
        }
        let (mut highest, mut claimed) = (Timestamp::NONE, Timestamp::NONE);
        let (mut lies, mut unreadable) = (0_u64, 0_u64);
        let mut cursor = self.walk(SURVEY_WINDOW_BYTES);
        let damage = cursor.walk_to_end(|cursor, header| {
            if header.record_count == 0 {
                return Ok(());
            }
            match highest_of(cursor, header, header.base_offset) {
                Ok(found) => {
                    lies += u64::from(found.0.max(-1) != header.max_timestamp.0.max(-1));
                    highest = highest.max(found);
                }
                Err(error) if error.is_corruption() => {
                    self.pass_over(&error);
                    claimed = claimed.max(header.max_timestamp);
                    unreadable += 1;
                }
                Err(error) => return Err(error),
            }
            Ok(())
        })?;
        let segment = self.path.display();
        if let Some(damage) = &damage {
            tracing::warn!(%damage, "the records' timestamps are known up to the damage only");
        } else if lies + unreadable == 0 {
            self.unchecked.store(false, Ordering::Release);
        } else {
            tracing::info!(
                "{segment}: {lies} batches have a max timestamp that is not their records', and \
                 {unreadable} cannot be read; timestamps are taken from the records"
            );
        }
        // In a segment that cannot be read, the headers are all there is to go by.
        let highest = if highest == Timestamp::NONE {
            claimed
        } else {
            highest
        };
        let highest = Some(highest).filter(|highest| highest.0 >= 0);
        Ok(*self.surveyed.get_or_init(|| highest))
    }

    fn pass_over(&self, error: &LogError) {
        tracing::debug!(segment = %self.path.display(), %error, "passed over a batch");
    }
}

/// The highest timestamp of the records from offset `from` on in the batch here.
fn highest_of(
    cursor: &mut BatchCursor<'_>,
    header: &BatchHeader,
    from: Offset,
) -> Result<Timestamp, LogError> {
    let batch = cursor.verified_batch(header)?;
    let mut highest = Timestamp::NONE;
    each_record(cursor, &batch, |offset, timestamp| {
        if offset >= from {
            highest = highest.max(timestamp);
        }
        None::<()>
    })?;
    Ok(highest)
}

/// The first record from offset `from` on at or after `timestamp` in the batch here.
fn first_record(
    cursor: &mut BatchCursor<'_>,
    header: &BatchHeader,
    timestamp: Timestamp,
    from: Offset,
) -> Result<Option<Found>, LogError> {
    let batch = cursor.verified_batch(header)?;
    each_record(cursor, &batch, |offset, time| {
        (time >= timestamp && offset >= from).then_some((offset, time))
    })
}

/// Goes over the records until `look` finds what it looks for.
fn each_record<T>(
    cursor: &BatchCursor<'_>,
    batch: &RecordBatch,
    mut look: impl FnMut(Offset, Timestamp) -> Option<T>,
) -> Result<Option<T>, LogError> {
    let corrupt = |error: BatchError| cursor.corrupt(error.into());
    let records = batch.records(DECOMPRESSED_BYTES_MAX).map_err(corrupt)?;
    for record in &records {
        let record = record.map_err(corrupt)?;
        if let Some(found) = look(record.offset, record.timestamp) {
            return Ok(Some(found));
        }
    }
    Ok(None)
}
