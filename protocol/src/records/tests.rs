//! The laws of batches, and each rule broken once.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Timestamp};

const LIMIT: usize = 1 << 20;

/// A record with everything in it owned.
#[derive(Clone, Debug, PartialEq)]
struct Owned {
    timestamp: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Owned {
    fn of(record: &Record<'_>) -> Self {
        Self {
            timestamp: record.timestamp.0,
            key: record.key.map(Into::into),
            value: record.value.map(Into::into),
            headers: record
                .headers()
                .map(|(key, value)| (key.into(), value.map(Into::into)))
                .collect(),
        }
    }

    fn append_to(&self, builder: &mut BatchBuilder) {
        let headers: Vec<_> = self
            .headers
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_deref()))
            .collect();
        builder.append(
            Timestamp(self.timestamp),
            self.key.as_deref(),
            self.value.as_deref(),
            &headers,
        );
    }
}

fn owned_records() -> impl Strategy<Value = Vec<Owned>> {
    let bytes = || prop::option::of(prop::collection::vec(any::<u8>(), 0..40));
    let timestamp = prop_oneof![
        Just(i64::MIN),
        Just(i64::MAX),
        Just(-1),
        any::<i64>(),
        0..99_i64
    ];
    let headers = prop::collection::vec(("\\PC{0,4}", bytes()), 0..3);
    let record =
        (timestamp, bytes(), bytes(), headers).prop_map(|(timestamp, key, value, headers)| Owned {
            timestamp,
            key,
            value,
            headers,
        });
    prop::collection::vec(record, 1..12)
}

fn codecs() -> impl Strategy<Value = Compression> {
    prop::sample::select(&Compression::ALL[..])
}

fn build(records: &[Owned], compression: Compression) -> RecordBatch {
    let mut builder = BatchBuilder::new(compression);
    for record in records {
        record.append_to(&mut builder);
    }
    builder.build()
}

/// Two departures, the first with a header.
fn departures(compression: Compression) -> RecordBatch {
    let mut builder = BatchBuilder::new(compression);
    builder.append(
        Timestamp(1_362_391_200_000),
        Some(b"EWR"),
        Some(b"UA1545"),
        &[("carrier", Some(b"UA"))],
    );
    builder.append(Timestamp(1_362_391_140_000), Some(b"LGA"), None, &[]);
    builder.build()
}

/// Changes bytes at `at` and mends the checksum.
fn altered(batch: &RecordBatch, at: usize, with: &[u8]) -> Result<RecordBatch, BatchError> {
    let mut bytes = batch.bytes().to_vec();
    bytes[at..at + with.len()].copy_from_slice(with);
    let crc = crate::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    RecordBatch::split_from(&mut bytes.into())
}

/// A batch with `body` as its records, which the header counts as `record_count`.
fn batch_of(body: &[u8], record_count: i32) -> RecordBatch {
    let template = departures(Compression::None);
    let mut bytes = template.bytes()[..BATCH_HEADER_BYTES].to_vec();
    bytes.extend(body);
    bytes[8..12].copy_from_slice(&(49 + body.len() as i32).to_be_bytes());
    bytes[57..61].copy_from_slice(&record_count.to_be_bytes());
    RecordBatch::split_from(&mut bytes.into()).unwrap()
}

/// What reading the records of `batch` ends with.
fn read(batch: &RecordBatch) -> Result<Vec<Owned>, BatchError> {
    let records = batch.records(LIMIT)?;
    records
        .iter()
        .map(|record| Ok(Owned::of(&record?)))
        .collect()
}

#[test]
fn a_batch_is_laid_out_as_the_drawing_says() {
    let batch = departures(Compression::None);
    let bytes = batch.bytes();
    assert_eq!(bytes[0..8], [0; 8], "base offset");
    assert_eq!(
        bytes[8..12],
        (bytes.len() as u32 - 12).to_be_bytes(),
        "length"
    );
    assert_eq!(bytes[12..16], [0xff; 4], "leader epoch");
    assert_eq!(bytes[16], 2, "magic");
    assert_eq!(
        bytes[17..21],
        crate::crc32c(&bytes[21..]).to_be_bytes(),
        "crc"
    );
    assert_eq!(bytes[21..23], [0, 0], "attributes");
    assert_eq!(bytes[23..27], [0, 0, 0, 1], "last offset delta");
    assert_eq!(
        bytes[27..35],
        1_362_391_200_000_u64.to_be_bytes(),
        "base timestamp"
    );
    assert_eq!(
        bytes[35..43],
        1_362_391_200_000_u64.to_be_bytes(),
        "max timestamp"
    );
    assert_eq!(bytes[43..57], [0xff; 14], "no producer");
    assert_eq!(bytes[57..61], [0, 0, 0, 2], "record count");
    let first = b"\x34\x00\x00\x00\x06EWR\x0cUA1545\x02\x0ecarrier\x04UA";
    // The second left 60,000 ms earlier: zigzag 119,999 in three groups.
    let second = b"\x16\x00\xbf\xa9\x07\x02\x06LGA\x01\x00";
    assert_eq!(bytes[61..], [&first[..], second].concat());
}

