//! Records that do not get where they should: too large, too old, or with nobody there to take
//! them. The user learns which, why, and how to go on.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Output, Stdio};

use brooklet_tests::{Server, brooklet, run_with_input, stdout_of, text};

/// What a batch adds to a value of 16 KiB to 1 MiB, and to one of less than 128 MiB.
const ADDED_BYTES: usize = 72;
const ADDED_TO_MIB_BYTES: usize = 74;
const MIB: usize = 1 << 20;

fn errors_of(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn produce(server: &Server, args: &[&str], input: &[u8]) -> Output {
    let args = [&["-b", server.kafka(), "produce"], args].concat();
    run_with_input(&args, input)
}

/// A value whose batch has this many bytes.
fn value(batch_bytes: usize) -> String {
    let added = if batch_bytes < MIB + ADDED_TO_MIB_BYTES {
        ADDED_BYTES
    } else {
        ADDED_TO_MIB_BYTES
    };
    "x".repeat(batch_bytes - added)
}

/// A record may be exactly as large as the topic's `max.message.bytes`, whatever that is.
#[test]
fn a_record_is_as_large_as_its_topic_allows() {
    let server = Server::ephemeral();
    for limit in [20_000, 5 * MIB] {
        let setting = format!("max.message.bytes={limit}");
        let topic = format!("t{limit}");
        server.stdout_of(&["topic", "create", &topic, "-p", "1", "-c", &setting], b"");
        let lines = [limit - 1, limit + 1, limit].map(value).join("\n");
        let output = produce(&server, &[&topic], lines.as_bytes());
        let errors = errors_of(&output);
        assert_eq!(output.status.code(), Some(1), "{errors}");
        let record = value(limit + 1).len();
        let sum = format!(
            ": a record of {record} bytes makes a batch of {} bytes (",
            limit + 1
        );
        let named = format!("line 2: {topic}");
        let line = errors.lines().find(|line| line.starts_with(&named));
        assert!(line.is_some_and(|line| line.contains(&sum)), "{errors}");
        assert!(
            errors.contains("1 of 3 records were not stored (line 2)"),
            "{errors}"
        );
        let remedy = format!(
            "Raise the limit with: brooklet topic alter {topic} --set max.message.bytes={}, \
             then send the missing records with: --lines 2",
            limit + 1
        );
        assert!(errors.contains(&remedy), "{errors}");

        let raised = format!("max.message.bytes={}", limit + 1);
        server.stdout_of(&["topic", "alter", &topic, "--set", &raised], b"");
        let rest = produce(&server, &[&topic, "--lines", "2"], lines.as_bytes());
        assert!(rest.status.success(), "{rest:?}");
        let sizes = server.stdout_of(&["consume", &topic, "-e", "-f", "%S\\n"], b"");
        let expected = [limit - 1, limit, limit + 1].map(|size| value(size).len().to_string());
        assert_eq!(sizes.lines().collect::<Vec<_>>(), expected);
    }
}

/// kcat and Kafka's console producer go on, too; they do not say which record it was.
#[test]
fn a_record_that_is_refused_is_named_and_the_others_are_stored() {
    let server = Server::ephemeral();
    let create = [
        "topic",
        "create",
        "c",
        "-p",
        "1",
        "-c",
        "cleanup.policy=compact",
    ];
    server.stdout_of(&create, b"");
    let input = b"a:1\n\nno key\nb:2\nnone\nnone either\nc:3\n";
    let output = produce(&server, &["c", "-K:"], input);
    let errors = errors_of(&output);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    for words in [
        "line 3: send to c-0: InvalidRecord (",
        "line 5: ",
        "line 6: ",
        "produced 3 records",
        "3 of 6 records were not stored (lines 3,5-6)",
        "--lines 3,5-6",
    ] {
        assert!(errors.contains(words), "no {words:?} in {errors}");
    }
    let stored = server.stdout_of(&["consume", "c", "-e"], b"");
    assert_eq!(stored, "1\n2\n3\n");

    let in_transaction = ["c", "-K:", "--transactional-id", "loader"];
    let output = produce(&server, &in_transaction, b"d:4\nno key\ne:5\n");
    let errors = errors_of(&output);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    for words in [
        "line 2: ",
        "the transaction was not committed",
        "--lines 1-",
    ] {
        assert!(errors.contains(words), "no {words:?} in {errors}");
    }
    let committed = ["consume", "c", "-e", "--isolation", "read_committed"];
    assert_eq!(
        server.stdout_of(&committed, b""),
        "1\n2\n3\n",
        "all or nothing"
    );
}

#[test]
fn a_copy_names_what_the_target_does_not_take_and_is_completed() {
    let server = Server::ephemeral();
    let large = "max.message.bytes=5000000";
    server.stdout_of(&["topic", "create", "from", "-p", "2", "-c", large], b"");
    let lines = ["one", &value(2 * MIB), "three", &value(3 * MIB), "five"].join("\n");
    let sent = produce(&server, &["from", "-p", "1"], lines.as_bytes());
    assert!(sent.status.success(), "{sent:?}");
    // Fits only as it is: compressed.
    let compressed = produce(
        &server,
        &["from", "-p", "0", "-z", "gzip"],
        value(9 * MIB).as_bytes(),
    );
    assert!(compressed.status.success(), "{compressed:?}");

    server.stdout_of(&["topic", "copy", "from", "whole"], b"");
    let sizes = |topic: &str| {
        let print = ["consume", topic, "-e", "-f", "%p %S\\n"];
        let found = server.stdout_of(&print, b"");
        let mut sizes: Vec<_> = found.lines().map(str::to_owned).collect();
        sizes.sort();
        sizes
    };
    assert_eq!(sizes("whole"), sizes("from"));

    server.stdout_of(&["topic", "create", "small", "-p", "2"], b"");
    let copied = server.run(&["topic", "copy", "from", "small"]);
    let errors = errors_of(&copied);
    assert_eq!(copied.status.code(), Some(1), "{errors}");
    for words in [
        "from-1 offset 1: small-1: a record of 2097078 bytes makes a batch of 2097152 bytes",
        "from-1 offset 3: small-1: ",
        "copied 4 records",
        "2 of 6 records were not copied",
        "brooklet topic alter small --set max.message.bytes=2097152",
        "copy the missing records with: --only 1:1,3",
    ] {
        assert!(errors.contains(words), "no {words:?} in {errors}");
    }
    server.stdout_of(&["topic", "alter", "small", "--set", large], b"");
    server.stdout_of(&["topic", "copy", "from", "small", "--only", "1:1,3"], b"");
    assert_eq!(sizes("small"), sizes("from"));
}

/// What goes through the inner topics of a query may be as large as in its own.
#[test]
fn a_window_carries_large_records() {
    let server = Server::ephemeral();
    let large = "max.message.bytes=5000000";
    server.stdout_of(&["topic", "create", "in", "-p", "1", "-c", large], b"");
    let row = |minute: u32, note: usize| {
        let note = "y".repeat(note);
        format!(
            "{{\"at\":\"2026-01-01T{:02}:{:02}:00Z\",\"note\":\"{note}\"}}",
            minute / 60,
            minute % 60
        )
    };
    let rows = [row(0, 2 * MIB), row(300, 1), row(1, 3 * MIB)].join("\n");
    let sent = produce(&server, &["in"], rows.as_bytes());
    assert!(sent.status.success(), "{sent:?}");
    let query = [
        "window", "in", "--time", "/at", "--size", "1h", "--grace", "0s",
    ];
    let query = [&query[..], &["--late-to", "late", "-e", "-o", "jsonl"]].concat();
    let results = server.stdout_of(&query, b"");
    assert_eq!(results.lines().count(), 2, "{results}");
    let late = server.stdout_of(&["consume", "late", "-e", "-f", "%S\\n"], b"");
    let size: usize = late.trim().parse().unwrap();
    assert!(size > 3 * MIB, "{late}");
}

/// A `brooklet produce` that is still being fed.
struct Fed {
    child: Child,
    errors: BufReader<ChildStderr>,
}

impl Fed {
    fn start(server: &str) -> Self {
        let mut child = Command::new(brooklet())
            .args(["-b", server, "produce", "t"])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let errors = BufReader::new(child.stderr.take().unwrap());
        Self { child, errors }
    }

    fn feed(&mut self, line: &str) {
        let stdin = self.child.stdin.as_mut().unwrap();
        stdin.write_all(line.as_bytes()).unwrap();
        stdin.flush().unwrap();
    }

    /// Reads its stderr up to a line with these words.
    fn wait_for(&mut self, words: &str) -> String {
        let mut line = String::new();
        while !line.contains(words) {
            line.clear();
            let read = self.errors.read_line(&mut line).unwrap();
            assert!(read > 0, "it ended without {words:?}");
        }
        line
    }
}

#[test]
fn a_producer_says_that_nobody_is_there_and_that_somebody_is_again() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::on(dir.path());
    let kafka = server.kafka().to_owned();
    server.stdout_of(&["topic", "create", "t", "-p", "1"], b"");
    let mut fed = Fed::start(&kafka);
    // Followed from the beginning: once the first line is there, the producer is connected.
    fed.feed("one\n");
    let first = server.stdout_of(&["consume", "t", "-n", "1"], b"");
    assert_eq!(first, "one\n");
    server.kill();
    fed.feed("two\n");
    let said = fed.wait_for("still retrying");
    assert!(
        said.contains(&format!("cannot connect to {kafka}")),
        "{said}"
    );
    let server = Server::on_at(dir.path(), &kafka);
    fed.wait_for("recovered after");
    drop(fed.child.stdin.take());
    fed.wait_for("produced 2 records");
    assert!(fed.child.wait().unwrap().success());
    assert_eq!(server.stdout_of(&["consume", "t", "-e"], b""), "one\ntwo\n");
}

