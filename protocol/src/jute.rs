//! Jute: how ZooKeeper writes its records.
//!
//! Hadoop's old record encoding, and a simple one: fields stand in their order without names or
//! tags, numbers are big-endian, and a value of variable length starts with its length. To read a
//! record, one has to know its fields.
//!
//! ```text
//!  int      4 bytes               buffer   int length, then the bytes;   length -1 is null
//!  long     8 bytes               ustring  int length, then UTF-8;       length -1 is null
//!  boolean  1 byte, 0 or 1        vector   int count, then the elements; count  -1 is null
//! ```
//!
//! Invariants: reading any bytes returns; a length or a count is trusted only as far as there are
//! bytes after it; what [`Writer`] writes, [`Reader`] reads back equal.
//!
//! Left out: jute's `byte`, `float`, `double` and maps, which no record of ZooKeeper has.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use thiserror::Error;

/// Why bytes are not the record that was expected.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum JuteError {
    /// The bytes end within a field.
    #[error("expected {expected} more bytes, found {found}")]
    Truncated {
        /// The bytes that the field needs.
        expected: usize,
        /// The bytes that are left.
        found: usize,
    },
    /// A length or count below -1.
    #[error("length is {0}, expected at least -1")]
    NegativeLength(i32),
    /// More elements than bytes that could hold them.
    #[error("a vector of {count} elements does not fit in {found} bytes")]
    Count {
        /// The count that the vector claims.
        count: usize,
        /// The bytes that are left.
        found: usize,
    },
    /// A null where a value is needed.
    #[error("expected a string or vector, found null")]
    Null,
    /// A string that is not UTF-8.
    #[error("the string is not UTF-8")]
    Utf8,
    /// A boolean other than 0 and 1.
    #[error("boolean is {0}, expected 0 or 1")]
    Boolean(u8),
    /// Bytes follow the record.
    #[error("{0} unexpected bytes follow the record")]
    Trailing(usize),
}

/// Reads one field after the other. Buffers share the memory of the bytes they are read from.
#[derive(Clone, Debug)]
pub struct Reader {
    rest: Bytes,
}

impl Reader {
    /// Reads from the front of `bytes`.
    pub fn new(bytes: Bytes) -> Self {
        Self { rest: bytes }
    }

    /// An `int`.
    ///
    /// # Errors
    /// Fewer than 4 bytes are left.
    pub fn int(&mut self) -> Result<i32, JuteError> {
        Ok(self.take(4)?.get_i32())
    }

    /// A `long`.
    ///
    /// # Errors
    /// Fewer than 8 bytes are left.
    pub fn long(&mut self) -> Result<i64, JuteError> {
        Ok(self.take(8)?.get_i64())
    }

    /// A `boolean`.
    ///
    /// # Errors
    /// No byte is left, or it is neither 0 nor 1.
    pub fn boolean(&mut self) -> Result<bool, JuteError> {
        match self.take(1)?.get_u8() {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(JuteError::Boolean(other)),
        }
    }

    /// A `buffer`; null is not the empty one.
    ///
    /// # Errors
    /// The length is below -1 or beyond the bytes.
    pub fn buffer(&mut self) -> Result<Option<Bytes>, JuteError> {
        match self.length()? {
            None => Ok(None),
            Some(length) => self.take(length).map(Some),
        }
    }

    /// A `ustring` that must be there.
    ///
    /// # Errors
    /// Those of [`Reader::buffer`]; null; not UTF-8.
    pub fn string(&mut self) -> Result<String, JuteError> {
        let bytes = self.buffer()?.ok_or(JuteError::Null)?;
        String::from_utf8(bytes.into()).map_err(|_| JuteError::Utf8)
    }

    /// A `vector` that must be there; `element` reads one element.
    ///
    /// # Errors
    /// The count is negative, or more than the bytes could hold at one byte each; an error of
    /// `element`.
    pub fn vector<T>(
        &mut self,
        mut element: impl FnMut(&mut Self) -> Result<T, JuteError>,
    ) -> Result<Vec<T>, JuteError> {
        let count = self.length()?.ok_or(JuteError::Null)?;
        let found = self.rest.len();
        if count > found {
            return Err(JuteError::Count { count, found });
        }
        // Grows with the elements that are read, not with the count that is claimed.
        let mut elements = Vec::new();
        for _ in 0..count {
            elements.push(element(self)?);
        }
        Ok(elements)
    }

    /// Ends the record.
    ///
    /// # Errors
    /// Bytes are left.
    pub fn finish(self) -> Result<(), JuteError> {
        match self.rest.len() {
            0 => Ok(()),
            left => Err(JuteError::Trailing(left)),
        }
    }

    fn length(&mut self) -> Result<Option<usize>, JuteError> {
        match self.int()? {
            -1 => Ok(None),
            length => match usize::try_from(length) {
                Ok(length) => Ok(Some(length)),
                Err(_) => Err(JuteError::NegativeLength(length)),
            },
        }
    }

    fn take(&mut self, count: usize) -> Result<Bytes, JuteError> {
        match self.rest.len() {
            found if found < count => Err(JuteError::Truncated {
                expected: count,
                found,
            }),
            _ => Ok(self.rest.split_to(count)),
        }
    }
}

/// Writes one field after the other.
#[derive(Clone, Debug, Default)]
pub struct Writer {
    bytes: BytesMut,
}

impl Writer {
    /// Writes into empty bytes.
    pub fn new() -> Self {
        Self::default()
    }

    /// An `int`.
    pub fn int(&mut self, value: i32) -> &mut Self {
        self.bytes.put_i32(value);
        self
    }