#[test]
fn records_read_back_with_offsets_from_the_base() {
    let batch = departures(Compression::None);
    let mut bytes = batch.stamped_header(Offset(500), LeaderEpoch(7)).to_vec();
    bytes.extend(&batch.bytes()[BATCH_HEADER_BYTES..]);
    let stamped = RecordBatch::split_from(&mut bytes.into()).unwrap();
    assert_eq!(stamped.verify_crc(), Ok(()));
    assert_eq!(stamped.header().leader_epoch, LeaderEpoch(7));
    assert_eq!(stamped.header().next_offset(), Offset(502));
    let records = stamped.records(LIMIT).unwrap();
    let offsets: Vec<_> = records
        .iter()
        .map(|record| record.unwrap().offset.0)
        .collect();
    assert_eq!(offsets, [500, 501]);
}

#[test]
fn log_append_time_is_the_time_of_every_record() {
    let batch = departures(Compression::None);
    let batch = altered(&batch, 21, &[0, 8]).unwrap();
    let batch = altered(&batch, 35, &77_i64.to_be_bytes()).unwrap();
    let times: Vec<_> = read(&batch)
        .unwrap()
        .iter()
        .map(|record| record.timestamp)
        .collect();
    assert_eq!(times, [77, 77]);
}

#[test]
fn an_impossible_header_is_refused() {
    let batch = departures(Compression::None);
    let refused = |at, with: &[u8]| altered(&batch, at, with).unwrap_err();
    assert_eq!(refused(16, &[1]), BatchError::Magic(1));
    assert_eq!(refused(8, &[0, 0, 0, 48]), BatchError::Length(48));
    assert_eq!(refused(8, &[0xff; 4]), BatchError::Length(-1));
    let offsets = |base_offset, last_offset_delta| BatchError::Offsets {
        base_offset: Offset(base_offset),
        last_offset_delta,
    };
    assert_eq!(refused(0, &(-1_i64).to_be_bytes()), offsets(-1, 1));
    // The next offset must be one too: MAX - 2, MAX - 1, then MAX.
    assert_eq!(
        refused(0, &(i64::MAX - 1).to_be_bytes()),
        offsets(i64::MAX - 1, 1)
    );
    assert!(altered(&batch, 0, &(i64::MAX - 2).to_be_bytes()).is_ok());
    assert_eq!(refused(23, &[0xff; 4]), offsets(0, -1));
    let body_bytes = batch.bytes().len() - 61;
    assert_eq!(
        refused(57, &[0xff; 4]),
        BatchError::RecordCount {
            count: -1,
            body_bytes
        }
    );
}

#[test]
fn more_records_than_bytes_are_refused_before_the_first() {
    let batch = altered(
        &departures(Compression::Zstd),
        57,
        &[0x7f, 0xff, 0xff, 0xff],
    )
    .unwrap();
    assert!(matches!(
        batch.records(LIMIT),
        Err(BatchError::RecordCount {
            count: i32::MAX,
            ..
        })
    ));
}

