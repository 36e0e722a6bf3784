//! The shapes of the messages of transactions (KIP-98, KIP-664, KIP-890).

use super::shape::Kind::{Bool, Int16, Int32, Int32s, Int64, Int64s, String, Strings, Structs};
use super::shape::{Field, field};

/// Of the requests.
pub(super) mod requests {
    use super::{
        Bool, Field, Int16, Int32, Int32s, Int64, Int64s, String, Strings, Structs, field,
    };

    pub(in super::super) const ADD_PARTITIONS_TO_TXN: &[Field] = &[
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
    const ADD_PARTITIONS_TO_TXN_TOPIC: &[Field] =
        &[field("name", String), field("partitions", Int32s)];

    pub(in super::super) const ADD_OFFSETS_TO_TXN: &[Field] = &[
        field("transactional_id", String),
        field("producer_id", Int64),
        field("producer_epoch", Int16),
        field("group_id", String),
    ];

    pub(in super::super) const END_TXN: &[Field] = &[
        field("transactional_id", String),
        field("producer_id", Int64),
        field("producer_epoch", Int16),
        field("committed", Bool),
    ];

    pub(in super::super) const WRITE_TXN_MARKERS: &[Field] =
        &[field("markers", Structs(WRITABLE_TXN_MARKER))];
    const WRITABLE_TXN_MARKER: &[Field] = &[
        field("producer_id", Int64),
        field("producer_epoch", Int16),
        field("transaction_result", Bool),
        field("topics", Structs(WRITABLE_TXN_MARKER_TOPIC)),
        field("coordinator_epoch", Int32),
    ];
    const WRITABLE_TXN_MARKER_TOPIC: &[Field] =
        &[field("name", String), field("partition_indexes", Int32s)];

    pub(in super::super) const TXN_OFFSET_COMMIT: &[Field] = &[
        field("transactional_id", String),
        field("group_id", String),
        field("producer_id", Int64),
        field("producer_epoch", Int16),
        field("generation_id", Int32).since(3),
        field("member_id", String).since(3),
        field("group_instance_id", String).nullable().since(3),
        field("topics", Structs(TXN_OFFSET_COMMIT_TOPIC)),
    ];
    const TXN_OFFSET_COMMIT_TOPIC: &[Field] = &[
        field("name", String),
        field("partitions", Structs(TXN_OFFSET_COMMIT_PARTITION)),
    ];
    const TXN_OFFSET_COMMIT_PARTITION: &[Field] = &[
        field("partition_index", Int32),
        field("committed_offset", Int64),
        field("committed_leader_epoch", Int32).since(2),
        field("committed_metadata", String).nullable(),
    ];

    pub(in super::super) const DESCRIBE_TRANSACTIONS: &[Field] =
        &[field("transactional_ids", Strings)];

    pub(in super::super) const LIST_TRANSACTIONS: &[Field] = &[
        field("state_filters", Strings),
        field("producer_id_filters", Int64s),
        field("duration_filter", Int64).since(1),
        field("transactional_id_pattern", String)
            .nullable()
            .since(2),
    ];
}

/// Of the responses.
pub(super) mod responses {
    use super::{Field, Int16, Int32, Int32s, Int64, String, Strings, Structs, field};

    pub(in super::super) const ADD_PARTITIONS_TO_TXN: &[Field] = &[
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

    pub(in super::super) const ADD_OFFSETS_TO_TXN: &[Field] =
        &[field("throttle_time_ms", Int32), field("error_code", Int16)];

    pub(in super::super) const END_TXN: &[Field] = &[
        field("throttle_time_ms", Int32),
        field("error_code", Int16),
        field("producer_id", Int64).since(5),
        field("producer_epoch", Int16).since(5),
    ];

    pub(in super::super) const WRITE_TXN_MARKERS: &[Field] =
        &[field("markers", Structs(WRITABLE_TXN_MARKER_RESULT))];
    const WRITABLE_TXN_MARKER_RESULT: &[Field] = &[
        field("producer_id", Int64),
        field("topics", Structs(WRITABLE_TXN_MARKER_TOPIC_RESULT)),
    ];
    const WRITABLE_TXN_MARKER_TOPIC_RESULT: &[Field] = &[
        field("name", String),
        field("partitions", Structs(WRITABLE_TXN_MARKER_PARTITION_RESULT)),
    ];
    const WRITABLE_TXN_MARKER_PARTITION_RESULT: &[Field] =
        &[field("partition_index", Int32), field("error_code", Int16)];

    pub(in super::super) const TXN_OFFSET_COMMIT: &[Field] = &[
        field("throttle_time_ms", Int32),
        field("topics", Structs(TXN_OFFSET_COMMIT_TOPIC)),
    ];
    const TXN_OFFSET_COMMIT_TOPIC: &[Field] = &[
        field("name", String),
        field("partitions", Structs(TXN_OFFSET_COMMIT_PARTITION)),
    ];
    const TXN_OFFSET_COMMIT_PARTITION: &[Field] =
        &[field("partition_index", Int32), field("error_code", Int16)];

    pub(in super::super) const DESCRIBE_TRANSACTIONS: &[Field] = &[
        field("throttle_time_ms", Int32),
        field("transaction_states", Structs(DESCRIBED_TRANSACTION)),
    ];
    const DESCRIBED_TRANSACTION: &[Field] = &[
        field("error_code", Int16),
        field("transactional_id", String),
        field("transaction_state", String),
        field("transaction_timeout_ms", Int32),
        field("transaction_start_time_ms", Int64),
        field("producer_id", Int64),
        field("producer_epoch", Int16),
        field("topics", Structs(DESCRIBED_TRANSACTION_TOPIC)),
    ];
    const DESCRIBED_TRANSACTION_TOPIC: &[Field] =
        &[field("topic", String), field("partitions", Int32s)];

    pub(in super::super) const LIST_TRANSACTIONS: &[Field] = &[
        field("throttle_time_ms", Int32),
        field("error_code", Int16),
        field("unknown_state_filters", Strings),
        field("transaction_states", Structs(LISTED_TRANSACTION)),
    ];
    const LISTED_TRANSACTION: &[Field] = &[
        field("transactional_id", String),
        field("producer_id", Int64),
        field("transaction_state", String),
    ];
}
