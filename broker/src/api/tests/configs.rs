use std::collections::BTreeMap;

use brooklet_protocol::messages::kafka::alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use brooklet_protocol::messages::kafka::delete_records_request::{
    DeleteRecordsPartition, DeleteRecordsTopic,
};
use brooklet_protocol::messages::kafka::describe_configs_request::DescribeConfigsResource;
use brooklet_protocol::messages::kafka::describe_configs_response::DescribeConfigsResourceResult;
use brooklet_protocol::messages::kafka::incremental_alter_configs_request as incremental;
use brooklet_protocol::messages::kafka::{
    AlterConfigsRequest, DeleteRecordsRequest, DescribeConfigsRequest,
    IncrementalAlterConfigsRequest,
};
use brooklet_protocol::messages::{ErrorCode, RequestKind, ResponseKind, StrBytes};

use super::{Fixture, batch, body, code, topic};

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// Operation, name, value.
type Change = (i8, &'static str, Option<&'static str>);

async fn alter(fixture: &Fixture, name: &str, changes: &[Change], validate_only: bool) -> i16 {
    let config = |(operation, name, value): &Change| {
        incremental::AlterableConfig::default()
            .with_name(text(name))
            .with_config_operation(*operation)
            .with_value(value.map(text))
    };
    let resource = incremental::AlterConfigsResource::default()
        .with_resource_type(2)
        .with_resource_name(text(name))
        .with_configs(changes.iter().map(config).collect());
    let request = IncrementalAlterConfigsRequest::default()
        .with_resources(vec![resource])
        .with_validate_only(validate_only);
    let response = fixture
        .call(1, RequestKind::IncrementalAlterConfigs(request))
        .await;
    let answer = &body!(IncrementalAlterConfigs, response).responses[0];
    assert_eq!(answer.error_code == 0, answer.error_message.is_none());
    answer.error_code
}

/// Value and source of each setting.
async fn describe(fixture: &Fixture, kind: i8, name: &str) -> BTreeMap<String, (String, i8)> {
    let resource = DescribeConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(text(name))
        .with_configuration_keys(None);
    let request = DescribeConfigsRequest::default()
        .with_resources(vec![resource])
        .with_include_synonyms(true)
        .with_include_documentation(true);
    let response = fixture.call(4, RequestKind::DescribeConfigs(request)).await;
    let result = body!(DescribeConfigs, response).results.remove(0);
    assert_eq!(result.error_code, 0, "{:?}", result.error_message);
    let configs = result.configs.into_iter().inspect(|config| {
        assert_eq!(config.synonyms.is_empty(), config.value.is_none());
        assert_ne!(config.config_type, 0, "{config:?}");
    });
    configs
        .map(|c| {
            (
                c.name.to_string(),
                (c.value.unwrap_or_default().to_string(), c.config_source),
            )
        })
        .collect()
}

#[tokio::test]
async fn settings_are_changed_one_by_one_and_act_at_once() {
    let fixture = Fixture::start().await;
    fixture.create("clicks", 2).await;
    let changes = [
        (0, "retention.ms", Some("60000")),
        (0, "segment.bytes", Some("300")),
    ];
    assert_eq!(alter(&fixture, "clicks", &changes, false).await, 0);
    let image = fixture.broker.controller().image();
    for state in &image.topic("clicks").unwrap().partitions {
        assert_eq!(state.open().unwrap().log().config().segment_bytes, 300);
    }
    let described = describe(&fixture, 2, "clicks").await;
    assert_eq!(described["retention.ms"], ("60000".to_owned(), 1));
    assert_eq!(described["retention.bytes"], ("-1".to_owned(), 5));
    assert_eq!(
        alter(&fixture, "clicks", &[(1, "retention.ms", None)], false).await,
        0
    );
    assert_eq!(describe(&fixture, 2, "clicks").await["retention.ms"].1, 5);

    for _ in 0..2 {
        assert_eq!(
            alter(
                &fixture,
                "clicks",
                &[(2, "cleanup.policy", Some("compact"))],
                false
            )
            .await,
            0
        );
    }
    assert_eq!(
        describe(&fixture, 2, "clicks").await["cleanup.policy"].0,
        "delete,compact"
    );
    assert_eq!(
        alter(
            &fixture,
            "clicks",
            &[(3, "cleanup.policy", Some("delete"))],
            false
        )
        .await,
        0
    );
    assert_eq!(
        describe(&fixture, 2, "clicks").await["cleanup.policy"].0,
        "compact"
    );
}

