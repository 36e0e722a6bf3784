//! The APIs that Brooklet serves: one row each, by key.
//!
//! Everything that is known of an API without its behaviour stands in its row, and everything that
//! depends on the set of APIs is made from the rows:
//!
//! ```text
//!  for_each_api! ──┬─▶ RequestKind, ResponseKind, ApiRequest   messages/kinds.rs
//!                  ├─▶ APIS: what is decoded, and up to what   messages/apis/mod.rs
//!                  └─▶ dispatch: each handler, called          broker/src/api/mod.rs
//!                         APIS ──▶ ApiVersions, docs/support.md
//! ```
//!
//! A row holds
//!
//! | | |
//! |---|---|
//! | `types` | the structs of `kafka-protocol` for request and response |
//! | `handler` | the function in `broker/src/api/` that answers; a missing one does not compile |
//! | `fields` | the module beside this one with the fields of both, `REQUEST` and `RESPONSE` |
//! | `versions` | the versions that are served |
//! | `flexible_from` | the first flexible one (KIP-482); `i16::MAX` if none is |
//! | `advertised_from` | the lowest version in ApiVersions, where it is not the lowest served |
//! | `notes` | how the behaviour differs from Kafka, for the documentation |
//!
//! The rows are a macro, not a constant, because types and functions come from them. It does
//! nothing but hand the rows to another macro, which takes from each row what it needs.

