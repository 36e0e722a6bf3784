//! What clients make of refusals: `tests/clients/refused` and `tests/streams/Refused.java`. Each
//! line is the client's answer, and the same with Apache Kafka 3.9.1.

use brooklet_tests::{repository, text};

use crate::{brought, run};

/// Topics are created only on request, and a member may be given up soon.
const SETTINGS: [&str; 2] = [
    "auto.create.topics.enable=false",
    "group.min.session.timeout.ms=100",
];

/// What happens to transactions, with any client; only the last two lines, the errors, differ.
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

/// Apache Kafka's own clients of 3.9, whose transactions are of version 1, and of 4.1, of version
/// 2.
fn java(scenario: &str, expected: &[&str]) {
    for name in ["BROOKLET_STREAMS_3", "BROOKLET_STREAMS_4"] {
        let Some(lib) = brought(name) else {
            return;
        };
        let class_path = format!("{lib}:{lib}/*");
        let head = ["-XX:TieredStopAtLevel=1", "-cp", &class_path, "Refused"];
        let args = [&head[..], &[scenario, "BOOTSTRAP"]].concat();
        assert_eq!(run("java", &args, &SETTINGS), expected, "{name}");
    }
}

#[test]
fn kafkas_clients_are_refused_records_and_offsets() {
    let expected = [
        "too large: RecordTooLargeException",
        "batch too large: split",
        "unknown topic: TimeoutException, UnknownTopicOrPartitionException",
        "out of range: earliest, latest, OffsetOutOfRangeException",
    ];
    java("records", &expected);
}

#[test]
fn kafkas_clients_are_put_out_of_their_group() {
    let expected = [
        "rebalanced away: CommitFailedException",
        "deleted with members: GroupNotEmptyException",
        "same instance: FencedInstanceIdException",
        "removed by an admin: CommitFailedException",
    ];
    java("groups", &expected);
}

#[test]
fn transactions_of_kafkas_clients_end_in_spite_of_killed_brokers() {
    let expected = [
        "aborted: not read",
        "too large: RecordTooLargeException, aborted",
        "broker killed: goes on",
        "both gone: aborted",
        "fenced: ProducerFencedException",
        "timed out: ProducerFencedException",
    ];
    java("transactions", &expected);
}
