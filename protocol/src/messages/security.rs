//! The shapes of the messages about who may do what: SASL, ACLs, delegation tokens, quotas and SCRAM.

use super::ApiKey;
use super::shape::Kind::{Bool, Bytes, Int8, Int16, Int32, Int64, String, Strings, Structs};
use super::shape::{Field, Shape, field};

/// Of the requests.
pub(super) mod requests {
    use super::{ApiKey, Bool, Bytes, Field, Int8, Int64, Shape, String, Structs, field};

    pub(in super::super) const SASL_HANDSHAKE: Shape = Shape::new(
        ApiKey::SaslHandshake,
        0..=1,
        i16::MAX,
        &[field("mechanism", String)],
    );

    pub(in super::super) const SASL_AUTHENTICATE: Shape = Shape::new(
        ApiKey::SaslAuthenticate,
        0..=2,
        2,
        &[field("auth_bytes", Bytes)],
    );

    pub(in super::super) const DESCRIBE_ACLS: Shape =
        Shape::new(ApiKey::DescribeAcls, 1..=3, 2, ACL_FILTER);
    pub(in super::super) const DELETE_ACLS: Shape = Shape::new(
        ApiKey::DeleteAcls,
        1..=3,
        2,
        &[field("filters", Structs(ACL_FILTER))],
    );
    const ACL_FILTER: &[Field] = &[
        field("resource_type_filter", Int8),
        field("resource_name_filter", String).nullable(),
        field("pattern_type_filter", Int8),
        field("principal_filter", String).nullable(),
        field("host_filter", String).nullable(),
        field("operation", Int8),
        field("permission_type", Int8),
    ];

    pub(in super::super) const CREATE_ACLS: Shape = Shape::new(
        ApiKey::CreateAcls,
        1..=3,
        2,
        &[field("creations", Structs(ACL_CREATION))],
    );
    const ACL_CREATION: &[Field] = &[
        field("resource_type", Int8),
        field("resource_name", String),
        field("resource_pattern_type", Int8),
        field("principal", String),
        field("host", String),
        field("operation", Int8),
        field("permission_type", Int8),
    ];

    pub(in super::super) const CREATE_DELEGATION_TOKEN: Shape = Shape::new(
        ApiKey::CreateDelegationToken,
        1..=3,
        2,
        &[
            field("owner_principal_type", String).nullable().since(3),
            field("owner_principal_name", String).nullable().since(3),
            field("renewers", Structs(PRINCIPAL)),
            field("max_lifetime_ms", Int64),
        ],
    );
    const PRINCIPAL: &[Field] = &[
        field("principal_type", String),
        field("principal_name", String),
    ];

    pub(in super::super) const RENEW_DELEGATION_TOKEN: Shape = Shape::new(
        ApiKey::RenewDelegationToken,
        1..=2,
        2,
        &[field("hmac", Bytes), field("renew_period_ms", Int64)],
    );

    pub(in super::super) const EXPIRE_DELEGATION_TOKEN: Shape = Shape::new(
        ApiKey::ExpireDelegationToken,
        1..=2,
        2,
        &[field("hmac", Bytes), field("expiry_time_period_ms", Int64)],
    );

    pub(in super::super) const DESCRIBE_DELEGATION_TOKEN: Shape = Shape::new(
        ApiKey::DescribeDelegationToken,
        1..=3,
        2,
        &[field("owners", Structs(PRINCIPAL)).nullable()],
    );

    pub(in super::super) const DESCRIBE_CLIENT_QUOTAS: Shape = Shape::new(
        ApiKey::DescribeClientQuotas,
        0..=1,
        1,
        &[
            field("components", Structs(QUOTA_COMPONENT)),
            field("strict", Bool),
        ],
    );
    const QUOTA_COMPONENT: &[Field] = &[
        field("entity_type", String),
        field("match_type", Int8),
        field("match", String).nullable(),
    ];

    pub(in super::super) const DESCRIBE_USER_SCRAM_CREDENTIALS: Shape = Shape::new(
        ApiKey::DescribeUserScramCredentials,
        0..=0,
        0,
        &[field("users", Structs(USER_NAME)).nullable()],
    );
    const USER_NAME: &[Field] = &[field("name", String)];
}

/// Of the responses.
pub(super) mod responses {
    use super::{
        ApiKey, Bytes, Field, Int8, Int16, Int32, Int64, Shape, String, Strings, Structs, field,
    };

    pub(in super::super) const SASL_HANDSHAKE: Shape = Shape::new(
        ApiKey::SaslHandshake,
        0..=1,
        i16::MAX,
        &[field("error_code", Int16), field("mechanisms", Strings)],
    );

    pub(in super::super) const SASL_AUTHENTICATE: Shape = Shape::new(
        ApiKey::SaslAuthenticate,
        0..=2,
        2,
        &[
            field("error_code", Int16),
            field("error_message", String).nullable(),
            field("auth_bytes", Bytes),
            field("session_lifetime_ms", Int64).since(1),
        ],
    );

