//! What stands in `__transaction_state`: Kafka's own record formats.
//!
//! ```text
//!  key    version i16 = 0 | transactional id string
//!
//!  value  version i16 = 1 | producer id i64 | producer epoch i16 | timeout i32 (ms) | status i8
//!         | partitions: topic compact string, numbers [i32]; null in state Empty, and only there
//!         | last update i64 | start i64
//!         | tagged  0  previous producer id i64      left out where it is -1
//!                   1  next producer id i64          left out where it is -1
//!                   2  version of transactions i16   left out where it is 0
//! ```
//!
//! A null value is a tombstone. Version 1 is flexible and is the one that is written, since only it
//! can say which producer id follows; version 0, which Kafka wrote before 4.0, ends before the
//! tagged fields and is read, too.

use std::collections::{BTreeMap, BTreeSet};

use brooklet_protocol::wire::fields::{
    Reader, RecordError, put_compact_length, put_compact_string, put_string, put_varint,
};
use brooklet_protocol::{
    PartitionId, Producer, ProducerEpoch, ProducerId, Timestamp, TopicName, TopicPartition,
};
use bytes::{BufMut, Bytes, BytesMut};

use super::state::{Status, Transaction};
use crate::LogRecord;

const KEY: i16 = 0;
const VALUE: i16 = 1;

/// The length of a null compact array: Kafka expects null in state Empty, and an array in all
/// others.
const NULL: u32 = 0;

const PREVIOUS_ID: u32 = 0;
const NEXT_ID: u32 = 1;
const CLIENT_VERSION: u32 = 2;

/// All that is known of an id, as it is logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionRecord {
    /// The transactional id.
    pub id: String,
    /// `None` forgets the id.
    pub known: Option<Transaction>,
}

impl TransactionRecord {
    pub(super) fn encode(id: &str, known: Option<&Transaction>) -> LogRecord {
        let mut key = BytesMut::new();
        key.put_i16(KEY);
        put_string(&mut key, id);
        LogRecord {
            key: Some(key.freeze()),
            value: known.map(encode_value),
            ..LogRecord::default()
        }
    }

    /// Reads a record; `None` if its key has an unknown version.
    ///
    /// # Errors
    /// See [`RecordError`].
    pub fn decode(record: &LogRecord) -> Result<Option<Self>, RecordError> {
        let key = record.key.clone().ok_or(RecordError::Illegal("key"))?;
        let mut key = Reader(key);
        if key.i16("the key's version")? != KEY {
            return Ok(None);
        }
        let id = key.string("the transactional id")?;
        let known = record.value.clone().map(decode_value).transpose()?;
        Ok(Some(Self { id, known }))
    }
}

fn encode_value(known: &Transaction) -> Bytes {
    let mut value = BytesMut::new();
    value.put_i16(VALUE);
    value.put_i64(known.producer.id.0);
    value.put_i16(known.producer.epoch.0);
    value.put_i32(i32::try_from(known.timeout.as_millis()).unwrap_or(i32::MAX));
    value.put_i8(known.status as i8);
    if known.status == Status::Empty {
        put_varint(&mut value, NULL);
    } else {
        put_partitions(&mut value, &known.partitions);
    }
    value.put_i64(known.updated.0);
    value.put_i64(known.started.0);
    let ids = [(PREVIOUS_ID, known.previous_id), (NEXT_ID, known.next_id)];
    let ids = ids
        .into_iter()
        .filter_map(|(tag, id)| Some((tag, id?.0.to_be_bytes().to_vec())));
    let mut tagged: Vec<_> = ids.collect();
    if known.client_version != 0 {
        tagged.push((CLIENT_VERSION, known.client_version.to_be_bytes().to_vec()));
    }
    put_varint(&mut value, tagged.len() as u32);
    for (tag, bytes) in tagged {
        put_varint(&mut value, tag);
        put_varint(&mut value, bytes.len() as u32);
        value.put_slice(&bytes);
    }
    value.freeze()
}

fn put_partitions(value: &mut BytesMut, partitions: &BTreeSet<TopicPartition>) {
    let mut by_topic = BTreeMap::<_, Vec<_>>::new();
    for at in partitions {
        by_topic.entry(&at.topic).or_default().push(at.partition);
    }
    put_compact_length(value, by_topic.len());
    for (topic, numbers) in by_topic {
        put_compact_string(value, topic.as_str());
        put_compact_length(value, numbers.len());
        for number in numbers {
            value.put_i32(number.0);
        }
        put_varint(value, 0);
    }
}

fn decode_value(value: Bytes) -> Result<Transaction, RecordError> {
    let mut value = Reader(value);
    let version = value.version("a transaction", VALUE)?;
    let is_flexible = version >= 1;
    let producer = Producer {
        id: ProducerId(value.i64("the producer id")?),
        epoch: ProducerEpoch(value.i16("the producer epoch")?),
    };
    let timeout = value.duration("the timeout")?;
    let status = status(value.i8("the status")?)?;
    let partitions = partitions(&mut value, is_flexible)?;
    let mut known = Transaction {
        producer,
        previous_id: None,
        next_id: None,
        timeout,
        status,
        partitions,
        updated: Timestamp(value.i64("the last update")?),
        started: Timestamp(value.i64("the start")?),
        client_version: 0,
    };
    let tagged = if is_flexible {
        value.tagged("the tagged fields")?
    } else {
        Vec::new()
    };
    for (tag, mut field) in tagged {
        let mut id = || {
            field
                .i64("a producer id")
                .map(|id| (id >= 0).then_some(ProducerId(id)))
        };
        match tag {
            PREVIOUS_ID => known.previous_id = id()?,
            NEXT_ID => known.next_id = id()?,
            CLIENT_VERSION => known.client_version = field.i16("the version of transactions")?,
            _ => {}
        }
    }
    Ok(known)
}

fn status(number: i8) -> Result<Status, RecordError> {
    let found = Status::ALL
        .into_iter()
        .find(|status| *status as i8 == number);
    found.ok_or(RecordError::Illegal("status"))
}

fn partitions(
    value: &mut Reader,
    is_flexible: bool,
) -> Result<BTreeSet<TopicPartition>, RecordError> {
    const WHAT: &str = "the partitions";
    let length = |value: &mut Reader| {
        if is_flexible {
            return Ok(value.compact_length(WHAT)?.unwrap_or(0));
        }
        // -1 is null.
        value
            .i32(WHAT)
            .map(|count| usize::try_from(count).unwrap_or(0))
    };
    let mut partitions = BTreeSet::new();
    for _ in 0..length(value)? {
        let name = if is_flexible {
            value.compact_string("a topic")?
        } else {
            value.string("a topic")?
        };
        let topic = TopicName::new(&name).map_err(|_| RecordError::Illegal("topic"))?;
        for _ in 0..length(value)? {
            partitions.insert(TopicPartition {
                topic: topic.clone(),
                partition: PartitionId(value.i32("a partition")?),
            });
        }
        if is_flexible {
            value.tagged(WHAT)?;
        }
    }
    Ok(partitions)
}
