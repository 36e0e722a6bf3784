//! Apache Kafka's own tools read what we write, and we serve what Kafka itself has written.
//!
//! `.ci/kafka` brings them and names their directory; without it these tests are skipped, and say
//! so.

use std::fs;
use std::path::{Path, PathBuf};

use brooklet_tests::apache::{Kafka, class_path, class_path_4};
use brooklet_tests::{Server, foreign, run, text};

/// What `kafka-dump-log.sh` prints of these files.
fn dump(class_path: &str, options: &[&str], files: &[PathBuf]) -> String {
    let files: Vec<_> = files.iter().map(|file| text(file)).collect();
    let files = files.join(",");
    let head = ["-cp", class_path, "kafka.tools.DumpLogSegments"];
    let args = [&head[..], options, &["--files", &files]].concat();
    String::from_utf8(foreign("java", &args, b"")).expect("Kafka prints text")
}

fn files(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).expect("the directory is there");
    let paths = entries.map(|entry| entry.expect("the entry can be read").path());
    let mut files: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|x| x == extension))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "there are .{extension} files");
    files
}

/// Segments in every codec, 200 records each.
fn filled(parent: &Path) -> PathBuf {
    let server = Server::on(&parent.join("data"));
    let settings = ["-c", "segment.bytes=6000", "-c", "index.interval.bytes=500"];
    server.stdout_of(
        &[&["topic", "create", "clicks"][..], &settings].concat(),
        b"",
    );
    let lines: Vec<_> = (0..20)
        .map(|n| format!("key-{n}:value number {n}\n"))
        .collect();
    let lines = lines.concat();
    for codec in CODECS {
        for _ in 0..10 {
            let args = ["produce", "clicks", "-K:", "-z", codec];
            server.stdout_of(&args, lines.as_bytes());
        }
    }
    assert!(server.terminate().code().is_some());
    parent.join("data").join("clicks-0")
}

#[test]
fn kafka_reads_our_segments_indexes_and_snapshots() {
    let Some(class_path) = class_path() else {
        return;
    };
    let parent = tempfile::tempdir().expect("a directory");
    let dir = filled(parent.path());

    let printed = dump(
        &class_path,
        &["--deep-iteration", "--print-data-log"],
        &files(&dir, "log"),
    );
    let batches = printed
        .lines()
        .filter(|line| line.starts_with("baseOffset: "));
    let valid = batches.inspect(|line| assert!(line.contains("isvalid: true"), "{line}"));
    // One for each run of `produce`, or two where its input came slowly.
    assert!(valid.count() >= 50);
    let records = printed
        .lines()
        .filter(|line| line.contains("payload: value number "));
    assert_eq!(records.count(), 1000);

    let indexes = [files(&dir, "index"), files(&dir, "timeindex")].concat();
    let checked = dump(&class_path, &["--index-sanity-check"], &indexes);
    let sound = |line: &&str| line.contains("passed sanity check") || line.contains("is empty");
    assert!(checked.lines().any(|line| sound(&line)), "{checked}");
    let verified = dump(&class_path, &["--verify-index-only"], &indexes);
    for complaint in [
        "mismatch",
        "Mismatch",
        "Invalid",
        "out of order",
        "Exception",
    ] {
        assert!(!checked.contains(complaint), "{checked}");
        assert!(!verified.contains(complaint), "{verified}");
    }

    let snapshots = dump(&class_path, &[], &files(&dir, "snapshot"));
    let last = snapshots
        .lines()
        .filter(|line| line.contains("lastSequence: 19 "));
    assert!(last.count() >= 50, "{snapshots}");
}

const CODECS: [&str; 5] = ["none", "gzip", "snappy", "lz4", "zstd"];

/// Values 1 to 60 in each codec, over two partitions with several segments each.
fn fill(kafka: &Kafka) {
    let create = ["topic", "create", "clicks", "-p", "2"];
    let settings = ["-c", "segment.bytes=2000", "-c", "retention.ms=-1"];
    kafka.stdout_of(&[&create[..], &settings].concat(), b"");
    let lines: Vec<_> = (1..=60).map(|n| format!("k{n}:value-{n}\n")).collect();
    let lines = lines.concat();
    for codec in CODECS {
        let produce = ["produce", "clicks", "-K:", "-z", codec];
        kafka.stdout_of(&produce, lines.as_bytes());
    }
}

