//! ElectLeaders: elects partition leaders.

use crate::messages::shape::Kind::{Int8, Int16, Int32, Int32s, String, Structs};
use crate::messages::shape::{Field, field};

pub(super) const REQUEST: &[Field] = &[
    field("election_type", Int8).since(1),
    field("topic_partitions", Structs(TOPIC_PARTITIONS)).nullable(),
    field("timeout_ms", Int32),
];
const TOPIC_PARTITIONS: &[Field] = &[field("topic", String), field("partitions", Int32s)];

pub(super) const RESPONSE: &[Field] = &[
    field("throttle_time_ms", Int32),
    field("error_code", Int16).since(1),
    field("replica_election_results", Structs(REPLICA_ELECTION_RESULT)),
];
const REPLICA_ELECTION_RESULT: &[Field] = &[
    field("topic", String),
    field("partition_result", Structs(PARTITION_RESULT)),
];
const PARTITION_RESULT: &[Field] = &[
    field("partition_id", Int32),
    field("error_code", Int16),
    field("error_message", String).nullable(),
];
