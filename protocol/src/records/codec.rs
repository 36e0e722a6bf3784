//! How the records of a batch are compressed and decompressed.
//!
//! Everything after the batch's header is compressed as one piece; the header stays readable, so
//! that a broker stores and serves the compressed bytes as they came. What each codec writes:
//!
//! | codec  | written                                            | read as well               |
//! |--------|----------------------------------------------------|----------------------------|
//! | gzip   | one member                                         | several members            |
//! | snappy | blocks of 32 KiB in the framing of `snappy-java`   | a bare snappy block        |
//! | lz4    | a frame of independent 64 KiB blocks               | independent blocks         |
//! | zstd   | one frame                                          | windows of at most 128 MiB |
//!
//! All of it is safe Rust. LZ4 has one compressor, the fast one: a level changes nothing. What the
//! levels of zstd do is in [`zstd`].
//!
//! The framing of `snappy-java`, which Kafka's Java client writes and most others follow:
//!
//! ```text
//! ┌──────────────────┬─────────────┬────────────────┬──────────────┬─────────────────┬───
//! │ 82 'SNAPPY' 00   │ version = 1 │ compatible = 1 │ block length │ snappy block    │ …
//! │ 8 bytes          │ 4           │ 4              │ 4            │ length bytes    │
//! └──────────────────┴─────────────┴────────────────┴──────────────┴─────────────────┴───
//! ```
//!
//! Invariant: decompressing takes memory for the bytes that come out, up to the caller's limit,
//! plus a codec's window; never for a size that the compressed bytes merely claim. A megabyte of
//! zeros fits into a kilobyte, so the limit is what stands between a small request and all memory.

use std::fmt;
use std::io::{Read, Write};
use std::str::FromStr;

use flate2::bufread::MultiGzDecoder;
use flate2::write::GzEncoder;
use lz4_flex::frame::{BlockMode, BlockSize, FrameDecoder, FrameEncoder, FrameInfo};
use thiserror::Error;

use super::{BatchError, lz4_frame, zstd};

/// How the records of a batch are compressed (the low three bits of its attributes).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Not compressed.
    #[default]
    None,
    /// gzip.
    Gzip,
    /// Snappy in the Java client's framing.
    Snappy,
    /// LZ4 frames.
    Lz4,
    /// Zstandard.
    Zstd,
}

/// A name that is not a codec's.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("compression is {0:?}, expected one of none, gzip, snappy, lz4, zstd")]
pub struct UnknownCompression(pub String);

impl Compression {
    /// Every codec; the position is its number in a batch's attributes.
    pub const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    /// The codec's number in the low three bits of a batch's attributes.
    pub(super) fn bits(self) -> u8 {
        self as u8
    }

    /// The codec with the number `bits`.
    pub(super) fn from_bits(bits: u8) -> Result<Self, BatchError> {
        Self::ALL
            .get(usize::from(bits))
            .copied()
            .ok_or(BatchError::Codec(bits))
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        })
    }
}

impl FromStr for Compression {
    type Err = UnknownCompression;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|codec| codec.to_string() == name)
            .ok_or_else(|| UnknownCompression(name.into()))
    }
}

/// The start of the framing of `snappy-java`, and its length with both version numbers.
const SNAPPY_JAVA_MAGIC: &[u8] = b"\x82SNAPPY\0";
const SNAPPY_JAVA_HEADER_BYTES: usize = 16;
const SNAPPY_JAVA_VERSIONS: [u8; 8] = [0, 0, 0, 1, 0, 0, 0, 1];
/// The block size of `snappy-java`.
const SNAPPY_BLOCK_BYTES: usize = 32 * 1024;
/// 3 bytes of snappy copy at most 64, so a block grows less than 22-fold.
const SNAPPY_GROWTH_MAX: usize = 22;

pub(super) const IN_MEMORY: &str = "writing to memory does not fail";

/// Compresses `body`.
pub(super) fn compress(codec: Compression, body: Vec<u8>) -> Vec<u8> {
    compress_with(codec, None, body)
}

/// Compresses with a level of the codec's own scale, where it has one; `None` for its default.
pub(super) fn compress_with(codec: Compression, level: Option<i32>, body: Vec<u8>) -> Vec<u8> {
    match codec {
        Compression::None => body,
        Compression::Gzip => {
            let level = level.and_then(|level| u32::try_from(level).ok());
            let level = level.map_or(flate2::Compression::default(), |level| {
                flate2::Compression::new(level.min(9))
            });
            let mut encoder = GzEncoder::new(Vec::new(), level);
            encoder.write_all(&body).expect(IN_MEMORY);
            encoder.finish().expect(IN_MEMORY)
        }
        Compression::Snappy => snappy_compress(&body),
        Compression::Lz4 => lz4_compress(&body),
        Compression::Zstd => zstd::compress(level, &body),
    }
}

