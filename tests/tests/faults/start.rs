//! What `serve` finds when it starts: a port, a data directory, and what the last run has left.
//!
//! Each test makes one of them wrong and looks at what a user sees: the exit code, one message that
//! names the cause and the next step, and, if the broker starts all the same, what it serves.
//!
//! - A port that is in use, a data directory that another broker uses or that cannot be written.
//! - Files of something else, of an unknown version, or malformed.
//! - A torn tail, and damage in synced records, which are not the same: the first is cut, the
//!   second takes its partition offline.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use brooklet_tests::{Server, run, side_by_side, text};

use crate::disk::{Mount, is_skipped};
use crate::{assert_calm, assert_refused, lines};

const CLEAN_MARK: &str = ".kafka_cleanshutdown";
const META: &str = "meta.properties";

/// `serve` on a data directory where it must not start: it exits with this code.
fn assert_not_served(data_dir: &Path, code: i32, words: &[&str]) {
    let output = run(&[
        "serve",
        "--kafka",
        "127.0.0.1:0",
        "--data-dir",
        text(data_dir),
    ]);
    assert_refused(&output, code, words);
}

fn log_of(data_dir: &Path, partition: &str) -> PathBuf {
    data_dir.join(partition).join("00000000000000000000.log")
}

#[test]
fn a_taken_port_is_named_with_the_next_step() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = holder.local_addr().unwrap().to_string();
    let output = run(&["serve", "--ephemeral", "--http", "off", "--kafka", &address]);
    let words = [&*format!("cannot bind {address}"), "in use", "127.0.0.1:0"];
    assert_refused(&output, 1, &words);
    assert!(output.stdout.is_empty(), "no ready line");
}

#[test]
fn an_address_that_is_none_is_named() {
    for address in ["nowhere", "127.0.0.1:99999", "192.0.2.1:9092"] {
        let output = run(&["serve", "--ephemeral", "--http", "off", "--kafka", address]);
        assert_refused(&output, 1, &["cannot bind", address]);
    }
}

#[test]
fn a_directory_in_use_is_refused_and_its_owner_undisturbed() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::on(dir.path());
    assert_not_served(
        dir.path(),
        1,
        &[text(dir.path()), "locked", "--data-dir DIR"],
    );
    server.stdout_of(&["produce", "t"], b"one\n");
    assert_eq!(server.stdout_of(&["consume", "t", "-e"], b""), "one\n");
    server.kill();
    // A killed owner holds nothing.
    assert!(Server::on(dir.path()).terminate().success());
}

#[test]
fn a_directory_that_is_a_file_or_below_one_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "mine").unwrap();
    for path in [file.clone(), file.join("data")] {
        assert_not_served(&path, 1, &[text(&path), "data directory", "--data-dir DIR"]);
    }
    assert_eq!(fs::read_to_string(file).unwrap(), "mine");
}

#[test]
fn a_read_only_file_system_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let Some(mount) = Mount::new(dir.path(), "ro,size=1m") else {
        return is_skipped("nothing can be mounted here");
    };
    for path in [mount.path().to_owned(), mount.path().join("data")] {
        assert_not_served(&path, 1, &[text(&path), "Read-only", "--data-dir DIR"]);
    }
}

#[cfg(unix)]
#[test]
fn a_directory_without_write_permission_is_named() {
    use std::os::unix::fs::PermissionsExt;

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data");
    fs::create_dir(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o555)).unwrap();
    if fs::write(path.join("probe"), "").is_ok() {
        return is_skipped("permissions do not bind the superuser");
    }
    assert_not_served(&path, 1, &[text(&path), "denied", "--data-dir DIR"]);
}

#[test]
fn a_directory_of_something_else_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("letters"), "dear").unwrap();
    assert_not_served(dir.path(), 1, &[text(dir.path()), META, "'letters'"]);
    let left = fs::read_dir(dir.path()).unwrap();
    let left = left.map(|entry| entry.unwrap().file_name());
    assert!(left.into_iter().all(|n| n == "letters" || n == ".lock"));
}

