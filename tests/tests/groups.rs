//! `consume --group`: members that share, take over, and go without a trace; what groups have
//! committed, written to files and set from them; and `group lag --watch`; with the real binary.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};

use brooklet_tests::program::Program;
use brooklet_tests::{Server, brooklet, run_with_input, side_by_side, text};
use serde_json::Value;

/// A running `brooklet consume`, killed when dropped.
struct Member {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Member {
    fn start(server: &Server, args: &[&str]) -> Self {
        let mut child = Command::new(brooklet())
            .args([
                "-b",
                server.kafka(),
                "-q",
                "consume",
                "clicks",
                "-G",
                "readers",
            ])
            .args(args)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = child.stdout.take().unwrap();
        let lines = BufReader::new(stdout).lines();
        Self { child, lines }
    }

    fn read(&mut self, count: usize) -> Vec<String> {
        let lines = self.lines.by_ref().take(count);
        lines.map(Result::unwrap).collect()
    }

    fn end_by(&mut self, signal: &str) -> ExitStatus {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill")
            .args([&format!("-{signal}"), &pid])
            .status();
        assert!(sent.unwrap().success());
        self.child.wait().unwrap()
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        // It may have ended already, which is what is wanted.
        if self.child.kill().is_ok() {
            drop(self.child.wait());
        }
    }
}

/// A server with a topic of `partitions` partitions.
fn server(partitions: &str) -> Server {
    let server = Server::start(&["--ephemeral", "--set", "group.min.session.timeout.ms=100"]);
    server.stdout_of(&["topic", "create", "clicks", "-p", partitions], b"");
    server
}

fn produce(server: &Server, values: std::ops::Range<usize>) -> Vec<String> {
    let values: Vec<_> = values.map(|n| format!("value-{n}")).collect();
    let keyed: Vec<_> = values.iter().map(|v| format!("{v}:{v}\n")).collect();
    server.stdout_of(&["produce", "clicks", "-K:"], keyed.concat().as_bytes());
    values
}

/// How many partitions each member has.
fn shares(server: &Server) -> Vec<usize> {
    let output = server.run(&["group", "describe", "readers", "-o", "jsonl"]);
    if !output.status.success() {
        return Vec::new();
    }
    let group: Value = serde_json::from_slice(&output.stdout).unwrap();
    let members = group["members"].as_array().unwrap();
    let mut shares: Vec<_> = members
        .iter()
        .map(|m| m["partitions"].as_array().unwrap().len())
        .collect();
    shares.sort_unstable();
    shares
}

fn wait_for_shares(server: &Server, expected: &[usize]) {
    while shares(server) != expected {
        std::thread::yield_now();
    }
}

fn sorted(lines: impl IntoIterator<Item = Vec<String>>) -> Vec<String> {
    let mut lines: Vec<_> = lines.into_iter().flatten().collect();
    lines.sort();
    lines
}

#[test]
fn a_group_goes_on_where_it_was_and_a_count_is_exact() {
    let server = server("1");
    let values = produce(&server, 0..10);
    let consume = |args: &[&str]| {
        let line = [&["consume", "clicks", "-G", "readers"], args].concat();
        let printed = server.stdout_of(&line, b"");
        printed.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(consume(&["-n", "3"]), values[..3]);
    assert_eq!(consume(&["-n", "4"]), values[3..7]);
    assert_eq!(consume(&["-e"]), values[7..]);
    assert_eq!(consume(&["-e"]), [""; 0]);
    let lag = server.stdout_of(&["group", "lag", "readers"], b"");
    assert!(lag.contains("group readers  lag 0"), "{lag}");
}

#[test]
fn two_members_share_and_one_that_is_stopped_leaves_at_once() {
    let assignors = ["range", "roundrobin", "sticky", "cooperative-sticky"];
    side_by_side(assignors, |assignor| {
        let server = server("4");
        let args = ["--assignor", assignor, "--session-timeout", "3000"];
        let mut first = Member::start(&server, &args);
        wait_for_shares(&server, &[4]);
        let mut second = Member::start(&server, &args);
        wait_for_shares(&server, &[2, 2]);
        let values = produce(&server, 0..40);
        let status = first.end_by("INT");
        assert_eq!(status.code(), Some(130));
        wait_for_shares(&server, &[4]);
        let more = produce(&server, 40..60);
        let of_first = first.read(usize::MAX);
        let mut of_second = second.read(60 - of_first.len());
        let status = second.end_by("TERM");
        assert_eq!(status.code(), Some(143));
        of_second.extend(second.read(usize::MAX));
        assert!(shares(&server).is_empty(), "nobody is left");
        let read = [of_first, of_second];
        assert_eq!(
            sorted(read),
            sorted([values, more]),
            "{assignor}: each once"
        );
    });
}

#[test]
fn at_the_end_ends_who_has_no_partition_and_nobody_who_is_to_get_one() {
    let args = [
        "--assignor",
        "cooperative-sticky",
        "--session-timeout",
        "3000",
    ];
    let consume = [&["consume", "clicks", "-G", "readers", "-e"], &args[..]].concat();
    let cases = [
        ("1", 1, "Other members read all partitions: exiting"),
        // They come in a second round, as they are the first member's in the first.
        ("2", 2, "Group rebalanced: assigned clicks-"),
    ];
    side_by_side(cases, |(partitions, share, words)| {
        let server = server(partitions);
        let member = Member::start(&server, &args);
        wait_for_shares(&server, &[share]);
        let ended = server.run(&consume);
        let notes = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(0), "{notes}");
        assert!(notes.contains(words), "{notes}");
        wait_for_shares(&server, &[share]);
        drop(member);
    });
}

/// What the group has committed of each partition, and where that ends.
fn progress(server: &Server) -> BTreeMap<u64, (u64, u64)> {
    let lag = server.stdout_of(&["group", "lag", "readers", "-o", "jsonl"], b"");
    let group: Value = serde_json::from_str(&lag).unwrap();
    let partitions = group["partitions"].as_array().unwrap().iter();
    partitions
        .map(|partition| {
            let number = |name: &str| partition[name].as_u64().unwrap();
            (number("partition"), (number("offset"), number("end")))
        })
        .collect()
}

/// How long the values are of which more is printed than a pipe holds.
const LENGTH: usize = 1000;

/// Partition and offset at the head of a line; `None` if the line is not whole.
fn place(line: &str) -> Option<(u64, u64)> {
    let (head, value) = line.split_once(' ')?;
    let (partition, offset) = head.split_once(':')?;
    let is_whole = value.len() == LENGTH;
    is_whole.then(|| (partition.parse().unwrap(), offset.parse().unwrap()))
}

#[test]
fn what_a_killed_member_has_not_committed_another_reads() {
    let server = server("4");
    let args = ["--session-timeout", "3000", "-f", "%p:%o %s\\n"];
    let mut victim = Member::start(&server, &args);
    produce(&server, 0..40);
    victim.read(40);
    let head = ["-b", server.kafka(), "-q", "consume", "clicks", "-G"];
    let other = [&head[..], &["readers"], &args].concat();
    let mut other = Program::start(text(brooklet()), &other);
    wait_for_shares(&server, &[2, 2]);
    let shared_at = progress(&server);
    assert_eq!(shared_at.values().map(|(at, _)| at).sum::<u64>(), 40);

    // More than the pipe holds, so that the victim is killed while it prints what it has fetched.
    let line = |n: usize| format!("{n}:{n:0LENGTH$}\n");
    let lines: Vec<_> = (0..800).map(line).collect();
    server.stdout_of(&["produce", "clicks", "-K:"], lines.concat().as_bytes());
    let mut printed = victim.read(1);
    victim.end_by("KILL");
    printed.extend(victim.read(usize::MAX));
    let printed = printed.iter().filter_map(|line| place(line));
    let printed: BTreeSet<_> = printed.collect();
    let died_at = progress(&server);
    let is_lost = |(partition, offset): &(u64, u64)| *offset >= died_at[partition].0;
    assert!(printed.iter().any(is_lost), "{died_at:?}");

    let mut expected = BTreeSet::new();
    for (partition, (committed, end)) in died_at {
        let is_its = printed.iter().any(|(its, _)| *its == partition);
        let from = if is_its {
            committed
        } else {
            shared_at[&partition].0
        };
        expected.extend((from..end).map(|offset| (partition, offset)));
    }
    let mut read = BTreeSet::new();
    while read.len() < expected.len() {
        let line = other.line().expect("it goes on reading");
        read.extend(place(&line));
    }
    assert_eq!(read, expected);
    wait_for_shares(&server, &[4]);
    other.signal("INT");
    while other.line().is_some() {}
    let progress = progress(&server);
    assert!(progress.values().all(|(at, end)| at == end), "{progress:?}");
}

#[test]
fn what_makes_no_sense_in_a_group_is_refused() {
    let server = server("1");
    for (args, words) in [
        (&["-G", "g", "-o", "7"][..], "group seek"),
        (&["-G", "g", "-p", "0"], "--partition"),
        (&["--assignor", "range"], "--group"),
        (&["-G", "g", "--assignor", "fair"], "cooperative-sticky"),
        (&["--isolation", "serializable"], "read_committed"),
        (&["clicks"], "--group"),
    ] {
        let output = server.run(&[&["consume", "clicks"], args].concat());
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {errors}");
        assert!(errors.contains(words), "{args:?}: {errors}");
    }
    let missing = server.run(&["consume", "nowhere", "-G", "g"]);
    assert_eq!(missing.status.code(), Some(4));
}

// Export and import.

/// A server where the group readers is at 3 of 10 in one partition and at 4 of 4 in another.
fn read_server() -> Server {
    let server = server("2");
    read_some(&server);
    server
}

fn read_some(server: &Server) {
    for (partition, count, offset) in [("0", 10, "3"), ("1", 4, "4")] {
        let lines: Vec<_> = (0..count).map(|n| format!("{n}\n")).collect();
        let produce = ["produce", "clicks", "-p", partition];
        server.stdout_of(&produce, lines.concat().as_bytes());
        let line = format!("clicks,{partition},{offset}");
        server.stdout_of(&IMPORT_READERS, line.as_bytes());
    }
}

const IMPORT_READERS: [&str; 5] = ["group", "import", "readers", "-", "--execute"];

fn export(server: &Server, groups: &[&str]) -> String {
    server.stdout_of(&[&["group", "export"], groups].concat(), b"")
}

/// Imports what is on standard input; returns how it ended and what it said on stderr.
fn import(server: &Server, args: &[&str], input: &str) -> (Option<i32>, String) {
    let line = [&["-b", server.kafka(), "group", "import"], args].concat();
    let Output { status, stderr, .. } = run_with_input(&line, input.as_bytes());
    (status.code(), String::from_utf8(stderr).unwrap())
}

#[test]
fn offsets_go_to_a_file_and_into_another_group() {
    let server = read_server();
    let offsets = "clicks,0,3\nclicks,1,4\n";
    assert_eq!(export(&server, &["readers"]), offsets);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("readers.csv");
    let file = text(&file);
    let written = server.stdout_of(&["group", "export", "readers", "-o", file], b"");
    assert_eq!(written, "");
    assert_eq!(std::fs::read_to_string(file).unwrap(), offsets);

    let import = ["group", "import", "a new reader", file];
    let moves = "TOPIC   PARTITION  FROM  TO\n\
                 clicks  0          -     3\n\
                 clicks  1          -     4\n";
    assert_eq!(server.stdout_of(&import, b""), moves);
    let nothing = server.run(&["group", "export", "a new reader"]);
    assert_eq!(nothing.status.code(), Some(4), "it was only shown");
    let done = server.stdout_of(&[&import[..], &["--execute"]].concat(), b"");
    assert_eq!(done, moves);
    assert_eq!(export(&server, &["a new reader"]), offsets);
}

#[test]
fn a_file_of_many_groups_moves_those_that_are_named() {
    let server = read_server();
    server.stdout_of(&["topic", "create", "views"], b"");
    let many = "\"a writer\",views,0,0\nreaders,clicks,1,2\nothers,clicks,0,9\n";
    let args = ["group", "import", "a writer", "readers", "-", "--execute"];
    let moves = "GROUP     TOPIC   PARTITION  FROM  TO\n\
                 a writer  views   0          -     0\n\
                 readers   clicks  1          4     2\n";
    assert_eq!(server.stdout_of(&args, many.as_bytes()), moves);
    let exported = "readers,clicks,0,3\nreaders,clicks,1,2\n\"a writer\",views,0,0\n";
    assert_eq!(export(&server, &["readers", "a writer"]), exported);
    let of_views = export(&server, &["a writer", "--topic", "views"]);
    assert_eq!(of_views, "views,0,0\n");
    for (args, words) in [
        (&["others"][..], "group 'others' does not exist"),
        (
            &["readers", "--topic", "views"],
            "no committed offsets for topic 'views'",
        ),
    ] {
        let output = server.run(&[&["group", "export"], args].concat());
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(4), "{errors}");
        assert!(errors.contains(words), "{errors}");
    }
}