#[tokio::test]
async fn a_change_that_makes_no_sense_changes_nothing() {
    let fixture = Fixture::start().await;
    fixture.create("clicks", 1).await;
    let before = describe(&fixture, 2, "clicks").await;
    let good = (0, "segment.bytes", Some("300"));
    let cases: [(&str, &[Change], ErrorCode); 7] = [
        (
            "clicks",
            &[good, (0, "retention.ms", Some("soon"))],
            ErrorCode::InvalidConfig,
        ),
        (
            "clicks",
            &[good, (0, "retentoin.ms", Some("1"))],
            ErrorCode::InvalidConfig,
        ),
        (
            "clicks",
            &[good, (0, "retention.ms", None)],
            ErrorCode::InvalidRequest,
        ),
        ("clicks", &[good, good], ErrorCode::InvalidRequest),
        (
            "clicks",
            &[good, (2, "segment.ms", Some("1"))],
            ErrorCode::InvalidConfig,
        ),
        (
            "clicks",
            &[good, (9, "segment.ms", Some("1"))],
            ErrorCode::InvalidRequest,
        ),
        ("other", &[good], ErrorCode::UnknownTopicOrPartition),
    ];
    for (name, changes, expected) in cases {
        for validate_only in [true, false] {
            let error = alter(&fixture, name, changes, validate_only).await;
            assert_eq!(error, code(expected), "{changes:?}");
        }
    }
    assert_eq!(
        alter(&fixture, "clicks", &[good], true).await,
        0,
        "only validated"
    );
    assert_eq!(describe(&fixture, 2, "clicks").await, before);
}

fn replacement(name: &str, settings: &[(&str, Option<&str>)]) -> AlterConfigsResource {
    let config = |(name, value): &(&str, Option<&str>)| {
        AlterableConfig::default()
            .with_name(text(name))
            .with_value(value.map(text))
    };
    AlterConfigsResource::default()
        .with_resource_type(2)
        .with_resource_name(text(name))
        .with_configs(settings.iter().map(config).collect())
}

/// The error code for each resource.
async fn replace(
    fixture: &Fixture,
    resources: Vec<AlterConfigsResource>,
    validate_only: bool,
) -> Vec<i16> {
    let request = AlterConfigsRequest::default()
        .with_resources(resources)
        .with_validate_only(validate_only);
    let response = fixture.call(2, RequestKind::AlterConfigs(request)).await;
    let responses = body!(AlterConfigs, response).responses;
    responses.iter().map(|r| r.error_code).collect()
}

#[tokio::test]
async fn altering_replaces_all() {
    let fixture = Fixture::start().await;
    fixture.create("clicks", 1).await;
    alter(&fixture, "clicks", &[(0, "segment.ms", Some("5"))], false).await;
    let retention = || vec![replacement("clicks", &[("retention.ms", Some("7"))])];
    assert_eq!(replace(&fixture, retention(), true).await, [0]);
    let described = describe(&fixture, 2, "clicks").await;
    assert_eq!(described["segment.ms"].0, "5", "it was only validated");
    assert_eq!(replace(&fixture, retention(), false).await, [0]);
    let described = describe(&fixture, 2, "clicks").await;
    assert_eq!(described["retention.ms"].0, "7");
    assert_eq!(described["segment.ms"].1, 5, "back to the default");

    let (once, none) = (("segment.ms", Some("9")), ("segment.ms", None));
    let invalid = code(ErrorCode::InvalidRequest);
    for settings in [&[once, once][..], &[none]] {
        let asked = vec![replacement("clicks", settings)];
        assert_eq!(replace(&fixture, asked, false).await, [invalid]);
    }
    fixture.create("views", 1).await;
    let asked = ["clicks", "views", "clicks"].map(|name| replacement(name, &[once]));
    let outcome = replace(&fixture, asked.to_vec(), false).await;
    assert_eq!(outcome, [invalid, 0, invalid], "whose order would decide");
    let broker = replacement("1", &[once]).with_resource_type(4);
    assert_eq!(replace(&fixture, vec![broker], false).await, [invalid]);
    assert_eq!(describe(&fixture, 2, "clicks").await, described);
}

