//! The controller on a simulated disk: topics through restarts, crashes and failures.

use std::path::Path;

use brooklet_log::RecoveryStart;
use brooklet_log::clock::ManualClock;
use brooklet_log::vfs::sim::SimVfs;
use brooklet_machines::coordination::{ANY_VERSION, Operation};
use brooklet_protocol::records::{BatchBuilder, Compression, RecordBatch};
use brooklet_protocol::{Offset, PartitionId, Timestamp, TopicPartition};
use bytes::Bytes;

use super::*;
use crate::partition::DirtyBudget;
use crate::partition::{Durability, Partition, PartitionSetup};

const DATA: &str = "/data";

fn open_tree(vfs: &SimVfs, clock: &Arc<dyn Clock>) -> Result<Arc<CoordinationTree>, String> {
    let id = TopicPartition::new(TopicName::new(COORDINATION_TOPIC).unwrap(), PartitionId(0));
    let dir = Path::new(DATA).join(id.to_string());
    vfs.create_dir_all(&dir).map_err(|e| e.to_string())?;
    for parent in [DATA, "/"] {
        vfs.sync_dir(Path::new(parent)).map_err(|e| e.to_string())?;
    }
    let (log, _) = Partition::open(PartitionSetup {
        vfs: Arc::new(vfs.clone()),
        clock: Arc::clone(clock),
        id,
        dir: &dir,
        config: LogConfig::default(),
        start: RecoveryStart::default(),
        dirty: Some(&DirtyBudget::new(DirtyBudget::BYTES_MAX_DEFAULT)),
    })
    .map_err(|e| e.to_string())?;
    CoordinationTree::open(log, Arc::clone(clock), Durability::Synced).map_err(|e| e.to_string())
}

fn setup(vfs: &SimVfs) -> Result<ControllerSetup, String> {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(Timestamp(1_000)));
    Ok(ControllerSetup {
        vfs: Arc::new(vfs.clone()),
        coordination: open_tree(vfs, &clock)?,
        clock,
        data_dir: DATA.into(),
        cluster_id: "AAAAAAAAAAAAAAAAAAAAAQ".into(),
        broker_id: BrokerId(1),
        advertised: Some(("localhost".into(), 9092)),
        partition_count_default: 2,
        partitions_max: 10_000,
        log: LogConfig::default(),
        sync: true,
        dirty: DirtyBudget::new(DirtyBudget::BYTES_MAX_DEFAULT),
        clean_shutdown: false,
        positions: checkpoints(vfs).read().map_err(|e| e.to_string())?,
        checkpoints: checkpoints(vfs),
        adopted: Adopted::default(),
        // Each start has another one, as a real broker's.
        id_seed: u128::from(vfs.operations()),
    })
}

/// The recovery points as the broker writes them down.
fn points(controller: &Controller) -> Checkpoint {
    for partition in controller.image().partitions() {
        // Where the power is off it stays as it was.
        let _settled = partition.log_sync().settle();
    }
    controller.recovery_points()
}

fn checkpoints(vfs: &SimVfs) -> Arc<Checkpoints> {
    let vfs: Arc<dyn Vfs> = Arc::new(vfs.clone());
    Arc::new(Checkpoints::new(&vfs, Path::new("/data")))
}

fn first_of(topic: &Topic) -> &Arc<Partition> {
    topic.partitions[0].open().unwrap()
}

async fn try_start(vfs: &SimVfs) -> Result<Arc<Controller>, String> {
    let setup = setup(vfs)?;
    Controller::start(setup).await.map_err(|e| e.to_string())
}

async fn start(vfs: &SimVfs) -> Arc<Controller> {
    try_start(vfs).await.unwrap()
}

fn name(name: &str) -> TopicName {
    TopicName::new(name).unwrap()
}

fn new_topic(topic: &str, partition_count: Option<i32>) -> NewTopic {
    NewTopic {
        name: name(topic),
        partition_count,
        configs: BTreeMap::new(),
    }
}

