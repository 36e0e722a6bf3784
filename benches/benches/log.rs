//! The log on a real disk: appending, finding a place by offset and by time, reading in sequence.

use brooklet_benches::{Scratch, plain_batch};
use brooklet_log::{Log, LogReader, RecoveryStart};
use brooklet_protocol::{LeaderEpoch, Offset, Timestamp};
use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};

fn main() {
    divan::main();
}

/// Batches in the segment that is searched, each with an entry in the index.
const ENTRIES: i64 = 200_000;

/// A checked batch into the page cache, index included; `brooklet bench log` has the limit beside
/// it.
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

/// A sealed segment of single records, one a millisecond; the writer keeps it open. Its indexes
/// have been looked at, and its files are open: a search is to be timed, not the first one.
fn searched(scratch: &Scratch) -> (Log, LogReader) {
    let mut log = scratch.open_with(|config| config.index_interval_bytes = 1);
    for number in 0..ENTRIES {
        let batch = plain_batch(30, Timestamp(number));
        let appended = log.append(&batch, LeaderEpoch(0), Timestamp(number));
        appended.expect("the disk takes it");
    }
    log.roll_if_filled().expect("it rolls");
    let reader = log.reader();
    // The walk over the headers touches every page.
    let all = reader.read(Offset::ZERO, Offset(ENTRIES), usize::MAX, true);
    all.expect("it is there");
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

/// The index of 200,000 entries, then the header of the batch that it leads to. The limit is a
/// `partition_point` over as many entries in memory.
#[divan::bench(sample_count = 100, sample_size = 1000)]
fn find_offset(bencher: Bencher<'_, '_>) {
    let scratch = Scratch::new();
    let (_log, reader) = searched(&scratch);
    let mut next = scattered();
    bencher.bench_local(|| {
        let read = reader.read(Offset(next()), Offset(ENTRIES), 1, true);
        read.expect("it is there").bytes.len()
    });
}

/// The time index, the offset index, then the batch, which is checked for its records to be read.
/// The limit is two of those searches; what is above [`find_offset`] is the second one and the
/// records.
#[divan::bench(sample_count = 100, sample_size = 1000)]
fn find_timestamp(bencher: Bencher<'_, '_>) {
    let scratch = Scratch::new();
    let (_log, reader) = searched(&scratch);
    let mut next = scattered();
    bencher.bench_local(|| {
        let found = reader.offset_for_timestamp(Timestamp(next()));
        found.expect("the disk gives it").expect("it is there").0
    });
}

const MIB: usize = 1 << 20;
/// Batches of 16 KiB in the segment that is read in sequence: 64 MiB.
const READ_COUNT: usize = 4096;

/// A log whose one filled segment is sealed, closed in order; returns the segment's bytes, and what
/// there is to know when it is opened again.
fn sealed(scratch: &Scratch) -> (usize, RecoveryStart) {
    let mut log = scratch.open();
    let batch = plain_batch(16 << 10, Timestamp(0));
    for _ in 0..READ_COUNT {
        let appended = log.append(&batch, LeaderEpoch(0), Timestamp(0));
        appended.expect("the disk takes it");
    }
    log.roll_if_filled().expect("it rolls");
    let start = RecoveryStart {
        clean_shutdown: true,
        recovery_point: log.close().expect("it closes"),
        ..RecoveryStart::default()
    };
    (READ_COUNT * batch.bytes().len(), start)
}

/// Reads all, a mebibyte at a time; returns how many bytes that were.
fn read_through(reader: &LogReader) -> usize {
    let (mut next, end) = (Offset::ZERO, reader.log_end_offset());
    let mut bytes = 0;
    while next < end {
        let read = reader.read(next, end, MIB, true).expect("it is there");
        bytes += read.bytes.len();
        next = read.next_offset;
    }
    bytes
}

/// The first time since the open, with the indexes to load and each byte to verify. The limit is
/// CRC-32C over the bytes, mapped; `brooklet bench log` has it beside such a read.
#[divan::bench(sample_count = 20, sample_size = 1)]
fn read_sealed_first(bencher: Bencher<'_, '_>) {
    let scratch = Scratch::new();
    let (bytes, start) = sealed(&scratch);
    let bencher = bencher
        .counter(BytesCount::new(bytes))
        .with_inputs(|| scratch.recover(start).0.reader());
    bencher.bench_local_refs(|reader| read_through(reader));
}

/// Once more: bytes that are verified go out as slices of the map and nobody touches them, so
/// batches are counted. The limit is parsing a batch's header twice, for the log and for its
/// reader.
#[divan::bench]
fn read_sealed_again(bencher: Bencher<'_, '_>) {
    let scratch = Scratch::new();
    let (bytes, start) = sealed(&scratch);
    let reader = scratch.recover(start).0.reader();
    assert_eq!(read_through(&reader), bytes, "all is read");
    let bencher = bencher.counter(ItemsCount::new(READ_COUNT));
    bencher.bench_local(|| read_through(black_box(&reader)));
}
