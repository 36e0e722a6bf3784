use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use brooklet_log::clock::ManualClock;
use brooklet_log::vfs::sim::SimVfs;
use brooklet_log::vfs::{OpenMode, Vfs};
use brooklet_protocol::messages::Request;
use brooklet_protocol::messages::kafka::MetadataRequest;
use brooklet_protocol::messages::kafka::metadata_request::MetadataRequestTopic;
use brooklet_protocol::messages::{RequestKind, StrBytes, kafka};
use brooklet_protocol::records::{BatchBuilder, Compression, RecordBatch};
use brooklet_protocol::{BrokerId, Offset, Timestamp};

mod gone;
mod small_files;

use super::{Broker, BrokerConfig, Environment, StartError, Storage};
use crate::partition::{Durability, Partition};

const META: &str = "version=1\ncluster.id=AAAAAAAAAAAAAAAAAAAAAQ\nnode.id=1\n\
                    directory.id=AAAAAAAAAAAAAAAAAAAAAQ\nbrooklet.format=1\n";

fn config(path: &str) -> BrokerConfig {
    BrokerConfig {
        storage: Storage::Directory(PathBuf::from(path)),
        kafka: None,
        ..BrokerConfig::default()
    }
}

fn environment(vfs: &SimVfs, clock: &ManualClock, seed: u128) -> Environment {
    Environment {
        vfs: Arc::new(vfs.clone()),
        clock: Arc::new(clock.clone()),
        seed,
    }
}

async fn start(vfs: &SimVfs) -> Result<Broker, StartError> {
    let clock = ManualClock::new(Timestamp(1000));
    Broker::start_in(environment(vfs, &clock, 7), config("/data")).await
}

async fn partition(broker: &Broker) -> Arc<Partition> {
    topic(broker, "clicks").await
}

/// The partition of a topic that is there after this.
async fn topic(broker: &Broker, name: &'static str) -> Arc<Partition> {
    let asked = kafka::TopicName(StrBytes::from_static_str(name));
    let asked = MetadataRequestTopic::default().with_name(Some(asked));
    let body = MetadataRequest::default().with_topics(Some(vec![asked]));
    let request = Request {
        version: 9,
        client_id: None,
        body: RequestKind::Metadata(body),
    };
    broker.call(request).await;
    let image = broker.controller().image();
    Arc::clone(image.topic(name).unwrap().partitions[0].open().unwrap())
}

fn batch() -> RecordBatch {
    let mut batch = BatchBuilder::new(Compression::None);
    batch.append(Timestamp(1), None, Some(b"a"), &[]);
    batch.build()
}

fn write(vfs: &SimVfs, path: &str, content: &str) {
    vfs.create_dir_all(Path::new("/data")).unwrap();
    let file = vfs.open(Path::new(path), OpenMode::Truncate).unwrap();
    file.append(&[std::io::IoSlice::new(content.as_bytes())])
        .unwrap();
}

#[tokio::test]
async fn a_clean_restart_finds_everything_and_uses_up_its_mark() {
    let vfs = SimVfs::new(1);
    let mark = Path::new("/data/.kafka_cleanshutdown");
    let broker = start(&vfs).await.unwrap();
    let cluster_id = broker.controller().image().cluster_id.clone();
    let partition_0 = partition(&broker).await;
    partition_0
        .append(&[batch()], Durability::Written)
        .await
        .unwrap();
    assert!(!vfs.exists(mark));
    broker.shutdown().await.unwrap();
    assert!(vfs.exists(mark));

    let broker = start(&vfs).await.unwrap();
    assert!(!vfs.exists(mark));
    assert_eq!(broker.controller().image().cluster_id, cluster_id);
    assert_eq!(partition(&broker).await.high_watermark(), Offset(1));
}