/// Names, ids and numbers of partitions.
fn listed(controller: &Controller) -> Vec<(String, uuid::Uuid, usize)> {
    let image = controller.image();
    let row = |t: &Arc<Topic>| (t.name.to_string(), t.id, t.partitions.len());
    image.topics.values().map(row).collect()
}

fn dirs(vfs: &SimVfs) -> Vec<String> {
    let entries = vfs.read_dir(Path::new(DATA)).unwrap();
    entries.into_iter().map(|e| e.name).collect()
}

fn batch() -> RecordBatch {
    let mut batch = BatchBuilder::new(Compression::None);
    batch.append(Timestamp(5), None, Some(b"a record"), &[]);
    batch.build()
}

async fn append(topic: &Topic) {
    let batches = [batch()];
    let appended = first_of(topic).append(&batches, Durability::Synced);
    appended.await.unwrap();
}

async fn text_at(tree: &CoordinationTree, path: &str) -> String {
    let (data, _) = tree.get(path, None).await.unwrap();
    String::from_utf8(data.unwrap().into()).unwrap()
}

#[tokio::test]
async fn topics_and_their_ids_stay_through_a_restart() {
    let vfs = SimVfs::new(1);
    let controller = start(&vfs).await;
    assert_eq!(listed(&controller), []);
    let clicks = controller.create_topic(new_topic("clicks", None)).await;
    let clicks = clicks.unwrap();
    let mut one = new_topic("one", Some(1));
    one.configs = BTreeMap::from([("max.message.bytes".into(), "77".into())]);
    controller.create_topic(one).await.unwrap();
    append(&clicks).await;
    let before = listed(&controller);
    assert_eq!(before[0], ("clicks".to_owned(), clicks.id, 2));
    let first = TopicPartition::new(name("clicks"), PartitionId(0));
    assert_eq!(points(&controller)[&first], Offset(1));
    let points = controller.shutdown().await.unwrap();
    assert_eq!(points.len(), 3);
    assert_eq!(points[&first], Offset(1));

    let controller = start(&vfs).await;
    assert_eq!(listed(&controller), before);
    let image = controller.image();
    let bytes_max = |topic| {
        let topic: &Topic = image.topic(topic).unwrap();
        first_of(topic).log().config().message_bytes_max
    };
    assert_eq!(bytes_max("one"), 77);
    assert_eq!(bytes_max("clicks"), LogConfig::default().message_bytes_max);
    let clicks_0 = first_of(image.topic("clicks").unwrap());
    assert_eq!(clicks_0.log_end_offset(), Offset(1));
    assert!(image.partition("clicks", PartitionId(2)).is_none());
    assert!(image.partition("clicks", PartitionId(-1)).is_none());
    assert_eq!(image.topic_by_id(clicks.id).unwrap().name, clicks.name);
}

#[tokio::test]
async fn a_record_that_was_acknowledged_in_a_new_topic_survives_a_power_cut() {
    for seed in 0..8 {
        let vfs = SimVfs::new(seed);
        let controller = start(&vfs).await;
        let topic = controller
            .create_topic(new_topic("t", Some(1)))
            .await
            .unwrap();
        append(&topic).await;
        let controller = start(&vfs.crash()).await;
        let image = controller.image();
        let partition = first_of(image.topic("t").unwrap());
        assert_eq!(partition.log_end_offset(), Offset(1));
    }
}