/// Serves Kafka's directory: all that was produced is there, more can be, and so again.
fn check_adopted(data: &Path) {
    let server = Server::start(&["--data-dir", text(data), "--adopt"]);
    let consume = ["consume", "clicks", "-o", "beginning", "-e", "-f", "%s\\n"];
    let values = |server: &Server| {
        let printed = server.stdout_of(&consume, b"");
        let mut values: Vec<_> = printed.lines().map(str::to_owned).collect();
        values.sort();
        values
    };
    let mut expected: Vec<_> = (1..=60).map(|n| format!("value-{n}")).collect();
    expected = CODECS.iter().flat_map(|_| expected.clone()).collect();
    expected.sort();
    assert_eq!(values(&server), expected);
    let described = server.stdout_of(&["topic", "describe", "clicks"], b"");
    assert!(described.contains("segment.bytes=2000"), "{described}");

    server.stdout_of(&["produce", "clicks"], b"value-7\n");
    expected.push("value-7".to_owned());
    expected.sort();
    assert!(server.terminate().code().is_some());
    assert_eq!(values(&Server::on(data)), expected);
    let verified = run(&["log", "verify", text(data)]);
    assert_eq!(verified.status.code(), Some(0), "{verified:?}");
}

/// A program on Kafka's own clients.
fn java(class_path: &str, program: &str, args: &[&str]) -> String {
    let program = brooklet_tests::repository()
        .join("tests/kafka")
        .join(program);
    let head = ["-cp", class_path, text(&program)];
    String::from_utf8(foreign("java", &[&head[..], args].concat(), b"")).expect("Java prints text")
}

#[test]
fn kafkas_consumers_share_a_topic_and_kafka_reads_our_offsets() {
    let Some(class_path) = class_path() else {
        return;
    };
    let parent = tempfile::tempdir().expect("a directory");
    let server = Server::on(parent.path());
    server.stdout_of(&["topic", "create", "clicks", "-p", "2"], b"");
    let group = |args: &[&str]| java(&class_path, "Group.java", args);
    let shared = group(&["share", server.kafka(), "clicks", "readers"]);
    assert_eq!(shared, "shared\n");
    let lines: Vec<_> = (0..20).map(|n| format!("key-{n}:value-{n}\n")).collect();
    server.stdout_of(&["produce", "clicks", "-K:"], lines.concat().as_bytes());
    let read = |count: &str| {
        let args = ["read", server.kafka(), "clicks", "readers", count];
        group(&args).lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let mut all = [read("7"), read("13")].concat();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 20, "each once: {all:?}");

    assert!(server.terminate().code().is_some());
    let offsets = files(&parent.path().join("__consumer_offsets-0"), "log");
    let printed = dump(&class_path, &["--offsets-decoder"], &offsets);
    let last = printed
        .lines()
        .filter(|line| line.contains("read by readers"));
    assert!(last.count() >= 2, "{printed}");
    assert!(
        printed.contains("\"protocolType\":\"consumer\""),
        "{printed}"
    );
}

/// Offsets go from us to Kafka's tool and back, against our broker and against Kafka.
#[test]
fn kafkas_tool_and_we_read_each_others_offsets() {
    let Some(class_path) = class_path() else {
        return;
    };
    let parent = tempfile::tempdir().expect("a directory");
    let server = Server::ephemeral();
    exchange_offsets(&class_path, server.kafka(), parent.path());
    let kafka = Kafka::start(&class_path, parent.path());
    exchange_offsets(&class_path, kafka.address(), parent.path());
    kafka.terminate();
}

