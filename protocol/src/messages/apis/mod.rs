//! What is served, and what its messages look like: a row per API, and a file per API with its
//! fields.
//!
//! [`APIS`] is made from the rows in `table.rs`. Each other file lists the fields of one API's
//! request and response, under the names and in the versions of Kafka's message schemas; lists that
//! two APIs share stand in the file of the one that came first. `../tests.rs` compares every list
//! with the decoder and the encoder of `kafka-protocol`, version by version.
//!
//! Left out: behaviour, which is the broker's. A client decodes responses by the same table.

use std::ops::RangeInclusive;

use super::ApiKey;
use super::shape::{Field, Shape};

mod table;

// Records.
mod delete_records;
mod fetch;
mod list_offsets;
mod offset_for_leader_epoch;
mod produce;

// Topics.
mod create_partitions;
mod create_topics;
mod delete_topics;
mod describe_topic_partitions;
mod metadata;

// Settings.
mod alter_configs;
mod describe_configs;
mod incremental_alter_configs;

// Groups.
mod delete_groups;
mod describe_groups;
mod find_coordinator;
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
mod txn_offset_commit;
mod write_txn_markers;

// The cluster.
mod alter_partition_reassignments;
mod api_versions;
mod describe_cluster;
mod describe_log_dirs;
mod elect_leaders;
mod list_partition_reassignments;
mod update_features;

// Clients' metrics.
mod get_telemetry_subscriptions;
mod push_telemetry;

// Security.
mod create_acls;
mod create_delegation_token;
mod delete_acls;
mod describe_acls;
mod describe_client_quotas;
mod describe_delegation_token;
mod describe_user_scram_credentials;
mod expire_delegation_token;
mod renew_delegation_token;
mod sasl_authenticate;
mod sasl_handshake;

/// One API that is served.
#[derive(Debug)]
pub struct Api {
    /// Its key.
    pub key: ApiKey,
    /// The lowest version that ApiVersions advertises.
    pub version_min_advertised: i16,
    /// The lowest version that is served.
    pub version_min: i16,
    /// The highest version that is served.
    pub version_max: i16,
    /// What its request looks like.
    pub request: Shape,
    /// What its response looks like.
    pub response: Shape,
    /// What differs from Kafka.
    pub notes: &'static str,
}

impl Api {
    const fn new(
        key: ApiKey,
        versions: RangeInclusive<i16>,
        flexible_from: i16,
        (request, response): (&'static [Field], &'static [Field]),
        notes: &'static str,
    ) -> Self {
        let versions = (*versions.start(), *versions.end());
        Self {
            key,
            version_min_advertised: versions.0,
            version_min: versions.0,
            version_max: versions.1,
            request: Shape::new(key, versions, flexible_from, request),
            response: Shape::new(key, versions, flexible_from, response),
            notes,
        }
    }

    const fn advertised_from(self, version: i16) -> Self {
        Self {
            version_min_advertised: version,
            ..self
        }
    }

    /// Whether requests of this version are answered.
    pub fn serves(&self, version: i16) -> bool {
        (self.version_min..=self.version_max).contains(&version)
    }
}

macro_rules! apis {
    ($(
        $api:ident {
            types: $request:ident, $response:ident;
            handler: $handler:path;
            fields: $fields:ident;
            versions: $versions:expr, flexible_from: $flexible_from:expr
                $(, advertised_from: $advertised_from:expr)?;
            notes: $notes:literal;
        }
    )+) => {
        /// All that is served, by key.
        pub static APIS: &[Api] = &[$(
            Api::new(
                ApiKey::$api,
                $versions,
                $flexible_from,
                ($fields::REQUEST, $fields::RESPONSE),
                $notes,
            )
            $(.advertised_from($advertised_from))?,
        )+];
    };
}
crate::for_each_api!(apis);

/// The row of `key`; `None` when Brooklet does not serve it.
pub fn find_api(key: ApiKey) -> Option<&'static Api> {
    APIS.iter().find(|api| api.key == key)
}

/// The shape of the request of `api`; `None` when Brooklet does not serve it.
pub fn request_shape(api: ApiKey) -> Option<&'static Shape> {
    find_api(api).map(|api| &api.request)
}

/// The shape of the response of `api`; `None` when Brooklet does not serve it.
pub fn response_shape(api: ApiKey) -> Option<&'static Shape> {
    find_api(api).map(|api| &api.response)
}
