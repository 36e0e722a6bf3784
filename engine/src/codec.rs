//! Codecs: how values are encoded as bytes and decoded again.
//!
//! A codec is a small cloneable thing that is handed to the program's edges: `json()`, `text()`,
//! `raw()`, `int64()`. Decoding never panics; what it refuses is counted and skipped, and the run
//! goes on. Left out: Avro and Protobuf, and views that borrow from the batch.

use std::fmt;
use std::marker::PhantomData;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

/// Why bytes cannot be decoded.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct DecodeError(
    /// In words: what was expected, what was found.
    pub String,
);

/// Turns values into bytes and back.
pub trait Codec<T>: Clone + Send + 'static {
    /// The value that has these bytes.
    ///
    /// # Errors
    /// The bytes have no value.
    fn decode(&self, bytes: &[u8]) -> Result<T, DecodeError>;
    /// Hands the values of one source record to `take`, in order: one, unless the codec reads
    /// several from a record, as lines of a file. One that cannot be read does not spoil the
    /// others.
    fn decode_each(&self, bytes: &[u8], mut take: impl FnMut(Result<T, DecodeError>)) {
        take(self.decode(bytes));
    }
    /// The value's bytes.
    ///
    /// # Errors
    /// The value has no bytes, as a map with keys that are not strings has none in JSON.
    fn encode(&self, value: &T) -> Result<Bytes, EncodeError>;
}

/// Why a value cannot be encoded.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct EncodeError(
    /// The reason.
    pub String,
);

/// JSON, by way of serde.
pub struct Json<T>(PhantomData<fn() -> T>);

/// JSON, by way of serde.
pub fn json<T>() -> Json<T> {
    Json(PhantomData)
}

impl<T> Clone for Json<T> {
    fn clone(&self) -> Self {
        Self(PhantomData)
    }
}

impl<T> fmt::Debug for Json<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Json")
    }
}

impl<T: Serialize + DeserializeOwned + 'static> Codec<T> for Json<T> {
    fn decode(&self, bytes: &[u8]) -> Result<T, DecodeError> {
        serde_json::from_slice(bytes).map_err(|error| DecodeError(error.to_string()))
    }
    fn encode(&self, value: &T) -> Result<Bytes, EncodeError> {
        serde_json::to_vec(value)
            .map(Bytes::from)
            .map_err(|error| EncodeError(error.to_string()))
    }
}

/// UTF-8 text.
#[derive(Clone, Copy, Debug)]
pub struct Text;

/// UTF-8 text.
pub fn text() -> Text {
    Text
}

impl Codec<String> for Text {
    fn decode(&self, bytes: &[u8]) -> Result<String, DecodeError> {
        utf8(bytes)
    }
    fn encode(&self, value: &String) -> Result<Bytes, EncodeError> {
        Ok(Bytes::copy_from_slice(value.as_bytes()))
    }
}

/// The bytes as they are.
#[derive(Clone, Copy, Debug)]
pub struct Raw;

/// The bytes as they are.
pub fn raw() -> Raw {
    Raw
}

impl Codec<Bytes> for Raw {
    fn decode(&self, bytes: &[u8]) -> Result<Bytes, DecodeError> {
        Ok(Bytes::copy_from_slice(bytes))
    }
    fn encode(&self, value: &Bytes) -> Result<Bytes, EncodeError> {
        Ok(value.clone())
    }
}

/// A 64-bit integer, big-endian, as Kafka's `LongSerializer` writes it.
#[derive(Clone, Copy, Debug)]
pub struct Int64;

/// A 64-bit integer, big-endian, as Kafka's `LongSerializer` writes it.
pub fn int64() -> Int64 {
    Int64
}

impl Codec<i64> for Int64 {
    fn decode(&self, bytes: &[u8]) -> Result<i64, DecodeError> {
        fixed(bytes).map(i64::from_be_bytes)
    }
    fn encode(&self, value: &i64) -> Result<Bytes, EncodeError> {
        Ok(Bytes::copy_from_slice(&value.to_be_bytes()))
    }
}

pub(crate) fn utf8(bytes: &[u8]) -> Result<String, DecodeError> {
    is_utf8(bytes).map(str::to_owned)
}

pub(crate) fn is_utf8(bytes: &[u8]) -> Result<&str, DecodeError> {
    std::str::from_utf8(bytes).map_err(|error| DecodeError(error.to_string()))
}

pub(crate) fn fixed<const N: usize>(bytes: &[u8]) -> Result<[u8; N], DecodeError> {
    let wrong = |_| DecodeError(format!("expected {N} bytes, found {}", bytes.len()));
    bytes.try_into().map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_a_codec_refuses_it_refuses_in_words() {
        let error = json::<u8>().decode(b"300").unwrap_err();
        assert!(error.to_string().contains("expected u8"), "{error}");
        assert!(text().decode(&[0xc0]).is_err());
        assert_eq!(
            int64().decode(&[1]).unwrap_err().to_string(),
            "expected 8 bytes, found 1"
        );
    }

    proptest! {
        #[test]
        fn decode_undoes_encode(number: i64, words: String, bytes: Vec<u8>) {
            let list = vec![(words.clone(), number)];
            let codec = json::<Vec<(String, i64)>>();
            prop_assert_eq!(codec.decode(&codec.encode(&list).unwrap()).unwrap(), list);
            prop_assert_eq!(text().decode(&text().encode(&words).unwrap()).unwrap(), words);
            prop_assert_eq!(int64().decode(&int64().encode(&number).unwrap()).unwrap(), number);
            let bytes = Bytes::from(bytes);
            prop_assert_eq!(raw().decode(&raw().encode(&bytes).unwrap()).unwrap(), bytes);
        }
    }
}