#[tokio::test]
async fn what_acks_all_acknowledged_survives_the_loss_of_power() {
    for seed in 0..20 {
        let vfs = SimVfs::new(seed);
        let broker = start(&vfs).await.unwrap();
        let partition_0 = partition(&broker).await;
        partition_0
            .append(&[batch()], Durability::Synced)
            .await
            .unwrap();
        partition_0
            .append(&[batch()], Durability::Written)
            .await
            .unwrap();
        let vfs = vfs.crash();
        let broker = start(&vfs).await.unwrap();
        let end = partition(&broker).await.log_end_offset();
        assert!((1..=2).contains(&end.0), "seed {seed}: {end}");
    }
}

#[tokio::test]
async fn two_brokers_do_not_share_a_directory() {
    let vfs = SimVfs::new(1);
    let first = start(&vfs).await.unwrap();
    let error = start(&vfs).await.unwrap_err();
    assert!(matches!(error, StartError::Locked { .. }), "{error}");
    assert!(error.to_string().contains("/data/.lock"), "{error}");
    first.shutdown().await.unwrap();
    start(&vfs).await.unwrap();
}

#[tokio::test]
async fn a_taken_address_names_the_way_out() {
    let (vfs, clock) = (SimVfs::new(1), ManualClock::new(Timestamp(0)));
    let on = |path: &str, address: &str| BrokerConfig {
        kafka: Some(address.to_owned()),
        ..config(path)
    };
    let first = Broker::start_in(environment(&vfs, &clock, 1), on("/a", "localhost:0"))
        .await
        .unwrap();
    let address = first.kafka_address().unwrap();
    assert!(address.ip().is_loopback() && address.is_ipv4());
    let taken = on("/b", &address.to_string());
    let error = Broker::start_in(environment(&vfs, &clock, 2), taken)
        .await
        .unwrap_err();
    let expected =
        format!("cannot bind {address}: address in use. Try --kafka 127.0.0.1:0 for a free port");
    assert_eq!(error.to_string(), expected);
    // Whoever failed to start holds nothing.
    Broker::start_in(environment(&vfs, &clock, 3), on("/b", "127.0.0.1:0"))
        .await
        .unwrap();
}

#[tokio::test]
async fn meta_properties_of_others_are_refused_by_name() {
    let without = |line: &str| META.replace(line, "");
    let cases = [
        (
            META.replace("version=1", "version=2"),
            "version is 2, expected 1",
        ),
        (
            without("brooklet.format=1\n"),
            "this data directory belongs to Apache Kafka. --adopt takes it over",
        ),
        (
            META.replace("format=1", "format=9"),
            "brooklet.format is 9, expected 1",
        ),
        (META.replace("node.id=1", "node.id=one"), "node.id is 'one'"),
        (without("node.id=1\n"), "node.id is missing"),
        (
            META.replace("cluster.id=AAAAAAAAAAAAAAAAAAAAAQ", "cluster.id="),
            "cluster.id is ''",
        ),
        (
            META.replace("directory.id=A", "directory.id=?"),
            "directory.id is '?",
        ),
        (String::new(), "version is missing"),
    ];
    for (meta, expected) in cases {
        let vfs = SimVfs::new(1);
        write(&vfs, "/data/meta.properties", &meta);
        let error = start(&vfs).await.unwrap_err().to_string();
        assert!(error.contains("/data/meta.properties"), "{error}");
        assert!(error.contains(expected), "{error}");
    }
    let vfs = SimVfs::new(1);
    write(
        &vfs,
        "/data/meta.properties",
        &format!("# written by hand\n\n{META}"),
    );
    let broker = start(&vfs).await.unwrap();
    assert_eq!(
        broker.controller().image().cluster_id,
        "AAAAAAAAAAAAAAAAAAAAAQ"
    );
}

#[tokio::test]
async fn a_directory_with_something_else_in_it_is_left_alone() {
    let vfs = SimVfs::new(1);
    write(&vfs, "/data/thesis.tex", "");
    let error = start(&vfs).await.unwrap_err();
    assert!(matches!(error, StartError::NotADataDir { .. }), "{error}");
    assert!(!vfs.exists(Path::new("/data/meta.properties")));
}

