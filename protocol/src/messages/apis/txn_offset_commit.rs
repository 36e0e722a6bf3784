//! TxnOffsetCommit: commits offsets of a group in a transaction.

use crate::messages::shape::Kind::{Int16, Int32, Int64, String, Structs};
use crate::messages::shape::{Field, field};

pub(super) const REQUEST: &[Field] = &[
    field("transactional_id", String),
    field("group_id", String),
    field("producer_id", Int64),
    field("producer_epoch", Int16),
    field("generation_id", Int32).since(3),
    field("member_id", String).since(3),
    field("group_instance_id", String).nullable().since(3),
    field("topics", Structs(REQUEST_TOPIC)),
];
const REQUEST_TOPIC: &[Field] = &[
    field("name", String),
    field("partitions", Structs(REQUEST_PARTITION)),
];
const REQUEST_PARTITION: &[Field] = &[
    field("partition_index", Int32),
    field("committed_offset", Int64),
    field("committed_leader_epoch", Int32).since(2),
    field("committed_metadata", String).nullable(),
];

pub(super) const RESPONSE: &[Field] = &[
    field("throttle_time_ms", Int32),
    field("topics", Structs(RESPONSE_TOPIC)),
];
const RESPONSE_TOPIC: &[Field] = &[
    field("name", String),
    field("partitions", Structs(RESPONSE_PARTITION)),
];
const RESPONSE_PARTITION: &[Field] = &[field("partition_index", Int32), field("error_code", Int16)];
