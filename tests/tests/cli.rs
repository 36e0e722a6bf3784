//! The command line, as a person or a script uses it: what it prints, where, and how it ends.
//!
//! - Data goes to stdout, everything else to stderr; `-q` silences notes, never errors.
//! - An error says what was expected and found, where, and what to do next. The exit codes are part
//!   of the interface, and each test of an error checks its code.
//! - JSON has a schema number and stable keys.
//! - A name from outside never reaches a terminal with its control characters.
//!
//! The broker is the real binary in a process of its own. What needs no process is tested beside
//! the code, in `cli/src/tests.rs`.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Output;

use brooklet_tests::{Server, run, run_with_input, stdout_of, text};
use serde_json::{Value, json};

/// Nobody listens there: the port is reserved, and binding it takes root.
const NOBODY: &str = "127.0.0.1:1";

/// It ended with this code, and its message has all of these words.
fn assert_fails(output: &Output, code: i32, words: &[&str]) {
    let errors = errors_of(output);
    assert_eq!(output.status.code(), Some(code), "{errors}");
    for word in words {
        assert!(errors.contains(word), "no {word:?} in: {errors}");
    }
}

fn errors_of(output: &Output) -> String {
    let errors = String::from_utf8(output.stderr.clone()).unwrap();
    assert!(!errors.contains("panicked"), "{errors}");
    errors
}

fn json_lines(text: &str) -> Vec<Value> {
    let parse = |line| serde_json::from_str(line).unwrap();
    text.lines().map(parse).collect()
}

// Help and completions.

const COMMANDS: [&[&str]; 48] = [
    &["demo"],
    &["serve"],
    &["topic"],
    &["topic", "create"],
    &["topic", "list"],
    &["topic", "describe"],
    &["topic", "alter"],
    &["topic", "add-partitions"],
    &["topic", "trim"],
    &["topic", "copy"],
    &["topic", "delete"],
    &["group"],
    &["group", "list"],
    &["group", "describe"],
    &["group", "lag"],
    &["group", "seek"],
    &["group", "export"],
    &["group", "import"],
    &["group", "delete"],
    &["cluster"],
    &["cluster", "info"],
    &["cluster", "apis"],
    &["cluster", "log-dirs"],
    &["cluster", "config"],
    &["txn"],
    &["txn", "list"],
    &["txn", "describe"],
    &["txn", "abort"],
    &["produce"],
    &["consume"],
    &["stream"],
    &["stream", "list"],
    &["stream", "describe"],
    &["stream", "state"],
    &["stream", "reset"],
    &["window"],
    &["bench"],
    &["bench", "disk"],
    &["bench", "log"],
    &["bench", "produce"],
    &["bench", "consume"],
    &["bench", "e2e"],
    &["log"],
    &["log", "dump"],
    &["log", "index"],
    &["log", "verify"],
    &["log", "repair"],
    &["completions"],
];

#[test]
fn the_help_of_every_command_has_examples() {
    for command in COMMANDS.into_iter().chain([&[][..]]) {
        for flag in ["--help", "-h"] {
            let help = stdout_of(&[command, &[flag]].concat(), b"");
            assert!(help.contains("\nExamples:\n"), "{command:?} {flag}: {help}");
        }
    }
}

/// The list above is whole.
#[test]
fn the_help_names_no_other_command() {
    let help = stdout_of(&["--help"], b"");
    let (_, commands) = help.split_once("Commands:\n").unwrap();
    let commands = commands.lines().take_while(|line| !line.is_empty());
    for line in commands {
        let name = line.split_whitespace().next().unwrap();
        assert!(name == "help" || COMMANDS.contains(&&[name][..]), "{name}");
    }
}

#[test]
fn completions_know_the_verbs_and_their_options() {
    for shell in ["bash", "zsh", "fish"] {
        let script = stdout_of(&["completions", shell], b"");
        for word in ["consume", "exit-at-end", "if-not-exists", "late-to"] {
            assert!(script.contains(word), "{shell}: no {word}");
        }
    }
    // What it prints is a script.
    let script = stdout_of(&["completions", "bash"], b"");
    let checked = std::process::Command::new("bash")
        .args(["-n", "-c", &script])
        .output();
    match checked {
        Ok(output) => assert!(output.status.success(), "{}", errors_of(&output)),
        Err(_) => println!("skipped: no bash to check the script with"),
    }
}

// Errors and exit codes.

