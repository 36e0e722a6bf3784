//! What must be in the log, and the laws.
//!
//! - What a sync has acknowledged outlasts a power cut; what an append has acknowledged outlasts a
//!   kill of the process.
//! - Whatever is served was written, with the offset that was acknowledged; nothing else is there.
//! - Offsets are dense; where a compaction has been they ascend, and a record is missing only if a
//!   later one has its key, or if it is a tombstone.
//! - What was deleted durably stays deleted, and nothing above it is lost by that.
//! - A batch that its producer sends again is never stored twice.
//! - Look-ups by time agree with a walk over everything.
//! - Who reads committed records only gets those, and all of them (`committed.rs`).

use std::collections::{BTreeMap, HashMap};

use brooklet_log::{LogError, LogReader};
use brooklet_protocol::records::{Batches, EndTxnMarker, RecordBatch};
use brooklet_protocol::{Offset, ProducerId, Timestamp};

use crate::committed::{self, Fate, Fates};

/// What a record is to transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It counts at once.
    Plain,
    /// It counts if its producer's transaction is committed.
    Transactional(ProducerId),
    /// It ends its producer's transaction.
    Marker(ProducerId, bool),
}

impl Kind {
    pub(crate) fn of(batch: &RecordBatch) -> Self {
        let header = batch.header();
        if header.is_control() && header.record_count > 0 {
            let marker = EndTxnMarker::read(batch).unwrap();
            let marker = marker.expect("no other control records are written");
            Self::Marker(header.producer_id, marker.committed)
        } else if header.is_transactional() {
            Self::Transactional(header.producer_id)
        } else {
            Self::Plain
        }
    }
}

/// A record as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) kind: Kind,
    pub(crate) timestamp: i64,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
}

/// The records of a batch.
pub(crate) fn written(batch: &RecordBatch, base: i64) -> Vec<(i64, Written)> {
    let (shift, kind) = (base - batch.header().base_offset.0, Kind::of(batch));
    let records = batch.records(1 << 20).unwrap();
    let records = records.iter().map(Result::unwrap).map(|record| {
        let written = Written {
            kind,
            timestamp: record.timestamp.0,
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
        };
        (record.offset.0 + shift, written)
    });
    records.collect()
}

#[derive(Debug, Default)]
pub(crate) struct Model {
    pub(crate) records: BTreeMap<i64, Written>,
    /// The offset that the next record gets.
    pub(crate) end: i64,
    /// Acknowledged by a sync.
    pub(crate) synced: i64,
    /// What the last append that failed would have added, if the disk took it nevertheless.
    pub(crate) maybe: Vec<(i64, Written)>,
    /// Whether records may be missing because a compaction has been.
    pub(crate) compacted: bool,
}

impl Model {
    pub(crate) fn append(&mut self, records: Vec<(i64, Written)>) {
        self.end = records.last().map_or(self.end, |(offset, _)| offset + 1);
        self.records.extend(records);
        self.maybe.clear();
    }

    /// A log was opened that ends at `end`.
    pub(crate) fn reopened(&mut self, end: i64, may_lose: bool) {
        assert!(
            end >= self.synced,
            "{} was synced, the log ends at {end}",
            self.synced
        );
        if end > self.end {
            let maybe = std::mem::take(&mut self.maybe);
            assert!(!maybe.is_empty(), "{end} is beyond {}", self.end);
            self.append(maybe);
        }
        assert!(may_lose || end == self.end, "{end} of {}", self.end);
        self.records.split_off(&end);
        self.end = end;
        self.maybe.clear();
    }

    /// Reads everything and holds it against the laws.
    pub(crate) fn check(&self, reader: &LogReader, bytes_max: usize) {
        let (start, end) = (reader.log_start_offset().0, reader.log_end_offset().0);
        assert_eq!(end, self.end);
        assert!(start <= end);
        let found = read_all(reader, start, bytes_max).unwrap();
        for (offset, record) in &found {
            assert_eq!(self.records.get(offset), Some(record), "offset {offset}");
        }
        let fates = committed::fates(&self.records);
        let latest = self.latest(&fates);
        for (offset, record) in self.records.range(start..) {
            let may_go = match record.kind {
                Kind::Marker(..) => true,
                _ if fates.get(offset) == Some(&Fate::Aborted) => true,
                _ if fates.get(offset) == Some(&Fate::Open) => false,
                _ => latest[&record.key] > *offset || record.value.is_none(),
            };
            assert!(
                found.contains_key(offset) || (self.compacted && may_go),
                "offset {offset} is missing, of {:?}",
                found.keys()
            );
        }
        Self::check_times(reader, &found);
        committed::check(reader, (&self.records, &fates), &found, bytes_max);
    }

    /// The last record of each key that counts.
    fn latest(&self, fates: &Fates) -> HashMap<&Option<Vec<u8>>, i64> {
        let counts = |(offset, record): &(&i64, &Written)| match record.kind {
            Kind::Plain => true,
            Kind::Transactional(_) => fates.get(*offset) == Some(&Fate::Committed),
            Kind::Marker(..) => false,
        };
        let counting = self.records.iter().filter(counts);
        counting
            .map(|(offset, record)| (&record.key, *offset))
            .collect()
    }

    fn check_times(reader: &LogReader, found: &BTreeMap<i64, Written>) {
        let times: Vec<i64> = found.values().map(|record| record.timestamp).collect();
        for time in times.iter().step_by(7).copied().chain([0, i64::MAX]) {
            let expected = found.iter().find(|(_, record)| record.timestamp >= time);
            let expected = expected.map(|(o, record)| (Offset(*o), Timestamp(record.timestamp)));
            assert_eq!(
                reader.offset_for_timestamp(Timestamp(time)).unwrap(),
                expected
            );
        }
    }

    /// After bit rot: what is served was written.
    pub(crate) fn check_rotten(&self, reader: &LogReader, from: i64) {
        if let Ok(found) = read_all(reader, from, 300) {
            for (offset, record) in &found {
                // The offset of a batch lies outside of its checksum; where there may be gaps
                // nothing else guards it.
                let known = if self.compacted {
                    self.records.values().any(|written| written == record)
                } else {
                    self.records.get(offset) == Some(record)
                };
                assert!(known, "offset {offset} was never written so");
            }
        }
    }
}

/// All records from `from` on, by their offset.
fn read_all(
    reader: &LogReader,
    from: i64,
    bytes_max: usize,
) -> Result<BTreeMap<i64, Written>, LogError> {
    let (mut next, mut found) = (Offset(from), BTreeMap::new());
    loop {
        let read = reader.read(next, Offset(i64::MAX), bytes_max, true)?;
        if read.is_empty() {
            return Ok(found);
        }
        for batch in Batches(read.bytes) {
            let batch = batch.expect("whole batches are served");
            batch.verify_crc().expect("good batches are served");
            assert!(batch.header().last_offset() >= next, "offsets ascend");
            let base = batch.header().base_offset.0;
            let records = written(&batch, base);
            found.extend(records.into_iter().filter(|(offset, _)| *offset >= from));
            next = batch.header().next_offset();
        }
    }
}
