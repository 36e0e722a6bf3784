//! A disk that has lost a sector, and somebody who cuts a file under a running broker: each is an
//! error of one partition, never a signal, and never silence.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::Command;

use brooklet_protocol::Timestamp;
use brooklet_protocol::messages::kafka::fetch_request::{FetchPartition, FetchTopic};
use brooklet_protocol::messages::kafka::{FetchRequest, TopicName};
use brooklet_protocol::messages::{ErrorCode, ResponseKind, StrBytes};
use brooklet_protocol::records::{BatchBuilder, Batches, Compression};
use brooklet_tests::socket::Socket;
use brooklet_tests::{Server, text};
use bytes::Bytes;

use crate::assert_calm;
use crate::disk::is_skipped;
use crate::wire::produce_request;

/// Batches of about this size, two a segment; what is larger than a page is read in one go.
const BATCH_BYTES: usize = 300_000;
const PARTITIONS: i32 = 3;

fn batch(number: i64) -> Bytes {
    let mut builder = BatchBuilder::new(Compression::None);
    builder.append(Timestamp(number), None, Some(&vec![7; BATCH_BYTES]), &[]);
    builder.build().bytes().clone()
}

/// Three partitions of five batches each, the first four in two sealed segments.
fn fill(server: &Server) {
    let settings = ["-p", "3", "-c", "segment.bytes=700000"];
    server.stdout_of(&[&["topic", "create", "t"][..], &settings].concat(), b"");
    let mut socket = Socket::connect(server.kafka());
    for partition in 0..PARTITIONS {
        for number in 0..5 {
            let mut request = produce_request("t", Some(batch(number)));
            request.topic_data[0].partition_data[0].index = partition;
            let ResponseKind::Produce(answer) = socket.ask(9, request) else {
                panic!("expected an answer to Produce");
            };
            let answer = &answer.responses[0].partition_responses[0];
            assert_eq!((answer.error_code, answer.base_offset), (0, number));
        }
    }
}

/// For each partition: its error, or how many batches came, from these offsets on.
fn fetch(server: &Server, from: [i64; 3]) -> Vec<Result<usize, ErrorCode>> {
    let partitions = from.iter().zip(0..PARTITIONS).map(|(from, partition)| {
        FetchPartition::default()
            .with_partition(partition)
            .with_fetch_offset(*from)
            .with_partition_max_bytes(1 << 20)
    });
    let topic = FetchTopic::default()
        .with_topic(TopicName(StrBytes::from_static_str("t")))
        .with_partitions(partitions.collect());
    let request = FetchRequest::default()
        .with_max_bytes(50 << 20)
        .with_topics(vec![topic]);
    let answer = Socket::connect(server.kafka()).ask(12, request);
    let ResponseKind::Fetch(answer) = answer else {
        panic!("expected an answer to Fetch, found {answer:?}");
    };
    assert_eq!(answer.error_code, 0);
    let partitions = answer
        .responses
        .into_iter()
        .flat_map(|topic| topic.partitions);
    let found = partitions.map(|partition| {
        if let Some(code) = ErrorCode::try_from_code(partition.error_code) {
            return Err(code);
        }
        let batches = Batches(partition.records.unwrap_or_default());
        Ok(batches
            .map(|batch| batch.unwrap().verify_crc().unwrap())
            .count())
    });
    found.collect()
}

fn segment(data_dir: &Path, partition: i32, base: i64) -> PathBuf {
    data_dir.join(format!("t-{partition}/{base:020}.log"))
}

#[test]
fn a_segment_that_is_cut_under_a_running_broker_ends_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::on(dir.path());
    fill(&server);
    // Whatever a broker keeps of what it has read, it has now.
    assert_eq!(fetch(&server, [0; 3]), [Ok(2), Ok(2), Ok(2)]);
    assert_eq!(fetch(&server, [4; 3]), [Ok(1), Ok(1), Ok(1)]);
    // A sealed segment, in the middle of its second batch, and an active one.
    let sealed = segment(dir.path(), 1, 0);
    let active = segment(dir.path(), 2, 4);
    for (path, length) in [(&sealed, BATCH_BYTES * 3 / 2), (&active, 5000)] {
        let file = OpenOptions::new().write(true).open(path).unwrap();
        file.set_len(length as u64).unwrap();
    }
    for _ in 0..3 {
        assert_eq!(fetch(&server, [0; 3]), [Ok(2), Ok(1), Ok(2)]);
        let refused = Err(ErrorCode::CorruptMessage);
        assert_eq!(fetch(&server, [1, 1, 4]), [Ok(1), refused, refused]);
        assert_eq!(fetch(&server, [2, 2, 2]), [Ok(2), Ok(2), Ok(2)]);
    }
    let errors = server.errors();
    assert_calm(&errors);
    for path in [&sealed, &active] {
        let count = errors.matches(text(path)).count();
        assert_eq!(count, 1, "named once, not at each fetch: {errors}");
    }
    server.kill();
}

/// Builds the library that loses a sector; `None` where that cannot be done.
fn bad_sectors(dir: &Path) -> Option<PathBuf> {
    let (source, library) = (
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults/bad_sector.c"),
        dir.join("bad_sector.so"),
    );
    let mut compiler = Command::new("cc");
    compiler.args([
        "-shared",
        "-fPIC",
        "-o",
        text(&library),
        text(&source),
        "-ldl",
    ]);
    let is_built = cfg!(target_os = "linux") && compiler.status().is_ok_and(|s| s.success());
    is_built.then_some(library)
}

#[test]
fn an_unreadable_sector_is_an_error_of_what_is_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let Some(library) = bad_sectors(dir.path()) else {
        return is_skipped("no C compiler that makes a library to preload");
    };
    let data_dir = fs::canonicalize(dir.path()).unwrap().join("data");
    let server = Server::on(&data_dir);
    fill(&server);
    assert!(server.terminate().success());
    let segment = segment(&data_dir, 1, 0);
    // In the body of the second batch; the second start finds it as the first has.
    let at = (BATCH_BYTES * 3 / 2).to_string();
    for _ in 0..2 {
        let server = Server::with_environment(
            &data_dir,
            &[
                ("LD_PRELOAD", text(&library)),
                ("BAD_SECTOR_FILE", text(&segment)),
                ("BAD_SECTOR_AT", &at),
            ],
        );
        for _ in 0..3 {
            assert_eq!(fetch(&server, [0; 3]), [Ok(2), Ok(1), Ok(2)]);
            let refused = Err(ErrorCode::KafkaStorageError);
            assert_eq!(fetch(&server, [1; 3]), [Ok(1), refused, Ok(1)]);
            assert_eq!(fetch(&server, [2; 3]), [Ok(2), Ok(2), Ok(2)]);
        }
        let errors = server.errors();
        assert_calm(&errors);
        let named = errors.lines().filter(|line| line.contains(text(&segment)));
        let named: Vec<&str> = named.collect();
        assert_eq!(named.len(), 1, "{errors}");
        assert!(
            named[0].contains("t-1") && named[0].contains("os error 5"),
            "{errors}"
        );
        assert!(server.terminate().success());
    }
}
