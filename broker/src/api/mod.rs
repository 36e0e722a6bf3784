//! One file per Kafka API.
//!
//! ```text
//!   Request ──▶ dispatch ──▶ table: served in this version? ──▶ produce / fetch / … ──▶ Response
//!                  ▲                                                 │
//!          sockets and the embedded engine                one MetadataImage per request
//! ```
//!
//! A handler is a function of the request and the [`ApiContext`]. It takes the controller's image
//! once and answers from that one moment. Each file opens with the behaviour, the versions and the
//! gaps; [`table`] lists them all and feeds ApiVersions, [`dispatch`] and the documentation.
//!
//! Invariants: this is the only place where an error becomes an error code ([`error`]); a handler
//! never panics on what a client sent; an API that is not in the table is not served, rather than
//! answered with half a truth.

use brooklet_protocol::messages::{Request, RequestKind, Response, ResponseKind};

pub mod context;
pub mod error;
pub mod table;

mod add_offsets_to_txn;
mod add_partitions_to_txn;
mod alter_configs;
mod alter_partition_reassignments;
mod api_versions;
mod configs;
mod create_partitions;
mod create_topics;
mod delete_groups;
mod delete_records;
mod delete_topics;
mod describe_cluster;
mod describe_configs;
mod describe_groups;
mod describe_log_dirs;
mod describe_producers;
mod describe_topic_partitions;
mod describe_transactions;
mod elect_leaders;
mod end_txn;
mod features;
mod fetch;
mod find_coordinator;
mod get_telemetry_subscriptions;
mod groups;
mod heartbeat;
mod incremental_alter_configs;
mod init_producer_id;
mod join_group;
mod leave_group;
mod list_groups;
mod list_offsets;
mod list_partition_reassignments;
mod list_transactions;
mod metadata;
mod offset_commit;
mod offset_delete;
mod offset_fetch;
mod offset_for_leader_epoch;
mod produce;
mod push_telemetry;
mod security;
mod sync_group;
mod topics;
mod traffic;
mod transactions;
mod txn_offset_commit;
mod update_features;
mod write_txn_markers;

#[cfg(test)]
mod tests;

pub use api_versions::unsupported_version;
pub use context::{ApiContext, ApiSettings, ToldSetting};
pub use fetch::{FetchSessions, ResponseMemory};
pub use produce::{decompressed_bytes_max, expects_no_response, has_error};

/// The request's API is not in the table, or not in this version. A socket is closed upon it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("api key {api_key} version {version} is not served")]
pub struct NotServed {
    /// The API.
    pub api_key: i16,
    /// The version asked for.
    pub version: i16,
}

/// Answers one request.
///
/// May be dropped while it waits if, and only if, the request is a fetch: others would be left
/// half done.
///
/// # Errors
/// The API or the version is not served.
pub async fn dispatch(ctx: &ApiContext, request: Request) -> Result<Response, NotServed> {
    let version = request.version;
    let api_key = request.api() as i16;
    let not_served = NotServed { api_key, version };
    if !table::is_served(api_key, version) {
        return match request.body {
            // An unknown version of this one API is answered (KIP-511).
            RequestKind::ApiVersions(_) => Ok(unsupported_version()),
            _ => Err(not_served),
        };
    }
    let requests = &ctx.counters.requests;
    requests.came(api_key, version);
    let began = ctx.clock.monotonic();
    let response = handle(ctx, request).await.ok_or(not_served)?;
    requests.answered(api_key, ctx.clock.monotonic().0.saturating_sub(began.0));
    Ok(response)
}

