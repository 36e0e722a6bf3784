//! franz-go, kgo and kadm: `tests/go`.

use crate::{brought, run};

/// Runs one scenario, which must print these lines.
fn franz(scenario: &str, settings: &[&str], expected: &[&str]) {
    let Some(program) = brought("BROOKLET_FRANZ_GO") else {
        return;
    };
    assert_eq!(run(&program, &[scenario, "BOOTSTRAP"], settings), expected);
}

#[test]
fn franz_go_stores_each_record_once_in_each_codec_and_over_a_killed_broker() {
    franz("idempotent", &[], &["idempotent: records equal"]);
}

#[test]
fn franz_go_shares_topics_with_each_of_its_balancers() {
    let expected = [
        "range: shared",
        "roundrobin: shared",
        "sticky: shared",
        "cooperative-sticky: shared",
        "rebalanced away",
    ];
    franz("groups", &[], &expected);
}

#[test]
fn franz_go_commits_and_aborts_transactions_and_copies_exactly_once() {
    let expected = [
        "aborted records are not read",
        "killed while open",
        "fenced",
        "copied exactly once",
    ];
    franz("transactions", &[], &expected);
}

#[test]
fn franz_go_administers_topics_groups_and_settings() {
    franz("admin", &[], &["admin: as expected"]);
}

#[test]
fn franz_go_is_refused_as_kafka_refuses() {
    let settings = ["auto.create.topics.enable=false"];
    let expected = ["too large", "unknown topic", "out of range"];
    franz("bad", &settings, &expected);
}