/// The records of the demo are of 2013, and stay; those of a copy to an ordinary topic go, and
/// neither happens without a word.
#[test]
fn old_records_go_only_where_they_were_not_meant_to_stay() {
    let dir = tempfile::tempdir().unwrap();
    let week = dir.path().join("week");
    let demo = ["demo", "--data-dir", text(&week), "--kafka", "127.0.0.1:0"];
    stdout_of(&[&demo[..], &["--speed", "max", "--exit"]].concat(), b"");
    let flights = |server: &Server| {
        let found = server.stdout_of(&["consume", "flights", "-e"], b"");
        found.lines().count()
    };
    let server = serve_with_frequent_retention(&week);
    server.stdout_of(&["topic", "create", "copy", "-p", "3"], b"");
    let copied = server.run(&["topic", "copy", "flights", "copy"]);
    let errors = errors_of(&copied);
    assert!(copied.status.success(), "{errors}");
    assert_eq!(
        errors.matches("they will be deleted soon").count(),
        1,
        "{errors}"
    );
    assert!(
        errors.contains("brooklet topic alter copy --set retention.ms=-1"),
        "{errors}"
    );

    // Retention goes through all partitions, and has come to this one's end.
    let mut starts = Vec::new();
    while starts != [0, 0, 0] {
        let found = server.stdout_of(&["topic", "describe", "copy", "-o", "json"], b"");
        let found: serde_json::Value = serde_json::from_str(&found).unwrap();
        let partitions = found["topics"][0]["partitions"].as_array().unwrap();
        let kept = |p: &serde_json::Value| {
            p["end_offset"].as_i64().unwrap() - p["start_offset"].as_i64().unwrap()
        };
        starts = partitions.iter().map(kept).collect();
    }
    assert_eq!(flights(&server), 6027);
    let said = server.errors();
    let lines: Vec<_> = said
        .lines()
        .filter(|l| l.contains("retention.ms=-1"))
        .collect();
    assert_eq!(lines.len(), 3, "{said}");
    for words in [
        "copy-0: retention deleted ",
        "message.timestamp.type=LogAppendTime",
    ] {
        assert!(lines.iter().any(|line| line.contains(words)), "{said}");
    }
}

