//! The demo finds what the data says, in each run.

use brooklet_tests::flights::{Finals, flights, flights_merged};
use brooklet_tests::{run, stdout_of};

#[test]
fn the_model_finds_the_golden_numbers() {
    let flights = flights();
    let golden = [
        (0, 1210, 3.24),
        (15, 750, 6.11),
        (45, 493, 9.19),
        (360, 2, 21.23),
    ];
    for (wait, late, mean) in golden {
        let finals = Finals::compute(&flights, wait);
        assert_eq!(finals.late, late, "wait {wait}");
        assert_eq!(
            format!("{:.2}", finals.mean()),
            format!("{mean:.2}"),
            "wait {wait}"
        );
    }
    assert_eq!(
        Finals::compute(&flights, i64::from(i32::MAX)).windows.len(),
        377
    );
}

#[test]
fn the_finals_are_those_of_the_model_in_each_run() {
    let flights = flights_merged();
    let mut expected = Finals::compute(&flights, 45).lines("fast");
    expected.extend(Finals::compute(&flights, 360).lines("patient"));

    let dir = tempfile::tempdir().unwrap();
    let mut runs = Vec::new();
    for (number, speed) in ["max", "max", "200000"].into_iter().enumerate() {
        let file = dir.path().join(format!("finals-{number}.jsonl"));
        let file = file.to_str().unwrap();
        let output = stdout_of(&["demo", "--speed", speed, "--exit", "--finals", file], b"");
        assert!(output.contains("493 of 6,027 records"), "{output}");
        runs.push(std::fs::read_to_string(file).unwrap());
    }
    let found: Vec<serde_json::Value> = runs[0]
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(found, expected);
    assert!(
        runs.iter().all(|finals| *finals == runs[0]),
        "two runs differ"
    );
}

#[test]
fn the_demo_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let output = std::process::Command::new(brooklet_tests::brooklet())
        .args(["demo", "--speed", "max", "--exit"])
        .env("TMPDIR", dir.path())
        .current_dir(dir.path())
        .output()
        .unwrap();
    assert!(output.status.success());
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_wrong_speed_is_a_usage_error() {
    let output = run(&["demo", "--speed", "-3"]);
    assert_eq!(output.status.code(), Some(2));
}