    pub(in super::super) const DESCRIBE_ACLS: Shape = Shape::new(
        ApiKey::DescribeAcls,
        1..=3,
        2,
        &[
            field("throttle_time_ms", Int32),
            field("error_code", Int16),
            field("error_message", String).nullable(),
            field("resources", Structs(ACL_RESOURCE)),
        ],
    );
    const ACL_RESOURCE: &[Field] = &[
        field("resource_type", Int8),
        field("resource_name", String),
        field("pattern_type", Int8),
        field("acls", Structs(ACL_DESCRIPTION)),
    ];
    const ACL_DESCRIPTION: &[Field] = &[
        field("principal", String),
        field("host", String),
        field("operation", Int8),
        field("permission_type", Int8),
    ];

    pub(in super::super) const CREATE_ACLS: Shape = Shape::new(
        ApiKey::CreateAcls,
        1..=3,
        2,
        &[
            field("throttle_time_ms", Int32),
            field("results", Structs(ACL_CREATION_RESULT)),
        ],
    );
    const ACL_CREATION_RESULT: &[Field] = &[
        field("error_code", Int16),
        field("error_message", String).nullable(),
    ];

    pub(in super::super) const DELETE_ACLS: Shape = Shape::new(
        ApiKey::DeleteAcls,
        1..=3,
        2,
        &[
            field("throttle_time_ms", Int32),
            field("filter_results", Structs(ACL_FILTER_RESULT)),
        ],
    );
    const ACL_FILTER_RESULT: &[Field] = &[
        field("error_code", Int16),
        field("error_message", String).nullable(),
        field("matching_acls", Structs(MATCHING_ACL)),
    ];
    const MATCHING_ACL: &[Field] = &[
        field("error_code", Int16),
        field("error_message", String).nullable(),
        field("resource_type", Int8),
        field("resource_name", String),
        field("pattern_type", Int8),
        field("principal", String),
        field("host", String),
        field("operation", Int8),
        field("permission_type", Int8),
    ];

    pub(in super::super) const CREATE_DELEGATION_TOKEN: Shape = Shape::new(
        ApiKey::CreateDelegationToken,
        1..=3,
        2,
        &[
            field("error_code", Int16),
            field("principal_type", String),
            field("principal_name", String),
            field("token_requester_principal_type", String).since(3),
            field("token_requester_principal_name", String).since(3),
            field("issue_timestamp_ms", Int64),
            field("expiry_timestamp_ms", Int64),
            field("max_timestamp_ms", Int64),
            field("token_id", String),
            field("hmac", Bytes),
            field("throttle_time_ms", Int32),
        ],
    );

    pub(in super::super) const RENEW_DELEGATION_TOKEN: Shape =
        Shape::new(ApiKey::RenewDelegationToken, 1..=2, 2, TOKEN_EXPIRY);
    pub(in super::super) const EXPIRE_DELEGATION_TOKEN: Shape =
        Shape::new(ApiKey::ExpireDelegationToken, 1..=2, 2, TOKEN_EXPIRY);
    const TOKEN_EXPIRY: &[Field] = &[
        field("error_code", Int16),
        field("expiry_timestamp_ms", Int64),
        field("throttle_time_ms", Int32),
    ];

    pub(in super::super) const DESCRIBE_DELEGATION_TOKEN: Shape = Shape::new(
        ApiKey::DescribeDelegationToken,
        1..=3,
        2,
        &[
            field("error_code", Int16),
            field("tokens", Structs(TOKEN)),
            field("throttle_time_ms", Int32),
        ],
    );
    const TOKEN: &[Field] = &[
        field("principal_type", String),
        field("principal_name", String),
        field("token_requester_principal_type", String).since(3),
        field("token_requester_principal_name", String).since(3),
        field("issue_timestamp", Int64),
        field("expiry_timestamp", Int64),
        field("max_timestamp", Int64),
        field("token_id", String),
        field("hmac", Bytes),
        field("renewers", Structs(RENEWER)),
    ];
    const RENEWER: &[Field] = &[
        field("principal_type", String),
        field("principal_name", String),
    ];

    pub(in super::super) const DESCRIBE_CLIENT_QUOTAS: Shape = Shape::new(
        ApiKey::DescribeClientQuotas,
        0..=1,
        1,
        &[
            field("throttle_time_ms", Int32),
            field("error_code", Int16),
            field("error_message", String).nullable(),
            field("entries", Structs(QUOTA_ENTRY)).nullable(),
        ],
    );
    const QUOTA_ENTRY: &[Field] = &[
        field("entity", Structs(QUOTA_ENTITY)),
        field("values", Structs(QUOTA_VALUE)),
    ];
    const QUOTA_ENTITY: &[Field] = &[
        field("entity_type", String),
        field("entity_name", String).nullable(),
    ];
    /// The value is a double, which is as long.
    const QUOTA_VALUE: &[Field] = &[field("key", String), field("value", Int64)];

    pub(in super::super) const DESCRIBE_USER_SCRAM_CREDENTIALS: Shape = Shape::new(
        ApiKey::DescribeUserScramCredentials,
        0..=0,
        0,
        &[
            field("throttle_time_ms", Int32),
            field("error_code", Int16),
            field("error_message", String).nullable(),
            field("results", Structs(SCRAM_RESULT)),
        ],
    );
    const SCRAM_RESULT: &[Field] = &[
        field("user", String),
        field("error_code", Int16),
        field("error_message", String).nullable(),
        field("credential_infos", Structs(SCRAM_CREDENTIAL)),
    ];
    const SCRAM_CREDENTIAL: &[Field] = &[field("mechanism", Int8), field("iterations", Int32)];
}
