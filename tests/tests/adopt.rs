//! Data directories that Apache Kafka has written (`tests/golden/kafka-dir.md`).

use std::fs;
use std::path::{Path, PathBuf};

use brooklet_tests::{Server, repository, run, text};

/// A copy of what Kafka left.
fn kafkas(parent: &Path) -> PathBuf {
    let copy = parent.join("data");
    copy_dir(&repository().join("tests/golden/kafka-dir"), &copy);
    copy
}

fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for entry in fs::read_dir(from).expect("it is there") {
        let entry = entry.expect("it can be read");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("it can be copied");
        }
    }
}

fn adopt(data: &Path) -> Server {
    Server::start(&["--data-dir", text(data), "--adopt"])
}

fn consume(server: &Server, topic: &str, format: &str) -> Vec<String> {
    let args = ["consume", topic, "-o", "beginning", "-e", "-f", format];
    let printed = server.stdout_of(&args, b"");
    printed.lines().map(str::to_owned).collect()
}

fn check(server: &Server) {
    let mut clicks = consume(server, "clicks", "%k=%s\\n");
    clicks.sort();
    let expected = |number: usize| format!("k{number}=value-{number}");
    let mut all: Vec<_> = (0..5).flat_map(|_| (1..=60).map(expected)).collect();
    all.sort();
    assert_eq!(clicks, all);
    let table = consume(server, "table", "%o %k=%s\\n");
    assert_eq!(
        table,
        ["18 a=7", "19 b=7", "20 c=7", "21 a=8", "22 b=8", "23 c=8"]
    );
}

#[test]
fn a_directory_of_kafkas_is_served_once_it_was_asked_for() {
    let parent = tempfile::tempdir().expect("a directory");
    let data = kafkas(parent.path());
    let refused = run(&["serve", "--data-dir", text(&data), "--kafka", "127.0.0.1:0"]);
    assert_eq!(refused.status.code(), Some(1));
    let words = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(words.contains("--adopt takes it over"), "{words}");

    let server = adopt(&data);
    check(&server);
    let described = server.stdout_of(&["topic", "describe", "table"], b"");
    assert!(described.contains("cleanup.policy=compact"), "{described}");
    server.stdout_of(&["produce", "table", "-K:"], b"a:9\n");
    assert!(server.terminate().code().is_some());

    let meta = fs::read_to_string(data.join("meta.properties")).expect("it is there");
    assert!(meta.contains("cluster.id=AAAAAAAAAAAAAAAAAAAAAQ"), "{meta}");
    let server = Server::on(&data);
    assert_eq!(
        consume(&server, "table", "%o %k=%s\\n")
            .last()
            .map(String::as_str),
        Some("24 a=9")
    );
    assert!(server.terminate().code().is_some());
    assert_eq!(run(&["log", "verify", text(&data)]).status.code(), Some(0));
}

#[test]
fn after_a_kill_it_is_recovered_as_kafka_would() {
    let parent = tempfile::tempdir().expect("a directory");
    let data = kafkas(parent.path());
    fs::remove_file(data.join(".kafka_cleanshutdown")).expect("it is there");
    let log = data.join("clicks-0/00000000000000000000.log");
    let mut torn = fs::read(&log).expect("it is there");
    torn.extend_from_slice(&[7; 40]);
    fs::write(&log, torn).expect("it can be written");
    // Room that Kafka allocates for the indexes of the segment it writes to.
    let index = data.join("clicks-0/00000000000000000000.index");
    fs::write(&index, vec![0; 10 << 20]).expect("it can be written");

    let server = adopt(&data);
    check(&server);
    server.kill();
    check(&adopt(&data));
}

#[test]
fn a_directory_from_before_topic_ids_gets_them() {
    let parent = tempfile::tempdir().expect("a directory");
    let data = kafkas(parent.path());
    let zookeeper = "version=0\nbroker.id=3\ncluster.id=AAAAAAAAAAAAAAAAAAAAAQ\n";
    fs::write(data.join("meta.properties"), zookeeper).expect("it can be written");
    for partition in ["clicks-0", "clicks-1", "table-0"] {
        fs::remove_file(data.join(partition).join("partition.metadata")).expect("it is there");
    }
    let server = adopt(&data);
    check(&server);
    assert!(server.terminate().code().is_some());
    check(&Server::on(&data));
}

/// One bit of one partition's file is no reason to give the topic another id, nor to write over it.
#[test]
fn a_partition_that_is_damaged_is_offline_and_the_others_are_adopted() {
    for partition in ["clicks-0", "clicks-1"] {
        let parent = tempfile::tempdir().expect("a directory");
        let data = kafkas(parent.path());
        let path = data.join(partition).join("partition.metadata");
        let mut damaged = fs::read(&path).expect("it is there");
        let in_the_id = damaged.len() - 10;
        damaged[in_the_id] ^= 1;
        fs::write(&path, &damaged).expect("it can be written");
        let server = adopt(&data);
        let (status, reasons) = server.get("/readyz");
        assert_eq!(status, 503, "{reasons}");
        assert_eq!(reasons.lines().count(), 1, "{reasons}");
        // Nobody knows which of the two ids is damaged; the repair of the log names both.
        let words = ["clicks-", "partition.metadata: expected topic_id"];
        assert!(words.iter().all(|w| reasons.contains(w)), "{reasons}");
        let table = consume(&server, "table", "%o %k=%s\\n");
        assert_eq!(table.len(), 6);
        assert!(server.terminate().success());
        assert_eq!(fs::read(&path).expect("it is there"), damaged);
    }
}
