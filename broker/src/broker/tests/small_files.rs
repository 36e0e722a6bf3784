//! What a disk does to one small file: each bit flipped, each cut, missing, unreadable, and a
//! directory in its place. The broker then serves everything as it was, or exactly that partition
//! is offline and names the file; or, for the one file that nobody else knows, the start is
//! refused. No offset is given twice.

use std::collections::BTreeMap;
use std::io::IoSlice;

use brooklet_protocol::messages::kafka::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use brooklet_protocol::messages::kafka::{GroupId, OffsetCommitRequest};
use brooklet_protocol::{Isolation, Producer, ProducerEpoch, ProducerId, TopicPartition};
use bytes::Bytes;

use super::*;
use crate::partition::PartitionState;

const DATA: &str = "/data";
const PRODUCER: Producer = Producer {
    id: ProducerId(7),
    epoch: ProducerEpoch(0),
};

/// A directory's files with their content, by path.
type Files = BTreeMap<PathBuf, Vec<u8>>;

fn small() -> BrokerConfig {
    BrokerConfig {
        offsets_partition_count: 1,
        transactions_partition_count: 1,
        ..config(DATA)
    }
}

async fn start_small(vfs: &SimVfs, seed: u128) -> Result<Broker, StartError> {
    let clock = ManualClock::new(Timestamp(1000));
    Broker::start_in(environment(vfs, &clock, seed), small()).await
}

/// A broker's directory with records, commits and a transaction, after a clean end.
async fn written() -> Files {
    let vfs = SimVfs::new(1);
    let broker = start_small(&vfs, 7).await.unwrap();
    let (clicks, other) = (
        topic(&broker, "clicks").await,
        topic(&broker, "other").await,
    );
    for partition in [&clicks, &other] {
        for _ in 0..3 {
            let appended = partition.append(&[batch()], Durability::Synced).await;
            appended.unwrap();
        }
    }
    for committed in [true, false] {
        let sequence = i32::from(!committed);
        let mut batch = BatchBuilder::new(Compression::None)
            .with_producer(PRODUCER.id, PRODUCER.epoch, sequence)
            .with_transaction();
        batch.append(Timestamp(1), None, Some(b"in a transaction"), &[]);
        let appended = clicks.append(&[batch.build()], Durability::Synced).await;
        appended.unwrap();
        clicks.append_marker(PRODUCER, committed, None).unwrap();
    }
    clicks.flush().await.unwrap();
    let deleted = broker.controller().delete_records(&other, Offset(1)).await;
    assert_eq!(deleted.unwrap(), Offset(1));
    commit(&broker).await;
    broker.shutdown().await.unwrap();
    files(&vfs, Path::new(DATA))
}

async fn commit(broker: &Broker) {
    let partition = OffsetCommitRequestPartition::default()
        .with_partition_index(0)
        .with_committed_offset(2);
    let name = kafka::TopicName(StrBytes::from_static_str("clicks"));
    let asked = OffsetCommitRequestTopic::default()
        .with_name(name)
        .with_partitions(vec![partition]);
    let body = OffsetCommitRequest::default()
        .with_group_id(GroupId(StrBytes::from_static_str("readers")))
        .with_generation_id_or_member_epoch(-1)
        .with_topics(vec![asked]);
    let request = Request {
        version: 8,
        client_id: None,
        body: RequestKind::OffsetCommit(body),
    };
    broker.call(request).await;
    assert_eq!(commits(broker).await, Some(vec![2]));
}

/// The offsets of all groups; `None` where they cannot be read.
async fn commits(broker: &Broker) -> Option<Vec<i64>> {
    let groups = broker.metrics().await.groups?;
    let offsets = groups.iter().flat_map(|group| &group.offsets);
    Some(offsets.map(|(_, _, offset)| offset.0).collect())
}

fn files(vfs: &SimVfs, dir: &Path) -> Files {
    let mut found = Files::new();
    for entry in vfs.read_dir(dir).unwrap() {
        let path = dir.join(&entry.name);
        if entry.is_dir {
            found.extend(files(vfs, &path));
        } else {
            found.insert(path.clone(), vfs.read(&path).unwrap());
        }
    }
    found
}

fn placed(files: &Files) -> SimVfs {
    let vfs = SimVfs::new(2);
    for (path, content) in files {
        vfs.create_dir_all(path.parent().unwrap()).unwrap();
        let file = vfs.open(path, OpenMode::CreateNew).unwrap();
        file.append(&[IoSlice::new(content)]).unwrap();
        file.sync_data().unwrap();
    }
    vfs
}

