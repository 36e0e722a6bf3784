//! A log on a simulated file system, taken apart in every way.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use brooklet_protocol::records::{BatchBuilder, Batches, Compression, RecordBatch};
use brooklet_protocol::{LeaderEpoch, Offset, Timestamp};
use bytes::Bytes;

use super::*;
use crate::vfs::Vfs;
use crate::vfs::sim::SimVfs;

mod append;
mod compaction;
mod disk;
mod lookup;
mod maintenance;
mod model;
mod producers;
mod read;
mod recovery;
mod unchecked;
mod unreadable;

/// The log's directory.
fn dir() -> &'static Path {
    Path::new("t-0")
}

/// The path of a segment.
fn segment(base: i64) -> PathBuf {
    files::path(dir(), Offset(base), files::LOG)
}

/// Segments of `segment_bytes` and an index entry for every batch but the first.
fn config(segment_bytes: u64) -> LogConfig {
    LogConfig {
        segment_bytes,
        index_interval_bytes: 1,
        ..LogConfig::default()
    }
}

/// A batch of records with these times; the value of each is `value_bytes` long.
fn batch_of(times: &[i64], value_bytes: usize) -> RecordBatch {
    let mut builder = BatchBuilder::new(Compression::None);
    for time in times {
        builder.append(Timestamp(*time), None, Some(&vec![7; value_bytes]), &[]);
    }
    builder.build()
}

/// A batch of one record that takes exactly `size` bytes.
fn batch_of_bytes(size: usize) -> RecordBatch {
    let batch = (0..size)
        .map(|value_bytes| batch_of(&[1000], value_bytes))
        .find(|batch| batch.bytes().len() >= size)
        .expect("a batch grows with its value");
    assert_eq!(batch.bytes().len(), size);
    batch
}

fn start(clean_shutdown: bool, recovery_point: i64) -> RecoveryStart {
    RecoveryStart {
        clean_shutdown,
        recovery_point: Offset(recovery_point),
        ..RecoveryStart::default()
    }
}

fn open_with(
    vfs: &SimVfs,
    config: LogConfig,
    start: RecoveryStart,
) -> Result<(Log, RecoveryReport), LogError> {
    Log::open(Arc::new(vfs.clone()), dir(), config, start)
}

/// A new log that must open.
fn open(vfs: &SimVfs, config: LogConfig) -> Log {
    open_with(vfs, config, RecoveryStart::default()).unwrap().0
}

fn append(log: &mut Log, batch: &RecordBatch) -> Result<Appended, LogError> {
    log.append(batch, LeaderEpoch(3), Timestamp(0))
}

/// Everything from `from` on, read in small steps.
fn read_from(reader: &LogReader, from: Offset) -> Result<Vec<RecordBatch>, LogError> {
    let (mut next, mut batches) = (from, Vec::new());
    loop {
        let read = reader.read(next, Offset(i64::MAX), 200, true)?;
        if read.is_empty() {
            assert_eq!(read.next_offset, next, "nothing was read");
            return Ok(batches);
        }
        batches.extend(split(read.bytes));
        next = batches.last().unwrap().header().next_offset();
        assert_eq!(read.next_offset, next, "behind the last batch");
    }
}

/// The bytes of one read, which says where the next one goes on.
fn read_bytes(
    reader: &LogReader,
    from: Offset,
    up_to: Offset,
    bytes_max: usize,
    at_least_one: bool,
) -> Result<Bytes, LogError> {
    let read = reader.read(from, up_to, bytes_max, at_least_one)?;
    let batches = split(read.bytes.clone());
    let behind = batches.last().map(|batch| batch.header().next_offset());
    assert_eq!(read.next_offset, behind.unwrap_or(from));
    Ok(read.bytes)
}

/// Whole batches and nothing else.
fn split(bytes: Bytes) -> Vec<RecordBatch> {
    let size = bytes.len();
    let batches: Vec<RecordBatch> = Batches(bytes).map(Result::unwrap).collect();
    let sizes: usize = batches.iter().map(|batch| batch.bytes().len()).sum();
    assert_eq!(sizes, size, "no half batch at the end");
    batches
}

/// The batch as the log stores it.
fn stored(batch: &RecordBatch, base: Offset) -> Bytes {
    let header = batch.stamped_header(base, LeaderEpoch(3));
    [&header, &batch.bytes()[header.len()..]].concat().into()
}

/// The bytes of a segment's file.
fn content(vfs: &SimVfs, base: i64) -> Vec<u8> {
    vfs.read(&segment(base)).unwrap()
}

/// Replaces a file by hand.
fn overwrite(vfs: &SimVfs, path: &Path, content: &[u8]) {
    vfs.replace(path, content).unwrap();
}

/// The names in the log's directory.
fn names(vfs: &SimVfs) -> Vec<String> {
    let entries = vfs.read_dir(dir()).unwrap();
    entries.into_iter().map(|entry| entry.name).collect()
}
