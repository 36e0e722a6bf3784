//! Apache Kafka's own tools read what we write.
//!
//! `.ci/kafka` brings them and names their directory; without it these tests are skipped, and say so.

use std::fs;
use std::path::{Path, PathBuf};

use brooklet_tests::{Server, foreign, text};

/// Kafka's jars, as a class path.
fn class_path() -> Option<String> {
    let Ok(lib) = std::env::var("BROOKLET_KAFKA_LIB") else {
        eprintln!("skipped: BROOKLET_KAFKA_LIB is not set; .ci/kafka sets it");
        return None;
    };
    Some(format!("{lib}/*"))
}

/// What `kafka-dump-log.sh` prints of these files.
fn dump(class_path: &str, options: &[&str], files: &[PathBuf]) -> String {
    let files: Vec<_> = files.iter().map(|file| text(file)).collect();
    let files = files.join(",");
    let head = ["-cp", class_path, "kafka.tools.DumpLogSegments"];
    let args = [&head[..], options, &["--files", &files]].concat();
    String::from_utf8(foreign("java", &args, b"")).expect("Kafka prints text")
}

fn files(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).expect("the directory is there");
    let paths = entries.map(|entry| entry.expect("the entry can be read").path());
    let mut files: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|x| x == extension))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "there are .{extension} files");
    files
}

/// Segments in every codec, 200 records each.
fn filled(parent: &Path) -> PathBuf {
    let server = Server::on(&parent.join("data"));
    let settings = ["-c", "segment.bytes=6000", "-c", "index.interval.bytes=500"];
    server.stdout_of(
        &[&["topic", "create", "clicks"][..], &settings].concat(),
        b"",
    );
    let lines: Vec<_> = (0..20)
        .map(|n| format!("key-{n}:value number {n}\n"))
        .collect();
    let lines = lines.concat();
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        for _ in 0..10 {
            let args = ["produce", "clicks", "-K:", "-z", codec];
            server.stdout_of(&args, lines.as_bytes());
        }
    }
    assert!(server.terminate().code().is_some());
    parent.join("data").join("clicks-0")
}

#[test]
fn kafka_reads_our_segments_indexes_and_snapshots() {
    let Some(class_path) = class_path() else {
        return;
    };
    let parent = tempfile::tempdir().expect("a directory");
    let dir = filled(parent.path());

    let printed = dump(
        &class_path,
        &["--deep-iteration", "--print-data-log"],
        &files(&dir, "log"),
    );
    let batches = printed
        .lines()
        .filter(|line| line.starts_with("baseOffset: "));
    let valid = batches.inspect(|line| assert!(line.contains("isvalid: true"), "{line}"));
    assert_eq!(valid.count(), 50);
    let records = printed
        .lines()
        .filter(|line| line.contains("payload: value number "));
    assert_eq!(records.count(), 1000);

    let indexes = [files(&dir, "index"), files(&dir, "timeindex")].concat();
    let checked = dump(&class_path, &["--index-sanity-check"], &indexes);
    let sound = |line: &&str| line.contains("passed sanity check") || line.contains("is empty");
    assert!(checked.lines().any(|line| sound(&line)), "{checked}");
    let verified = dump(&class_path, &["--verify-index-only"], &indexes);
    for complaint in [
        "mismatch",
        "Mismatch",
        "Invalid",
        "out of order",
        "Exception",
    ] {
        assert!(!checked.contains(complaint), "{checked}");
        assert!(!verified.contains(complaint), "{verified}");
    }

    let snapshots = dump(&class_path, &[], &files(&dir, "snapshot"));
    let last = snapshots
        .lines()
        .filter(|line| line.contains("lastSequence: 19 "));
    assert!(last.count() >= 50, "{snapshots}");
}
