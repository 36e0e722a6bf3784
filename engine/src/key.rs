//! Keys: what records are grouped by.
//!
//! A key has one canonical form in bytes. It decides the partition (murmur2 of the bytes, as every
//! Kafka client does it), the order of results, and what other tools see in the topic.

use std::hash::Hash;

use bytes::Bytes;

use crate::codec::DecodeError;

/// Something to group by: equal keys have equal bytes, and the bytes give the key back.
pub trait Key: Clone + Eq + Hash + Send + 'static {
    /// The canonical bytes.
    fn to_bytes(&self) -> Bytes;
    /// The key that has these bytes.
    ///
    /// # Errors
    /// No key has these bytes.
    fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError>;
    /// Whether a key has these bytes; [`Key::from_bytes`] without making it.
    ///
    /// # Errors
    /// As [`Key::from_bytes`].
    fn validate(bytes: &[u8]) -> Result<(), DecodeError> {
        Self::from_bytes(bytes).map(drop)
    }
}

impl Key for String {
    fn to_bytes(&self) -> Bytes {
        Bytes::copy_from_slice(self.as_bytes())
    }
    fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        crate::codec::utf8(bytes)
    }
    fn validate(bytes: &[u8]) -> Result<(), DecodeError> {
        crate::codec::is_utf8(bytes).map(drop)
    }
}

impl Key for Vec<u8> {
    fn to_bytes(&self) -> Bytes {
        Bytes::copy_from_slice(self)
    }
    fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        Ok(bytes.to_vec())
    }
    fn validate(_: &[u8]) -> Result<(), DecodeError> {
        Ok(())
    }
}

/// Integers are keyed as Kafka's serializers write them: big-endian, at full width.
macro_rules! integer_keys {
    ($($integer:ty),*) => {$(
        impl Key for $integer {
            fn to_bytes(&self) -> Bytes {
                Bytes::copy_from_slice(&self.to_be_bytes())
            }
            fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
                crate::codec::fixed(bytes).map(Self::from_be_bytes)
            }
        }
    )*};
}
integer_keys!(i32, i64, u32, u64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_their_bytes_are_one_to_one() {
        assert_eq!(
            String::from_bytes(&"JFK".to_owned().to_bytes()).unwrap(),
            "JFK"
        );
        assert_eq!(i64::from_bytes(&(-2i64).to_bytes()).unwrap(), -2);
        assert_eq!(&7u32.to_bytes()[..], [0, 0, 0, 7]);
        let error = i64::from_bytes(b"abc").unwrap_err();
        assert_eq!(error.to_string(), "expected 8 bytes, found 3");
        assert!(String::from_bytes(&[0xff]).is_err());
    }
}