#[test]
fn a_command_line_that_makes_no_sense_exits_2() {
    let lines: [&[&str]; 20] = [
        &["frobnicate"],
        &["serve", "--set", "num.partitions"],
        &["serve", "--set", "num.partitions=none"],
        &["serve", "--data-dir", "d", "--ephemeral"],
        &["topic", "create"],
        &["topic", "create", "no/slash"],
        &["topic", "create", "t", "-p", "0"],
        &["topic", "create", "t", "-c", "no-equals-sign"],
        &["produce", "t", "-z", "zip"],
        &["produce", "t", "--acks", "2"],
        &["consume", "t", "-o", "noon"],
        &["consume", "t", "-f", "%x"],
        &["consume", "t", "-J", "-f", "%s"],
        &["bench", "produce", "--rate", "0"],
        &["bench", "e2e", "--rate", "max"],
        &["bench", "e2e", "--size", "7"],
        &["bench", "consume", "--consumers", "2"],
        &["window", "t", "--size", "1h"],
        &[
            "window",
            "t",
            "--size",
            "1h",
            "--grace",
            "0s",
            "--agg",
            "median:/n",
        ],
        &[
            "window", "t", "--size", "1h", "--grace", "0s", "--format", "csv",
        ],
    ];
    for line in lines {
        let output = run(&[&["-b", NOBODY], line].concat());
        assert_fails(&output, 2, &["error:"]);
        assert!(output.stdout.is_empty(), "{line:?}");
    }
}

#[test]
fn impossible_windows_are_a_usage_error() {
    let server = Server::ephemeral();
    server.stdout_of(&["topic", "create", "t"], b"");
    for sizes in [
        &["--size", "0s"][..],
        &["--size", "1h", "--hop", "0s"],
        &["--size", "1h", "--hop", "2h"],
    ] {
        let output = server.run(&[&["window", "t", "--grace", "0s", "-e"], sizes].concat());
        assert_fails(&output, 2, &["error:"]);
    }
}

#[test]
fn without_a_broker_every_verb_exits_3_and_says_how_to_start_one() {
    let lines: [&[&str]; 9] = [
        &["bench", "produce"],
        &["topic", "create", "t"],
        &["topic", "list"],
        &["topic", "describe", "t"],
        &["topic", "delete", "t"],
        &["produce", "t"],
        &["consume", "t", "-e"],
        &["window", "t", "--size", "1h", "--grace", "0s"],
        &["stream", "list"],
    ];
    for line in lines {
        let output = run(&[&["-b", NOBODY], line].concat());
        assert_fails(&output, 3, &[NOBODY, "refused", "brooklet serve"]);
        assert!(output.stdout.is_empty(), "{line:?}");
    }
}

#[test]
fn what_is_not_there_exits_4() {
    let server = Server::ephemeral();
    server.stdout_of(&["topic", "create", "t"], b"");
    let lines: [(&[&str], &str); 6] = [
        (&["topic", "describe", "none"], "'none' does not exist"),
        (&["topic", "delete", "none"], "'none' does not exist"),
        (&["consume", "none", "-e"], "'none' does not exist"),
        (&["consume", "t", "-p", "7", "-e"], "no partition 7"),
        (
            &["stream", "describe", "none"],
            "there is no application 'none'",
        ),
        (
            &["window", "none", "--size", "1h", "--grace", "0s", "-e"],
            "'none' does not exist",
        ),
    ];
    for (line, words) in lines {
        let output = server.run(line);
        assert_fails(&output, 4, &[words]);
        assert!(output.stdout.is_empty(), "{line:?}");
    }
    // Asking has created nothing.
    let topics = server.stdout_of(&["topic", "list", "-o", "jsonl"], b"");
    assert_eq!(topics.lines().count(), 1, "{topics}");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let server = Server::ephemeral();
    let output = server.run(&["produce", "t", "/no/such/file"]);
    assert_fails(&output, 1, &["cannot read /no/such/file: no such file"]);
}

// The broker's settings.

#[test]
fn settings_come_from_a_file_and_from_the_command_line_and_topics_inherit_them() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("server.properties");
    let properties = "# a broker of its own\nnode.id = 7\nnum.partitions=2\n\
                      log.segment.bytes: 4096\nlog.retention.hours 1\n\
                      zookeeper.connect = localhost:2181\nnum.io.threads=8\n";
    std::fs::write(&file, properties).unwrap();
    let data = dir.path().join("data");
    let args = ["--data-dir", text(&data), "--config", text(&file)];
    let set = ["--set", "log.segment.bytes=8192"];
    let server = Server::start(&[&args[..], &set].concat());
    server.stdout_of(&["topic", "create", "t", "-c", "flush.ms=50"], b"");
    let described = server.stdout_of(&["topic", "describe", "t", "-o", "json"], b"");
    let described: Value = serde_json::from_str(&described).unwrap();
    let topic = &described["topics"][0];
    assert_eq!(
        topic["configs"],
        json!({ "flush.ms": "50", "retention.ms": "3600000", "segment.bytes": "8192" })
    );
    assert_eq!(topic["partitions"].as_array().unwrap().len(), 2);
    assert_eq!(topic["partitions"][0]["leader"], 7);
    let errors = server.errors();
    for name in ["zookeeper.connect", "num.io.threads"] {
        assert_eq!(errors.matches(name).count(), 1, "{errors}");
    }
    assert!(server.terminate().success());

    // The directory knows its broker.
    let again = [
        "serve",
        "--http",
        "off",
        "--data-dir",
        text(&data),
        "--set",
        "node.id=8",
    ];
    let again = run(&again);
    let words = ["meta.properties", "node.id 7, expected 8", "node.id=7"];
    assert_fails(&again, 1, &words);
}