#[tokio::test]
async fn the_tree_holds_kafkas_classic_nodes() {
    let vfs = SimVfs::new(2);
    let controller = start(&vfs).await;
    controller
        .create_topic(new_topic("t", Some(1)))
        .await
        .unwrap();
    let tree = controller.coordination();
    let expected = r#"{"id":"AAAAAAAAAAAAAAAAAAAAAQ","version":"1"}"#;
    assert_eq!(text_at(tree, "/cluster/id").await, expected);
    let broker = text_at(tree, "/brokers/ids/1").await;
    assert!(
        broker.contains(r#""endpoints":["PLAINTEXT://localhost:9092"]"#),
        "{broker}"
    );
    let state = r#"{"controller_epoch":1,"isr":[1],"leader":1,"leader_epoch":0,"version":1}"#;
    assert_eq!(
        text_at(tree, "/brokers/topics/t/partitions/0/state").await,
        state
    );
    assert_eq!(text_at(tree, "/controller_epoch").await, "1");
    for path in znodes::PERSISTENT {
        assert!(tree.exists(path).await.unwrap(), "{path}");
    }
    controller.shutdown().await.unwrap();

    // A start is an election, and a new registration of the broker.
    let controller = start(&vfs).await;
    assert_eq!(controller.image().controller_epoch, 2);
    let tree = controller.coordination();
    assert_eq!(text_at(tree, "/controller_epoch").await, "2");
    let (_, stat) = tree.get("/brokers/ids/1", None).await.unwrap();
    assert_eq!((stat.version, stat.czxid), (0, stat.mzxid));
}

#[tokio::test]
async fn a_start_with_another_cluster_id_is_refused() {
    let vfs = SimVfs::new(3);
    start(&vfs).await.shutdown().await.unwrap();
    let mut setup = setup(&vfs).unwrap();
    setup.cluster_id = "AAAAAAAAAAAAAAAAAAAAAg".into();
    let error = Controller::start(setup).await.unwrap_err();
    assert!(
        matches!(error, ControllerError::ClusterId { .. }),
        "{error}"
    );
}

#[tokio::test]
async fn a_deleted_topic_is_gone_and_comes_back_empty_with_a_new_id() {
    let vfs = SimVfs::new(4);
    let controller = start(&vfs).await;
    let first = controller
        .create_topic(new_topic("t", Some(1)))
        .await
        .unwrap();
    append(&first).await;
    controller.delete_topic(&first.name).await.unwrap();
    assert_eq!(listed(&controller), []);
    assert!(!dirs(&vfs).contains(&"t-0".to_owned()));
    let tree = controller.coordination();
    assert!(!tree.exists("/brokers/topics/t").await.unwrap());
    assert!(!tree.exists("/config/topics/t").await.unwrap());
    let again = controller.delete_topic(&first.name).await.unwrap_err();
    assert!(matches!(again, ControllerError::UnknownTopic(_)));

    let second = controller
        .create_topic(new_topic("t", Some(1)))
        .await
        .unwrap();
    assert_ne!(second.id, first.id);
    assert_eq!(first_of(&second).log_end_offset(), Offset::ZERO);
}

#[tokio::test]
async fn what_cannot_be_is_refused() {
    let vfs = SimVfs::new(5);
    let controller = start(&vfs).await;
    controller
        .create_topic(new_topic("a.b", None))
        .await
        .unwrap();
    let refused = |topic: NewTopic| {
        let validated = controller.validate_topic(&topic).unwrap_err().to_string();
        let controller = Arc::clone(&controller);
        async move {
            let created = controller.create_topic(topic).await;
            assert_eq!(created.unwrap_err().to_string(), validated);
            validated
        }
    };
    let rows = [
        (new_topic("a.b", None), "topic 'a.b' already exists"),
        (
            new_topic("a_b", None),
            "topic 'a_b' collides with existing topic 'a.b'",
        ),
        (
            new_topic("__coordination", None),
            "topic '__coordination' already exists",
        ),
        (
            new_topic("n", Some(0)),
            "number of partitions is 0, expected 1 to 10000",
        ),
        (
            new_topic("n", Some(10_001)),
            "number of partitions is 10001, expected 1 to 10000",
        ),
    ];
    for (topic, expected) in rows {
        assert_eq!(refused(topic).await, expected);
    }
    let mut topic = new_topic("n", None);
    topic.configs.insert("segment.byte".into(), "1".into());
    assert!(
        refused(topic)
            .await
            .ends_with("the nearest name is 'segment.bytes'")
    );
    assert_eq!(listed(&controller).len(), 1);
}

#[tokio::test]
async fn many_who_create_at_once_get_one_topic() {
    let vfs = SimVfs::new(6);
    let controller = start(&vfs).await;
    let attempts: Vec<_> = (0..8)
        .map(|_| {
            let controller = Arc::clone(&controller);
            tokio::spawn(async move { controller.create_topic(new_topic("t", Some(1))).await })
        })
        .collect();
    let mut created = 0;
    for attempt in attempts {
        match attempt.await.unwrap() {
            Ok(_) => created += 1,
            Err(error) => assert!(matches!(error, ControllerError::TopicExists(_))),
        }
    }
    assert_eq!(created, 1);
}

#[tokio::test]
async fn the_image_follows_whoever_changes_the_tree() {
    let vfs = SimVfs::new(7);
    let controller = start(&vfs).await;
    let tree = Arc::clone(controller.coordination());
    let spec = TopicSpec {
        name: name("foreign"),
        id: uuid::Uuid::from_u128(9),
        partition_count: 1,
        configs: BTreeMap::new(),
    };
    // As with a client of the tree's own: nobody asked the controller.
    let zxid = tree.multi(spec.creation(BrokerId(1), 1)).await.unwrap();
    controller.wait_until_shown(zxid).await.unwrap();
    assert_eq!(listed(&controller), [("foreign".to_owned(), spec.id, 1)]);

    // More partitions, by the topic's data; the next create shows that the follower has looked.
    let grown = TopicSpec {
        partition_count: 3,
        ..spec.clone()
    };
    let Operation::Create { path, data, .. } = grown.creation(BrokerId(1), 1).remove(0) else {
        panic!("a creation begins with the topic's znode");
    };
    tree.set(&path, data, ANY_VERSION).await.unwrap();
    controller
        .create_topic(new_topic("next", Some(1)))
        .await
        .unwrap();
    assert_eq!(listed(&controller)[0], ("foreign".to_owned(), spec.id, 3));

    // Gone and there again under another id, in one change that first tells of something else.
    let other = TopicSpec {
        name: name("other"),
        id: uuid::Uuid::from_u128(11),
        ..spec.clone()
    };
    let mut operations = other.creation(BrokerId(1), 1);
    let partitions = ["0".to_owned()];
    operations.extend(znodes::deletion(&spec.name, Some(&partitions), true));
    let reborn = TopicSpec {
        id: uuid::Uuid::from_u128(10),
        ..spec
    };
    operations.extend(reborn.creation(BrokerId(1), 1));
    let zxid = tree.multi(operations).await.unwrap();
    controller.wait_until_shown(zxid).await.unwrap();
    assert_eq!(listed(&controller)[0], ("foreign".to_owned(), reborn.id, 1));
}

#[tokio::test]
async fn a_znode_that_makes_no_sense_hides_only_itself() {
    let vfs = SimVfs::new(8);
    let controller = start(&vfs).await;
    let tree = Arc::clone(controller.coordination());
    for bad in ["junk", "__coordination", "not a name"] {
        let path = znodes::topic(bad);
        tree.multi(vec![znodes::create(&path, Some(Bytes::from_static(b"{")))])
            .await
            .unwrap();
    }
    controller
        .create_topic(new_topic("good", Some(1)))
        .await
        .unwrap();
    assert_eq!(listed(&controller).len(), 1);
    let taken = controller.create_topic(new_topic("junk", Some(1))).await;
    assert!(matches!(taken, Err(ControllerError::TopicExists(_))));
    controller.shutdown().await.unwrap();
    let controller = start(&vfs).await;
    assert_eq!(listed(&controller).len(), 1);
    assert!(dirs(&vfs).contains(&"__coordination-0".to_owned()));
}

#[tokio::test]
async fn a_topic_that_cannot_be_opened_is_taken_back() {
    let vfs = SimVfs::new(9);
    let controller = start(&vfs).await;
    // The disk takes the transaction of the topic, but not the third of its partitions.
    let needed = {
        let before = vfs.used_bytes();
        controller
            .create_topic(new_topic("x", Some(3)))
            .await
            .unwrap();
        let grown = vfs.used_bytes() - before;
        controller.delete_topic(&name("x")).await.unwrap();
        while dirs(&vfs).len() > 1 {
            tokio::task::yield_now().await;
        }
        grown
    };
    // The last file of a partition, its eight bytes of leader epochs, is not needed to serve it.
    vfs.set_capacity(Some(vfs.used_bytes() + needed - 9));
    let created = controller.create_topic(new_topic("t", Some(3))).await;
    let error = created.unwrap_err();
    assert!(
        matches!(error, ControllerError::Io { .. } | ControllerError::Log(_)),
        "{error}"
    );
    assert_eq!(dirs(&vfs), ["__coordination-0"]);
    vfs.set_capacity(None);
    let created = controller.create_topic(new_topic("t", Some(3))).await;
    assert_eq!(created.unwrap().partitions.len(), 3);
}

#[tokio::test]
async fn what_an_interrupted_deletion_has_left_is_set_aside_and_kept() {
    let vfs = SimVfs::new(10);
    let controller = start(&vfs).await;
    let topic = controller
        .create_topic(new_topic("t", Some(1)))
        .await
        .unwrap();
    append(&topic).await;
    controller.shutdown().await.unwrap();
    // Gone from the tree, and the process ends before its files are put away.
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(Timestamp(1_000)));
    let tree = open_tree(&vfs, &clock).unwrap();
    let deletion = znodes::deletion(&topic.name, Some(&["0".to_owned()]), true);
    tree.multi(deletion).await.unwrap();
    drop(tree);

    let controller = start(&vfs).await;
    assert_eq!(listed(&controller), []);
    assert!(dirs(&vfs).contains(&"t-0".to_owned()), "left alone");
    let topic = controller
        .create_topic(new_topic("t", Some(1)))
        .await
        .unwrap();
    assert_eq!(first_of(&topic).log_end_offset(), Offset::ZERO);
    let stray = dirs(&vfs);
    let stray = stray.iter().find(|d| d.ends_with("-stray")).unwrap();
    let log = Path::new(DATA).join(stray).join("00000000000000000000.log");
    assert!(vfs.read(&log).unwrap().len() > 61);
    // The next start sees the new topic's directory, and no other.
    let controller = start(&vfs.crash()).await;
    assert!(controller.is_all_open());
    let found = controller.image().topic("t").unwrap().id;
    assert_eq!(found, topic.id);
}

