//! `consume --group`: members that share, take over, and go without a trace; with the real binary.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};

use brooklet_tests::{Server, brooklet};
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

/// A server with a topic of so many partitions.
fn server(partitions: &str) -> Server {
    let server = Server::ephemeral();
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
    for assignor in ["range", "roundrobin", "sticky", "cooperative-sticky"] {
        let server = server("4");
        let args = ["--assignor", assignor];
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
    }
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
