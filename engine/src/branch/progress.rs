//! Progress: how far a task has come, in the few bytes that are committed with its offset.
//!
//! A task's state is its stores and its *standing*: stream times, the positions of a merge. The
//! stores have changelogs. The standing travels in the metadata of the committed offset, as Kafka
//! Streams' partition time does, so that offset and standing are never apart. A broker takes 4096
//! bytes of metadata (`offset.metadata.max.bytes`), hence the short numbers.
//!
//! ```text
//! "b1." │ base64 of: the plan's checksum u32 │ standings in the order of the walk …
//!
//! time   unsigned varint: 0 before the first record, else the time + 1
//! count  unsigned varint
//! ```
//!
//! Every part of a task that remembers something is a [`Standing`] or a store. [`Walk`] visits them
//! in an order that follows from the program alone, which is how the bytes find their way back.
//!
//! Invariant: loading any bytes returns.

use brooklet_protocol::{Timestamp, TopicName};

use crate::codec::DecodeError;
use crate::store::StateStore;

/// Visits what a task remembers, in an order that follows from the program.
pub trait Walk {
    /// Something with a standing.
    fn standing(&mut self, standing: &mut dyn Standing);
    /// A store and the topic of its changelog.
    fn store(&mut self, changelog: &TopicName, store: &mut dyn StateStore);
}

/// Something that remembers how far it has come.
pub trait Standing {
    /// Writes it.
    fn save(&self, to: &mut Progress);
    /// Reads it back.
    fn load(&mut self, from: &mut Progress) -> Result<(), DecodeError>;
}

/// The bytes: written at the end, read from the front.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    bytes: Vec<u8>,
    read: usize,
}

impl Progress {
    /// Nothing written yet.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// To be read.
    pub(crate) fn of(bytes: Vec<u8>) -> Self {
        Self { bytes, read: 0 }
    }

    /// What was written.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Whether all has been read.
    pub(crate) fn is_read(&self) -> bool {
        self.read == self.bytes.len()
    }

    pub(crate) fn put_count(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.bytes.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.bytes.push(number as u8);
    }

    /// Writes a time at or after the epoch, or [`Timestamp::MIN`], which means that there is none.
    pub(crate) fn put_time(&mut self, time: Timestamp) {
        match u64::try_from(time.0) {
            Ok(millis) => self.put_count(millis + 1),
            Err(_) => self.put_count(0),
        }
    }

    /// Writes a time that is near another, in fewer bytes.
    pub(crate) fn put_time_near(&mut self, time: Timestamp, other: Timestamp) {
        if time == Timestamp::MIN {
            return self.put_count(0);
        }
        let distance = i128::from(time.0) - i128::from(other.0.max(0));
        // Both lie in the same half of all numbers, so the distance has 64 bits.
        let zigzag = (distance << 1) ^ (distance >> 127);
        self.put_count(u64::try_from(zigzag + 1).unwrap_or(u64::MAX));
    }

    /// Reads a time that is near another.
    pub(crate) fn time_near(&mut self, other: Timestamp) -> Result<Timestamp, DecodeError> {
        let Some(zigzag) = self.count()?.checked_sub(1) else {
            return Ok(Timestamp::MIN);
        };
        let distance = (zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed();
        let time = other.0.max(0).checked_add(distance).map(Timestamp);
        time.ok_or_else(|| DecodeError("progress has a time beyond all times".into()))
    }

    pub(crate) fn count(&mut self) -> Result<u64, DecodeError> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.bytes.get(self.read).copied();
            let byte = byte.ok_or_else(|| DecodeError("progress ends too early".into()))?;
            self.read += 1;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(DecodeError(
            "progress has a number of more than 64 bits".into(),
        ))
    }

    pub(crate) fn time(&mut self) -> Result<Timestamp, DecodeError> {
        match self.count()?.checked_sub(1).map(i64::try_from) {
            None => Ok(Timestamp::MIN),
            Some(Ok(millis)) => Ok(Timestamp(millis)),
            Some(Err(_)) => Err(DecodeError("progress has a time beyond all times".into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_bytes_are_these() {
        let mut progress = Progress::new();
        progress.put_time(Timestamp::MIN);
        progress.put_time(Timestamp(0));
        progress.put_count(300);
        assert_eq!(progress.into_bytes(), [0, 1, 0xac, 2]);
    }

    proptest! {
        #[test]
        fn what_was_put_is_read(times in proptest::collection::vec(0i64..=i64::MAX, 0..9), count: u64) {
            let mut progress = Progress::new();
            for time in &times {
                progress.put_time(Timestamp(*time));
            }
            progress.put_count(count);
            for pair in times.windows(2) {
                progress.put_time_near(Timestamp(pair[0]), Timestamp(pair[1]));
            }
            progress.put_time_near(Timestamp::MIN, Timestamp(7));
            let mut read = Progress::of(progress.into_bytes());
            for time in &times {
                prop_assert_eq!(read.time(), Ok(Timestamp(*time)));
            }
            prop_assert_eq!(read.count(), Ok(count));
            for pair in times.windows(2) {
                prop_assert_eq!(read.time_near(Timestamp(pair[1])), Ok(Timestamp(pair[0])));
            }
            prop_assert_eq!(read.time_near(Timestamp(7)), Ok(Timestamp::MIN));
            prop_assert!(read.is_read());
            prop_assert!(read.count().is_err());
        }

        #[test]
        fn any_bytes_are_read_safely(bytes: Vec<u8>) {
            let mut read = Progress::of(bytes);
            while !read.is_read() {
                if read.time().is_err() {
                    break;
                }
            }
        }
    }
}
