//! What clients make of refusals: `tests/clients/refused`. Each line is the client's answer, and the
//! same with Apache Kafka 3.9.1.

use brooklet_tests::{repository, text};

use crate::{brought, run};

/// Topics are created only on request, and a member may be given up soon.
const SETTINGS: [&str; 2] = [
    "auto.create.topics.enable=false",
    "group.min.session.timeout.ms=100",
];

/// What becomes of transactions, whatever the client, but for the last two lines: their errors.
const TRANSACTIONS: [&str; 3] = [
    "aborted: not read",
    "broker killed: goes on",
    "both gone: aborted",
];

fn python(client: &str, scenario: &str, expected: &[&str]) {
    let Some(python) = brought("BROOKLET_TEST_PYTHON") else {
        return;
    };
    let script = repository().join("tests/clients/refused").join(client);
    let args = [text(&script), scenario, "BOOTSTRAP"];
    assert_eq!(run(&python, &args, &SETTINGS), expected);
}

#[test]
fn confluent_kafka_is_refused_records_and_offsets() {
    let expected = [
        "too large: MSG_SIZE_TOO_LARGE",
        "unknown topic: UNKNOWN_TOPIC_OR_PART, UNKNOWN_TOPIC_OR_PART",
        "out of range: earliest, latest, _AUTO_OFFSET_RESET",
    ];
    python("by_confluent.py", "records", &expected);
}

#[test]
fn confluent_kafka_is_put_out_of_its_group() {
    let expected = [
        "rebalanced away: UNKNOWN_MEMBER_ID",
        "same instance: FENCED_INSTANCE_ID",
    ];
    python("by_confluent.py", "groups", &expected);
}

#[test]
fn transactions_of_confluent_kafka_end_in_spite_of_killed_brokers() {
    let errors = ["fenced: _FENCED", "timed out: _FENCED"];
    let expected = [&TRANSACTIONS[..], &errors].concat();
    python("by_confluent.py", "transactions", &expected);
}

#[test]
fn aiokafka_is_refused_records_and_offsets() {
    let expected = [
        "too large: MessageSizeTooLargeError",
        "unknown topic: UnknownTopicOrPartitionError",
        "out of range: earliest, latest, OffsetOutOfRangeError",
    ];
    python("by_aiokafka.py", "records", &expected);
}

#[test]
fn aiokafka_is_put_out_of_its_group() {
    let expected = [
        "rebalanced away: CommitFailedError",
        "same instance: CommitFailedError",
    ];
    python("by_aiokafka.py", "groups", &expected);
}

#[test]
fn transactions_of_aiokafka_end_in_spite_of_killed_brokers() {
    let errors = ["fenced: ProducerFenced", "timed out: ProducerFenced"];
    let expected = [&TRANSACTIONS[..], &errors].concat();
    python("by_aiokafka.py", "transactions", &expected);
}

#[test]
fn kafka_python_is_refused_records_and_offsets() {
    let expected = [
        "too large: MessageSizeTooLargeError",
        "batch too large: split",
        "unknown topic: KafkaTimeoutError",
        "out of range: earliest, latest, OffsetOutOfRangeError",
    ];
    python("by_kafka_python.py", "records", &expected);
}

#[test]
fn kafka_python_is_put_out_of_its_group() {
    let expected = [
        "rebalanced away: CommitFailedError",
        "same instance: FencedInstanceIdError",
    ];
    python("by_kafka_python.py", "groups", &expected);
}

#[test]
fn transactions_of_kafka_python_end_in_spite_of_killed_brokers() {
    let errors = [
        "fenced: ProducerFencedError",
        "timed out: ProducerFencedError",
    ];
    let expected = [&TRANSACTIONS[..], &errors].concat();
    python("by_kafka_python.py", "transactions", &expected);
}
