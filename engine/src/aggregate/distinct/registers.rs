//! The registers of a HyperLogLog, and the hash that fills them.
//!
//! Both are written to changelogs, so both are fixed: the tests hold values that an independent
//! program has computed.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, Hasher};

use hyperloglockless::{DefaultHasher, HyperLogLog};
use serde::{Deserialize, Serialize};

/// A HyperLogLog. It is written as its registers, one byte each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(into = "Vec<u8>", try_from = "Vec<u8>")]
pub struct Registers(HyperLogLog);

impl Registers {
    /// The sketch of these hashes.
    pub(super) fn of(hashes: &BTreeSet<u64>, precision: u8) -> Self {
        let mut sketch = HyperLogLog::with_hasher(precision, hasher());
        for hash in hashes {
            sketch.insert_hash(*hash);
        }
        Self(sketch)
    }

    /// Adds a hash.
    pub(super) fn insert(&mut self, hash: u64) {
        self.0.insert_hash(hash);
    }

    /// The highest of each register of both. Those of another precision stay out: they are not of
    /// the same aggregate.
    pub(super) fn union(&mut self, later: &Self) {
        self.0.union(&later.0).unwrap_or_default();
    }

    /// About how many hashes were added.
    ///
    /// The sketch keeps the sum that it estimates by while it grows, and rounding makes it depend on
    /// the order. So here it is made again, from the registers alone.
    pub(super) fn estimate(&self) -> u64 {
        let registers: Vec<u8> = self.0.iter().collect();
        sketch_of(registers).raw_count().round() as u64
    }
}

/// The sketch that has these registers: as many as it may have, of no higher rank than 65.
fn sketch_of(registers: Vec<u8>) -> HyperLogLog {
    let zeros = registers.iter().map(|rank| usize::from(*rank == 0)).sum();
    let sum = registers.iter().map(|rank| two_to_minus(*rank)).sum();
    HyperLogLog::from_parts(registers.into(), hasher(), zeros, sum)
}

/// 2^-rank: a float whose fraction is 1 and whose exponent, written with a bias of 1023, is -rank.
fn two_to_minus(rank: u8) -> f64 {
    f64::from_bits((1023 - u64::from(rank)) << 52)
}

impl From<Registers> for Vec<u8> {
    fn from(registers: Registers) -> Self {
        registers.0.iter().collect()
    }
}

impl TryFrom<Vec<u8>> for Registers {
    type Error = String;

    fn try_from(registers: Vec<u8>) -> Result<Self, String> {
        let count = registers.len();
        if !(4..=18).any(|precision| count == 1 << precision) {
            return Err(format!("expected 2^4 to 2^18 registers, found {count}"));
        }
        if let Some(rank) = registers.iter().find(|rank| **rank > 65) {
            return Err(format!("expected registers of at most 65, found {rank}"));
        }
        Ok(Self(sketch_of(registers)))
    }
}

/// The key is arbitrary; another one would make the kept hashes those of other values.
fn hasher() -> DefaultHasher {
    DefaultHasher::seeded(b"brooklet.uniques")
}

/// The hash of a value's canonical bytes.
pub(super) fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = hasher().build_hasher();
    hasher.write(bytes);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_and_registers_stay_what_changelogs_hold() {
        assert_eq!(hash(b"JFK"), 13_922_135_771_498_134_779);
        let hashes = (0..40i64).map(|n| hash(&n.to_be_bytes())).collect();
        let registers: Vec<u8> = Registers::of(&hashes, 4).into();
        assert_eq!(registers, [6, 6, 6, 3, 2, 4, 3, 0, 8, 2, 1, 4, 2, 3, 1, 2]);
    }

    #[test]
    fn what_is_no_sketch_is_refused() {
        let refused = |registers: Vec<u8>| Registers::try_from(registers).unwrap_err();
        assert!(refused(vec![0; 17]).contains("found 17"));
        assert!(refused(vec![]).contains("found 0"));
        assert!(refused([&[66], &[0; 15][..]].concat()).contains("found 66"));
        assert!(Registers::try_from(vec![65; 16]).is_ok());
    }
}
