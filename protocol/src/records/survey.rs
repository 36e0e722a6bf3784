//! Checking the header of a produced batch against its records.
//!
//! A batch whose checksum is right says only that it arrived as it was sent. The header may still
//! claim what the records do not hold, and the log, its indexes and every consumer go by the
//! header. So the records are walked once before the batch is stored, as Kafka's `LogValidator`
//! does:
//!
//! | header field | compared with |
//! |---|---|
//! | record count | the records that are there; nothing may follow the last one |
//! | last offset delta | offset deltas, which count up from 0 without a gap |
//! | max timestamp | the highest timestamp of the records |
//! | codec | the body, which must decompress to its end within the caller's limit |
//!
//! Only a wrong max timestamp is corrected ([`RecordBatch::with_max_timestamp`]), because clients
//! in use send it (kafkajs up to 2.2.4; sarama up to 1.44 sends -1 in every batch). For anything
//! else the batch is refused.
//!
//! This is the hot path, so there are two walks. The quick one handles the shape that nearly every
//! record has and returns `None` for anything else; then [`RecordIter`](super::RecordIter) decides,
//! and names the fault.

use std::cell::RefCell;

use super::{BatchError, BatchHeader, Compression, RecordBatch, Records, codec};
use crate::Timestamp;
use crate::wire::varint::{self, Reader};

/// A buffer that each thread reuses: a new one costs a tenth of the decompression.
const SCRATCH_BYTES_MAX: usize = 4 << 20;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The findings about the records of a produced batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Survey {
    /// The highest timestamp; [`Timestamp::NONE`] if no record has a higher one.
    pub max_timestamp: Timestamp,
    /// The lowest timestamp of the records that have one; [`Timestamp::MAX`] if none has.
    pub min_timestamp: Timestamp,
    /// Whether a record has no key.
    pub has_null_key: bool,
}

impl Survey {
    const EMPTY: Self = Self {
        max_timestamp: Timestamp::NONE,
        min_timestamp: Timestamp::MAX,
        has_null_key: false,
    };

    #[inline]
    fn add(&mut self, timestamp: Timestamp, has_key: bool) {
        self.max_timestamp = self.max_timestamp.max(timestamp);
        if timestamp != Timestamp::NONE {
            self.min_timestamp = self.min_timestamp.min(timestamp);
        }
        self.has_null_key |= !has_key;
    }
}

impl RecordBatch {
    /// Walks all records of a produced batch, whose header has passed
    /// [`RecordBatch::validate_for_produce`].
    ///
    /// # Errors
    /// The body does not decompress to at most `decompressed_bytes_max` bytes; a record is
    /// malformed or its offset delta is not its index; there are fewer or more records than the
    /// header says.
    pub fn survey(&self, decompressed_bytes_max: usize) -> Result<Survey, BatchError> {
        let found = match self.header().compression()? {
            Compression::None => quick(self.header(), self.body()),
            codec => SCRATCH.with_borrow_mut(|scratch| {
                scratch.clear();
                let read =
                    codec::decompress_into(codec, self.body(), decompressed_bytes_max, scratch);
                let found = read.map(|()| quick(self.header(), scratch));
                if scratch.capacity() > SCRATCH_BYTES_MAX {
                    *scratch = Vec::new();
                }
                found
            })?,
        };
        match found {
            Some(survey) => Ok(survey),
            None => thorough(&self.records(decompressed_bytes_max)?),
        }
    }

    /// The same batch with another max timestamp; the field is inside the checksum, which is
    /// computed again.
    pub fn with_max_timestamp(&self, max_timestamp: Timestamp) -> Self {
        let header = BatchHeader {
            max_timestamp,
            ..*self.header()
        };
        super::builder::seal(header, self.body())
    }
}

/// The walk that names the fault.
fn thorough(records: &Records) -> Result<Survey, BatchError> {
    let mut survey = Survey::EMPTY;
    let mut next_offset = records.base_offset();
    for (index, record) in records.iter().enumerate() {
        let record = record?;
        if record.offset != next_offset {
            let reason = "its offset delta is not its index in the batch";
            return Err(BatchError::Record { index, reason });
        }
        next_offset = next_offset.plus(1);
        survey.add(record.timestamp, record.key.is_some());
    }
    Ok(survey)
}

