//! Too few open files, and files that somebody else has changed under a stopped broker.

use std::fs;
use std::net::TcpStream;

use brooklet_tests::Server;

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
fn indexes_and_snapshots_that_are_garbage_or_gone_are_made_anew() {
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