fn lz4_compress(body: &[u8]) -> Vec<u8> {
    let info = FrameInfo::new()
        .block_size(BlockSize::Max64KB)
        .block_mode(BlockMode::Independent);
    let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
    encoder.write_all(body).expect(IN_MEMORY);
    encoder.finish().expect(IN_MEMORY)
}

/// Decompresses `body` to at most `limit` bytes.
pub(super) fn decompress(
    codec: Compression,
    body: &[u8],
    limit: usize,
) -> Result<Vec<u8>, BatchError> {
    let mut out = Vec::new();
    decompress_into(codec, body, limit, &mut out)?;
    Ok(out)
}

/// Like [`decompress`], but appends to `out`, which may be a reused buffer: a new one of a megabyte
/// costs a tenth of the decompression. After an error, `out` may have grown.
pub(super) fn decompress_into(
    codec: Compression,
    body: &[u8],
    limit: usize,
    out: &mut Vec<u8>,
) -> Result<(), BatchError> {
    let result = match codec {
        Compression::None => drain(body, limit, out),
        Compression::Gzip => drain(MultiGzDecoder::new(body), limit, out),
        Compression::Snappy => snappy_decompress(body, limit, out),
        Compression::Lz4 if !lz4_frame::is_readable(body) => Err(LZ4_CUT.into()),
        Compression::Lz4 => drain(FrameDecoder::new(body), limit, out),
        Compression::Zstd => zstd::decompress(body, limit, out),
    };
    result.map_err(|error| match error {
        Failed::TooLarge => BatchError::DecompressedTooLarge { codec, limit },
        Failed::Broken(reason) => BatchError::Decompress { codec, reason },
    })
}

/// Why decompression stops.
pub(super) enum Failed {
    TooLarge,
    Broken(String),
}

impl From<&str> for Failed {
    fn from(reason: &str) -> Self {
        Self::Broken(reason.to_owned())
    }
}

pub(super) fn broken(reason: impl fmt::Display) -> Failed {
    Failed::Broken(reason.to_string())
}

/// Reads to the end; more than `limit` bytes are an error.
pub(super) fn drain(reader: impl Read, limit: usize, out: &mut Vec<u8>) -> Result<(), Failed> {
    let mut reader = reader.take((limit as u64).saturating_add(1));
    let read = reader.read_to_end(out).map_err(broken)?;
    if read > limit {
        Err(Failed::TooLarge)
    } else {
        Ok(())
    }
}

fn snappy_compress(body: &[u8]) -> Vec<u8> {
    let mut out = [SNAPPY_JAVA_MAGIC, &SNAPPY_JAVA_VERSIONS].concat();
    let mut encoder = snap::raw::Encoder::new();
    for block in body.chunks(SNAPPY_BLOCK_BYTES) {
        let block = encoder
            .compress_vec(block)
            .expect("32 KiB are not too many");
        out.extend((block.len() as u32).to_be_bytes());
        out.extend(block);
    }
    out
}

fn snappy_decompress(body: &[u8], limit: usize, out: &mut Vec<u8>) -> Result<(), Failed> {
    let limit = out.len().saturating_add(limit);
    if !body.starts_with(SNAPPY_JAVA_MAGIC) {
        return snappy_block(out, body, limit);
    }
    let mut rest = body;
    while !rest.is_empty() {
        // Streams may follow one another; a block cannot be as long as the magic read as a length.
        if rest.starts_with(SNAPPY_JAVA_MAGIC) {
            rest = rest.get(SNAPPY_JAVA_HEADER_BYTES..).ok_or(SNAPPY_CUT)?;
            continue;
        }
        let (length, tail) = rest.split_first_chunk::<4>().ok_or(SNAPPY_CUT)?;
        let length = u32::from_be_bytes(*length) as usize;
        let (block, tail) = tail.split_at_checked(length).ok_or(SNAPPY_CUT)?;
        snappy_block(out, block, limit)?;
        rest = tail;
    }
    Ok(())
}

const SNAPPY_CUT: &str = "a snappy block is cut off";
const LZ4_CUT: &str = "the LZ4 frame is cut off, or has dependent blocks, a dictionary or an empty block, which Java's consumer does not read";