/// The walk over records of the usual shape; `None` for any other.
fn quick(header: &BatchHeader, body: &[u8]) -> Option<Survey> {
    if header.is_log_append_time() {
        return None;
    }
    let mut survey = Survey::EMPTY;
    let mut walk = Walk { bytes: body, at: 0 };
    for index in 0..header.record_count {
        let length = usize::try_from(walk.number()?).ok()?;
        let end = walk.at + length;
        // The attributes of a record have no meaning yet.
        walk.at += 1;
        let timestamp_delta = walk.long()?;
        if walk.number()? != index {
            return None;
        }
        let key_bytes = walk.skip(end)?;
        walk.skip(end)?;
        for _ in 0..usize::try_from(walk.number()?).ok()? {
            if walk.skip(end)? < 0 {
                return None;
            }
            walk.skip(end)?;
        }
        if walk.at != end {
            return None;
        }
        let timestamp = header.base_timestamp.0.wrapping_add(timestamp_delta);
        survey.add(Timestamp(timestamp), key_bytes >= 0);
    }
    (walk.at == body.len()).then_some(survey)
}

/// A position in the records. It may go beyond a record's end, which the record's length then
/// shows, but never beyond the bytes without `None`.
struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Walk<'_> {
    /// A zigzag `i32` of the usual one to three bytes; longer ones out of line.
    #[inline]
    fn number(&mut self) -> Option<i32> {
        match self.short() {
            Some(raw) => Some(varint::unzigzag(raw) as i32),
            None => self.rare(|reader| reader.varint().ok()),
        }
    }

    /// A zigzag `i64`, likewise.
    #[inline]
    fn long(&mut self) -> Option<i64> {
        match self.short() {
            Some(raw) => Some(varint::unzigzag(raw)),
            None => self.rare(|reader| reader.varlong().ok()),
        }
    }

    #[inline]
    fn short(&mut self) -> Option<u64> {
        let (raw, size) = match *self.bytes.get(self.at..)? {
            [low @ ..0x80, ..] => (u64::from(low), 1),
            [low, high @ ..0x80, ..] => (u64::from(low & 0x7f) | u64::from(high) << 7, 2),
            [low, middle, high @ ..0x80, ..] => {
                let low = u64::from(low & 0x7f) | u64::from(middle & 0x7f) << 7;
                (low | u64::from(high) << 14, 3)
            }
            _ => return None,
        };
        self.at += size;
        Some(raw)
    }

    #[cold]
    fn rare<T>(&mut self, read: impl FnOnce(&mut Reader<'_>) -> Option<T>) -> Option<T> {
        let mut reader = Reader {
            rest: self.bytes.get(self.at..)?,
        };
        let number = read(&mut reader)?;
        self.at = self.bytes.len() - reader.rest.len();
        Some(number)
    }

    /// Skips a length and its bytes, which must not end after `end`; -1 is null.
    #[inline]
    fn skip(&mut self, end: usize) -> Option<i32> {
        let length = self.number()?;
        if length >= 0 {
            self.at += length as usize;
        } else if length < -1 {
            return None;
        }
        (self.at <= end).then_some(length)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::records::{BATCH_HEADER_BYTES, BatchBuilder, Compression};

    const LIMIT: usize = 1 << 20;

    fn batch(codec: Compression, times: &[i64]) -> RecordBatch {
        let mut builder = BatchBuilder::new(codec);
        for time in times {
            builder.append(Timestamp(*time), None, Some(b"value"), &[]);
        }
        builder.build()
    }

    /// A batch with this body and count, whose checksum is right.
    fn sealed(record_count: i32, body: &[u8]) -> RecordBatch {
        let header = BatchHeader {
            record_count,
            last_offset_delta: record_count - 1,
            ..*batch(Compression::None, &[0]).header()
        };
        crate::records::builder::seal(header, body)
    }

    fn survey(batch: &RecordBatch) -> Result<Timestamp, BatchError> {
        Ok(batch.survey(LIMIT)?.max_timestamp)
    }

    #[test]
    fn the_highest_timestamp_is_the_records_not_the_headers() {
        let honest = batch(Compression::Lz4, &[1000, 1_800_000_000_000, -1]);
        for claimed in [-1, 1000, i64::MAX, i64::MIN] {
            let lying = honest.with_max_timestamp(Timestamp(claimed));
            lying.verify_crc().unwrap();
            assert_eq!(lying.header().max_timestamp, Timestamp(claimed));
            let found = survey(&lying).unwrap();
            assert_eq!(found, Timestamp(1_800_000_000_000));
            assert_eq!(lying.with_max_timestamp(found), honest);
        }
        let none = batch(Compression::None, &[-1, -1]).survey(LIMIT);
        assert_eq!(
            none,
            Ok(Survey {
                has_null_key: true,
                ..Survey::EMPTY
            })
        );
    }

    #[test]
    fn a_count_that_is_not_the_records_is_refused() {
        let whole = batch(Compression::None, &[1, 2]);
        let body = &whole.bytes()[BATCH_HEADER_BYTES..];
        assert!(survey(&sealed(2, body)).is_ok());
        let few = survey(&sealed(1, body)).unwrap_err();
        assert!(few.to_string().contains("bytes follow"), "{few}");
        assert!(survey(&sealed(3, body)).is_err());
        let behind = [body, &[0; 5]].concat();
        assert!(survey(&sealed(2, &behind)).is_err());
        assert!(survey(&sealed(1, &[0xff; 20])).is_err());
    }

    #[test]
    fn offset_deltas_count_up_from_zero() {
        let [one, two] = [&[1][..], &[1, 2]].map(|times| batch(Compression::None, times));
        let body = |batch: &RecordBatch| batch.bytes()[BATCH_HEADER_BYTES..].to_vec();
        let first = body(&one);
        let second = body(&two)[first.len()..].to_vec();
        let named = |body: &[u8]| survey(&sealed(2, body)).unwrap_err();
        for (bad, index) in [
            ([&first[..], &first].concat(), 1),
            ([&second[..], &first].concat(), 0),
        ] {
            let error = named(&bad);
            assert!(matches!(error, BatchError::Record { index: found, .. } if found == index));
        }
    }

    #[test]
    fn a_compressed_body_ends_where_its_codec_says() {
        for codec in &Compression::ALL[1..] {
            let whole = batch(*codec, &[1, 2, 3]);
            let body = &whole.bytes()[BATCH_HEADER_BYTES..];
            for cut in 1..body.len() {
                let cut = crate::records::builder::seal(*whole.header(), &body[..cut]);
                assert!(
                    survey(&cut).is_err(),
                    "{codec} cut to {}",
                    cut.bytes().len()
                );
            }
        }
    }

    proptest! {
        #[test]
        fn both_walks_agree_on_any_body(body: Vec<u8>, count in 1..5) {
            let batch = sealed(count, &body);
            if let Ok(records) = batch.records(LIMIT)
                && let Some(survey) = quick(batch.header(), records.body())
            {
                prop_assert_eq!(thorough(&records), Ok(survey));
            }
        }

        /// Records that a client could send, with at most one byte changed.
        #[test]
        fn both_walks_agree_on_records(
            times in prop::collection::vec(any::<i64>(), 1..20),
            value in prop::option::of(prop::collection::vec(any::<u8>(), 0..300)),
            header_count in 0_usize..4,
            (at, byte) in (any::<prop::sample::Index>(), any::<u8>()),
            is_changed: bool,
        ) {
            let mut builder = BatchBuilder::new(Compression::None);
            let headers = [("h", None), ("", Some(&b"1"[..])), ("é", Some(b""))];
            for (number, time) in times.iter().enumerate() {
                let key = (number % 3 > 0).then_some(&b"key"[..]);
                builder.append(Timestamp(*time), key, value.as_deref(), &headers[..header_count]);
            }
            let built = builder.build();
            let mut body = built.body().to_vec();
            if is_changed {
                let at = at.index(body.len());
                body[at] = byte;
            }
            let batch = crate::records::builder::seal(*built.header(), &body);
            let records = batch.records(LIMIT).unwrap();
            let quick = quick(batch.header(), records.body());
            // Where the quick walk returns nothing, the other one decides.
            let thorough = thorough(&records).ok();
            prop_assert!(quick.is_none() || quick == thorough);
            prop_assert!(is_changed || quick.is_some());
        }

        #[test]
        fn what_was_built_is_accepted(times in prop::collection::vec(any::<i64>(), 1..20)) {
            let highest = times.iter().copied().max().unwrap().max(-1);
            prop_assert_eq!(survey(&batch(Compression::Snappy, &times)), Ok(Timestamp(highest)));
        }
    }
}
