//! ApiVersions (18), versions 0 to 4: the first request of a connection.
//!
//! - Answers [`APIS`], and the features: version 2 of transactions (KIP-890) is in effect, so
//!   clients that know it use it.
//! - From version 3 on the client sends its name and version, which must be well-formed (KIP-511),
//!   or else INVALID_REQUEST.
//! - An unknown version does not close the connection: a newer client gets a version 0 answer with
//!   UNSUPPORTED_VERSION and the range of this one API, and retries with a version from it.

use brooklet_protocol::messages::kafka::api_versions_response::{
    ApiVersion, FinalizedFeatureKey, SupportedFeatureKey,
};
use brooklet_protocol::messages::kafka::{ApiVersionsRequest, ApiVersionsResponse};
use brooklet_protocol::messages::{
    APIS, Api, ApiKey, ErrorCode, Response, ResponseKind, StrBytes, find_api,
};

use super::call::Call;
use super::context::ApiContext;
use super::features::FEATURES;

pub(super) async fn handle(
    _: &ApiContext,
    Call {
        version, request, ..
    }: Call<ApiVersionsRequest>,
) -> ApiVersionsResponse {
    let named = is_software_name(&request.client_software_name)
        && is_software_name(&request.client_software_version);
    if version >= 3 && !named {
        return ApiVersionsResponse::default().with_error_code(ErrorCode::InvalidRequest.code());
    }
    let response = ApiVersionsResponse::default().with_api_keys(APIS.iter().map(range).collect());
    if version < 3 {
        response
    } else {
        with_features(version, response)
    }
}

/// Supported features, and those in effect. A feature that may be off is listed from version 4 on
/// only: older clients take a minimum of 0 for an error (KIP-1022).
fn with_features(version: i16, response: ApiVersionsResponse) -> ApiVersionsResponse {
    let listed = FEATURES
        .iter()
        .filter(|feature| version >= 4 || feature.version_min > 0);
    let supported = listed.map(|feature| {
        SupportedFeatureKey::default()
            .with_name(StrBytes::from_static_str(feature.name))
            .with_min_version(feature.version_min)
            .with_max_version(feature.version_max)
    });
    let finalized = FEATURES.iter().map(|feature| {
        FinalizedFeatureKey::default()
            .with_name(StrBytes::from_static_str(feature.name))
            .with_min_version_level(feature.version_max)
            .with_max_version_level(feature.version_max)
    });
    response
        .with_supported_features(supported.collect())
        .with_finalized_features_epoch(0)
        .with_finalized_features(finalized.collect())
}

/// The response to an ApiVersions request of an unknown version; it is encoded as version 0.
pub fn unsupported_version() -> Response {
    let own = find_api(ApiKey::ApiVersions);
    ResponseKind::ApiVersions(
        ApiVersionsResponse::default()
            .with_error_code(ErrorCode::UnsupportedVersion.code())
            .with_api_keys(own.into_iter().map(range).collect()),
    )
}

fn range(api: &Api) -> ApiVersion {
    ApiVersion::default()
        .with_api_key(api.key as i16)
        .with_min_version(api.version_min_advertised)
        .with_max_version(api.version_max)
}

/// Letters and digits, with `-` and `.` in between.
fn is_software_name(name: &str) -> bool {
    let outer = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    outer(name.chars().next()) && outer(name.chars().next_back()) && name.chars().all(inner)
}
