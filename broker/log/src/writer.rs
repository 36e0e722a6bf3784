//! The writer's side of a log.
//!
//! An append stamps, rolls, writes, publishes and indexes, in this order. Two fields of a batch
//! change on the way, base offset and leader epoch; both lie in the header and outside of the
//! checksum, so a copy of the 61 header bytes goes to the disk in one write with the body as the
//! producer sent it.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::IoSlice;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use brooklet_protocol::records::{
    BATCH_HEADER_BYTES, BatchError, BatchHeader, EndTxnMarker, RecordBatch,
};
use brooklet_protocol::{LeaderEpoch, Offset, Timestamp};

use super::error::OrIo;
use super::indexes::GrowingIndexes;
use super::maintenance::Maintenance;
use super::producer_state::{ProducedBatch, ProducerStates, Verdict};
use super::reader::LogReader;
use super::segment::{Segment, log_path};
use super::shared::Shared;
use super::{LogConfig, LogError, RecoveryReport, RecoveryStart, recovery, snapshots};
use crate::vfs::{OpenMode, Vfs, VfsFile};

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

/// The writer's side of a log. One at a time.
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

/// The segment that is written on.
#[derive(Debug)]
pub(super) struct Active {
    pub(super) segment: Arc<Segment>,
    /// Open from the first append on, until the log rests.
    pub(super) file: Option<Arc<dyn VfsFile>>,
    pub(super) size: u64,
    /// Whether the files on the disk may lack something that is known here.
    pub(super) is_ahead: bool,
    /// Whether the file has more room on the disk than it needs, perhaps.
    pub(super) preallocated: bool,
    /// The first batch's highest timestamp: the segment's age counts from there.
    pub(super) first_timestamp: Option<Timestamp>,
    /// When this process first wrote on it: the age of records without a timestamp.
    pub(super) first_append: Option<Timestamp>,
}

impl Active {
    /// Creates an empty segment. Its name is not synced.
    pub(super) fn create(
        vfs: &Arc<dyn Vfs>,
        dir: &Path,
        base: Offset,
        config: &LogConfig,
    ) -> Result<Self, LogError> {
        let path = log_path(dir, base);
        let file = vfs
            .open(&path, OpenMode::CreateNew)
            .or_io("create", &path)?;
        if config.preallocate
            && let Err(error) = file.allocate(config.segment_bytes)
        {
            tracing::warn!(segment = %path.display(), %error, "not preallocated");
        }
        let segment = Segment::active(
            Arc::clone(vfs),
            (path, base),
            (Some(Arc::clone(&file)), 0, 0),
            GrowingIndexes::default(),
            (config.index_interval_bytes, Offset::ZERO),
        );
        segment.know_aborted(&[]);
        Ok(Self {
            segment: Arc::new(segment),
            file: Some(file),
            size: 0,
            is_ahead: false,
            preallocated: config.preallocate,
            first_timestamp: None,
            first_append: None,
        })
    }

    /// Frees what was preallocated and is not used; if that fails it is only room.
    fn give_room_back(&self) {
        if let Some(file) = self.file.as_ref().filter(|_| self.preallocated)
            && let Err(error) = file.set_len(self.size)
        {
            tracing::warn!(segment = %self.segment.path().display(), %error, "room not given back");
        }
    }

    /// Whether the batch must go to a new segment.
    fn is_full_for(
        &self,
        header: &BatchHeader,
        base: Offset,
        now: Timestamp,
        config: &LogConfig,
    ) -> bool {
        // A segment takes at least one batch, however large.
        if self.size == 0 {
            return false;
        }
        let size_max = config.segment_bytes.min(i32::MAX as u64);
        let last_offset = base.plus(i64::from(header.last_offset_delta));
        self.size + header.size() as u64 > size_max
            || self.age_ms(header, now) > self.age_ms_max(config)
            || self.segment.indexes().is_full(config)
            || last_offset.0 - self.segment.base_offset().0 > i64::from(i32::MAX)
    }

    /// `segment.ms`, less this segment's share of `segment.jitter.ms`. The share follows from its
    /// name, so that many segments that were begun together do not roll together.
    fn age_ms_max(&self, config: &LogConfig) -> u128 {
        let jitter_ms = config.segment_jitter_max.as_millis() as u64;
        let age_ms = config.segment_age_max.as_millis();
        if jitter_ms == 0 {
            return age_ms;
        }
        let mut name = DefaultHasher::new();
        self.segment.path().hash(&mut name);
        age_ms.saturating_sub(u128::from(name.finish() % jitter_ms))
    }

    /// How much later than the segment's beginning the batch is, in records' time; by `now` where
    /// records have none.
    fn age_ms(&self, header: &BatchHeader, now: Timestamp) -> u128 {
        let (from, to) = match self.first_timestamp {
            Some(first) => (first, header.max_timestamp),
            None => (self.first_append.unwrap_or(now), now),
        };
        u128::try_from(i128::from(to.0) - i128::from(from.0)).unwrap_or(0)
    }
}

