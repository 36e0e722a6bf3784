//! `bench disk`: the limits of this machine, as a broker meets them.
//!
//! | rows | the limit of |
//! |---|---|
//! | copy in memory, CRC-32C | anything that touches each byte once |
//! | write into the page cache, into an allocated file | appends |
//! | write and fdatasync, p50 and p99 | `acks=all` |
//! | read of a warm file, by `pread` and mapped | fetches of recent records |
//! | compress and decompress, per codec | producers and consumers |
//! | loopback TCP ([`loopback`]) | fetches by clients on this machine |
//!
//! The loops do nothing else ([`files`]), and each row is the median of its rounds. Files are warm,
//! so that reads measure the system and not the disk; only the rows with `fdatasync` wait for the
//! disk.
//!
//! Left out: random reads of cold files, and several disks.

use std::hint::black_box;
use std::io::Write;

use brooklet_load::statistics::quantile;
use brooklet_log::vfs::disk::DiskVfs;
use brooklet_log::vfs::{OpenMode, Vfs};
use brooklet_protocol::Timestamp;
use brooklet_protocol::records::{BatchBuilder, Compression, RecordBatch};

use super::{Bench, files, loopback, map, rate, timed};

const MIB: usize = 1 << 20;

pub(super) fn run(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    memory(bench)?;
    writes(bench)?;
    syncs(bench)?;
    reads(bench)?;
    codecs(bench)?;
    loopback::run(bench)
}

fn memory(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let bytes = bench.bytes();
    let (from, mut to) = (vec![7_u8; MIB], vec![0_u8; MIB]);
    let blocks = bytes / MIB as u64;
    bench.alone("copy in memory, 1 MiB", "MiB/s", || {
        let ((), took) = timed(|| {
            for _ in 0..blocks {
                to.copy_from_slice(black_box(&from));
                black_box(&mut to);
            }
            Ok(())
        })?;
        Ok(rate(bytes, took))
    })?;
    bench.alone("CRC-32C, 1 MiB", "MiB/s", || {
        let ((), took) = timed(|| {
            for _ in 0..blocks {
                black_box(brooklet_protocol::crc32c(black_box(&from)));
            }
            Ok(())
        })?;
        Ok(rate(bytes, took))
    })
}

fn writes(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let (bytes, path) = (bench.bytes(), bench.path().join("write"));
    for (name, size) in [("4 KiB", 4 << 10), ("64 KiB", 64 << 10), ("1 MiB", MIB)] {
        let block = vec![7; size];
        bench.alone(
            &format!("write into the page cache, {name}"),
            "MiB/s",
            || {
                let ((), took) = timed(|| files::write_blocks(&path, &block, bytes, |_| {}))?;
                files::remove(&path)?;
                Ok(rate(bytes, took))
            },
        )?;
    }
    let block = vec![7; MIB];
    bench.alone("write into an allocated file, 1 MiB", "MiB/s", || {
        DiskVfs.open(&path, OpenMode::CreateNew)?.allocate(bytes)?;
        let mut file = std::fs::OpenOptions::new().append(true).open(&path)?;
        let ((), took) = timed(|| {
            for _ in 0..bytes / MIB as u64 {
                file.write_all(&block)?;
            }
            Ok(())
        })?;
        files::remove(&path)?;
        Ok(rate(bytes, took))
    })
}

fn syncs(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    for (name, size) in [("1 KiB", 1 << 10), ("64 KiB", 64 << 10), ("1 MiB", MIB)] {
        let (path, block) = (bench.path().join("sync"), vec![7; size]);
        for (part, words) in [(0.5, "p50"), (0.99, "p99")] {
            let name = format!("write and fdatasync, {name}, {words}");
            bench.alone(&name, "ms", || {
                Ok(quantile(&sync_times(&path, &block, 100)?, part))
            })?;
        }
    }
    Ok(())
}

