//! DescribeCluster: describes the cluster and its brokers.

use crate::messages::shape::Kind::{Bool, Int8, Int16, Int32, String, Structs};
use crate::messages::shape::{Field, field};

pub(super) const REQUEST: &[Field] = &[
    field("include_cluster_authorized_operations", Bool),
    field("endpoint_type", Int8).since(1),
    field("include_fenced_brokers", Bool).since(2),
];

pub(super) const RESPONSE: &[Field] = &[
    field("throttle_time_ms", Int32),
    field("error_code", Int16),
    field("error_message", String).nullable(),
    field("endpoint_type", Int8).since(1),
    field("cluster_id", String),
    field("controller_id", Int32),
    field("brokers", Structs(DESCRIBE_CLUSTER_BROKER)),
    field("cluster_authorized_operations", Int32),
];
const DESCRIBE_CLUSTER_BROKER: &[Field] = &[
    field("broker_id", Int32),
    field("host", String),
    field("port", Int32),
    field("rack", String).nullable(),
    field("is_fenced", Bool).since(2),
];
