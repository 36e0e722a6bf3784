use brooklet_protocol::messages::kafka::update_features_request::FeatureUpdateKey;
use brooklet_protocol::messages::kafka::{
    ApiVersionsRequest, GetTelemetrySubscriptionsRequest, PushTelemetryRequest,
    UpdateFeaturesRequest,
};
use brooklet_protocol::messages::{ErrorCode, ResponseKind, StrBytes};
use bytes::Bytes;
use uuid::Uuid;

use super::{Fixture, body, code};

fn text(text: &'static str) -> StrBytes {
    StrBytes::from_static_str(text)
}

#[tokio::test]
async fn a_feature_stays_in_its_version() {
    let fixture = Fixture::start().await;
    let client = ApiVersionsRequest::default()
        .with_client_software_name(text("test"))
        .with_client_software_version(text("1"));
    let told = body!(ApiVersions, fixture.call(4, client.into()).await);
    let finalized = &told.finalized_features[0];
    assert_eq!(finalized.name, text("transaction.version"));
    let holds = finalized.max_version_level;
    let refused = code(ErrorCode::InvalidUpdateVersion);
    for version in 0..=2 {
        for (name, level, upgrade_type, expected) in [
            ("transaction.version", holds, 1, 0),
            ("transaction.version", holds - 1, 1, refused),
            ("transaction.version", holds + 1, 1, refused),
            ("transaction.version", 0, 2, refused),
            ("transaction.version", holds, 0, refused),
            ("transaction.version", holds, 4, refused),
            ("metadata.version", 1, 1, refused),
            ("", 1, 1, refused),
        ] {
            // Before version 1 there is no type.
            if version == 0 && upgrade_type != 1 {
                continue;
            }
            let update = FeatureUpdateKey::default()
                .with_feature(text(name))
                .with_max_version_level(level)
                .with_upgrade_type(upgrade_type);
            let fine = FeatureUpdateKey::default()
                .with_feature(text("transaction.version"))
                .with_max_version_level(holds);
            let request = UpdateFeaturesRequest::default().with_feature_updates(vec![fine, update]);
            let answer = body!(UpdateFeatures, fixture.call(version, request.into()).await);
            assert_eq!(answer.error_code == 0, answer.error_message.is_none());
            let found: Vec<_> = answer
                .results
                .iter()
                .map(|result| result.error_code)
                .collect();
            if version < 2 {
                assert_eq!(
                    (answer.error_code, found),
                    (0, vec![0, expected]),
                    "{name} {level}"
                );
            } else {
                assert_eq!(
                    (answer.error_code, found),
                    (expected, vec![]),
                    "{name} {level}"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_client_gets_an_id_and_is_asked_for_no_metrics() {
    let fixture = Fixture::start().await;
    let subscribe = async |id| {
        let request = GetTelemetrySubscriptionsRequest::default().with_client_instance_id(id);
        let answer = body!(
            GetTelemetrySubscriptions,
            fixture.call(0, request.into()).await
        );
        assert_eq!((answer.error_code, answer.requested_metrics.len()), (0, 0));
        assert!(answer.push_interval_ms > 0 && answer.telemetry_max_bytes > 0);
        (answer.client_instance_id, answer.subscription_id)
    };
    let (first, subscription) = subscribe(Uuid::nil()).await;
    let (second, _) = subscribe(Uuid::nil()).await;
    assert!(!first.is_nil() && first != second);
    assert_eq!(subscribe(first).await, (first, subscription));

    let fine = PushTelemetryRequest::default()
        .with_client_instance_id(first)
        .with_subscription_id(subscription)
        .with_terminating(true);
    let large = Bytes::from(vec![0; (1 << 20) + 1]);
    for (pushed, expected) in [
        (fine.clone(), None),
        (
            fine.clone()
                .with_compression_type(4)
                .with_metrics(large.slice(1..)),
            None,
        ),
        (
            fine.clone().with_client_instance_id(Uuid::nil()),
            Some(ErrorCode::InvalidRequest),
        ),
        (
            fine.clone().with_subscription_id(subscription + 1),
            Some(ErrorCode::UnknownSubscriptionId),
        ),
        (
            fine.clone().with_compression_type(5),
            Some(ErrorCode::UnsupportedCompressionType),
        ),
        (fine.with_metrics(large), Some(ErrorCode::TelemetryTooLarge)),
    ] {
        let answer = body!(PushTelemetry, fixture.call(0, pushed.into()).await);
        assert_eq!(answer.error_code, expected.map_or(0, code), "{expected:?}");
    }
}
