//! One small file of a data directory is damaged, or the directory goes: a sample, through the real
//! binary. Each bit of each file is tried in `broker/src/broker/tests/small_files.rs`.

use std::fs;
use std::path::Path;

use brooklet_tests::{Server, run, side_by_side, text};

use crate::{assert_calm, assert_refused, lines};

/// A directory with records in `t` and `other`, and a group that has read `t`.
fn written() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::on(dir.path());
    for topic in ["t", "other"] {
        server.stdout_of(&["produce", topic], lines(10).as_bytes());
    }
    let read = server.stdout_of(
        &["consume", "t", "-G", "readers", "-o", "beginning", "-e"],
        b"",
    );
    assert_eq!(read, lines(10));
    assert!(server.terminate().success());
    dir
}

fn flip(path: &Path, byte: usize) {
    let mut content = fs::read(path).unwrap();
    content[byte] ^= 1;
    fs::write(path, content).unwrap();
}

/// The right value of the case in the issue: nothing is renamed, and no offset is given twice.
#[test]
fn one_bit_of_partition_metadata_takes_one_partition_offline_until_it_is_repaired() {
    let dir = written();
    let partition = dir.path().join("t-0");
    let metadata = partition.join("partition.metadata");
    let good = fs::read(&metadata).unwrap();
    // In the id, so that it is another topic's valid id.
    flip(&metadata, 30);

    let server = Server::on(dir.path());
    let (status, reasons) = server.get("/readyz");
    assert_eq!(status, 503, "{reasons}");
    for words in [
        "t-0 is offline",
        text(&metadata),
        "topic_id",
        "brooklet log repair",
    ] {
        assert!(reasons.contains(words), "no {words:?} in: {reasons}");
    }
    assert_eq!(
        server.stdout_of(&["consume", "other", "-e"], b""),
        lines(10)
    );
    assert!(!server.run(&["consume", "t", "-e"]).status.success());
    assert_calm(&server.errors());
    assert!(server.terminate().success());
    let names = fs::read_dir(dir.path()).unwrap();
    let mut names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert!(names.all(|name| !name.ends_with("-stray")));

    let repair = |how| run(&["log", "repair", text(&partition), how]);
    let words = "expected topic_id";
    let planned = repair("--dry-run");
    assert_eq!(planned.status.code(), Some(5));
    let plan = String::from_utf8(planned.stdout).unwrap();
    assert!(plan.contains(words), "{plan}");
    assert!(fs::read(&metadata).unwrap() != good, "a dry run");
    assert!(repair("--yes").status.success());
    assert_eq!(fs::read(&metadata).unwrap(), good);
    assert!(
        repair("--dry-run").status.success(),
        "nothing is left to do"
    );

    let server = Server::on(dir.path());
    assert_eq!(server.get("/readyz").0, 200);
    server.stdout_of(&["produce", "t"], b"next\n");
    let read = ["consume", "t", "-e", "-o", "9", "-f", "%o %s\\n"];
    assert_eq!(server.stdout_of(&read, b""), "9 line 9\n10 next\n");
}

#[test]
fn commits_wait_for_the_repair_of_their_partition() {
    let dir = written();
    let of_offsets = fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let is_filled = |path: &std::path::PathBuf| {
        let log = path.join("00000000000000000000.log");
        text(path).contains("__consumer_offsets") && fs::metadata(log).is_ok_and(|m| m.len() > 0)
    };
    let partition = of_offsets.into_iter().find(is_filled).unwrap();
    fs::remove_file(partition.join("partition.metadata")).unwrap();
    let server = Server::on(dir.path());
    let (status, reasons) = server.get("/readyz");
    assert_eq!(status, 503, "{reasons}");
    assert!(reasons.contains("__consumer_offsets"), "{reasons}");
    assert!(server.terminate().success());
    assert!(
        run(&["log", "repair", text(&partition), "--yes"])
            .status
            .success()
    );
    let server = Server::on(dir.path());
    assert_eq!(server.get("/readyz").0, 200);
    let read = server.stdout_of(&["consume", "t", "-G", "readers", "-e"], b"");
    assert_eq!(read, "", "it was read before");
}

#[test]
fn files_that_can_be_computed_keep_nothing_from_being_served() {
    let names = [
        "meta.properties",
        "recovery-point-offset-checkpoint",
        "cleaner-offset-checkpoint",
        "replication-offset-checkpoint",
        "t-0/leader-epoch-checkpoint",
    ];
    side_by_side(names, |name| {
        let dir = written();
        let path = dir.path().join(name);
        let harms: [&dyn Fn(); 4] = [
            &|| flip(&path, 3),
            &|| fs::write(&path, "").unwrap(),
            &|| fs::write(&path, [0x5a; 77]).unwrap(),
            &|| fs::remove_file(&path).unwrap(),
        ];
        for (number, harm) in harms.iter().enumerate() {
            harm();
            let server = Server::on(dir.path());
            assert_eq!(server.get("/readyz").0, 200, "{name}, {number}");
            assert_eq!(server.stdout_of(&["consume", "t", "-e"], b""), lines(10));
            let read = server.stdout_of(&["consume", "t", "-G", "readers", "-e"], b"");
            assert_eq!(read, "", "{name}, {number}");
            assert_calm(&server.errors());
            assert!(server.terminate().success(), "{name}, {number}");
        }
    });
}

#[test]
fn log_starts_that_are_damaged_are_named_with_a_way_out_that_works() {
    let dir = written();
    let path = dir.path().join("log-start-offset-checkpoint");
    let serve = [
        "serve",
        "--kafka",
        "127.0.0.1:0",
        "--data-dir",
        text(dir.path()),
    ];
    let harms: [&dyn Fn(); 3] = [
        &|| flip(&path, 3),
        &|| fs::write(&path, "").unwrap(),
        &|| fs::remove_file(&path).unwrap(),
    ];
    for harm in harms {
        harm();
        assert_refused(
            &run(&serve),
            1,
            &[text(&path), "two lines", "DeleteRecords"],
        );
        fs::write(&path, "0\n0\n").unwrap();
        assert!(Server::on(dir.path()).terminate().success());
    }
}

#[test]
fn a_data_directory_that_is_removed_is_noticed_and_nothing_more_is_confirmed() {
    let parent = tempfile::tempdir().unwrap();
    let data = parent.path().join("data");
    let server = Server::on(&data);
    server.stdout_of(&["produce", "t"], b"one\n");
    fs::remove_dir_all(&data).unwrap();
    let created = server.run(&["topic", "create", "late"]);
    assert!(!created.status.success(), "{created:?}");
    let (status, reasons) = server.get("/readyz");
    assert_eq!(status, 503, "{reasons}");
    assert!(
        reasons.contains(text(&data)) && reasons.contains("is gone"),
        "{reasons}"
    );
    assert!(!data.exists(), "nothing is put in its place");
    let errors = server.errors();
    assert_calm(&errors);
    assert_eq!(
        errors.matches("Writes are refused from now on").count(),
        1,
        "{errors}"
    );
    assert!(!server.terminate().success(), "that is no clean end");
}

#[test]
fn a_stale_ready_file_is_gone_whatever_becomes_of_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let ready = dir.path().join("ready");
    fs::write(&ready, "kafka=127.0.0.1:1\n").unwrap();
    let wrong = [
        "serve",
        "--ephemeral",
        "--ready-file",
        text(&ready),
        "--set",
        "num.partitions=x",
    ];
    assert!(!run(&wrong).status.success());
    assert!(!ready.exists());
}