/// Without the tree a topic that is made again would give its offsets again.
#[tokio::test]
async fn a_tree_that_is_lost_is_not_taken_for_a_new_one() {
    let vfs = SimVfs::new(10);
    let controller = start(&vfs).await;
    let created = controller.create_topic(new_topic("t", Some(1))).await;
    append(&created.unwrap()).await;
    controller.shutdown().await.unwrap();
    vfs.remove_dir_all(&Path::new(DATA).join("__coordination-0"))
        .unwrap();
    let error = try_start(&vfs).await.unwrap_err();
    assert!(
        error.starts_with("/data/__coordination-0: the coordination log is empty"),
        "{error}"
    );
    assert!(error.contains("'t-0'"), "{error}");
}

#[tokio::test]
async fn leftovers_of_a_deletion_are_removed() {
    let vfs = SimVfs::new(11);
    start(&vfs).await.shutdown().await.unwrap();
    let leftover = Path::new(DATA).join("t-0.00000000000000000000000000000abc-delete");
    vfs.create_dir_all(&leftover).unwrap();
    let controller = start(&vfs).await;
    // The removal is under way in the background, ahead of whatever is asked of the same pool.
    while vfs.exists(&leftover) {
        tokio::task::yield_now().await;
    }
    assert_eq!(listed(&controller), []);
}

