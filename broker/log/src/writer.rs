//! The writer's side of a log.
//!
//! An append stamps, rolls, writes, publishes and indexes, in this order. Two fields of a batch
//! change on the way, base offset and leader epoch; both lie in the header and outside of the
//! checksum, so a copy of the 61 header bytes goes to the disk in one write with the body as the
//! producer sent it.

use std::io::IoSlice;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use brooklet_protocol::records::{
    BATCH_HEADER_BYTES, BatchError, BatchHeader, EndTxnMarker, RecordBatch,
};
use brooklet_protocol::{LeaderEpoch, Offset, Timestamp};

use super::active::{Active, age_start};
use super::error::OrIo;
use super::maintenance::Maintenance;
use super::producer_state::{ProducedBatch, ProducerStates, Verdict};
use super::reader::LogReader;
use super::shared::Shared;
use super::sync::LogSync;
use super::{LogConfig, LogError, RecoveryReport, RecoveryStart, recovery, snapshots};
use crate::vfs::Vfs;

/// Where a batch landed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Offset of its first record.
    pub base_offset: Offset,
    /// Offset of its last record.
    pub last_offset: Offset,
    /// Whether it had landed there before: a producer has sent it twice.
    pub is_duplicate: bool,
}

/// The writer's side of a log. There is one at a time.
#[derive(Debug)]
pub struct Log {
    config: Arc<LogConfig>,
    shared: Arc<Shared>,
    active: Active,
    producers: ProducerStates,
    /// Where the last snapshot of the producers was taken.
    snapshot_offset: Offset,
    /// Bytes appended since.
    snapshot_bytes: u64,
}

impl Log {
    /// Opens or creates the log in `dir`, recovering what a crash has left; see
    /// [`recovery`](super::recovery) for what is found and done. Nothing else may have it open,
    /// readers of an earlier `Log` included: recovery may cut what they read.
    ///
    /// # Errors
    /// The disk, or damage below the recovery point.
    pub fn open(
        vfs: Arc<dyn Vfs>,
        dir: &Path,
        config: LogConfig,
        start: RecoveryStart,
    ) -> Result<(Self, RecoveryReport), LogError> {
        let mut opened = recovery::open(vfs, dir, &config, start)?;
        let (producers, snapshot_offset) = snapshots::restore(&mut opened)?;
        let mut log = Self {
            config: opened.shared.config(),
            shared: Arc::new(opened.shared),
            active: opened.active,
            producers,
            snapshot_offset,
            snapshot_bytes: 0,
        };
        if log.active.segment.is_unchecked() {
            // What is appended from now on is checked, and has segments of its own.
            log.roll(log.shared.end_offset())?;
        }
        let rows = (opened.report.rows.iter().map(|row| row.name())).collect::<Vec<_>>();
        tracing::debug!(log = %dir.display(), rows = rows.join(", "), "recovered");
        Ok((log, opened.report))
    }

    /// Changes the settings from now on. A segment keeps the settings it was made with.
    pub fn set_config(&mut self, config: LogConfig) {
        self.shared.set_config(config);
        self.config = self.shared.config();
    }