#[test]
fn a_setting_that_nobody_knows_exits_2_and_names_the_nearest() {
    let set = ["serve", "--ephemeral", "--set", "log.retentoin.ms=1"];
    let words = [
        "--set: unknown setting 'log.retentoin.ms'",
        "'log.retention.ms'",
    ];
    assert_fails(&run(&set), 2, &words);

    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("server.properties");
    let config = ["serve", "--ephemeral", "--config", text(&file)];
    assert_fails(
        &run(&config),
        1,
        &["cannot read", "server.properties: no such file"],
    );
    std::fs::write(&file, "\nlisteners=SSL://:9093\n").unwrap();
    assert_fails(
        &run(&config),
        2,
        &["server.properties:2: listeners: expected one listener"],
    );
}

// Topics.

#[test]
fn topics_are_created_listed_described_and_deleted() {
    let server = Server::ephemeral();
    server.stdout_of(&["topic", "create", "b", "-p", "3"], b"");
    server.stdout_of(&["topic", "create", "a", "-c", "segment.bytes=4096"], b"");
    let listed = server.stdout_of(&["topic", "list"], b"");
    assert_eq!(listed, "NAME  PARTITIONS\na     1\nb     3\n");

    let again = server.run(&["topic", "create", "a"]);
    assert_fails(&again, 1, &["TopicAlreadyExists", "--if-not-exists"]);
    server.stdout_of(&["topic", "create", "a", "--if-not-exists"], b"");
    let unknown = server.run(&["topic", "create", "c", "-c", "segmnt.bytes=1"]);
    assert_fails(&unknown, 1, &["segmnt.bytes"]);
    let wrong = server.run(&["topic", "create", "c", "-c", "segment.bytes=many"]);
    assert_fails(&wrong, 1, &["segment.bytes", "many"]);

    server.stdout_of(&["produce", "b", "-p", "1"], b"one\ntwo\n");
    let described = server.stdout_of(&["topic", "describe", "b", "-o", "json"], b"");
    let described: Value = serde_json::from_str(&described).unwrap();
    let topic = &described["topics"][0];
    assert_eq!(
        (&described["schema"], &topic["name"]),
        (&json!(1), &json!("b"))
    );
    let ends: Vec<_> = topic["partitions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| &p["end_offset"])
        .collect();
    assert_eq!(ends, [&json!(0), &json!(2), &json!(0)]);

    server.stdout_of(&["topic", "delete", "a", "b"], b"");
    server.stdout_of(&["topic", "delete", "a", "--if-exists"], b"");
    assert_eq!(server.stdout_of(&["topic", "list", "-o", "jsonl"], b""), "");
    // The name is free again, and none of the old records come back.
    server.stdout_of(&["topic", "create", "b"], b"");
    assert_eq!(server.stdout_of(&["consume", "b", "-e"], b""), "");
}

// Records in, records out.

#[test]
fn records_come_back_with_keys_and_headers_whatever_the_codec() {
    let server = Server::ephemeral();
    let input = "k1:v1\nk2:v2:with colon\nno key\n:empty key\nk3:\n";
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let headers = ["-H", "a=1", "-H", "b", "-H", "c=x=y"];
        let produce = [&["produce", codec, "-K:", "-z", codec][..], &headers].concat();
        server.stdout_of(&produce, input.as_bytes());
        let format = ["consume", codec, "-e", "-Z", "-f", "%o|%k|%s|%S|%K|%h\\n"];
        assert_eq!(
            server.stdout_of(&format, b""),
            "0|k1|v1|2|2|a=1,b=NULL,c=x=y\n\
             1|k2|v2:with colon|13|2|a=1,b=NULL,c=x=y\n\
             2|NULL|no key|6|-1|a=1,b=NULL,c=x=y\n\
             3||empty key|9|0|a=1,b=NULL,c=x=y\n\
             4|k3||0|2|a=1,b=NULL,c=x=y\n",
            "{codec}"
        );
        let keyed = server.stdout_of(&["consume", codec, "-e", "-K:"], b"");
        assert_eq!(keyed, "k1:v1\nk2:v2:with colon\n:no key\n:empty key\nk3:\n");
    }
}

