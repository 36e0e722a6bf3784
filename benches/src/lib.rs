//! Inputs that the benchmarks share; the benchmarks stand in `benches/`.
//!
//! Run them with `cargo bench -p brooklet-benches`. The figures are for comparing two states of the
//! code on one machine in one sitting, nothing else.

use brooklet_protocol::Timestamp;
use brooklet_protocol::records::{BatchBuilder, Compression, RecordBatch};

/// Records in a batch of the benchmarks.
pub const RECORD_COUNT: usize = 1000;

/// A batch of [`RECORD_COUNT`] records with an 8-byte key and a value of `value_bytes` bytes of text.
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
