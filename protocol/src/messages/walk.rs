//! Walking a message by its shape, before anything is decoded.
//!
//! A decoder that sees "an array of 2,000,000,000 topics" and reserves room for them ends the
//! process, whatever the next bytes are (CVE-2022-34917 was that in Kafka itself). So every message
//! is walked first, without allocating: each length must lie within the bytes that are left, each
//! count must be possible with them, a tagged field must use exactly its size, and the message must
//! end where its bytes do.
//!
//! A count that its bytes can hold is still worth up to a hundred times its bytes once decoded: an
//! empty string takes one byte on the wire and a struct in memory. [`ELEMENTS_MAX`] bounds that.

use std::fmt;

use super::shape::{Field, Kind, struct_bytes_min};
use crate::wire::varint::{Reader, Reason};

/// The limit of array elements and tagged fields in one message, all together. A real one has a few
/// per partition, and a broker has some ten thousand partitions at most.
pub(super) const ELEMENTS_MAX: usize = 1 << 18;

/// Why a message does not follow its shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// The path of the field, as `topics[3].name`; empty for the whole message.
    path: String,
    reason: String,
}

impl Fault {
    fn new(reason: impl Into<String>) -> Self {
        Self {
            path: String::new(),
            reason: reason.into(),
        }
    }

    /// The same fault, seen from outside the field `name`.
    fn within(self, name: &str) -> Self {
        let separator = match self.path.chars().next() {
            None | Some('[') => "",
            Some(_) => ".",
        };
        let path = format!("{name}{separator}{}", self.path);
        Self { path, ..self }
    }
}

impl From<Reason> for Fault {
    fn from(reason: Reason) -> Self {
        Self::new(reason)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => f.write_str(&self.reason),
            path => write!(f, "{path}: {}", self.reason),
        }
    }
}

/// The bytes of a message from some point on, in one version.
#[derive(Debug)]
pub(super) struct Walk<'a> {
    reader: Reader<'a>,
    version: i16,
    flexible: bool,
    /// Array elements and tagged fields that may still come.
    elements_left: usize,
}

impl<'a> Walk<'a> {
    /// Starts at the front of `bytes`.
    pub(super) fn new(bytes: &'a [u8], version: i16, flexible: bool) -> Self {
        Self {
            reader: Reader { rest: bytes },
            version,
            flexible,
            elements_left: ELEMENTS_MAX,
        }
    }

    /// Like [`Walk::new`], without a limit on elements: this process has encoded the message
    /// itself.
    pub(super) fn of_our_own(bytes: &'a [u8], version: i16, flexible: bool) -> Self {
        Self {
            elements_left: usize::MAX,
            ..Self::new(bytes, version, flexible)
        }
    }

    /// Walks one struct; what is left lies after it.
    pub(super) fn fields(
        &mut self,
        fields: &[Field],
        see: &mut impl FnMut(&Field, usize),
    ) -> Result<(), Fault> {
        for field in fields {
            if field.tag.is_none() && field.is_in(self.version) {
                self.value(field, see).map_err(|f| f.within(field.name))?;
            }
        }
        if self.flexible {
            self.tags(fields, see).map_err(|f| f.within("tags"))?;
        }
        Ok(())
    }

    /// How many bytes are left.
    pub(super) fn bytes_left(&self) -> usize {
        self.reader.rest.len()
    }

    /// Walks one value, after showing `see` where it starts: how many bytes were left there.
    fn value(&mut self, field: &Field, see: &mut impl FnMut(&Field, usize)) -> Result<(), Fault> {
        see(field, self.bytes_left());
        match field.kind {
            Kind::Struct(_) if field.nullable && !self.is_present()? => {}
            Kind::Struct(fields) => return self.fields(fields, see),
            Kind::Structs(fields) => return self.structs(field, fields, see),
            Kind::Strings => return self.strings(field),
            Kind::Int8s => {
                let count = self.count(field, 1)?;
                self.reader.take(count)?;
            }
            Kind::Int32s => {
                let count = self.count(field, 4)?;
                self.reader.take(count * 4)?;
            }
            Kind::Int64s => {
                let count = self.count(field, 8)?;
                self.reader.take(count * 8)?;
            }
            Kind::String | Kind::HeaderString | Kind::Bytes => self.text(field)?,
            number => {
                let size = number.bytes_min(self.version, self.flexible);
                self.reader.take(size)?;
            }
        }
        Ok(())
    }

    /// The byte before a struct that can be null.
    fn is_present(&mut self) -> Result<bool, Fault> {
        match i8::from_be_bytes(self.reader.array()?) {
            1 => Ok(true),
            -1 => Ok(false),
            other => Err(Fault::new(format!(
                "presence byte is {other}, expected 1 or -1"
            ))),
        }
    }

