//! The records of `__consumer_offsets`, in Kafka's own formats.
//!
//! ```text
//!  key    version i16
//!         0, 1  a committed offset    group string | topic string | partition i32
//!         2     a group               group string
//!
//!  value  of an offset, version 3     offset i64 | leader epoch i32 | metadata string
//!                                     | commit timestamp i64
//!  value  of a group, version 3       protocol type string | generation i32 | protocol string?
//!                                     | leader string? | state since i64 | members
//!         a member                    member id string | instance id string? | client id string
//!                                     | client host string | rebalance timeout i32 (ms)
//!                                     | session timeout i32 (ms) | subscription | assignment
//! ```
//!
//! A string is a length (i16, -1 for null) and UTF-8; subscription and assignment are a length
//! (i32) and what the clients put there. A null value is a tombstone. These versions are written;
//! the older ones that Kafka wrote are read, too.
//!
//! Left out: the flexible version 4 of both values, which Kafka writes only where a feature level
//! asks for it, and the records of the newer group protocols, which are skipped.

use std::time::Duration;

use crate::LogRecord;
pub(super) use brooklet_protocol::wire::fields::Reader;
use brooklet_protocol::wire::fields::{RecordError, put_bytes, put_nullable, put_string};
use brooklet_protocol::{Offset, PartitionId, Timestamp, TopicName};
use bytes::{BufMut, Bytes, BytesMut};

const OFFSET_KEY: i16 = 1;
const GROUP_KEY: i16 = 2;
const OFFSET_VALUE: i16 = 3;
const GROUP_VALUE: i16 = 3;

/// A record about a group. Without a value it is a tombstone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupRecord {
    /// A committed offset.
    Offset {
        /// The group's id.
        group: String,
        /// The topic.
        topic: TopicName,
        /// The partition.
        partition: PartitionId,
        /// `None` deletes the offset.
        committed: Option<CommittedOffset>,
    },
    /// A group, once all members have their assignment, or have left.
    Group {
        /// The group's id.
        group: String,
        /// `None` deletes the group.
        stored: Option<StoredGroup>,
    },
}

/// How far a group has read a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedOffset {
    /// The next record that it will read.
    pub offset: Offset,
    /// The leader epoch of the record before; -1 if unknown (KIP-320).
    pub leader_epoch: i32,
    /// The text that the committer wrote beside it.
    pub metadata: String,
    /// When it was committed.
    pub committed_at: Timestamp,
}

/// A group, as a record describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredGroup {
    /// The kind of the group: "consumer", "connect"; empty if no member has joined yet.
    pub protocol_type: String,
    /// Counts the rebalances.
    pub generation: i32,
    /// How the partitions were assigned: the name of an assignor.
    pub protocol: Option<String>,
    /// The member that made the assignment.
    pub leader: Option<String>,
    /// When it came into its state.
    pub since: Timestamp,
    /// The members, by their ids.
    pub members: Vec<StoredMember>,
}

/// A member, as a record describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredMember {
    /// Given by the coordinator.
    pub id: String,
    /// Given by its owner, if it is a static member (KIP-345).
    pub instance_id: Option<String>,
    /// The name that the client gives itself.
    pub client_id: String,
    /// The host that it connects from.
    pub client_host: String,
    /// How long a rebalance waits for it.
    pub rebalance_timeout: Duration,
    /// How long it may be silent.
    pub session_timeout: Duration,
    /// What it sent to the assignor that was chosen.
    pub subscription: Bytes,
    /// What the leader assigned to it.
    pub assignment: Bytes,
}

impl GroupRecord {
    /// The record that is logged.
    pub fn encode(&self) -> LogRecord {
        let (mut key, mut value) = (BytesMut::new(), BytesMut::new());
        let has_value = match self {
            Self::Offset {
                group,
                topic,
                partition,
                committed,
            } => {
                key.put_i16(OFFSET_KEY);
                put_string(&mut key, group);
                put_string(&mut key, topic.as_str());
                key.put_i32(partition.0);
                committed.as_ref().map(|c| put_offset(&mut value, c))
            }
            Self::Group { group, stored } => {
                key.put_i16(GROUP_KEY);
                put_string(&mut key, group);
                stored.as_ref().map(|stored| put_group(&mut value, stored))
            }
        };
        LogRecord {
            key: Some(key.freeze()),
            value: has_value.map(|()| value.freeze()),
            ..LogRecord::default()
        }
    }

