//! Record batches that other people's encoders made, kept as golden files.
//!
//! `tests/golden/make_*.py` say how each was made; all hold the same ten records.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use brooklet_protocol::records::{BatchBuilder, Batches, Compression, RecordBatch};
use brooklet_protocol::{Offset, ProducerEpoch, ProducerId, Timestamp};
use brooklet_tests::repository;
use bytes::Bytes;

const DECOMPRESSED_BYTES_MAX: usize = 1 << 20;

type Headers = Vec<(String, Option<Vec<u8>>)>;
type Expected = (Timestamp, Option<Vec<u8>>, Option<Vec<u8>>, Headers);

/// Record `n` of every golden batch.
fn expected(n: i64) -> Expected {
    let key = (n != 3).then(|| format!("key-{n}").into_bytes());
    let value = (n != 4).then(|| format!("value {n} ").repeat(20).into_bytes());
    let trace = ("trace".to_owned(), Some(format!("id-{n}").into_bytes()));
    let headers = if n % 2 == 1 {
        vec![trace, ("empty".into(), None)]
    } else {
        vec![]
    };
    (Timestamp(1_700_000_000_000 + n * 10), key, value, headers)
}

fn golden(name: &str) -> RecordBatch {
    let path = repository().join("tests/golden/records").join(name);
    let bytes = Bytes::from(std::fs::read(path).unwrap());
    let batches: Vec<_> = Batches(bytes).collect::<Result<_, _>>().unwrap();
    let [batch] = &batches[..] else {
        panic!("{name} holds {} batches", batches.len())
    };
    batch.clone()
}

fn records(batch: &RecordBatch) -> Vec<(Offset, Expected)> {
    let records = batch.records(DECOMPRESSED_BYTES_MAX).unwrap();
    let owned = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
    let all = records.iter().map(|record| {
        let record = record.unwrap();
        let headers = record
            .headers()
            .map(|(k, v)| (k.into_owned(), owned(v)))
            .collect();
        (
            record.offset,
            (
                record.timestamp,
                owned(record.key),
                owned(record.value),
                headers,
            ),
        )
    });
    all.collect()
}

#[test]
fn batches_of_aiokafka_are_read_whatever_their_codec() {
    for codec in Compression::ALL {
        let batch = golden(&format!("aiokafka-{codec}.batch"));
        batch.verify_crc().unwrap();
        batch.validate_for_produce().unwrap();
        let header = batch.header();
        assert_eq!(header.compression(), Ok(codec));
        assert_eq!(header.producer_id, ProducerId(4711));
        assert_eq!(header.producer_epoch, ProducerEpoch(3));
        assert_eq!(header.base_sequence, 99);
        assert_eq!(header.max_timestamp, Timestamp(1_700_000_000_090));
        let all: Vec<_> = (0..10).map(|n| (Offset(n), expected(n))).collect();
        assert_eq!(records(&batch), all, "{codec}");
    }
}

#[test]
fn batches_of_librdkafka_are_read_whatever_their_codec() {
    for codec in Compression::ALL {
        let batch = golden(&format!("librdkafka-{codec}.batch"));
        batch.verify_crc().unwrap();
        assert_eq!(batch.header().compression(), Ok(codec));
        let all: Vec<_> = (0..10).map(|n| (Offset(n), expected(n))).collect();
        assert_eq!(records(&batch), all, "{codec}");
    }
}

/// Without compression there is only one way to write a batch, so ours has the same bytes.
#[test]
fn our_builder_writes_the_bytes_that_aiokafka_writes() {
    let mut builder =
        BatchBuilder::new(Compression::None).with_producer(ProducerId(4711), ProducerEpoch(3), 99);
    for n in 0..10 {
        let (timestamp, key, value, headers) = expected(n);
        let headers: Vec<_> = headers
            .iter()
            .map(|(k, v)| (k.as_str(), v.as_deref()))
            .collect();
        builder.append(timestamp, key.as_deref(), value.as_deref(), &headers);
    }
    let ours = builder.build();
    let theirs = golden("aiokafka-none.batch");
    // A client leaves the leader epoch open, as -1 or as 0; the checksum leaves it out.
    let theirs_header = theirs.stamped_header(Offset::ZERO, ours.header().leader_epoch);
    assert_eq!(ours.bytes()[..61], theirs_header);
    assert_eq!(ours.bytes()[61..], theirs.bytes()[61..]);
}
