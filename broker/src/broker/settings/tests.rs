use std::collections::BTreeSet;
use std::time::Duration;

use super::super::config::Storage;
use super::*;

fn with(settings: &[(&str, &str)]) -> BrokerConfig {
    let mut config = BrokerConfig::default();
    for (key, value) in settings {
        config.apply(key, value).unwrap();
    }
    config
}

#[test]
fn the_table_is_sorted_and_its_defaults_are_those_of_a_broker() {
    assert!(BROKER_SETTINGS.is_sorted_by(|a, b| a.name < b.name));
    let config = BrokerConfig::default();
    for setting in BROKER_SETTINGS.iter() {
        let Some(default) = setting.default else {
            continue;
        };
        assert_eq!(
            setting.value(&config).as_deref(),
            Some(default),
            "{}",
            setting.name
        );
        assert!(setting.kind.takes(default), "{}", setting.name);
        assert_eq!(setting.given(&config), None, "{}", setting.name);
    }
}

#[test]
fn every_setting_sets_what_it_tells() {
    let other = |setting: &BrokerSetting| match (setting.name, setting.kind) {
        ("advertised.listeners" | "listeners", _) => "PLAINTEXT://127.0.0.1:0",
        ("log.dirs" | "log.dir", _) => "/data",
        ("compression.gzip.level", _) => "5",
        ("compression.zstd.level", _) => "17",
        ("log.cleanup.policy", _) => "compact,delete",
        ("compression.type", _) => "zstd",
        ("log.message.timestamp.type", _) => "LogAppendTime",
        (_, ConfigKind::Ratio) => "0.25",
        (_, ConfigKind::Boolean) if setting.default == Some("true") => "false",
        (_, ConfigKind::Boolean) => "true",
        _ => "4321",
    };
    for setting in BROKER_SETTINGS.iter() {
        let (name, value) = (setting.name, other(setting));
        let config = with(&[(name, value)]);
        assert_eq!(setting.value(&config).as_deref(), Some(value), "{name}");
        let given = Some((name, value.to_owned()));
        assert_eq!(setting.given(&config), given, "{name}");
        let untouched = BrokerConfig {
            given: config.given.clone(),
            ..BrokerConfig::default()
        };
        assert_ne!(format!("{config:?}"), format!("{untouched:?}"), "{name}");
    }
}

#[test]
fn an_error_says_what_would_have_been_right() {
    let rows = [
        (
            "log.retentoin.ms",
            "1",
            "unknown setting 'log.retentoin.ms'; the nearest name is 'log.retention.ms'",
        ),
        (
            "zookeper.connect",
            "z",
            "unknown setting 'zookeper.connect'; the nearest name is 'zookeeper.connect'",
        ),
        ("", "", "unknown setting ''; the nearest name is 'log.dir'"),
        (
            "log.segment.bytes",
            "255",
            "log.segment.bytes: expected a whole number from 256 to 2147483647, found '255'",
        ),
        (
            "num.partitions",
            "many",
            "num.partitions: expected a whole number from 1 to 10000, found 'many'",
        ),
        (
            "auto.create.topics.enable",
            "yes",
            "auto.create.topics.enable: expected true or false, found 'yes'",
        ),
        (
            "log.cleaner.min.cleanable.ratio",
            "2",
            "log.cleaner.min.cleanable.ratio: expected a number from 0 to 1, found '2'",
        ),
        (
            "compression.type",
            "brotli",
            "compression.type: expected one of producer, uncompressed, gzip, snappy, lz4, zstd, found 'brotli'",
        ),
        (
            "log.cleanup.policy",
            "archive",
            "log.cleanup.policy: expected a list of delete, compact, found 'archive'",
        ),
        (
            "log.dirs",
            "/a,/b",
            "log.dirs: expected one directory, found '/a,/b'",
        ),
        ("log.dir", "", "log.dir: expected one directory, found ''"),
        (
            "node.id",
            "-1",
            "node.id: expected a whole number from 0 to 65535, found '-1'",
        ),
    ];
    for (key, value, expected) in rows {
        let mut config = BrokerConfig::default();
        let error = config.apply(key, value).unwrap_err().to_string();
        assert_eq!(error, expected);
        assert!(config.given.is_empty() && config.without_effect.is_empty());
    }
}