/// What a partition has: its start, its end, and what readers see of it.
type Content = (Offset, Offset, [Bytes; 2]);

fn content(partition: &Partition) -> Content {
    let (start, end) = (partition.log_start_offset(), partition.log_end_offset());
    let read = |isolation| {
        let read = partition.read(start, isolation, 1 << 20, true);
        read.unwrap().bytes
    };
    let seen = [Isolation::ReadUncommitted, Isolation::ReadCommitted].map(read);
    (start, end, seen)
}

fn states(broker: &Broker) -> Vec<PartitionState> {
    let image = broker.controller().image();
    let topics = image.topics.values();
    topics.flat_map(|topic| topic.partitions.clone()).collect()
}

/// What is served of an undamaged directory.
async fn served(files: &Files) -> BTreeMap<TopicPartition, Content> {
    let broker = start_small(&placed(files), 8).await.unwrap();
    commit_is_there(&broker).await;
    let states = states(&broker);
    let open = states.iter().filter_map(PartitionState::open);
    open.map(|open| (open.id().clone(), content(open)))
        .collect()
}

async fn commit_is_there(broker: &Broker) {
    assert_eq!(commits(broker).await, Some(vec![2]));
}

/// What is done to a file.
#[derive(Clone, Debug)]
enum Harm {
    Bit(usize),
    Cut(usize),
    Missing,
    Unreadable,
    Directory,
}

impl Harm {
    /// Everything that can be done to a file of this length.
    fn all(bytes: usize) -> impl Iterator<Item = Self> {
        let bits = (0..bytes * 8).map(Self::Bit);
        let cuts = (0..bytes).map(Self::Cut);
        let whole = [Self::Missing, Self::Unreadable, Self::Directory];
        bits.chain(cuts).chain(whole)
    }

    fn done_to(&self, files: &Files, path: &Path) -> SimVfs {
        let mut files = files.clone();
        let content = files.get_mut(path).unwrap();
        match self {
            Self::Bit(bit) => content[bit / 8] ^= 1 << (bit % 8),
            Self::Cut(length) => content.truncate(*length),
            Self::Missing | Self::Directory => drop(files.remove(path)),
            Self::Unreadable => {}
        }
        let vfs = placed(&files);
        match self {
            Self::Unreadable => vfs.make_unreadable(path, 0..u64::MAX).unwrap(),
            Self::Directory => vfs.create_dir_all(path).unwrap(),
            Self::Bit(_) | Self::Cut(_) | Self::Missing => {}
        }
        vfs
    }
}

/// What became of one start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    Served,
    OneOffline,
    Refused,
}

/// Starts on the harmed directory, and checks that what is served is what was written.
async fn outcome(
    vfs: &SimVfs,
    path: &Path,
    expected: &BTreeMap<TopicPartition, Content>,
    case: &str,
) -> Outcome {
    let broker = match start_small(vfs, 9).await {
        Ok(broker) => broker,
        Err(error) => {
            let words = error.to_string();
            assert!(words.contains(path.to_str().unwrap()), "{case}: {words}");
            let wrong = ["--adopt", "Choose another directory"];
            assert!(!wrong.iter().any(|w| words.contains(w)), "{case}: {words}");
            return Outcome::Refused;
        }
    };
    let mut offline = Vec::new();
    for state in states(&broker) {
        let PartitionState::Open(partition) = &state else {
            offline.push(state.id().clone());
            continue;
        };
        let found = content(partition);
        assert_eq!(
            Some(&found),
            expected.get(state.id()),
            "{case}: {}",
            state.id()
        );
        // The log of the offsets takes no records but its own.
        if state.id().topic.as_str() != "__consumer_offsets" {
            let next = partition.append(&[batch()], Durability::Synced).await;
            assert_eq!(next.unwrap().base_offset, found.1, "{case}: {}", state.id());
        }
    }
    let unready = broker.unready();
    assert_eq!(unready.len(), offline.len(), "{case}: {unready:?}");
    let Some(id) = offline.first() else {
        assert_eq!(states(&broker).len(), expected.len(), "{case}");
        commit_is_there(&broker).await;
        return Outcome::Served;
    };
    assert_eq!(offline.len(), 1, "{case}: {unready:?}");
    let dir = Path::new(DATA).join(id.to_string());
    assert_eq!(path.parent(), Some(&*dir), "{case}");
    assert!(
        unready[0].text.contains(path.to_str().unwrap()),
        "{case}: {unready:?}"
    );
    assert!(
        unready[0].text.contains("brooklet log repair"),
        "{case}: {unready:?}"
    );
    if id.topic.as_str() != "__consumer_offsets" {
        commit_is_there(&broker).await;
    }
    assert!(
        vfs.read_dir(Path::new(DATA))
            .unwrap()
            .iter()
            .all(|e| !e.name.contains("stray")),
        "{case}"
    );
    Outcome::OneOffline
}