#[tokio::test]
async fn the_broker_tells_its_settings() {
    let fixture = Fixture::start().await;
    let described = describe(&fixture, 4, "1").await;
    assert_eq!(described["num.partitions"], ("1".to_owned(), 5));
    assert_eq!(describe(&fixture, 4, "").await, described);
    assert_eq!(described["log.retention.ms"], ("604800000".to_owned(), 5));
    assert_eq!(described["message.max.bytes"], ("1048588".to_owned(), 5));
    let fixture = Fixture::start_with(|config| config.log.message_bytes_max = 200).await;
    fixture.create("clicks", 1).await;
    let given = ("200".to_owned(), 4);
    let described = describe(&fixture, 4, "1").await;
    assert_eq!(described["message.max.bytes"], given);
    let described = describe(&fixture, 2, "clicks").await;
    assert_eq!(described["max.message.bytes"], given);
}

#[tokio::test]
async fn what_the_broker_was_given_is_told_and_handed_down() {
    let given = [
        ("node.id", "7"),
        ("log.retention.hours", "2"),
        ("log.cleanup.policy", "compact"),
        ("acks.all.sync", "FALSE"),
    ];
    let fixture = Fixture::start_with(|config| {
        for (key, value) in given {
            config.apply(key, value).unwrap();
        }
    })
    .await;
    fixture.create("clicks", 1).await;
    let told = |value: &str, source| (value.to_owned(), source);
    let broker = describe(&fixture, 4, "7").await;
    assert_eq!(broker["node.id"], told("7", 4));
    assert_eq!(broker["broker.id"], told("7", 4));
    assert_eq!(broker["acks.all.sync"], told("false", 4));
    assert_eq!(broker["log.dirs"], told("/data", 4));
    assert_eq!(broker["log.retention.ms"], told("7200000", 4));
    assert_eq!(broker["log.retention.hours"], told("2", 4));
    assert_eq!(broker["log.retention.minutes"], told("", 5));
    assert_eq!(broker["log.flush.interval.ms"], told("1000", 5));
    assert_eq!(broker["min.insync.replicas"], told("1", 5));
    let topic = describe(&fixture, 2, "clicks").await;
    assert_eq!(topic["retention.ms"], told("7200000", 4));
    assert_eq!(topic["flush.ms"], told("1000", 5));

    // To append begins with what holds.
    let change = [(2, "cleanup.policy", Some("delete"))];
    assert_eq!(alter(&fixture, "clicks", &change, false).await, 0);
    let described = describe_one(&fixture, "clicks", "cleanup.policy").await;
    let synonyms = described.synonyms.iter();
    let synonyms: Vec<_> = synonyms
        .map(|s| (s.name.as_str(), s.value.as_deref().unwrap(), s.source))
        .collect();
    let expected = [
        ("cleanup.policy", "compact,delete", 1),
        ("log.cleanup.policy", "compact", 4),
        ("log.cleanup.policy", "delete", 5),
    ];
    assert_eq!(synonyms, expected);
    let retention = describe_one(&fixture, "clicks", "retention.ms").await;
    assert_eq!(retention.synonyms[0].name.as_str(), "log.retention.hours");
    assert_eq!(retention.synonyms[0].value.as_deref(), Some("2"));
}