#[test]
fn one_plaintext_listener_is_taken_and_nothing_else() {
    let rows = [
        ("PLAINTEXT://127.0.0.1:0", "127.0.0.1:0"),
        ("plaintext://localhost:9092", "localhost:9092"),
        ("PLAINTEXT://[::1]:9092", "[::1]:9092"),
        ("PLAINTEXT://:9092", "0.0.0.0:9092"),
        // As in the file that Kafka comes with.
        ("PLAINTEXT://:9092,CONTROLLER://:9093", "0.0.0.0:9092"),
    ];
    for (listeners, expected) in rows {
        let config = with(&[("listeners", listeners)]);
        assert_eq!(config.kafka.as_deref(), Some(expected));
    }
    for listeners in [
        "",
        "127.0.0.1:9092",
        "SASL_SSL://127.0.0.1:9092",
        "PLAINTEXT://127.0.0.1",
        "PLAINTEXT://127.0.0.1:70000",
        "CONTROLLER://:9093",
        "PLAINTEXT://a:1,PLAINTEXT://b:2",
    ] {
        let error = BrokerConfig::default().apply("listeners", listeners);
        let expected = format!(
            "listeners: expected one listener without TLS or SASL, as PLAINTEXT://HOST:PORT, \
             found '{listeners}'"
        );
        assert_eq!(error.unwrap_err().to_string(), expected);
    }
}

#[test]
fn clients_are_told_an_address_that_means_one_machine() {
    let rows = [
        (
            "PLAINTEXT://broker.example:19092",
            ("broker.example", 19092),
        ),
        ("PLAINTEXT://[::1]:0,CONTROLLER://:9093", ("::1", 0)),
    ];
    for (given, (host, port)) in rows {
        let config = with(&[("advertised.listeners", given)]);
        assert_eq!(config.advertised, Some((host.to_owned(), port)));
    }
    for given in [
        "PLAINTEXT://:9092",
        "PLAINTEXT://0.0.0.0:9092",
        "PLAINTEXT://[::]:9092",
        "a:1",
    ] {
        let error = BrokerConfig::default().apply("advertised.listeners", given);
        let error = error.unwrap_err().to_string();
        assert!(error.contains("a HOST that clients can reach"), "{error}");
    }
}

/// Kafka's rule, whatever the order in which they are given.
#[test]
fn milliseconds_outrank_minutes_and_minutes_hours() {
    let (hours, minutes, ms) = (
        ("log.retention.hours", "1"),
        ("log.retention.minutes", "2"),
        ("log.retention.ms", "3"),
    );
    let age = |settings: &[_]| with(settings).log.retention_age_max.unwrap().as_millis();
    assert_eq!(age(&[hours]), 3_600_000);
    assert_eq!(age(&[minutes]), 120_000);
    for settings in [[hours, minutes], [minutes, hours]] {
        assert_eq!(age(&settings), 120_000);
    }
    for settings in [
        [hours, minutes, ms],
        [ms, minutes, hours],
        [minutes, ms, hours],
    ] {
        assert_eq!(age(&settings), 3);
    }
    assert_eq!(
        with(&[("log.retention.hours", "-1")]).log.retention_age_max,
        None
    );
    assert_eq!(
        age(&[hours, ("log.retention.hours", "2")]),
        7_200_000,
        "the later holds"
    );

    let rolls = with(&[("log.roll.hours", "2"), ("log.roll.jitter.hours", "1")]).log;
    assert_eq!(rolls.segment_age_max, Duration::from_secs(7200));
    assert_eq!(rolls.segment_jitter_max, Duration::from_secs(3600));

    let mut config = with(&[("node.id", "4"), ("log.dirs", "/new")]);
    let outranked = |by| Applied::Outranked { by };
    assert_eq!(
        config.apply("broker.id", "5").unwrap(),
        outranked("node.id")
    );
    assert_eq!(
        config.apply("log.dir", "/old").unwrap(),
        outranked("log.dirs")
    );
    assert_eq!(config.node_id.unwrap().0, 4);
    assert_eq!(config.storage, Storage::Directory("/new".into()));
}

#[test]
fn what_does_nothing_is_accepted_and_remembered_without_its_value() {
    let mut config = BrokerConfig::default();
    for key in [
        "zookeeper.connect",
        "ssl.key.password",
        "listener.name.internal.ssl.key.password",
    ] {
        assert_eq!(config.apply(key, "secret").unwrap(), Applied::WithoutEffect);
        assert!(config.without_effect.contains(key));
    }
    assert!(!format!("{config:?}").contains("secret"));
}

#[test]
fn no_name_is_in_two_lists() {
    let acting = BROKER_SETTINGS.iter().map(|setting| setting.name);
    let others = WITHOUT_EFFECT.iter().flat_map(WithoutEffect::names);
    let mut seen = BTreeSet::new();
    for name in acting.chain(others) {
        assert!(seen.insert(name), "{name}");
    }
}
