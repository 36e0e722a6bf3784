//! The Kafka APIs: one file for each, and the dispatch that finds it.
//!
//! ```text
//!   sockets, embedded clients
//!             │ Request
//!             ▼
//!         dispatch ──▶ is this version in the table? ──no──▶ NotServed
//!             │ yes
//!             ▼
//!          handle  ──▶ produce, fetch, …   called by its row, with the ApiContext and a Call
//!             │                            one MetadataImage per request
//!             ▼
//!         Response
//! ```
//!
//! The table of APIs stands in `brooklet_protocol::messages::APIS`: a row has the key, the
//! versions, the fields and the handler of one API. [`dispatch`] is made from it, and so are
//! ApiVersions and the documentation ([`table`]). A handler is a function of a `Call` and the
//! [`ApiContext`]. Each file opens with the behaviour, the versions and the gaps.
//!
//! To add an API: add its row to `apis/table.rs` and a file with its fields beside it, both in the
//! protocol; add a file here with the function that the row names; and regenerate
//! `docs/support.md`.
//!
//! Invariants:
//! - only here an error becomes an error code ([`error`]);
//! - a handler takes the controller's image once and answers from it. Metadata takes a new one
//!   after it has created topics, and then answers from that one;
//! - a handler never panics on what a client sent;
//! - an API without a row is not served, rather than answered by half.

use brooklet_protocol::for_each_api;
use brooklet_protocol::messages::{Request, RequestKind, Response, ResponseKind};

pub mod table;

mod call;
pub mod context;

mod fetch_sessions;
mod response_memory;

pub mod error;

// Records.
mod delete_records;
mod fetch;
mod list_offsets;
mod offset_for_leader_epoch;
mod produce;
mod topics;
mod traffic;

// Topics.
mod create_partitions;
mod create_topics;
mod delete_topics;
mod describe_topic_partitions;
mod metadata;

// Settings.
mod alter_configs;
mod configs;
mod describe_configs;
mod incremental_alter_configs;

// Groups.
mod delete_groups;
mod describe_groups;
mod find_coordinator;
mod groups;
mod heartbeat;
mod join_group;
mod leave_group;
mod list_groups;
mod offset_commit;
mod offset_delete;
mod offset_fetch;
mod sync_group;

// Transactions.
mod add_offsets_to_txn;
mod add_partitions_to_txn;
mod describe_producers;
mod describe_transactions;
mod end_txn;
mod init_producer_id;
mod list_transactions;
mod transactions;
mod txn_offset_commit;
mod write_txn_markers;

// The cluster.
mod alter_partition_reassignments;
mod api_versions;
mod describe_cluster;
mod describe_log_dirs;
mod elect_leaders;
mod features;
mod list_partition_reassignments;
mod update_features;

// Clients' metrics.
mod get_telemetry_subscriptions;
mod push_telemetry;

// Security.
mod security;

#[cfg(test)]
mod tests;

pub use api_versions::unsupported_version;
pub use context::{ApiContext, ApiSettings, DescribedSetting};
pub use fetch_sessions::FetchSessions;
pub use produce::{decompressed_bytes_max, expects_no_response, has_error};
pub use response_memory::ResponseMemory;

use call::Call;

/// The request's API is not in the table, or not in this version. The server closes the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("api key {api_key} is not served in version {version}")]
pub struct NotServed {
    /// The API.
    pub api_key: i16,
    /// The version asked for.
    pub version: i16,
}

/// Answers one request.
///
/// The future may be dropped only if the request is a fetch: any other would be left half done.
///
/// # Errors
/// The API or the version is not served.
pub async fn dispatch(ctx: &ApiContext, request: Request) -> Result<Response, NotServed> {
    let version = request.version;
    let api_key = request.api() as i16;
    let not_served = NotServed { api_key, version };
    if !table::is_served(api_key, version) {
        return match request.body {
            // Of this API alone an unknown version is answered (KIP-511).
            RequestKind::ApiVersions(_) => Ok(unsupported_version()),
            _ => Err(not_served),
        };
    }
    let requests = &ctx.counters.requests;
    requests.came(api_key, version);
    let began = ctx.clock.monotonic();
    let response = handle(ctx, request).await;
    requests.answered(api_key, ctx.clock.monotonic().0.saturating_sub(began.0));
    Ok(response)
}

macro_rules! handle {
    ($(
        $api:ident {
            types: $request:ident, $response:ident;
            handler: $handler:path;
            $($rest:tt)*
        }
    )+) => {
        /// Hands the request to the handler in its row of the table.
        async fn handle(ctx: &ApiContext, request: Request) -> Response {
            let Request { version, client_id, body } = request;
            match body {
                $(RequestKind::$api(request) => {
                    let call = Call { version, client_id, request };
                    ResponseKind::$api($handler(ctx, call).await)
                })+
            }
        }
    };
}
for_each_api!(handle);
