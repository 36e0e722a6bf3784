//! Zstandard: in safe Rust, or with the feature `zstd-c` in C.
//!
//! Both write one frame without a checksum (the batch has its own), and read what a Kafka client
//! may send: several frames, frames without a content size, checksums, skippable frames. Both
//! refuse a dictionary, and a window above 128 MiB, as zstd's library does. What is written has a
//! window of at most 8 MiB, more than which RFC 8878 asks of no decoder; producers at levels from
//! 20 on write larger ones, however small the batch.
//!
//! | level      | in Rust                                          | in C             |
//! |------------|--------------------------------------------------|------------------|
//! | none, 0    | 3, which is Kafka's default                      | 3                |
//! | 1 to 4     | that level; sizes are within a few percent of C's | that level       |
//! | 5 to 22    | 4                                                | that level       |
//! | negative   | that level, -7 for all below                     | that level       |
//!
//! So a high level costs no time in Rust and saves no bytes. Decision 20 has the figures.
//!
//! Invariant: a frame is walked, block by block, before memory is taken for it. A block has at most
//! 128 KiB, so a content size that the blocks cannot reach is refused.

use super::codec::Failed;

#[cfg(feature = "zstd-c")]
pub(super) use in_c::{compress, decompress};
#[cfg(not(feature = "zstd-c"))]
pub(super) use in_rust::{compress, decompress};

/// Kafka's and zstd's own default, for which 0 stands too.
const LEVEL_DEFAULT: i32 = 3;
/// The window that every decoder is asked to support: what is written has no larger one.
const WINDOW_LOG_WRITTEN: u32 = 23;
/// The largest window that zstd's library reads by default, as Kafka does.
const WINDOW_LOG_READ: u32 = 27;

fn level_or_default(level: Option<i32>) -> i32 {
    level.filter(|level| *level != 0).unwrap_or(LEVEL_DEFAULT)
}

#[cfg(not(feature = "zstd-c"))]
mod in_rust {
    use std::cell::RefCell;
    use std::io::Write;
    use std::ops::RangeInclusive;

    use zrip::error::DecompressError;
    use zrip::frame::MAX_BLOCK_SIZE;
    use zrip::frame::header::{FrameHeader, parse_frame_header};
    use zrip::{CompressContext, DecompressContext, FrameEncoder, Options};

    use super::super::codec::{IN_MEMORY, broken};
    use super::{Failed, WINDOW_LOG_READ, WINDOW_LOG_WRITTEN, level_or_default};

    const LEVELS: RangeInclusive<i32> = -7..=4;
    const WINDOW_BYTES_MAX: u64 = 1 << WINDOW_LOG_READ;

    /// The low 4 bits of the magic number of a frame to be skipped are free.
    const SKIPPABLE: u32 = 0x184d_2a50;
    const BLOCK_HEADER_BYTES: usize = 3;
    const CHECKSUM_BYTES: usize = 4;
    const CUT_OFF: &str = "a frame is cut off";

    thread_local! {
        // Tables of up to a megabyte, which a batch of a few records need not set up.
        static COMPRESSOR: RefCell<CompressContext> = RefCell::new(
            CompressContext::new(super::LEVEL_DEFAULT).expect("3 is a level")
        );
        static DECOMPRESSOR: RefCell<DecompressContext> = RefCell::new(DecompressContext::new());
    }

    pub(in super::super) fn compress(level: Option<i32>, body: &[u8]) -> Vec<u8> {
        let level = level_or_default(level).clamp(*LEVELS.start(), *LEVELS.end());
        if body.len() > 1 << WINDOW_LOG_WRITTEN {
            return compress_in_windows(level, body);
        }
        COMPRESSOR.with_borrow_mut(|compressor| {
            compressor.set_content_checksum(false);
            compressor.set_level(level).expect("the level is in range");
            let frame = compressor.compress(body).expect(IN_MEMORY);
            frame.into_owned()
        })
    }

    /// A frame that is written in one go has all of its content as its window. Of larger content no
    /// decoder need keep more than the window.
    fn compress_in_windows(level: i32, body: &[u8]) -> Vec<u8> {
        let options = Options::default().window_log(WINDOW_LOG_WRITTEN);
        let mut encoder =
            FrameEncoder::with_options(Vec::new(), level, &options).expect("the level is in range");
        encoder.write_all(body).expect(IN_MEMORY);
        encoder.finish().expect(IN_MEMORY)
    }

