//! FindCoordinator: finds the broker that coordinates a group or a transactional id.

use crate::messages::shape::Kind::{Int8, Int16, Int32, String, Strings, Structs};
use crate::messages::shape::{Field, field};

pub(super) const REQUEST: &[Field] = &[
    field("key", String).until(3),
    field("key_type", Int8).since(1),
    field("coordinator_keys", Strings).since(4),
];

pub(super) const RESPONSE: &[Field] = &[
    field("throttle_time_ms", Int32).since(1),
    field("error_code", Int16).until(3),
    field("error_message", String).nullable().since(1).until(3),
    field("node_id", Int32).until(3),
    field("host", String).until(3),
    field("port", Int32).until(3),
    field("coordinators", Structs(COORDINATOR)).since(4),
];
const COORDINATOR: &[Field] = &[
    field("key", String),
    field("node_id", Int32),
    field("host", String),
    field("port", Int32),
    field("error_code", Int16),
    field("error_message", String).nullable(),
];