/// Appends one decompressed block to `out`, which then has at most `limit` bytes.
fn snappy_block(out: &mut Vec<u8>, block: &[u8], limit: usize) -> Result<(), Failed> {
    let claimed = snap::raw::decompress_len(block).map_err(broken)?;
    if claimed > block.len().saturating_mul(SNAPPY_GROWTH_MAX) {
        let bytes = block.len();
        return Err(broken(format_args!(
            "a snappy block of {bytes} bytes claims to hold {claimed}"
        )));
    }
    let start = out.len();
    if claimed > limit - start {
        return Err(Failed::TooLarge);
    }
    out.resize(start + claimed, 0);
    snap::raw::Decoder::new()
        .decompress(block, &mut out[start..])
        .map_err(broken)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_and_numbers_round_trip() {
        for codec in Compression::ALL {
            assert_eq!(codec.to_string().parse(), Ok(codec));
            assert_eq!(Compression::from_bits(codec.bits()), Ok(codec));
        }
        assert_eq!(Compression::from_bits(5), Err(BatchError::Codec(5)));
        let error = "lzma".parse::<Compression>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "compression is \"lzma\", expected one of none, gzip, snappy, lz4, zstd"
        );
    }

    #[test]
    fn the_limit_is_exact_and_stops_a_bomb() {
        let zeros = vec![0; 1_000_000];
        for codec in Compression::ALL {
            let small = compress(codec, zeros.clone());
            assert_eq!(decompress(codec, &small, zeros.len()), Ok(zeros.clone()));
            let error = decompress(codec, &small, zeros.len() - 1).unwrap_err();
            assert!(error.to_string().contains("limit of 999999"), "{error}");
        }
    }

    #[test]
    fn snappy_is_read_bare_framed_and_concatenated() {
        let bare = snap::raw::Encoder::new()
            .compress_vec(b"departures")
            .unwrap();
        let read = |bytes: &[u8]| decompress(Compression::Snappy, bytes, 100);
        assert_eq!(read(&bare), Ok(b"departures".to_vec()));
        let framed = snappy_compress(b"departures");
        assert_eq!(
            read(&framed.repeat(2)),
            Ok(b"departuresdepartures".to_vec())
        );
        assert_eq!(read(&snappy_compress(b"")), Ok(Vec::new()));
        for cut in 1..framed.len() {
            // A cut at the end of the stream's header leaves a stream without blocks.
            assert_eq!(
                read(&framed[..cut]).is_ok(),
                cut == SNAPPY_JAVA_HEADER_BYTES,
                "{cut}"
            );
        }
    }

    #[test]
    fn a_snappy_block_that_claims_too_much_is_refused_before_memory_is_taken() {
        // 2^32 - 1 as the length of a block of 5 bytes.
        let error = decompress(
            Compression::Snappy,
            &[0xff, 0xff, 0xff, 0xff, 0x0f],
            usize::MAX,
        );
        assert!(error.unwrap_err().to_string().contains("claims to hold"));
    }

    #[test]
    fn lz4_is_written_as_java_does() {
        let frame = compress(Compression::Lz4, b"departures".to_vec());
        // Magic; version 1 and independent blocks, no checksums; blocks of at most 64 KiB.
        let header = [0x04, 0x22, 0x4d, 0x18, 0x60, 0x40];
        assert_eq!(frame[..6], header);
        for level in [1, 9, 17] {
            let with_level = compress_with(Compression::Lz4, Some(level), b"departures".to_vec());
            assert_eq!(with_level, frame);
        }
    }

    #[test]
    fn levels_trade_time_for_size_where_the_codec_has_them() {
        let words = (0..20_000).map(|n| format!("departure {} of {}; ", n * 7919 % 1000, n % 37));
        let body = words.collect::<String>().into_bytes();
        for (codec, low, high) in [(Compression::Gzip, 1, 9), (Compression::Zstd, -7, 4)] {
            let sizes = [low, high].map(|level| {
                let small = compress_with(codec, Some(level), body.clone());
                assert_eq!(decompress(codec, &small, body.len()), Ok(body.clone()));
                small.len()
            });
            assert!(sizes[1] < sizes[0], "{codec}: {sizes:?}");
        }
    }

    #[test]
    fn gzip_members_follow_one_another() {
        let member = compress(Compression::Gzip, b"departures".to_vec());
        assert_eq!(
            decompress(Compression::Gzip, &member.repeat(2), 100),
            Ok(b"departuresdepartures".to_vec())
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_bytes_decompress_safely(bytes: Vec<u8>, framed: bool) {
            for codec in Compression::ALL {
                let magic: &[u8] = match codec {
                    Compression::None => b"",
                    Compression::Gzip => &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0],
                    Compression::Snappy => b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01",
                    Compression::Lz4 => &[0x04, 0x22, 0x4d, 0x18],
                    Compression::Zstd => &[0x28, 0xb5, 0x2f, 0xfd],
                };
                let bytes = if framed { [magic, &bytes].concat() } else { bytes.clone() };
                if let Ok(out) = decompress(codec, &bytes, 5_000) {
                    prop_assert!(out.len() <= 5_000);
                }
            }
        }
    }
}
