//! Where a record of a repartition topic comes from: one header that carries the sender's time.
//!
//! A repartition topic mixes the records of several senders. What the receiver must know to put
//! them back in order, and to know how far time has come, travels in the header
//! `brooklet.origin`, 41 bytes, big-endian:
//!
//! ```text
//! 0      1        5         9         17       25            33           41
//! ├──────┼────────┼─────────┼─────────┼────────┼─────────────┼────────────┤
//! │ kind │ sender │ senders │ arrival │ offset │ stream time │ event time │
//! │ i8   │ i32    │ i32     │ i64     │ i64    │ i64         │ i64        │
//! ```
//!
//! - *kind*: 0 a record; 1 a marker: no record, but the sender has come this far; 2 the sender's
//!   end; 3 idle: the sender has had nothing to read for a while, do not wait for it.
//! - *sender*: the sending task, of which there are *senders*.
//! - *arrival*: the running maximum of the record timestamps that the sender has read; with
//!   *offset*, how far it has read. Together the sender's position; it never goes back.
//! - *stream time*: the sender's, the record itself included.
//! - *event time*: the record's. It is not the record's timestamp: brokers refuse timestamps that
//!   are far from their clock, and event times may be.

use brooklet_protocol::{Offset, Timestamp};

use crate::codec::DecodeError;

/// The header's name.
pub(crate) const HEADER: &str = "brooklet.origin";

/// What a record of a repartition topic is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A record of the stream.
    Record,
    /// Nothing but the sender's progress.
    Marker,
    /// The sender's last record.
    End,
    /// Nothing for now: do not wait for the sender until its next record.
    Idle,
}

/// The header's fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) kind: Kind,
    pub(crate) sender: i32,
    pub(crate) senders: i32,
    pub(crate) arrival: Timestamp,
    pub(crate) offset: Offset,
    pub(crate) stream_time: Timestamp,
    pub(crate) event_time: Timestamp,
}

/// Bytes of the header's value.
const BYTES: usize = 41;

impl Origin {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let kind: u8 = match self.kind {
            Kind::Record => 0,
            Kind::Marker => 1,
            Kind::End => 2,
            Kind::Idle => 3,
        };
        let mut bytes = Vec::with_capacity(BYTES);
        bytes.push(kind);
        bytes.extend_from_slice(&self.sender.to_be_bytes());
        bytes.extend_from_slice(&self.senders.to_be_bytes());
        bytes.extend_from_slice(&self.arrival.0.to_be_bytes());
        bytes.extend_from_slice(&self.offset.0.to_be_bytes());
        bytes.extend_from_slice(&self.stream_time.0.to_be_bytes());
        bytes.extend_from_slice(&self.event_time.0.to_be_bytes());
        bytes
    }

    /// Reads the header's value, and that the sender is one of the `senders` expected.
    pub(crate) fn decode(bytes: &[u8], senders: i32) -> Result<Self, DecodeError> {
        let bytes: [u8; BYTES] = crate::codec::fixed(bytes)?;
        let int32 = |at: usize| i32::from_be_bytes(std::array::from_fn(|i| bytes[at + i]));
        let int64 = |at: usize| i64::from_be_bytes(std::array::from_fn(|i| bytes[at + i]));
        let kind = match bytes[0] {
            0 => Kind::Record,
            1 => Kind::Marker,
            2 => Kind::End,
            3 => Kind::Idle,
            other => {
                return Err(DecodeError(format!(
                    "expected kind 0, 1, 2 or 3, found {other}"
                )));
            }
        };
        let origin = Self {
            kind,
            sender: int32(1),
            senders: int32(5),
            arrival: Timestamp(int64(9)),
            offset: Offset(int64(17)),
            stream_time: Timestamp(int64(25)),
            event_time: Timestamp(int64(33)),
        };
        if origin.senders != senders || !(0..senders).contains(&origin.sender) {
            let (sender, of) = (origin.sender, origin.senders);
            let message = format!("expected a sender of {senders}, found {sender} of {of}");
            return Err(DecodeError(message));
        }
        Ok(origin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_bytes_are_these() {
        let origin = Origin {
            kind: Kind::Marker,
            sender: 2,
            senders: 3,
            arrival: Timestamp(4),
            offset: Offset(5),
            stream_time: Timestamp::MIN,
            event_time: Timestamp(6),
        };
        let mut bytes = vec![1, 0, 0, 0, 2, 0, 0, 0, 3];
        bytes.extend([0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 5]);
        bytes.extend([0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 6]);
        assert_eq!(origin.encode(), bytes);
        assert_eq!(Origin::decode(&bytes, 3), Ok(origin));
        let error = Origin::decode(&bytes, 2).unwrap_err();
        assert_eq!(error.to_string(), "expected a sender of 2, found 2 of 3");
    }

    proptest! {
        #[test]
        fn any_bytes_decode_safely(bytes in proptest::collection::vec(any::<u8>(), 0..48), senders: i32) {
            if let Ok(origin) = Origin::decode(&bytes, senders) {
                prop_assert_eq!(origin.encode(), bytes);
            }
        }
    }
}