    fn structs(
        &mut self,
        field: &Field,
        fields: &[Field],
        see: &mut impl FnMut(&Field, usize),
    ) -> Result<(), Fault> {
        let bytes_min = struct_bytes_min(fields, self.version, self.flexible);
        for index in 0..self.count(field, bytes_min)? {
            self.fields(fields, see)
                .map_err(|f| f.within(&format!("[{index}]")))?;
        }
        Ok(())
    }

    fn strings(&mut self, field: &Field) -> Result<(), Fault> {
        const ELEMENT: Field = super::shape::field("", Kind::String);
        let bytes_min = Kind::String.bytes_min(self.version, self.flexible);
        for index in 0..self.count(field, bytes_min)? {
            self.text(&ELEMENT)
                .map_err(|f| f.within(&format!("[{index}]")))?;
        }
        Ok(())
    }

    /// A string or bytes: a length, then as many bytes.
    fn text(&mut self, field: &Field) -> Result<(), Fault> {
        let length = match field.kind {
            Kind::HeaderString => self.short_length()?,
            Kind::String if !self.flexible => self.short_length()?,
            _ => self.length()?,
        };
        self.reader.take(or_null(field, length)?)?;
        Ok(())
    }

    /// The count of an array, each element of which takes at least `bytes_min`.
    fn count(&mut self, field: &Field, bytes_min: usize) -> Result<usize, Fault> {
        let length = self.length()?;
        let count = or_null(field, length)?;
        let possible = self.bytes_left() / bytes_min;
        if count > possible {
            return Err(Fault::new(format!(
                "count is {count}, but the bytes left hold at most {possible} elements"
            )));
        }
        self.spend(count)?;
        Ok(count)
    }

    /// Takes `count` off the elements that may still come.
    fn spend(&mut self, count: usize) -> Result<(), Fault> {
        let left = self.elements_left.checked_sub(count);
        self.elements_left = left.ok_or_else(|| {
            Fault::new(format!("the message has more than {ELEMENTS_MAX} elements"))
        })?;
        Ok(())
    }

    /// A length or a count; `None` for null.
    fn length(&mut self) -> Result<Option<usize>, Fault> {
        if self.flexible {
            return Ok((self.reader.uvarint()? as usize).checked_sub(1));
        }
        nullable_length(i32::from_be_bytes(self.reader.array()?))
    }

    fn short_length(&mut self) -> Result<Option<usize>, Fault> {
        nullable_length(i16::from_be_bytes(self.reader.array()?).into())
    }

    /// The end of a struct: tagged fields in rising order, known or not.
    fn tags(&mut self, fields: &[Field], see: &mut impl FnMut(&Field, usize)) -> Result<(), Fault> {
        let count = self.reader.uvarint()? as usize;
        self.spend(count)?;
        let mut least = 0;
        for _ in 0..count {
            let tag = self.reader.uvarint()?;
            if tag < least {
                return Err(Fault::new(format!(
                    "tag {tag} is out of order, expected at least {least}"
                )));
            }
            least = tag.checked_add(1).ok_or("a tag is too large")?;
            let size = self.reader.uvarint()? as usize;
            let known = fields
                .iter()
                .find(|field| field.tag == Some(tag) && field.is_in(self.version));
            match known {
                Some(field) => self
                    .tag(field, size, see)
                    .map_err(|f| f.within(field.name))?,
                None => drop(self.reader.take(size)?),
            }
        }
        Ok(())
    }

    /// A known tagged field, which uses exactly its size.
    fn tag(
        &mut self,
        field: &Field,
        size: usize,
        see: &mut impl FnMut(&Field, usize),
    ) -> Result<(), Fault> {
        let before = self.bytes_left();
        self.value(field, see)?;
        match before - self.bytes_left() {
            used if used == size => Ok(()),
            used => Err(Fault::new(format!(
                "tag size is {size}, but its value has {used} bytes"
            ))),
        }
    }
}

/// A length before flexible versions: -1 is null, and anything below is an error.
fn nullable_length(length: i32) -> Result<Option<usize>, Fault> {
    match usize::try_from(length) {
        Ok(length) => Ok(Some(length)),
        Err(_) if length == -1 => Ok(None),
        Err(_) => Err(Fault::new(format!(
            "length is {length}, expected at least -1"
        ))),
    }
}

/// The length, 0 for a null where it is allowed.
fn or_null(field: &Field, length: Option<usize>) -> Result<usize, Fault> {
    match length {
        Some(length) => Ok(length),
        None if field.nullable => Ok(0),
        None => Err(Fault::new("null is not allowed here")),
    }
}
