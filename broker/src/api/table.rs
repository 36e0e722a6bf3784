//! Which APIs are served, in which versions, and with which gaps: one table.
//!
//! ApiVersions advertises it, [`super::dispatch`] obeys it, and [`markdown`] turns it into
//! documentation, so that the three cannot disagree.

use std::fmt::Write;

use brooklet_protocol::messages::ApiKey;

/// One API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Api {
    /// Its key.
    pub key: ApiKey,
    /// The lowest version that ApiVersions advertises.
    pub version_min_advertised: i16,
    /// The lowest version that is served.
    pub version_min: i16,
    /// The highest version that is served.
    pub version_max: i16,
    /// The file, or folder, in `broker/src/api/` that answers it.
    pub handler: &'static str,
    /// What differs from Kafka.
    pub notes: &'static str,
}

/// All that is served, by key.
pub const TABLE: &[Api] = &[
    Api {
        // Clients that find no version 0 take the broker for one without message format 1 and turn
        // compression and idempotence off (KAFKA-18659). Kafka itself serves 3 upwards, too.
        version_min_advertised: 0,
        ..api(ApiKey::Produce, (3, 13), "produce", "")
    },
    api(ApiKey::Fetch, (4, 18), "fetch", "No followers."),
    api(
        ApiKey::ListOffsets,
        (1, 10),
        "list_offsets",
        "No tiered storage: the earliest local offset is the earliest.",
    ),
    api(
        ApiKey::Metadata,
        (0, 13),
        "metadata",
        "No authorization: authorized operations are never listed.",
    ),
    api(
        ApiKey::OffsetCommit,
        (2, 9),
        "offset_commit",
        "No topic ids.",
    ),
    api(ApiKey::OffsetFetch, (1, 9), "offset_fetch", "No topic ids."),
    api(
        ApiKey::FindCoordinator,
        (0, 6),
        "find_coordinator",
        "No share groups.",
    ),
    api(ApiKey::JoinGroup, (0, 9), "join_group", ""),
    api(ApiKey::Heartbeat, (0, 4), "heartbeat", ""),
    api(ApiKey::LeaveGroup, (0, 5), "leave_group", ""),
    api(ApiKey::SyncGroup, (0, 5), "sync_group", ""),
    api(
        ApiKey::DescribeGroups,
        (0, 6),
        "describe_groups",
        "No authorization: authorized operations are never listed.",
    ),
    api(
        ApiKey::ListGroups,
        (0, 5),
        "list_groups",
        "Groups of the classic protocol only.",
    ),
    api(
        ApiKey::SaslHandshake,
        (0, 1),
        "security/sasl",
        "No SASL: ILLEGAL_SASL_STATE, as from a listener with PLAINTEXT.",
    ),
    api(ApiKey::ApiVersions, (0, 4), "api_versions", ""),
    api(
        ApiKey::CreateTopics,
        (2, 7),
        "create_topics",
        "One broker: a replication factor above 1 is refused. Answers list the given settings only.",
    ),
    api(ApiKey::DeleteTopics, (1, 6), "delete_topics", ""),
    api(ApiKey::DeleteRecords, (0, 2), "delete_records", ""),
    api(
        ApiKey::InitProducerId,
        (0, 5),
        "init_producer_id",
        "No two-phase commit.",
    ),
    api(
        ApiKey::OffsetForLeaderEpoch,
        (2, 4),
        "offset_for_leader_epoch",
        "No followers.",
    ),
    api(
        ApiKey::AddPartitionsToTxn,
        (0, 5),
        "add_partitions_to_txn",
        "",
    ),
    api(ApiKey::AddOffsetsToTxn, (0, 4), "add_offsets_to_txn", ""),
    api(ApiKey::EndTxn, (0, 5), "end_txn", ""),
    api(ApiKey::WriteTxnMarkers, (1, 1), "write_txn_markers", ""),
    api(ApiKey::TxnOffsetCommit, (0, 5), "txn_offset_commit", ""),
    api(
        ApiKey::DescribeAcls,
        (1, 3),
        "security/acls",
        "No authorizer: SECURITY_DISABLED, as from a Kafka without one.",
    ),
    api(
        ApiKey::CreateAcls,
        (1, 3),
        "security/acls",
        "No authorizer: SECURITY_DISABLED, as from a Kafka without one.",
    ),
    api(
        ApiKey::DeleteAcls,
        (1, 3),
        "security/acls",
        "No authorizer: SECURITY_DISABLED, as from a Kafka without one.",
    ),
    api(
        ApiKey::DescribeConfigs,
        (1, 4),
        "describe_configs",
        "Topics and this broker; no loggers, quotas and groups.",
    ),
    api(
        ApiKey::AlterConfigs,
        (0, 2),
        "alter_configs",
        "Topics only: a broker's settings are given at its start.",
    ),
    api(
        ApiKey::DescribeLogDirs,
        (1, 4),
        "describe_log_dirs",
        "The size of the volume is not told.",
    ),
    api(
        ApiKey::SaslAuthenticate,
        (0, 2),
        "security/sasl",
        "No SASL: ILLEGAL_SASL_STATE, as from a listener with PLAINTEXT.",
    ),
    api(ApiKey::CreatePartitions, (0, 3), "create_partitions", ""),
    api(
        ApiKey::CreateDelegationToken,
        (1, 3),
        "security/delegation_tokens",
        "No tokens: DELEGATION_TOKEN_REQUEST_NOT_ALLOWED, as from a listener with PLAINTEXT.",
    ),
    api(
        ApiKey::RenewDelegationToken,
        (1, 2),
        "security/delegation_tokens",
        "No tokens: DELEGATION_TOKEN_REQUEST_NOT_ALLOWED, as from a listener with PLAINTEXT.",
    ),
    api(
        ApiKey::ExpireDelegationToken,
        (1, 2),
        "security/delegation_tokens",
        "No tokens: DELEGATION_TOKEN_REQUEST_NOT_ALLOWED, as from a listener with PLAINTEXT.",
    ),
    api(
        ApiKey::DescribeDelegationToken,
        (1, 3),
        "security/delegation_tokens",
        "No tokens: DELEGATION_TOKEN_REQUEST_NOT_ALLOWED, as from a listener with PLAINTEXT.",
    ),
    api(ApiKey::DeleteGroups, (0, 2), "delete_groups", ""),
    api(
        ApiKey::ElectLeaders,
        (0, 2),
        "elect_leaders",
        "One replica: it leads, or nobody does.",
    ),
    api(
        ApiKey::IncrementalAlterConfigs,
        (0, 1),
        "incremental_alter_configs",
        "Topics only: a broker's settings are given at its start.",
    ),
    api(
        ApiKey::AlterPartitionReassignments,
        (0, 1),
        "alter_partition_reassignments",
        "One broker: any other is refused.",
    ),
    api(
        ApiKey::ListPartitionReassignments,
        (0, 0),
        "list_partition_reassignments",
        "There never are any.",
    ),
    api(ApiKey::OffsetDelete, (0, 0), "offset_delete", ""),
    api(
        ApiKey::DescribeClientQuotas,
        (0, 1),
        "security/nobody",
        "There are none, and none can be set.",
    ),
    api(
        ApiKey::DescribeUserScramCredentials,
        (0, 0),
        "security/nobody",
        "There are none, and none can be set.",
    ),
    api(
        ApiKey::UpdateFeatures,
        (0, 2),
        "update_features",
        "Each feature stays in its highest version.",
    ),
    api(
        ApiKey::DescribeCluster,
        (0, 2),
        "describe_cluster",
        "No authorization: authorized operations are never listed.",
    ),
    api(ApiKey::DescribeProducers, (0, 0), "describe_producers", ""),
    api(
        ApiKey::DescribeTransactions,
        (0, 0),
        "describe_transactions",
        "",
    ),
    api(
        ApiKey::ListTransactions,
        (0, 2),
        "list_transactions",
        "Patterns of ids know ASCII's classes only.",
    ),
    api(
        ApiKey::GetTelemetrySubscriptions,
        (0, 0),
        "get_telemetry_subscriptions",
        "Always served, and no metrics are asked for.",
    ),
    api(
        ApiKey::PushTelemetry,
        (0, 0),
        "push_telemetry",
        "What is pushed is let go.",
    ),
    api(
        ApiKey::DescribeTopicPartitions,
        (0, 0),
        "describe_topic_partitions",
        "No authorization: authorized operations are never listed.",
    ),
];

