//! The primitives of the records of state machines: Kafka's integers, strings and arrays.
//!
//! A string is a length (i16, -1 for null) and UTF-8, bytes are a length (i32) and themselves. In
//! flexible versions (KIP-482) a length is a varint of the length plus 1, 0 for null, and the
//! fields of a struct are followed by its tagged fields, by number.

use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use thiserror::Error;

use super::varint;

/// Why a record cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RecordError {
    /// The bytes end within a field.
    #[error("the record ends within {0}")]
    Truncated(&'static str),
    /// A string that is not UTF-8, a negative length, or an invalid topic name.
    #[error("the record has an invalid {0}")]
    Illegal(&'static str),
    /// A version that is not known here.
    #[error("a record has {what} in version {version}")]
    Version {
        /// The part that has the version.
        what: &'static str,
        /// Its version.
        version: i16,
    },
}

/// Writes a string: its length as an i16, and UTF-8.
///
/// # Panics
/// See [`put_nullable`].
pub fn put_string(to: &mut BytesMut, text: &str) {
    put_nullable(to, Some(text));
}

/// Writes a string, or null as the length -1.
///
/// # Panics
/// The text is longer than an i16 can express; callers limit it.
pub fn put_nullable(to: &mut BytesMut, text: Option<&str>) {
    let Some(text) = text else {
        return to.put_i16(-1);
    };
    to.put_i16(i16::try_from(text.len()).expect("strings of requests are short"));
    to.put_slice(text.as_bytes());
}

/// Writes bytes after their length as an i32.
///
/// # Panics
/// At 2 GiB and more; callers limit them.
pub fn put_bytes(to: &mut BytesMut, bytes: &[u8]) {
    to.put_i32(i32::try_from(bytes.len()).expect("requests are limited"));
    to.put_slice(bytes);
}

/// An unsigned varint.
pub fn put_varint(to: &mut BytesMut, value: u32) {
    varint::put_unsigned(to, value);
}

/// Writes a count or a length of a flexible version.
///
/// # Panics
/// It does not fit; callers limit it.
pub fn put_compact_length(to: &mut BytesMut, length: usize) {
    put_varint(to, u32::try_from(length + 1).expect("requests are limited"));
}

/// Writes a string of a flexible version.
///
/// # Panics
/// See [`put_compact_length`].
pub fn put_compact_string(to: &mut BytesMut, text: &str) {
    put_compact_length(to, text.len());
    to.put_slice(text.as_bytes());
}

/// Reads fields from bytes that may be anything. `what` names the field in the error.
#[derive(Clone, Debug)]
pub struct Reader(pub Bytes);

impl Reader {
    /// A version from 0 to `max`.
    ///
    /// # Errors
    /// The bytes end early; another version.
    pub fn version(&mut self, what: &'static str, max: i16) -> Result<i16, RecordError> {
        let version = self.i16("a version")?;
        if (0..=max).contains(&version) {
            return Ok(version);
        }
        Err(RecordError::Version { what, version })
    }

    /// An i16.
    ///
    /// # Errors
    /// The bytes end early.
    pub fn i16(&mut self, what: &'static str) -> Result<i16, RecordError> {
        (self.0.try_get_i16()).map_err(|_| RecordError::Truncated(what))
    }

    /// An i32.
    ///
    /// # Errors
    /// The bytes end early.
    pub fn i32(&mut self, what: &'static str) -> Result<i32, RecordError> {
        (self.0.try_get_i32()).map_err(|_| RecordError::Truncated(what))
    }

    /// An i64.
    ///
    /// # Errors
    /// The bytes end early.
    pub fn i64(&mut self, what: &'static str) -> Result<i64, RecordError> {
        (self.0.try_get_i64()).map_err(|_| RecordError::Truncated(what))
    }

    /// A count of milliseconds, as an i32.
    ///
    /// # Errors
    /// The bytes end early; it is negative.
    pub fn duration(&mut self, what: &'static str) -> Result<Duration, RecordError> {
        let millis = u64::try_from(self.i32(what)?).map_err(|_| RecordError::Illegal(what))?;
        Ok(Duration::from_millis(millis))
    }

    fn take(&mut self, length: usize, what: &'static str) -> Result<Bytes, RecordError> {
        if length > self.0.len() {
            return Err(RecordError::Truncated(what));
        }
        Ok(self.0.split_to(length))
    }

    /// A string or null.
    ///
    /// # Errors
    /// The bytes end early; a length below -1; not UTF-8.
    pub fn nullable(&mut self, what: &'static str) -> Result<Option<String>, RecordError> {
        let length = self.i16(what)?;
        if length == -1 {
            return Ok(None);
        }
        let length = usize::try_from(length).map_err(|_| RecordError::Illegal(what))?;
        self.text(length, what).map(Some)
    }

    /// A string.
    ///
    /// # Errors
    /// Those of [`Reader::nullable`]; null.
    pub fn string(&mut self, what: &'static str) -> Result<String, RecordError> {
        self.nullable(what)?.ok_or(RecordError::Illegal(what))
    }

    /// Bytes, copied: a slice would keep the whole batch in memory.
    ///
    /// # Errors
    /// The bytes end early; a negative length.
    pub fn bytes(&mut self, what: &'static str) -> Result<Bytes, RecordError> {
        let length = self.i32(what)?;
        let length = usize::try_from(length).map_err(|_| RecordError::Illegal(what))?;
        let bytes = self.take(length, what)?;
        Ok(Bytes::copy_from_slice(&bytes))
    }

    /// An i8.
    ///
    /// # Errors
    /// The bytes end early.
    pub fn i8(&mut self, what: &'static str) -> Result<i8, RecordError> {
        (self.0.try_get_i8()).map_err(|_| RecordError::Truncated(what))
    }

    /// An unsigned varint.
    ///
    /// # Errors
    /// The bytes end early; it does not fit.
    pub fn varint(&mut self, what: &'static str) -> Result<u32, RecordError> {
        let mut reader = varint::Reader { rest: &self.0 };
        let is_cut_off = self.0.len() < varint::U32_BYTES_MAX;
        let value = reader.uvarint().map_err(|_| {
            if is_cut_off {
                RecordError::Truncated(what)
            } else {
                RecordError::Illegal(what)
            }
        })?;
        self.0.advance(self.0.len() - reader.rest.len());
        Ok(value)
    }

    /// A length of a flexible version; `None` for null.
    ///
    /// # Errors
    /// See [`Reader::varint`].
    pub fn compact_length(&mut self, what: &'static str) -> Result<Option<usize>, RecordError> {
        Ok((self.varint(what)? as usize).checked_sub(1))
    }

    /// A string of a flexible version.
    ///
    /// # Errors
    /// Those of [`Reader::varint`]; null; not UTF-8.
    pub fn compact_string(&mut self, what: &'static str) -> Result<String, RecordError> {
        let length = self
            .compact_length(what)?
            .ok_or(RecordError::Illegal(what))?;
        self.text(length, what)
    }

    /// The tagged fields at the end of a struct, each with its number.
    ///
    /// # Errors
    /// See [`Reader::varint`].
    pub fn tagged(&mut self, what: &'static str) -> Result<Vec<(u32, Self)>, RecordError> {
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
