//! A disk that is full.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use brooklet_protocol::Timestamp;
use brooklet_protocol::messages::ErrorCode;
use brooklet_protocol::records::{BatchBuilder, Compression};
use brooklet_tests::Server;
use brooklet_tests::socket::Socket;
use bytes::Bytes;

use crate::assert_calm;
use crate::wire::produce;

/// A file system in memory, mounted while this lives.
#[derive(Debug)]
pub(crate) struct Mount(PathBuf);

impl Mount {
    /// Mounts one at a directory; `None` where that is not allowed or not known.
    pub(crate) fn new(at: &Path, options: &str) -> Option<Self> {
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", options, "brooklet-test"]);
        let mounted = command.arg(at).output();
        let is_mounted = mounted.is_ok_and(|output| output.status.success());
        is_mounted.then(|| Self(at.to_owned()))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(&self.0).status();
        assert!(
            unmounted.is_ok_and(|status| status.success()) || std::thread::panicking(),
            "{} stays mounted",
            self.0.display()
        );
    }
}

/// Says that a test cannot run here, and why.
pub(crate) fn is_skipped(why: &str) {
    println!("skipped: {why}");
}

/// A batch of one record whose value is a number in 50,000 digits.
fn batch(number: i64) -> Bytes {
    let mut builder = BatchBuilder::new(Compression::None);
    let value = format!("{number:050000}");
    builder.append(Timestamp(number), None, Some(value.as_bytes()), &[]);
    builder.build().bytes().clone()
}

/// The topic holds the numbers below `count`, each whole.
fn assert_numbers(server: &Server, count: i64) {
    let values = server.stdout_of(&["consume", "t", "-e"], b"");
    let number = |value: &str| {
        assert_eq!(value.len(), 50_000);
        value.parse::<i64>().unwrap()
    };
    let numbers: Vec<_> = values.lines().map(number).collect();
    assert!(numbers.iter().copied().eq(0..count), "{numbers:?}");
}

#[test]
fn a_full_disk_refuses_writes_serves_reads_and_may_be_mended() {
    let dir = tempfile::tempdir().unwrap();
    let Some(mount) = Mount::new(dir.path(), "size=4m") else {
        return is_skipped("nothing can be mounted here");
    };
    let ballast = mount.path().join("ballast");
    fs::write(&ballast, vec![0; 1 << 20]).unwrap();
    let data_dir = mount.path().join("data");
    let server = Server::on(&data_dir);
    server.stdout_of(&["topic", "create", "t"], b"");
    let mut socket = Socket::connect(server.kafka());

    let mut stored = 0;
    let refused = loop {
        match produce(&mut socket, "t", batch(stored)) {
            Ok(offset) => assert_eq!(offset, stored),
            Err(code) => break code,
        }
        stored += 1;
    };
    assert_eq!(refused, ErrorCode::KafkaStorageError);
    assert!(refused.is_retriable());
    assert!((30..90).contains(&stored), "{stored} batches in 3 MiB");
    let again = produce(&mut socket, "t", batch(stored));
    assert_eq!(again, Err(ErrorCode::KafkaStorageError));
    assert_numbers(&server, stored);

    fs::remove_file(&ballast).unwrap();
    assert_eq!(produce(&mut socket, "t", batch(stored)), Ok(stored));
    assert_numbers(&server, stored + 1);
    assert_calm(&server.errors());
    server.kill();
    let server = Server::on(&data_dir);
    assert_numbers(&server, stored + 1);
    assert!(server.terminate().success());
}

#[test]
fn a_broker_starts_on_a_full_disk_and_serves_what_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let Some(mount) = Mount::new(dir.path(), "size=4m") else {
        return is_skipped("nothing can be mounted here");
    };
    let server = Server::on(mount.path());
    server.stdout_of(&["topic", "create", "t"], b"");
    let mut socket = Socket::connect(server.kafka());
    for number in 0..3 {
        assert_eq!(produce(&mut socket, "t", batch(number)), Ok(number));
    }
    server.kill();
    let filler = mount.path().join(".filler");
    let filled = fs::write(&filler, vec![0; 8 << 20]);
    assert!(filled.is_err(), "4 MiB are full");

    let server = Server::on(mount.path());
    assert_numbers(&server, 3);
    let mut socket = Socket::connect(server.kafka());
    let refused = produce(&mut socket, "t", batch(3));
    assert_eq!(refused, Err(ErrorCode::KafkaStorageError));
    fs::remove_file(&filler).unwrap();
    assert_eq!(produce(&mut socket, "t", batch(3)), Ok(3));
    assert_calm(&server.errors());
    assert!(server.terminate().success());
}