#[test]
fn a_bad_line_is_named_and_nothing_is_committed() {
    let server = read_server();
    for (line, code, words) in [
        ("clicks,0", 2, "stdin:2: expected TOPIC,PARTITION,OFFSET"),
        (
            "clicks,0,-5",
            2,
            "stdin:2: expected an offset from 0 on, found '-5'",
        ),
        (
            "readers,clicks,0,5",
            2,
            "stdin:2: expected TOPIC,PARTITION,OFFSET as in line 1",
        ),
        ("nowhere,0,5", 4, "stdin:2: topic 'nowhere' does not exist"),
        (
            "clicks,2,5",
            4,
            "stdin:2: topic 'clicks' has no partition 2: it has 2",
        ),
    ] {
        let input = format!("clicks,0,0\n{line}\n");
        let (found, errors) = import(&server, &["readers", "-", "--execute"], &input);
        assert_eq!(found, Some(code), "{line}: {errors}");
        assert!(errors.contains(words), "{line}: {errors}");
    }
    let (code, errors) = import(&server, &["a", "b", "-", "--execute"], "clicks,0,0");
    assert_eq!(code, Some(2));
    assert!(errors.contains("expected one group"), "{errors}");
    let (code, errors) = import(&server, &["readers", "no.csv"], "");
    assert_eq!(code, Some(1));
    assert!(errors.contains("cannot read no.csv"), "{errors}");
    assert_eq!(export(&server, &["readers"]), "clicks,0,3\nclicks,1,4\n");
}

