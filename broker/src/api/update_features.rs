//! UpdateFeatures (57), versions 0 to 2: the versions of features (KIP-584).
//!
//! Each feature is fixed at its highest version ([`super::features`]): asking for that one succeeds
//! and changes nothing. Any other version, an unknown feature or an unknown upgrade type is
//! answered with INVALID_UPDATE_VERSION, for the feature up to version 1 and for the whole request
//! from version 2 on.
//!
//! Left out: the timeout, since nothing is left to wait for; validating only, since nothing
//! changes.

use brooklet_protocol::messages::ErrorCode;
use brooklet_protocol::messages::kafka::update_features_request::FeatureUpdateKey;
use brooklet_protocol::messages::kafka::update_features_response::UpdatableFeatureResult;
use brooklet_protocol::messages::kafka::{UpdateFeaturesRequest, UpdateFeaturesResponse};

use super::call::Call;
use super::context::ApiContext;
use super::error::ApiError;
use super::features::FEATURES;

/// Kafka's numbers for an upgrade, a safe and an unsafe downgrade.
const UPGRADE_TYPES: std::ops::RangeInclusive<i8> = 1..=3;

pub(super) async fn handle(
    _: &ApiContext,
    Call {
        version, request, ..
    }: Call<UpdateFeaturesRequest>,
) -> UpdateFeaturesResponse {
    let updates = request.feature_updates.into_iter();
    let mut checked = updates.map(|update| {
        let checked = check(version, &update);
        (update.feature, checked)
    });
    let response = UpdateFeaturesResponse::default().with_error_message(None);
    if version >= 2 {
        return match checked.find_map(|(_, checked)| checked.err()) {
            None => response,
            Some(error) => response
                .with_error_code(error.code.code())
                .with_error_message(error.message_bytes()),
        };
    }
    let results = checked.map(|(feature, checked)| {
        let result = UpdatableFeatureResult::default()
            .with_feature(feature)
            .with_error_message(None);
        match checked {
            Ok(()) => result,
            Err(error) => result
                .with_error_code(error.code.code())
                .with_error_message(error.message_bytes()),
        }
    });
    response.with_results(results.collect())
}

fn check(version: i16, update: &FeatureUpdateKey) -> Result<(), ApiError> {
    let refused = |message| Err(ApiError::new(ErrorCode::InvalidUpdateVersion, message));
    let name = update.feature.as_str();
    let Some(feature) = FEATURES.iter().find(|feature| feature.name == name) else {
        return refused(format!("unknown feature '{name}'"));
    };
    if version >= 1 && !UPGRADE_TYPES.contains(&update.upgrade_type) {
        let found = update.upgrade_type;
        return refused(format!(
            "expected an upgrade type from 1 to 3, found {found}"
        ));
    }
    let (holds, found) = (feature.version_max, update.max_version_level);
    if found != holds {
        return refused(format!(
            "feature '{name}' is fixed at version {holds}, found {found}"
        ));
    }
    Ok(())
}
