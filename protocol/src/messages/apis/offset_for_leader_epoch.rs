//! OffsetForLeaderEpoch: finds where a leader epoch ended, so that a consumer notices truncation
//! (KIP-320).

use crate::messages::shape::Kind::{Int16, Int32, Int64, String, Structs};
use crate::messages::shape::{Field, field};

pub(super) const REQUEST: &[Field] = &[
    field("replica_id", Int32).since(3),
    field("topics", Structs(REQUEST_TOPIC)),
];
const REQUEST_TOPIC: &[Field] = &[
    field("topic", String),
    field("partitions", Structs(OFFSET_FOR_LEADER_PARTITION)),
];
const OFFSET_FOR_LEADER_PARTITION: &[Field] = &[
    field("partition", Int32),
    field("current_leader_epoch", Int32),
    field("leader_epoch", Int32),
];

pub(super) const RESPONSE: &[Field] = &[
    field("throttle_time_ms", Int32),
    field("topics", Structs(RESPONSE_TOPIC)),
];
const RESPONSE_TOPIC: &[Field] = &[
    field("topic", String),
    field("partitions", Structs(EPOCH_END_OFFSET)),
];
const EPOCH_END_OFFSET: &[Field] = &[
    field("error_code", Int16),
    field("partition", Int32),
    field("leader_epoch", Int32),
    field("end_offset", Int64),
];