#[test]
fn an_offset_outside_the_log_is_put_to_its_end_with_a_warning() {
    let server = read_server();
    server.stdout_of(
        &["topic", "trim", "clicks", "-p", "0", "--before", "5"],
        b"",
    );
    let input = "clicks,0,4\nclicks,1,700\n";
    let (code, errors) = import(&server, &["readers", "-", "--execute"], input);
    assert_eq!(code, Some(0), "{errors}");
    for words in [
        "stdin:1: warning: clicks-0 has offsets 5 to 10, not 4: using 5",
        "stdin:2: warning: clicks-1 has offsets 0 to 4, not 700: using 4",
    ] {
        assert!(errors.contains(words), "{errors}");
    }
    assert_eq!(export(&server, &["readers"]), "clicks,0,5\nclicks,1,4\n");
}

#[test]
fn a_group_with_members_is_not_moved() {
    let server = read_server();
    let member = Member::start(&server, &[]);
    wait_for_shares(&server, &[2]);
    let groups = ["another", "readers", "-"];
    let input = "another,clicks,0,0\nreaders,clicks,0,0\n";
    let seek = ["group", "seek", "readers", "--to", "beginning"];
    for execute in [&[][..], &["--execute"]] {
        let (code, errors) = import(&server, &[&groups[..], execute].concat(), input);
        assert_eq!(code, Some(1), "{errors}");
        assert!(errors.contains("The group has members; stop them first"));
        let sought = server.run(&[&seek[..], execute].concat());
        assert_eq!(sought.status.code(), Some(1));
        assert_eq!(String::from_utf8(sought.stderr).unwrap(), errors);
    }
    let other = server.run(&["group", "export", "another"]);
    assert_eq!(
        other.status.code(),
        Some(4),
        "none is moved if one cannot be"
    );
    drop(member);
}

