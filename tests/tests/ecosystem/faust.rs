//! Faust: `tests/faust`.

use brooklet_tests::{repository, text};

use crate::{brought, run};

fn faust(scenario: &str, settings: &[&str]) {
    let Some(python) = brought("BROOKLET_FAUST_PYTHON") else {
        return;
    };
    let script = repository().join("tests/faust/check.py");
    let directory = tempfile::tempdir().expect("a directory");
    let args = [text(&script), scenario, "BOOTSTRAP", text(directory.path())];
    assert_eq!(run(&python, &args, settings), [scenario]);
}

#[test]
fn the_tutorial_of_faust_runs_unchanged() {
    faust("hello", &[]);
}

#[test]
fn faust_ignores_an_unknown_topic_and_creates_its_own() {
    faust("missing", &["auto.create.topics.enable=false"]);
}

#[test]
fn windowed_tables_of_faust_outlive_killed_workers_and_a_killed_broker() {
    faust("windows", &[]);
}
