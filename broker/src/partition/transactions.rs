//! What transactions append: their batches, and the markers that end them.
//!
//! The coordinator has to know of a transaction before a batch opens it here: it ends only those
//! that it knows, and a transaction without an end holds up every reader of committed records
//! (KIP-890). Asking the coordinator takes time, in which it may end that very transaction. So
//! markers are counted, and a caller that has asked says how many there were when it began:
//!
//! ```text
//!  append ─▶ is its transaction open here? ── yes ─▶ appended
//!                │ no
//!                └─▶ asked at this count of markers? ── yes ─▶ appended
//!                        └─ no ─▶ Unverified(count) ─▶ ask the coordinator ─▶ append again
//! ```

use std::sync::atomic::Ordering;

use brooklet_log::{Appended, LogError};
use brooklet_protocol::Producer;
use brooklet_protocol::records::{EndTxnMarker, RecordBatch};

use super::Partition;

/// A batch would open a transaction that the coordinator may not know of. Holds the number of
/// markers so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unverified(pub u64);

impl Partition {
    /// Appends a checked batch of a transaction, unless its coordinator has to be asked before;
    /// `verified_at` is what an earlier call returned. Not synced, not published.
    ///
    /// # Errors
    /// As [`Partition::append_written`].
    pub fn append_transactional(
        &self,
        batch: &RecordBatch,
        verified_at: Option<Unverified>,
    ) -> Result<Result<Appended, Unverified>, LogError> {
        let mut writer = self.writer.lock();
        let log = writer.as_mut().ok_or_else(|| self.closed())?;
        let producer = batch.header().producer();
        let markers = Unverified(self.markers.load(Ordering::Relaxed));
        let is_known = verified_at == Some(markers)
            || log.producers().is_open(producer)
            // Stored before: nothing will be opened.
            || log.is_duplicate(batch.header());
        if !is_known {
            return Ok(Err(markers));
        }
        self.append_to(log, std::slice::from_ref(batch)).map(Ok)
    }

    /// Appends the marker that ends a producer's transaction; without a coordinator's epoch, with
    /// the one that the log knows. Not synced, not published.
    ///
    /// # Errors
    /// As [`Partition::append_written`]; a newer incarnation of the producer, or of the
    /// coordinator.
    pub fn append_marker(
        &self,
        producer: Producer,
        committed: bool,
        coordinator_epoch: Option<i32>,
    ) -> Result<Appended, LogError> {
        let mut writer = self.writer.lock();
        let log = writer.as_mut().ok_or_else(|| self.closed())?;
        let known = || {
            let known = log.producers().get(producer.id);
            // A directory that Kafka has written may know of coordinators before this one.
            known.map_or(0, |p| p.coordinator_epoch.max(0))
        };
        let marker = EndTxnMarker {
            committed,
            coordinator_epoch: coordinator_epoch.unwrap_or_else(known),
        };
        let batch = marker.to_batch((producer.id, producer.epoch), self.clock.wall());
        let appended = self.append_to(log, std::slice::from_ref(&batch))?;
        self.markers.fetch_add(1, Ordering::Relaxed);
        Ok(appended)
    }
}