#[test]
fn nulls_and_bytes_that_are_no_text_survive() {
    let server = Server::ephemeral();
    server.stdout_of(
        &["produce", "t", "-K:", "-Z"],
        b"k:\n:v\n\xff\xfe:\x00\x01\n",
    );
    let lines = json_lines(&server.stdout_of(&["consume", "t", "-e", "-J"], b""));
    let parts: Vec<_> = lines.iter().map(|l| [&l["key"], &l["payload"]]).collect();
    assert_eq!(parts[0], [&json!("k"), &Value::Null]);
    assert_eq!(parts[1], [&Value::Null, &json!("v")]);
    assert_eq!(lines[2]["key_base64"], "//4=");
    assert_eq!(lines[2]["payload"], "\0\u{1}");
    assert_eq!(lines[2]["offset"], 2);
    assert_eq!(
        (&lines[2]["topic"], &lines[2]["partition"]),
        (&json!("t"), &json!(0))
    );
    let raw = server.run(&["consume", "t", "-o", "2", "-n", "1", "-K:"]);
    assert_eq!(raw.stdout, b"\xff\xfe:\x00\x01\n");
}

#[test]
fn delimiters_files_and_fixed_keys() {
    let server = Server::ephemeral();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("records");
    std::fs::write(&file, "a\nb;c;;d").unwrap();
    server.stdout_of(&["produce", "t", text(&file), "-D;", "-k", "key"], b"");
    let found = server.stdout_of(&["consume", "t", "-e", "-D|", "-K", "="], b"");
    assert_eq!(found, "key=a\nb|key=c|key=d|");
}

/// Ten records, whose values are their numbers; returns their timestamps.
fn produce_ten(server: &Server) -> Vec<i64> {
    for n in 0..10 {
        server.stdout_of(&["produce", "t"], format!("{n}\n").as_bytes());
    }
    let times = server.stdout_of(&["consume", "t", "-e", "-f", "%T\\n"], b"");
    times.lines().map(|line| line.parse().unwrap()).collect()
}

#[test]
fn reading_starts_and_ends_where_it_is_told_to() {
    let server = Server::ephemeral();
    let times = produce_ten(&server);
    let read = |args: &[&str]| {
        let args = [&["consume", "t", "-D,"], args].concat();
        server.stdout_of(&args, b"")
    };
    let all = "0,1,2,3,4,5,6,7,8,9,";
    assert_eq!(read(&["-e"]), all);
    assert_eq!(read(&["-o", "beginning", "-n", "10"]), all);
    assert_eq!(read(&["-n", "3"]), "0,1,2,");
    assert_eq!(read(&["-c", "1", "-o", "4"]), "4,");
    assert_eq!(read(&["-n", "0"]), "");
    assert_eq!(read(&["-o", "-3", "-e"]), "7,8,9,");
    assert_eq!(read(&["-o", "-30", "-e"]), all);
    assert_eq!(read(&["-o", "end", "-e"]), "");
    assert_eq!(read(&["-o", "7", "-e"]), "7,8,9,");
    // Some of the ten may have the same millisecond: the first of them is found.
    let first = times.iter().position(|time| *time >= times[5]).unwrap();
    let from = format!("@{}", times[5]);
    assert_eq!(read(&["-o", &from, "-n", "1"]), format!("{first},"));
    assert_eq!(read(&["-o", &format!("@{}", times[9] + 1), "-e"]), "");
    assert_eq!(read(&["-o", "@1970-01-01T00:00:00Z", "-e"]), all);

    let moved = server.run(&["consume", "t", "-o", "99", "-e"]);
    assert!(moved.status.success());
    let errors = errors_of(&moved);
    assert!(
        errors.contains("Topic t [0] has no offset 99: starting at 10"),
        "{errors}"
    );
}

#[test]
fn notes_go_to_stderr_and_quiet_silences_them() {
    let server = Server::ephemeral();
    let produce = |args: &[&str]| {
        let args = [&["-b", server.kafka(), "produce", "t"], args].concat();
        run_with_input(&args, b"one\ntwo\n")
    };
    let loud = produce(&[]);
    assert!(loud.stdout.is_empty());
    assert!(
        errors_of(&loud).starts_with("produced 2 records (6 B) to t"),
        "{loud:?}"
    );
    assert!(errors_of(&produce(&["-q"])).is_empty());
    let consumed = server.run(&["consume", "t", "-e"]);
    assert_eq!(
        errors_of(&consumed),
        "% Reached end of topic t [0] at offset 4: exiting\n"
    );
    assert!(errors_of(&server.run(&["consume", "t", "-e", "-q"])).is_empty());
}

#[test]
fn a_record_that_is_too_large_is_refused_and_those_before_it_are_stored() {
    let server = Server::ephemeral();
    let large = format!("small\n{}\n", "x".repeat(2 << 20));
    let output = run_with_input(&["-b", server.kafka(), "produce", "t"], large.as_bytes());
    assert_fails(&output, 1, &["error:", "produced 1 record "]);
    assert_eq!(server.stdout_of(&["consume", "t", "-e"], b""), "small\n");
}