/// Milliseconds of each write and fdatasync.
pub(super) fn sync_times(
    path: &std::path::Path,
    block: &[u8],
    count: usize,
) -> anyhow::Result<Vec<f64>> {
    let mut file = files::create(path)?;
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        let ((), took) = timed(|| {
            file.write_all(block)?;
            Ok(file.sync_data()?)
        })?;
        times.push(took.as_secs_f64() * 1000.0);
    }
    files::remove(path)?;
    Ok(times)
}

fn reads(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    if !bench.wants("read") {
        return Ok(());
    }
    let (bytes, path) = (bench.bytes(), bench.path().join("read"));
    files::write_blocks(&path, &vec![7; MIB], bytes, |_| {})?;
    let file = DiskVfs.open(&path, OpenMode::Read)?;
    let mut buffer = vec![0; MIB];
    bench.alone("read of a warm file, pread, 1 MiB", "MiB/s", || {
        let ((), took) = timed(|| {
            for block in 0..bytes / MIB as u64 {
                file.read_exact_at(&mut buffer, block * MIB as u64)?;
            }
            Ok(())
        })?;
        Ok(rate(bytes, took))
    })?;
    bench.alone("read of a warm file, pread, with CRC-32C", "MiB/s", || {
        let ((), took) = timed(|| {
            for block in 0..bytes / MIB as u64 {
                file.read_exact_at(&mut buffer, block * MIB as u64)?;
                black_box(brooklet_protocol::crc32c(&buffer));
            }
            Ok(())
        })?;
        Ok(rate(bytes, took))
    })?;
    let map = map::map(&path)?;
    bench.alone("read of a warm file, mapped, with CRC-32C", "MiB/s", || {
        let ((), took) = timed(|| {
            for block in map.chunks(MIB) {
                black_box(brooklet_protocol::crc32c(block));
            }
            Ok(())
        })?;
        Ok(rate(bytes, took))
    })?;
    files::remove(&path)
}

/// A batch of records as applications send them, about `bytes` before compression.
pub(super) fn batch(codec: Compression, bytes: usize, value_bytes: usize) -> RecordBatch {
    let mut builder = BatchBuilder::new(codec);
    let mut number = 0_u64;
    while builder.record_count() == 0 || builder.uncompressed_size() + value_bytes / 2 < bytes {
        let key = format!("user-{:05}", number * 7919 % 100_000);
        let mut value = format!(
            "{{\"id\":{number},\"page\":\"/products/{}\",\"ms\":{}}}",
            number * 31 % 977,
            number * 17 % 4001
        );
        while value.len() < value_bytes {
            value.push(' ');
        }
        let value = &value.as_bytes()[..value_bytes];
        builder.append(
            Timestamp(1_700_000_000_000 + number as i64),
            Some(key.as_bytes()),
            Some(value),
            &[],
        );
        number += 1;
    }
    builder.build()
}

fn codecs(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let plain = batch(Compression::None, 64 << 10, 80);
    let bytes = plain.bytes().len() as u64;
    for codec in [
        Compression::Gzip,
        Compression::Snappy,
        Compression::Lz4,
        Compression::Zstd,
    ] {
        let name = format!("{codec:?}").to_lowercase();
        let packed = plain.recompressed(codec, None, MIB)?;
        bench.alone(&format!("{name}, compress 64 KiB"), "MiB/s", || {
            let ((), took) = timed(|| {
                for _ in 0..50 {
                    black_box(plain.recompressed(codec, None, MIB)?);
                }
                Ok(())
            })?;
            Ok(rate(bytes * 50, took))
        })?;
        bench.alone(&format!("{name}, decompress 64 KiB"), "MiB/s", || {
            let ((), took) = timed(|| {
                for _ in 0..50 {
                    black_box(packed.records(MIB)?);
                }
                Ok(())
            })?;
            Ok(rate(bytes * 50, took))
        })?;
    }
    Ok(())
}