    /// Appends one batch that the caller has checked: checks its producer, stamps base offset and
    /// leader epoch, rolls if needed, writes, indexes. A batch that its producer has sent before is
    /// not stored again. `now` is for the age of the segment and of producers only.
    ///
    /// # Errors
    /// `Producer`; the disk; the log is as before. If what was written in part cannot be cut off
    /// again, the log is offline.
    pub fn append(
        &mut self,
        batch: &RecordBatch,
        leader_epoch: LeaderEpoch,
        now: Timestamp,
    ) -> Result<Appended, LogError> {
        self.shared.check_online()?;
        let kind = self.classify(batch)?;
        if let BatchKind::Duplicate(known) = kind {
            return Ok(Appended {
                base_offset: known.base_offset,
                last_offset: known.last_offset,
                is_duplicate: true,
            });
        }
        let base = self.shared.end_offset();
        if self
            .active
            .is_full_for(batch.header(), base, now, &self.config)
        {
            self.roll(base)?;
        }
        let stamped = batch.stamped_header(base, leader_epoch);
        let position = self.active.size;
        self.write(&stamped, &batch.bytes()[BATCH_HEADER_BYTES..])?;

        let header = BatchHeader {
            base_offset: base,
            ..*batch.header()
        };
        // Before the batch can count as synced: a recovery point vouches for the index, too.
        if batch.header().has_producer() {
            self.remember(&header, kind, now);
        }
        self.active.segment.publish(self.active.size);
        (self.shared).publish_batch(header.base_offset, header.next_offset());
        self.active.segment.index(&header, position);
        self.active.is_ahead = true;
        self.active.first_append.get_or_insert(now);
        if position == 0 {
            self.active.first_timestamp = age_start(&header);
        }
        self.snapshot_bytes += header.size() as u64;
        Ok(Appended {
            base_offset: base,
            last_offset: header.last_offset(),
            is_duplicate: false,
        })
    }

    /// What a batch is to the producers' state.
    fn classify(&self, batch: &RecordBatch) -> Result<BatchKind, LogError> {
        let header = batch.header();
        if !header.has_producer() {
            return Ok(BatchKind::Data);
        }
        if header.is_control() {
            let position = self.active.size;
            let corrupt = |error: BatchError| self.active.segment.corrupt(position, error.into());
            let Some(marker) = EndTxnMarker::read(batch).map_err(corrupt)? else {
                return Ok(BatchKind::OtherControl);
            };
            self.producers.check_marker(header, marker)?;
            return Ok(BatchKind::Marker(marker));
        }
        match self.producers.check(header)? {
            Verdict::Append => Ok(BatchKind::Data),
            Verdict::Duplicate(known) => Ok(BatchKind::Duplicate(known)),
        }
    }

    /// Whether its producer has sent this very batch before.
    pub fn is_duplicate(&self, header: &BatchHeader) -> bool {
        matches!(self.producers.check(header), Ok(Verdict::Duplicate(_)))
    }

    /// Adds a batch that is in the log to its producer's state.
    fn remember(&mut self, header: &BatchHeader, kind: BatchKind, now: Timestamp) {
        match kind {
            BatchKind::Data => self.producers.record(header, now),
            BatchKind::Marker(marker) => {
                let ended = self.producers.record_marker(header, marker, now);
                let aborted = ended
                    .and_then(|ended| snapshots::note_ended(&self.shared, &self.producers, ended));
                if let Some(aborted) = aborted {
                    self.active.segment.note_aborted(aborted);
                }
            }
            BatchKind::Duplicate(_) | BatchKind::OtherControl => return,
        }
        if header.is_transactional() {
            let open = self.producers.first_open_offset();
            self.shared.unstable().set_open(open);
        }
    }

    /// The producers that the log remembers.
    pub fn producers(&self) -> &ProducerStates {
        &self.producers
    }

    /// Periodic work: forgets producers that were silent for `producer.id.expiration.ms`, and
    /// writes a snapshot if much was appended since the last one.
    pub fn tend_producers(&mut self, now: Timestamp, age_max: Duration) {
        self.producers.expire(now, age_max);
        if self.snapshot_bytes >= snapshots::INTERVAL_BYTES {
            self.take_snapshot();
        }
    }

    /// Writes the producers' state at the log's end; without it the next open replays more.
    fn take_snapshot(&mut self) {
        let (vfs, dir, end) = (
            self.shared.vfs(),
            self.shared.dir(),
            self.shared.end_offset(),
        );
        if end > self.snapshot_offset {
            let written = snapshots::write(&**vfs, dir, end, &self.producers);
            if let Err(error) = written.and_then(|()| snapshots::remove_old(&self.shared)) {
                tracing::warn!(log = %dir.display(), %error, "cannot write a snapshot of the producers");
            }
        }
        self.snapshot_offset = end;
        self.snapshot_bytes = 0;
    }