// Windows.

/// Nine orders in two shops, one of them late; and three lines that are no orders.
const ORDERS: &str = r#"{"at":"2024-05-01T10:00:00Z","shop":"east","price":10}
{"at":"2024-05-01T10:10:00Z","shop":"west","price":1.5}
{"at":"2024-05-01T10:20:00Z","shop":"east","price":20}
not an order
{"at":"2024-05-01T10:50:00Z","shop":"east","price":null}
{"at":"2024-05-01T11:05:00Z","shop":"west","price":"2.5"}
{"at":"2024-05-01T11:30:00Z","price":3}
{"at":"2024-05-01T12:00:00Z","shop":"west","price":4}
{"at":"2024-05-01T10:30:00Z","shop":"east","price":99}
{"at":"noon","shop":"west","price":4}
{"at":"2024-05-01T12:59:59.999Z","shop":"east","price":7}
{"at":"2024-05-01T13:00:00Z","shop":"east","price":8}
"#;

const BY_SHOP: [&str; 13] = [
    "window",
    "orders",
    "--time",
    "/at",
    "--by",
    "/shop",
    "--size",
    "1h",
    "--agg",
    "count",
    "--agg",
    "sum:/price",
    "-e",
];

fn with_orders() -> Server {
    let server = Server::ephemeral();
    server.stdout_of(&["topic", "create", "orders"], b"");
    server.stdout_of(&["produce", "orders"], ORDERS.as_bytes());
    server
}

fn row(start: &str, end: &str, key: &str, count: u64, sum: f64) -> Value {
    let is_whole = sum.fract() == 0.0;
    let sum = if is_whole {
        json!(sum as i64)
    } else {
        json!(sum)
    };
    json!({
        "window_start": format!("2024-05-01T{start}:00.000Z"),
        "window_end": format!("2024-05-01T{end}:00.000Z"),
        "key": key, "count": count, "sum:/price": sum,
    })
}

fn by_the_hour() -> Vec<Value> {
    vec![
        row("10:00", "11:00", "east", 3, 30.0),
        row("10:00", "11:00", "west", 1, 1.5),
        row("11:00", "12:00", "west", 1, 2.5),
        row("12:00", "13:00", "east", 1, 7.0),
        row("12:00", "13:00", "west", 1, 4.0),
        row("13:00", "14:00", "east", 1, 8.0),
    ]
}

#[test]
fn windows_are_computed_and_what_is_malformed_is_shown_and_counted() {
    let server = with_orders();
    let output = server.run(&[&BY_SHOP[..], &["--grace", "15m", "-o", "jsonl"]].concat());
    let errors = errors_of(&output);
    assert!(output.status.success(), "{errors}");
    assert_eq!(
        json_lines(str::from_utf8(&output.stdout).unwrap()),
        by_the_hour()
    );
    for words in [
        "skipped: partition 0 offset 3: not JSON",
        "skipped: partition 0 offset 6: field /shop is missing",
        "skipped: partition 0 offset 9: /at is \"noon\"",
        "12 records read: 8 counted, 1 too late, 3 malformed; 6 results",
    ] {
        assert!(errors.contains(words), "no {words:?} in: {errors}");
    }
    let topics = server.stdout_of(&["topic", "list", "--internal", "-o", "jsonl"], b"");
    assert_eq!(
        topics.lines().count(),
        1,
        "it cleans up behind itself: {topics}"
    );
}

#[test]
fn each_output_says_the_same_and_the_same_in_each_run() {
    let server = with_orders();
    let print = |format: &str| {
        let args = ["--grace", "15m", "-o", format];
        server.stdout_of(&[&BY_SHOP[..], &args].concat(), b"")
    };
    for format in ["table", "json", "jsonl"] {
        let first = print(format);
        assert!(
            [print(format), print(format)]
                .iter()
                .all(|next| *next == first),
            "{format}"
        );
    }
    let array: Value = serde_json::from_str(&print("json")).unwrap();
    assert_eq!(array, Value::Array(by_the_hour()));
    let table = print("table");
    assert_eq!(table.lines().count(), 7, "{table}");
    let line = table.lines().nth(1).unwrap();
    let words: Vec<_> = line.split_whitespace().collect();
    assert_eq!(
        words,
        [
            "2024-05-01T10:00:00Z",
            "2024-05-01T11:00:00Z",
            "east",
            "3",
            "30"
        ]
    );
}

#[test]
fn an_empty_topic_gives_an_empty_array() {
    let server = Server::ephemeral();
    server.stdout_of(&["topic", "create", "orders"], b"");
    let print = |format| {
        let args = ["--grace", "15m", "-o", format];
        server.stdout_of(&[&BY_SHOP[..], &args].concat(), b"")
    };
    assert_eq!(
        serde_json::from_str::<Value>(&print("json")).unwrap(),
        json!([])
    );
    assert_eq!(print("jsonl"), "");
}

