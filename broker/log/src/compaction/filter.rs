//! What compaction keeps of a batch: the rules, without any files.
//!
//! | record, or batch | kept |
//! |---|---|
//! | a later record has its key | no |
//! | it has no key | no: nobody can supersede it |
//! | a tombstone, before the batch's delete horizon | yes |
//! | a tombstone at or after it | no |
//! | a record of an aborted transaction | no |
//! | a marker whose transaction still had records here, or before its delete horizon | yes |
//! | a marker at or after it, without records | no |
//! | a batch without records that holds its producer's last sequence, or the group's last offset | its header |
//! | any other batch without records | no |
//!
//! A batch with tombstones, or a marker, gets its delete horizon (KIP-534) the first time that it
//! is compacted: now plus `delete.retention.ms`, so that a consumer that reads the log from its
//! beginning within that time learns of the deletion.

use std::collections::{HashMap, HashSet};

use brooklet_protocol::records::{BatchError, BatchHeader, BatchRewriter, RecordBatch};
use brooklet_protocol::{Offset, ProducerId, Timestamp};

use super::OffsetMap;
use crate::AbortedTransaction;

/// Decompressed records of one batch at most. Only a client that wants compaction to fail sends
/// more.
const DECOMPRESSED_BYTES_MAX: usize = 256 << 20;

/// What becomes of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It stays as it is.
    Whole,
    /// It stays with fewer records, or with a delete horizon.
    Rewritten(RecordBatch),
    /// All of it goes.
    Nothing,
}

/// Filters one log's batches, in their order.
#[derive(Debug)]
pub struct Filter<'a> {
    map: &'a OffsetMap,
    /// The map does not cover what is above, so everything there stays.
    covered_below: Offset,
    now: Timestamp,
    /// `now` plus `delete.retention.ms`.
    horizon: Timestamp,
    /// Each producer's last batch, by its last offset.
    last_batches: &'a HashMap<ProducerId, Offset>,
    /// By their first offset, descending: the next one is the last.
    aborted: Vec<AbortedTransaction>,
    /// By the offset of their marker.
    by_marker: HashMap<Offset, AbortedTransaction>,
    /// Aborted transactions that are under way, and whether records of them were seen.
    aborting: HashMap<ProducerId, bool>,
    /// Producers with records of a transaction that will be committed.
    committing: HashSet<ProducerId>,
}

