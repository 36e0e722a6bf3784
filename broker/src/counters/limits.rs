//! The broker's limits: the name of each, and what happens to a client that exceeds it.
//!
//! One table, from which the metrics and `docs/limits.md` are made.

/// A limit that a client may exceed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Limit {
    /// Open connections.
    Connections,
    /// Open connections from one address.
    ConnectionsPerAddress,
    /// Open files of logs.
    LogFiles,
    /// The time without a request.
    IdleTime,
    /// The time from the first byte of a request to its last.
    RequestReadTime,
    /// The time in which nothing of a response is read.
    ResponseStallTime,
    /// Bytes of one request.
    RequestBytes,
    /// Bytes of all requests.
    QueuedRequestBytes,
    /// Bytes of all responses.
    QueuedResponseBytes,
    /// Bytes of one batch.
    MessageBytes,
    /// Bytes of one batch, decompressed.
    DecompressedBytes,
    /// Partitions of all topics.
    Partitions,
    /// Incremental fetch sessions.
    FetchSessions,
    /// Groups.
    Groups,
    /// Members of one group.
    GroupMembers,
    /// Bytes of one member's metadata.
    MemberMetadata,
    /// Bytes of the metadata of all members of a group.
    GroupMetadata,
    /// Bytes of the metadata of a committed offset.
    OffsetMetadata,
    /// Transactional ids.
    TransactionalIds,
}

/// A row of [`LIMITS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitInfo {
    /// The limit of this row.
    pub limit: Limit,
    /// The setting, or a name if there is no setting; the label of its metrics.
    pub name: &'static str,
    /// Its default.
    pub default: &'static str,
    /// What is limited.
    pub what: &'static str,
    /// What happens to a client that exceeds it.
    pub answer: &'static str,
}

/// All of them, in the order of [`Limit`].
#[rustfmt::skip]
pub const LIMITS: &[LimitInfo] = &[
    row(Limit::Connections, ("max.connections", "8192"), "open connections", "the oldest connection without a complete request makes room; if all have had one, the new one is closed at once"),
    row(Limit::ConnectionsPerAddress, ("max.connections.per.ip", "256, and none for loopback"), "open connections from one address", "as above, among those of the address"),
    row(Limit::LogFiles, ("open files", "`ulimit -n`, less `max.connections`"), "open files of logs: the process keeps half of its open files for them, connections have the other half", "synced logs close their files; if that is not enough, KAFKA_STORAGE_ERROR, which clients retry"),
    row(Limit::IdleTime, ("connections.max.idle.ms", "600000 (10 minutes)"), "the time without a request, and the time that a client may take to read one response", "the connection is closed"),
    row(Limit::RequestReadTime, ("request.read.max.ms", "30000 (30 seconds)"), "the time from the first byte of a request to its last", "the connection is closed; while others wait for memory, as soon as the request is too slow to arrive in time at the pace of its last second"),
    row(Limit::ResponseStallTime, ("response.stall.max.ms", "30000 (30 seconds)"), "the time in which a client reads nothing of a response that is being sent", "the connection is closed"),
    row(Limit::RequestBytes, ("socket.request.max.bytes", "104857600 (100 MiB)"), "bytes of one request", "the connection is closed as soon as the length has come; memory is taken only as the bytes come"),
    row(Limit::QueuedRequestBytes, ("queued.max.request.bytes", "268435456 (256 MiB)"), "bytes of all requests that are being read or answered, beyond 64 KiB per connection; a connection has one request at a time", "the rest of the request is read once others are answered or cut off; one request at a time may exceed the limit"),
    row(Limit::QueuedResponseBytes, ("queued.max.response.bytes", "268435456 (256 MiB)"), "bytes of records in all responses that are being sent; a connection has one response at a time", "a fetch is answered with less, but at least with one batch"),
    row(Limit::MessageBytes, ("message.max.bytes", "1048588, and each topic may set another"), "bytes of one batch, as it is sent and as it is stored", "MESSAGE_TOO_LARGE"),
    row(Limit::DecompressedBytes, ("decompressed batch", "16 times `message.max.bytes`, and at least 67108864 (64 MiB)"), "bytes of one batch, decompressed, and less than 2 GiB; every produced batch is checked, whatever the settings of its topic; a zstd window has at most 128 MiB", "MESSAGE_TOO_LARGE"),
    row(Limit::Partitions, ("max.broker.partitions", "10000"), "partitions of all topics together, not counting those of the broker itself", "POLICY_VIOLATION"),
    row(Limit::FetchSessions, ("max.incremental.fetch.session.cache.slots", "1000"), "incremental fetch sessions", "a session that was not used for a while is evicted; if there is none, the fetch is answered without a session"),
    row(Limit::Groups, ("groups", "10000 for each partition of `__consumer_offsets`"), "groups", "GROUP_MAX_SIZE_REACHED"),
    row(Limit::GroupMembers, ("group.max.size", "1000"), "members of one group", "GROUP_MAX_SIZE_REACHED"),
    row(Limit::MemberMetadata, ("group.member.metadata.max.bytes", "65536 (64 KiB)"), "bytes of one member's metadata, over all of its assignors", "INVALID_REQUEST"),
    row(Limit::GroupMetadata, ("group.metadata.max.bytes", "4194304 (4 MiB)"), "bytes of the metadata of all members of a group, and of the assignment of its leader", "GROUP_MAX_SIZE_REACHED for the member that joins, INVALID_REQUEST for the leader"),
    row(Limit::OffsetMetadata, ("offset.metadata.max.bytes", "4096"), "bytes of the metadata of one committed offset", "OFFSET_METADATA_TOO_LARGE for this offset"),
    row(Limit::TransactionalIds, ("transactional ids", "10000 for each partition of `__transaction_state`"), "transactional ids that have not expired", "POLICY_VIOLATION"),
];

const fn row(
    limit: Limit,
    (name, default): (&'static str, &'static str),
    what: &'static str,
    answer: &'static str,
) -> LimitInfo {
    LimitInfo {
        limit,
        name,
        default,
        what,
        answer,
    }
}

impl Limit {
    /// Its row in [`LIMITS`].
    pub fn info(self) -> &'static LimitInfo {
        &LIMITS[self as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_has_its_row() {
        for (number, info) in LIMITS.iter().enumerate() {
            assert_eq!(info.limit as usize, number);
            assert_eq!(info.limit.info(), info);
        }
    }
}