/// Groups and a topic whose names need quotes, and such as do not.
fn exchange_offsets(class_path: &str, broker: &str, dir: &Path) {
    let ours = |args: &[&str], input: &str| {
        let args = [&["-b", broker], args].concat();
        brooklet_tests::stdout_of(&args, input.as_bytes())
    };
    let kafkas = |args: &[&str]| {
        let head = ["-cp", class_path, GROUP_TOOL, "--bootstrap-server", broker];
        let args = [&head[..], &["--reset-offsets"], args].concat();
        String::from_utf8(foreign("java", &args, b"")).expect("Kafka prints text")
    };
    let sorted = |text: &str| {
        let lines = text.lines().filter(|line| !line.is_empty());
        let mut lines: Vec<_> = lines.map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let groups = [
        "readers",
        "a \"reader\"",
        "readers-1,2",
        "the-readers-of-the-east",
    ];
    let long = "a-topic-with-a-name-that-is-long";
    let mut rows = String::new();
    for (topic, offset) in [
        ("clicks", "3"),
        ("a-topic-of-24-characters", "4"),
        (long, "5"),
    ] {
        ours(&["topic", "create", topic, "-p", "2"], "");
        ours(&["produce", topic, "-p", "1"], &"record\n".repeat(9));
        rows.extend([topic, ",1,", offset, "\n"]);
    }
    for group in groups {
        ours(&["group", "import", group, "-", "--execute"], &rows);
    }
    let current = ["--to-current", "--all-topics", "--export"];
    let named: Vec<_> = groups.iter().flat_map(|group| ["--group", group]).collect();
    let one = ours(&["group", "export", groups[1]], "");
    let kafkas_one = kafkas(&[&named[2..4], &current].concat());
    assert_eq!(sorted(&one), sorted(&kafkas_one));
    let many = ours(&[&["group", "export"], &groups[..]].concat(), "");
    let kafkas_many = kafkas(&[&named[..], &current].concat());
    assert_eq!(sorted(&many), sorted(&kafkas_many));

    // Each moves the groups back with what the other wrote.
    let begin = ["--to-earliest", "--all-topics", "--execute"];
    kafkas(&[&named[..], &begin].concat());
    let begun = ours(&[&["group", "export"], &groups[..]].concat(), "");
    assert!(begun.lines().all(|line| line.ends_with(",1,0")), "{begun}");
    ours(
        &["group", "import", groups[1], "-", "--execute"],
        &kafkas_one,
    );
    assert_eq!(ours(&["group", "export", groups[1]], ""), one);
    let file = dir.join("offsets.csv");
    fs::write(&file, &many).expect("the file can be written");
    let from_file = ["--from-file", text(&file), "--execute"];
    kafkas(&[&named[..], &from_file].concat());
    assert_eq!(
        ours(&[&["group", "export"], &groups[..]].concat(), ""),
        many
    );
    fs::write(&file, &one).expect("the file can be written");
    kafkas(&[&["--group", "new"], &from_file[..]].concat());
    assert_eq!(ours(&["group", "export", "new"], ""), one);
}

const GROUP_TOOL: &str = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand";

/// More partitions than a page has that describes them.
#[test]
fn kafkas_admin_client_learns_who_leads_and_that_nobody_moves() {
    let Some(class_path) = class_path() else {
        return;
    };
    let server = Server::start(&["--ephemeral"]);
    server.stdout_of(&["topic", "create", "clicks", "-p", "2300"], b"");
    let program = brooklet_tests::repository().join("tests/kafka/Cluster.java");
    let args = ["-cp", &class_path, text(&program), server.kafka(), "clicks"];
    let said = String::from_utf8(foreign("java", &args, b"")).expect("Java prints text");
    let expected = [
        "described 2300, led true",
        "elected: ElectionNotNeededException",
        "elected of all: 0",
        "moved to [1]: done",
        "moved to [2]: InvalidReplicaAssignmentException",
        "cancelled: NoReassignmentInProgressException",
        "moving: 0",
        "feature to 2: done",
        "feature to 3: InvalidUpdateVersionException",
        "instance id: true",
    ];
    assert_eq!(said.lines().collect::<Vec<_>>(), expected);
}

/// One session from beginning to end, and never refused: the consumer and we agree on each epoch.
#[test]
fn kafkas_consumer_keeps_its_fetch_session() {
    let Some(class_path) = class_path() else {
        return;
    };
    let server = Server::start(&["--ephemeral"]);
    server.stdout_of(&["topic", "create", "clicks", "-p", "60"], b"");
    let program = brooklet_tests::repository().join("tests/kafka/Sessions.java");
    let head = ["-cp", &class_path, text(&program), server.kafka()];
    let args = [&head[..], &["clicks", "60", "40"]].concat();
    let said = String::from_utf8(foreign("java", &args, b"")).expect("Java prints text");
    assert_eq!(
        said,
        "opened 1, refused 0, an incremental fetch a round: true\n"
    );
}

#[test]
fn kafka_4s_consumers_share_a_topic() {
    let Some(class_path) = class_path_4() else {
        return;
    };
    let server = Server::ephemeral();
    server.stdout_of(&["topic", "create", "clicks", "-p", "2"], b"");
    let args = ["share", server.kafka(), "clicks", "readers"];
    assert_eq!(java(&class_path, "Group.java", &args), "shared\n");
}

/// Those of 3.9 speak version 1 of transactions, those of 4 version 2.
#[test]
fn kafkas_transactions_count_once_and_kafka_reads_what_we_wrote_of_them() {
    for (version, class_path) in [(1, class_path()), (2, class_path_4())] {
        let Some(class_path) = class_path else {
            return;
        };
        let parent = tempfile::tempdir().expect("a directory");
        let server = Server::on(parent.path());
        let copied = java(&class_path, "Transactions.java", &["copy", server.kafka()]);
        assert_eq!(copied, "fenced\nexactly once\n");
        let administered = java(&class_path, "Transactions.java", &["admin", server.kafka()]);
        assert_eq!(administered, "fenced by its admin\n");

        assert!(server.terminate().code().is_some());
        let state = parent.path().join("__transaction_state-0");
        let log = ["log", "dump", text(&state), "--records"];
        let ours = String::from_utf8(run(&log).stdout).expect("words");
        // Version 2 raises the epoch with each of them.
        let raised = ours.contains(" epoch 10");
        assert_eq!(raised, version == 2, "{ours}");
        // Its tools are those of 3.9.
        if version == 1 {
            let printed = dump(
                &class_path,
                &["--transaction-log-decoder"],
                &files(&state, "log"),
            );
            assert!(printed.contains("java-tx"), "{printed}");
            assert!(printed.contains("CompleteCommit"), "{printed}");
        }
    }
}

#[test]
fn we_serve_what_kafka_wrote_and_left_in_order() {
    let Some(class_path) = class_path() else {
        return;
    };
    let parent = tempfile::tempdir().expect("a directory");
    let kafka = Kafka::start(&class_path, parent.path());
    fill(&kafka);
    let begin = ["read", kafka.address(), "clicks", "readers", "100"];
    let mut read: Vec<_> = java(&class_path, "Group.java", &begin)
        .lines()
        .map(str::to_owned)
        .collect();
    let data = kafka.data_dir().to_owned();
    kafka.terminate();

    // The group goes on where it was with Kafka.
    let server = Server::start(&["--data-dir", text(&data), "--adopt"]);
    let rest = ["read", server.kafka(), "clicks", "readers", "200"];
    read.extend(
        java(&class_path, "Group.java", &rest)
            .lines()
            .map(str::to_owned),
    );
    read.sort();
    read.dedup();
    assert_eq!(read.len(), 300, "each once");
    assert!(server.terminate().code().is_some());
    check_adopted(&data);
}

#[test]
fn we_serve_what_kafka_wrote_before_it_was_killed() {
    let Some(class_path) = class_path() else {
        return;
    };
    let parent = tempfile::tempdir().expect("a directory");
    let kafka = Kafka::start(&class_path, parent.path());
    fill(&kafka);
    let data = kafka.data_dir().to_owned();
    kafka.kill();
    check_adopted(&data);
}

#[test]
fn a_window_on_kafka_takes_times_ahead_of_its_clock() {
    let Some(class_path) = class_path() else {
        return;
    };
    let parent = tempfile::tempdir().expect("a directory");
    let kafka = Kafka::start(&class_path, parent.path());
    let bookings = "{\"at\":\"2999-01-01T00:00:00Z\"}\n{\"at\":\"9999-12-31T23:59:59Z\"}\n\
        {\"at\":\"2999-01-01T00:00:00Z\"}\n{\"at\":\"1970-01-01T00:00:00Z\"}\n";
    kafka.stdout_of(&["topic", "create", "t"], b"");
    kafka.stdout_of(&["produce", "t"], bookings.as_bytes());
    let window = [
        "window", "t", "--time", "/at", "--size", "1h", "--grace", "0s",
    ];
    let late = ["--late-to", "late", "-e", "-o", "jsonl"];
    let results = kafka.stdout_of(&[&window[..], &late].concat(), b"");
    assert_eq!(results.lines().count(), 2, "{results}");
    let late = kafka.stdout_of(&["consume", "late", "-e", "-f", "%T "], b"");
    assert_eq!(late, "32472144000000 0 ");
    kafka.terminate();
}