// Lag, watched.

/// `group lag readers --watch`; what it says on stderr stands between the lines of stdout.
fn watch(server: &Server, args: &[&str]) -> Program {
    let script = "exec \"$0\" \"$@\" 2>&1";
    let head = ["-c", script, text(brooklet()), "-b", server.kafka()];
    let verb = ["group", "lag", "readers", "--watch", "--interval", "20"];
    Program::start("sh", &[&head[..], &verb, args].concat())
}

/// The lag in a line of JSON, which says when it was seen.
fn lag_in(line: &str) -> i64 {
    let group: Value = serde_json::from_str(line).unwrap();
    let time = group["time"].as_str().unwrap();
    assert!(time.starts_with("20") && time.ends_with('Z'), "{time}");
    group["lag"].as_i64().unwrap()
}

#[test]
fn a_watch_goes_on_when_its_broker_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::on(dir.path());
    server.stdout_of(&["topic", "create", "clicks", "-p", "2"], b"");
    read_some(&server);
    let address = server.kafka().to_owned();
    let mut watch = watch(&server, &["-o", "jsonl"]);
    assert_eq!(lag_in(&watch.line().unwrap()), 7);
    assert_eq!(lag_in(&watch.line().unwrap()), 7);

    server.kill();
    let words = loop {
        let line = watch.line().unwrap();
        if !line.starts_with('{') {
            break line;
        }
        assert_eq!(lag_in(&line), 7);
    };
    assert!(words.starts_with("waiting for the broker: "), "{words}");
    assert!(words.contains(&address), "{words}");
    let server = Server::on_at(dir.path(), &address);
    assert_eq!(watch.line().unwrap(), "the broker is back");
    assert_eq!(lag_in(&watch.line().unwrap()), 7);
    server.stdout_of(&["produce", "clicks", "-p", "1"], b"one more\n");
    while lag_in(&watch.line().unwrap()) == 7 {}

    watch.signal("INT");
    let rest = watch.finish_with(|_| false);
    assert!(rest.iter().all(|line| lag_in(line) == 8), "{rest:?}");
}