impl Log {
    /// Opens or creates the log in `dir`, recovering what a crash has left; see
    /// [`recovery`](super::recovery) for what is found and done. Nobody else may have it open,
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
        let opened = recovery::open(vfs, dir, &config, start)?;
        let (producers, snapshot_offset) = snapshots::restore(&opened.shared, &opened.snapshots)?;
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
        Ok((log, opened.report))
    }

    /// Changes the settings from now on. What a segment was made with, it keeps.
    pub fn set_config(&mut self, config: LogConfig) {
        self.shared.set_config(config);
        self.config = self.shared.config();
    }

    /// Appends one batch that the caller has checked: judges its producer, stamps base offset and
    /// leader epoch, rolls if needed, writes, indexes. A batch that its producer has sent before is
    /// not stored again. `now` is for the age of the segment and of producers only.
    ///
    /// # Errors
    /// `Producer`; the disk; the log is as before. If what was written in part cannot be cut off again, the
    /// log is offline.
    pub fn append(
        &mut self,
        batch: &RecordBatch,
        leader_epoch: LeaderEpoch,
        now: Timestamp,
    ) -> Result<Appended, LogError> {
        self.shared.check_online()?;
        let judged = self.judge(batch)?;
        if let Judged::Duplicate(known) = judged {
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
        // Before anybody can take the batch for synced: a recovery point vouches for the index, too.
        if batch.header().has_producer() {
            self.remember(&header, judged, now);
        }
        self.active.segment.publish(self.active.size);
        self.shared.publish_end(header.next_offset());
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

    /// What the producers' state says of a batch.
    fn judge(&self, batch: &RecordBatch) -> Result<Judged, LogError> {
        let header = batch.header();
        if !header.has_producer() {
            return Ok(Judged::Data);
        }
        if header.is_control() {
            let position = self.active.size;
            let corrupt = |error: BatchError| self.active.segment.corrupt(position, error.into());
            let Some(marker) = EndTxnMarker::read(batch).map_err(corrupt)? else {
                return Ok(Judged::OtherControl);
            };
            self.producers.check_marker(header, marker)?;
            return Ok(Judged::Marker(marker));
        }
        match self.producers.check(header)? {
            Verdict::Append => Ok(Judged::Data),
            Verdict::Duplicate(known) => Ok(Judged::Duplicate(known)),
        }
    }

    /// Whether its producer has sent this very batch before.
    pub fn is_duplicate(&self, header: &BatchHeader) -> bool {
        matches!(self.producers.check(header), Ok(Verdict::Duplicate(_)))
    }

    /// Takes note of a batch of a producer that is in the log.
    fn remember(&mut self, header: &BatchHeader, judged: Judged, now: Timestamp) {
        match judged {
            Judged::Data => self.producers.record(header, now),
            Judged::Marker(marker) => {
                let ended = self.producers.record_marker(header, marker, now);
                let aborted = ended
                    .and_then(|ended| snapshots::note_ended(&self.shared, &self.producers, ended));
                if let Some(aborted) = aborted {
                    self.active.segment.note_aborted(aborted);
                }
            }
            Judged::Duplicate(_) | Judged::OtherControl => return,
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

    /// What is to be done from time to time: forgets producers that are silent for
    /// `producer.id.expiration.ms`, and writes their state down if much was appended since.
    pub fn tend_producers(&mut self, now: Timestamp, age_max: Duration) {
        self.producers.expire(now, age_max);
        if self.snapshot_bytes >= snapshots::INTERVAL_BYTES {
            self.take_snapshot();
        }
    }

    /// Writes the producers' state at the log's end; without it the next open reads a longer way.
    fn take_snapshot(&mut self) {
        let (vfs, dir, end) = (
            self.shared.vfs(),
            self.shared.dir(),
            self.shared.end_offset(),
        );
        if end > self.snapshot_offset {
            let written = snapshots::write(&**vfs, dir, end, &self.producers);
            if let Err(error) = written.and_then(|()| snapshots::remove_old(&self.shared)) {
                tracing::warn!(log = %dir.display(), %error, "no snapshot of the producers");
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
                    "cannot cut off what a failed append has left");
                self.shared.go_offline();
            }
            return Err(error).or_io("append to", active.segment.path());
        }
        active.size += (header.len() + body.len()) as u64;
        Ok(())
    }

    /// Seals the active segment and goes on with a new one that starts at `base`.
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

    /// Closes the file of a log that was opened and not written yet. What recovery has cut the next sync
    /// makes durable all the same: it opens the file again.
    pub fn close_opened(&mut self) {
        self.active.file = None;
        self.active.segment.close_file();
    }

    /// Lets go of the open file, if all is synced: a log that nobody writes costs no descriptor.
    /// The next append opens it again. True if there was one.
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

    /// Syncs everything and closes; returns the recovery point. Readers may read on.
    ///
    /// # Errors
    /// The disk.
    pub fn close(mut self) -> Result<Offset, LogError> {
        self.active.give_room_back();
        let synced = self.shared.sync();
        self.shared.end_sync_points();
        let recovery_point = synced?;
        // Of many partitions most were not written to, and have nothing to put in order.
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
enum Judged {
    /// Records, to be appended.
    Data,
    /// Records that are there.
    Duplicate(ProducedBatch),
    /// The end of a transaction.
    Marker(EndTxnMarker),
    /// A control record that says nothing about a transaction.
    OtherControl,
}

/// The timestamp from which a segment that begins with this batch ages, if it has one.
pub(super) fn age_start(header: &BatchHeader) -> Option<Timestamp> {
    (header.max_timestamp.0 >= 0).then_some(header.max_timestamp)
}
