//! InitProducerId (22), versions 0 to 5: assigns a producer id and epoch (KIP-98).
//!
//! - Without a transactional id: a producer id that was never used before, and epoch 0. An id and
//!   epoch that the producer already has (from version 3 on) are ignored, as in Kafka.
//! - With a transactional id: the producer of that id, with the next epoch. A producer with an
//!   older epoch is fenced, and its open transaction is aborted first. A client that states its
//!   current epoch (from version 3 on, KIP-360) is fenced itself if a newer one exists.
//! - PRODUCER_FENCED is answered from version 4 on, INVALID_PRODUCER_EPOCH before.
//!
//! Left out: two-phase commit (version 6, KIP-939).

use std::time::Duration;

use brooklet_machines::transaction::{Init, TransactionError};
use brooklet_protocol::messages::ErrorCode;
use brooklet_protocol::messages::kafka::{
    InitProducerIdRequest, InitProducerIdResponse, ProducerId,
};

use super::call::Call;
use super::context::ApiContext;
use super::error::ApiError;
use super::transactions::{producer, value_or_code};
use crate::counters::Limit;

/// From this version on clients know PRODUCER_FENCED.
const KNOWS_FENCED: i16 = 4;
/// The producer id and the epoch of no producer.
const NONE: i16 = -1;

pub(super) async fn handle(
    ctx: &ApiContext,
    Call {
        version, request, ..
    }: Call<InitProducerIdRequest>,
) -> InitProducerIdResponse {
    if let Some(id) = &request.transactional_id {
        return match init(ctx, version, id.as_str(), &request).await {
            Ok((id, epoch)) => answer(id, epoch),
            Err(code) => failed(code),
        };
    }
    match ctx.controller.next_producer_id().await {
        Ok(id) => answer(id, 0),
        Err(error) => failed(ApiError::from(error).code),
    }
}

async fn init(
    ctx: &ApiContext,
    version: i16,
    id: &str,
    request: &InitProducerIdRequest,
) -> Result<(i64, i16), ErrorCode> {
    let (known_id, known_epoch) = (request.producer_id, request.producer_epoch);
    let expected = match (known_id.0 == i64::from(NONE), known_epoch == NONE) {
        (true, true) => None,
        (false, false) => Some(producer(known_id, known_epoch)),
        _ => return Err(ErrorCode::InvalidRequest),
    };
    // A negative timeout is as invalid as none.
    let timeout_ms = u64::try_from(request.transaction_timeout_ms).unwrap_or(0);
    let init = Init {
        timeout: Duration::from_millis(timeout_ms),
        expected,
    };
    let begun = ctx.transactions.init(id, init).await;
    if let Ok(Err(TransactionError::TooManyIds(_))) = &begun {
        ctx.counters.rejected(Limit::TransactionalIds);
    }
    let producer = value_or_code(id, begun, version >= KNOWS_FENCED)?;
    Ok((producer.id.0, producer.epoch.0))
}

fn answer(id: i64, epoch: i16) -> InitProducerIdResponse {
    InitProducerIdResponse::default()
        .with_producer_id(ProducerId(id))
        .with_producer_epoch(epoch)
}

fn failed(code: ErrorCode) -> InitProducerIdResponse {
    answer(i64::from(NONE), NONE).with_error_code(code.code())
}
