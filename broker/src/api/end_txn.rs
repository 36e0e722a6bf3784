//! EndTxn (26), versions 0 to 5: commits or aborts a transaction (KIP-98).
//!
//! - Answered once the outcome is decided and synced; the markers follow.
//! - Version 5 bumps the epoch, and the response has the producer's new one (KIP-890), so that late
//!   batches of this transaction are fenced. A transaction without partitions may be aborted.
//! - PRODUCER_FENCED is answered from version 2 on.

use brooklet_machines::transaction::End;
use brooklet_protocol::messages::kafka::{EndTxnRequest, EndTxnResponse, ProducerId};

use super::call::Call;
use super::context::ApiContext;
use super::transactions::{producer, value_or_code};

const KNOWS_FENCED: i16 = 2;
const RAISES_EPOCH: i16 = 5;

pub(super) async fn handle(
    ctx: &ApiContext,
    Call {
        version, request, ..
    }: Call<EndTxnRequest>,
) -> EndTxnResponse {
    let id = request.transactional_id.as_str();
    let end = End {
        producer: producer(request.producer_id, request.producer_epoch),
        committed: request.committed,
        raises_epoch: version >= RAISES_EPOCH,
    };
    let ended = ctx.transactions.end(id, end).await;
    match value_or_code(id, ended, version >= KNOWS_FENCED) {
        Ok(next) => EndTxnResponse::default()
            .with_producer_id(ProducerId(next.id.0))
            .with_producer_epoch(next.epoch.0),
        Err(code) => EndTxnResponse::default()
            .with_error_code(code.code())
            .with_producer_id(ProducerId(-1))
            .with_producer_epoch(-1),
    }
}
