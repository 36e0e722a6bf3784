//! kafkajs and @platformatic/kafka: `tests/node`.

use std::process::Command;

use brooklet_tests::program::{Mortal, Program};
use brooklet_tests::repository;

use crate::brought;

const KAFKAJS: &str = "kafkajs.js";
const PLATFORMATIC: &str = "platformatic.js";

/// Runs one scenario of a program, which must print these lines.
fn node(program: &str, scenario: &str, settings: &[&str], expected: &[&str]) {
    let Some(modules) = brought("BROOKLET_NODE_PATH") else {
        return;
    };
    let mut broker = Mortal::start(settings);
    let mut command = Command::new("node");
    command
        .arg(repository().join("tests/node").join(program))
        .args([scenario, broker.server().kafka()])
        .env("NODE_PATH", modules);
    let printed = Program::start_by(command).finish(&mut broker);
    assert_eq!(printed, expected);
}

#[test]
fn kafkajs_reads_what_it_wrote() {
    node(KAFKAJS, "records", &[], &["records equal"]);
}

#[test]
fn kafkajs_shares_a_topic_and_is_put_out_of_its_group() {
    node(KAFKAJS, "groups", &[], &["shared", "rebalanced away"]);
}

#[test]
fn kafkajs_administers_topics_groups_and_settings() {
    node(KAFKAJS, "admin", &[], &["admin: as expected"]);
}

#[test]
fn kafkajs_commits_and_aborts_transactions_also_over_a_killed_broker() {
    let expected = [
        "aborted records are not read",
        "offsets follow",
        "killed while open",
        "fenced",
    ];
    node(KAFKAJS, "transactions", &[], &expected);
}

#[test]
fn platformatic_reads_what_it_wrote() {
    node(PLATFORMATIC, "records", &[], &["records equal"]);
}

#[test]
fn platformatic_shares_a_topic() {
    node(PLATFORMATIC, "groups", &[], &["shared"]);
}

#[test]
fn platformatic_administers_topics_groups_and_settings() {
    node(PLATFORMATIC, "admin", &[], &["admin: as expected"]);
}

#[test]
fn platformatic_commits_and_aborts_transactions_also_over_a_killed_broker() {
    let expected = [
        "aborted records are not read",
        "killed while open",
        "offsets follow",
        "fenced",
    ];
    node(PLATFORMATIC, "transactions", &[], &expected);
}

#[test]
fn both_are_refused_as_kafka_refuses() {
    let settings = ["auto.create.topics.enable=false"];
    let expected = ["too large", "unknown topic", "out of range"];
    node(KAFKAJS, "bad", &settings, &expected);
    node(PLATFORMATIC, "bad", &settings, &expected);
}