#[tokio::test]
async fn producer_ids_are_never_given_twice() {
    let vfs = SimVfs::new(12);
    let controller = start(&vfs).await;
    for expected in 0..1002 {
        assert_eq!(controller.next_producer_id().await.unwrap(), expected);
    }
    controller.shutdown().await.unwrap();
    let controller = start(&vfs).await;
    assert_eq!(controller.next_producer_id().await.unwrap(), 2000);
    let value = r#"{"block_end":"2999","block_start":"2000","broker":1,"version":1}"#;
    let tree = controller.coordination();
    assert_eq!(text_at(tree, "/latest_producer_id_block").await, value);
}

/// Create two topics, delete one, create it again; returns how many steps were acknowledged.
async fn scenario(vfs: &SimVfs) -> usize {
    let Ok(controller) = try_start(vfs).await else {
        return 0;
    };
    if controller
        .create_topic(new_topic("a", Some(2)))
        .await
        .is_err()
    {
        return 0;
    }
    if controller
        .create_topic(new_topic("b", Some(1)))
        .await
        .is_err()
    {
        return 1;
    }
    // What a checkpoint says of a topic must not outlive it.
    let image = controller.image();
    let (a, batches) = (first_of(image.topic("a").unwrap()), [batch()]);
    let appended = a.append(&batches, Durability::Synced);
    if appended.await.is_err()
        || (checkpoints(vfs)
            .recovery_points
            .write(|| points(&controller)))
        .is_err()
        || controller.delete_topic(&name("a")).await.is_err()
    {
        return 2;
    }
    match controller.create_topic(new_topic("a", Some(1))).await {
        Err(_) => 3,
        Ok(_) => 4,
    }
}

