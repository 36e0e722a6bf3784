//! The shapes of the messages that ask who leads what, move replicas, and speak of features and of
//! the metrics of clients.

use super::shape::Kind::{
    Bool, Bytes, Int8, Int8s, Int16, Int32, Int32s, Int64, String, Strings, Struct, Structs, Uuid,
};
use super::shape::{Field, field};

/// A place in a list of partitions, from where the next page goes on.
const CURSOR: &[Field] = &[field("topic_name", String), field("partition_index", Int32)];

/// Of the requests.
pub(super) mod requests {
    use super::{
        Bool, Bytes, CURSOR, Field, Int8, Int16, Int32, Int32s, String, Struct, Structs, Uuid,
        field,
    };

    pub(in super::super) const OFFSET_FOR_LEADER_EPOCH: &[Field] = &[
        field("replica_id", Int32).since(3),
        field("topics", Structs(OFFSET_FOR_LEADER_TOPIC)),
    ];
    const OFFSET_FOR_LEADER_TOPIC: &[Field] = &[
        field("topic", String),
        field("partitions", Structs(OFFSET_FOR_LEADER_PARTITION)),
    ];
    const OFFSET_FOR_LEADER_PARTITION: &[Field] = &[
        field("partition", Int32),
        field("current_leader_epoch", Int32),
        field("leader_epoch", Int32),
    ];

    pub(in super::super) const ELECT_LEADERS: &[Field] = &[
        field("election_type", Int8).since(1),
        field("topic_partitions", Structs(TOPIC_PARTITIONS)).nullable(),
        field("timeout_ms", Int32),
    ];
    const TOPIC_PARTITIONS: &[Field] = &[field("topic", String), field("partitions", Int32s)];

    pub(in super::super) const ALTER_PARTITION_REASSIGNMENTS: &[Field] = &[
        field("timeout_ms", Int32),
        field("allow_replication_factor_change", Bool).since(1),
        field("topics", Structs(REASSIGNABLE_TOPIC)),
    ];
    const REASSIGNABLE_TOPIC: &[Field] = &[
        field("name", String),
        field("partitions", Structs(REASSIGNABLE_PARTITION)),
    ];
    const REASSIGNABLE_PARTITION: &[Field] = &[
        field("partition_index", Int32),
        field("replicas", Int32s).nullable(),
    ];

    pub(in super::super) const LIST_PARTITION_REASSIGNMENTS: &[Field] = &[
        field("timeout_ms", Int32),
        field("topics", Structs(LIST_PARTITION_REASSIGNMENTS_TOPIC)).nullable(),
    ];
    const LIST_PARTITION_REASSIGNMENTS_TOPIC: &[Field] =
        &[field("name", String), field("partition_indexes", Int32s)];

    pub(in super::super) const UPDATE_FEATURES: &[Field] = &[
        field("timeout_ms", Int32),
        field("feature_updates", Structs(FEATURE_UPDATE)),
        field("validate_only", Bool).since(1),
    ];
    const FEATURE_UPDATE: &[Field] = &[
        field("feature", String),
        field("max_version_level", Int16),
        field("allow_downgrade", Bool).until(0),
        field("upgrade_type", Int8).since(1),
    ];

    pub(in super::super) const GET_TELEMETRY_SUBSCRIPTIONS: &[Field] =
        &[field("client_instance_id", Uuid)];

    pub(in super::super) const PUSH_TELEMETRY: &[Field] = &[
        field("client_instance_id", Uuid),
        field("subscription_id", Int32),
        field("terminating", Bool),
        field("compression_type", Int8),
        field("metrics", Bytes),
    ];

    pub(in super::super) const DESCRIBE_TOPIC_PARTITIONS: &[Field] = &[
        field("topics", Structs(TOPIC)),
        field("response_partition_limit", Int32),
        field("cursor", Struct(CURSOR)).nullable(),
    ];
    const TOPIC: &[Field] = &[field("name", String)];
}

/// Of the responses.
pub(super) mod responses {
    use super::{
        Bool, CURSOR, Field, Int8s, Int16, Int32, Int32s, Int64, String, Strings, Struct, Structs,
        Uuid, field,
    };

    pub(in super::super) const OFFSET_FOR_LEADER_EPOCH: &[Field] = &[
        field("throttle_time_ms", Int32),
        field("topics", Structs(OFFSET_FOR_LEADER_TOPIC)),
    ];
    const OFFSET_FOR_LEADER_TOPIC: &[Field] = &[
        field("topic", String),
        field("partitions", Structs(EPOCH_END_OFFSET)),
    ];
    const EPOCH_END_OFFSET: &[Field] = &[
        field("error_code", Int16),
        field("partition", Int32),
        field("leader_epoch", Int32),
        field("end_offset", Int64),
    ];

    pub(in super::super) const ELECT_LEADERS: &[Field] = &[
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

    pub(in super::super) const ALTER_PARTITION_REASSIGNMENTS: &[Field] = &[
        field("throttle_time_ms", Int32),
        field("allow_replication_factor_change", Bool).since(1),
        field("error_code", Int16),
        field("error_message", String).nullable(),
        field("responses", Structs(REASSIGNABLE_TOPIC)),
    ];
    const REASSIGNABLE_TOPIC: &[Field] = &[
        field("name", String),
        field("partitions", Structs(REASSIGNABLE_PARTITION)),
    ];
    const REASSIGNABLE_PARTITION: &[Field] = &[
        field("partition_index", Int32),
        field("error_code", Int16),
        field("error_message", String).nullable(),
    ];

    pub(in super::super) const LIST_PARTITION_REASSIGNMENTS: &[Field] = &[
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

    pub(in super::super) const UPDATE_FEATURES: &[Field] = &[
        field("throttle_time_ms", Int32),
        field("error_code", Int16),
        field("error_message", String).nullable(),
        field("results", Structs(UPDATABLE_FEATURE)).until(1),
    ];
    const UPDATABLE_FEATURE: &[Field] = &[
        field("feature", String),
        field("error_code", Int16),
        field("error_message", String).nullable(),
    ];

    pub(in super::super) const GET_TELEMETRY_SUBSCRIPTIONS: &[Field] = &[
        field("throttle_time_ms", Int32),
        field("error_code", Int16),
        field("client_instance_id", Uuid),
        field("subscription_id", Int32),
        field("accepted_compression_types", Int8s),
        field("push_interval_ms", Int32),
        field("telemetry_max_bytes", Int32),
        field("delta_temporality", Bool),
        field("requested_metrics", Strings),
    ];

    pub(in super::super) const PUSH_TELEMETRY: &[Field] =
        &[field("throttle_time_ms", Int32), field("error_code", Int16)];

    pub(in super::super) const DESCRIBE_TOPIC_PARTITIONS: &[Field] = &[
        field("throttle_time_ms", Int32),
        field("topics", Structs(TOPIC)),
        field("next_cursor", Struct(CURSOR)).nullable(),
    ];
    const TOPIC: &[Field] = &[
        field("error_code", Int16),
        field("name", String).nullable(),
        field("topic_id", Uuid),
        field("is_internal", Bool),
        field("partitions", Structs(PARTITION)),
        field("topic_authorized_operations", Int32),
    ];
    const PARTITION: &[Field] = &[
        field("error_code", Int16),
        field("partition_index", Int32),
        field("leader_id", Int32),
        field("leader_epoch", Int32),
        field("replica_nodes", Int32s),
        field("isr_nodes", Int32s),
        field("eligible_leader_replicas", Int32s).nullable(),
        field("last_known_elr", Int32s).nullable(),
        field("offline_replicas", Int32s),
    ];
}
