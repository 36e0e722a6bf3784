//! ListPartitionReassignments (46), version 0: replicas that are being moved (KIP-455). The list is
//! always empty: [`super::alter_partition_reassignments`] completes at once or refuses. As in
//! Kafka, a topic that does not exist is not an error.

use brooklet_protocol::messages::kafka::{
    ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse,
};

use super::call::Call;
use super::context::ApiContext;

pub(super) async fn handle(
    _: &ApiContext,
    _: Call<ListPartitionReassignmentsRequest>,
) -> ListPartitionReassignmentsResponse {
    ListPartitionReassignmentsResponse::default().with_error_message(None)
}
