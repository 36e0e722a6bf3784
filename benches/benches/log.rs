//! The log on a real disk: appending, and finding a place by offset and by time.

use std::sync::Arc;

use brooklet_benches::{Scratch, plain_batch};
use brooklet_broker::log::{Log, LogReader};
use brooklet_protocol::{LeaderEpoch, Offset, Timestamp};
use divan::counter::BytesCount;
use divan::{Bencher, black_box};

fn main() {
    divan::main();
}

/// Batches in the segment that is searched, each with an entry in the index.
const ENTRIES: i64 = 200_000;

/// A checked batch into the page cache, index included; `brooklet bench log` has the limit beside it.
#[divan::bench(args = [100, 4 << 10, 64 << 10, 1 << 20], sample_count = 20, sample_size = 16)]
fn append(bencher: Bencher<'_, '_>, bytes: usize) {
    let scratch = Scratch::new();
    let mut log = scratch.open();
    let batch = plain_batch(bytes, Timestamp(0));
    let bencher = bencher.counter(BytesCount::new(batch.bytes().len()));
    bencher.bench_local(|| {
        batch.verify_crc().expect("a good batch");
        let appended = log.append(black_box(&batch), LeaderEpoch(0), Timestamp(0));
        appended.expect("the disk takes it").last_offset
    });
}

/// A sealed segment of single records, one a millisecond; the writer keeps it open.
fn searched(scratch: &Scratch) -> (Log, LogReader) {
    let mut log = scratch.open_with(|config| config.index_interval_bytes = 1);
    for number in 0..ENTRIES {
        let batch = plain_batch(30, Timestamp(number));
        let appended = log.append(&batch, LeaderEpoch(0), Timestamp(number));
        appended.expect("the disk takes it");
    }
    log.roll_if_filled().expect("it rolls");
    let reader = log.reader();
    (log, reader)
}

/// Numbers below [`ENTRIES`] without a pattern that a cache could follow.
fn scattered() -> impl FnMut() -> i64 {
    let mut state = 1_i64;
    move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33).rem_euclid(ENTRIES)
    }
}

/// The index of 200,000 entries, then the batch that it leads to.
#[divan::bench]
fn find_offset(bencher: Bencher<'_, '_>) {
    let scratch = Scratch::new();
    let (_log, reader) = searched(&scratch);
    let mut next = scattered();
    bencher.bench_local(|| {
        let read = reader.read(Offset(next()), Offset(ENTRIES), 1, true);
        read.expect("it is there").len()
    });
}

/// The time index, the offset index, then the records of the batch.
#[divan::bench]
fn find_timestamp(bencher: Bencher<'_, '_>) {
    let scratch = Scratch::new();
    let (_log, reader) = searched(&scratch);
    let mut next = scattered();
    bencher.bench_local(|| reader.offset_for_timestamp(Timestamp(next())).is_ok());
}

/// A mebibyte of batches of 16 KiB that were verified before.
#[divan::bench]
fn read_sealed(bencher: Bencher<'_, '_>) {
    const MIB: usize = 1 << 20;
    let scratch = Scratch::new();
    let mut log = scratch.open();
    let batch = plain_batch(16 << 10, Timestamp(0));
    for _ in 0..64 {
        let appended = log.append(&batch, LeaderEpoch(0), Timestamp(0));
        appended.expect("the disk takes it");
    }
    log.roll_if_filled().expect("it rolls");
    let reader = Arc::new(log.reader());
    let end = reader.log_end_offset();
    let bencher = bencher.counter(BytesCount::new(MIB));
    bencher.bench_local(|| {
        let read = reader.read(Offset::ZERO, end, MIB, true);
        read.expect("it is there").len()
    });
}
