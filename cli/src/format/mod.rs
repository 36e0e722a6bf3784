//! How `consume` prints a record: kcat's format strings, and its JSON envelope.
//!
//! | token | stands for | | token | stands for |
//! |---|---|---|---|---|
//! | `%s` | value | | `%t` | topic |
//! | `%S` | value's length, -1 for null | | `%p` | partition |
//! | `%R` | the same, as 4 bytes, big-endian | | `%o` | offset |
//! | `%k` | key | | `%T` | timestamp in milliseconds |
//! | `%K` | key's length, -1 for null | | `%h` | headers, `n=v,n=v` |
//! | `%%` | a percent sign | | | escapes as in [`crate::escape`] |
//!
//! Nothing is added between records: a format ends with `\n` if lines are wanted. In a pipe, keys
//! and values are printed byte for byte; on a terminal, control characters become escapes.

use std::io::Write as _;
use std::str::FromStr;

use brooklet_protocol::TopicPartition;
use brooklet_protocol::records::Record;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::json;
use thiserror::Error;

use crate::escape::{Delimiter, EscapeError, append_printable, unescape};

/// A record and its partition.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Located<'a> {
    /// Its partition.
    pub(crate) partition: &'a TopicPartition,
    /// Whether the broker set its timestamp.
    pub(crate) is_log_append_time: bool,
    /// The record.
    pub(crate) record: Record<'a>,
}

/// What is printed of each record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Tokens and text.
    Tokens {
        /// In order.
        parts: Vec<Part>,
        /// What is printed for a null key or value.
        null: &'static str,
    },
    /// One JSON object per line.
    Json,
    /// Any of these, with the control characters of records as escapes: a terminal would obey them.
    ForTerminal(Box<Self>),
}

/// A piece of a format string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Printed as it is.
    Text(Vec<u8>),
    /// `%s`
    Value,
    /// `%S`
    ValueLength,
    /// `%R`
    ValueLengthBinary,
    /// `%k`
    Key,
    /// `%K`
    KeyLength,
    /// `%T`
    Timestamp,
    /// `%h`
    Headers,
    /// `%t`
    Topic,
    /// `%p`
    Partition,
    /// `%o`
    Offset,
}

/// Why a format string cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum FormatError {
    /// An unknown letter after `%`.
    #[error("unknown token %{0}; expected one of %s %S %R %k %K %T %h %t %p %o %%")]
    UnknownToken(char),
    /// A `%` at the end of the format.
    #[error("found a % at the end; write %% for a percent sign")]
    AtEnd,
    /// A bad escape.
    #[error(transparent)]
    Escape(#[from] EscapeError),
}

/// The parts of a format string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Parts(pub(crate) Vec<Part>);

impl FromStr for Parts {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('%') {
            push_text(&mut parts, before)?;
            let token = after.chars().next().ok_or(FormatError::AtEnd)?;
            parts.push(part_of(token)?);
            rest = &after[token.len_utf8()..];
        }
        push_text(&mut parts, rest)?;
        Ok(Self(parts))
    }
}

fn push_text(parts: &mut Vec<Part>, text: &str) -> Result<(), EscapeError> {
    if !text.is_empty() {
        parts.push(Part::Text(unescape(text)?));
    }
    Ok(())
}

fn part_of(token: char) -> Result<Part, FormatError> {
    Ok(match token {
        's' => Part::Value,
        'S' => Part::ValueLength,
        'R' => Part::ValueLengthBinary,
        'k' => Part::Key,
        'K' => Part::KeyLength,
        'T' => Part::Timestamp,
        'h' => Part::Headers,
        't' => Part::Topic,
        'p' => Part::Partition,
        'o' => Part::Offset,
        '%' => Part::Text(b"%".to_vec()),
        unknown => return Err(FormatError::UnknownToken(unknown)),
    })
}

/// The default format: values, each followed by `delimiter`, and preceded by its key if there is a
/// key delimiter.
pub(crate) fn delimited(key: Option<Delimiter>, delimiter: Delimiter) -> Parts {
    let key = key.into_iter().flat_map(|k| [Part::Key, Part::Text(k.0)]);
    Parts(key.chain([Part::Value, Part::Text(delimiter.0)]).collect())
}

impl Format {
    /// Appends a record to `out`.
    pub(crate) fn append(&self, out: &mut Vec<u8>, located: &Located<'_>) {
        match self {
            Self::Tokens { parts, null } => {
                for part in parts {
                    append_part(out, part, null, located);
                }
            }
            Self::Json => {
                serde_json::to_writer(&mut *out, &Envelope(located)).expect("string keys only");
                out.push(b'\n');
            }
            Self::ForTerminal(format) => append_for_terminal(out, format, located),
        }
    }
}

