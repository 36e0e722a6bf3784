//! Inputs that the benchmarks share; the benchmarks stand in `benches/`.
//!
//! Run them with `cargo bench --profile dist -p brooklet-benches`. The figures are for comparing
//! two states of the code on one machine in one sitting, nothing else.

use std::path::Path;
use std::sync::Arc;

use brooklet_log::vfs::disk::DiskVfs;
use brooklet_log::{Log, LogConfig, RecoveryReport, RecoveryStart};
use brooklet_protocol::Timestamp;
use brooklet_protocol::records::{BatchBuilder, Compression, RecordBatch};

/// Records in a batch of the benchmarks.
pub const RECORD_COUNT: usize = 1000;

/// A batch of [`RECORD_COUNT`] records with an 8-byte key and a value of `value_bytes` bytes of
/// text.
pub fn batch(value_bytes: usize, compression: Compression) -> RecordBatch {
    let mut builder = BatchBuilder::new(compression);
    let text = "a delayed flight is a straggler; ".repeat(value_bytes / 33 + 1);
    for number in 0..RECORD_COUNT {
        let key = (number as u64).to_be_bytes();
        let value = &text.as_bytes()[..value_bytes];
        builder.append(Timestamp(number as i64), Some(&key), Some(value), &[]);
    }
    builder.build()
}

/// A batch of about `bytes` bytes, in records of up to 100.
pub fn plain_batch(bytes: usize, timestamp: Timestamp) -> RecordBatch {
    let mut builder = BatchBuilder::new(Compression::None);
    let value = [b'v'; 100];
    while builder.record_count() == 0 || builder.uncompressed_size() + value.len() < bytes {
        builder.append(timestamp, None, Some(&value[..bytes.min(100)]), &[]);
    }
    builder.build()
}

/// A directory for one log, removed when it is dropped.
#[derive(Debug)]
pub struct Scratch(tempfile::TempDir);

impl Scratch {
    /// An empty one.
    ///
    /// # Panics
    /// When it cannot be created.
    #[expect(clippy::new_without_default, reason = "it creates a directory")]
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory for benchmarks"))
    }

    /// Where the log's files are.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// A new log with Kafka's settings.
    ///
    /// # Panics
    /// When it cannot be opened.
    pub fn open(&self) -> Log {
        self.open_with(|_| {})
    }

    /// A new log.
    ///
    /// # Panics
    /// When it cannot be opened.
    pub fn open_with(&self, adjust: impl FnOnce(&mut LogConfig)) -> Log {
        let mut config = LogConfig::default();
        adjust(&mut config);
        let opened = Log::open(
            Arc::new(DiskVfs),
            self.path(),
            config,
            RecoveryStart::default(),
        );
        opened.expect("the log opens").0
    }

    /// The log that is there, opened as `start` says.
    ///
    /// # Panics
    /// When it cannot be opened.
    pub fn recover(&self, start: RecoveryStart) -> (Log, RecoveryReport) {
        let opened = Log::open(Arc::new(DiskVfs), self.path(), LogConfig::default(), start);
        opened.expect("the log opens")
    }
}
