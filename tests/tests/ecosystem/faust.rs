//! Faust: `tests/faust`.

use brooklet_tests::{repository, text};

use crate::{brought, run};

fn faust(scenario: &str) {
    let Some(python) = brought("BROOKLET_FAUST_PYTHON") else {
        return;
    };
    let script = repository().join("tests/faust/check.py");
    let directory = tempfile::tempdir().expect("a directory");
    let args = [text(&script), scenario, "BOOTSTRAP", text(directory.path())];
    assert_eq!(run(&python, &args, &[]), [scenario]);
}

#[test]
fn the_tutorial_of_faust_runs_unchanged() {
    faust("hello");
}

#[test]
fn windowed_tables_of_faust_move_from_a_killed_worker_to_another() {
    faust("windows");
}
