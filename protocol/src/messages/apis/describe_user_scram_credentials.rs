//! DescribeUserScramCredentials: lists SCRAM credentials of users (KIP-554).

use crate::messages::shape::Kind::{Int8, Int16, Int32, String, Structs};
use crate::messages::shape::{Field, field};

pub(super) const REQUEST: &[Field] = &[field("users", Structs(USER_NAME)).nullable()];
const USER_NAME: &[Field] = &[field("name", String)];

pub(super) const RESPONSE: &[Field] = &[
    field("throttle_time_ms", Int32),
    field("error_code", Int16),
    field("error_message", String).nullable(),
    field("results", Structs(SCRAM_RESULT)),
];
const SCRAM_RESULT: &[Field] = &[
    field("user", String),
    field("error_code", Int16),
    field("error_message", String).nullable(),
    field("credential_infos", Structs(SCRAM_CREDENTIAL)),
];
const SCRAM_CREDENTIAL: &[Field] = &[field("mechanism", Int8), field("iterations", Int32)];
