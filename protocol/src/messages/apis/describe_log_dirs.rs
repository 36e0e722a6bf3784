//! DescribeLogDirs: lists log directories and the sizes of the partitions in them.

use crate::messages::shape::Kind::{Bool, Int16, Int32, Int32s, Int64, String, Structs};
use crate::messages::shape::{Field, field};

pub(super) const REQUEST: &[Field] =
    &[field("topics", Structs(DESCRIBABLE_LOG_DIR_TOPIC)).nullable()];
const DESCRIBABLE_LOG_DIR_TOPIC: &[Field] = &[field("topic", String), field("partitions", Int32s)];

pub(super) const RESPONSE: &[Field] = &[
    field("throttle_time_ms", Int32),
    field("error_code", Int16).since(3),
    field("results", Structs(DESCRIBE_LOG_DIRS_RESULT)),
];
const DESCRIBE_LOG_DIRS_RESULT: &[Field] = &[
    field("error_code", Int16),
    field("log_dir", String),
    field("topics", Structs(DESCRIBE_LOG_DIRS_TOPIC)),
    field("total_bytes", Int64).since(4),
    field("usable_bytes", Int64).since(4),
];
const DESCRIBE_LOG_DIRS_TOPIC: &[Field] = &[
    field("name", String),
    field("partitions", Structs(DESCRIBE_LOG_DIRS_PARTITION)),
];
const DESCRIBE_LOG_DIRS_PARTITION: &[Field] = &[
    field("partition_index", Int32),
    field("partition_size", Int64),
    field("offset_lag", Int64),
    field("is_future_key", Bool),
];