#[test]
fn a_malformed_record_is_named_by_its_number_and_rule() {
    let first = b"\x0c\x00\x00\x00\x01\x01\x00";
    let rows: [(&[u8], &str); 13] = [
        (b"\x01\x00\x00\x02\x01\x01\x00", "its length is negative"),
        (
            b"\x0e\x00\x00\x02\x01\x01\x00",
            "a length goes beyond the bytes that are there",
        ),
        (
            b"\x0e\x00\x00\x02\x01\x01\x00\x00",
            "its length goes beyond its headers",
        ),
        (b"\x00\x00\x00\x02\x01\x01\x00", "the bytes end too early"),
        (
            b"\xff\xff\xff\xff\xff\x00\x00",
            "a varint is too long for its type",
        ),
        (
            b"\x0c\x00\x00\x00\x01\x01\x00",
            "its offset is not between the one before and the batch's last",
        ),
        (
            b"\x0c\x00\x00\x04\x01\x01\x00",
            "its offset is not between the one before and the batch's last",
        ),
        (b"\x0c\x00\x00\x02\x03\x01\x00", "a length is below -1"),
        (
            b"\x0c\x00\x00\x02\x01\x08\x00",
            "a length goes beyond the bytes that are there",
        ),
        (
            b"\x0c\x00\x00\x02\x01\x01\x01",
            "its header count is negative",
        ),
        (
            b"\x0c\x00\x00\x02\x01\x01\x02",
            "its header count is more than its bytes can hold",
        ),
        (
            b"\x10\x00\x00\x02\x01\x01\x02\x01\x00",
            "a header has no key",
        ),
        (b"\x0c\x00\x00\x02\x01\x01\x80", "a varint is cut off"),
    ];
    for (second, reason) in rows {
        let batch = batch_of(&[first, second].concat(), 2);
        let records = batch.records(LIMIT).unwrap();
        let mut records = records.iter();
        assert!(records.next().unwrap().is_ok());
        let error = BatchError::Record { index: 1, reason };
        assert_eq!(records.next(), Some(Err(error)), "{second:?}");
        assert_eq!(records.next(), None, "fused");
    }
}

#[test]
fn a_headers_key_need_not_be_utf8() {
    let batch = batch_of(b"\x12\x00\x00\x00\x01\x01\x02\x02\xff\x01", 1);
    let records = batch.records(LIMIT).unwrap();
    let record = records.iter().next().unwrap().unwrap();
    let headers: Vec<_> = record.headers().collect();
    assert_eq!(headers, [("\u{fffd}".into(), None)]);
}

#[test]
fn bytes_after_the_last_record_are_an_error() {
    let batch = batch_of(b"\x0c\x00\x00\x00\x01\x01\x00\x00", 1);
    let records = batch.records(LIMIT).unwrap();
    let error = BatchError::Record {
        index: 1,
        reason: "bytes follow the last record",
    };
    assert_eq!(records.iter().nth(1), Some(Err(error)));
    assert_eq!(records.iter().count(), 2);
}

#[test]
fn a_batch_emptied_by_compaction_has_no_records() {
    assert_eq!(read(&batch_of(b"", 0)), Ok(Vec::new()));
}

#[test]
fn a_producers_batch_follows_the_rules() {
    let batch = departures(Compression::Gzip);
    assert_eq!(batch.validate_for_produce(), Ok(()));
    let refused = |at, with: &[u8]| {
        let batch = altered(&batch, at, with).unwrap();
        batch.validate_for_produce().unwrap_err()
    };
    assert_eq!(refused(22, &[5]), BatchError::Codec(5));
    assert_eq!(refused(22, &[0x20]), BatchError::ProducedControl);
    assert_eq!(refused(22, &[0x08]), BatchError::ProducedLogAppendTime);
    assert_eq!(refused(7, &[9]), BatchError::ProducedBaseOffset(Offset(9)));
    let count = |record_count| BatchError::ProducedCount {
        record_count,
        last_offset_delta: 1,
    };
    assert_eq!(refused(60, &[0]), count(0));
    assert_eq!(refused(60, &[3]), count(3));
    let identity = |id, base_sequence| BatchError::ProducedIdentity {
        id: ProducerId(id),
        epoch: ProducerEpoch::NONE,
        base_sequence,
    };
    assert_eq!(
        refused(22, &[0x10]),
        identity(-1, -1),
        "transactional without a producer"
    );
    assert_eq!(refused(43, &4_i64.to_be_bytes()), identity(4, -1));
    assert_eq!(refused(43, &(-2_i64).to_be_bytes()), identity(-2, -1));
    // Some clients without identity leave the base sequence at 0.
    let zero_sequence = altered(&batch, 53, &[0; 4]).unwrap();
    assert_eq!(zero_sequence.validate_for_produce(), Ok(()));
}

#[test]
fn a_transactional_producer_is_stamped() {
    let mut builder = BatchBuilder::new(Compression::None)
        .with_producer(ProducerId(4), ProducerEpoch(2), 17)
        .with_transaction();
    builder.append(Timestamp(1), None, Some(b"x"), &[]);
    assert_eq!(builder.record_count(), 1);
    let size = builder.uncompressed_size();
    let batch = builder.build();
    assert_eq!(batch.bytes().len(), size);
    assert_eq!(batch.validate_for_produce(), Ok(()));
    let header = batch.header();
    assert!(header.is_transactional() && !header.is_control());
    assert_eq!(
        (
            header.producer_id,
            header.producer_epoch,
            header.base_sequence
        ),
        (ProducerId(4), ProducerEpoch(2), 17)
    );
}