    /// Writes a batch at the end of the active segment, all of it or nothing.
    fn write(&mut self, header: &[u8], body: &[u8]) -> Result<(), LogError> {
        let active = &mut self.active;
        let file = match &mut active.file {
            Some(file) => file,
            closed => closed.insert(active.segment.open_to_write()?),
        };
        let slices = [header, body].map(IoSlice::new);
        if let Err(error) = file.append(&slices) {
            if let Err(error) = file.set_len(active.size) {
                tracing::error!(segment = %active.segment.path().display(), %error,
                    "cannot cut off what a failed append wrote; the log goes offline");
                self.shared.go_offline();
            }
            return Err(error).or_io("append to", active.segment.path());
        }
        active.size += (header.len() + body.len()) as u64;
        Ok(())
    }

    /// Seals the active segment and continues with a new one that starts at `base`.
    fn roll(&mut self, base: Offset) -> Result<(), LogError> {
        let dir = self.shared.dir().to_owned();
        let next = Active::create(self.shared.vfs(), &dir, base, &self.config)?;
        self.active.give_room_back();
        self.active.segment.seal();
        self.shared.push_segment(Arc::clone(&next.segment));
        self.take_snapshot();
        tracing::debug!(log = %dir.display(), %base, "rolled a new segment");
        self.active = next;
        Ok(())
    }

    /// Seals the active segment, unless it is empty, so that all there is can be taken away or
    /// compacted.
    ///
    /// # Errors
    /// The disk; the log is as before.
    pub fn roll_if_filled(&mut self) -> Result<(), LogError> {
        self.shared.check_online()?;
        if self.active.size > 0 {
            self.roll(self.shared.end_offset())?;
        }
        Ok(())
    }

    /// Closes the file of a log that was opened and not written yet. The next sync opens it again
    /// to make durable what recovery has cut.
    pub fn close_opened(&mut self) {
        self.active.file = None;
        self.active.segment.close_file();
    }

    /// Closes the open file, if everything is synced, so that an idle log costs no descriptor. The
    /// next append opens it again. Returns whether there was one.
    pub fn rest(&mut self) -> bool {
        if self.shared.recovery_point() < self.shared.end_offset() {
            return false;
        }
        let was_written = self.active.file.take().is_some();
        self.active.segment.close_file() || was_written
    }

    /// The side that takes old records away; cheap to clone.
    pub fn maintenance(&self) -> Maintenance {
        Maintenance::new(Arc::clone(&self.shared))
    }

    /// The readers' side; cheap to clone.
    pub fn reader(&self) -> LogReader {
        LogReader::new(Arc::clone(&self.shared))
    }

    /// The side that makes what is appended durable; cheap to clone.
    pub fn sync_handle(&self) -> LogSync {
        LogSync::new(Arc::clone(&self.shared))
    }

    /// Syncs everything and closes; returns the recovery point. Readers may read on.
    ///
    /// # Errors
    /// The disk.
    pub fn close(mut self) -> Result<Offset, LogError> {
        self.active.give_room_back();
        let synced = self.shared.sync();
        self.shared.end_sync_points();
        let recovery_point = synced?;
        // Most partitions were not written to, and have nothing to put in order.
        if self.active.is_ahead {
            self.active.segment.seal();
            self.take_snapshot();
        }
        self.shared.settle()?;
        Ok(recovery_point)
    }
}

/// What a batch is to the producers' state.
#[derive(Clone, Copy, Debug)]
enum BatchKind {
    /// Records, to be appended.
    Data,
    /// Records that are in the log already.
    Duplicate(ProducedBatch),
    /// The end of a transaction.
    Marker(EndTxnMarker),
    /// A control record that says nothing about a transaction.
    OtherControl,
}
