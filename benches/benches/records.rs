//! The record batch: building, checking, walking.

use brooklet_benches::{RECORD_COUNT, batch};
use brooklet_protocol::records::{Compression, RecordBatch};
use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};

fn main() {
    divan::main();
}

const DECOMPRESSED_BYTES_MAX: usize = 64 << 20;

#[divan::bench(args = [16, 100, 1000])]
fn build(bencher: Bencher<'_, '_>, value_bytes: usize) {
    let bencher = bencher.counter(ItemsCount::new(RECORD_COUNT));
    bencher.bench(|| batch(black_box(value_bytes), Compression::None));
}

#[divan::bench(args = [16, 100, 1000])]
fn verify_crc(bencher: Bencher<'_, '_>, value_bytes: usize) {
    let batch = batch(value_bytes, Compression::None);
    let bencher = bencher.counter(BytesCount::new(batch.bytes().len()));
    bencher.bench(|| black_box(&batch).verify_crc().is_ok());
}

#[divan::bench(args = [16, 100, 1000])]
fn iterate(bencher: Bencher<'_, '_>, value_bytes: usize) {
    let batch = batch(value_bytes, Compression::None);
    let bencher = bencher.counter(ItemsCount::new(RECORD_COUNT));
    bencher.bench(|| key_bytes(black_box(&batch)));
}

#[divan::bench(args = ["gzip", "snappy", "lz4", "zstd"])]
fn iterate_compressed(bencher: Bencher<'_, '_>, codec: &str) {
    let batch = batch(100, codec.parse().expect("a codec's name"));
    let bencher = bencher.counter(ItemsCount::new(RECORD_COUNT));
    bencher.bench(|| key_bytes(black_box(&batch)));
}

#[divan::bench(args = [16, 100, 1000])]
fn survey(bencher: Bencher<'_, '_>, value_bytes: usize) {
    let batch = batch(value_bytes, Compression::None);
    let bencher = bencher.counter(ItemsCount::new(RECORD_COUNT));
    bencher.bench(|| black_box(&batch).survey(DECOMPRESSED_BYTES_MAX).is_ok());
}

#[divan::bench(args = ["gzip", "snappy", "lz4", "zstd"])]
fn survey_compressed(bencher: Bencher<'_, '_>, codec: &str) {
    let batch = batch(100, codec.parse().expect("a codec's name"));
    let bencher = bencher.counter(ItemsCount::new(RECORD_COUNT));
    bencher.bench(|| black_box(&batch).survey(DECOMPRESSED_BYTES_MAX).is_ok());
}

/// Touches every record.
fn key_bytes(batch: &RecordBatch) -> usize {
    let records = batch.records(DECOMPRESSED_BYTES_MAX).expect("a good batch");
    records
        .iter()
        .map(|record| record.expect("a good record").key.map_or(0, <[u8]>::len))
        .sum()
}