/// Topics and their partitions after each step of the scenario.
const AFTER: [&[(&str, usize)]; 5] = [
    &[],
    &[("a", 2)],
    &[("a", 2), ("b", 1)],
    &[("b", 1)],
    &[("a", 1), ("b", 1)],
];

/// Wherever the power goes, the next start finds every acknowledged step, and the one that was
/// under way as a whole or not at all; what the tree speaks of is open, and a new topic is empty.
#[test]
fn a_power_cut_anywhere_leaves_whole_topics() {
    // One runtime per run: whatever the cut has left waiting goes with it.
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
    };
    let whole = SimVfs::new(14);
    assert_eq!(runtime().block_on(scenario(&whole)), 4);
    for cut in 0..whole.operations() {
        let vfs = SimVfs::new(cut);
        vfs.cut_power_after(cut);
        let done = runtime().block_on(scenario(&vfs));
        let found = vfs.crash();
        runtime().block_on(async {
            let controller = try_start(&found)
                .await
                .unwrap_or_else(|e| panic!("cut {cut}: {e}"));
            let topics = listed(&controller);
            let shown: Vec<_> = topics
                .iter()
                .map(|(name, _, count)| (&**name, *count))
                .collect();
            let expected = &AFTER[done..=(done + 1).min(4)];
            assert!(
                expected.contains(&&*shown),
                "cut {cut}, {done} done: {shown:?}"
            );
            assert!(controller.is_all_open(), "cut {cut}");
            for partition in controller.image().partitions() {
                // Only the first "a" has got a record.
                let may_have_one = shown.contains(&("a", 2)) && partition.id().to_string() == "a-0";
                let end_max = Offset(i64::from(may_have_one));
                assert!(partition.log_end_offset() <= end_max, "cut {cut}");
            }
            let next = controller.create_topic(new_topic("c", None)).await;
            assert!(next.is_ok(), "cut {cut}: {next:?}");
        });
    }
}