#[test]
fn unknown_versions_are_named_and_malformed_properties_rebuilt() {
    let dir = tempfile::tempdir().unwrap();
    assert!(Server::on(dir.path()).terminate().success());
    let meta = dir.path().join(META);
    let good = fs::read_to_string(&meta).unwrap();
    let line = |key: &str| {
        let line = good.lines().find(|line| line.starts_with(key));
        line.unwrap().to_owned()
    };
    let replaced = |key: &str, with: &str| good.replace(&line(key), with);
    // Another version's checksum is over its own lines.
    let other_version = |key: &str, with: &str| {
        let (checksum, other) = (line("brooklet.checksum"), "brooklet.checksum=00000000");
        replaced(key, with).replace(&checksum, other)
    };
    let cases = [
        (
            other_version("brooklet.format", "brooklet.format=99"),
            "brooklet.format is 99, expected 1",
        ),
        (
            other_version("version", "version=0"),
            "version is 0, expected 1",
        ),
    ];
    for (content, words) in cases {
        fs::write(&meta, &content).unwrap();
        assert_not_served(dir.path(), 1, &[text(&meta), words, "damaged"]);
        assert_eq!(fs::read_to_string(&meta).unwrap(), content, "{words}");
    }
    // What makes no sense is rebuilt: the coordination log has both ids.
    let damaged = [
        replaced("node.id", "node.id=x"),
        replaced("node.id", "node.id=-1"),
        replaced("cluster.id", ""),
        replaced("directory.id", "directory.id=short"),
        replaced("brooklet.format", ""),
        // The checksum is right, so it is no other version's.
        replaced("version", "version=0"),
        String::new(),
        "\0\u{1}\u{2}".into(),
    ];
    let ids = |meta: &str| -> Vec<String> {
        let is_id = |line: &&str| line.starts_with("cluster.id") || line.starts_with("node.id");
        meta.lines().filter(is_id).map(str::to_owned).collect()
    };
    for content in damaged {
        fs::write(&meta, &content).unwrap();
        assert!(Server::on(dir.path()).terminate().success(), "{content:?}");
        let remade = fs::read_to_string(&meta).unwrap();
        assert_eq!(ids(&remade), ids(&good), "{content:?}");
    }
    fs::write(&meta, good).unwrap();
    assert!(Server::on(dir.path()).terminate().success());
}

#[test]
fn both_signals_end_it_cleanly() {
    for signal in ["TERM", "INT"] {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::on(dir.path());
        let mark = dir.path().join(CLEAN_MARK);
        assert!(!mark.exists(), "a running server vouches for nothing");
        assert_eq!(server.end_by(signal).code(), Some(0), "SIG{signal}");
        assert!(mark.exists(), "SIG{signal}");
    }
}

/// Topics, records, offsets, settings and ids are the same after a clean end and after `kill -9`.
#[test]
fn a_restart_keeps_everything() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::on(dir.path());
    let create = [
        "topic",
        "create",
        "three",
        "-p",
        "3",
        "-c",
        "segment.bytes=4096",
    ];
    server.stdout_of(&create, b"");
    // Keys: "line 0" and so on.
    let input = lines(500).replace('\n', ":value\n");
    server.stdout_of(&["produce", "three", "-K:"], input.as_bytes());
    server.stdout_of(&["produce", "one"], b"single\n");
    let all = |server: &Server| {
        let records = |p| {
            let format = "%p %o %T %k=%s\\n";
            server.stdout_of(&["consume", "three", "-e", "-p", p, "-f", format], b"")
        };
        [
            server.stdout_of(&["topic", "list", "-o", "json"], b""),
            server.stdout_of(&["topic", "describe", "three", "one", "-o", "json"], b""),
            records("0"),
            records("1"),
            records("2"),
            server.stdout_of(&["consume", "one", "-e"], b""),
        ]
    };
    let before = all(&server);
    assert_eq!(before[2..5].concat().lines().count(), 500);
    assert!(server.terminate().success());
    let server = Server::on(dir.path());
    assert_eq!(all(&server), before, "after a clean end");
    server.kill();
    let server = Server::on(dir.path());
    assert_eq!(all(&server), before, "after kill -9");
    server.stdout_of(&["produce", "one"], b"next\n");
    let format = ["consume", "one", "-e", "-f", "%o %s\\n"];
    assert_eq!(server.stdout_of(&format, b""), "0 single\n1 next\n");
    assert_calm(&server.errors());
}