impl<'a> Filter<'a> {
    /// For a log with these `aborted` transactions, whose keys below `covered_below` are in the
    /// map.
    pub fn new(
        (map, covered_below): (&'a OffsetMap, Offset),
        last_batches: &'a HashMap<ProducerId, Offset>,
        mut aborted: Vec<AbortedTransaction>,
        (now, horizon): (Timestamp, Timestamp),
    ) -> Self {
        let by_marker = aborted.iter().map(|a| (a.last_offset, *a)).collect();
        aborted.sort_unstable_by_key(|transaction| std::cmp::Reverse(transaction.first_offset));
        Self {
            map,
            covered_below,
            now,
            horizon,
            last_batches,
            aborted,
            by_marker,
            aborting: HashMap::new(),
            committing: HashSet::new(),
        }
    }

    /// What is kept of a batch; as a header at least, if it `is_last` of its group.
    ///
    /// # Errors
    /// Its records cannot be read.
    pub fn keep(&mut self, batch: &RecordBatch, is_last: bool) -> Result<Kept, BatchError> {
        let header = batch.header();
        if header.base_offset >= self.covered_below {
            return Ok(Kept::Whole);
        }
        self.begin_aborted(header.last_offset());
        let records_go = if header.is_control() {
            // A marker that cannot be read has ended its transaction all the same.
            let known = is_committed(batch);
            let is_aborted = self.by_marker.contains_key(&header.last_offset());
            self.marker_goes(header, known.unwrap_or(!is_aborted))
        } else {
            self.is_aborted(header)
        };
        let kept = self.filter(batch, records_go)?;
        let is_empty = match &kept {
            Kept::Whole => header.record_count == 0,
            Kept::Rewritten(batch) => batch.header().record_count == 0,
            Kept::Nothing => true,
        };
        if is_empty && !is_last && !self.is_last_of_producer(header) {
            return Ok(Kept::Nothing);
        }
        Ok(kept)
    }

    /// The transaction that a batch which stays has aborted.
    pub fn aborted_by(&self, kept: &BatchHeader) -> Option<AbortedTransaction> {
        let is_marker = kept.is_control() && kept.record_count > 0;
        let found = is_marker.then(|| self.by_marker.get(&kept.last_offset()));
        found.flatten().copied()
    }

    fn filter(&self, batch: &RecordBatch, records_go: bool) -> Result<Kept, BatchError> {
        let header = batch.header();
        if header.record_count == 0 {
            return Ok(Kept::Whole);
        }
        let records = batch.records(DECOMPRESSED_BYTES_MAX)?;
        let past_horizon = header
            .delete_horizon()
            .is_some_and(|horizon| horizon <= self.now);
        let mut keep = Vec::with_capacity(header.record_count as usize);
        let mut has_tombstone = header.is_control();
        for record in &records {
            let record = record?;
            let stays = !records_go
                && (header.is_control() || self.is_latest(record.key, record.offset))
                && (header.is_control() || record.value.is_some() || !past_horizon);
            has_tombstone |= stays && record.value.is_none();
            keep.push(stays);
        }
        let new_horizon = has_tombstone && header.delete_horizon().is_none() && !records_go;
        if keep.iter().all(|stays| *stays) && !new_horizon {
            return Ok(Kept::Whole);
        }
        let mut rewriter = BatchRewriter::new(header, new_horizon.then_some(self.horizon))?;
        for (record, stays) in records.iter().zip(keep) {
            if stays {
                rewriter.keep(&record?);
            }
        }
        Ok(Kept::Rewritten(rewriter.build()))
    }

    fn is_latest(&self, key: Option<&[u8]>, offset: Offset) -> bool {
        key.is_some_and(|key| self.map.get(key).is_none_or(|latest| offset >= latest))
    }

    fn is_last_of_producer(&self, header: &BatchHeader) -> bool {
        header.has_producer()
            && self.last_batches.get(&header.producer_id) == Some(&header.last_offset())
    }

    /// Takes up the aborted transactions that begin at `offset` or before.
    fn begin_aborted(&mut self, offset: Offset) {
        while let Some(next) = self.aborted.pop_if(|next| next.first_offset <= offset) {
            self.aborting.entry(next.producer_id).or_insert(false);
        }
    }

    /// Whether the batch's transaction will be aborted.
    fn is_aborted(&mut self, header: &BatchHeader) -> bool {
        if !header.is_transactional() {
            return false;
        }
        if let Some(seen) = self.aborting.get_mut(&header.producer_id) {
            *seen = true;
            return true;
        }
        self.committing.insert(header.producer_id);
        false
    }

    /// Whether a marker has nothing left to say. Its end is the end of its transaction.
    fn marker_goes(&mut self, header: &BatchHeader, committed: bool) -> bool {
        let id = header.producer_id;
        let has_records = if committed {
            self.committing.remove(&id)
        } else {
            self.aborting.remove(&id) == Some(true)
        };
        let past_horizon = header
            .delete_horizon()
            .is_some_and(|horizon| horizon <= self.now);
        !has_records && past_horizon
    }
}

/// Whether a control batch says "committed"; other control records count as such: they stay until
/// their horizon.
fn is_committed(batch: &RecordBatch) -> Result<bool, BatchError> {
    if batch.header().record_count == 0 {
        return Ok(true);
    }
    let marker = brooklet_protocol::records::EndTxnMarker::read(batch)?;
    Ok(marker.is_none_or(|marker| marker.committed))
}
