//! What records hold: noise, which nothing compresses, or the text of real departures.

use std::io::Read;

use anyhow::Context;
use bytes::Bytes;
use clap::ValueEnum;

/// Bytes of noise that records are cut from; more than any batch has.
const NOISE_BYTES: usize = 4 << 20;
/// Before the payload of end-to-end records: when they were due, in nanoseconds.
pub(super) const STAMP_BYTES: usize = 8;

/// What records hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Kind {
    /// Bytes by chance: no codec makes them smaller.
    #[default]
    Random,
    /// Lines of a real table of departures: codecs make them several times smaller.
    Text,
}

/// A store of bytes that records are cut from.
#[derive(Clone, Debug)]
pub(super) struct Payload {
    pool: Bytes,
    size: usize,
    at: usize,
}

impl Payload {
    /// Records of `size` bytes; workers with another `seed` begin at another place.
    pub(super) fn new(kind: Kind, size: usize, seed: u64) -> anyhow::Result<Self> {
        let mut pool = match kind {
            Kind::Random => noise(NOISE_BYTES.max(size)),
            Kind::Text => text()?,
        };
        while pool.len() < size {
            pool.extend_from_within(..);
        }
        let at = (seed as usize).wrapping_mul(size.max(1)) % (pool.len() - size + 1);
        Ok(Self {
            pool: pool.into(),
            size,
            at,
        })
    }

    /// The next record's value; nothing is copied.
    pub(super) fn next(&mut self) -> Bytes {
        if self.at + self.size > self.pool.len() {
            self.at = 0;
        }
        let value = self.pool.slice(self.at..self.at + self.size);
        self.at += self.size;
        value
    }

    /// The next record's value, which begins with a stamp.
    pub(super) fn next_stamped(&mut self, stamp: u64) -> Bytes {
        let mut value = self.next().to_vec();
        let place = value.first_chunk_mut::<STAMP_BYTES>();
        *place.expect("records are at least as long as their stamp") = stamp.to_be_bytes();
        value.into()
    }
}

/// The stamp of a record.
pub(super) fn stamp_of(value: &[u8]) -> Option<u64> {
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

fn text() -> anyhow::Result<Vec<u8>> {
    let packed: &[u8] = include_bytes!("../../../data/departures-2013-03-04.csv.gz");
    let mut text = Vec::new();
    flate2::read::GzDecoder::new(packed)
        .read_to_end(&mut text)
        .context("unpacking the departures")?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_have_their_size_and_differ() {
        for kind in [Kind::Random, Kind::Text] {
            for size in [0, 1, 100, 2 << 20] {
                let mut payload = Payload::new(kind, size, 3).unwrap();
                let values: Vec<_> = (0..4).map(|_| payload.next()).collect();
                assert!(values.iter().all(|value| value.len() == size));
                assert!(size < 100 || values[0] != values[1], "{kind:?} {size}");
            }
        }
    }

    #[test]
    fn noise_does_not_compress_and_text_does() {
        let packed = |kind| {
            let mut payload = Payload::new(kind, 1000, 0).unwrap();
            let block: Vec<u8> = (0..60).flat_map(|_| payload.next()).collect();
            let mut packer = flate2::read::GzEncoder::new(&block[..], flate2::Compression::fast());
            let mut packed = Vec::new();
            packer.read_to_end(&mut packed).unwrap() as f64 / block.len() as f64
        };
        assert!(packed(Kind::Random) > 0.99);
        assert!(packed(Kind::Text) < 0.5);
    }

    #[test]
    fn a_stamp_comes_back() {
        let mut payload = Payload::new(Kind::Text, 100, 0).unwrap();
        let value = payload.next_stamped(123_456_789_012);
        assert_eq!(value.len(), 100);
        assert_eq!(stamp_of(&value), Some(123_456_789_012));
        assert_eq!(stamp_of(b"short"), None);
    }
}