/// The text of the format is the user's own, and reaches the terminal unchanged.
fn append_for_terminal(out: &mut Vec<u8>, format: &Format, located: &Located<'_>) {
    let Format::Tokens { parts, null } = format else {
        let mut line = Vec::new();
        format.append(&mut line, located);
        return append_printable(out, &line);
    };
    for part in parts {
        let mut data = Vec::new();
        append_part(&mut data, part, null, located);
        match part {
            Part::Key | Part::Value | Part::Headers => append_printable(out, &data),
            _ => out.append(&mut data),
        }
    }
}

fn append_part(out: &mut Vec<u8>, part: &Part, null: &str, located: &Located<'_>) {
    let Located {
        partition, record, ..
    } = located;
    let written = match part {
        Part::Text(text) => out.write_all(text),
        Part::Value => out.write_all(record.value.unwrap_or(null.as_bytes())),
        Part::ValueLength => write!(out, "{}", length(record.value)),
        Part::ValueLengthBinary => out.write_all(&(length(record.value) as i32).to_be_bytes()),
        Part::Key => out.write_all(record.key.unwrap_or(null.as_bytes())),
        Part::KeyLength => write!(out, "{}", length(record.key)),
        Part::Timestamp => write!(out, "{}", record.timestamp),
        Part::Headers => {
            append_headers(out, record);
            Ok(())
        }
        Part::Topic => write!(out, "{}", partition.topic),
        Part::Partition => write!(out, "{}", partition.partition),
        Part::Offset => write!(out, "{}", record.offset),
    };
    written.expect("a Vec takes all");
}

fn length(bytes: Option<&[u8]>) -> i64 {
    bytes.map_or(-1, |bytes| bytes.len() as i64)
}

fn append_headers(out: &mut Vec<u8>, record: &Record<'_>) {
    for (index, (name, value)) in record.headers().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(name.as_bytes());
        out.push(b'=');
        out.extend_from_slice(value.unwrap_or(b"NULL"));
    }
}

/// kcat's envelope. A key or value that is not UTF-8 is written in base64, as `key_base64` or
/// `payload_base64`, so that nothing is lost.
struct Envelope<'a>(&'a Located<'a>);

impl Serialize for Envelope<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Located {
            partition, record, ..
        } = self.0;
        let tstype = match (record.timestamp.0, self.0.is_log_append_time) {
            (-1, _) => "unknown",
            (_, true) => "logappend",
            (_, false) => "create",
        };
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("topic", partition.topic.as_str())?;
        map.serialize_entry("partition", &partition.partition.0)?;
        map.serialize_entry("offset", &record.offset.0)?;
        map.serialize_entry("tstype", tstype)?;
        map.serialize_entry("ts", &record.timestamp.0)?;
        let headers = headers_of(record);
        if !headers.is_empty() {
            map.serialize_entry("headers", &headers)?;
        }
        entry(&mut map, "key", record.key)?;
        entry(&mut map, "payload", record.value)?;
        map.end()
    }
}

fn entry<M: SerializeMap>(map: &mut M, name: &str, bytes: Option<&[u8]>) -> Result<(), M::Error> {
    match bytes.map(|bytes| str::from_utf8(bytes).map_err(|_| bytes)) {
        None => map.serialize_entry(name, &None::<&str>),
        Some(Ok(text)) => map.serialize_entry(name, text),
        Some(Err(bytes)) => map.serialize_entry(&format!("{name}_base64"), &base64(bytes)),
    }
}

/// Names and values in turn, because a name may occur twice. Bytes that are not UTF-8 become an
/// object.
fn headers_of(record: &Record<'_>) -> Vec<serde_json::Value> {
    let pairs = record.headers().flat_map(|(name, value)| {
        let value = value.map_or(serde_json::Value::Null, |bytes| {
            str::from_utf8(bytes).map_or_else(|_| json!({ "base64": base64(bytes) }), Into::into)
        });
        [name.into_owned().into(), value]
    });
    pairs.collect()
}

/// RFC 4648, with padding.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |i: usize| u32::from(chunk.get(i).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for i in 0..4 {
            let index = (bits >> (18 - 6 * i)) & 63;
            let digit = char::from(ALPHABET[index as usize]);
            text.push(if i <= chunk.len() { digit } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests;
