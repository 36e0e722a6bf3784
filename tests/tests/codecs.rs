//! zstd in Rust against zstd's own library in C: each reads what the other writes, and of bytes
//! that were made wrong neither makes something else than the other.
//!
//! Needs the feature `libzstd`, which needs a C compiler; `.ci/run` turns it on.

#![cfg(feature = "libzstd")]
#![expect(clippy::unwrap_used, reason = "a test fails where it unwraps")]

use std::io::{Read, Write};

use brooklet_protocol::Timestamp;
use brooklet_protocol::records::{
    BATCH_HEADER_BYTES, BatchBuilder, BatchError, Compression, RecordBatch,
};
use brooklet_tests::mutate::{Random, mutate};
use brooklet_tests::repository;
use bytes::Bytes;

const ZSTD_BITS: u8 = 4;
const BATCH_LENGTH_AT: usize = 8;
const ATTRIBUTES_AT: usize = 21;

/// A batch whose records are these bytes, compressed as they are.
fn batch_of(frame: &[u8]) -> RecordBatch {
    let mut builder = BatchBuilder::new(Compression::None);
    builder.append(Timestamp(1000), None, None, &[]);
    let mut bytes = builder.build().bytes()[..BATCH_HEADER_BYTES].to_vec();
    bytes.extend_from_slice(frame);
    let length = bytes.len() as u32 - 12;
    bytes[BATCH_LENGTH_AT..BATCH_LENGTH_AT + 4].copy_from_slice(&length.to_be_bytes());
    bytes[ATTRIBUTES_AT + 1] = ZSTD_BITS;
    RecordBatch::split_from(&mut Bytes::from(bytes)).unwrap()
}

/// What our decoder makes of a frame.
fn read_in_rust(frame: &[u8], limit: usize) -> Result<Bytes, BatchError> {
    let plain = batch_of(frame).recompressed(Compression::None, None, limit)?;
    Ok(plain.bytes().slice(BATCH_HEADER_BYTES..))
}

/// What our encoder makes of a body.
fn written_in_rust(body: &[u8], level: i32) -> Bytes {
    let mut plain = batch_of(body).bytes().to_vec();
    plain[ATTRIBUTES_AT + 1] = 0;
    let plain = RecordBatch::split_from(&mut Bytes::from(plain)).unwrap();
    let frame = plain.recompressed(Compression::Zstd, Some(level), usize::MAX);
    frame.unwrap().bytes().slice(BATCH_HEADER_BYTES..)
}

fn read_in_c(frame: &[u8], limit: usize) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut decoder = zstd::Decoder::with_buffer(frame).unwrap();
    decoder.window_log_max(23).unwrap();
    let read = decoder.take(limit as u64 + 1).read_to_end(&mut out);
    (read.is_ok() && out.len() <= limit).then_some(out)
}

/// A frame as clients write them: with or without its content size and a checksum, of any level up
/// to this one.
fn written_in_c(body: &[u8], level_max: usize, random: &mut Random) -> Vec<u8> {
    let level = random.below(level_max + 6) as i32 - 5;
    let mut encoder = zstd::Encoder::new(Vec::new(), level).unwrap();
    encoder.include_checksum(random.below(2) == 0).unwrap();
    if random.below(2) == 0 {
        let size = body.len() as u64;
        encoder.set_pledged_src_size(Some(size)).unwrap();
    }
    if random.below(3) == 0 {
        let log = 10 + random.below(14) as u32;
        encoder.window_log(log).unwrap();
    }
    // A flush ends a block.
    for piece in body.chunks(1 + random.below(body.len().max(1))) {
        encoder.write_all(piece).unwrap();
        if random.below(2) == 0 {
            encoder.flush().unwrap();
        }
    }
    encoder.finish().unwrap()
}

/// Text, numbers, noise and repetitions, of all lengths up to a few blocks.
fn body(random: &mut Random, flights: &[u8]) -> Vec<u8> {
    let length_max = [10, 300, 20_000, 400_000][random.below(4)];
    let length = 1 + random.below(length_max);
    match random.below(4) {
        0 => {
            let start = random.below(flights.len());
            flights
                .iter()
                .cycle()
                .skip(start)
                .take(length)
                .copied()
                .collect()
        }
        1 => (0..length).map(|_| random.next_u64() as u8).collect(),
        2 => (0..length).map(|_| b"abcd"[random.below(4)]).collect(),
        _ => records(random, length),
    }
}

