//! The bytes of `__transaction_state`, and that any bytes are read safely.

use std::collections::BTreeSet;
use std::time::Duration;

use brooklet_protocol::wire::fields::RecordError;
use brooklet_protocol::{
    PartitionId, Producer, ProducerEpoch, ProducerId, Timestamp, TopicName, TopicPartition,
};
use bytes::Bytes;
use proptest::prelude::*;

use super::super::record::TransactionRecord;
use super::super::*;
use crate::LogRecord;

fn partition(topic: &str, number: i32) -> TopicPartition {
    TopicPartition {
        topic: TopicName::new(topic).unwrap(),
        partition: PartitionId(number),
    }
}

fn known() -> Transaction {
    Transaction {
        producer: Producer {
            id: ProducerId(7),
            epoch: ProducerEpoch(2),
        },
        previous_id: Some(ProducerId(5)),
        next_id: None,
        timeout: Duration::from_secs(60),
        status: Status::PrepareCommit,
        partitions: [partition("t", 0), partition("t", 3), partition("u", 1)].into(),
        started: Timestamp(0x0102),
        updated: Timestamp(0x0103),
        client_version: 2,
    }
}

/// As `org.apache.kafka.coordinator.transaction.generated.TransactionLogValue` lays it out.
#[test]
fn a_record_has_kafkas_bytes() {
    let record = TransactionRecord::encode("ab", Some(&known()));
    assert_eq!(record.key.as_deref(), Some(&b"\0\0\0\x02ab"[..]));
    let expected = b"\0\x01\0\0\0\0\0\0\0\x07\0\x02\0\0\xea\x60\x02\
        \x03\x02t\x03\0\0\0\0\0\0\0\x03\0\x02u\x02\0\0\0\x01\0\
        \0\0\0\0\0\0\x01\x03\0\0\0\0\0\0\x01\x02\
        \x02\0\x08\0\0\0\0\0\0\0\x05\x02\x02\0\x02";
    assert_eq!(record.value.as_deref(), Some(&expected[..]));
}

/// Kafka does not read a null elsewhere.
#[test]
fn partitions_are_null_in_state_empty_only() {
    for (status, expected) in [(Status::Empty, 0), (Status::CompleteCommit, 1)] {
        let known = Transaction {
            status,
            partitions: BTreeSet::new(),
            ..known()
        };
        let value = TransactionRecord::encode("a", Some(&known)).value.unwrap();
        assert_eq!(value[17], expected);
    }
}

#[test]
fn version_0_is_read_too() {
    let value = b"\0\0\0\0\0\0\0\0\0\x07\0\x02\0\0\xea\x60\x01\
        \0\0\0\x01\0\x01t\0\0\0\x02\0\0\0\0\0\0\0\x03\0\0\0\0\0\0\x01\x03\0\0\0\0\0\0\x01\x02";
    let record = LogRecord {
        key: Some(Bytes::from_static(b"\0\0\0\x02ab")),
        value: Some(Bytes::from_static(value)),
        ..LogRecord::default()
    };
    let read = TransactionRecord::decode(&record).unwrap().unwrap();
    let expected = Transaction {
        previous_id: None,
        status: Status::Ongoing,
        partitions: [partition("t", 0), partition("t", 3)].into(),
        client_version: 0,
        ..known()
    };
    assert_eq!(read.known, Some(expected));
}

#[test]
fn other_versions_are_distinguished() {
    let record = |key: &'static [u8], value: &'static [u8]| LogRecord {
        key: Some(Bytes::from_static(key)),
        value: Some(Bytes::from_static(value)),
        ..LogRecord::default()
    };
    assert_eq!(
        TransactionRecord::decode(&record(b"\0\x01\0\x01a", b"")),
        Ok(None)
    );
    let newer = TransactionRecord::decode(&record(b"\0\0\0\x01a", b"\0\x02"));
    let what = "a transaction";
    assert_eq!(newer, Err(RecordError::Version { what, version: 2 }));
    let mut value = TransactionRecord::encode("a", Some(&known()))
        .value
        .unwrap()
        .to_vec();
    value[16] = 6;
    let record = LogRecord {
        key: Some(Bytes::from_static(b"\0\0\0\x01a")),
        value: Some(value.into()),
        ..LogRecord::default()
    };
    assert_eq!(
        TransactionRecord::decode(&record),
        Err(RecordError::Illegal("status"))
    );
}

fn any_known() -> impl Strategy<Value = Transaction> {
    let id = proptest::option::of((0..i64::MAX).prop_map(ProducerId));
    let places = proptest::collection::btree_set(("[a-z]{1,3}", 0..9_i32), 0..6);
    let numbers = (
        any::<i64>(),
        any::<i64>(),
        0..i32::MAX,
        0..6_usize,
        0..3_i16,
    );
    (
        (id.clone(), id),
        (0..i64::MAX, 0..i16::MAX),
        places,
        numbers,
    )
        .prop_map(
            |((previous_id, next_id), (id, epoch), places, numbers)| Transaction {
                producer: Producer {
                    id: ProducerId(id),
                    epoch: ProducerEpoch(epoch),
                },
                previous_id,
                next_id,
                timeout: Duration::from_millis(numbers.2 as u64),
                status: Status::ALL[numbers.3],
                partitions: (places.iter().filter(|_| numbers.3 > 0))
                    .map(|(topic, n)| partition(topic, *n))
                    .collect(),
                started: Timestamp(numbers.0),
                updated: Timestamp(numbers.1),
                client_version: numbers.4,
            },
        )
}

proptest! {
    #[test]
    fn what_was_written_is_read(id in "[a-zé]{1,20}", known in proptest::option::of(any_known())) {
        let record = TransactionRecord::encode(&id, known.as_ref());
        prop_assert_eq!(TransactionRecord::decode(&record), Ok(Some(TransactionRecord { id, known })));
    }

    #[test]
    fn any_bytes_are_read_safely(key in any::<Vec<u8>>(), value in any::<Vec<u8>>(), version in 0..3_u8) {
        let mut value = value;
        value.splice(0..0, [0, version]);
        let key = [b"\0\0", &key[..]].concat();
        let record = LogRecord { key: Some(key.into()), value: Some(value.into()), ..LogRecord::default() };
        // Whatever it is, it is read or refused.
        let _either = TransactionRecord::decode(&record);
    }

    #[test]
    fn a_record_that_is_cut_is_refused(known in any_known(), share in 0.0..1.0) {
        let record = TransactionRecord::encode("id", Some(&known));
        let value = record.value.clone().unwrap();
        let length = (value.len() as f64 * share) as usize;
        let cut = LogRecord { value: Some(value.slice(..length)), ..record };
        prop_assert!(TransactionRecord::decode(&cut).is_err());
    }
}