/// A recovery point is known by its topic's name alone: one that outlives its topic would tell of a
/// log that the next topic of that name never had.
#[tokio::test]
async fn a_recovery_point_goes_with_its_topic() {
    for recreated_before_the_cut in [true, false] {
        let vfs = SimVfs::new(15);
        let controller = start(&vfs).await;
        let topic = controller.create_topic(new_topic("t", Some(1))).await;
        append(&topic.unwrap()).await;
        let points = checkpoints(&vfs)
            .recovery_points
            .write(|| points(&controller));
        assert_eq!(points.unwrap().len(), 1);
        controller.delete_topic(&name("t")).await.unwrap();
        if recreated_before_the_cut {
            let again = controller.create_topic(new_topic("t", Some(1))).await;
            again.unwrap();
        }
        let vfs = vfs.crash();
        let controller = start(&vfs).await;
        assert!(controller.is_all_open());
        if !recreated_before_the_cut {
            let again = controller.create_topic(new_topic("t", Some(1))).await;
            again.unwrap();
            assert!(start(&vfs.crash()).await.is_all_open());
        }
    }
}

/// A topic with a damaged partition, after a crash.
async fn damaged() -> SimVfs {
    let vfs = SimVfs::new(16);
    let controller = start(&vfs).await;
    let topic = controller.create_topic(new_topic("t", Some(2))).await;
    append(&topic.unwrap()).await;
    let points = checkpoints(&vfs)
        .recovery_points
        .write(|| points(&controller));
    points.unwrap();
    let vfs = vfs.crash();
    vfs.flip_bit(&Path::new(DATA).join("t-0/00000000000000000000.log"), 500)
        .unwrap();
    vfs
}

#[tokio::test]
async fn a_topic_with_a_damaged_partition_can_be_deleted() {
    let vfs = damaged().await;
    let controller = start(&vfs).await;
    assert!(!controller.is_all_open());
    let image = controller.image();
    let offline: Vec<_> = image.offline_partitions().collect();
    assert_eq!(offline[0].id.to_string(), "t-0");
    let reason = &offline[0].reason;
    let place = "segment /data/t-0/00000000000000000000.log: batch at byte 0: ";
    assert!(reason.starts_with(place), "{reason}");
    controller.delete_topic(&name("t")).await.unwrap();
    assert!(controller.is_all_open());
    assert_eq!(controller.recovery_points(), Checkpoint::new());
    let again = controller.create_topic(new_topic("t", Some(2))).await;
    assert_eq!(first_of(&again.unwrap()).log_end_offset(), Offset::ZERO);
}

#[tokio::test]
async fn a_directory_that_is_gone_is_not_taken_for_a_new_one() {
    let vfs = damaged().await;
    let dir = Path::new(DATA).join("t-0");
    vfs.remove_dir_all(&dir).unwrap();
    for _ in 0..2 {
        let controller = start(&vfs).await;
        let image = controller.image();
        let reason = &image.offline_partitions().next().unwrap().reason;
        assert!(reason.starts_with("/data/t-0: missing"), "{reason}");
        assert!(!vfs.exists(&dir), "nothing is put in its place");
        controller.shutdown().await.unwrap();
    }
}

/// A topic whose znode makes no sense is not opened, and what is known of its log must last until
/// somebody has corrected it.
#[tokio::test]
async fn a_recovery_point_stays_as_long_as_its_topic_is_in_the_tree() {
    let vfs = damaged().await;
    let tree = start(&vfs).await;
    let tree = tree.coordination();
    let (good, _) = tree.get("/brokers/topics/t", None).await.unwrap();
    let bad = Some(Bytes::from_static(b"{"));
    tree.set("/brokers/topics/t", bad, ANY_VERSION)
        .await
        .unwrap();
    let vfs = vfs.crash();
    let controller = start(&vfs).await;
    assert!(!controller.is_all_open());
    assert_eq!(controller.recovery_points().len(), 2);
    let tree = controller.coordination();
    tree.set("/brokers/topics/t", good, ANY_VERSION)
        .await
        .unwrap();
    // The next create shows that the follower has looked.
    let next = controller.create_topic(new_topic("next", Some(1))).await;
    next.unwrap();
    let image = controller.image();
    let offline: Vec<_> = image.offline_partitions().collect();
    assert_eq!(offline.len(), 1, "the damage is still known for what it is");
    assert!(image.topic("t").unwrap().partitions[1].open().is_some());
    assert!(vfs.exists(&Path::new(DATA).join("t-0/00000000000000000000.log")));
}