/// Calls the macro `$then` with the row of each API.
#[macro_export]
macro_rules! for_each_api {
    ($then:ident) => {
        $then! {
            // Clients that are not offered version 0 assume a broker without message format 1 and
            // turn compression and idempotence off (KAFKA-18659). Kafka serves versions from 3 as
            // well.
            Produce {
                types: ProduceRequest, ProduceResponse;
                handler: produce::handle;
                fields: produce;
                versions: 3..=13, flexible_from: 9, advertised_from: 0;
                notes: "";
            }
            Fetch {
                types: FetchRequest, FetchResponse;
                handler: fetch::handle;
                fields: fetch;
                versions: 4..=18, flexible_from: 12;
                notes: "No follower replicas.";
            }
            ListOffsets {
                types: ListOffsetsRequest, ListOffsetsResponse;
                handler: list_offsets::handle;
                fields: list_offsets;
                versions: 1..=10, flexible_from: 6;
                notes: "No tiered storage: the earliest local offset is the earliest offset.";
            }
            Metadata {
                types: MetadataRequest, MetadataResponse;
                handler: metadata::handle;
                fields: metadata;
                versions: 0..=13, flexible_from: 9;
                notes: "No authorization: authorized operations are never listed.";
            }
            OffsetCommit {
                types: OffsetCommitRequest, OffsetCommitResponse;
                handler: offset_commit::handle;
                fields: offset_commit;
                versions: 2..=9, flexible_from: 8;
                notes: "No topic ids.";
            }
            OffsetFetch {
                types: OffsetFetchRequest, OffsetFetchResponse;
                handler: offset_fetch::handle;
                fields: offset_fetch;
                versions: 1..=9, flexible_from: 6;
                notes: "No topic ids.";
            }
            FindCoordinator {
                types: FindCoordinatorRequest, FindCoordinatorResponse;
                handler: find_coordinator::handle;
                fields: find_coordinator;
                versions: 0..=6, flexible_from: 3;
                notes: "No share groups.";
            }
            JoinGroup {
                types: JoinGroupRequest, JoinGroupResponse;
                handler: join_group::handle;
                fields: join_group;
                versions: 0..=9, flexible_from: 6;
                notes: "";
            }
            Heartbeat {
                types: HeartbeatRequest, HeartbeatResponse;
                handler: heartbeat::handle;
                fields: heartbeat;
                versions: 0..=4, flexible_from: 4;
                notes: "";
            }
            LeaveGroup {
                types: LeaveGroupRequest, LeaveGroupResponse;
                handler: leave_group::handle;
                fields: leave_group;
                versions: 0..=5, flexible_from: 4;
                notes: "";
            }
            SyncGroup {
                types: SyncGroupRequest, SyncGroupResponse;
                handler: sync_group::handle;
                fields: sync_group;
                versions: 0..=5, flexible_from: 4;
                notes: "";
            }
            DescribeGroups {
                types: DescribeGroupsRequest, DescribeGroupsResponse;
                handler: describe_groups::handle;
                fields: describe_groups;
                versions: 0..=6, flexible_from: 5;
                notes: "No authorization: authorized operations are never listed.";
            }
            ListGroups {
                types: ListGroupsRequest, ListGroupsResponse;
                handler: list_groups::handle;
                fields: list_groups;
                versions: 0..=5, flexible_from: 3;
                notes: "Classic groups only.";
            }
            SaslHandshake {
                types: SaslHandshakeRequest, SaslHandshakeResponse;
                handler: security::sasl::handshake;
                fields: sasl_handshake;
                versions: 0..=1, flexible_from: i16::MAX;
                notes: "No SASL: ILLEGAL_SASL_STATE, as on a PLAINTEXT listener.";
            }
            ApiVersions {
                types: ApiVersionsRequest, ApiVersionsResponse;
                handler: api_versions::handle;
                fields: api_versions;
                versions: 0..=4, flexible_from: 3;
                notes: "";
            }
            CreateTopics {
                types: CreateTopicsRequest, CreateTopicsResponse;
                handler: create_topics::handle;
                fields: create_topics;
                versions: 2..=7, flexible_from: 5;
                notes: "One broker: a replication factor above 1 is refused. The response lists only the settings given.";
            }
            DeleteTopics {
                types: DeleteTopicsRequest, DeleteTopicsResponse;
                handler: delete_topics::handle;
                fields: delete_topics;
                versions: 1..=6, flexible_from: 4;
                notes: "";
            }
            DeleteRecords {
                types: DeleteRecordsRequest, DeleteRecordsResponse;
                handler: delete_records::handle;
                fields: delete_records;
                versions: 0..=2, flexible_from: 2;
                notes: "";
            }
            InitProducerId {
                types: InitProducerIdRequest, InitProducerIdResponse;
                handler: init_producer_id::handle;
                fields: init_producer_id;
                versions: 0..=5, flexible_from: 2;
                notes: "No two-phase commit.";
            }
            OffsetForLeaderEpoch {
                types: OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse;
                handler: offset_for_leader_epoch::handle;
                fields: offset_for_leader_epoch;
                versions: 2..=4, flexible_from: 4;
                notes: "No follower replicas.";
            }
            AddPartitionsToTxn {
                types: AddPartitionsToTxnRequest, AddPartitionsToTxnResponse;
                handler: add_partitions_to_txn::handle;
                fields: add_partitions_to_txn;
                versions: 0..=5, flexible_from: 3;
                notes: "";
            }
            AddOffsetsToTxn {
                types: AddOffsetsToTxnRequest, AddOffsetsToTxnResponse;
                handler: add_offsets_to_txn::handle;
                fields: add_offsets_to_txn;
                versions: 0..=4, flexible_from: 3;
                notes: "";
            }
            EndTxn {
                types: EndTxnRequest, EndTxnResponse;
                handler: end_txn::handle;
                fields: end_txn;
                versions: 0..=5, flexible_from: 3;
                notes: "";
            }
            WriteTxnMarkers {
                types: WriteTxnMarkersRequest, WriteTxnMarkersResponse;
                handler: write_txn_markers::handle;
                fields: write_txn_markers;
                versions: 1..=1, flexible_from: 1;
                notes: "";
            }
            TxnOffsetCommit {
                types: TxnOffsetCommitRequest, TxnOffsetCommitResponse;
                handler: txn_offset_commit::handle;
                fields: txn_offset_commit;
                versions: 0..=5, flexible_from: 3;
                notes: "";
            }
            DescribeAcls {
                types: DescribeAclsRequest, DescribeAclsResponse;
                handler: security::acls::describe;
                fields: describe_acls;
                versions: 1..=3, flexible_from: 2;
                notes: "No authorizer: SECURITY_DISABLED, as from Kafka without one.";
            }
            CreateAcls {
                types: CreateAclsRequest, CreateAclsResponse;
                handler: security::acls::create;
                fields: create_acls;
                versions: 1..=3, flexible_from: 2;
                notes: "No authorizer: SECURITY_DISABLED, as from Kafka without one.";
            }
            DeleteAcls {
                types: DeleteAclsRequest, DeleteAclsResponse;
                handler: security::acls::delete;
                fields: delete_acls;
                versions: 1..=3, flexible_from: 2;
                notes: "No authorizer: SECURITY_DISABLED, as from Kafka without one.";
            }
            DescribeConfigs {
                types: DescribeConfigsRequest, DescribeConfigsResponse;
                handler: describe_configs::handle;
                fields: describe_configs;
                versions: 1..=4, flexible_from: 4;
                notes: "Topics and this broker only; no loggers, quotas or groups.";
            }
            AlterConfigs {
                types: AlterConfigsRequest, AlterConfigsResponse;
                handler: alter_configs::handle;
                fields: alter_configs;
                versions: 0..=2, flexible_from: 2;
                notes: "Topics only; broker settings are given at startup.";
            }
            DescribeLogDirs {
                types: DescribeLogDirsRequest, DescribeLogDirsResponse;
                handler: describe_log_dirs::handle;
                fields: describe_log_dirs;
                versions: 1..=4, flexible_from: 2;
                notes: "Volume size is not reported.";
            }
            SaslAuthenticate {
                types: SaslAuthenticateRequest, SaslAuthenticateResponse;
                handler: security::sasl::authenticate;
                fields: sasl_authenticate;
                versions: 0..=2, flexible_from: 2;
                notes: "No SASL: ILLEGAL_SASL_STATE, as on a PLAINTEXT listener.";
            }
            CreatePartitions {
                types: CreatePartitionsRequest, CreatePartitionsResponse;
                handler: create_partitions::handle;
                fields: create_partitions;
                versions: 0..=3, flexible_from: 2;
                notes: "";
            }
            CreateDelegationToken {
                types: CreateDelegationTokenRequest, CreateDelegationTokenResponse;
                handler: security::delegation_tokens::create;
                fields: create_delegation_token;
                versions: 1..=3, flexible_from: 2;
                notes: "No tokens: DELEGATION_TOKEN_REQUEST_NOT_ALLOWED, as on a PLAINTEXT listener.";
            }
            RenewDelegationToken {
                types: RenewDelegationTokenRequest, RenewDelegationTokenResponse;
                handler: security::delegation_tokens::renew;
                fields: renew_delegation_token;
                versions: 1..=2, flexible_from: 2;
                notes: "No tokens: DELEGATION_TOKEN_REQUEST_NOT_ALLOWED, as on a PLAINTEXT listener.";
            }
            ExpireDelegationToken {
                types: ExpireDelegationTokenRequest, ExpireDelegationTokenResponse;
                handler: security::delegation_tokens::expire;
                fields: expire_delegation_token;
                versions: 1..=2, flexible_from: 2;
                notes: "No tokens: DELEGATION_TOKEN_REQUEST_NOT_ALLOWED, as on a PLAINTEXT listener.";
            }
            DescribeDelegationToken {
                types: DescribeDelegationTokenRequest, DescribeDelegationTokenResponse;
                handler: security::delegation_tokens::describe;
                fields: describe_delegation_token;
                versions: 1..=3, flexible_from: 2;
                notes: "No tokens: DELEGATION_TOKEN_REQUEST_NOT_ALLOWED, as on a PLAINTEXT listener.";
            }
            DeleteGroups {
                types: DeleteGroupsRequest, DeleteGroupsResponse;
                handler: delete_groups::handle;
                fields: delete_groups;
                versions: 0..=2, flexible_from: 2;
                notes: "";
            }
            ElectLeaders {
                types: ElectLeadersRequest, ElectLeadersResponse;
                handler: elect_leaders::handle;
                fields: elect_leaders;
                versions: 0..=2, flexible_from: 2;
                notes: "One replica per partition: it is the leader unless it is offline.";
            }
            IncrementalAlterConfigs {
                types: IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse;
                handler: incremental_alter_configs::handle;
                fields: incremental_alter_configs;
                versions: 0..=1, flexible_from: 1;
                notes: "Topics only; broker settings are given at startup.";
            }
            AlterPartitionReassignments {
                types: AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse;
                handler: alter_partition_reassignments::handle;
                fields: alter_partition_reassignments;
                versions: 0..=1, flexible_from: 0;
                notes: "One broker: a reassignment to any other is refused.";
            }
            ListPartitionReassignments {
                types: ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse;
                handler: list_partition_reassignments::handle;
                fields: list_partition_reassignments;
                versions: 0..=0, flexible_from: 0;
                notes: "Always empty: there is one broker.";
            }
            OffsetDelete {
                types: OffsetDeleteRequest, OffsetDeleteResponse;
                handler: offset_delete::handle;
                fields: offset_delete;
                versions: 0..=0, flexible_from: i16::MAX;
                notes: "";
            }
            DescribeClientQuotas {
                types: DescribeClientQuotasRequest, DescribeClientQuotasResponse;
                handler: security::nobody::client_quotas;
                fields: describe_client_quotas;
                versions: 0..=1, flexible_from: 1;
                notes: "None exist, and none can be set.";
            }
            DescribeUserScramCredentials {
                types: DescribeUserScramCredentialsRequest, DescribeUserScramCredentialsResponse;
                handler: security::nobody::scram_credentials;
                fields: describe_user_scram_credentials;
                versions: 0..=0, flexible_from: 0;
                notes: "None exist, and none can be set.";
            }
            UpdateFeatures {
                types: UpdateFeaturesRequest, UpdateFeaturesResponse;
                handler: update_features::handle;
                fields: update_features;
                versions: 0..=2, flexible_from: 0;
                notes: "Every feature stays at its highest version.";
            }
            DescribeCluster {
                types: DescribeClusterRequest, DescribeClusterResponse;
                handler: describe_cluster::handle;
                fields: describe_cluster;
                versions: 0..=2, flexible_from: 0;
                notes: "No authorization: authorized operations are never listed.";
            }
            DescribeProducers {
                types: DescribeProducersRequest, DescribeProducersResponse;
                handler: describe_producers::handle;
                fields: describe_producers;
                versions: 0..=0, flexible_from: 0;
                notes: "";
            }
            DescribeTransactions {
                types: DescribeTransactionsRequest, DescribeTransactionsResponse;
                handler: describe_transactions::handle;
                fields: describe_transactions;
                versions: 0..=0, flexible_from: 0;
                notes: "";
            }
            ListTransactions {
                types: ListTransactionsRequest, ListTransactionsResponse;
                handler: list_transactions::handle;
                fields: list_transactions;
                versions: 0..=2, flexible_from: 0;
                notes: "Transactional id patterns support ASCII character classes only.";
            }
            GetTelemetrySubscriptions {
                types: GetTelemetrySubscriptionsRequest, GetTelemetrySubscriptionsResponse;
                handler: get_telemetry_subscriptions::handle;
                fields: get_telemetry_subscriptions;
                versions: 0..=0, flexible_from: 0;
                notes: "Always served; no metrics are requested.";
            }
            PushTelemetry {
                types: PushTelemetryRequest, PushTelemetryResponse;
                handler: push_telemetry::handle;
                fields: push_telemetry;
                versions: 0..=0, flexible_from: 0;
                notes: "Pushed metrics are accepted and discarded.";
            }
            DescribeTopicPartitions {
                types: DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse;
                handler: describe_topic_partitions::handle;
                fields: describe_topic_partitions;
                versions: 0..=0, flexible_from: 0;
                notes: "No authorization: authorized operations are never listed.";
            }
        }
    };
}
