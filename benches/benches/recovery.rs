//! Opening a log: after a clean shutdown, after a kill, and with an index that is gone.

use std::fs;
use std::time::Duration;

use brooklet_benches::{Scratch, plain_batch};
use brooklet_log::{Log, RecoveryStart};
use brooklet_protocol::{LeaderEpoch, Offset, Timestamp};
use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};

fn main() {
    divan::main();
}

const BATCH_BYTES: u64 = 16 << 10;
const MIB: u64 = 1 << 20;
const LOG_MIB: u64 = 128;

/// A log of 128 MiB.
fn written(scratch: &Scratch) -> Log {
    let mut log = scratch.open();
    append(&mut log, LOG_MIB);
    log
}

/// Appends, and tends the log as a broker tends its logs.
fn append(log: &mut Log, mib: u64) {
    let batch = plain_batch(BATCH_BYTES as usize, Timestamp(0));
    for _ in 0..batch_count(mib) {
        let appended = log.append(&batch, LeaderEpoch(0), Timestamp(0));
        appended.expect("the disk takes it");
        log.tend_producers(Timestamp(0), Duration::MAX);
    }
}

fn batch_count(mib: u64) -> u64 {
    mib * MIB / BATCH_BYTES
}

/// Syncs, the indexes too, as a broker does before it writes a recovery point down: an index that
/// does not reach the point would have more scanned than is above it.
fn recovery_point(log: &Log) -> Offset {
    let syncs = log.sync_handle();
    syncs.sync().expect("the disk syncs");
    syncs.settle().expect("the disk syncs")
}

/// What there is to know after a clean shutdown.
fn closed(log: Log) -> RecoveryStart {
    RecoveryStart {
        clean_shutdown: true,
        recovery_point: log.close().expect("it closes"),
        ..RecoveryStart::default()
    }
}

/// What was not synced is scanned and checked, so the cost grows with it. Headers are walked from
/// the last snapshot of the producers up to the recovery point on, and one is taken every 64 MiB;
/// the rest is not looked at. The limit is `read(2)` and CRC-32C of the unsynced bytes.
#[divan::bench(args = [0, 16, 64, 128])]
fn open_after_kill(bencher: Bencher<'_, '_>, unsynced_mib: u64) {
    let scratch = Scratch::new();
    let mut log = scratch.open();
    append(&mut log, LOG_MIB - unsynced_mib);
    let point = recovery_point(&log);
    append(&mut log, unsynced_mib);
    drop(log);
    let start = RecoveryStart {
        recovery_point: point,
        ..RecoveryStart::default()
    };
    let scanned = scratch.recover(start).1.batches_scanned;
    // The last entry of the index leads to a batch below the point.
    let unsynced = batch_count(unsynced_mib);
    assert!((unsynced..=unsynced + 1).contains(&scanned), "{scanned}");
    let bencher = bencher.counter(BytesCount::new(unsynced_mib * MIB));
    bencher.bench_local(|| scratch.recover(start).1.batches_scanned);
}

/// Nothing is read but the ends of files. The limit is opening and measuring them.
#[divan::bench]
fn open_after_clean_shutdown(bencher: Bencher<'_, '_>) {
    let scratch = Scratch::new();
    let start = closed(written(&scratch));
    bencher.bench_local(|| scratch.recover(start).1.batches_scanned);
}

/// The first read of a sealed segment whose offset index is gone rebuilds it, from 128 MiB of
/// headers. The limit is a pass over the whole segment, 64 KiB at a time.
#[divan::bench(sample_count = 20, sample_size = 1)]
fn rebuild_index(bencher: Bencher<'_, '_>) {
    let scratch = Scratch::new();
    let mut log = written(&scratch);
    let end = log.reader().log_end_offset();
    log.roll_if_filled().expect("it rolls");
    let start = closed(log);
    let index = scratch.path().join("00000000000000000000.index");
    let bencher = bencher.counter(ItemsCount::new(batch_count(LOG_MIB)));
    let bencher = bencher.with_inputs(|| {
        fs::remove_file(&index).expect("the index is there");
        scratch.recover(start).0.reader()
    });
    bencher.bench_local_refs(|reader| {
        let read = reader.read(Offset(end.0 / 2), end, 1, true);
        read.expect("it is there").bytes.len()
    });
}