    /// Reads a record; `None` for one of another protocol's.
    ///
    /// # Errors
    /// See [`RecordError`].
    pub fn decode(record: &LogRecord) -> Result<Option<Self>, RecordError> {
        let key = record.key.clone().ok_or(RecordError::Illegal("key"))?;
        let mut key = Reader(key);
        let version = key.i16("the key's version")?;
        if !(0..=GROUP_KEY).contains(&version) {
            return Ok(None);
        }
        let group = key.string("the group id")?;
        let value = record.value.clone().map(Reader);
        Ok(Some(if version == GROUP_KEY {
            let stored = value.map(read_group).transpose()?;
            Self::Group { group, stored }
        } else {
            let topic = key.string("the topic")?;
            Self::Offset {
                group,
                topic: TopicName::new(&topic).map_err(|_| RecordError::Illegal("topic"))?,
                partition: PartitionId(key.i32("the partition")?),
                committed: value.map(read_offset).transpose()?,
            }
        }))
    }
}

fn put_offset(value: &mut BytesMut, committed: &CommittedOffset) {
    value.put_i16(OFFSET_VALUE);
    value.put_i64(committed.offset.0);
    value.put_i32(committed.leader_epoch);
    put_string(value, &committed.metadata);
    value.put_i64(committed.committed_at.0);
}

fn read_offset(mut value: Reader) -> Result<CommittedOffset, RecordError> {
    let version = value.version("an offset", OFFSET_VALUE)?;
    let offset = Offset(value.i64("the offset")?);
    let leader_epoch = if version >= 3 {
        value.i32("the leader epoch")?
    } else {
        -1
    };
    Ok(CommittedOffset {
        offset,
        leader_epoch,
        metadata: value.string("the metadata")?,
        committed_at: Timestamp(value.i64("the timestamp")?),
    })
}

fn put_group(value: &mut BytesMut, stored: &StoredGroup) {
    value.put_i16(GROUP_VALUE);
    put_string(value, &stored.protocol_type);
    value.put_i32(stored.generation);
    put_nullable(value, stored.protocol.as_deref());
    put_nullable(value, stored.leader.as_deref());
    value.put_i64(stored.since.0);
    value.put_i32(i32::try_from(stored.members.len()).expect("members are limited"));
    for member in &stored.members {
        put_string(value, &member.id);
        put_nullable(value, member.instance_id.as_deref());
        put_string(value, &member.client_id);
        put_string(value, &member.client_host);
        value.put_i32(millis(member.rebalance_timeout));
        value.put_i32(millis(member.session_timeout));
        put_bytes(value, &member.subscription);
        put_bytes(value, &member.assignment);
    }
}

fn read_group(mut value: Reader) -> Result<StoredGroup, RecordError> {
    let version = value.version("a group", GROUP_VALUE)?;
    let protocol_type = value.string("the protocol type")?;
    let generation = value.i32("the generation")?;
    let protocol = value.nullable("the protocol")?;
    let leader = value.nullable("the leader")?;
    let since = if version >= 2 {
        Timestamp(value.i64("the timestamp")?)
    } else {
        Timestamp::NONE
    };
    let count = value.i32("the number of members")?;
    let mut members = Vec::new();
    for _ in 0..count {
        members.push(read_member(&mut value, version)?);
    }
    Ok(StoredGroup {
        protocol_type,
        generation,
        protocol,
        leader,
        since,
        members,
    })
}

fn read_member(value: &mut Reader, version: i16) -> Result<StoredMember, RecordError> {
    let id = value.string("the member id")?;
    let instance_id = if version >= 3 {
        value.nullable("the instance id")?
    } else {
        None
    };
    let client_id = value.string("the client id")?;
    let client_host = value.string("the client host")?;
    let rebalance_timeout = if version >= 1 {
        Some(value.duration("the rebalance timeout")?)
    } else {
        None
    };
    let session_timeout = value.duration("the session timeout")?;
    Ok(StoredMember {
        id,
        instance_id,
        client_id,
        client_host,
        rebalance_timeout: rebalance_timeout.unwrap_or(session_timeout),
        session_timeout,
        subscription: value.bytes("the subscription")?,
        assignment: value.bytes("the assignment")?,
    })
}

fn millis(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}
