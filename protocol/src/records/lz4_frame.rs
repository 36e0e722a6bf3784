//! Where an LZ4 frame ends.
//!
//! ```text
//!  magic u32 │ FLG │ BD │ [content size u64] │ [dictionary id u32] │ header checksum u8
//!  block:  size u32, top bit set if stored │ size bytes │ [block checksum u32]
//!  end mark u32 = 0 │ [content checksum u32]                            numbers little-endian
//! ```
//!
//! A decoder that meets the end of its input between two blocks takes it for the end of the frame.
//! Java's consumer does not: it fails on a frame without an end mark. So the marks are looked for
//! before such a frame is stored.

/// Frames begin with it.
const MAGIC: u32 = 0x184d_2204;
/// The sixteen magics of skippable frames differ in the low four bits.
const SKIPPABLE_MAGIC: u32 = 0x184d_2a50;

const FLAG_BLOCK_CHECKSUMS: u8 = 0x10;
const FLAG_CONTENT_SIZE: u8 = 0x08;
const FLAG_CONTENT_CHECKSUM: u8 = 0x04;
const FLAG_DICTIONARY_ID: u8 = 0x01;
/// The size of a block without the bit that says that it is stored uncompressed.
const BLOCK_SIZE: u32 = 0x7fff_ffff;

/// Whether `body` consists of whole frames, each with its end mark. Nothing is decompressed.
pub(super) fn ends_whole(mut body: &[u8]) -> bool {
    while !body.is_empty() {
        match after_frame(body) {
            Some(rest) => body = rest,
            None => return false,
        }
    }
    true
}

/// What follows the frame at the start of `body`; `None` if it is not whole.
fn after_frame(body: &[u8]) -> Option<&[u8]> {
    let (magic, rest) = take_u32(body)?;
    if magic & !0xf == SKIPPABLE_MAGIC {
        let (size, rest) = take_u32(rest)?;
        return rest.get(size as usize..);
    }
    if magic != MAGIC {
        return None;
    }
    let flags = *rest.first()?;
    let has = |flag: u8, bytes: usize| usize::from(flags & flag != 0) * bytes;
    // FLG, BD and the header checksum.
    let header = 3 + has(FLAG_CONTENT_SIZE, 8) + has(FLAG_DICTIONARY_ID, 4);
    let mut rest = rest.get(header..)?;
    loop {
        let (size, block) = take_u32(rest)?;
        if size == 0 {
            return block.get(has(FLAG_CONTENT_CHECKSUM, 4)..);
        }
        let bytes = (size & BLOCK_SIZE) as usize + has(FLAG_BLOCK_CHECKSUMS, 4);
        rest = block.get(bytes..)?;
    }
}

fn take_u32(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u32::from_le_bytes(*number), rest))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use lz4_flex::frame::{FrameEncoder, FrameInfo};

    use super::*;

    fn frame(info: FrameInfo, content: &[u8]) -> Vec<u8> {
        let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn every_kind_of_frame_is_whole_and_every_cut_is_not() {
        let content: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
        let size = content.len() as u64;
        for info in [
            FrameInfo::new(),
            FrameInfo::new().block_checksums(true),
            FrameInfo::new().content_checksum(true),
            FrameInfo::new()
                .content_size(Some(size))
                .content_checksum(true)
                .block_checksums(true),
        ] {
            let frame = frame(info, &content);
            assert!(ends_whole(&frame) && ends_whole(&frame.repeat(2)));
            let cuts = (1..frame.len())
                .step_by(997)
                .chain(frame.len() - 9..frame.len());
            for cut in cuts {
                assert!(!ends_whole(&frame[..cut]), "{cut}");
            }
        }
    }

    #[test]
    fn a_skippable_frame_is_passed_and_anything_else_is_not() {
        let skippable = [0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3];
        assert!(ends_whole(&skippable) && !ends_whole(&skippable[..10]));
        assert!(ends_whole(&[]) && !ends_whole(&[0; 20]));
    }
}