    /// A `long`.
    pub fn long(&mut self, value: i64) -> &mut Self {
        self.bytes.put_i64(value);
        self
    }

    /// A `boolean`.
    pub fn boolean(&mut self, value: bool) -> &mut Self {
        self.bytes.put_u8(value.into());
        self
    }

    /// A `buffer`, or null.
    ///
    /// # Panics
    /// At 2 GiB and more: the length is an `int`. Callers keep far below that.
    pub fn buffer(&mut self, value: Option<&[u8]>) -> &mut Self {
        match value {
            None => self.int(-1),
            Some(value) => {
                self.length(value.len());
                self.bytes.put_slice(value);
                self
            }
        }
    }

    /// A `ustring`.
    ///
    /// # Panics
    /// See [`Writer::buffer`].
    pub fn string(&mut self, value: &str) -> &mut Self {
        self.buffer(Some(value.as_bytes()))
    }

    /// A `vector`; `element` writes one element.
    ///
    /// # Panics
    /// At 2^31 elements and more.
    pub fn vector<T>(
        &mut self,
        elements: &[T],
        mut element: impl FnMut(&mut Self, &T),
    ) -> &mut Self {
        self.length(elements.len());
        for each in elements {
            element(self, each);
        }
        self
    }

    /// The bytes that were written.
    pub fn finish(self) -> Bytes {
        self.bytes.freeze()
    }

    fn length(&mut self, length: usize) {
        self.int(i32::try_from(length).expect("a jute length stays below 2 GiB"));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug, PartialEq)]
    enum Field {
        Int(i32),
        Long(i64),
        Boolean(bool),
        Buffer(Option<Vec<u8>>),
        Text(String),
        Vector(Vec<i64>),
    }

    impl Field {
        fn write(&self, out: &mut Writer) {
            match self {
                Self::Int(v) => out.int(*v),
                Self::Long(v) => out.long(*v),
                Self::Boolean(v) => out.boolean(*v),
                Self::Buffer(v) => out.buffer(v.as_deref()),
                Self::Text(v) => out.string(v),
                Self::Vector(v) => out.vector(v, |out, e| {
                    out.long(*e);
                }),
            };
        }

        /// Reads a field of the same kind.
        fn read_like(&self, from: &mut Reader) -> Result<Self, JuteError> {
            Ok(match self {
                Self::Int(_) => Self::Int(from.int()?),
                Self::Long(_) => Self::Long(from.long()?),
                Self::Boolean(_) => Self::Boolean(from.boolean()?),
                Self::Buffer(_) => Self::Buffer(from.buffer()?.map(Into::into)),
                Self::Text(_) => Self::Text(from.string()?),
                Self::Vector(_) => Self::Vector(from.vector(Reader::long)?),
            })
        }
    }

    fn field() -> impl Strategy<Value = Field> {
        prop_oneof![
            any::<i32>().prop_map(Field::Int),
            any::<i64>().prop_map(Field::Long),
            any::<bool>().prop_map(Field::Boolean),
            any::<Option<Vec<u8>>>().prop_map(Field::Buffer),
            any::<String>().prop_map(Field::Text),
            any::<Vec<i64>>().prop_map(Field::Vector),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_record_reads_back_as_it_was_written(fields in proptest::collection::vec(field(), 0..8)) {
            let mut out = Writer::new();
            for field in &fields {
                field.write(&mut out);
            }
            let mut from = Reader::new(out.finish());
            for field in &fields {
                prop_assert_eq!(&field.read_like(&mut from).unwrap(), field);
            }
            prop_assert_eq!(from.finish(), Ok(()));
        }

        #[test]
        fn any_bytes_are_read_or_refused(
            bytes in any::<Vec<u8>>(),
            fields in proptest::collection::vec(field(), 1..8),
        ) {
            let mut from = Reader::new(bytes.into());
            for field in &fields {
                if field.read_like(&mut from).is_err() {
                    return Ok(());
                }
            }
        }
    }

    fn reader(bytes: &'static [u8]) -> Reader {
        Reader::new(Bytes::from_static(bytes))
    }

    #[test]
    fn null_and_empty_are_two_things() {
        let mut out = Writer::new();
        out.buffer(None).buffer(Some(b""));
        let bytes = out.finish();
        assert_eq!(&bytes[..], [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
        let mut from = Reader::new(bytes);
        assert_eq!(from.buffer(), Ok(None));
        assert_eq!(from.buffer(), Ok(Some(Bytes::new())));
    }

    #[test]
    fn lengths_are_believed_only_as_far_as_there_are_bytes() {
        let huge = [0x7f, 0xff, 0xff, 0xff, 1, 2, 3];
        let count = 0x7fff_ffff;
        assert_eq!(
            Reader::new(Bytes::copy_from_slice(&huge)).buffer(),
            Err(JuteError::Truncated {
                expected: count,
                found: 3
            })
        );
        assert_eq!(
            Reader::new(Bytes::copy_from_slice(&huge)).vector(Reader::int),
            Err(JuteError::Count { count, found: 3 })
        );
        assert_eq!(
            reader(&[0xff, 0xff, 0xff, 0xfe]).buffer(),
            Err(JuteError::NegativeLength(-2))
        );
    }

    #[test]
    fn what_is_not_the_expected_field_is_named() {
        assert_eq!(reader(&[2]).boolean(), Err(JuteError::Boolean(2)));
        assert_eq!(reader(&[0xff; 4]).string(), Err(JuteError::Null));
        assert_eq!(reader(&[0, 0, 0, 1, 0xff]).string(), Err(JuteError::Utf8));
        assert_eq!(reader(&[0; 3]).finish(), Err(JuteError::Trailing(3)));
    }
}
