//! What readers of a partition see: batches, offsets by time, and where each of them ends.
//!
//! How far a reader sees depends on its isolation (KIP-98):
//!
//! ```text
//!  log start          last stable offset     high watermark      log end
//!      ├───────────────────────┼───────────────────┼────────────────┤
//!      │ read_committed        │ a transaction is  │ not committed  │
//!      │ read_uncommitted ─────┼─ open ────────────│ yet            │
//! ```

use brooklet_log::{LogError, ReadBatches};
use brooklet_protocol::{Isolation, Offset, Timestamp};

use super::Partition;

impl Partition {
    /// Batches from `from` up to where a reader of this isolation ends; see
    /// [`LogReader::read`](brooklet_log::LogReader::read).
    ///
    /// # Errors
    /// Those of the log; offline or closed.
    pub fn read(
        &self,
        from: Offset,
        isolation: Isolation,
        bytes_max: usize,
        at_least_one: bool,
    ) -> Result<ReadBatches, LogError> {
        self.check_serving()?;
        let up_to = self.end_for(isolation);
        if from >= up_to && from <= self.log_end_offset() {
            return Ok(ReadBatches::none(from));
        }
        self.reader.read(from, up_to, bytes_max, at_least_one)
    }

    /// Whether a read from `from` on may have to wait for the disk; see
    /// [`LogReader::may_block`](brooklet_log::LogReader::may_block).
    pub fn read_may_block(&self, from: Offset, isolation: Isolation) -> bool {
        let looks_into_index =
            isolation == Isolation::ReadCommitted && self.reader.may_have_aborted(from);
        looks_into_index || self.reader.may_block(from)
    }

    /// Consumers see records below it.
    pub fn high_watermark(&self) -> Offset {
        self.progress.high_watermark()
    }

    /// No transaction is open below it; see
    /// [`LogReader::last_stable_offset`](brooklet_log::LogReader::last_stable_offset).
    pub fn last_stable_offset(&self) -> Offset {
        self.reader.last_stable_offset(self.high_watermark())
    }

    /// Readers of this isolation see records below it.
    pub fn end_for(&self, isolation: Isolation) -> Offset {
        match isolation {
            Isolation::ReadUncommitted => self.high_watermark(),
            Isolation::ReadCommitted => self.last_stable_offset(),
        }
    }

    /// First record at or after `timestamp` that a reader of this isolation sees.
    ///
    /// # Errors
    /// The disk, corruption.
    pub fn offset_for_timestamp(
        &self,
        timestamp: Timestamp,
        isolation: Isolation,
    ) -> Result<Option<(Offset, Timestamp)>, LogError> {
        let found = self.reader.offset_for_timestamp(timestamp)?;
        Ok(found.filter(|(offset, _)| *offset < self.end_for(isolation)))
    }

    /// The record with the highest timestamp, if a reader of this isolation sees it.
    ///
    /// # Errors
    /// The disk, corruption.
    pub fn max_timestamp(
        &self,
        isolation: Isolation,
    ) -> Result<Option<(Offset, Timestamp)>, LogError> {
        let found = self.reader.max_timestamp()?;
        Ok(found.filter(|(offset, _)| *offset < self.end_for(isolation)))
    }
}
