//! Whatever lies on a disk or comes over a wire: reading it returns. A hundred thousand times,
//! bytes that were right are made wrong, and what reads them must neither fall nor ask for more
//! memory than it was allowed; what it accepts has to mean something.
//!
//! `tests/fuzz/` has the same readers as targets for a fuzzer that looks at coverage.

#![expect(clippy::unwrap_used, reason = "a test fails where it unwraps")]

use std::fs;
use std::io::IoSlice;
use std::path::Path;
use std::sync::Arc;

use brooklet_log::producer_state::snapshot;
use brooklet_log::vfs::sim::SimVfs;
use brooklet_log::vfs::{OpenMode, Vfs};
use brooklet_log::{Log, LogConfig, RecoveryStart, checkpoint, inspect};
use brooklet_protocol::records::{BatchBuilder, Batches, Compression, RecordBatch};
use brooklet_protocol::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Timestamp};
use brooklet_tests::mutate::{Random, mutate};
use brooklet_tests::repository;
use bytes::Bytes;

const DECOMPRESSED_BYTES_MAX: usize = 1 << 20;

/// Batches of other people's encoders, and some of ours.
fn batches() -> Vec<Vec<u8>> {
    let golden = repository().join("tests/golden/records");
    let entries = fs::read_dir(golden)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let golden = entries.filter(|path| path.extension().is_some_and(|x| x == "batch"));
    let mut batches: Vec<_> = golden.map(|path| fs::read(path).unwrap()).collect();
    let codecs = [
        Compression::None,
        Compression::Gzip,
        Compression::Snappy,
        Compression::Lz4,
        Compression::Zstd,
    ];
    batches.extend(codecs.map(|codec| batch(codec, 0).bytes().to_vec()));
    batches
}

fn batch(codec: Compression, sequence: i32) -> RecordBatch {
    let mut builder =
        BatchBuilder::new(codec).with_producer(ProducerId(3), ProducerEpoch(0), sequence);
    for number in 0..5 {
        let headers = [("name", Some(&b"value"[..])), ("none", None)];
        builder.append(
            Timestamp(1000 + number),
            Some(b"key"),
            Some(&[7; 40]),
            &headers,
        );
    }
    builder.build()
}

/// Half of them get a checksum that is right, so that what lies behind it is reached.
fn reseal(bytes: &mut [u8]) {
    if bytes.len() > 21 {
        let crc = brooklet_protocol::crc32c(&bytes[21..]);
        bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    }
}

#[test]
fn batches_decode_or_are_refused() {
    let (originals, mut random) = (batches(), Random::new(1));
    let mut accepted = 0;
    for number in 0..100_000 {
        let mut bytes = originals[number % originals.len()].clone();
        mutate(&mut bytes, &mut random);
        if number % 2 == 0 {
            reseal(&mut bytes);
        }
        for batch in Batches(Bytes::from(bytes)).map_while(Result::ok) {
            let _verdict = (batch.verify_crc(), batch.validate_for_produce());
            let Ok(records) = batch.records(DECOMPRESSED_BYTES_MAX) else {
                continue;
            };
            let mut last = batch.header().base_offset.0 - 1;
            for record in records.iter().map_while(Result::ok) {
                assert!(record.offset.0 > last, "offsets ascend");
                last = record.offset.0;
                accepted += record.headers().count() + 1;
            }
        }
    }
    assert!(
        accepted > 10_000,
        "some of them still mean something: {accepted}"
    );
}

#[test]
fn snapshots_decode_to_what_encodes_again_or_are_refused() {
    let mut random = Random::new(2);
    let original = {
        let mut log = filled(&SimVfs::new(0));
        log.roll_if_filled().unwrap();
        snapshot::encode(log.producers())
    };
    for number in 0..20_000 {
        let mut bytes = original.clone();
        mutate(&mut bytes, &mut random);
        if number % 2 == 0 && bytes.len() > 6 {
            let crc = brooklet_protocol::crc32c(&bytes[6..]);
            bytes[2..6].copy_from_slice(&crc.to_be_bytes());
        }
        if let Ok(states) = snapshot::decode(&bytes) {
            let again = snapshot::encode(&states);
            assert_eq!(snapshot::decode(&again).as_ref(), Ok(&states));
        }
    }
}