/// Records as the log keeps them: the same except for a few bytes.
fn records(random: &mut Random, length: usize) -> Vec<u8> {
    let mut builder = BatchBuilder::new(Compression::None);
    while builder.uncompressed_size() < BATCH_HEADER_BYTES + length {
        let number = random.next_u64();
        let value = format!(
            r#"{{"user":{},"page":"/p/{}"}}"#,
            number % 5000,
            number % 97
        );
        builder.append(Timestamp(1000), Some(b"key"), Some(value.as_bytes()), &[]);
    }
    builder.build().bytes()[BATCH_HEADER_BYTES..].to_vec()
}

fn flights() -> Vec<u8> {
    let path = repository().join("cli/data/departures-2013-03-04.csv.gz");
    let mut text = Vec::new();
    let packed = std::fs::read(path).unwrap();
    flate2::read::GzDecoder::new(&packed[..])
        .read_to_end(&mut text)
        .unwrap();
    text
}

#[test]
fn rust_reads_what_c_writes() {
    let (flights, mut random) = (flights(), Random::new(1));
    for number in 0..120 {
        let first = body(&mut random, &flights);
        let mut frames = written_in_c(&first, 19, &mut random);
        let mut bodies = first;
        if number % 3 == 0 {
            // A frame to be skipped, and another one.
            frames.extend_from_slice(&[0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3]);
            let second = body(&mut random, &flights);
            frames.extend(written_in_c(&second, 19, &mut random));
            bodies.extend(second);
        }
        let read = read_in_rust(&frames, bodies.len());
        assert!(
            read.as_deref() == Ok(&bodies),
            "frame {number}: {:?}",
            read.err()
        );
        let cut = read_in_rust(&frames, bodies.len() - 1).unwrap_err();
        assert!(
            matches!(cut, BatchError::DecompressedTooLarge { .. }),
            "frame {number}: {cut}"
        );
    }
}

#[test]
fn c_reads_what_rust_writes() {
    let (flights, mut random) = (flights(), Random::new(2));
    for number in 0..120 {
        let body = body(&mut random, &flights);
        let level = random.below(34) as i32 - 11;
        let frame = written_in_rust(&body, level);
        let read = read_in_c(&frame, body.len());
        assert!(
            read.as_ref() == Some(&body),
            "frame {number}, level {level}"
        );
        assert!(read_in_rust(&frame, body.len()).as_deref() == Ok(&body));
    }
}

#[test]
fn a_body_larger_than_a_window_is_written_for_any_decoder() {
    let mut body = flights().repeat(21);
    body.truncate(9 << 20);
    let frame = written_in_rust(&body, 3);
    assert!(read_in_c(&frame, body.len()).as_ref() == Some(&body));
    assert!(read_in_rust(&frame, body.len()).as_deref() == Ok(&body));
}

#[test]
fn no_wrong_frame_means_two_things() {
    let (flights, mut random) = (flights(), Random::new(3));
    let (mut both, mut neither, mut lenient) = (0, 0, 0);
    for number in 0..4_000 {
        let start = random.below(flights.len() / 2);
        let length = 1 + random.below([200, 5_000][number % 2]);
        let body = &flights[start..start + length];
        let mut frame = match number % 4 {
            0 => written_in_rust(body, 3).to_vec(),
            // The higher levels set up many megabytes for each frame.
            _ => written_in_c(body, 4, &mut random),
        };
        mutate(&mut frame, &mut random);
        let limit = 4 * length;
        let (rust, c) = (read_in_rust(&frame, limit), read_in_c(&frame, limit));
        match (&rust, &c) {
            (Ok(rust), Some(c)) => {
                assert!(rust == c, "frame {number} means two things: {frame:02x?}");
                both += 1;
            }
            // A bit that no decoder needs to look at: only a checksum would have shown it.
            (Ok(_), None) => lenient += 1,
            // Rust may be the stricter one.
            (Err(_), _) => neither += 1,
        }
    }
    let counts = format!("{both} read, {neither} refused, {lenient} in Rust alone");
    assert!(
        both > 100 && neither > 1_000 && lenient < both / 10,
        "{counts}"
    );
}
