//! DeleteTopics: deletes topics by name or id.

use crate::messages::shape::Kind::{Int16, Int32, String, Strings, Structs, Uuid};
use crate::messages::shape::{Field, field};

pub(super) const REQUEST: &[Field] = &[
    field("topics", Structs(DELETE_TOPIC_STATE)).since(6),
    field("topic_names", Strings).until(5),
    field("timeout_ms", Int32),
];
const DELETE_TOPIC_STATE: &[Field] = &[field("name", String).nullable(), field("topic_id", Uuid)];

pub(super) const RESPONSE: &[Field] = &[
    field("throttle_time_ms", Int32),
    field("responses", Structs(DELETABLE_TOPIC_RESULT)),
];
const DELETABLE_TOPIC_RESULT: &[Field] = &[
    field("name", String).nullable(),
    field("topic_id", Uuid).since(6),
    field("error_code", Int16),
    field("error_message", String).nullable().since(5),
];