#[test]
fn checkpoints_are_read_or_refused_by_line() {
    let (vfs, path) = (SimVfs::new(0), Path::new("checkpoint"));
    let original = b"0\n3\nclicks 0 1234\nclicks 1 99\nmy.topic-name 12 9223372036854775807\n";
    let mut random = Random::new(3);
    for _ in 0..20_000 {
        let mut bytes = original.to_vec();
        mutate(&mut bytes, &mut random);
        overwrite(&vfs, path, &bytes);
        if let Ok(offsets) = checkpoint::read(&vfs, path) {
            checkpoint::write(&vfs, path, &offsets).unwrap();
            assert_eq!(checkpoint::read(&vfs, path).unwrap(), offsets);
        }
    }
}

fn overwrite(vfs: &SimVfs, path: &Path, bytes: &[u8]) {
    let file = vfs.open(path, OpenMode::Truncate).unwrap();
    file.append(&[IoSlice::new(bytes)]).unwrap();
}

fn config() -> LogConfig {
    LogConfig {
        segment_bytes: 1000,
        index_interval_bytes: 100,
        ..LogConfig::default()
    }
}

fn filled(vfs: &SimVfs) -> Log {
    let opened = Log::open(
        Arc::new(vfs.clone()),
        dir(),
        config(),
        RecoveryStart::default(),
    );
    let mut log = opened.unwrap().0;
    for number in 0..12 {
        let batch = batch(Compression::None, number * 5);
        log.append(&batch, LeaderEpoch(0), Timestamp(1000)).unwrap();
    }
    log
}

fn dir() -> &'static Path {
    Path::new("t-0")
}

/// Any file of a log is changed; then the log opens or names the damage, and what it serves is
/// whole.
#[test]
fn logs_open_or_name_the_damage() {
    let original = SimVfs::new(0);
    let end = filled(&original).close().unwrap();
    let names = original.read_dir(dir()).unwrap();
    let files: Vec<_> = (names.into_iter())
        .map(|entry| {
            (
                dir().join(&entry.name),
                original.read(&dir().join(&entry.name)).unwrap(),
            )
        })
        .collect();
    let mut random = Random::new(4);
    for number in 0..5_000 {
        let vfs = SimVfs::new(number);
        vfs.create_dir_all(dir()).unwrap();
        let changed = random.below(files.len());
        for (index, (path, content)) in files.iter().enumerate() {
            let mut content = content.clone();
            if index == changed {
                mutate(&mut content, &mut random);
            }
            overwrite(&vfs, path, &content);
        }
        let segments = inspect::SegmentFiles::in_dir(&vfs, dir()).unwrap();
        for segment in &segments {
            let mut scan = inspect::SegmentScan::open(&vfs, &segment.log).unwrap();
            while let Ok(batch) = scan.next_batch().unwrap() {
                let _readable = batch.batch();
            }
        }
        let start = RecoveryStart {
            clean_shutdown: random.below(2) == 0,
            recovery_point: if random.below(2) == 0 {
                end
            } else {
                Offset::ZERO
            },
            ..RecoveryStart::default()
        };
        inspect::verify_log(&vfs, dir(), start).unwrap();
        let Ok((log, _)) = Log::open(Arc::new(vfs), dir(), config(), start) else {
            continue;
        };
        let reader = log.reader();
        let mut next = reader.log_start_offset();
        while let Ok(read) = reader.read(next, Offset(i64::MAX), 300, true) {
            let Some(last) = Batches(read.bytes).map(Result::unwrap).last() else {
                break;
            };
            last.verify_crc().unwrap();
            next = last.header().next_offset();
        }
        let _found = reader.offset_for_timestamp(Timestamp(1002));
    }
}