fn serve_with_frequent_retention(dir: &Path) -> Server {
    let often = "log.retention.check.interval.ms=50";
    let backoff = "log.cleaner.backoff.ms=50";
    Server::start(&["--data-dir", text(dir), "--set", often, "--set", backoff])
}

/// A group may have any name; a terminal may not have any character.
#[test]
fn a_name_is_shown_and_not_obeyed() {
    let server = Server::ephemeral();
    server.stdout_of(&["produce", "t"], b"one\n");
    let evil = "g\u{1b}[2J\u{9b}31m\nfake";
    let shown = r"g\u001b[2J\u009b31m\nfake";
    let seek = [
        "group",
        "seek",
        evil,
        "--topic",
        "t",
        "--to",
        "end",
        "--execute",
    ];
    let moved = server.run(&seek);
    assert!(
        errors_of(&moved).contains(&format!("moved group {shown}\n")),
        "{moved:?}"
    );
    for args in [
        &["group", "list"][..],
        &["group", "describe", evil],
        &["group", "lag", evil],
        &["group", "list", "-o", "json"],
    ] {
        let printed = server.stdout_of(args, b"");
        assert!(printed.contains(shown), "{args:?}: {printed:?}");
        let is_raw = |c: char| c.is_control() && c != '\n';
        assert!(!printed.contains(is_raw), "{args:?}: {printed:?}");
    }
    let json = server.stdout_of(&["group", "list", "-o", "json"], b"");
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["groups"][0]["group"], evil);
    let missing = server.run(&["group", "describe", "no\u{1b}such"]);
    let errors = errors_of(&missing);
    assert!(
        errors.contains(r"group 'no\u001bsuch' does not exist"),
        "{errors}"
    );
}
