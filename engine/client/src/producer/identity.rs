//! The producer's identity (KIP-98): an id from the broker, given out once, and an epoch.

use brooklet_protocol::messages::ErrorCode;
use brooklet_protocol::messages::kafka::InitProducerIdRequest;
use brooklet_protocol::{ProducerEpoch, ProducerId};

use super::batch::Identity;
use crate::transport::Node;
use crate::{Client, ClientError, backoff};

/// Asks until an id is given or the error is one that stays.
pub(super) async fn ask_until_given(client: &Client) -> Result<Identity, ClientError> {
    let mut failures = 0;
    loop {
        let error = match ask(client).await {
            Ok(identity) => return Ok(identity),
            Err(error) => error,
        };
        failures += 1;
        if !error.is_retriable() || failures >= backoff::ATTEMPTS_MAX {
            return Err(error);
        }
        client.pause(backoff::after(failures)).await;
    }
}

async fn ask(client: &Client) -> Result<Identity, ClientError> {
    let body = InitProducerIdRequest::default()
        .with_transactional_id(None)
        .with_transaction_timeout_ms(i32::MAX)
        .with_producer_id((-1).into())
        .with_producer_epoch(-1);
    let answer = client.call_again(Node::Any, body).await?;
    match ErrorCode::try_from_code(answer.error_code) {
        Some(code) => Err(ClientError::broker("get a producer id", code, None)),
        None => Ok(Identity {
            id: ProducerId(answer.producer_id.0),
            epoch: ProducerEpoch(answer.producer_epoch),
        }),
    }
}
