//! DeleteRecords: moves the log start of partitions.

use crate::messages::shape::Kind::{Int16, Int32, Int64, String, Structs};
use crate::messages::shape::{Field, field};

pub(super) const REQUEST: &[Field] = &[
    field("topics", Structs(DELETE_RECORDS_TOPIC)),
    field("timeout_ms", Int32),
];
const DELETE_RECORDS_TOPIC: &[Field] = &[
    field("name", String),
    field("partitions", Structs(DELETE_RECORDS_PARTITION)),
];
const DELETE_RECORDS_PARTITION: &[Field] =
    &[field("partition_index", Int32), field("offset", Int64)];

pub(super) const RESPONSE: &[Field] = &[
    field("throttle_time_ms", Int32),
    field("topics", Structs(DELETE_RECORDS_TOPIC_RESULT)),
];
const DELETE_RECORDS_TOPIC_RESULT: &[Field] = &[
    field("name", String),
    field("partitions", Structs(DELETE_RECORDS_PARTITION_RESULT)),
];
const DELETE_RECORDS_PARTITION_RESULT: &[Field] = &[
    field("partition_index", Int32),
    field("low_watermark", Int64),
    field("error_code", Int16),
];
