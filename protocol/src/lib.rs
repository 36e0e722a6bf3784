//! The formats that Brooklet reads and writes.
//!
//! Every other crate of Brooklet moves bytes; this one defines what they mean: Kafka's record
//! batches ([`records`]), Kafka's requests and responses ([`messages`]), the frames they travel in
//! ([`frame`]), the hash that picks a partition ([`murmur2`]), the topics in Kafka's own metadata
//! log ([`metadata_record`]), ZooKeeper's records ([`jute`]), and the primitives that all of them
//! share ([`wire`]).
//!
//! Invariants:
//! - decoding any bytes returns: it never panics, and what it allocates is bounded by the bytes
//!   at hand and by stated limits, never by a count that the bytes claim;
//! - no I/O, no async, no clock, no unsafe code.
#![forbid(unsafe_code)]

pub mod ids;
pub mod wire;

mod checksum;
pub mod records;

pub mod frame;
pub mod messages;

pub mod murmur2;

pub mod metadata_record;

pub mod jute;

pub use checksum::crc32c;
pub use ids::{
    BrokerId, Isolation, LeaderEpoch, Monotonic, Offset, PartitionId, Producer, ProducerEpoch,
    ProducerId, Timestamp, TopicName, TopicPartition,
};