/// `None` for an API without a handler, which is in no row of the table.
async fn handle(ctx: &ApiContext, request: Request) -> Option<Response> {
    let version = request.version;
    Some(match request.body {
        RequestKind::Produce(body) => {
            let sent = traffic::Sent::of(&body);
            let response = produce::handle(ctx, version, body).await;
            sent.count(ctx, version, &response);
            ResponseKind::Produce(response)
        }
        RequestKind::Fetch(body) => {
            let response = fetch::handle(ctx, version, body).await;
            traffic::count_fetched(ctx, version, &response);
            ResponseKind::Fetch(response)
        }
        RequestKind::ListOffsets(body) => {
            ResponseKind::ListOffsets(list_offsets::handle(ctx, version, body).await)
        }
        RequestKind::Metadata(body) => {
            ResponseKind::Metadata(metadata::handle(ctx, version, body).await)
        }
        RequestKind::FindCoordinator(body) => {
            ResponseKind::FindCoordinator(find_coordinator::handle(ctx, version, body).await)
        }
        RequestKind::JoinGroup(body) => {
            let client_id = request.client_id.as_ref();
            let joined = join_group::handle(ctx, version, client_id, body).await;
            ResponseKind::JoinGroup(joined)
        }
        RequestKind::SyncGroup(body) => {
            ResponseKind::SyncGroup(sync_group::handle(ctx, body).await)
        }
        RequestKind::Heartbeat(body) => {
            ResponseKind::Heartbeat(heartbeat::handle(ctx, &body).await)
        }
        RequestKind::LeaveGroup(body) => {
            ResponseKind::LeaveGroup(leave_group::handle(ctx, version, body).await)
        }
        RequestKind::OffsetCommit(body) => {
            ResponseKind::OffsetCommit(offset_commit::handle(ctx, body).await)
        }
        RequestKind::OffsetFetch(body) => {
            ResponseKind::OffsetFetch(offset_fetch::handle(ctx, version, body).await)
        }
        RequestKind::OffsetDelete(body) => {
            ResponseKind::OffsetDelete(offset_delete::handle(ctx, body).await)
        }
        RequestKind::DescribeGroups(body) => {
            ResponseKind::DescribeGroups(describe_groups::handle(ctx, version, body).await)
        }
        RequestKind::ListGroups(body) => {
            ResponseKind::ListGroups(list_groups::handle(ctx, &body).await)
        }
        RequestKind::DeleteGroups(body) => {
            ResponseKind::DeleteGroups(delete_groups::handle(ctx, body).await)
        }
        RequestKind::ApiVersions(body) => {
            ResponseKind::ApiVersions(api_versions::handle(version, &body))
        }
        RequestKind::CreateTopics(body) => {
            ResponseKind::CreateTopics(create_topics::handle(ctx, version, body).await)
        }
        RequestKind::DeleteTopics(body) => {
            ResponseKind::DeleteTopics(delete_topics::handle(ctx, version, body).await)
        }
        RequestKind::DeleteRecords(body) => {
            ResponseKind::DeleteRecords(delete_records::handle(ctx, body).await)
        }
        RequestKind::InitProducerId(body) => {
            ResponseKind::InitProducerId(init_producer_id::handle(ctx, version, &body).await)
        }
        RequestKind::CreatePartitions(body) => {
            ResponseKind::CreatePartitions(create_partitions::handle(ctx, body).await)
        }
        RequestKind::DescribeCluster(body) => {
            ResponseKind::DescribeCluster(describe_cluster::handle(ctx, version, &body))
        }
        RequestKind::DescribeLogDirs(body) => {
            ResponseKind::DescribeLogDirs(describe_log_dirs::handle(ctx, body))
        }
        RequestKind::DescribeProducers(body) => {
            ResponseKind::DescribeProducers(describe_producers::handle(ctx, &body))
        }
        RequestKind::DescribeConfigs(body) => {
            ResponseKind::DescribeConfigs(describe_configs::handle(ctx, body))
        }
        RequestKind::AlterConfigs(body) => {
            ResponseKind::AlterConfigs(alter_configs::handle(ctx, body).await)
        }
        RequestKind::IncrementalAlterConfigs(body) => ResponseKind::IncrementalAlterConfigs(
            incremental_alter_configs::handle(ctx, body).await,
        ),
        body => return transactions::dispatch(ctx, version, body).await,
    })
}

/// Answers what needs no waiting: one look at the image. `None` as in [`handle`].
fn look(ctx: &ApiContext, version: i16, request: RequestKind) -> Option<Response> {
    Some(match request {
        RequestKind::OffsetForLeaderEpoch(body) => {
            ResponseKind::OffsetForLeaderEpoch(offset_for_leader_epoch::handle(ctx, body))
        }
        RequestKind::DescribeTopicPartitions(body) => {
            ResponseKind::DescribeTopicPartitions(describe_topic_partitions::handle(ctx, &body))
        }
        RequestKind::ElectLeaders(body) => {
            ResponseKind::ElectLeaders(elect_leaders::handle(ctx, version, body))
        }
        RequestKind::AlterPartitionReassignments(body) => {
            let answer = alter_partition_reassignments::handle(ctx, body);
            ResponseKind::AlterPartitionReassignments(answer)
        }
        RequestKind::ListPartitionReassignments(_) => {
            ResponseKind::ListPartitionReassignments(list_partition_reassignments::handle())
        }
        RequestKind::UpdateFeatures(body) => {
            ResponseKind::UpdateFeatures(update_features::handle(version, body))
        }
        RequestKind::GetTelemetrySubscriptions(body) => {
            let answer = get_telemetry_subscriptions::handle(ctx, &body);
            ResponseKind::GetTelemetrySubscriptions(answer)
        }
        RequestKind::PushTelemetry(body) => {
            ResponseKind::PushTelemetry(push_telemetry::handle(&body))
        }
        body => return security::answer(version, body),
    })
}
