//! Kafka Streams of 3.9 and of 4.1: `tests/streams`.

use std::path::Path;

use brooklet_tests::program::{Mortal, Program, RESTART};
use brooklet_tests::text;

use crate::{brought, run};

/// What starts the program; these runs are short, and the second compiler would not pay.
fn java(lib: &str, args: &[&str]) -> Vec<String> {
    let class_path = format!("{lib}:{lib}/*");
    let head = ["-XX:TieredStopAtLevel=1", "-cp", &class_path, "Streams"];
    let all = head.iter().chain(args);
    all.map(|&arg| arg.to_owned()).collect()
}

#[test]
fn word_count_purges_its_repartition_topic_and_restores_from_a_compacted_changelog() {
    let Some(lib) = brought("BROOKLET_STREAMS_3") else {
        return;
    };
    let state = tempfile::tempdir().expect("a directory");
    let args = java(&lib, &["words", "BOOTSTRAP", text(state.path())]);
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    let printed = run("java", &args, &["log.cleaner.backoff.ms=200"]);
    assert_eq!(printed, ["purged", "compacted", "restored"]);
}

#[test]
fn windows_of_streams_3_are_exact_over_kills_of_the_app_and_of_the_broker() {
    exactly_once("BROOKLET_STREAMS_3");
}

#[test]
fn windows_of_streams_4_are_exact_over_kills_of_the_app_and_of_the_broker() {
    exactly_once("BROOKLET_STREAMS_4");
}

fn exactly_once(name: &str) {
    let Some(lib) = brought(name) else {
        return;
    };
    let mut broker = Mortal::start(&[]);
    let kafka = broker.server().kafka().to_owned();
    let state = tempfile::tempdir().expect("a directory");
    let start = |args: &[&str]| {
        let args = java(&lib, args);
        let args: Vec<_> = args.iter().map(String::as_str).collect();
        Program::start("java", &args)
    };
    let state: &Path = state.path();
    let mut app = None;
    let printed = start(&["check", &kafka]).finish_with(|line| {
        match line {
            "start" => app = Some(start(&["windows", &kafka, text(state)])),
            "kill" => {
                app.take().expect("it was started").kill();
                app = Some(start(&["windows", &kafka, text(state)]));
            }
            RESTART => broker.restart(),
            _ => return false,
        }
        true
    });
    assert_eq!(printed, ["each count once: 1200"]);
}
