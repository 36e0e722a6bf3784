//! What the records of machines are made of: Kafka's integers, strings and arrays.
//!
//! A string is a length (i16, -1 for null) and UTF-8, bytes are a length (i32) and themselves. In flexible
//! versions (KIP-482) a length is a varint and one more than it says, 0 for null, and behind the fields of a
//! struct stand the tagged ones, by number.

use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use thiserror::Error;

/// Why a record cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RecordError {
    /// It ends early.
    #[error("a record ends in the middle of {0}")]
    Truncated(&'static str),
    /// A string is not UTF-8, a length is negative, a topic has no legal name.
    #[error("a record has an illegal {0}")]
    Illegal(&'static str),
    /// Nobody has told us of this version.
    #[error("a record has {what} in version {version}")]
    Version {
        /// Which part.
        what: &'static str,
        /// Its version.
        version: i16,
    },
}

pub(crate) fn put_string(to: &mut BytesMut, text: &str) {
    put_nullable(to, Some(text));
}

/// # Panics
/// The text is longer than what came in a request.
pub(crate) fn put_nullable(to: &mut BytesMut, text: Option<&str>) {
    let Some(text) = text else {
        return to.put_i16(-1);
    };
    to.put_i16(i16::try_from(text.len()).expect("strings of requests are short"));
    to.put_slice(text.as_bytes());
}

pub(crate) fn put_bytes(to: &mut BytesMut, bytes: &[u8]) {
    to.put_i32(i32::try_from(bytes.len()).expect("requests are limited"));
    to.put_slice(bytes);
}

pub(crate) fn put_varint(to: &mut BytesMut, mut value: u32) {
    while value >= 0x80 {
        to.put_u8((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    to.put_u8(value as u8);
}

/// A count of things, or a length, of a flexible version.
///
/// # Panics
/// It does not fit: callers are limited.
pub(crate) fn put_compact_length(to: &mut BytesMut, length: usize) {
    put_varint(to, u32::try_from(length + 1).expect("requests are limited"));
}

pub(crate) fn put_compact_string(to: &mut BytesMut, text: &str) {
    put_compact_length(to, text.len());
    to.put_slice(text.as_bytes());
}

/// Reads what may be anything.
pub(crate) struct Reader(pub(crate) Bytes);

impl Reader {
    pub(crate) fn version(&mut self, what: &'static str, max: i16) -> Result<i16, RecordError> {
        let version = self.i16("a version")?;
        if (0..=max).contains(&version) {
            return Ok(version);
        }
        Err(RecordError::Version { what, version })
    }

    pub(crate) fn i16(&mut self, what: &'static str) -> Result<i16, RecordError> {
        (self.0.try_get_i16()).map_err(|_| RecordError::Truncated(what))
    }

    pub(crate) fn i32(&mut self, what: &'static str) -> Result<i32, RecordError> {
        (self.0.try_get_i32()).map_err(|_| RecordError::Truncated(what))
    }

    pub(crate) fn i64(&mut self, what: &'static str) -> Result<i64, RecordError> {
        (self.0.try_get_i64()).map_err(|_| RecordError::Truncated(what))
    }

    /// A count of milliseconds.
    pub(crate) fn duration(&mut self, what: &'static str) -> Result<Duration, RecordError> {
        let millis = u64::try_from(self.i32(what)?).map_err(|_| RecordError::Illegal(what))?;
        Ok(Duration::from_millis(millis))
    }

    fn take(&mut self, length: usize, what: &'static str) -> Result<Bytes, RecordError> {
        if length > self.0.len() {
            return Err(RecordError::Truncated(what));
        }
        Ok(self.0.split_to(length))
    }

    pub(crate) fn nullable(&mut self, what: &'static str) -> Result<Option<String>, RecordError> {
        let length = self.i16(what)?;
        if length == -1 {
            return Ok(None);
        }
        let length = usize::try_from(length).map_err(|_| RecordError::Illegal(what))?;
        self.text(length, what).map(Some)
    }

    pub(crate) fn string(&mut self, what: &'static str) -> Result<String, RecordError> {
        self.nullable(what)?.ok_or(RecordError::Illegal(what))
    }

    pub(crate) fn bytes(&mut self, what: &'static str) -> Result<Bytes, RecordError> {
        let length = self.i32(what)?;
        let length = usize::try_from(length).map_err(|_| RecordError::Illegal(what))?;
        let bytes = self.take(length, what)?;
        // Not a slice of the whole batch, which it would keep in memory.
        Ok(Bytes::copy_from_slice(&bytes))
    }

    pub(crate) fn i8(&mut self, what: &'static str) -> Result<i8, RecordError> {
        (self.0.try_get_i8()).map_err(|_| RecordError::Truncated(what))
    }

    pub(crate) fn varint(&mut self, what: &'static str) -> Result<u32, RecordError> {
        let mut value = 0;
        for shift in (0..35).step_by(7) {
            let byte = self
                .0
                .try_get_u8()
                .map_err(|_| RecordError::Truncated(what))?;
            let bits = u32::from(byte & 0x7f);
            value |= bits.checked_shl(shift).ok_or(RecordError::Illegal(what))?;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(RecordError::Illegal(what))
    }

    /// A length of a flexible version; `None` for null.
    pub(crate) fn compact_length(
        &mut self,
        what: &'static str,
    ) -> Result<Option<usize>, RecordError> {
        Ok((self.varint(what)? as usize).checked_sub(1))
    }

    pub(crate) fn compact_string(&mut self, what: &'static str) -> Result<String, RecordError> {
        let length = self
            .compact_length(what)?
            .ok_or(RecordError::Illegal(what))?;
        self.text(length, what)
    }

    /// The tagged fields behind a struct, each with its number.
    pub(crate) fn tagged(&mut self, what: &'static str) -> Result<Vec<(u32, Self)>, RecordError> {
        let mut fields = Vec::new();
        for _ in 0..self.varint(what)? {
            let (tag, size) = (self.varint(what)?, self.varint(what)?);
            fields.push((tag, Self(self.take(size as usize, what)?)));
        }
        Ok(fields)
    }

    fn text(&mut self, length: usize, what: &'static str) -> Result<String, RecordError> {
        let text = self.take(length, what)?;
        let text = std::str::from_utf8(&text).map_err(|_| RecordError::Illegal(what))?;
        Ok(text.to_owned())
    }
}
