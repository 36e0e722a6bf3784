//! The producer's identity (KIP-98): an id from the broker, given out once, and an epoch.

use brooklet_protocol::messages::ErrorCode;
use brooklet_protocol::messages::kafka::InitProducerIdRequest;
use brooklet_protocol::{ProducerEpoch, ProducerId};

use super::batch::Identity;
use crate::backoff::Attempts;
use crate::transport::Node;
use crate::{Client, ClientError};

/// Asks until an id is given or the error is one that stays.
pub(super) async fn ask_until_given(client: &Client) -> Result<Identity, ClientError> {
    let mut attempts = Attempts::default();
    loop {
        match ask(client).await {
            Ok(identity) => return Ok(identity),
            Err(error) => attempts.pause(client, error).await?,
        }
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
