//! FindCoordinator (10), versions 0 to 6: says that there is no coordinator yet.
//!
//! Consumer groups and transactions are not built. Every key is answered with
//! COORDINATOR_NOT_AVAILABLE and with words (version 1 and up), and the broker's log says so
//! once. The API is served all the same, because clients read more from it than it says: librdkafka
//! sends LZ4 only to brokers that have it, and consumers with a group id that assign their partitions
//! themselves look for a coordinator to commit to, without needing it to read.
//!
//! Left out: coordinators. A consumer that subscribes waits for one; it never gets half a group.

use std::sync::atomic::Ordering::Relaxed;

use brooklet_protocol::messages::kafka::find_coordinator_response::Coordinator;
use brooklet_protocol::messages::kafka::{FindCoordinatorRequest, FindCoordinatorResponse};
use brooklet_protocol::messages::{ErrorCode, StrBytes};

use super::context::ApiContext;

/// From this version on, keys come and are answered in a batch (KIP-699).
const BATCHED: i16 = 4;

const WORDS: &str =
    "consumer groups and transactions are not served yet; assign partitions instead";

pub(super) fn handle(
    ctx: &ApiContext,
    version: i16,
    request: &FindCoordinatorRequest,
) -> FindCoordinatorResponse {
    let code = ErrorCode::CoordinatorNotAvailable.code();
    let words = Some(StrBytes::from_static_str(WORDS));
    if version < BATCHED {
        warn(ctx, &request.key);
        return FindCoordinatorResponse::default()
            .with_error_code(code)
            .with_error_message(words)
            .with_node_id((-1).into())
            .with_port(-1);
    }
    let answer = |key: &StrBytes| {
        warn(ctx, key);
        Coordinator::default()
            .with_key(key.clone())
            .with_node_id((-1).into())
            .with_port(-1)
            .with_error_code(code)
            .with_error_message(words.clone())
    };
    let coordinators = request.coordinator_keys.iter().map(answer).collect();
    FindCoordinatorResponse::default().with_coordinators(coordinators)
}

/// Clients ask again and again; a person needs to be told once.
fn warn(ctx: &ApiContext, key: &StrBytes) {
    if ctx.told_of_coordinators.swap(true, Relaxed) {
        tracing::debug!("a client looks for the coordinator of '{}'", key.as_str());
    } else {
        tracing::warn!(
            "a client looks for the coordinator of '{}': {WORDS}",
            key.as_str()
        );
    }
}