#[test]
fn late_records_go_to_a_topic_with_the_reason() {
    let server = with_orders();
    let args = ["--grace", "15m", "--late-to", "late"];
    server.stdout_of(&[&BY_SHOP[..], &args].concat(), b"");
    let late = server.stdout_of(&["consume", "late", "-e", "-f", "%k %s\\n"], b"");
    let (key, value) = late.trim_end().split_once(' ').unwrap();
    assert_eq!(key, "east");
    let value: Value = serde_json::from_str(value).unwrap();
    let reason = value["reason"].as_str().unwrap().to_owned();
    assert!(!reason.is_empty());
    assert_eq!(
        value,
        json!({
            "key": "east",
            "event_time": "2024-05-01T10:30:00.000Z",
            "window_start": "2024-05-01T10:00:00.000Z",
            "window_end": "2024-05-01T11:00:00.000Z",
            "closed_at": "2024-05-01T11:15:00.000Z",
            "stream_time": "2024-05-01T12:00:00.000Z",
            "late_by_ms": 45 * 60_000,
            "reason": reason,
            "record": {"at": "2024-05-01T10:30:00Z", "shop": "east", "price": 99},
        })
    );
    // With more patience nothing is late.
    let output = server.run(&[&BY_SHOP[..], &["--grace", "1h1m"]].concat());
    assert!(errors_of(&output).contains(" 0 too late, 3 malformed; 6 results"));
}

#[test]
fn hopping_windows_overlap() {
    let server = with_orders();
    let args = ["--grace", "3h", "--hop", "30m", "-o", "jsonl"];
    let found = json_lines(&server.stdout_of(&[&BY_SHOP[..], &args].concat(), b""));
    let east: Vec<_> = found
        .iter()
        .filter(|row| row["key"] == "east")
        .cloned()
        .collect();
    assert_eq!(
        east,
        [
            row("09:30", "10:30", "east", 2, 30.0),
            row("10:00", "11:00", "east", 4, 129.0),
            row("10:30", "11:30", "east", 2, 99.0),
            row("12:00", "13:00", "east", 1, 7.0),
            row("12:30", "13:30", "east", 2, 15.0),
            row("13:00", "14:00", "east", 1, 8.0),
        ]
    );
}

#[test]
fn csv_is_read_by_column_and_its_malformed_lines_are_counted() {
    let server = Server::ephemeral();
    let prices = "0,A,1.5\n1000,B,x\n2000,A,2.5\n3000,A\n4000,\"B,C\",4\n5000,A,,\n61000,A,9\n";
    server.stdout_of(&["produce", "prices"], prices.as_bytes());
    let args = [
        "window",
        "prices",
        "--format",
        "csv",
        "--columns",
        "at,symbol,price",
        "--time",
        "at",
        "--by",
        "symbol",
        "--size",
        "1m",
        "--grace",
        "5s",
        "--agg",
        "min:price",
        "--agg",
        "max:price",
        "-e",
        "-o",
        "json",
    ];
    let output = server.run(&args);
    let errors = errors_of(&output);
    assert!(output.status.success(), "{errors}");
    let summary = "7 records read: 4 counted, 0 too late, 3 malformed; 3 results";
    assert!(errors.contains(summary), "{errors}");
    for words in [
        "offset 1: price is \"x\"",
        "expected 3 fields between commas, found 2",
        "expected 3 fields between commas, found 4",
    ] {
        assert!(errors.contains(words), "no {words:?} in: {errors}");
    }
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let values = |row: &Value| {
        [
            row["key"].clone(),
            row["min:price"].clone(),
            row["max:price"].clone(),
        ]
    };
    let found: Vec<_> = found.as_array().unwrap().iter().map(values).collect();
    let expected = [
        [json!("A"), json!(1.5), json!(2.5)],
        [json!("B,C"), json!(4), json!(4)],
        [json!("A"), json!(9), json!(9)],
    ];
    assert_eq!(found, expected);
}

#[test]
fn many_malformed_records_are_counted_and_a_few_are_shown() {
    let server = Server::ephemeral();
    server.stdout_of(&["produce", "t"], "{\n".repeat(50).as_bytes());
    let window = ["window", "t", "--size", "1h", "--grace", "0s", "-e"];
    let output = server.run(&window);
    let errors = errors_of(&output);
    assert!(output.status.success(), "{errors}");
    assert_eq!(errors.matches("skipped: ").count(), 3, "{errors}");
    assert!(
        errors.contains("50 records read: 0 counted, 0 too late, 50 malformed"),
        "{errors}"
    );
    let quiet = server.run(&[&window[..], &["-q"]].concat());
    assert!(errors_of(&quiet).is_empty());
}

