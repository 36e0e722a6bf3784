//! The records, byte by byte, and whatever else may stand there.

use std::time::Duration;

use brooklet_protocol::wire::fields::RecordError;
use brooklet_protocol::{Offset, PartitionId, Timestamp, TopicName};
use bytes::Bytes;
use proptest::prelude::*;

use super::super::record::{CommittedOffset, GroupRecord, StoredGroup, StoredMember};
use crate::LogRecord;

fn offset() -> GroupRecord {
    GroupRecord::Offset {
        group: "g".to_owned(),
        topic: TopicName::new("t").unwrap(),
        partition: PartitionId(2),
        committed: Some(CommittedOffset {
            offset: Offset(5),
            leader_epoch: 3,
            metadata: "m".to_owned(),
            committed_at: Timestamp(0x0102),
        }),
    }
}

fn group() -> GroupRecord {
    let member = StoredMember {
        id: "i".to_owned(),
        instance_id: None,
        client_id: "c".to_owned(),
        client_host: "/h".to_owned(),
        rebalance_timeout: Duration::from_millis(7),
        session_timeout: Duration::from_millis(8),
        subscription: Bytes::from_static(b"s"),
        assignment: Bytes::from_static(b"aa"),
    };
    GroupRecord::Group {
        group: "g".to_owned(),
        stored: Some(StoredGroup {
            protocol_type: "consumer".to_owned(),
            generation: 4,
            protocol: Some("range".to_owned()),
            leader: Some("i".to_owned()),
            since: Timestamp(9),
            members: vec![member],
        }),
    }
}

#[test]
fn an_offset_is_kafkas_bytes() {
    let LogRecord { key, value, .. } = offset().encode();
    assert_eq!(key.unwrap()[..], *b"\0\x01\0\x01g\0\x01t\0\0\0\x02");
    let bytes = b"\0\x03\0\0\0\0\0\0\0\x05\0\0\0\x03\0\x01m\0\0\0\0\0\0\x01\x02";
    assert_eq!(value.unwrap()[..], *bytes);
}

#[test]
fn a_group_is_kafkas_bytes() {
    let LogRecord { key, value, .. } = group().encode();
    assert_eq!(key.unwrap()[..], *b"\0\x02\0\x01g");
    let head = b"\0\x03\0\x08consumer\0\0\0\x04\0\x05range\0\x01i\0\0\0\0\0\0\0\x09\0\0\0\x01";
    let member = b"\0\x01i\xff\xff\0\x01c\0\x02/h\0\0\0\x07\0\0\0\x08\0\0\0\x01s\0\0\0\x02aa";
    assert_eq!(value.unwrap()[..], [&head[..], member].concat());
}

#[test]
fn what_is_written_is_read() {
    let GroupRecord::Offset {
        group,
        topic,
        partition,
        ..
    } = offset()
    else {
        unreachable!()
    };
    let gone = GroupRecord::Offset {
        group,
        topic,
        partition,
        committed: None,
    };
    let deleted = GroupRecord::Group {
        group: "g".to_owned(),
        stored: None,
    };
    for record in [offset(), group_record(), gone, deleted] {
        assert_eq!(GroupRecord::decode(&record.encode()), Ok(Some(record)));
    }
}

fn group_record() -> GroupRecord {
    group()
}

/// Kafka 0.10 to 2.2 wrote these.
#[test]
fn older_versions_are_read() {
    let key = Bytes::from_static(b"\0\0\0\x01g\0\x01t\0\0\0\x02");
    for (version, expires) in [(0_u8, 0), (1, 8), (2, 0)] {
        let mut value = vec![0, version];
        value.extend(b"\0\0\0\0\0\0\0\x05\0\x01m\0\0\0\0\0\0\x01\x02");
        value.resize(value.len() + expires, 0);
        let record = LogRecord {
            key: Some(key.clone()),
            value: Some(value.into()),
            ..LogRecord::default()
        };
        let Ok(Some(GroupRecord::Offset {
            committed: Some(committed),
            ..
        })) = GroupRecord::decode(&record)
        else {
            panic!("version {version}");
        };
        assert_eq!((committed.offset, committed.leader_epoch), (Offset(5), -1));
        assert_eq!(committed.committed_at, Timestamp(0x0102));
    }
    let value = b"\0\0\0\x08consumer\0\0\0\x04\xff\xff\xff\xff\0\0\0\x01\0\x01i\0\x01c\0\x02/h\0\0\0\x08\0\0\0\0\0\0\0\0";
    let record = LogRecord {
        key: Some(Bytes::from_static(b"\0\x02\0\x01g")),
        value: Some(Bytes::from_static(value)),
        ..LogRecord::default()
    };
    let Ok(Some(GroupRecord::Group {
        stored: Some(stored),
        ..
    })) = GroupRecord::decode(&record)
    else {
        panic!("version 0");
    };
    assert_eq!((stored.since, stored.protocol), (Timestamp::NONE, None));
    assert_eq!(
        stored.members[0].rebalance_timeout,
        Duration::from_millis(8)
    );
}

#[test]
fn what_is_not_known_is_skipped_or_named() {
    let record = |key: &'static [u8], value: &'static [u8]| LogRecord {
        key: Some(Bytes::from_static(key)),
        value: Some(Bytes::from_static(value)),
        ..LogRecord::default()
    };
    // A group of KIP-848.
    assert_eq!(
        GroupRecord::decode(&record(b"\0\x03\0\x01g", b"")),
        Ok(None)
    );
    let newer = GroupRecord::decode(&record(b"\0\x02\0\x01g", b"\0\x09"));
    let what = "a group";
    assert_eq!(newer, Err(RecordError::Version { what, version: 9 }));
    let keyless = GroupRecord::decode(&LogRecord::default());
    assert_eq!(keyless, Err(RecordError::Illegal("key")));
}

proptest! {
    #[test]
    fn any_bytes_are_read_safely(key in prop::collection::vec(any::<u8>(), 0..40), value in prop::collection::vec(any::<u8>(), 0..200), kind in 0_u8..4) {
        let mut key = key;
        if key.len() > 2 {
            (key[0], key[1]) = (0, kind);
        }
        let record = LogRecord { key: Some(key.into()), value: Some(value.into()), ..LogRecord::default() };
        drop(GroupRecord::decode(&record));
    }

    #[test]
    fn a_record_that_is_cut_is_not_read(length in 0_usize..60) {
        for whole in [offset(), group()] {
            let record = whole.encode();
            let value = record.value.clone().unwrap();
            if length < value.len() {
                let cut = LogRecord { value: Some(value.slice(..length)), ..record };
                prop_assert!(GroupRecord::decode(&cut).is_err());
            }
        }
    }
}
