//! WriteTxnMarkers: writes the markers that end transactions.

use crate::messages::shape::Kind::{Bool, Int16, Int32, Int32s, Int64, String, Structs};
use crate::messages::shape::{Field, field};

pub(super) const REQUEST: &[Field] = &[field("markers", Structs(WRITABLE_TXN_MARKER))];
const WRITABLE_TXN_MARKER: &[Field] = &[
    field("producer_id", Int64),
    field("producer_epoch", Int16),
    field("transaction_result", Bool),
    field("topics", Structs(WRITABLE_TXN_MARKER_TOPIC)),
    field("coordinator_epoch", Int32),
];
const WRITABLE_TXN_MARKER_TOPIC: &[Field] =
    &[field("name", String), field("partition_indexes", Int32s)];

pub(super) const RESPONSE: &[Field] = &[field("markers", Structs(WRITABLE_TXN_MARKER_RESULT))];
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