    /// Appends what `body` holds to `out`, at most `limit` bytes and, on its way to an error, one
    /// block.
    pub(in super::super) fn decompress(
        body: &[u8],
        limit: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), Failed> {
        check_frames(body)?;
        let start = out.len();
        // A block that the limit cuts off would count as corrupt; with room for it, it is too
        // large.
        let roomy = limit.saturating_add(MAX_BLOCK_SIZE);
        let read = DECOMPRESSOR.with_borrow_mut(|decompressor| {
            decompressor.decompress_into_with_limit(body, out, roomy)
        });
        match read {
            _ if out.len() - start > limit => Err(Failed::TooLarge),
            Ok(_) => Ok(()),
            Err(DecompressError::OutputTooSmall) => Err(Failed::TooLarge),
            Err(error) => Err(broken(error)),
        }
    }

    /// Walks all frames: they may not claim more memory than their bytes can fill.
    fn check_frames(mut rest: &[u8]) -> Result<(), Failed> {
        loop {
            rest = match skippable(rest)? {
                Some(rest) => rest,
                None => check_frame(rest)?,
            };
            if rest.is_empty() {
                return Ok(());
            }
        }
    }

    /// The bytes after a skippable frame; `None` if this is not one.
    fn skippable(rest: &[u8]) -> Result<Option<&[u8]>, Failed> {
        let number = |at: usize| {
            let bytes = rest.get(at..)?.first_chunk()?;
            Some(u32::from_le_bytes(*bytes))
        };
        if number(0).ok_or(CUT_OFF)? & !0xf != SKIPPABLE {
            return Ok(None);
        }
        let (_, content) = rest.split_at_checked(8).ok_or(CUT_OFF)?;
        let length = number(4).ok_or(CUT_OFF)? as usize;
        Ok(Some(content.get(length..).ok_or(CUT_OFF)?))
    }

    /// The bytes after the frame.
    fn check_frame(frame: &[u8]) -> Result<&[u8], Failed> {
        let header = parse_frame_header(frame).map_err(broken)?;
        if header.window_size > WINDOW_BYTES_MAX {
            let window = header.window_size;
            return Err(broken(format_args!(
                "the window of {window} bytes is larger than the limit of {WINDOW_BYTES_MAX}"
            )));
        }
        let (content_max, blocks_end) = walk_blocks(frame, header.header_size)?;
        check_content_size(&header, content_max)?;
        let checksum = usize::from(header.content_checksum) * CHECKSUM_BYTES;
        frame
            .get(blocks_end + checksum..)
            .ok_or_else(|| CUT_OFF.into())
    }

    /// The largest content that the blocks can have, and where they end.
    fn walk_blocks(frame: &[u8], mut at: usize) -> Result<(u64, usize), Failed> {
        let mut content_max = 0;
        loop {
            let header = frame.get(at..at + BLOCK_HEADER_BYTES).ok_or(CUT_OFF)?;
            let header = u32::from_le_bytes([header[0], header[1], header[2], 0]);
            let (is_last, kind, size) = (header & 1 == 1, header >> 1 & 3, header >> 3);
            at += BLOCK_HEADER_BYTES;
            // Raw, one byte repeated, compressed, reserved.
            let (stored, content) = match kind {
                0 => (size as usize, u64::from(size)),
                1 => (1, u64::from(size)),
                2 => (size as usize, MAX_BLOCK_SIZE as u64),
                _ => return Err("a block has the reserved type".into()),
            };
            at += stored;
            content_max += content;
            if is_last {
                return Ok((content_max, at));
            }
        }
    }

    /// The decoder takes memory for the content size.
    fn check_content_size(header: &FrameHeader, content_max: u64) -> Result<(), Failed> {
        match header.frame_content_size {
            Some(claimed) if claimed > content_max => Err(broken(format_args!(
                "a frame whose blocks hold at most {content_max} bytes claims to hold {claimed}"
            ))),
            _ => Ok(()),
        }
    }
}

#[cfg(feature = "zstd-c")]
mod in_c {
    use ::zstd::bulk::Compressor;
    use ::zstd::zstd_safe::CParameter;

    use super::super::codec::{IN_MEMORY, broken, drain};
    use super::{Failed, WINDOW_LOG_READ, WINDOW_LOG_WRITTEN, level_or_default};

    /// Levels from here on have windows above the limit.
    const LEVEL_OF_LARGE_WINDOWS: i32 = 20;

