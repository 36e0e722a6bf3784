//! The height of each limit of [`LIMITS`].

use std::time::Duration;

use super::config::BrokerConfig;
use crate::api::decompressed_bytes_max;
use crate::counters::{LIMITS, Limit};
use crate::server::Limits;

/// The limits of a broker with this configuration, in the order of [`Limit`]; times in
/// milliseconds.
pub(super) fn maxima(config: &BrokerConfig) -> [u64; LIMITS.len()] {
    std::array::from_fn(|number| maximum(config, LIMITS[number].limit))
}

fn maximum(config: &BrokerConfig, limit: Limit) -> u64 {
    let per_address = config.max_connections_per_ip;
    let count = match limit {
        Limit::Connections => config.max_connections,
        Limit::ConnectionsPerAddress => {
            per_address.unwrap_or(Limits::CONNECTIONS_PER_ADDRESS_MAX_DEFAULT)
        }
        Limit::LogFiles => {
            let limit = config.open_files_max.unwrap_or(usize::MAX);
            limit.saturating_sub(config.max_connections)
        }
        Limit::IdleTime => return millis(config.connections_max_idle),
        Limit::RequestReadTime => return millis(config.request_read_max),
        Limit::ResponseStallTime => return millis(config.response_stall_max),
        Limit::RequestBytes => config.socket_request_max_bytes,
        Limit::QueuedRequestBytes => config.queued_request_bytes_max,
        Limit::QueuedResponseBytes => config.queued_response_bytes_max,
        Limit::MessageBytes => config.log.message_bytes_max,
        Limit::DecompressedBytes => decompressed_bytes_max(&config.log),
        Limit::Partitions => config.partitions_max,
        Limit::FetchSessions => config.fetch_session_slots,
        Limit::Groups => config.groups.groups_max,
        Limit::GroupMembers => config.groups.members_max,
        Limit::MemberMetadata => config.groups.member_bytes_max,
        Limit::GroupMetadata => config.groups.group_bytes_max,
        Limit::OffsetMetadata => config.groups.metadata_bytes_max,
        Limit::TransactionalIds => config.transactions.ids_max,
    };
    count as u64
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
