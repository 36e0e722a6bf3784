//! What records hold: noise, which no codec compresses, or text that the caller provides.

use bytes::Bytes;

/// Bytes of noise that records are cut from; more than fit into a batch.
const NOISE_BYTES: usize = 4 << 20;
/// Bytes at the start of an end-to-end record: when it was due, in nanoseconds.
pub(crate) const STAMP_BYTES: usize = 8;

/// What records hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// Random bytes, the same in every run: no codec makes them smaller.
    Noise,
    /// Pieces of this text, which must not be empty.
    Text(Bytes),
}

impl Content {
    /// As a report names it.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Noise => "random",
            Self::Text(_) => "text",
        }
    }
}

/// A store of bytes that records are cut from.
#[derive(Clone, Debug)]
pub(crate) struct Payload {
    pool: Bytes,
    size: usize,
    at: usize,
}

impl Payload {
    /// Values of `size` bytes; workers with different seeds start at different positions.
    pub(crate) fn new(content: &Content, size: usize, seed: u64) -> Self {
        let pool = match content {
            Content::Noise => noise(NOISE_BYTES.max(size)).into(),
            Content::Text(text) if text.len() >= size => text.clone(),
            Content::Text(text) => text.repeat(size.div_ceil(text.len())).into(),
        };
        let at = (seed as usize).wrapping_mul(size.max(1)) % (pool.len() - size + 1);
        Self { pool, size, at }
    }

    /// The next value, without a copy.
    pub(crate) fn next(&mut self) -> Bytes {
        if self.at + self.size > self.pool.len() {
            self.at = 0;
        }
        let value = self.pool.slice(self.at..self.at + self.size);
        self.at += self.size;
        value
    }

    /// The next value, which begins with `stamp`.
    pub(crate) fn next_stamped(&mut self, stamp: u64) -> Bytes {
        let mut value = self.next().to_vec();
        let stamp_bytes = value.first_chunk_mut::<STAMP_BYTES>();
        *stamp_bytes.expect("records are at least as long as their stamp") = stamp.to_be_bytes();
        value.into()
    }
}

/// The stamp at the start of a value.
pub(crate) fn stamp_of(value: &[u8]) -> Option<u64> {
    value.first_chunk().map(|bytes| u64::from_be_bytes(*bytes))
}

/// xorshift64: the same noise every time.
fn noise(size: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let words = (0..size.div_ceil(8)).flat_map(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    let mut noise: Vec<u8> = words.collect();
    noise.truncate(size);
    noise
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn text() -> Content {
        Content::Text("a delayed flight is a straggler\n".repeat(30).into())
    }

    #[test]
    fn records_have_their_size_and_differ() {
        for content in [Content::Noise, text()] {
            for size in [0, 1, 100, 2 << 20] {
                let mut payload = Payload::new(&content, size, 3);
                let values: Vec<_> = (0..4).map(|_| payload.next()).collect();
                assert!(values.iter().all(|value| value.len() == size));
                let differ = values[0] != values[1] || size == 2 << 20;
                assert!(size < 100 || differ, "{} {size}", content.name());
            }
        }
    }

    #[test]
    fn noise_does_not_compress() {
        let mut payload = Payload::new(&Content::Noise, 1000, 0);
        let block: Vec<u8> = (0..60).flat_map(|_| payload.next()).collect();
        let mut packer = flate2::read::GzEncoder::new(&block[..], flate2::Compression::fast());
        let packed = packer.read_to_end(&mut Vec::new()).unwrap();
        assert!(packed as f64 / block.len() as f64 > 0.99);
    }

    #[test]
    fn a_stamp_comes_back() {
        let mut payload = Payload::new(&text(), 100, 0);
        let value = payload.next_stamped(123_456_789_012);
        assert_eq!(value.len(), 100);
        assert_eq!(stamp_of(&value), Some(123_456_789_012));
        assert_eq!(stamp_of(b"short"), None);
    }
}