/// One setting of a topic, with all there is to tell.
async fn describe_one(
    fixture: &Fixture,
    topic: &str,
    setting: &str,
) -> DescribeConfigsResourceResult {
    let resource = DescribeConfigsResource::default()
        .with_resource_type(2)
        .with_resource_name(text(topic))
        .with_configuration_keys(Some(vec![text(setting)]));
    let request = DescribeConfigsRequest::default()
        .with_resources(vec![resource])
        .with_include_synonyms(true);
    let response = fixture.call(4, RequestKind::DescribeConfigs(request)).await;
    let mut configs = body!(DescribeConfigs, response).results.remove(0).configs;
    configs.remove(0)
}

#[tokio::test]
async fn only_what_is_asked_for_is_described() {
    let fixture = Fixture::start().await;
    fixture.create("clicks", 1).await;
    let keys = ["segment.ms", "no.such.setting"].map(text).to_vec();
    let resource = DescribeConfigsResource::default()
        .with_resource_type(2)
        .with_resource_name(text("clicks"))
        .with_configuration_keys(Some(keys));
    let request = DescribeConfigsRequest::default().with_resources(vec![resource]);
    let response = fixture.call(4, RequestKind::DescribeConfigs(request)).await;
    let configs = body!(DescribeConfigs, response).results.remove(0).configs;
    assert_eq!(configs.len(), 1);
    assert_eq!(configs[0].name.as_str(), "segment.ms");
    assert_eq!(configs[0].synonyms, []);
    assert_eq!(configs[0].documentation, None);
}

async fn delete(fixture: &Fixture, name: &str, offset: i64) -> (i16, i64) {
    let partition = DeleteRecordsPartition::default().with_offset(offset);
    let asked = DeleteRecordsTopic::default()
        .with_name(topic(name))
        .with_partitions(vec![partition]);
    let request = DeleteRecordsRequest::default().with_topics(vec![asked]);
    let response = fixture.call(2, RequestKind::DeleteRecords(request)).await;
    let result = &body!(DeleteRecords, response).topics[0].partitions[0];
    (result.error_code, result.low_watermark)
}

#[tokio::test]
async fn records_are_deleted_up_to_an_offset_durably() {
    let fixture = Fixture::start().await;
    fixture.create("clicks", 1).await;
    fixture
        .produce(9, "clicks", 1, Some(batch(&["a", "b", "c"])))
        .await;
    assert_eq!(delete(&fixture, "clicks", 2).await, (0, 2));
    assert_eq!(
        delete(&fixture, "clicks", 1).await,
        (0, 2),
        "nothing to do is no error"
    );
    let out_of_range = (code(ErrorCode::OffsetOutOfRange), -1);
    assert_eq!(delete(&fixture, "clicks", 4).await, out_of_range);
    assert_eq!(delete(&fixture, "clicks", -2).await, out_of_range);
    assert_eq!(
        delete(&fixture, "other", 0).await.0,
        code(ErrorCode::UnknownTopicOrPartition)
    );
    let again = fixture.restart_after_crash().await;
    assert_eq!(
        delete(&again, "clicks", 0).await,
        (0, 2),
        "a crash does not bring them back"
    );
    assert_eq!(delete(&again, "clicks", -1).await, (0, 3));
    alter(
        &again,
        "clicks",
        &[(0, "cleanup.policy", Some("compact"))],
        false,
    )
    .await;
    assert_eq!(
        delete(&again, "clicks", 3).await.0,
        code(ErrorCode::PolicyViolation)
    );
}

#[tokio::test]
async fn a_deletion_that_could_not_be_written_down_is_not_done_by_asking_again() {
    let fixture = Fixture::start().await;
    fixture.create("clicks", 1).await;
    let records = Some(batch(&["a", "b", "c"]));
    fixture.produce(9, "clicks", -1, records).await;
    let disk = fixture.vfs.sim.clone();
    disk.set_capacity(Some(disk.used_bytes()));
    for _ in 0..2 {
        let full = code(ErrorCode::KafkaStorageError);
        assert_eq!(delete(&fixture, "clicks", 2).await, (full, -1));
    }
    disk.set_capacity(None);
    assert_eq!(delete(&fixture, "clicks", 2).await, (0, 2));
    let again = fixture.restart_after_crash().await;
    assert_eq!(delete(&again, "clicks", 0).await, (0, 2));
}