#[test]
fn tables_follow_each_other_with_their_times_off_a_terminal() {
    let server = read_server();
    let mut watch = watch(&server, &[]);
    for _ in 0..2 {
        let time = watch.line().unwrap();
        assert!(time.starts_with("20") && time.ends_with('Z'), "{time}");
        let table = [(); 4].map(|()| watch.line().unwrap());
        assert_eq!(
            table,
            [
                "group readers  lag 7",
                "TOPIC   PARTITION  OFFSET  END  LAG  CLIENT",
                "clicks  0          3       10   7    -",
                "clicks  1          4       4    0    -",
            ]
        );
    }
    watch.signal("TERM");
    let rest = watch.finish_with(|_| false);
    assert_eq!(rest.len() % 5, 0, "whole tables: {rest:?}");
}

#[test]
fn a_watch_of_nothing_ends_at_once() {
    let server = server("1");
    let missing = server.run(&["group", "lag", "readers", "--watch"]);
    assert_eq!(missing.status.code(), Some(4));
    let nobody = ["-b", "127.0.0.1:1", "group", "lag", "readers", "--watch"];
    assert_eq!(run_with_input(&nobody, b"").status.code(), Some(3));
    for args in [&["--interval", "5"][..], &["--watch", "--interval", "0"]] {
        let refused = server.run(&[&["group", "lag", "readers"], args].concat());
        assert_eq!(refused.status.code(), Some(2), "{args:?}");
    }
}
