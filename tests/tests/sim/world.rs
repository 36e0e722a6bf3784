//! One history: a log, its disk, the checkpoint files beside it, and what happens to them.
//!
//! A world draws one event after the other from its random numbers, applies it to the real log on a
//! simulated disk and to the model (`model.rs`), and checks after each step that they agree:
//!
//! ```text
//!  seed ─▶ event ─▶ log on the simulated disk ─┐
//!            └────▶ model ─────────────────────┴─▶ laws hold? ─▶ next event
//! ```
//!
//! Power cuts, kills and full disks hit in the middle of an operation, a recovery included. What
//! the model allows after one is a range: everything synced must be there, everything written may
//! be.
//!
//! The broker's part, writing checkpoint files in the safe order, is done here as the broker does
//! it.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use brooklet_log::compaction::CompactionContext;
use brooklet_log::vfs::Vfs;
use brooklet_log::vfs::sim::SimVfs;
use brooklet_log::{CleanupPolicy, Log, LogConfig, LogError, LogReader, RecoveryStart};
use brooklet_protocol::records::{BatchBuilder, Compression, EndTxnMarker, RecordBatch};
use brooklet_protocol::{LeaderEpoch, Monotonic, Offset, ProducerEpoch, ProducerId, Timestamp};

use crate::model::{Model, written};
use crate::random::Random;

const DIR: &str = "t-0";
const STEPS: u64 = 40;
const PRODUCERS: u64 = 5;
/// The producers from this one on write in transactions only.
const TRANSACTIONAL: u64 = 3;

#[derive(Debug)]
pub(crate) struct World {
    random: Random,
    vfs: SimVfs,
    log: Option<Log>,
    config: LogConfig,
    model: Model,
    /// What the checkpoint files say: recovery point, log start, cleaned below.
    points: (i64, i64, i64),
    producers: HashMap<u64, Sent>,
    /// The producer's batch that failed last: a crash may keep it nevertheless.
    maybe_sent: Option<(u64, i64, RecordBatch)>,
    now_ms: i64,
    history: Vec<String>,
}