#[test]
fn what_is_produced_in_a_transaction_counts_once_it_is_committed() {
    let server = Server::ephemeral();
    server.stdout_of(&["topic", "create", "t"], b"");
    let produce = ["produce", "t", "--transactional-id", "loader"];
    server.stdout_of(&produce, b"a\nb\n");
    let every = [&produce[..], &["--commit-every", "2"]].concat();
    server.stdout_of(&every, b"c\nd\ne\n");
    // Of two transactions the first is stored; a record that is too large for the second undoes all
    // of it.
    let alter = ["topic", "alter", "t", "--set", "max.message.bytes=200"];
    server.stdout_of(&alter, b"");
    let large = format!("f\ng\nh\n{}\n", "x".repeat(500));
    let failed = run_with_input(
        &[&["-b", server.kafka()], &every[..]].concat(),
        large.as_bytes(),
    );
    assert_fails(
        &failed,
        1,
        &[
            "line 4: ",
            "the transaction was not committed",
            "max.message.bytes",
            "--lines 3-",
        ],
    );

    let described = server.stdout_of(&["txn", "describe", "loader", "-o", "json"], b"");
    let described = &json_lines(&described)[0]["transactions"][0];
    assert_eq!(
        (&described["id"], &described["state"]),
        (&json!("loader"), &json!("CompleteAbort"))
    );
    let listed = server.stdout_of(&["txn", "list", "-o", "jsonl"], b"");
    let line = json!({"schema": 1, "id": "loader", "producer_id": 0, "state": "CompleteAbort"});
    assert_eq!(json_lines(&listed), [line]);
    assert_eq!(
        server.stdout_of(&["txn", "list", "--state", "Ongoing"], b""),
        "ID  PRODUCER  STATE\n"
    );

    server.stdout_of(&["txn", "abort", "loader"], b"");
    let unknown = server.run(&["txn", "describe", "nobody"]);
    assert_fails(&unknown, 4, &["'nobody'", "txn list"]);
    assert_fails(&server.run(&["txn", "abort", "nobody"]), 4, &["'nobody'"]);
    let hanging = [
        "txn",
        "abort",
        "--topic",
        "t",
        "--partition",
        "0",
        "--start-offset",
        "1",
    ];
    assert_fails(
        &server.run(&hanging),
        4,
        &["starts at offset 1", "none is open"],
    );
    let state = server.run(&["txn", "list", "--state", "Sideways"]);
    assert_fails(&state, 1, &["there is no state 'Sideways'"]);
}

#[test]
fn a_cluster_is_looked_at() {
    let server = Server::start(&["--ephemeral", "--set", "num.partitions=3"]);
    server.stdout_of(&["produce", "t", "-p", "0"], b"a\n");
    let info = &json_lines(&server.stdout_of(&["cluster", "info", "-o", "json"], b""))[0];
    assert_eq!(
        info["brokers"],
        json!([{"id": 1, "address": server.kafka()}])
    );
    assert_eq!(info["cluster_id"].as_str().unwrap().len(), 22);
    let table = server.stdout_of(&["cluster", "info"], b"");
    assert!(
        table.contains("controller") && table.contains(server.kafka()),
        "{table}"
    );

    let apis = json_lines(&server.stdout_of(&["cluster", "apis", "-o", "jsonl"], b""));
    let fetch =
        json!({"schema": 1, "key": 1, "name": "Fetch", "version_min": 4, "version_max": 18});
    assert_eq!(apis[1], fetch);
    let dirs = json_lines(&server.stdout_of(&["cluster", "log-dirs", "-o", "jsonl"], b""));
    let sizes: Vec<_> = dirs
        .iter()
        .map(|d| d["bytes"].as_i64().unwrap() > 0)
        .collect();
    assert_eq!(sizes, [true, false, false], "{dirs:?}");

    let given = server.stdout_of(&["cluster", "config", "-o", "jsonl"], b"");
    assert!(
        given.contains("\"num.partitions\",\"value\":\"3\""),
        "{given}"
    );
    let all = server.stdout_of(&["cluster", "config", "--all"], b"");
    assert!(all.lines().count() > given.lines().count() + 20, "{all}");
    let unknown = server.run(&["cluster", "apis", "--broker", "7"]);
    assert_fails(&unknown, 4, &["expected the id of a broker (1), found 7"]);
}

