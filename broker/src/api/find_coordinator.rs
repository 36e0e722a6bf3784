//! FindCoordinator (10), versions 0 to 6: the coordinator of a group or of a transactional id,
//! which is always this broker.
//!
//! The first request creates the topic in which groups, or transactions, are stored.
//!
//! Left out: coordinators of share groups.

use brooklet_protocol::messages::kafka::find_coordinator_response::Coordinator;
use brooklet_protocol::messages::kafka::{FindCoordinatorRequest, FindCoordinatorResponse};
use brooklet_protocol::messages::{ErrorCode, StrBytes};

use super::call::Call;
use super::context::ApiContext;
use super::groups::{failed, text};

/// From this version on a request has several keys (KIP-699).
const BATCHED: i16 = 4;

const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;

pub(super) async fn handle(
    ctx: &ApiContext,
    Call {
        version, request, ..
    }: Call<FindCoordinatorRequest>,
) -> FindCoordinatorResponse {
    if version < BATCHED {
        let found = find(ctx, request.key_type, request.key).await;
        return FindCoordinatorResponse::default()
            .with_error_code(found.error_code)
            .with_error_message(found.error_message)
            .with_node_id(found.node_id)
            .with_host(found.host)
            .with_port(found.port);
    }
    let mut coordinators = Vec::with_capacity(request.coordinator_keys.len());
    for key in request.coordinator_keys {
        coordinators.push(find(ctx, request.key_type, key).await);
    }
    FindCoordinatorResponse::default().with_coordinators(coordinators)
}

async fn find(ctx: &ApiContext, key_type: i8, key: StrBytes) -> Coordinator {
    let none = |code, words: &str| {
        Coordinator::default()
            .with_node_id((-1).into())
            .with_port(-1)
            .with_error_code(code)
            .with_error_message(Some(text(words)))
    };
    let found = match key_type {
        GROUP => ctx.groups.find(key.as_str()).await,
        TRANSACTION => ctx.transactions.find(key.as_str()).await,
        _ => {
            let code = ErrorCode::InvalidRequest.code();
            let message =
                format!("coordinator type is {key_type}, expected 0 (group) or 1 (transaction)");
            return none(code, &message).with_key(key);
        }
    };
    let found = match found {
        Ok(()) => Coordinator::default()
            .with_node_id(ctx.controller.image().broker_id.0.into())
            .with_host(text(&ctx.settings.advertised_host))
            .with_port(ctx.settings.advertised_port)
            .with_error_message(Some(StrBytes::default())),
        Err(error) => none(failed(key.as_str(), &error), &error.to_string()),
    };
    found.with_key(key)
}