const fn api(key: ApiKey, versions: (i16, i16), handler: &'static str, notes: &'static str) -> Api {
    Api {
        key,
        version_min_advertised: versions.0,
        version_min: versions.0,
        version_max: versions.1,
        handler,
        notes,
    }
}

/// The row of an API.
pub fn find(api_key: i16) -> Option<&'static Api> {
    TABLE.iter().find(|api| api.key as i16 == api_key)
}

/// Whether a request is answered.
pub fn is_served(api_key: i16, version: i16) -> bool {
    find(api_key).is_some_and(|api| (api.version_min..=api.version_max).contains(&version))
}

/// The table as Markdown.
pub fn markdown() -> String {
    let mut page =
        String::from("| API | key | versions | differs from Kafka |\n|---|---|---|---|\n");
    for api in TABLE {
        writeln!(
            page,
            "| {:?} | {} | {}–{} | {} |",
            api.key, api.key as i16, api.version_min, api.version_max, api.notes
        )
        .expect("writing to a string does not fail");
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_by_key_and_within_what_the_codec_knows() {
        assert!(TABLE.is_sorted_by_key(|api| api.key as i16));
        for api in TABLE {
            let known = api.key.valid_versions();
            assert!(
                known.min <= api.version_min && api.version_max <= known.max,
                "{api:?}"
            );
            assert!(api.version_min_advertised <= api.version_min, "{api:?}");
        }
    }

    #[test]
    fn every_row_has_its_file() {
        for api in TABLE {
            let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("src/api")
                .join(api.handler);
            let exists = file.is_dir() || file.with_extension("rs").exists();
            assert!(exists, "{}", file.display());
        }
    }

    #[test]
    fn the_documentation_has_a_line_for_each_row() {
        let page = markdown();
        assert_eq!(page.lines().count(), 2 + TABLE.len());
        assert!(page.contains("| Produce | 0 | 3–13 |"), "{page}");
    }
}
