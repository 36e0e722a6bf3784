//! Changing the key: through a topic, with time travelling along.
//!
//! Records of equal key must meet in one task, so `key_by` writes them to a topic partitioned by
//! the new key, and a second stage reads it. What must not happen on the way is that time becomes
//! a matter of luck: which sender was read first, how batches were cut. Hence the rule:
//!
//! - every record carries its event time, its sender's position and stream time ([`origin`]);
//! - whenever a sender's stream time advances, the partitions that did not get the record get a
//!   *marker* at the same position, so that every receiver sees every step of every sender's time;
//! - at the end of each batch the partitions that have not heard of its last position get a marker,
//!   so that receivers never wait for a sender that has nothing for them;
//! - at the end of a bounded input each partition gets an *end*; if idleness was asked for, a
//!   sender that has had nothing to read for that long writes *idle* to each partition;
//! - the receiver releases records in the order of positions, and its stream time is the minimum
//!   over the senders ([`merge`]).
//!
//! So the same records have the same result whatever the number of partitions and threads. Kafka
//! Streams takes the highest timestamp that happened to arrive: skew between its senders becomes
//! lateness, differently in each run.
//!
//! One limit: results that several tasks emit in one moment are merged in the order of the tasks
//! when they are repartitioned again. The number of partitions of the first repartition then shows
//! in the order of the second's input, though not in its time; the last bit of a sum of floats may
//! differ.

pub(crate) mod origin;

mod sender;

mod merge;
mod receiver;

pub(crate) use receiver::Receiver;
pub(crate) use sender::KeyBy;
