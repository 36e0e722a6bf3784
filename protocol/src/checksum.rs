//! CRC-32C (Castagnoli), which stands before every batch and in every snapshot of producers.
//!
//! Every byte that is appended or served is checked, so its speed is a good part of the log's. The
//! library folds with carry-less multiplication where the processor has it; with the processor's
//! own CRC instruction batches of a few KiB take twice as long.

use crc_fast::{CrcAlgorithm, checksum};

/// The CRC-32C of `bytes`, as Kafka, iSCSI and ext4 compute it.
pub fn crc32c(bytes: &[u8]) -> u32 {
    checksum(CrcAlgorithm::Crc32Iscsi, bytes) as u32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bit_by_bit(bytes: &[u8]) -> u32 {
        let mut crc = !0_u32;
        for byte in bytes {
            crc ^= u32::from(*byte);
            for _ in 0..8 {
                crc = (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg());
            }
        }
        !crc
    }

    #[test]
    fn the_check_value_of_the_catalogue() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(b""), 0);
    }

    #[test]
    fn every_length_and_place_in_memory_gives_the_same() {
        let bytes: Vec<u8> = (0..1500_u32).map(|n| (n * n / 8) as u8).collect();
        for start in 0..70 {
            for end in [start, 700 + start, 1430 + start] {
                assert_eq!(crc32c(&bytes[start..end]), bit_by_bit(&bytes[start..end]));
            }
        }
        for length in 0..bytes.len() {
            assert_eq!(crc32c(&bytes[..length]), bit_by_bit(&bytes[..length]));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn equals_the_definition(bytes in prop::collection::vec(any::<u8>(), 0..20_000)) {
            prop_assert_eq!(crc32c(&bytes), bit_by_bit(&bytes));
        }
    }
}
