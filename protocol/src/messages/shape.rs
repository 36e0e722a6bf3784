//! How the fields of a message are described.
//!
//! A [`Shape`] has the content of Kafka's JSON schema of a message: its fields in the order of the
//! wire, each with the versions that have it. From some version on a message is *flexible*
//! (KIP-482): lengths become varints that count one more, so that 0 is null, and every struct ends
//! with tagged fields, which a reader that does not know them can skip.
//!
//! ```text
//!              before                          flexible
//! string       length i16,  -1 null            length + 1 uvarint, 0 null
//! bytes        length i32,  -1 null            length + 1 uvarint, 0 null
//! array        count i32,   -1 null            count + 1 uvarint,  0 null
//! struct       fields                          fields, tag count uvarint, (tag, size, value) …
//!              a byte before one that can be null: 1, or -1 for null
//! ```

use super::ApiKey;

/// One message: a request or a response of one API.
#[derive(Debug)]
pub struct Shape {
    /// The API it belongs to.
    pub api: ApiKey,
    /// The first and the last version that there is.
    pub versions: (i16, i16),
    /// The first flexible version.
    pub flexible_from: i16,
    /// Its fields in the order of the wire.
    pub fields: &'static [Field],
}

/// One field of a message or of a struct within it.
#[derive(Debug)]
pub struct Field {
    /// Its name in the protocol, in Rust case.
    pub name: &'static str,
    /// The type of its value.
    pub kind: Kind,
    /// The first and the last version that have it.
    pub versions: (i16, i16),
    /// Whether it can be null; the same in all versions, for simplicity.
    pub nullable: bool,
    /// The number of a tagged field, which comes after the others, if at all.
    pub tag: Option<u32>,
}

/// The type of a field.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// A byte, 0 for false.
    Bool,
    /// 1 byte.
    Int8,
    /// 2 bytes.
    Int16,
    /// 4 bytes.
    Int32,
    /// 8 bytes.
    Int64,
    /// 16 bytes.
    Uuid,
    /// A length, then UTF-8.
    String,
    /// A string whose length is an `i16` in flexible versions too: the client id in headers.
    HeaderString,
    /// A length, then bytes.
    Bytes,
    /// Fields without anything before them; if it can be null, behind a byte: 1, or -1 for null.
    Struct(&'static [Field]),
    /// A count, then that many structs.
    Structs(&'static [Field]),
    /// A count, then that many strings.
    Strings,
    /// A count, then that many bytes.
    Int8s,
    /// A count, then that many numbers of 4 bytes.
    Int32s,
    /// A count, then that many numbers of 8 bytes.
    Int64s,
}

impl Shape {
    /// A message with `fields` in the versions from the first to the last of `versions`.
    pub(super) const fn new(
        api: ApiKey,
        versions: (i16, i16),
        flexible_from: i16,
        fields: &'static [Field],
    ) -> Self {
        Self {
            api,
            versions,
            flexible_from,
            fields,
        }
    }

    /// Whether there is this version.
    pub fn has_version(&self, version: i16) -> bool {
        (self.versions.0..=self.versions.1).contains(&version)
    }

    /// Whether `version` is flexible.
    pub fn is_flexible(&self, version: i16) -> bool {
        version >= self.flexible_from
    }
}

/// A field that every version has and that is not null.
pub(super) const fn field(name: &'static str, kind: Kind) -> Field {
    Field {
        name,
        kind,
        versions: (0, i16::MAX),
        nullable: false,
        tag: None,
    }
}

impl Field {
    /// Versions before `first` do not have it.
    pub(super) const fn since(self, first: i16) -> Self {
        Self {
            versions: (first, self.versions.1),
            ..self
        }
    }

    /// Versions after `last` do not have it.
    pub(super) const fn until(self, last: i16) -> Self {
        Self {
            versions: (self.versions.0, last),
            ..self
        }
    }

    /// It can be null.
    pub(super) const fn nullable(self) -> Self {
        Self {
            nullable: true,
            ..self
        }
    }

    /// It is tagged field number `tag`.
    pub(super) const fn tagged(self, tag: u32) -> Self {
        Self {
            tag: Some(tag),
            ..self
        }
    }

    /// Whether `version` has it.
    pub fn is_in(&self, version: i16) -> bool {
        (self.versions.0..=self.versions.1).contains(&version)
    }
}

impl Kind {
    /// The fewest bytes a value takes, null or not.
    pub(super) fn bytes_min(self, version: i16, flexible: bool) -> usize {
        match self {
            Self::Bool | Self::Int8 => 1,
            Self::Int16 | Self::HeaderString => 2,
            Self::Int32 => 4,
            Self::Int64 => 8,
            Self::Uuid => 16,
            Self::Struct(fields) => struct_bytes_min(fields, version, flexible),
            _ if flexible => 1,
            Self::String => 2,
            Self::Bytes
            | Self::Structs(_)
            | Self::Strings
            | Self::Int8s
            | Self::Int32s
            | Self::Int64s => 4,
        }
    }
}

/// The fewest bytes a struct takes: its fields and, if flexible, a count of 0 tags.
pub(super) fn struct_bytes_min(fields: &[Field], version: i16, flexible: bool) -> usize {
    let fields = fields
        .iter()
        .filter(|field| field.tag.is_none() && field.is_in(version))
        .map(|field| match field.kind {
            Kind::Struct(_) if field.nullable => 1,
            kind => kind.bytes_min(version, flexible),
        });
    usize::from(flexible) + fields.sum::<usize>()
}