/// Does everything to one file, or without the mark of a clean end everything but the bits; how
/// often came what of it.
async fn outcomes(name: &str, was_clean: bool) -> BTreeMap<Outcome, usize> {
    let mut files = written().await;
    if !was_clean {
        files.remove(&Path::new(DATA).join(".kafka_cleanshutdown"));
    }
    let expected = served(&files).await;
    assert_eq!(expected.len(), 3, "{:?}", expected.keys());
    let path = Path::new(DATA).join(name);
    let bytes = files
        .get(&path)
        .unwrap_or_else(|| panic!("{:?}", files.keys()))
        .len();
    let mut outcomes = BTreeMap::new();
    let harms = Harm::all(bytes).filter(|harm| was_clean || !matches!(harm, Harm::Bit(_)));
    for harm in harms {
        let vfs = harm.done_to(&files, &path);
        let case = format!("{name}, {harm:?}, clean {was_clean}");
        let outcome = outcome(&vfs, &path, &expected, &case).await;
        *outcomes.entry(outcome).or_default() += 1;
    }
    outcomes
}

async fn assert_worst(name: &str, expected: Outcome) {
    for was_clean in [true, false] {
        let outcomes = outcomes(name, was_clean).await;
        let worst = outcomes.keys().next_back();
        assert_eq!(worst, Some(&expected), "{name}, clean {was_clean}");
    }
}

/// Refused are a directory in its place, and the four bits that make a 1 another digit, in two
/// lines: another version may have written that.
#[tokio::test]
async fn meta_properties_is_made_anew() {
    for was_clean in [true, false] {
        let outcomes = outcomes("meta.properties", was_clean).await;
        // A directory in its place.
        assert_eq!(outcomes.get(&Outcome::Refused), Some(&1), "{outcomes:?}");
        assert_eq!(outcomes.get(&Outcome::OneOffline), None);
    }
}

/// Written before there was a checksum.
#[tokio::test]
async fn without_a_checksum_the_tree_is_believed() {
    let files = written().await;
    let path = Path::new(DATA).join("meta.properties");
    let text = String::from_utf8(files[&path].clone()).unwrap();
    let line = |key: &str| text.lines().find(|line| line.starts_with(key)).unwrap();
    for (key, other) in [
        ("node.id", "node.id=3"),
        ("cluster.id", "cluster.id=another"),
    ] {
        let without = text.replace(line("brooklet.checksum"), "");
        let mut files = files.clone();
        files.insert(path.clone(), without.replace(line(key), other).into_bytes());
        let vfs = placed(&files);
        let broker = start_small(&vfs, 9).await.unwrap();
        assert_eq!(broker.unready().len(), 0);
        assert_eq!(vfs.read(&path).unwrap(), text.as_bytes(), "{key}");
        broker.shutdown().await.unwrap();
    }
}

/// Always, whatever id the file happens to name.
async fn assert_offline(name: &str) {
    for was_clean in [true, false] {
        let outcomes = outcomes(name, was_clean).await;
        let all: Vec<_> = outcomes.keys().collect();
        assert_eq!(all, [&Outcome::OneOffline], "{name}, clean {was_clean}");
    }
}

#[tokio::test]
async fn a_partition_that_does_not_say_whose_it_is_is_offline() {
    assert_offline("clicks-0/partition.metadata").await;
}

#[tokio::test]
async fn commits_are_not_given_up_for_one_bit() {
    assert_offline("__consumer_offsets-0/partition.metadata").await;
}

#[tokio::test]
async fn recovery_points_are_done_without() {
    assert_worst("recovery-point-offset-checkpoint", Outcome::Served).await;
}

#[tokio::test]
async fn log_starts_are_known_to_nobody_else() {
    assert_worst("log-start-offset-checkpoint", Outcome::Refused).await;
}

