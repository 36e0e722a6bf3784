//! The records about topics and their settings in Kafka's metadata log (KRaft, KIP-631).
//!
//! ```text
//!  value of a record   frame version uvarint = 1 | kind uvarint | version uvarint | fields
//!   2 TopicRecord        name | id, 16 bytes
//!   4 ConfigRecord       resource type i8 | resource name | setting | value, or null
//!   9 RemoveTopicRecord  id, 16 bytes
//!  15 ProducerIdsRecord  broker i32 | broker epoch i64 | next producer id i64
//! ```
//!
//! A text is its length plus 1 as an uvarint, 0 for null, then its bytes. Fields that later
//! versions add come after those above. Records of all other kinds are not needed to adopt a
//! directory.

use crate::wire::varint::{Reader, Reason};

/// The one version of the frame.
const FRAME_VERSION: u32 = 1;

/// A record of the metadata log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetadataRecord<'a> {
    /// A topic exists.
    Topic {
        /// Its name.
        name: &'a str,
        /// Its id.
        id: [u8; 16],
    },
    /// A topic was deleted, with its settings.
    RemoveTopic {
        /// Its id.
        id: [u8; 16],
    },
    /// A setting of a resource was changed, or returned to its default.
    Config {
        /// Kafka's number for the type of the resource; 2 is a topic.
        resource_type: i8,
        /// The name of the resource.
        resource: &'a str,
        /// The setting.
        name: &'a str,
        /// Its value; `None` if it returned to its default.
        value: Option<&'a str>,
    },
    /// Producer ids were allocated to a broker.
    ProducerIds {
        /// The first id that is still free.
        next: i64,
    },
    /// Something else.
    Other,
}

impl<'a> MetadataRecord<'a> {
    /// Reads the value of a record that is not in a control batch.
    ///
    /// # Errors
    /// The record is malformed; the text says how.
    pub fn parse(value: &'a [u8]) -> Result<Self, &'static str> {
        let mut fields = Reader { rest: value };
        if fields.uvarint()? != FRAME_VERSION {
            return Err("the frame of a metadata record has an unknown version");
        }
        let kind = fields.uvarint()?;
        let _version = fields.uvarint()?;
        Ok(match kind {
            2 => Self::Topic {
                name: required(&mut fields)?,
                id: fields.array()?,
            },
            4 => Self::Config {
                resource_type: fields.byte()?.cast_signed(),
                resource: required(&mut fields)?,
                name: required(&mut fields)?,
                value: text(&mut fields)?,
            },
            9 => Self::RemoveTopic {
                id: fields.array()?,
            },
            15 => {
                fields.take(size_of::<i32>() + size_of::<i64>())?;
                let next = i64::from_be_bytes(fields.array()?);
                Self::ProducerIds { next }
            }
            _ => Self::Other,
        })
    }
}

fn text<'a>(fields: &mut Reader<'a>) -> Result<Option<&'a str>, Reason> {
    let Some(length) = fields.uvarint()?.checked_sub(1) else {
        return Ok(None);
    };
    let bytes = fields.take(length as usize)?;
    let text = std::str::from_utf8(bytes).map_err(|_| "a text is no UTF-8")?;
    Ok(Some(text))
}

fn required<'a>(fields: &mut Reader<'a>) -> Result<&'a str, Reason> {
    text(fields)?.ok_or("a name is null")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn topics_and_settings_are_read_and_others_passed_over() {
        let id = *b"0123456789abcdef";
        let topic = [&b"\x01\x02\x00\x07clicks"[..], &id, b"\0"].concat();
        let name = "clicks";
        assert_eq!(
            MetadataRecord::parse(&topic),
            Ok(MetadataRecord::Topic { name, id })
        );
        let removed = [&b"\x01\x09\x00"[..], &id, b"\0"].concat();
        let remove = Ok(MetadataRecord::RemoveTopic { id });
        assert_eq!(MetadataRecord::parse(&removed), remove);
        let config = |value| MetadataRecord::Config {
            resource_type: 2,
            resource: name,
            name: "segment.ms",
            value,
        };
        let set = b"\x01\x04\x00\x02\x07clicks\x0bsegment.ms\x0310\0";
        assert_eq!(MetadataRecord::parse(set), Ok(config(Some("10"))));
        let unset = b"\x01\x04\x00\x02\x07clicks\x0bsegment.ms\0\0";
        assert_eq!(MetadataRecord::parse(unset), Ok(config(None)));
        let ids = b"\x01\x0f\x00\0\0\0\x01\0\0\0\0\0\0\0\x09\0\0\0\0\0\0\x03\xe8\0";
        let next = 1000;
        assert_eq!(
            MetadataRecord::parse(ids),
            Ok(MetadataRecord::ProducerIds { next })
        );
        let other = MetadataRecord::parse(b"\x01\x1b\x00 whatever");
        assert_eq!(other, Ok(MetadataRecord::Other));
    }

    #[test]
    fn what_is_malformed_is_refused() {
        for bytes in [
            &b""[..],
            b"\x02\x02\x00",
            b"\x01\x02\x00\x07click",
            b"\x01\x02\x00\x00",
            b"\x01\x04\x00\x02\x02\xff",
        ] {
            assert!(MetadataRecord::parse(bytes).is_err(), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_safely_and_later_fields_passed_over(
            mut bytes: Vec<u8>,
            more: Vec<u8>,
            framed: bool,
            kind in 0..20_u8,
        ) {
            if framed {
                bytes.splice(0..0, [1, kind, 0]);
            }
            if let Ok(record) = MetadataRecord::parse(&bytes) {
                let longer = [&bytes[..], &more].concat();
                prop_assert_eq!(MetadataRecord::parse(&longer), Ok(record));
            }
        }
    }
}
