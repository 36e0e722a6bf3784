//! ListPartitionReassignments (46), version 0: which replicas are on their way (KIP-455). None ever are:
//! [`super::alter_partition_reassignments`] is done at once or refused. As in Kafka, a topic that does
//! not exist is no error.

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
