//! Kafka's way of writing a UUID: 22 characters of URL-safe base64.
//!
//! Sixteen bytes are 128 bits, base64 takes 6 bits per character, so 22 characters hold them with
//! four bits to spare, which are zero. Cluster ids and topic ids (KIP-516) are written like this.

use uuid::Uuid;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const TEXT_LENGTH: u32 = 22;

/// Writes `id` as Kafka does.
pub fn to_text(id: Uuid) -> String {
    // The last character holds the last two bits, and four zeros.
    let character = |index: u32| match index {
        0..21 => id.as_u128() >> (122 - 6 * index),
        _ => id.as_u128() << 4,
    };
    (0..TEXT_LENGTH)
        .map(|index| char::from(ALPHABET[(character(index) & 63) as usize]))
        .collect()
}

/// Reads what [`to_text`] writes; `None` for anything else.
pub fn from_text(text: &str) -> Option<Uuid> {
    if text.len() != TEXT_LENGTH as usize {
        return None;
    }
    let mut bits = 0_u128;
    for (index, byte) in (0..).zip(text.bytes()) {
        let value = ALPHABET.iter().position(|c| *c == byte)? as u128;
        match index {
            0..21 => bits = bits << 6 | value,
            _ if value.is_multiple_of(16) => bits = bits << 2 | value >> 4,
            _ => return None,
        }
    }
    Some(Uuid::from_u128(bits))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn it_is_base64_for_urls_without_padding() {
        assert_eq!(to_text(Uuid::nil()), "A".repeat(22));
        assert_eq!(to_text(Uuid::max()), format!("{}w", "_".repeat(21)));
        // Kafka's id of the metadata topic.
        assert_eq!(to_text(Uuid::from_u128(1)), "AAAAAAAAAAAAAAAAAAAAAQ");
    }

    #[test]
    fn anything_else_is_refused() {
        for bad in [
            "",
            "AAAA",
            "AAAAAAAAAAAAAAAAAAAAAB",
            "AAAAAAAAAAAAAAAAAAAA+A",
        ] {
            assert_eq!(from_text(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn it_reads_back(bits in any::<u128>()) {
            let id = Uuid::from_u128(bits);
            prop_assert_eq!(from_text(&to_text(id)), Some(id));
        }
    }
}