#[test]
fn a_torn_tail_is_cut_kept_aside_and_reported() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::on(dir.path());
    server.stdout_of(&["produce", "t"], lines(100).as_bytes());
    server.kill();
    let log = log_of(dir.path(), "t-0");
    let whole = fs::read(&log).unwrap();
    // A batch that was being written, and stopped halfway.
    let torn = &whole[..whole.len() / 2];
    fs::write(&log, [&whole[..], torn].concat()).unwrap();

    let server = Server::on(dir.path());
    let side_file = PathBuf::from(format!("{}.cut-1", text(&log)));
    assert_eq!(fs::read(&side_file).unwrap(), torn);
    assert!(fs::read(&log).unwrap() == whole, "cut where it was torn");
    let errors = server.errors();
    for word in ["cut", text(&side_file)] {
        assert!(errors.contains(word), "no {word:?} in: {errors}");
    }
    assert_eq!(server.stdout_of(&["consume", "t", "-e"], b""), lines(100));
    server.stdout_of(&["produce", "t"], b"after\n");
    let last = ["consume", "t", "-e", "-o", "100", "-f", "%o %s\\n"];
    assert_eq!(server.stdout_of(&last, b""), "100 after\n");
}

/// What is done to a segment's bytes.
type Harm = fn(&mut Vec<u8>);

/// What may become of a segment under a stopped server.
const HARMS: [(&str, Harm); 3] = [
    ("a flipped bit", |bytes| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    }),
    ("cut in two", |bytes| bytes.truncate(bytes.len() / 2)),
    ("emptied", Vec::clear),
];

/// Two topics, `healthy` and `damaged`, the latter with harm done to synced data; `is_clean` says
/// whether the server that wrote them had the time to say goodbye.
fn harmed(harm: Harm, is_clean: bool) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::on(dir.path());
    for topic in ["healthy", "damaged"] {
        for _ in 0..3 {
            server.stdout_of(&["produce", topic], lines(100).as_bytes());
        }
    }
    assert!(server.terminate().success());
    if !is_clean {
        // As after a crash: the recovery points say what was synced, and every log is scanned.
        fs::remove_file(dir.path().join(CLEAN_MARK)).unwrap();
    }
    let log = log_of(dir.path(), "damaged-0");
    let mut bytes = fs::read(&log).unwrap();
    harm(&mut bytes);
    fs::write(&log, bytes).unwrap();
    dir
}

#[test]
fn harm_to_synced_data_stops_one_partition_only() {
    let cases = HARMS.map(|harm| [(harm, true), (harm, false)]);
    side_by_side(cases.concat(), |((name, harm), is_clean)| {
        let case = format!("{name}, clean {is_clean}");
        let dir = harmed(harm, is_clean);
        let log = log_of(dir.path(), "damaged-0");
        let before = fs::read(&log).unwrap();
        let server = Server::on(dir.path());
        let healthy = server.stdout_of(&["consume", "healthy", "-e"], b"");
        assert_eq!(healthy, lines(100).repeat(3), "{case}");
        server.stdout_of(&["produce", "healthy"], b"goes on\n");

        // What is handed out, if anything, is what was written.
        let output = server.run(&["consume", "damaged", "-e"]);
        assert!(!output.status.success(), "{case}: harm is no success");
        let found = String::from_utf8(output.stdout).unwrap();
        assert!(lines(100).repeat(3).starts_with(&found), "{case}: {found}");
        assert!(found.lines().count() < 200, "{case}: {found}");

        let errors = server.errors();
        assert_calm(&errors);
        assert!(errors.contains(text(&log)), "{case}: {errors}");
        assert!(fs::read(&log).unwrap() == before, "{case}: never cut");
        assert!(server.terminate().success());
    });
}

/// Without it nobody knows which topics there are.
#[test]
fn damage_in_the_coordination_log_is_named_and_nothing_is_served() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::on(dir.path());
    server.stdout_of(&["produce", "t"], b"one\n");
    assert!(server.terminate().success());
    fs::remove_file(dir.path().join(CLEAN_MARK)).unwrap();
    let log = log_of(dir.path(), "__coordination-0");
    let mut bytes = fs::read(&log).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&log, &bytes).unwrap();
    assert_not_served(dir.path(), 5, &[text(&log), "crc", "backup"]);
    assert!(fs::read(&log).unwrap() == bytes, "damage is never cut");
}
