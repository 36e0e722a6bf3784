//! What the bytes mean.
//!
//! Every other crate of Brooklet moves bytes; this one says what they are: Kafka's record batches
//! ([`records`]), Kafka's requests and responses ([`messages`]), the frames they travel in
//! ([`frame`]), the hash that picks a partition ([`murmur2`]), what Kafka's own metadata log says
//! of topics ([`metadata_record`]), ZooKeeper's records ([`jute`]), and what all of them are made of
//! ([`wire`]).
//!
//! Invariants:
//! - decoding any bytes returns: it never panics, and what it allocates is bounded by the bytes that
//!   are there and by stated limits, never by a count that the bytes claim;
//! - no I/O, no async, no clock, no unsafe code.
#![forbid(unsafe_code)]

mod checksum;
pub mod frame;
pub mod ids;
pub mod jute;
pub mod messages;
pub mod metadata_record;
pub mod murmur2;
pub mod records;
pub mod wire;

pub use checksum::crc32c;
pub use ids::{
    BrokerId, LeaderEpoch, Monotonic, Offset, PartitionId, Producer, ProducerEpoch, ProducerId,
    Timestamp, TopicName, TopicPartition,
};