#[tokio::test]
async fn cleaner_offsets_are_done_without() {
    assert_worst("cleaner-offset-checkpoint", Outcome::Served).await;
}

#[tokio::test]
async fn high_watermarks_are_not_read() {
    assert_worst("replication-offset-checkpoint", Outcome::Served).await;
}

#[tokio::test]
async fn leader_epochs_are_made_anew() {
    assert_worst("clicks-0/leader-epoch-checkpoint", Outcome::Served).await;
}

#[tokio::test]
async fn producers_are_read_from_the_log() {
    assert_worst("clicks-0/00000000000000000007.snapshot", Outcome::Served).await;
}

#[tokio::test]
async fn of_the_mark_only_the_name_counts() {
    let outcomes = outcomes(".kafka_cleanshutdown", true).await;
    assert_eq!(outcomes.get(&Outcome::Refused), Some(&1), "a directory");
    assert_eq!(outcomes.get(&Outcome::OneOffline), None);
}

#[tokio::test]
async fn the_lock_is_empty() {
    assert_worst(".lock", Outcome::Refused).await;
}

/// Nobody knows what was synced: a bad batch may be somebody's data, also at the next start.
#[tokio::test]
async fn without_recovery_points_a_bad_batch_is_not_cut() {
    let mut files = written().await;
    files.remove(&Path::new(DATA).join(".kafka_cleanshutdown"));
    let points = Path::new(DATA).join("recovery-point-offset-checkpoint");
    files.get_mut(&points).unwrap().truncate(7);
    let log = Path::new(DATA).join("other-0/00000000000000000000.log");
    *files.get_mut(&log).unwrap().last_mut().unwrap() ^= 1;
    let vfs = placed(&files);
    for _ in 0..2 {
        let broker = start_small(&vfs, 9).await.unwrap();
        let unready = broker.unready();
        assert_eq!(unready.len(), 1, "{unready:?}");
        assert!(
            unready[0].text.contains(log.to_str().unwrap()),
            "{unready:?}"
        );
        assert_eq!(vfs.read(&log).unwrap(), files[&log], "it is not cut");
        broker.shutdown().await.unwrap();
        assert!(!vfs.exists(&Path::new(DATA).join(".kafka_cleanshutdown")));
    }
}

/// Compaction leaves gaps, and what says where they may be is lost.
#[tokio::test]
async fn gaps_are_no_damage_where_nobody_knows_of_them() {
    let vfs = SimVfs::new(0);
    let broker = start_small(&vfs, 7).await.unwrap();
    let table = topic(&broker, "table").await;
    let settings = [
        ("segment.bytes", "300"),
        ("min.cleanable.dirty.ratio", "0.1"),
        ("cleanup.policy", "compact"),
    ];
    alter(&broker, "table", &settings).await;
    for number in 0..20 {
        let batch = keyed(&(number % 2).to_string(), "v", 1000);
        table.append(&[batch], Durability::Synced).await.unwrap();
    }
    let before = table.log().size_bytes();
    broker.clean().await;
    assert!(table.log().size_bytes() < before / 2);
    let expected = content(&table);
    broker.shutdown().await.unwrap();
    let left = files(&vfs, Path::new(DATA));
    let path = Path::new(DATA).join("cleaner-offset-checkpoint");
    let whole = left[&path].len();
    for harm in [
        Harm::Missing,
        Harm::Unreadable,
        Harm::Cut(0),
        Harm::Cut(whole / 2),
    ] {
        for was_clean in [true, false] {
            let mut left = left.clone();
            if !was_clean {
                left.remove(&Path::new(DATA).join(".kafka_cleanshutdown"));
            }
            let mut vfs = harm.done_to(&left, &path);
            // The second start finds what the first has rewritten.
            for _ in 0..2 {
                let broker = start_small(&vfs, 9).await.unwrap();
                assert_eq!(broker.unready(), [], "{harm:?}");
                let found = states(&broker)[0].open().map(|table| content(table));
                assert_eq!(found.as_ref(), Some(&expected), "{harm:?}, {was_clean}");
                vfs = placed(&files(&vfs, Path::new(DATA)));
            }
            let cleaned = String::from_utf8(vfs.read(&path).unwrap()).unwrap();
            assert!(cleaned.contains("\ntable 0 20\n"), "{harm:?}: {cleaned}");
        }
    }
}
