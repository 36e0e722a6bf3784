//! Records on their way into a batch: owned, borrowed, and how many bytes they take.
//!
//! ```text
//!  bytes_max     what a record may take at most in a batch that is not compressed: cheap, and an
//!                upper bound; by it batches are filled and `buffer.memory` is counted
//!  size_alone    what a batch takes that has only this record: exact; by it records are refused
//! ```

use brooklet_protocol::records::{Compression, single_record_bytes};
use brooklet_protocol::{PartitionId, Timestamp, TopicName};
use bytes::Bytes;

use crate::RecordSize;

/// The most that a record takes beside its key, value and headers: five varints of at most 5 bytes,
/// one of at most 10, and a byte.
const RECORD_OVERHEAD_BYTES: usize = 36;
/// The most that a header takes beside its name and value: two varints.
const HEADER_OVERHEAD_BYTES: usize = 10;

/// A record to be sent.
#[derive(Clone, Debug, Default)]
pub struct NewRecord {
    /// The partition; `None`: by the key's murmur2, or sticky without a key.
    pub partition: Option<PartitionId>,
    /// `None`: now.
    pub timestamp: Option<Timestamp>,
    /// The key.
    pub key: Option<Bytes>,
    /// The value; `None` is a tombstone.
    pub value: Option<Bytes>,
    /// The headers.
    pub headers: Vec<(String, Option<Bytes>)>,
    /// The codec of its batch; `None`: the producer's.
    pub compression: Option<Compression>,
}

/// The name and the value of a record's header.
pub(super) type HeaderRef<'a> = (&'a str, Option<&'a [u8]>);

/// A record to be sent with others, [all at once](super::Producer::send_all). The producer copies
/// it.
#[derive(Clone, Copy, Debug, Default)]
pub struct RecordRef<'a> {
    /// `None`: now.
    pub timestamp: Option<Timestamp>,
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The value; `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    /// The headers.
    pub headers: &'a [(&'a str, Option<&'a [u8]>)],
}

/// Where records are to go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Destination<'a> {
    pub(super) topic: &'a TopicName,
    /// `None`: by the key, or sticky without a key.
    pub(super) partition: Option<PartitionId>,
    pub(super) codec: Compression,
}

impl NewRecord {
    pub(super) fn header_refs(&self) -> Vec<HeaderRef<'_>> {
        let headers = self.headers.iter();
        headers.map(|(n, v)| (n.as_str(), v.as_deref())).collect()
    }

    /// The record, with its `headers` as [`NewRecord::header_refs`] has them.
    pub(super) fn borrowed<'a>(&'a self, headers: &'a [HeaderRef<'a>]) -> RecordRef<'a> {
        RecordRef {
            timestamp: self.timestamp,
            key: self.key.as_deref(),
            value: self.value.as_deref(),
            headers,
        }
    }
}

impl RecordRef<'_> {
    /// The most bytes that it takes in a batch that is not compressed.
    #[inline]
    pub(super) fn bytes_max(&self) -> usize {
        let overhead = RECORD_OVERHEAD_BYTES + HEADER_OVERHEAD_BYTES * self.headers.len();
        overhead + self.payload_bytes()
    }

    /// What a user would count: key, value and headers.
    #[inline]
    pub(super) fn payload_bytes(&self) -> usize {
        let len = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
        let headers = self.headers.iter();
        let headers = headers.map(|(name, value)| name.len() + len(*value));
        len(self.key) + len(self.value) + headers.sum::<usize>()
    }

    /// How large it is if it is sent by itself, not compressed. Exact.
    pub(super) fn size_alone(&self) -> RecordSize {
        RecordSize {
            record_bytes: self.payload_bytes(),
            batch_bytes: single_record_bytes(self.key, self.value, self.headers),
            is_compressed: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use brooklet_protocol::records::BatchBuilder;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_bound_is_above_what_a_record_takes_and_the_size_is_exact(
            timestamp in any::<i64>(),
            key in prop::option::of(prop::collection::vec(any::<u8>(), 0..200)),
            value in prop::option::of(prop::collection::vec(any::<u8>(), 0..200)),
            header in prop::option::of(("[a-z]{0,9}", prop::option::of("[a-z]{0,99}"))),
        ) {
            let headers = header.iter();
            let headers = headers.map(|(n, v)| (n.as_str(), v.as_deref().map(str::as_bytes)));
            let headers: Vec<_> = headers.collect();
            let (key, value) = (key.as_deref(), value.as_deref());
            let record = RecordRef { timestamp: None, key, value, headers: &headers };
            let mut builder = BatchBuilder::new(Compression::None);
            builder.append(Timestamp(timestamp), key, value, &headers);
            prop_assert_eq!(record.size_alone().batch_bytes, builder.uncompressed_size());
            // The second one is at another time than the first.
            let before = builder.uncompressed_size();
            builder.append(Timestamp(0), key, value, &headers);
            prop_assert!(builder.uncompressed_size() - before <= record.bytes_max());
        }
    }
}
