//! Too few open files, and files that somebody else has changed under a stopped broker.

use std::fs;
use std::net::TcpStream;

use brooklet_protocol::messages::ResponseKind;
use brooklet_protocol::messages::kafka::ApiVersionsRequest;
use brooklet_tests::socket::Socket;
use brooklet_tests::{Server, run_with_open_files};

use super::lines;

#[test]
fn too_many_open_files_shed_connections_and_the_rest_goes_on() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::with_open_files(data.path(), 48);
    server.stdout_of(&["topic", "create", "t", "-c", "segment.bytes=256"], b"");
    server.stdout_of(&["produce", "t"], lines(10).as_bytes());
    // They take every file that is left; the kernel takes the rest of them for us and we do not.
    let idle: Vec<_> = (0..80)
        .map(|_| TcpStream::connect(server.kafka()).unwrap())
        .collect();
    drop(idle);
    // New connections are taken once there are files again.
    let read = server.stdout_of(&["consume", "t", "-o", "beginning", "-e"], b"");
    assert_eq!(read.lines().count(), 10);
    server.stdout_of(&["produce", "t"], lines(10).as_bytes());
    let read = server.stdout_of(&["consume", "t", "-o", "beginning", "-e"], b"");
    assert_eq!(read.lines().count(), 20);
    assert!(!server.errors().contains("panicked"), "{}", server.errors());
    assert!(server.terminate().code().is_some());
}

#[test]
fn fewer_files_than_a_broker_needs_are_refused_with_the_number() {
    let data = tempfile::tempdir().unwrap();
    let output = run_with_open_files(data.path(), 30);
    super::assert_refused(
        &output,
        1,
        &["limit of open files is 30", "at least 40", "ulimit -n 40"],
    );
}

#[test]
fn more_partitions_and_connections_than_files_cost_no_partition() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::with_open_files(data.path(), 64);
    assert!(
        server
            .errors()
            .contains("max.connections lowered from 8192 to 20")
    );
    server.stdout_of(&["topic", "create", "wide", "-p", "100"], b"");
    // They all have asked for something, so that none of them makes room; others need the rest.
    let mut held = Vec::new();
    for _ in 0..12 {
        let mut socket = Socket::connect(server.kafka());
        let answer = socket.ask(0, ApiVersionsRequest::default());
        assert!(matches!(answer, ResponseKind::ApiVersions(_)));
        held.push(socket);
    }
    let keyed = (0..1000).map(|n| format!("{n}:{n}\n"));
    let keyed = keyed.collect::<String>();
    for _ in 0..2 {
        server.stdout_of(&["produce", "wide", "-K", ":"], keyed.as_bytes());
    }
    let read = server.stdout_of(&["consume", "wide", "-o", "beginning", "-e"], b"");
    assert_eq!(read.lines().count(), 2000);
    assert_eq!(server.get("/readyz"), (200, "ready\n".to_owned()));
    super::assert_calm(&server.errors());
    drop(held);
    assert!(server.terminate().success());
    // And all of it is there, and in order, when it starts again.
    let server = Server::with_open_files(data.path(), 64);
    let read = server.stdout_of(&["consume", "wide", "-o", "beginning", "-e"], b"");
    assert_eq!(read.lines().count(), 2000);
    assert_eq!(server.get("/readyz").0, 200);
}

#[test]
fn indexes_and_snapshots_that_are_garbage_or_gone_are_rebuilt() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::on(data.path());
    let settings = ["-c", "segment.bytes=256", "-c", "index.interval.bytes=0"];
    server.stdout_of(&[&["topic", "create", "t"][..], &settings].concat(), b"");
    for _ in 0..10 {
        server.stdout_of(&["produce", "t"], lines(3).as_bytes());
    }
    assert!(server.terminate().code().is_some());
    for (number, entry) in fs::read_dir(data.path().join("t-0")).unwrap().enumerate() {
        let path = entry.unwrap().path();
        let is_hint = path.extension().is_some_and(|x| {
            ["index", "timeindex", "snapshot"]
                .map(Some)
                .contains(&x.to_str())
        });
        match number % 3 {
            0 if is_hint => fs::remove_file(path).unwrap(),
            1 if is_hint => fs::write(path, [0x5a; 77]).unwrap(),
            2 if is_hint => fs::write(path, b"").unwrap(),
            _ => {}
        }
    }
    let server = Server::on(data.path());
    let read = server.stdout_of(&["consume", "t", "-o", "beginning", "-e"], b"");
    assert_eq!(read.lines().count(), 30);
    let later = server.stdout_of(&["consume", "t", "-o", "7", "-e", "-f", "%o\\n"], b"");
    assert_eq!(later.lines().next(), Some("7"));
    assert!(server.terminate().code().is_some());
}
