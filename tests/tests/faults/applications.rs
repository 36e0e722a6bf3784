//! `window --app`, killed with `kill -9` again and again, and its broker with it: every result is in
//! the topic exactly once, and the late rows are those of an undisturbed run.

use std::fmt::Write as _;

use brooklet_tests::program::{Mortal, Program};
use brooklet_tests::{brooklet, run, stdout_of};

const ROWS: usize = 60_000;
/// How many results a run may print before it is killed; the last run is left alone.
const KILL_AFTER: [usize; 6] = [1, 300, 2, 700, 150, 900];

/// Rows of 40 keys, ten to a second, some of them half a minute behind, with one jump of a day.
fn rows() -> String {
    let mut text = String::new();
    for n in 0..ROWS {
        let behind = if n % 7 == 3 { 31_000 } else { n % 5 * 900 };
        let jump = if n > ROWS / 2 { 86_400_000 } else { 0 };
        let at = (100_000 + n * 100 + jump).saturating_sub(behind);
        writeln!(text, "{{\"at\":{at},\"k\":\"key-{}\"}}", n * 7 % 40).unwrap();
    }
    text
}

const QUERY: [&str; 10] = [
    "window", "in", "--time", "/at", "--by", "/k", "--size", "10s", "--grace", "20s",
];

fn sorted(text: &str) -> Vec<String> {
    let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
    lines.sort_unstable();
    lines
}

/// All records of a topic, as a reader of committed records finds them.
fn committed(server: &str, topic: &str) -> Vec<String> {
    let args = ["-b", server, "consume", topic, "-e", "-f", "%s\\n"];
    sorted(&stdout_of(&args, b""))
}

#[test]
fn an_application_and_its_broker_are_killed_and_every_result_counts_once() {
    let mut broker = Mortal::start(&[]);
    let server = broker.server().kafka().to_owned();
    stdout_of(&["-b", &server, "produce", "in"], rows().as_bytes());

    let undisturbed = [
        &["-b", &server],
        &QUERY[..],
        &["-e", "-o", "jsonl", "--late-to", "late"],
    ];
    let expected = sorted(&stdout_of(&undisturbed.concat(), b""));
    assert!(expected.len() > 10_000, "{} results", expected.len());

    let of_app = [
        "-e",
        "--app",
        "survivor",
        "--to",
        "out",
        "--late-to",
        "out-late",
    ];
    let application = [&["-b", &server], &QUERY[..], &of_app[..]].concat();
    for (attempt, results) in KILL_AFTER.into_iter().enumerate() {
        let mut program = Program::start(brooklet().to_str().unwrap(), &application);
        let ended = (0..=results).any(|_| program.line().is_none());
        if ended {
            break;
        }
        if attempt % 2 == 1 {
            broker.restart();
        }
        program.kill();
    }
    let output = run(&application);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    super::assert_calm(&errors);
    assert_eq!(committed(&server, "out"), expected);
    assert_eq!(committed(&server, "out-late"), committed(&server, "late"));

    // Once more finds nothing to do, and a reset makes it start over.
    let stream = |args: &[&str]| stdout_of(&[&["-b", &server, "stream"], args].concat(), b"");
    assert_eq!(run(&application).status.code(), Some(0));
    assert_eq!(committed(&server, "out").len(), expected.len());
    assert_eq!(stream(&["list"]), "ID\nsurvivor\n");
    assert!(stream(&["describe", "survivor"]).contains("tumbling 10s, grace 20s"));
    assert!(stream(&["reset", "survivor"]).contains("would delete topic survivor-plan\n"));
    assert_eq!(stream(&["list"]), "ID\nsurvivor\n");
    stream(&["reset", "survivor", "--execute"]);
    assert_eq!(stream(&["list"]), "ID\n");
}
