//! Murmur2, the hash by which Kafka's clients spread keys over partitions.
//!
//! Records with equal keys land in one partition only if every client hashes alike; the Java
//! client's choice (`org.apache.kafka.common.utils.Utils.murmur2`, seed `0x9747b28c`) is the
//! convention, signed-shift quirks and all.

use crate::PartitionId;

const SEED: u32 = 0x9747_b28c;
const M: u32 = 0x5bd1_e995;

/// The 32-bit hash of `bytes`, as the Java client computes it.
pub fn murmur2(bytes: &[u8]) -> u32 {
    let mut hash = SEED ^ bytes.len() as u32;
    let (words, tail) = bytes.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !tail.is_empty() {
        for (shift, byte) in tail.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * shift);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

/// The partition, of `partition_count`, in which the Java client's default partitioner puts `key`.
///
/// # Panics
/// When `partition_count` is not positive.
pub fn partition_for_key(key: &[u8], partition_count: i32) -> PartitionId {
    assert!(partition_count > 0, "a topic has at least one partition");
    // The sign bit is masked, not negated: Java's toPositive.
    PartitionId((murmur2(key) & 0x7fff_ffff) as i32 % partition_count)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of Kafka's own `UtilsTest.testMurmur2`.
    #[test]
    fn hashes_like_the_java_client() {
        let vectors: [(&[u8], i32); 6] = [
            (b"21", -973_932_308),
            (b"foobar", -790_332_482),
            (b"a-little-bit-long-string", -985_981_536),
            (b"a-little-bit-longer-string", -1_486_304_829),
            (
                b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8",
                -58_897_971,
            ),
            (b"abc", 479_470_107),
        ];
        for (key, hash) in vectors {
            assert_eq!(
                murmur2(key) as i32,
                hash,
                "{}",
                String::from_utf8_lossy(key)
            );
        }
    }

    #[test]
    fn origins_of_the_flights_share_partitions() {
        let of = |key: &str| partition_for_key(key.as_bytes(), 3).0;
        assert_eq!((of("EWR"), of("JFK"), of("LGA")), (1, 1, 0));
    }
}
