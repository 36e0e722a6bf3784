//! ListPartitionReassignments: lists replicas that are being moved (KIP-455).

use crate::messages::shape::Kind::{Int16, Int32, Int32s, String, Structs};
use crate::messages::shape::{Field, field};

pub(super) const REQUEST: &[Field] = &[
    field("timeout_ms", Int32),
    field("topics", Structs(LIST_PARTITION_REASSIGNMENTS_TOPIC)).nullable(),
];
const LIST_PARTITION_REASSIGNMENTS_TOPIC: &[Field] =
    &[field("name", String), field("partition_indexes", Int32s)];

pub(super) const RESPONSE: &[Field] = &[
    field("throttle_time_ms", Int32),
    field("error_code", Int16),
    field("error_message", String).nullable(),
    field("topics", Structs(ONGOING_TOPIC)),
];
const ONGOING_TOPIC: &[Field] = &[
    field("name", String),
    field("partitions", Structs(ONGOING_PARTITION)),
];
const ONGOING_PARTITION: &[Field] = &[
    field("partition_index", Int32),
    field("replicas", Int32s),
    field("adding_replicas", Int32s),
    field("removing_replicas", Int32s),
];
