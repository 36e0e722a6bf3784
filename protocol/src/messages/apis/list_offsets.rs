//! ListOffsets: finds offsets by timestamp, and the first and last of a partition.

use crate::messages::shape::Kind::{Int8, Int16, Int32, Int64, String, Structs};
use crate::messages::shape::{Field, field};

pub(super) const REQUEST: &[Field] = &[
    field("replica_id", Int32),
    field("isolation_level", Int8).since(2),
    field("topics", Structs(LIST_OFFSETS_TOPIC)),
    field("timeout_ms", Int32).since(10),
];
const LIST_OFFSETS_TOPIC: &[Field] = &[
    field("name", String),
    field("partitions", Structs(LIST_OFFSETS_PARTITION)),
];
const LIST_OFFSETS_PARTITION: &[Field] = &[
    field("partition_index", Int32),
    field("current_leader_epoch", Int32).since(4),
    field("timestamp", Int64),
];

pub(super) const RESPONSE: &[Field] = &[
    field("throttle_time_ms", Int32).since(2),
    field("topics", Structs(LIST_OFFSETS_TOPIC_RESPONSE)),
];
const LIST_OFFSETS_TOPIC_RESPONSE: &[Field] = &[
    field("name", String),
    field("partitions", Structs(LIST_OFFSETS_PARTITION_RESPONSE)),
];
const LIST_OFFSETS_PARTITION_RESPONSE: &[Field] = &[
    field("partition_index", Int32),
    field("error_code", Int16),
    field("timestamp", Int64),
    field("offset", Int64),
    field("leader_epoch", Int32).since(4),
];