    pub(in super::super) fn compress(level: Option<i32>, body: &[u8]) -> Vec<u8> {
        let level = level_or_default(level);
        let mut compressor = Compressor::new(level).expect(IN_MEMORY);
        if level >= LEVEL_OF_LARGE_WINDOWS {
            let window = CParameter::WindowLog(WINDOW_LOG_WRITTEN);
            compressor.set_parameter(window).expect("it is in range");
        }
        compressor.compress(body).expect(IN_MEMORY)
    }

    /// Appends what `body` holds to `out`, at most `limit` bytes.
    pub(in super::super) fn decompress(
        body: &[u8],
        limit: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), Failed> {
        let mut decoder = ::zstd::Decoder::with_buffer(body).map_err(broken)?;
        decoder.window_log_max(WINDOW_LOG_READ).map_err(broken)?;
        drain(decoder, limit, out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
    /// A last block: the byte 7, ten times.
    const TEN_SEVENS: [u8; 4] = [0x53, 0, 0, 7];

    fn frame(header: &[u8]) -> Vec<u8> {
        [&MAGIC[..], header, &TEN_SEVENS].concat()
    }

    fn read(body: &[u8]) -> Result<Vec<u8>, String> {
        let mut out = Vec::new();
        match decompress(body, 1 << 20, &mut out) {
            Ok(()) => Ok(out),
            Err(Failed::TooLarge) => Err("too large".into()),
            Err(Failed::Broken(reason)) => Err(reason),
        }
    }

    #[test]
    fn a_window_beyond_128_mib_is_refused() {
        // A window of 2^(10 + n) bytes is written as n << 3; of an eighth more with 1 behind it.
        assert_eq!(read(&frame(&[0, 13 << 3])), Ok(vec![7; 10]));
        assert_eq!(read(&frame(&[0, 17 << 3])), Ok(vec![7; 10]));
        assert!(read(&frame(&[0, 17 << 3 | 1])).is_err());
        assert!(read(&frame(&[0, 18 << 3])).is_err());
    }

    #[test]
    fn a_dictionary_is_refused() {
        assert!(read(&frame(&[1, 0, 9])).is_err());
    }

    #[test]
    fn frames_follow_one_another_and_others_are_skipped() {
        let one = frame(&[0, 0]);
        let skipped = [0x50, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 1, 2];
        assert_eq!(read(&[&one[..], &skipped, &one].concat()), Ok(vec![7; 20]));
        for cut in [1, 9] {
            assert!(
                read(&[&one[..], &skipped[..cut]].concat()).is_err(),
                "{cut}"
            );
        }
        for cut in 0..one.len() {
            assert!(read(&one[..cut]).is_err(), "{cut}");
        }
    }

    #[test]
    fn a_content_size_must_be_the_content_s() {
        assert_eq!(read(&frame(&[0x20, 10])), Ok(vec![7; 10]));
        for lie in [9, 11] {
            assert!(read(&frame(&[0x20, lie])).is_err(), "{lie}");
        }
    }

    #[test]
    fn a_body_larger_than_a_window_is_read_back() {
        let body: Vec<u8> = (0..9 << 20_u32).map(|n| (n / 1000) as u8).collect();
        let small = compress(None, &body);
        let mut out = vec![1, 2];
        assert!(decompress(&small, body.len(), &mut out).is_ok());
        assert!(out[..2] == [1, 2] && out[2..] == body);
    }

    #[cfg(not(feature = "zstd-c"))]
    #[test]
    fn a_claimed_content_size_takes_no_memory() {
        // 2^20 bytes, of which the only block holds ten.
        let mut out = Vec::new();
        let claim = frame(&[0xa0, 0, 0, 16, 0]);
        assert!(decompress(&claim, 1 << 30, &mut out).is_err());
        assert_eq!(out.capacity(), 0);
    }

    #[cfg(not(feature = "zstd-c"))]
    #[test]
    fn levels_that_there_are_not_stand_for_the_nearest() {
        let body: Vec<u8> = (0..9000_u32)
            .flat_map(|n| (n * n % 1000).to_le_bytes())
            .collect();
        let at = |level| compress(level, &body);
        for (level, stands_for) in [(0, 3), (5, 4), (22, 4), (-8, -7), (-131_072, -7)] {
            assert_eq!(at(Some(level)), at(Some(stands_for)), "{level}");
        }
        assert_eq!(at(None), at(Some(3)));
        assert!(at(Some(4)).len() < at(Some(-7)).len());
    }
}