#[test]
fn batches_end_quietly_at_a_cut_and_loudly_at_garbage() {
    let batch = departures(Compression::Lz4);
    let two = batch.bytes().repeat(2);
    for cut in 0..=two.len() {
        let mut batches = Batches(Bytes::copy_from_slice(&two[..cut]));
        let whole = batches.by_ref().map(Result::unwrap).count();
        assert_eq!(whole, cut / batch.bytes().len());
        assert_eq!(batches.0.len(), cut % batch.bytes().len(), "the tail stays");
    }
    let mut garbage = two;
    let magic_at = batch.bytes().len() + 16;
    garbage[magic_at] = 9;
    let mut batches = Batches(garbage.into());
    assert!(batches.next().unwrap().is_ok());
    assert_eq!(batches.next(), Some(Err(BatchError::Magic(9))));
    assert_eq!(batches.next(), None);
}

#[test]
fn a_record_reads_without_copying() {
    let batch = departures(Compression::None);
    let records = batch.records(LIMIT).unwrap();
    let value = records.iter().next().unwrap().unwrap().value.unwrap();
    assert!(batch.bytes().as_ptr_range().contains(&value.as_ptr()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn reading_undoes_building(records in owned_records(), codec in codecs()) {
        let batch = build(&records, codec);
        prop_assert_eq!(batch.validate_for_produce(), Ok(()));
        let max = records.iter().map(|record| record.timestamp).max().unwrap();
        prop_assert_eq!(batch.header().max_timestamp, Timestamp(max));
        prop_assert_eq!(read(&batch), Ok(records));
    }

    #[test]
    fn every_flipped_bit_is_caught(records in owned_records(), codec in codecs(), bit: usize) {
        let batch = build(&records, codec);
        let mut bytes = batch.bytes().to_vec();
        // From the checksum on: the fields before it are the broker's, and outside of it.
        let bit = 17 * 8 + bit % ((bytes.len() - 17) * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        if let Ok(flipped) = RecordBatch::split_from(&mut bytes.into()) {
            let refused = matches!(flipped.verify_crc(), Err(BatchError::Crc { .. }));
            prop_assert!(refused);
        }
    }

    #[test]
    fn a_batch_cut_anywhere_is_truncated(records in owned_records(), codec in codecs()) {
        let whole = build(&records, codec).bytes().clone();
        for cut in 0..whole.len() {
            let mut bytes = whole.slice(..cut);
            let cut_off = matches!(
                RecordBatch::split_from(&mut bytes),
                Err(BatchError::Truncated { found, .. }) if found == cut
            );
            prop_assert!(cut_off);
        }
    }

    #[test]
    fn records_cut_anywhere_are_an_error(records in owned_records()) {
        let whole = build(&records, Compression::None);
        let body = &whole.bytes()[BATCH_HEADER_BYTES..];
        for cut in 0..body.len() {
            prop_assert!(read(&batch_of(&body[..cut], records.len() as i32)).is_err());
        }
    }

    #[test]
    fn any_bytes_are_safe_to_read(
        body: Vec<u8>,
        count in 0..9_i32,
        attributes in 0..16_u8,
        max in 0_usize..300,
    ) {
        let batch = altered(&batch_of(&body, count), 22, &[attributes]).unwrap();
        if let Ok(records) = batch.records(max) {
            prop_assert!(records.iter().count() <= count as usize + 1);
            records.iter().flatten().for_each(|record| record.headers().for_each(drop));
        }
        prop_assert!(Batches(body.into()).count() <= 1);
    }

    #[test]
    fn any_header_is_safe_to_read(bytes in prop::array::uniform32(any::<u8>()), magic: bool) {
        let mut bytes = bytes.repeat(2);
        if magic {
            bytes[16] = 2;
            bytes[8] &= 0x7f;
            bytes[0] &= 0x7f;
            bytes[23] &= 0x7f;
            bytes[57] &= 0x7f;
        }
        if let Ok(header) = BatchHeader::parse(&bytes) {
            prop_assert_eq!(&header.to_bytes()[..], &bytes[..BATCH_HEADER_BYTES]);
            prop_assert!(header.next_offset() > header.base_offset);
            prop_assert!(header.size() >= BATCH_HEADER_BYTES);
        }
    }

    #[test]
    fn one_changed_byte_is_safe_to_read(
        records in owned_records(),
        codec in codecs(),
        at: prop::sample::Index,
        byte: u8,
    ) {
        let mut bytes = build(&records, codec).bytes().to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(batch) = RecordBatch::split_from(&mut bytes.into()) {
            drop(read(&batch));
        }
    }
}