#[tokio::test]
async fn a_directory_that_cannot_be_made_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    Vfs::open(&brooklet_log::vfs::disk::DiskVfs, &file, OpenMode::Create).unwrap();
    let error = Broker::start(config(file.to_str().unwrap()))
        .await
        .unwrap_err();
    assert!(matches!(error, StartError::DataDir { .. }), "{error}");
    assert!(error.to_string().contains("--data-dir"), "{error}");
}

#[tokio::test]
async fn recovery_points_are_written_down_every_five_seconds() {
    let (vfs, clock) = (SimVfs::new(1), ManualClock::new(Timestamp(0)));
    let file = Path::new("/data/recovery-point-offset-checkpoint");
    let broker = Broker::start_in(environment(&vfs, &clock, 7), config("/data"))
        .await
        .unwrap();
    let partition_0 = partition(&broker).await;
    partition_0
        .append(&[batch()], Durability::Written)
        .await
        .unwrap();
    while !vfs.exists(file) {
        clock.advance(Duration::from_millis(500));
        tokio::task::yield_now().await;
    }
    let content = String::from_utf8(vfs.read(file).unwrap()).unwrap();
    assert!(content.contains("clicks 0 1\n"), "{content}");
    assert!(content.contains("__coordination 0 "), "{content}");
}

/// A topic's `flush.ms` is its own, and the broker's where it has none.
#[tokio::test]
async fn what_acks_1_acknowledged_is_synced_within_its_topics_flush_ms() {
    let (vfs, clock) = (SimVfs::new(1), ManualClock::new(Timestamp(0)));
    let broker = Broker::start_in(environment(&vfs, &clock, 7), config("/data"))
        .await
        .unwrap();
    let (often, seldom) = (
        topic(&broker, "often").await,
        topic(&broker, "seldom").await,
    );
    let default = partition(&broker).await;
    alter(&broker, "often", &[("flush.ms", "100")]).await;
    alter(&broker, "seldom", &[("flush.ms", "60000")]).await;
    let append = async |partition: &Partition| {
        let appended = partition.append(&[batch()], Durability::Written).await;
        appended.unwrap();
        assert!(partition.is_dirty());
    };
    append(&seldom).await;
    // In the first second the broker sees the new settings.
    for _ in 0..2 {
        append(&default).await;
        clock.advance(Duration::from_secs(1));
        until_synced(&default).await;
        assert!(seldom.is_dirty());
    }
    append(&default).await;
    append(&often).await;
    clock.advance(Duration::from_millis(100));
    until_synced(&often).await;
    assert!(default.is_dirty() && seldom.is_dirty());
    clock.advance(Duration::from_secs(60));
    until_synced(&seldom).await;
}

async fn until_synced(partition: &Partition) {
    let synced = async {
        while partition.is_dirty() {
            tokio::task::yield_now().await;
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(60), synced).await;
    in_time.expect("it is due");
}

#[tokio::test]
async fn a_directory_keeps_its_node_id() {
    let vfs = SimVfs::new(1);
    let start_as = async |node_id: Option<&str>| {
        let mut config = config("/data");
        if let Some(id) = node_id {
            config.apply("node.id", id).unwrap();
        }
        let clock = ManualClock::new(Timestamp(0));
        Broker::start_in(environment(&vfs, &clock, 7), config).await
    };
    let first = start_as(Some("5")).await.unwrap();
    assert_eq!(first.controller().image().broker_id, BrokerId(5));
    first.shutdown().await.unwrap();
    let error = start_as(Some("1")).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "/data/meta.properties: data directory belongs to node.id 5, expected 1. Start with node.id=5 \
         or without node.id, or choose another directory with --data-dir DIR"
    );
    assert!(
        vfs.exists(Path::new("/data/.kafka_cleanshutdown")),
        "nothing was touched"
    );
    let again = start_as(None).await.unwrap();
    assert_eq!(again.controller().image().broker_id, BrokerId(5));
}

