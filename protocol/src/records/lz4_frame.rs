//! The LZ4 frames that every consumer can read, and where they end.
//!
//! ```text
//!  magic u32 │ FLG │ BD │ [content size u64] │ header checksum u8
//!  block:  size u32, top bit set if stored │ size bytes │ [block checksum u32]
//!  end mark u32 = 0 │ [content checksum u32]                            numbers little-endian
//! ```
//!
//! A decoder that meets the end of its input between two blocks takes it for the end of the frame.
//! Java's consumer does not: it fails on a frame without an end mark. It also
//! reads frames of version 1 with independent blocks and without a dictionary only, the first of
//! which may not be one to be skipped; and a block that holds nothing ends a frame for some
//! decoders and not for others. All this is looked at before such a frame is stored.

/// Frames begin with it.
const MAGIC: u32 = 0x184d_2204;
/// The sixteen magics of skippable frames differ in the low four bits.
const SKIPPABLE_MAGIC: u32 = 0x184d_2a50;

const FLAG_BLOCK_CHECKSUMS: u8 = 0x10;
const FLAG_CONTENT_SIZE: u8 = 0x08;
const FLAG_CONTENT_CHECKSUM: u8 = 0x04;
/// Version 1 in the upper two bits, and blocks that do not refer to earlier ones.
const FLAGS_REQUIRED: u8 = 0x60;
/// A higher version, a reserved bit, a dictionary.
const FLAGS_FORBIDDEN: u8 = 0x83;
/// The size of a block without the bit that says that it is stored uncompressed.
const BLOCK_SIZE: u32 = 0x7fff_ffff;

/// Whether `body` consists of whole frames that Java's consumer reads, the first of them not one to
/// be skipped. Nothing is decompressed.
pub(super) fn is_readable(mut body: &[u8]) -> bool {
    if !body.is_empty() && !body.starts_with(&MAGIC.to_le_bytes()) {
        return false;
    }
    while !body.is_empty() {
        match after_frame(body) {
            Some(rest) => body = rest,
            None => return false,
        }
    }
    true
}

/// The bytes after the frame at the start of `body`; `None` if the frame is incomplete.
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
    if flags & FLAGS_REQUIRED != FLAGS_REQUIRED || flags & FLAGS_FORBIDDEN != 0 {
        return None;
    }
    let has = |flag: u8, bytes: usize| usize::from(flags & flag != 0) * bytes;
    // FLG, BD and the header checksum.
    let header = 3 + has(FLAG_CONTENT_SIZE, 8);
    let mut rest = rest.get(header..)?;
    loop {
        let (size, block) = take_u32(rest)?;
        if size == 0 {
            return block.get(has(FLAG_CONTENT_CHECKSUM, 4)..);
        }
        let stored = (size & BLOCK_SIZE) as usize;
        // A block that is compressed begins with a token; alone it says that nothing follows.
        let is_compressed = size == size & BLOCK_SIZE;
        if stored == 0 || (is_compressed && stored == 1) {
            return None;
        }
        let bytes = stored + has(FLAG_BLOCK_CHECKSUMS, 4);
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

    use lz4_flex::frame::{BlockMode, FrameEncoder, FrameInfo};

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
            assert!(is_readable(&frame) && is_readable(&frame.repeat(2)));
            let cuts = (1..frame.len())
                .step_by(997)
                .chain(frame.len() - 9..frame.len());
            for cut in cuts {
                assert!(!is_readable(&frame[..cut]), "{cut}");
            }
        }
    }

    #[test]
    fn what_java_does_not_read_is_refused() {
        let content = b"departures ".repeat(20_000);
        let good = frame(FrameInfo::new(), &content);
        assert!(is_readable(&good));
        let linked = frame(FrameInfo::new().block_mode(BlockMode::Linked), &content);
        assert!(!is_readable(&linked), "blocks that refer to earlier ones");
        for flag in [0x01, 0x02, 0x80] {
            let mut odd = good.clone();
            odd[4] |= flag;
            assert!(!is_readable(&odd), "{flag:#x}");
        }
        // Nothing, stored or compressed, before the first block.
        let (head, blocks) = good.split_at(7);
        for empty in [&[0, 0, 0, 0x80][..], &[1, 0, 0, 0, 0]] {
            assert!(!is_readable(&[head, empty, blocks].concat()));
        }
    }

    #[test]
    fn a_skippable_frame_is_passed_behind_another_and_anything_else_is_not() {
        let skippable = [0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3];
        let one = frame(FrameInfo::new(), b"departures");
        assert!(is_readable(&[&one[..], &skippable].concat()));
        assert!(!is_readable(&[&one[..], &skippable[..10]].concat()));
        assert!(is_readable(&[]) && !is_readable(&[0; 20]));
        assert!(!is_readable(&[&skippable[..], &one].concat()));
    }
}
