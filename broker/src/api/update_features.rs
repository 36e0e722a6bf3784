//! UpdateFeatures (57), versions 0 to 2: which version of a feature holds (KIP-584).
//!
//! Each feature holds in its highest version ([`super::features`]) and stays there: to ask for that one
//! changes nothing and succeeds. Any other version, a feature that is unknown and a way of updating that is
//! unknown are INVALID_UPDATE_VERSION, told of each feature up to version 1 and of the whole request
//! from version 2 on.
//!
//! Left out: the timeout, since nothing happens later; to validate only, since nothing changes.

use brooklet_protocol::messages::ErrorCode;
use brooklet_protocol::messages::kafka::update_features_request::FeatureUpdateKey;
use brooklet_protocol::messages::kafka::update_features_response::UpdatableFeatureResult;
use brooklet_protocol::messages::kafka::{UpdateFeaturesRequest, UpdateFeaturesResponse};

use super::call::Call;
use super::context::ApiContext;
use super::error::ApiError;
use super::features::FEATURES;

/// Upgrade, safe downgrade, unsafe downgrade.
const UPGRADE_TYPES: std::ops::RangeInclusive<i8> = 1..=3;

pub(super) async fn handle(
    _: &ApiContext,
    Call {
        version, request, ..
    }: Call<UpdateFeaturesRequest>,
) -> UpdateFeaturesResponse {
    let updates = request.feature_updates.into_iter();
    let mut judged = updates.map(|update| {
        let judged = judge(version, &update);
        (update.feature, judged)
    });
    let response = UpdateFeaturesResponse::default().with_error_message(None);
    if version >= 2 {
        return match judged.find_map(|(_, judged)| judged.err()) {
            None => response,
            Some(error) => response
                .with_error_code(error.code.code())
                .with_error_message(error.message_bytes()),
        };
    }
    let results = judged.map(|(feature, judged)| {
        let result = UpdatableFeatureResult::default()
            .with_feature(feature)
            .with_error_message(None);
        match judged {
            Ok(()) => result,
            Err(error) => result
                .with_error_code(error.code.code())
                .with_error_message(error.message_bytes()),
        }
    });
    response.with_results(results.collect())
}

fn judge(version: i16, update: &FeatureUpdateKey) -> Result<(), ApiError> {
    let refused = |message| Err(ApiError::new(ErrorCode::InvalidUpdateVersion, message));
    let name = update.feature.as_str();
    let Some(feature) = FEATURES.iter().find(|feature| feature.name == name) else {
        return refused(format!("feature '{name}' is unknown"));
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
            "{name} stays at {holds}, expected that, found {found}"
        ));
    }
    Ok(())
}