#[tokio::test]
async fn shutting_down_again_does_nothing() {
    let broker = start(&SimVfs::new(1)).await.unwrap();
    let (first, second) = tokio::join!(broker.shutdown(), broker.shutdown());
    first.unwrap();
    second.unwrap();
    broker.shutdown().await.unwrap();
}

#[tokio::test]
async fn an_ephemeral_broker_leaves_nothing_and_clears_what_a_kill_has_left() {
    let (vfs, clock) = (SimVfs::new(1), ManualClock::new(Timestamp(0)));
    let ephemeral = || BrokerConfig {
        storage: Storage::Ephemeral,
        ..config("")
    };
    let temporary = std::env::temp_dir();
    let killed = temporary.join("brooklet-1-dead");
    let starting = temporary.join("brooklet-2-not-locked-yet");
    let foreign = temporary.join("somebody-else");
    for dir in [&killed, &starting, &foreign] {
        vfs.create_dir_all(dir).unwrap();
    }
    vfs.open(&killed.join(".lock"), OpenMode::Create).unwrap();

    let first = Broker::start_in(environment(&vfs, &clock, 1), ephemeral())
        .await
        .unwrap();
    let second = Broker::start_in(environment(&vfs, &clock, 1), ephemeral())
        .await
        .unwrap();
    assert_ne!(
        first.data_dir(),
        second.data_dir(),
        "the same seed, another directory"
    );
    while vfs.exists(&killed) {
        tokio::task::yield_now().await;
    }
    assert!(vfs.exists(&starting) && vfs.exists(&foreign) && vfs.exists(first.data_dir()));
    partition(&first)
        .await
        .append(&[batch()], Durability::Synced)
        .await
        .unwrap();
    first.shutdown().await.unwrap();
    assert!(!vfs.exists(first.data_dir()));
    let dir = second.data_dir().to_owned();
    drop(second);
    tokio::task::yield_now().await;
    assert!(!vfs.exists(&dir), "also without a shutdown");
}

#[tokio::test]
async fn a_damaged_coordination_log_is_named_and_nothing_starts() {
    let vfs = SimVfs::new(1);
    partition(&start(&vfs).await.unwrap()).await;
    let vfs = vfs.crash();
    let log = Path::new("/data/__coordination-0/00000000000000000000.log");
    vfs.flip_bit(log, 70 * 8).unwrap();
    for made_before in ["log-start", "cleaner"] {
        write(
            &vfs,
            &format!("/data/{made_before}-offset-checkpoint"),
            "0\n0\n",
        );
    }
    write(
        &vfs,
        "/data/recovery-point-offset-checkpoint",
        "0\n1\n__coordination 0 5\n",
    );
    let before = vfs.read(log).unwrap();
    let error = start(&vfs).await.unwrap_err();
    assert!(matches!(error, StartError::Log(_)), "{error}");
    let expected = format!("segment {}: batch at byte 0: ", log.display());
    assert!(error.to_string().starts_with(&expected), "{error}");
    assert_eq!(vfs.read(log).unwrap(), before);
}

/// A batch with one record.
fn keyed(key: &str, value: &str, time: i64) -> RecordBatch {
    let mut batch = BatchBuilder::new(Compression::None);
    batch.append(
        Timestamp(time),
        Some(key.as_bytes()),
        Some(value.as_bytes()),
        &[],
    );
    batch.build()
}

async fn alter(broker: &Broker, topic: &str, settings: &[(&str, &str)]) {
    let name = brooklet_protocol::TopicName::new(topic).unwrap();
    let change = |mut configs: std::collections::BTreeMap<String, String>| {
        configs.extend(
            settings
                .iter()
                .map(|(key, value)| (key.to_string(), value.to_string())),
        );
        Ok(configs)
    };
    broker
        .controller()
        .alter_topic(&name, change)
        .await
        .unwrap();
}

