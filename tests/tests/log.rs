//! The microscope: `brooklet log` on directories that the real broker has written.
//!
//! - `dump` prints batches, records, bytes, and the broker's own records in words.
//! - `index` lists entries and shows the steps of a search.
//! - `verify` finds damage, names its position, and exits with 5.
//! - `repair` shows a plan, changes nothing without `--yes`, and loses no byte: what it cuts is
//!   kept.
//!
//! `dump` and `verify` also run beside a running broker, since looking must not disturb it.

#![expect(clippy::unwrap_used, reason = "a test fails where it unwraps")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use brooklet_protocol::records::{BatchBuilder, Compression, RecordBatch};
use brooklet_protocol::{LeaderEpoch, Offset, Timestamp};
use brooklet_tests::{Server, run};
use serde_json::Value;

/// A broker's directory with ten records in `clicks`, one batch each, three batches a segment.
fn filled(parent: &Path) -> PathBuf {
    let data = parent.join("data");
    let server = Server::on(&data);
    let settings = ["-c", "segment.bytes=256", "-c", "index.interval.bytes=50"];
    server.stdout_of(
        &[&["topic", "create", "clicks"][..], &settings].concat(),
        b"",
    );
    for number in 0..10 {
        let line = format!("k{number}:v\n");
        server.stdout_of(&["produce", "clicks", "-K:"], line.as_bytes());
    }
    assert!(server.terminate().code().is_some());
    data.join("clicks-0")
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn log(verb: &str, dir: &Path, more: &[&str]) -> Output {
    run(&[&["log", verb, dir.to_str().unwrap()], more].concat())
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

fn second_segment(dir: &Path) -> PathBuf {
    let names = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut segments: Vec<_> = names
        .filter(|path| path.extension().is_some_and(|x| x == "log"))
        .collect();
    segments.sort();
    segments.remove(1)
}

#[test]
fn a_dump_shows_every_field_with_its_place_and_what_the_checksum_says() {
    let parent = tempfile::tempdir().unwrap();
    let dir = filled(parent.path());
    let dump = log("dump", &dir, &["-o", "jsonl", "--records"]);
    assert_eq!(code(&dump), 0);
    let batches: Vec<Value> = text(&dump)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(batches.len(), 10);
    for (number, batch) in batches.iter().enumerate() {
        assert_eq!(batch["base_offset"], number);
        assert_eq!(batch["content"][0]["key"], format!("k{number}"));
        assert_eq!(batch["corrupt"], Value::Null);
    }
    let hex = text(&log(
        "dump",
        &dir,
        &["--hex", "--from", "4", "--count", "1"],
    ));
    for field in ["base offset", "0000000000000004", "record count", "CRC-32C"] {
        assert!(hex.contains(field), "{hex}");
    }

    flip(&second_segment(&dir), 70);
    let dump = log("dump", &dir, &[]);
    assert_eq!(code(&dump), 5);
    assert!(text(&dump).contains("CORRUPT: "), "{}", text(&dump));
    assert_eq!(
        text(&dump)
            .lines()
            .filter(|line| line.contains("crc ok"))
            .count(),
        9
    );
}

#[test]
fn a_dump_says_in_words_what_groups_have_committed() {
    let parent = tempfile::tempdir().unwrap();
    let dir = filled(parent.path());
    let server = Server::on(dir.parent().unwrap());
    let seek = [
        "group",
        "seek",
        "readers",
        "--topic",
        "clicks",
        "--to",
        "7",
        "--execute",
    ];
    server.stdout_of(&seek, b"");
    server.stdout_of(&["group", "delete", "readers"], b"");
    assert!(server.terminate().code().is_some());
    let offsets = dir.with_file_name("__consumer_offsets-0");
    let dump = text(&log("dump", &offsets, &["--records"]));
    for words in [
        "(group readers: clicks-0 read up to 7)",
        "(group readers: clicks-0 deleted)",
        "(group readers: deleted)",
    ] {
        assert!(dump.contains(words), "no {words} in: {dump}");
    }
    let users = text(&log("dump", &dir, &["--records"]));
    assert!(!users.contains("(group"), "{users}");
}

#[test]
fn an_index_shows_how_an_offset_and_a_time_are_found() {
    let parent = tempfile::tempdir().unwrap();
    let dir = filled(parent.path());
    let listed = text(&log("index", &dir, &[]));
    assert!(listed.contains("begins at byte"), "{listed}");
    assert!(listed.contains("is first reached by"), "{listed}");
    let found = text(&log("index", &dir, &["--find", "5"]));
    assert!(found.contains("offsets 5..=5  found"), "{found}");
    let found = text(&log("index", &dir, &["--find-time", "0"]));
    assert!(found.contains("offsets 0..=0  found"), "{found}");
}

#[test]
fn what_is_whole_is_ok_while_the_broker_runs_and_after_it() {
    let parent = tempfile::tempdir().unwrap();
    let dir = filled(parent.path());
    let data = dir.parent().unwrap();
    assert_eq!(code(&log("verify", data, &[])), 0);
    let server = Server::on(data);
    let verified = log("verify", data, &[]);
    assert_eq!(code(&verified), 0);
    assert!(
        text(&verified).contains("clicks-0  ok  offsets 0..10"),
        "{}",
        text(&verified)
    );
    let refused = log("repair", &dir, &["--yes"]);
    assert_eq!(code(&refused), 1);
    assert!(
        text(&refused).contains("stop the broker"),
        "{}",
        text(&refused)
    );
    assert!(server.terminate().code().is_some());
}

#[test]
fn what_is_damaged_is_named_and_can_be_cut() {
    let parent = tempfile::tempdir().unwrap();
    let dir = filled(parent.path());
    let data = dir.parent().unwrap();
    let segment = second_segment(&dir);
    flip(&segment, 70);
    let before = fs::read(&segment).unwrap();
    let verified = log("verify", data, &[]);
    assert_eq!(code(&verified), 5);
    let name = segment.file_name().unwrap().to_str().unwrap();
    assert!(
        text(&verified).contains(&format!("CORRUPT: {name} byte 0: ")),
        "{}",
        text(&verified)
    );

    let dry = log("repair", &dir, &["--dry-run"]);
    assert_eq!(code(&dry), 5);
    assert!(text(&dry).contains("cut: "), "{}", text(&dry));
    assert_eq!(fs::read(&segment).unwrap(), before, "nothing was changed");

    let repaired = log("repair", &dir, &["--yes"]);
    assert_eq!(code(&repaired), 0, "{}", text(&repaired));
    assert!(
        fs::read_to_string(dir.join("repair-1.txt"))
            .unwrap()
            .starts_with("damage: ")
    );
    assert_eq!(
        fs::read(segment.with_extension("log.cut-1")).unwrap(),
        before
    );
    assert_eq!(code(&log("verify", data, &[])), 0);
    assert!(text(&log("repair", &dir, &["--dry-run"])).contains("nothing to repair"));

    let server = Server::on(data);
    let read = server.stdout_of(&["consume", "clicks", "-o", "beginning", "-e"], b"");
    assert!(
        (1..10).contains(&read.lines().count()),
        "what is before the damage is served"
    );
    assert!(server.terminate().code().is_some());
}

#[test]
fn what_is_not_there_exits_4() {
    let parent = tempfile::tempdir().unwrap();
    for verb in ["dump", "index", "verify"] {
        assert_eq!(
            code(&log(verb, &parent.path().join("nowhere"), &[])),
            4,
            "{verb}"
        );
        assert_eq!(code(&log(verb, parent.path(), &[])), 4, "{verb}");
    }
}

/// A partition's directory from before batches were checked: a header that claims a time that no
/// record has, and a batch whose checksum is right and whose second record is garbage.
fn unchecked(parent: &Path) -> PathBuf {
    let batch = |time: i64| {
        let mut builder = BatchBuilder::new(Compression::None);
        builder.append(Timestamp(time), None, Some(b"first"), &[]);
        builder.append(Timestamp(time), None, Some(b"second"), &[]);
        builder.build()
    };
    let lying = batch(1_782_379_000_000).with_max_timestamp(Timestamp(1000));
    let mut garbage = batch(1_782_379_000_000).bytes().to_vec();
    let end = garbage.len();
    garbage[end - 10..].fill(0xff);
    let crc = brooklet_protocol::crc32c(&garbage[21..]).to_be_bytes();
    garbage[17..21].copy_from_slice(&crc);
    let mut log = Vec::new();
    for (base, bytes) in [
        (0, lying.bytes().to_vec()),
        (2, garbage),
        (4, lying.bytes().to_vec()),
    ] {
        let batch = RecordBatch::split_from(&mut bytes.into()).unwrap();
        log.extend(batch.stamped_header(Offset(base), LeaderEpoch(0)));
        log.extend(&batch.bytes()[61..]);
    }
    let dir = parent.join("data/old-0");
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("00000000000000000000.log"), log).unwrap();
    dir
}

#[test]
fn verify_walks_the_records_and_repair_says_that_nothing_is_cut_for_them() {
    let parent = tempfile::tempdir().unwrap();
    let dir = unchecked(parent.path());
    let verified = log("verify", &dir, &[]);
    assert_eq!(code(&verified), 5, "{}", text(&verified));
    let words = text(&verified);
    let lines = |name: &str| words.lines().filter(|line| line.contains(name)).count();
    assert_eq!(lines("note: 00000000000000000000.log byte"), 2, "{words}");
    assert_eq!(
        lines("max timestamp is 1000, that of the records is 1782379000000"),
        2
    );
    assert_eq!(
        lines("UNREADABLE: 00000000000000000000.log byte"),
        1,
        "{words}"
    );
    assert!(
        words.contains("consumers cannot read offsets 2 to 3, go on at 4"),
        "{words}"
    );
    let before = fs::read(dir.join("00000000000000000000.log")).unwrap();
    for choice in ["--dry-run", "--yes"] {
        let repaired = log("repair", &dir, &[choice]);
        assert_eq!(code(&repaired), 5);
        assert!(
            text(&repaired).contains("nothing is cut"),
            "{}",
            text(&repaired)
        );
    }
    assert_eq!(
        fs::read(dir.join("00000000000000000000.log")).unwrap(),
        before
    );
}
