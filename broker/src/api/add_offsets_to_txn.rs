//! AddOffsetsToTxn (25), versions 0 to 4: adds a group's offsets to a transaction (KIP-98).
//!
//! The partition of `__consumer_offsets` that stores the group becomes part of the transaction.
//! PRODUCER_FENCED is answered from version 2 on.

use brooklet_protocol::messages::kafka::{AddOffsetsToTxnRequest, AddOffsetsToTxnResponse};

use super::call::Call;
use super::context::ApiContext;
use super::groups::{NONE, failed};
use super::transactions::{offsets_partition, producer, value_or_code};

const KNOWS_FENCED: i16 = 2;

pub(super) async fn handle(
    ctx: &ApiContext,
    Call {
        version, request, ..
    }: Call<AddOffsetsToTxnRequest>,
) -> AddOffsetsToTxnResponse {
    let group = request.group_id.as_str();
    let code = match ctx.groups.partition_of(group).await {
        Err(error) => failed(group, &error),
        Ok(partition) => {
            let id = request.transactional_id.as_str();
            let who = producer(request.producer_id, request.producer_epoch);
            let added = ctx
                .transactions
                .add(id, who, [offsets_partition(partition)].into())
                .await;
            let added = value_or_code(id, added, version >= KNOWS_FENCED);
            added.err().map_or(NONE, |code| code.code())
        }
    };
    AddOffsetsToTxnResponse::default().with_error_code(code)
}
