//! AddPartitionsToTxn: adds partitions to a transaction; version 4 is one broker asking another
//! (KIP-890).

use crate::messages::shape::Kind::{Bool, Int16, Int32, Int32s, Int64, String, Structs};
use crate::messages::shape::{Field, field};

pub(super) const REQUEST: &[Field] = &[
    field("transactions", Structs(ADD_PARTITIONS_TO_TXN_TRANSACTION)).since(4),
    field("v3_and_below_transactional_id", String).until(3),
    field("v3_and_below_producer_id", Int64).until(3),
    field("v3_and_below_producer_epoch", Int16).until(3),
    field("v3_and_below_topics", Structs(ADD_PARTITIONS_TO_TXN_TOPIC)).until(3),
];
const ADD_PARTITIONS_TO_TXN_TRANSACTION: &[Field] = &[
    field("transactional_id", String),
    field("producer_id", Int64),
    field("producer_epoch", Int16),
    field("verify_only", Bool),
    field("topics", Structs(ADD_PARTITIONS_TO_TXN_TOPIC)),
];
const ADD_PARTITIONS_TO_TXN_TOPIC: &[Field] = &[field("name", String), field("partitions", Int32s)];

pub(super) const RESPONSE: &[Field] = &[
    field("throttle_time_ms", Int32),
    field("error_code", Int16).since(4),
    field(
        "results_by_transaction",
        Structs(ADD_PARTITIONS_TO_TXN_RESULT),
    )
    .since(4),
    field(
        "results_by_topic_v3_and_below",
        Structs(ADD_PARTITIONS_TO_TXN_TOPIC_RESULT),
    )
    .until(3),
];
const ADD_PARTITIONS_TO_TXN_RESULT: &[Field] = &[
    field("transactional_id", String),
    field("topic_results", Structs(ADD_PARTITIONS_TO_TXN_TOPIC_RESULT)),
];
const ADD_PARTITIONS_TO_TXN_TOPIC_RESULT: &[Field] = &[
    field("name", String),
    field(
        "results_by_partition",
        Structs(ADD_PARTITIONS_TO_TXN_PARTITION_RESULT),
    ),
];
const ADD_PARTITIONS_TO_TXN_PARTITION_RESULT: &[Field] = &[
    field("partition_index", Int32),
    field("partition_error_code", Int16),
];
