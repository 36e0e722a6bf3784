//! The records inside a batch, read without copying.
//!
//! Timestamps and offsets are stored as differences from the batch's base, so that most take one or
//! two bytes. A record says its own length first, and must use exactly that many bytes; the batch
//! says how many records there are, and they must use exactly its bytes. Offsets rise within the
//! batch but may have gaps, which compaction leaves.

use std::borrow::Cow;

use bytes::Bytes;

use super::{BatchError, BatchHeader};
use crate::wire::varint::{Reader, Reason};
use crate::{Offset, Timestamp};

/// Length, attributes, two deltas, two null lengths and a header count of one byte each.
const RECORD_BYTES_MIN: usize = 7;
/// The length of its key and that of its value.
const HEADER_BYTES_MIN: usize = 2;

/// The decompressed records of one batch.
#[derive(Clone, Debug)]
pub struct Records {
    header: BatchHeader,
    body: Bytes,
}

impl Records {
    /// Refuses a count that the bytes cannot hold.
    pub(super) fn new(header: BatchHeader, body: Bytes) -> Result<Self, BatchError> {
        if header.record_count as usize > body.len() / RECORD_BYTES_MIN {
            return Err(BatchError::RecordCount {
                count: header.record_count,
                body_bytes: body.len(),
            });
        }
        Ok(Self { header, body })
    }

    /// The records' bytes, decompressed.
    #[cfg(test)]
    pub(super) fn body(&self) -> &[u8] {
        &self.body
    }

    /// The batch's base offset.
    pub(super) fn base_offset(&self) -> Offset {
        self.header.base_offset
    }

    /// Walks them, borrowing.
    pub fn iter(&self) -> RecordIter<'_> {
        RecordIter {
            header: &self.header,
            reader: Reader { rest: &self.body },
            index: 0,
            last_offset_delta: -1,
            ended: false,
        }
    }
}

impl<'a> IntoIterator for &'a Records {
    type Item = Result<Record<'a>, BatchError>;
    type IntoIter = RecordIter<'a>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Walks the records of one batch without copying: yields as many as the header counts, or an
/// error; bytes after the last record are an error too. Fused.
#[derive(Clone, Debug)]
pub struct RecordIter<'a> {
    header: &'a BatchHeader,
    reader: Reader<'a>,
    /// The number of the next record, from 0.
    index: usize,
    /// The offset delta of the record before, -1 before the first.
    last_offset_delta: i32,
    ended: bool,
}

impl<'a> Iterator for RecordIter<'a> {
    type Item = Result<Record<'a>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let item = if self.index < self.header.record_count as usize {
            Some(self.record())
        } else {
            self.end()
        };
        self.ended = !matches!(item, Some(Ok(_)));
        let index = self.index;
        self.index += 1;
        item.map(|result| result.map_err(|reason| BatchError::Record { index, reason }))
    }
}

impl<'a> RecordIter<'a> {
    /// Checks that no bytes follow the last record.
    fn end(&self) -> Option<Result<Record<'a>, Reason>> {
        match self.reader.rest {
            [] => None,
            _ => Some(Err("bytes follow the last record")),
        }
    }

    fn record(&mut self) -> Result<Record<'a>, Reason> {
        let length = self.reader.varint()?;
        let length = usize::try_from(length).map_err(|_| "its length is negative")?;
        let mut fields = Reader {
            rest: self.reader.take(length)?,
        };
        // The attributes of a record have no meaning yet; readers skip them.
        fields.byte()?;
        let timestamp_delta = fields.varlong()?;
        let offset_delta = fields.varint()?;
        let key = fields.nullable()?;
        let value = fields.nullable()?;
        let header_count = header_count(&mut fields)?;
        let record = Record {
            offset: self.offset(offset_delta)?,
            timestamp: self.timestamp(timestamp_delta),
            key,
            value,
            headers: fields,
            header_count,
        };
        for _ in 0..header_count {
            record_header(&mut fields)?;
        }
        match fields.rest {
            [] => Ok(record),
            _ => Err("its length goes beyond its headers"),
        }
    }

    fn offset(&mut self, delta: i32) -> Result<Offset, Reason> {
        if delta <= self.last_offset_delta || delta > self.header.last_offset_delta {
            return Err("its offset is not between the one before and the batch's last");
        }
        self.last_offset_delta = delta;
        Ok(self.header.base_offset.plus(i64::from(delta)))
    }

    /// Wraps as the builder's difference does, so that any two timestamps fit into one batch.
    fn timestamp(&self, delta: i64) -> Timestamp {
        if self.header.is_log_append_time() {
            self.header.max_timestamp
        } else {
            Timestamp(self.header.base_timestamp.0.wrapping_add(delta))
        }
    }
}

/// The number of headers that follow, at most as many as the bytes can hold.
fn header_count(fields: &mut Reader<'_>) -> Result<usize, Reason> {
    let count = fields.varint()?;
    let count = usize::try_from(count).map_err(|_| "its header count is negative")?;
    if count > fields.rest.len() / HEADER_BYTES_MIN {
        Err("its header count is more than its bytes can hold")
    } else {
        Ok(count)
    }
}

fn record_header<'a>(fields: &mut Reader<'a>) -> Result<(&'a [u8], Option<&'a [u8]>), Reason> {
    let key = fields.nullable()?.ok_or("a header has no key")?;
    Ok((key, fields.nullable()?))
}

/// One record, borrowed from its batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Its offset.
    pub offset: Offset,
    /// Its timestamp (the batch's max timestamp under LogAppendTime).
    pub timestamp: Timestamp,
    /// Null or bytes.
    pub key: Option<&'a [u8]>,
    /// Null (a tombstone) or bytes.
    pub value: Option<&'a [u8]>,
    headers: Reader<'a>,
    header_count: usize,
}

impl<'a> Record<'a> {
    /// Its headers, in order; keys may repeat. A key should be UTF-8, which no broker checks; bytes
    /// that are not show as U+FFFD.
    pub fn headers(&self) -> impl Iterator<Item = (Cow<'a, str>, Option<&'a [u8]>)> + use<'a> {
        let headers = self.raw_headers();
        headers.map(|(key, value)| (String::from_utf8_lossy(key), value))
    }

    /// Its headers with their keys as they are stored.
    pub(super) fn raw_headers(
        &self,
    ) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> + use<'a> {
        let mut fields = self.headers;
        (0..self.header_count).map(move |_| {
            record_header(&mut fields).expect("the iterator has read the same headers before")
        })
    }
}
