//! `brooklet bench` against a broker: what it prints, what it leaves behind, how it ends.
//!
//! The rounds are far too short for figures that mean anything; what is looked at is that there are
//! figures, and of what.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use brooklet_tests::{Server, brooklet, side_by_side, stdout_of, text};
use serde_json::Value;

const SHORT: [&str; 8] = [
    "--duration",
    "500ms",
    "--warmup",
    "50ms",
    "--rounds",
    "2",
    "-o",
    "json",
];

fn report(server: &Server, verb: &str, args: &[&str]) -> Value {
    // A machine that is busy with other tests may keep no schedule: then the exit code is 6.
    let output = server.run(&[&["bench", verb], args].concat());
    let errors = String::from_utf8_lossy(&output.stderr);
    let code = output.status.code().unwrap();
    assert!(code == 0 || code == 6, "{code}: {errors}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["verdict"]["valid"], code == 0, "{report}");
    assert_eq!(report["schema"], 1);
    assert_eq!(report["bench"], verb);
    report
}

fn figure(report: &Value, name: &str) -> f64 {
    let figures = report["figures"].as_array().unwrap();
    let found = figures.iter().find(|figure| figure["name"] == name);
    let found = found.unwrap_or_else(|| panic!("no {name} in {report}"));
    let [least, median, most] = ["min", "median", "max"]
        .map(|key| found[key].as_f64().unwrap_or_else(|| panic!("{found}")));
    assert!(least <= median && median <= most, "{found}");
    median
}

fn topics(server: &Server) -> String {
    server.stdout_of(&["topic", "list", "-o", "jsonl"], b"")
}

#[test]
fn each_bench_has_its_figures_and_deletes_its_topic() {
    side_by_side(["none", "lz4"], |codec| {
        let server = Server::ephemeral();
        let args = ["-z", codec, "-p", "3", "--batch-size", "1000"];
        let found = report(&server, "produce", &[&SHORT[..], &args].concat());
        assert!(figure(&found, "records") > 0.0);
        assert!(figure(&found, "service time p99") > 0.0);
        assert_eq!(found["durability"], "never synced (ephemeral)");

        let args = ["-z", codec, "-p", "3", "--consumers", "2", "--rate", "500"];
        let found = report(&server, "e2e", &[&SHORT[..], &args].concat());
        let percentiles = ["e2e p50", "e2e p99", "e2e max"].map(|name| figure(&found, name));
        assert!(percentiles[0] > 0.0 && percentiles.is_sorted(), "{found}");
        assert!(figure(&found, "records") > 0.0);

        let args = ["--records", "5000", "--rounds", "2", "-o", "json"];
        let args = [&args[..], &["-z", codec, "-p", "2", "--consumers", "2"]].concat();
        let found = report(&server, "consume", &args);
        assert!(figure(&found, "records") > 0.0);
        assert_eq!(found["verdict"]["valid"], true, "{found}");
        assert_eq!(topics(&server), "");
    });
}

#[test]
fn latency_is_called_so_only_on_a_schedule() {
    let server = Server::ephemeral();
    let args = ["--rate", "300", "--acks", "1", "--payload", "text"];
    let found = report(&server, "produce", &[&SHORT[..], &args].concat());
    assert!(figure(&found, "latency p99.9") > 0.0);
    assert!(!found.to_string().contains("service time"), "{found}");
}

#[test]
fn a_broker_that_keeps_no_pace_makes_the_run_invalid() {
    let server = Server::ephemeral();
    let rate = ["--rate", "4000000k", "--size", "1000"];
    let args = [&["bench", "produce"], &SHORT[..], &rate].concat();
    let output = server.run(&args);
    assert_eq!(output.status.code(), Some(6));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found["verdict"]["valid"], false, "{found}");
    assert!(found["verdict"]["reasons"][0].is_string(), "{found}");
}

#[test]
fn without_b_it_measures_a_broker_of_its_own() {
    let printed = stdout_of(
        &["bench", "consume", "--records", "1000", "--rounds", "1"],
        b"",
    );
    for words in ["broker in this process", "records", "MiB/s", "durability:"] {
        assert!(printed.contains(words), "no {words} in {printed}");
    }
}

#[test]
fn what_the_topic_is_told_shows_in_the_durability() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let server = Server::start(&["--data-dir", text(&data)]);
    let told = ["--acks", "1", "-c", "flush.messages=1"];
    let found = report(&server, "produce", &[&SHORT[..], &told].concat());
    let words = "synced before the answer (flush.messages=1)";
    assert_eq!(found["durability"], words);
}

#[test]
fn ctrl_c_deletes_the_topic() {
    let server = Server::ephemeral();
    let mut child = Command::new(brooklet())
        .args(["-b", server.kafka(), "bench", "produce", "--duration", "1h"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    let mut errors = BufReader::new(child.stderr.take().unwrap());
    errors.read_line(&mut said).unwrap();
    assert!(said.contains("producing"), "{said}");
    assert_eq!(topics(&server).lines().count(), 1);
    let pid = child.id().to_string();
    let sent = Command::new("kill").args(["-INT", &pid]).status();
    assert!(sent.unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(topics(&server), "");
}