/// What an idempotent producer has sent: its next sequence, and its last batches with their offset.
#[derive(Debug, Default)]
struct Sent {
    next_sequence: i32,
    batches: Vec<(i64, RecordBatch)>,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let config = config(&mut random);
        let vfs = SimVfs::new(seed);
        vfs.create_dir_all(Path::new(DIR)).unwrap();
        vfs.sync_dir(Path::new("")).unwrap();
        Self {
            random,
            vfs,
            log: None,
            config,
            model: Model::default(),
            points: (0, 0, 0),
            producers: HashMap::new(),
            maybe_sent: None,
            now_ms: 1_000_000,
            history: Vec::new(),
        }
    }

    pub(crate) fn history(&self) -> &[String] {
        &self.history
    }

    pub(crate) fn run(&mut self) {
        self.open(false, false);
        let steps = 1 + self.random.below(STEPS);
        for _ in 0..steps {
            self.step();
        }
        self.kill();
        if self.random.one_in(4) {
            self.rot();
        }
    }

    fn step(&mut self) {
        self.now_ms += self.random.below(3000) as i64;
        match self.random.below(24) {
            0..6 => drop(self.act()),
            6 => self.power_cut_during_something(),
            7 => self.kill(),
            8 => self.close(),
            9 => self.power_cut(),
            10 => self.full_disk(),
            11 if self.random.one_in(3) => self.failed_sync(),
            12 => self.read(),
            13 => drop(self.end_transaction()),
            _ => drop(self.append()),
        }
    }

    /// Something that can be interrupted. False when it failed, which only a fault may cause.
    fn act(&mut self) -> bool {
        match self.random.below(9) {
            0..2 => self.sync(),
            2 => self.write_down(),
            3 => self.roll(),
            4 => self.reconfigure(),
            5 => self.delete_records(),
            6 => self.retain(),
            _ => self.compact(),
        }
    }

    fn note(&mut self, what: impl Into<String>) {
        self.history.push(what.into());
    }

    fn log(&mut self) -> &mut Log {
        self.log.as_mut().expect("the log is open")
    }

    fn reader(&mut self) -> LogReader {
        self.log().reader()
    }

    fn batch(&mut self, sequence: Option<(u64, i32)>) -> RecordBatch {
        let codecs = [Compression::None, Compression::None, Compression::Lz4];
        let mut builder = BatchBuilder::new(self.random.pick(&codecs));
        if let Some((producer, sequence)) = sequence {
            let id = ProducerId(producer as i64);
            builder = builder.with_producer(id, ProducerEpoch(0), sequence);
            if producer >= TRANSACTIONAL {
                builder = builder.with_transaction();
            }
        }
        for _ in 0..=self.random.below(4) {
            let time = self.now_ms - self.random.below(5000) as i64;
            let key = [self.random.below(6) as u8];
            let value = vec![self.random.next() as u8; self.random.below(60) as usize];
            let value = (!self.random.one_in(5)).then_some(&value[..]);
            builder.append(Timestamp(time), Some(&key), value, &[]);
        }
        builder.build()
    }

    fn append(&mut self) -> bool {
        let producer = self.random.below(PRODUCERS * 2);
        if producer >= PRODUCERS {
            let batch = self.batch(None);
            return self.append_batch(&batch).is_some();
        }
        if self.random.one_in(4)
            && !self
                .producers
                .entry(producer)
                .or_default()
                .batches
                .is_empty()
        {
            return self.send_again(producer);
        }
        let next = self.producers.entry(producer).or_default().next_sequence;
        let batch = self.batch(Some((producer, next)));
        let end = self.model.end;
        let Some(base) = self.append_batch(&batch) else {
            self.maybe_sent = Some((producer, end, batch));
            return false;
        };
        let sent = self.producers.entry(producer).or_default();
        sent.next_sequence = batch.header().last_sequence() + 1;
        sent.batches.push((base, batch));
        true
    }

    fn append_batch(&mut self, batch: &RecordBatch) -> Option<i64> {
        let (end, now) = (self.model.end, Timestamp(self.now_ms));
        let (count, producer) = (batch.header().record_count, batch.header().producer_id.0);
        self.note(format!("append {count} records of {producer} at {end}"));
        let appended = self.log().append(batch, LeaderEpoch(0), now);
        match appended {
            Ok(appended) => {
                assert!(!appended.is_duplicate);
                assert_eq!(appended.base_offset.0, end);
                self.model.append(written(batch, end));
                Some(end)
            }
            Err(error) => {
                self.note(format!("  failed: {error}"));
                self.model.maybe = written(batch, end);
                None
            }
        }
    }

    /// A coordinator ends a producer's transaction, whether or not it has records here.
    fn end_transaction(&mut self) -> bool {
        let transactional = PRODUCERS - TRANSACTIONAL;
        let producer = TRANSACTIONAL + self.random.below(transactional);
        let marker = EndTxnMarker {
            committed: self.random.one_in(2),
            coordinator_epoch: 0,
        };
        self.note(format!(
            "end {producer}'s transaction: {}",
            marker.committed
        ));
        let producer = (ProducerId(producer as i64), ProducerEpoch(0));
        let batch = marker.to_batch(producer, Timestamp(self.now_ms));
        self.append_batch(&batch).is_some()
    }

    /// Sends a producer's last batch again, if it must be known; false after a fault.
    fn send_again(&mut self, producer: u64) -> bool {
        let start = self.reader().log_start_offset().0;
        let sent = self.producers.entry(producer).or_default();
        let window = sent.batches.len().saturating_sub(5);
        let Some((base, batch)) = sent.batches[window..].last().cloned() else {
            return true;
        };
        if base < start || self.model.compacted {
            return true;
        }
        self.note(format!("send again what is at {base}"));
        let now = Timestamp(self.now_ms);
        match self.log().append(&batch, LeaderEpoch(0), now) {
            Ok(appended) => {
                assert!(appended.is_duplicate, "stored twice");
                assert_eq!(appended.base_offset.0, base);
            }
            // Forgotten after a restart, or a fault.
            Err(LogError::Producer(_)) => {}
            Err(_) => return false,
        }
        true
    }

    fn sync(&mut self) -> bool {
        self.note("sync");
        match self.log().sync_handle().sync() {
            Ok(synced) => {
                assert_eq!(synced.0, self.model.end);
                self.model.synced = synced.0;
                true
            }
            Err(error) => {
                self.note(format!("  failed: {error}"));
                false
            }
        }
    }

    /// The recovery point goes into its file, which is another one than the log's.
    fn write_down(&mut self) -> bool {
        let settled = self.log().sync_handle().settle();
        self.note(format!("write down recovery point {settled:?}"));
        if let Ok(point) = settled {
            self.points.0 = self.points.0.max(point.0);
        }
        settled.is_ok()
    }

    fn roll(&mut self) -> bool {
        self.note("roll");
        self.log().roll_if_filled().is_ok()
    }

    fn reconfigure(&mut self) -> bool {
        self.config = config(&mut self.random);
        self.note(format!(
            "segment.bytes={}, {:?}",
            self.config.segment_bytes, self.config.cleanup
        ));
        let config = self.config.clone();
        self.log().set_config(config);
        true
    }

    fn delete_records(&mut self) -> bool {
        if !self.sync() {
            return false;
        }
        let start = self.reader().log_start_offset().0;
        let room = (self.model.end - start) as u64;
        let offset = start + self.random.below(room + 1) as i64;
        self.note(format!("delete records below {offset}"));
        let now_at = self.log().maintenance().advance_log_start(Offset(offset));
        assert_eq!(now_at, Offset(offset));
        self.points.1 = self.points.1.max(offset);
        true
    }

    fn retain(&mut self) -> bool {
        let (end, now) = (Offset(self.model.end), Timestamp(self.now_ms));
        let maintenance = self.log().maintenance();
        let Ok(below) = maintenance.expired_below(end, now) else {
            return false;
        };
        self.note(format!("retention deletes below {below:?}"));
        let Some(below) = below else { return true };
        if below >= end && self.log().roll_if_filled().is_err() {
            return false;
        }
        let now = Monotonic(Duration::from_millis(self.now_ms as u64));
        let retired = maintenance.retire_segments_below(below, now);
        retired.is_ok() && maintenance.remove_retired(now).is_ok()
    }

    fn compact(&mut self) -> bool {
        if !self.config.cleanup.compact {
            return true;
        }
        self.note("compact");
        let reader = self.reader();
        let stable_below = reader.last_stable_offset(reader.recovery_point());
        let last = |(id, state): (ProducerId, &brooklet_log::producer_state::ProducerState)| {
            Some((id, state.batches.back()?.last_offset))
        };
        let last_batches = self.log().producers().iter().filter_map(last).collect();
        let context = CompactionContext {
            stable_below,
            now: Timestamp(self.now_ms),
            since: Monotonic(Duration::from_millis(self.now_ms as u64)),
            last_batches: &last_batches,
            map_bytes_max: 24 * (2 + self.random.below(20) as usize),
            stop: &false.into(),
        };
        self.model.compacted = true;
        let maintenance = self.log().maintenance();
        let written_down = &mut self.points.2;
        let done = maintenance.compact(&context, |offset| {
            *written_down = (*written_down).max(offset.0);
            Ok(())
        });
        if let Err(error) = &done {
            self.note(format!("  failed: {error}"));
        }
        done.is_ok()
    }

    fn read(&mut self) {
        let bytes_max = 1 + self.random.below(2000) as usize;
        let reader = self.reader();
        self.model.check(&reader, bytes_max);
    }

    fn full_disk(&mut self) {
        let room = self.random.below(300);
        self.note(format!("{room} bytes are left on the disk"));
        self.vfs.set_capacity(Some(self.vfs.used_bytes() + room));
        for _ in 0..=self.random.below(3) {
            if self.random.one_in(2) {
                self.append();
            } else {
                self.act();
            }
        }
        self.vfs.set_capacity(None);
        if self.reader().is_offline() {
            self.note("offline");
            self.log = None;
            self.open(false, true);
        } else {
            self.model.maybe.clear();
            self.read();
            let batch = self.batch(None);
            assert!(self.append_batch(&batch).is_some(), "there is room again");
        }
    }

    fn failed_sync(&mut self) {
        self.vfs.fail_next_sync();
        self.note("the next sync fails");
        if self.model.end > self.reader().recovery_point().0 {
            assert!(!self.sync());
            assert!(self.reader().is_offline());
            let batch = self.batch(None);
            assert_eq!(
                self.append_batch(&batch),
                None,
                "an offline log takes nothing"
            );
            self.model.maybe.clear();
        }
        // A disk that fails is looked at after a restart of the machine.
        self.power_cut();
    }

    fn power_cut_during_something(&mut self) {
        let operations = self.random.below(25);
        self.note(format!("the power goes off after {operations} operations"));
        self.vfs.cut_power_after(operations);
        for _ in 0..6 {
            let went_well = if self.random.one_in(2) {
                self.append()
            } else {
                self.act()
            };
            if !went_well {
                break;
            }
        }
        self.power_cut();
    }

    fn power_cut(&mut self) {
        self.note("power cut");
        self.log = None;
        self.vfs = self.vfs.crash();
        self.open(false, true);
    }

    fn kill(&mut self) {
        self.note("kill");
        self.log = None;
        self.open(false, false);
    }

    fn close(&mut self) {
        self.note("close");
        let log = self.log.take().expect("the log is open");
        let point = log.close().unwrap();
        assert_eq!(point.0, self.model.end);
        (self.model.synced, self.points.0) = (point.0, point.0);
        // Even a power cut behind it leaves all of it.
        self.vfs = self.vfs.crash();
        self.open(true, false);
    }

    fn open(&mut self, clean_shutdown: bool, may_lose: bool) {
        if self.random.one_in(6) && may_lose {
            let operations = self.random.below(20);
            self.note(format!(
                "the power goes off {operations} operations into the recovery"
            ));
            self.vfs.cut_power_after(operations);
            drop(self.try_open(false));
            self.vfs = self.vfs.crash();
        }
        let log = self.try_open(clean_shutdown).unwrap();
        let (start, end) = (
            log.reader().log_start_offset().0,
            log.reader().log_end_offset().0,
        );
        self.note(format!("opened: {start}..{end}"));
        self.log = Some(log);
        assert!(
            start >= self.points.1,
            "{start} was deleted up to {}",
            self.points.1
        );
        let known_end = self.model.end;
        self.model.reopened(end, may_lose);
        if let Some((producer, base, batch)) = self.maybe_sent.take()
            && (base, base < end) == (known_end, true)
        {
            let sent = self.producers.entry(producer).or_default();
            sent.batches.push((base, batch));
        }
        for sent in self.producers.values_mut() {
            sent.batches.retain(|(base, _)| *base < end);
            let last = sent.batches.last();
            sent.next_sequence = last.map_or(0, |(_, batch)| batch.header().last_sequence() + 1);
        }
        self.read();
    }

    fn try_open(&self, clean_shutdown: bool) -> Result<Log, LogError> {
        let start = RecoveryStart {
            clean_shutdown,
            recovery_point: Offset(self.points.0),
            log_start_offset: Offset(self.points.1),
            cleaned_below: Offset(self.points.2),
            ..RecoveryStart::default()
        };
        let vfs = Arc::new(self.vfs.clone());
        Log::open(vfs, Path::new(DIR), self.config.clone(), start).map(|(log, _)| log)
    }

    /// A bit changes, or a sector is lost; from then on what is served has to be right, or named as
    /// damaged.
    fn rot(&mut self) {
        let names = self.vfs.read_dir(Path::new(DIR)).unwrap();
        let name = &names[self.random.below(names.len() as u64) as usize].name;
        let path = Path::new(DIR).join(name);
        let bytes = self.vfs.read(&path).unwrap().len() as u64;
        if bytes == 0 {
            return;
        }
        let bit = self.random.below(bytes * 8);
        // Under a log that is closed: what is verified once is not verified again.
        self.log = None;
        if self.random.one_in(3) {
            let lost = bit / 8..bit / 8 + 1 + self.random.below(512);
            self.note(format!("bytes {lost:?} of {name} are lost"));
            self.vfs.make_unreadable(&path, lost).unwrap();
        } else {
            self.note(format!("bit {bit} of {name} rots"));
            self.vfs.flip_bit(&path, bit).unwrap();
        }
        let clean_shutdown = self.points.0 == self.model.end && self.random.one_in(2);
        let log = match self.try_open(clean_shutdown) {
            Ok(log) => log,
            Err(error) => {
                let is_named = matches!(
                    error,
                    LogError::Corrupt { .. } | LogError::Unreadable { .. } | LogError::Io { .. }
                );
                assert!(is_named, "{error}");
                return;
            }
        };
        let reader = log.reader();
        let (start, end) = (reader.log_start_offset().0, reader.log_end_offset().0);
        for _ in 0..6 {
            let from = start + self.random.below((end - start) as u64 + 1) as i64;
            self.model.check_rotten(&reader, from);
        }
    }
}

fn config(random: &mut Random) -> LogConfig {
    let policies = [(true, false), (false, true), (true, true), (false, false)];
    let (delete, compact) = random.pick(&policies);
    LogConfig {
        segment_bytes: 200 + random.below(1500),
        index_interval_bytes: random.below(300),
        cleanup: CleanupPolicy { delete, compact },
        retention_bytes_max: random.one_in(2).then_some(random.below(3000)),
        retention_age_max: random
            .one_in(2)
            .then_some(Duration::from_millis(random.below(20_000))),
        delete_retention: Duration::from_millis(random.below(10_000)),
        file_delete_delay: Duration::from_millis(random.below(2000)),
        dirty_ratio_min: 0.0,
        ..LogConfig::default()
    }
}
