//! `brooklet window` and what shows times, on inputs that went wrong: reports of users, foreign
//! programs, spreadsheets. The right values stand in `tests/golden/window.md`.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::Output;

use brooklet_client::{Client, NewRecord, Producer, ProducerConfig, TransactionalProducer};
use brooklet_protocol::records::{BatchBuilder, BatchRewriter, Compression};
use brooklet_protocol::{Timestamp, TopicName};
use brooklet_tests::{Server, repository, run, text};
use serde_json::{Value, json};

const END: [&str; 3] = ["-e", "-o", "jsonl"];

fn golden(name: &str) -> PathBuf {
    repository().join("tests/golden").join(name)
}

/// A server whose topic `t` has the lines of a file, one record each.
fn with_lines(file: &str) -> Server {
    let server = Server::ephemeral();
    let lines = std::fs::read(golden("window").join(file)).unwrap();
    server.stdout_of(&["produce", "t"], &lines);
    server
}

fn topic() -> TopicName {
    TopicName::new("t").unwrap()
}

/// A record with a value, of now.
fn record(value: impl AsRef<[u8]>) -> NewRecord {
    NewRecord {
        value: Some(value.as_ref().to_vec().into()),
        ..NewRecord::default()
    }
}

fn at(timestamp: i64, value: &str) -> NewRecord {
    NewRecord {
        timestamp: Some(Timestamp(timestamp)),
        ..record(value)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn produce(server: &Server, records: Vec<NewRecord>) {
    let client = Client::connect(server.kafka(), "test").await.unwrap();
    let producer = Producer::new(client, ProducerConfig::default())
        .await
        .unwrap();
    for record in records {
        producer.send(&topic(), record).await.unwrap();
    }
    producer.flush().await.unwrap();
}

/// A query that reads to the end: its results and what it says.
struct Ran {
    results: Vec<Value>,
    says: String,
}

fn window(server: &Server, args: &[&str]) -> Ran {
    let output = server.run(&[&["window", "t"], args, &END].concat());
    let says = says(&output);
    assert_eq!(output.status.code(), Some(0), "{says}");
    let results = String::from_utf8(output.stdout).unwrap();
    let parse = |line| serde_json::from_str(line).unwrap();
    Ran {
        results: results.lines().map(parse).collect(),
        says,
    }
}

fn says(output: &Output) -> String {
    let says = String::from_utf8(output.stderr.clone()).unwrap();
    assert!(!says.contains("panicked"), "{says}");
    says
}

impl Ran {
    /// One column of the results.
    fn column(&self, name: &str) -> Vec<&Value> {
        self.results.iter().map(|row| &row[name]).collect()
    }

    fn assert_says(&self, all_words: &[&str]) {
        for words in all_words {
            assert!(self.says.contains(words), "no {words:?} in: {}", self.says);
        }
    }
}

const HOURS: [&str; 6] = ["--time", "/at", "--size", "1h", "--grace", "1h"];
/// All that is produced now falls into one of them.
const ONE_WINDOW: [&str; 4] = ["--size", "10000d", "--grace", "0s"];

#[test]
fn a_time_may_be_spelled_with_any_offset() {
    let server = with_lines("offsets.jsonl");
    let ran = window(
        &server,
        &[&HOURS[..], &["--agg", "count", "--agg", "sum:/n"]].concat(),
    );
    let expected = json!({
        "window_start": "2026-06-25T09:00:00.000Z", "window_end": "2026-06-25T10:00:00.000Z",
        "key": "", "count": 7, "sum:/n": 28,
    });
    assert_eq!(ran.results, [expected]);
    ran.assert_says(&["7 records read: 7 counted, 0 too late, 0 malformed; 1 result"]);
}

#[test]
fn a_time_in_another_unit_is_named_and_the_run_goes_on() {
    let server = with_lines("micros.jsonl");
    let ran = window(&server, &HOURS);
    assert_eq!(ran.column("window_start"), ["2026-06-25T09:00:00.000Z"]);
    ran.assert_says(&[
        "offset 1: /at is 1782379000123456: in milliseconds, that is after the year 9999; \
         in microseconds it is 2026-06-25T09:16:40.123Z: add --time-unit us",
        "2 records read: 1 counted, 0 too late, 0 malformed, 1 with an impossible time; 1 result",
    ]);
    let ran = window(&server, &[&HOURS[..], &["--time-unit", "us"]].concat());
    let starts = ["1970-01-21T15:00:00.000Z", "2026-06-25T09:00:00.000Z"];
    assert_eq!(ran.column("window_start"), starts);
}

#[test]
fn event_times_may_lie_ahead_of_the_clock() {
    let server = with_lines("future.jsonl");
    let by_origin = ["--by", "/origin", "--size", "1h", "--grace", "0s"];
    let args = [&["--time", "/scheduled_at"][..], &by_origin].concat();
    let ran = window(&server, &args);
    assert_eq!(ran.results.len(), 5, "{:?}", ran.results);
    ran.assert_says(&["5 records read: 5 counted, 0 too late, 0 malformed; 5 results"]);

    // However far; and what is late then is written to a topic that the run creates.
    let centuries = "{\"scheduled_at\":\"9999-12-31T23:59:59Z\",\"origin\":\"EWR\"}\n\
        {\"scheduled_at\":\"2999-01-01T00:00:00Z\",\"origin\":\"EWR\"}\n";
    server.stdout_of(&["produce", "t"], centuries.as_bytes());
    let ran = window(&server, &[&args[..], &["--late-to", "late"]].concat());
    assert_eq!(ran.results.len(), 6);
    let last = ran.results.last().unwrap();
    assert_eq!(last["window_start"], "9999-12-31T23:00:00.000Z");
    assert_eq!(last["window_end"], "253402300800000", "no calendar has it");
    ran.assert_says(&["7 records read: 6 counted, 1 too late, 0 malformed; 6 results"]);
    let late = server.stdout_of(&["consume", "late", "-e", "-f", "%T"], b"");
    assert_eq!(late, "32472144000000");
}

#[test]
fn a_spreadsheet_is_read_line_by_line() {
    let server = with_lines("excel.csv");
    let columns = [
        "--format",
        "csv",
        "--columns",
        "at,symbol,price",
        "--time",
        "at",
    ];
    let of_price = ["--agg", "count", "--agg", "sum:price", "--agg", "max:price"];
    let hour = ["--size", "1h", "--grace", "1h"];
    let args = [&columns[..], &of_price, &hour].concat();
    let ran = window(&server, &args);
    assert_eq!(ran.column("count"), [5]);
    assert_eq!(ran.column("sum:price"), [14.0]);
    assert_eq!(ran.column("max:price"), [7]);
    ran.assert_says(&[
        "offset 0: a header line: it repeats the column names",
        "offset 4: price is \"NaN\": expected a number",
        "7 records read: 5 counted, 0 too late, 1 malformed, 1 header line; 1 result; \
         1 row without price",
    ]);
    // The same as one record.
    let file = std::fs::read(golden("window/excel.csv")).unwrap();
    let server = Server::ephemeral();
    produce(&server, vec![record(&file)]);
    let as_one = window(&server, &args);
    assert_eq!(as_one.results, ran.results);
    as_one
        .assert_says(&["1 record read; 7 rows: 5 counted, 0 too late, 1 malformed, 1 header line"]);
}

#[test]
fn a_record_may_hold_several_rows() {
    let server = Server::ephemeral();
    produce(&server, vec![record("1,a,1\n2,a,2\n3,a,4\n")]);
    let columns = ["--format", "csv", "--columns", "at,k,n"];
    let aggregates = ["--agg", "count", "--agg", "sum:n"];
    let ran = window(&server, &[&columns[..], &aggregates, &ONE_WINDOW].concat());
    assert_eq!(
        (ran.column("count"), ran.column("sum:n")),
        (vec![&json!(3)], vec![&json!(7)])
    );
    // Each with its own time, and each late for itself.
    let own_times = [
        "--time",
        "at",
        "--size",
        "1ms",
        "--grace",
        "0s",
        "--late-to",
        "late",
    ];
    let ran = window(&server, &[&columns[..], &own_times].concat());
    assert_eq!(ran.results.len(), 3);
    produce(
        &server,
        vec![record("2,b,8\r\n9,b,9"), NewRecord::default()],
    );
    let ran = window(&server, &[&columns[..], &own_times].concat());
    ran.assert_says(&[
        "offset 2: it has no value",
        "3 records read, 1 of them without a value; 5 rows: 4 counted, 1 too late, 0 malformed; \
         4 results",
    ]);
    let late = server.stdout_of(&["consume", "late", "-e"], b"");
    let late: Value = serde_json::from_str(&late).unwrap();
    assert_eq!(late["record"], "2,b,8");
}

#[test]
fn keys_and_numbers_follow_one_rule() {
    let server = with_lines("pointers.jsonl");
    let by = [
        "--by",
        "/a~1b/c~0d/1/k",
        "--agg",
        "count",
        "--agg",
        "sum:/v",
    ];
    let args = [&by[..], &ONE_WINDOW].concat();
    let ran = window(&server, &args);
    let object = r#"{"y":[1,2],"z":1}"#;
    assert_eq!(ran.column("key"), ["7", "y", object, "é\0\n"]);
    assert_eq!(ran.column("count"), [3, 1, 1, 1]);
    assert_eq!(ran.column("sum:/v"), [28, 1, 64, 0]);
    ran.assert_says(&[
        "offset 1: field /a~1b/c~0d/1/k is missing",
        "offset 7: /v is true: expected a number",
        "10 records read: 6 counted, 0 too late, 4 malformed; 4 results",
    ]);
    let table = server.stdout_of(&[&["window", "t", "-e"], &args[..]].concat(), b"");
    assert!(table.contains("é\\u0000\\n"), "{table}");
    assert!(!table.contains('\0'), "{table}");
}

#[test]
fn integers_are_summed_to_the_last_digit() {
    let server = Server::ephemeral();
    let lines =
        "{\"n\":9007199254740993}\n{\"n\":9007199254740993.0}\n{\"n\":\"18446744073709551615\"}\n";
    server.stdout_of(&["produce", "t"], lines.as_bytes());
    let args = [
        &["window", "t", "-e", "-o", "jsonl", "--agg", "sum:/n"][..],
        &ONE_WINDOW,
    ]
    .concat();
    let printed = server.stdout_of(&args, b"");
    assert!(
        printed.contains("\"sum:/n\":18464758472219033601}"),
        "{printed}"
    );
}

#[tokio::main(flavor = "current_thread")]
async fn produce_in_transactions(server: &Server) -> TransactionalProducer {
    let client = Client::connect(server.kafka(), "test").await.unwrap();
    let plain = Producer::new(client.clone(), ProducerConfig::default())
        .await
        .unwrap();
    plain.send(&topic(), record(r#"{"v":1}"#)).await.unwrap();
    plain.flush().await.unwrap();
    let config = ProducerConfig::transactional("test");
    let mut producer = TransactionalProducer::new(client, config).await.unwrap();
    for (value, commits) in [
        (r#"{"v":2}"#, false),
        (r#"{"v":4}"#, true),
        (r#"{"v":8}"#, false),
    ] {
        producer.begin().unwrap();
        producer.send(&topic(), record(value)).await.unwrap();
        producer.flush().await.unwrap();
        match (value.contains('8'), commits) {
            (true, _) => {}
            (_, true) => producer.commit().await.unwrap(),
            (_, false) => producer.abort().await.unwrap(),
        }
    }
    producer
}

#[test]
fn aborted_and_open_transactions_do_not_count() {
    let server = Server::ephemeral();
    let open = produce_in_transactions(&server);
    let sum = [&["--agg", "sum:/v"][..], &ONE_WINDOW].concat();
    let ran = window(&server, &sum);
    assert_eq!(ran.column("sum:/v"), [5]);
    ran.assert_says(&[
        "% Topic t [0]: offsets 5..6 are not read, because a transaction is open",
        "--isolation read_uncommitted",
        "2 records read: 2 counted",
    ]);
    let all = ["--isolation", "read_uncommitted"];
    assert_eq!(
        window(&server, &[&sum[..], &all].concat()).column("sum:/v"),
        [15]
    );

    let consumed = server.run(&["consume", "t", "-e"]);
    assert_eq!(
        String::from_utf8_lossy(&consumed.stdout),
        "{\"v\":1}\n{\"v\":4}\n"
    );
    assert!(
        says(&consumed).contains("offsets 5..6 are not read"),
        "{}",
        says(&consumed)
    );
    let consumed = server.stdout_of(&[&["consume", "t", "-e"][..], &all].concat(), b"");
    assert_eq!(consumed.lines().count(), 4);
    drop(open);
}

#[test]
fn names_that_come_twice_are_a_usage_error() {
    let csv = ["--format", "csv", "--columns"];
    let cases: [(&[&str], &str); 5] = [
        (
            &["--agg", "count", "--agg", "count"],
            "the aggregate count is given twice",
        ),
        (
            &["--agg", "sum:/a", "--agg", "sum:/a"],
            "the aggregate sum:/a is given twice",
        ),
        (&["--by", "/a", "--by", "/a"], "--by /a is given twice"),
        (
            &[csv[0], csv[1], csv[2], "a,b, a"],
            "the column a is given twice",
        ),
        (
            &[
                csv[0], csv[1], csv[2], "a,b", "--agg", "max:/a", "--agg", "max:a",
            ],
            "the aggregate max:a is given twice",
        ),
    ];
    for (args, words) in cases {
        let output = run(&[&["window", "t"], args, &ONE_WINDOW].concat());
        assert_eq!(output.status.code(), Some(2));
        assert!(says(&output).contains(words), "{}", says(&output));
    }
}

/// A server whose topic has a row of one key at each of these times in March 2026.
fn with_times(times: &[&str]) -> Server {
    let server = Server::ephemeral();
    let rows = times
        .iter()
        .map(|time| format!("{{\"at\":\"2026-03-{time}\"}}\n"));
    let rows: String = rows.collect();
    server.stdout_of(&["produce", "t"], rows.as_bytes());
    server
}

const BY_TIME: [&str; 4] = ["--time", "/at", "--grace", "1h"];

impl Ran {
    /// The windows of March 2026 and their counts.
    fn windows(&self) -> Vec<String> {
        let short = |time: &Value| {
            let time = time.as_str().unwrap().trim_start_matches("2026-03-");
            time.trim_start_matches("25T")
                .trim_end_matches('Z')
                .to_owned()
        };
        let rows = self.results.iter().map(|row| {
            let (start, end) = (short(&row["window_start"]), short(&row["window_end"]));
            format!("{start} {end} {}", row["count"])
        });
        rows.collect()
    }
}

#[test]
fn a_day_of_a_time_zone_may_have_23_hours() {
    let server = with_times(&["29T00:00:00+01:00", "29T21:59:59.999Z", "29T22:00:00Z"]);
    let ran = window(
        &server,
        &[&BY_TIME[..], &["--every", "day@Europe/Berlin"]].concat(),
    );
    let expected = [
        "28T23:00:00.000 29T22:00:00.000 2",
        "29T22:00:00.000 30T22:00:00.000 1",
    ];
    assert_eq!(ran.windows(), expected);
    ran.assert_says(&["3 records read: 3 counted, 0 too late, 0 malformed; 2 results"]);
}

#[test]
fn sessions_and_sliding_windows_end_with_a_row() {
    let server = with_times(&["25T09:00:00Z", "25T09:04:00Z", "25T09:20:00Z"]);
    let of = |kind: &[&str]| window(&server, &[&BY_TIME[..], kind].concat()).windows();
    assert_eq!(
        of(&["--session", "5m"]),
        ["09:00:00.000 09:04:00.001 2", "09:20:00.000 09:20:00.001 1"]
    );
    assert_eq!(
        of(&["--sliding", "5m"]),
        [
            "08:55:00.000 09:00:00.001 1",
            "08:59:00.000 09:04:00.001 2",
            "09:00:00.001 09:05:00.002 1",
            "09:15:00.000 09:20:00.001 1",
        ]
    );
}

#[test]
fn updates_are_marked_and_sessions_that_merge_are_retracted() {
    let server = with_times(&["25T09:00:00Z", "25T09:08:00Z", "25T09:04:00Z"]);
    let args = [&BY_TIME[..], &["--session", "5m", "--updates"]].concat();
    let ran = window(&server, &args);
    let expected = [
        ("update", "09:00:00.000 09:00:00.001 1"),
        ("update", "09:08:00.000 09:08:00.001 1"),
        ("retraction", "09:00:00.000 09:00:00.001 null"),
        ("retraction", "09:08:00.000 09:08:00.001 null"),
        ("update", "09:00:00.000 09:08:00.001 3"),
        ("final", "09:00:00.000 09:08:00.001 3"),
    ];
    assert_eq!(ran.column("kind"), expected.map(|(kind, _)| kind));
    assert_eq!(ran.windows(), expected.map(|(_, window)| window));
    ran.assert_says(&[
        "3 records read: 3 counted, 0 too late, 0 malformed; 1 result; 3 updates and 2 retractions",
    ]);
    let printed = |format| {
        let args = [&["window", "t", "-e", "-o", format][..], &args].concat();
        server.stdout_of(&args, b"")
    };
    let array: Vec<Value> = serde_json::from_str(&printed("json")).unwrap();
    assert_eq!(array, ran.results);
    let table = printed("table");
    let kinds = table.lines().map(|line| line.split(' ').next().unwrap());
    let expected = expected.map(|(kind, _)| kind);
    assert_eq!(
        kinds.collect::<Vec<_>>(),
        [&["KIND"][..], &expected].concat()
    );
}

#[test]
fn anything_but_one_kind_of_windows_is_a_usage_error() {
    let all = "--size <DURATION>|--every <UNIT@ZONE>|--session <GAP>|--sliding <DIFFERENCE>";
    let cases: [(&[&str], &str); 4] = [
        (&[], all),
        (&["--session", "5m", "--hop", "1m"], "cannot be used with"),
        (&["--every", "day@Berlin"], "the nearest is Europe/Berlin"),
        (
            &["--size", "1h", "--step", "25m"],
            "must divide its size of 1h, found 25m",
        ),
    ];
    for (args, words) in cases {
        let output = run(&[&["window", "t", "--grace", "1h"], args].concat());
        assert_eq!(output.status.code(), Some(2), "{}", says(&output));
        assert!(says(&output).contains(words), "{}", says(&output));
    }
}

/// Copies Kafka's partition, which is in nobody's data directory.
fn micro(parent: &Path) -> PathBuf {
    let dir = parent.join("micro-0");
    std::fs::create_dir(&dir).unwrap();
    let name = "00000000000000000000.log";
    std::fs::copy(golden("micro-0").join(name), dir.join(name)).unwrap();
    dir
}

#[test]
fn kafkas_microseconds_are_shown_where_no_calendar_has_them() {
    let parent = tempfile::tempdir().unwrap();
    let dir = micro(parent.path());
    let log = |verb: &str, more: &[&str]| {
        let output = run(&[&["log", verb, text(&dir)], more].concat());
        let said = says(&output);
        assert_eq!(output.status.code(), Some(0), "{said}");
        String::from_utf8(output.stdout).unwrap()
    };
    let micros = "1796036379836515";
    let dump = log("dump", &["--records"]);
    assert!(
        dump.contains(&format!("time {micros}..={micros}")),
        "{dump}"
    );
    assert!(dump.contains(&format!("offset 0  time {micros}")), "{dump}");
    assert!(log("dump", &["--hex"]).contains(micros));
    log("index", &[]);
    assert!(log("index", &["--find-time", micros]).contains("found"));
    assert!(log("index", &["--find-time", "2026-06-25t11:15:00+02:00"]).contains("found"));
}

#[test]
fn a_partition_with_times_of_the_whole_type_is_read_indexed_and_windowed() {
    let parent = tempfile::tempdir().unwrap();
    let server = Server::on(parent.path());
    let (most, index) = (
        "message.timestamp.after.max.ms=9223372036854775807",
        "index.interval.bytes=0",
    );
    server.stdout_of(
        &[
            "topic",
            "create",
            "t",
            "-c",
            most,
            "-c",
            index,
            "-c",
            "retention.ms=-1",
        ],
        b"",
    );
    let times = [
        0,
        1_782_379_000_123,
        1_782_379_000_123_456,
        1_782_379_000_123_456_789,
        i64::MAX,
    ];
    for time in times {
        produce(&server, vec![at(time, "{}")]);
    }
    let args = ["--size", "1h", "--grace", "100000d", "--agg", "count"];
    let ran = window(&server, &args);
    assert_eq!(
        ran.column("window_start"),
        ["1970-01-01T00:00:00.000Z", "2026-06-25T09:00:00.000Z"]
    );
    ran.assert_says(&[
        "offset 2: its timestamp is 1782379000123456: in milliseconds, that is after the year 9999",
        "5 records read: 2 counted, 0 too late, 0 malformed, 3 with an impossible time; 2 results",
    ]);
    let consumed = |start| server.stdout_of(&["consume", "t", "-e", "-o", start, "-f", "%o "], b"");
    assert_eq!(consumed("@2026-06-25 11:16:40.123+02:00"), "1 2 3 4 ");
    assert_eq!(consumed("@2026-06-25T09:16:40.124z"), "2 3 4 ");
    assert_eq!(consumed("@9223372036854775807"), "4 ");
    assert!(server.terminate().code().is_some());
    let dir = parent.path().join("t-0");
    for args in [&["dump", "--records"][..], &["dump", "--hex"], &["index"]] {
        let output = run(&[&["log", args[0], text(&dir)], &args[1..]].concat());
        says(&output);
        let shown = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(0), "{shown}");
        for time in [
            "2026-06-25T09:16:40.123Z",
            "1782379000123456",
            "9223372036854775807",
        ] {
            assert!(shown.contains(time), "no {time} in {args:?}: {shown}");
        }
    }
}

#[test]
fn a_delete_horizon_is_shown_as_one_and_the_records_keep_their_times() {
    let mut builder = BatchBuilder::new(Compression::None);
    for (time, value) in [
        (1_782_379_000_123, None),
        (1_782_379_000_456, Some(&b"v"[..])),
    ] {
        builder.append(Timestamp(time), Some(b"k"), value, &[]);
    }
    let batch = builder.build();
    let horizon = Timestamp(1_782_465_400_000);
    let mut marked = BatchRewriter::new(batch.header(), Some(horizon)).unwrap();
    for record in &batch.records(1 << 20).unwrap() {
        marked.keep(&record.unwrap());
    }
    let parent = tempfile::tempdir().unwrap();
    let log = parent.path().join("00000000000000000000.log");
    std::fs::write(&log, marked.build().bytes()).unwrap();
    let dump = |more: &[&str]| {
        let output = run(&[&["log", "dump", text(&log)], more].concat());
        assert_eq!(output.status.code(), Some(0), "{}", says(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    let shown = dump(&["--records"]);
    for words in [
        "time up to 2026-06-25T09:16:40.456Z  delete horizon 2026-06-26T09:16:40.000Z",
        "offset 0  time 2026-06-25T09:16:40.123Z",
        "offset 1  time 2026-06-25T09:16:40.456Z",
    ] {
        assert!(shown.contains(words), "no {words:?} in {shown}");
    }
    assert!(dump(&["--hex"]).contains("delete horizon"));
    let json: Value = serde_json::from_str(&dump(&["-o", "json"])).unwrap();
    assert_eq!(json["delete_horizon"], horizon.0);
}

#[test]
fn a_group_goes_to_a_time_with_an_offset() {
    let server = Server::ephemeral();
    let first = 1_782_379_000_123;
    produce(&server, vec![at(first, "a"), at(first + 1, "b")]);
    let seek = ["group", "seek", "g", "--topic", "t", "--execute", "--to"];
    let moved = server.stdout_of(
        &[&seek[..], &["@2026-06-25t14:46:40.124+05:30"]].concat(),
        b"",
    );
    assert!(moved.split_whitespace().any(|word| word == "1"), "{moved}");
}