#[tokio::test]
async fn the_cleaner_retains_compacts_and_removes_as_the_settings_of_now_say() {
    let vfs = SimVfs::new(0);
    let clock = ManualClock::new(Timestamp(1000));
    let broker = Broker::start_in(environment(&vfs, &clock, 7), config("/data"))
        .await
        .unwrap();
    let partition = partition(&broker).await;
    alter(
        &broker,
        "clicks",
        &[
            ("segment.bytes", "300"),
            ("min.cleanable.dirty.ratio", "0.1"),
        ],
    )
    .await;
    for number in 0..20 {
        let batch = keyed(&(number % 2).to_string(), &number.to_string(), 1000);
        partition
            .append(&[batch], Durability::Synced)
            .await
            .unwrap();
    }
    let before = partition.log().size_bytes();
    broker.clean().await;
    assert_eq!(partition.log().size_bytes(), before, "nothing is due");

    alter(&broker, "clicks", &[("cleanup.policy", "compact,delete")]).await;
    broker.clean().await;
    assert!(partition.log().size_bytes() < before / 2);
    let checkpoint = vfs
        .read(Path::new("/data/cleaner-offset-checkpoint"))
        .unwrap();
    assert!(String::from_utf8(checkpoint).unwrap().contains("clicks 0 "));
    let deleted = || {
        let entries = vfs.read_dir(Path::new("/data/clicks-0")).unwrap();
        entries
            .iter()
            .filter(|entry| entry.name.ends_with(".deleted"))
            .count()
    };
    assert!(deleted() > 0);
    clock.advance(Duration::from_secs(60));
    broker.clean().await;
    // The files may be those that the cleaner in the background has taken to remove just now.
    let removed = async {
        while deleted() > 0 {
            tokio::task::yield_now().await;
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(60), removed).await;
    in_time.expect("file.delete.delay.ms is over");

    // A crash here finds the log with its gaps.
    let crashed = vfs.crash();
    let again = start(&crashed).await.unwrap();
    let found = Arc::clone(
        again
            .controller()
            .image()
            .topic("clicks")
            .unwrap()
            .partitions[0]
            .open()
            .unwrap(),
    );
    assert_eq!(found.log_end_offset(), Offset(20));

    alter(&broker, "clicks", &[("retention.ms", "1000")]).await;
    broker.clean().await;
    assert_eq!(partition.log_start_offset(), Offset(20));
    let next = partition
        .append(&[keyed("k", "v", 1000)], Durability::Synced)
        .await
        .unwrap();
    assert_eq!(next.base_offset, Offset(20));
    broker.shutdown().await.unwrap();
}

#[tokio::test]
async fn kafkas_tools_find_the_files_that_they_look_for() {
    let vfs = SimVfs::new(0);
    let broker = start(&vfs).await.unwrap();
    let partition = partition(&broker).await;
    partition
        .append(&[batch(), batch()], Durability::Synced)
        .await
        .unwrap();
    broker.shutdown().await.unwrap();
    let read = |path: &str| String::from_utf8(vfs.read(Path::new(path)).unwrap()).unwrap();
    assert_eq!(
        read("/data/clicks-0/leader-epoch-checkpoint"),
        "0\n1\n0 0\n"
    );
    for name in [
        "replication-offset-checkpoint",
        "recovery-point-offset-checkpoint",
    ] {
        assert!(
            read(&format!("/data/{name}")).contains("\nclicks 0 2\n"),
            "{name}"
        );
    }
    // Written once: a start that finds it leaves it alone.
    let again = start(&vfs).await.unwrap();
    again.shutdown().await.unwrap();
    assert_eq!(
        read("/data/clicks-0/leader-epoch-checkpoint"),
        "0\n1\n0 0\n"
    );
}