#[test]
fn a_topic_is_copied_with_all_that_counts() {
    let (server, other) = (Server::ephemeral(), Server::ephemeral());
    server.stdout_of(
        &[
            "topic",
            "create",
            "t",
            "-p",
            "2",
            "-c",
            "retention.ms=5000000",
        ],
        b"",
    );
    server.stdout_of(
        &["produce", "t", "-p", "1", "-K:", "-Z", "-H", "h=1"],
        b"k:v\nk:\n",
    );
    server.stdout_of(
        &["produce", "t", "--transactional-id", "x"],
        b"in a transaction\n",
    );
    server.stdout_of(
        &["topic", "alter", "t", "--set", "max.message.bytes=200"],
        b"",
    );
    let aborted = format!("aborted\n{}\n", "x".repeat(500));
    let args = [
        "-b",
        server.kafka(),
        "produce",
        "t",
        "--transactional-id",
        "x",
    ];
    assert!(!run_with_input(&args, aborted.as_bytes()).status.success());

    server.stdout_of(&["topic", "copy", "t", "u"], b"");
    server.stdout_of(&["topic", "copy", "t", "t", "--to", other.kafka()], b"");
    let print = |server: &Server, topic: &str| {
        let format = "%p %k %s %T %h\\n";
        let found = server.stdout_of(&["consume", topic, "-e", "-f", format], b"");
        let mut lines: Vec<_> = found.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let copied = print(&server, "u");
    assert_eq!(copied.len(), 3, "{copied:?}");
    assert_eq!(print(&other, "t"), copied);
    assert!(
        copied.iter().all(|line| print(&server, "t").contains(line)),
        "{copied:?}"
    );
    let described = other.stdout_of(&["topic", "describe", "t"], b"");
    assert!(described.contains("retention.ms=5000000"), "{described}");

    assert_fails(&server.run(&["topic", "copy", "t", "t"]), 2, &["to itself"]);
    server.stdout_of(&["topic", "create", "one", "-p", "1"], b"");
    assert_fails(
        &server.run(&["topic", "copy", "t", "one"]),
        2,
        &["add-partitions"],
    );
    assert_fails(&server.run(&["topic", "copy", "none", "u"]), 4, &["'none'"]);
}

#[test]
fn a_topic_grows_and_does_not_shrink() {
    let server = Server::ephemeral();
    server.stdout_of(&["topic", "create", "t", "-p", "2"], b"");
    let grown = server.run(&["topic", "add-partitions", "t", "3"]);
    assert!(grown.status.success(), "{grown:?}");
    server.stdout_of(&["produce", "t", "-p", "2"], b"new\n");
    let found = server.stdout_of(&["consume", "t", "-e", "-f", "%p %s\\n"], b"");
    assert_eq!(found, "2 new\n");
    for (args, code, words) in [
        (
            ["t", "3"],
            1,
            "already has 3 partitions; expected more, found 3",
        ),
        (["none", "3"], 4, "none"),
        (["t", "0"], 2, "0 is not in 1"),
    ] {
        let refused = server.run(&[&["topic", "add-partitions"][..], &args].concat());
        let errors = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(code), "{errors}");
        assert!(errors.contains(words), "{errors}");
    }
}

#[test]
fn a_group_is_moved_looked_at_and_deleted() {
    let server = Server::ephemeral();
    server.stdout_of(&["topic", "create", "t", "-p", "2"], b"");
    server.stdout_of(&["produce", "t", "-p", "1"], b"one\ntwo\nthree\n");
    assert_eq!(
        server.stdout_of(&["group", "list"], b""),
        "GROUP  STATE  TYPE\n"
    );
    assert_fails(
        &server.run(&["group", "describe", "g"]),
        4,
        &["'g'", "group list"],
    );
    assert_fails(&server.run(&["group", "delete", "g"]), 4, &["'g'"]);
    assert_fails(
        &server.run(&["group", "seek", "g", "--to", "sideways"]),
        2,
        &["expected"],
    );

    let seek = ["group", "seek", "g", "--topic", "t", "--to", "-2"];
    let moves =
        "TOPIC  PARTITION  FROM  TO\nt      0          -     0\nt      1          -     1\n";
    let shown = server.run(&seek);
    assert_eq!(String::from_utf8_lossy(&shown.stdout), moves);
    assert!(errors_of(&shown).contains("--execute"));
    assert_eq!(
        server.stdout_of(&["group", "list"], b""),
        "GROUP  STATE  TYPE\n"
    );
    let done = server.stdout_of(&[&seek[..], &["--execute"]].concat(), b"");
    assert_eq!(done, moves);

    let listed = json_lines(&server.stdout_of(&["group", "list", "-o", "jsonl"], b""));
    let group = json!({"schema": 1, "group": "g", "state": "Empty", "protocol_type": ""});
    assert_eq!(listed, [group]);
    let described = server.stdout_of(&["group", "describe", "g"], b"");
    assert_eq!(described, "group g  Empty  assignor -\n");
    let lag = server.stdout_of(&["group", "lag", "g"], b"");
    let expected = "group g  lag 2\n\
        TOPIC  PARTITION  OFFSET  END  LAG  CLIENT\n\
        t      0          0       0    0    -\n\
        t      1          1       3    2    -\n";
    assert_eq!(lag, expected);
    let deleted = server.run(&["group", "delete", "g"]);
    assert!(errors_of(&deleted).contains("deleted group g"));
    assert_fails(&server.run(&["group", "lag", "g"]), 4, &["'g'"]);
}
