//! InitProducerId (22), versions 0 to 5: gives an idempotent producer its identity (KIP-98).
//!
//! - Without a transactional id: a producer id never given before, and epoch 0. An id and epoch
//!   that the producer already has (version 3 and up) do not matter: it gets new ones, as in Kafka.
//! - With a transactional id: INVALID_REQUEST, which clients treat as fatal. A retriable code would
//!   make them try for ever.
//!
//! Left out: transactions.

use brooklet_protocol::messages::ErrorCode;
use brooklet_protocol::messages::kafka::{InitProducerIdRequest, InitProducerIdResponse};

use super::context::ApiContext;
use super::error::ApiError;

pub(super) async fn handle(
    ctx: &ApiContext,
    request: &InitProducerIdRequest,
) -> InitProducerIdResponse {
    if request.transactional_id.is_some() {
        return failed(ErrorCode::InvalidRequest);
    }
    match ctx.controller.next_producer_id().await {
        Ok(id) => InitProducerIdResponse::default()
            .with_producer_id(id.into())
            .with_producer_epoch(0),
        Err(error) => failed(ApiError::from(error).code),
    }
}

fn failed(code: ErrorCode) -> InitProducerIdResponse {
    InitProducerIdResponse::default()
        .with_error_code(code.code())
        .with_producer_id((-1).into())
        .with_producer_epoch(-1)
}
