//! `bench log`: the log beside the machine's limits, measured in turns.
//!
//! ```text
//!  round 1: limit, ours    round 2: limit, ours    …    share = median(ours) / median(limit)
//! ```
//!
//! The limit of a row is a bare loop that does only what cannot be avoided, on the same file
//! system:
//!
//! | row | the limit |
//! |---|---|
//! | append of batches, of single records | the same checksums, walks and `write(2)` |
//! | read of sealed segments | the CRC-32C of the same bytes, mapped |
//! | group commit, 64 writers | one write and `fdatasync` per record |
//! | steady load (`--long`) | fixed goals: the p99 of an append, the bytes not yet synced |
//!
//! Invariants: both sides of a row touch the same bytes and verify the same checksums; each round
//! starts with files of its own and removes them. The sides take turns, so that other work on the
//! machine slows both.
//!
//! Further rows: each flush policy ([`super::flush`]), many partitions ([`super::partitions`]).

use std::hint::black_box;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use brooklet_broker::partition::{DirtyBudget, Durability, Partition, PartitionSetup};
use brooklet_load::statistics::{median, quantile};
use brooklet_log::clock::SystemClock;
use brooklet_log::vfs::Vfs;
use brooklet_log::vfs::disk::DiskVfs;
use brooklet_log::{Log, LogConfig, LogReader, RecoveryStart};
use brooklet_protocol::records::{BatchBuilder, Batches, Compression, RecordBatch};
use brooklet_protocol::{LeaderEpoch, Offset, PartitionId, Timestamp, TopicName, TopicPartition};

use super::disk::{batch, sync_times};
use super::{Bench, Rounds, files, map, rate, timed};

const MIB: usize = 1 << 20;
const NOW: Timestamp = Timestamp(1_700_000_000_000);
const WRITERS: usize = 64;

pub(super) async fn run(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    for (name, bytes, goal) in [
        ("4 KiB", 4 << 10, None),
        ("16 KiB", 16 << 10, Some(0.85)),
        ("64 KiB", 64 << 10, None),
        ("1 MiB", MIB, Some(0.95)),
    ] {
        append(
            bench,
            &format!("append, batches of {name}"),
            bytes,
            false,
            goal,
        )?;
    }
    append(
        bench,
        "append, batches of 1 MiB, preallocate=true",
        MIB,
        true,
        Some(1.2),
    )?;
    single_records(bench)?;
    read(bench)?;
    group_commit(bench).await?;
    if bench.options.long {
        steady(bench).await?;
    }
    Ok(())
}

fn config(preallocate: bool, segment_bytes: u64) -> LogConfig {
    LogConfig {
        preallocate,
        segment_bytes,
        ..LogConfig::default()
    }
}

fn open(dir: &Path, config: LogConfig) -> anyhow::Result<Log> {
    let vfs: Arc<dyn Vfs> = Arc::new(DiskVfs);
    Ok(Log::open(vfs, dir, config, RecoveryStart::default())?.0)
}

/// Ours: checksum, walk of the records, append and index. The limit: checksum, walk and write(2).
fn append(
    bench: &mut Bench<'_>,
    name: &str,
    batch_bytes: usize,
    preallocate: bool,
    goal: Option<f64>,
) -> anyhow::Result<()> {
    if !bench.wants(name) {
        return Ok(());
    }
    bench.say(name);
    let batch = batch(Compression::None, batch_bytes, 100);
    let (bytes, dir) = (bench.bytes(), bench.path().to_owned());
    let count = bytes.div_ceil(batch.bytes().len() as u64);
    let mut rounds = Rounds::default();
    for _ in 0..bench.options.rounds {
        let path = dir.join("bare");
        let checked = |block: &[u8]| {
            black_box(brooklet_protocol::crc32c(block));
            black_box(batch.survey(MIB)).ok();
        };
        let ((), took) = timed(|| files::write_blocks(&path, batch.bytes(), bytes, checked))?;
        files::remove(&path)?;
        rounds.limit.push(rate(bytes, took));

        let path = dir.join("log-0");
        let mut log = open(&path, config(preallocate, 1 << 30))?;
        let ((), took) = timed(|| {
            for _ in 0..count {
                batch.verify_crc()?;
                black_box(batch.survey(MIB)?);
                log.append(&batch, LeaderEpoch(0), NOW)?;
            }
            Ok(())
        })?;
        drop(log);
        DiskVfs.remove_dir_all(&path)?;
        rounds.ours.push(rate(bytes, took));
    }
    let limit = "bare loop of CRC-32C, walk, write(2)";
    bench.beside(
        name,
        "MiB/s",
        &rounds,
        limit,
        goal.map(|goal| (goal, false)),
    );
    Ok(())
}

fn record(number: u64) -> RecordBatch {
    let mut builder = BatchBuilder::new(Compression::None);
    let value = [number as u8; 100];
    builder.append(NOW, None, Some(&value), &[]);
    builder.build()
}

/// One record per batch. Ours: framing, walk and append. The limit: framing, walk and write(2).
fn single_records(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let name = "single records of 100 B, linger 0";
    if !bench.wants(name) {
        return Ok(());
    }
    bench.say(name);
    let (count, dir) = (200_000, bench.path().to_owned());
    let per_second = |took: Duration| count as f64 / took.as_secs_f64();
    let mut rounds = Rounds::default();
    for _ in 0..bench.options.rounds {
        let path = dir.join("bare");
        let mut file = files::create(&path)?;
        let ((), took) = timed(|| {
            for number in 0..count {
                let batch = record(number);
                black_box(batch.survey(MIB)?);
                file.write_all(batch.bytes())?;
            }
            Ok(())
        })?;
        files::remove(&path)?;
        rounds.limit.push(per_second(took));

        let path = dir.join("log-0");
        let mut log = open(&path, config(false, 1 << 30))?;
        let ((), took) = timed(|| {
            for number in 0..count {
                let batch = record(number);
                black_box(batch.survey(MIB)?);
                log.append(&batch, LeaderEpoch(0), NOW)?;
            }
            Ok(())
        })?;
        drop(log);
        DiskVfs.remove_dir_all(&path)?;
        rounds.ours.push(per_second(took));
    }
    let limit = "bare loop that frames, walks and writes";
    bench.beside(name, "records/s", &rounds, limit, Some((0.7, false)));
    Ok(())
}

/// Ours: records iterated and keys touched. The limit: the CRC-32C of the same bytes, mapped.
fn read(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let name = "read of sealed segments, records iterated, keys touched";
    if !bench.wants(name) {
        return Ok(());
    }
    bench.say(name);
    let dir = bench.path().join("log-0");
    let point = fill(&dir, bench.bytes())?;
    let start = RecoveryStart {
        clean_shutdown: true,
        recovery_point: point,
        ..RecoveryStart::default()
    };
    let mut rounds = Rounds::default();
    for _ in 0..bench.options.rounds {
        let vfs: Arc<dyn Vfs> = Arc::new(DiskVfs);
        let (log, _) = Log::open(vfs, &dir, config(false, 64 << 20), start)?;
        let reader = log.reader();
        let segments = reader.segments().into_iter();
        let filled = segments.filter(|segment| segment.size_bytes > 0);
        let maps = filled.map(|segment| map::map(&segment.path));
        let maps = maps.collect::<std::io::Result<Vec<_>>>()?;
        let size = maps.iter().map(|map| map.len() as u64).sum();
        let ((), took) = timed(|| {
            for block in maps.iter().flat_map(|map| map.chunks(MIB)) {
                black_box(brooklet_protocol::crc32c(block));
            }
            Ok(())
        })?;
        rounds.limit.push(rate(size, took));
        let (touched, took) = timed(|| touch_keys(&reader, point))?;
        black_box(touched);
        rounds.ours.push(rate(size, took));
    }
    DiskVfs.remove_dir_all(&dir)?;
    let limit = "the mapped bytes with CRC-32C";
    bench.beside(name, "MiB/s", &rounds, limit, Some((0.70, false)));
    Ok(())
}

/// Writes a log of `bytes` in sealed segments of 64 MiB; returns its end.
fn fill(dir: &Path, bytes: u64) -> anyhow::Result<Offset> {
    let batch = batch(Compression::None, 16 << 10, 1000);
    let mut log = open(dir, config(false, 64 << 20))?;
    for _ in 0..bytes.div_ceil(batch.bytes().len() as u64) {
        log.append(&batch, LeaderEpoch(0), NOW)?;
    }
    log.roll_if_filled()?;
    Ok(log.close()?)
}

/// Iterates over all records below `end`; adds up the first bytes of their keys.
fn touch_keys(reader: &LogReader, end: Offset) -> anyhow::Result<u64> {
    let (mut next, mut touched) = (Offset::ZERO, 0_u64);
    while next < end {
        let read = reader.read(next, end, MIB, true)?;
        for batch in Batches(read.bytes) {
            for record in &batch?.records(MIB)? {
                touched += u64::from(record?.key.map_or(0, |key| key[0]));
            }
        }
        next = read.next_offset;
    }
    Ok(touched)
}

fn partition(dir: &Path, dirty: &Arc<DirtyBudget>) -> anyhow::Result<Arc<Partition>> {
    let vfs: Arc<dyn Vfs> = Arc::new(DiskVfs);
    let id = TopicPartition::new(TopicName::new("bench")?, PartitionId(0));
    let clock = Arc::new(SystemClock::new());
    let (config, start) = (LogConfig::default(), RecoveryStart::default());
    Ok(Partition::open(PartitionSetup {
        vfs,
        clock,
        id,
        dir,
        config,
        start,
        dirty: Some(dirty),
    })?
    .0)
}

/// 64 writers of 1 KiB, each waiting for its own record to be synced.
async fn group_commit(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let names = [
        "group commit, 64 writers of 1 KiB, records per sync",
        "group commit, 64 writers of 1 KiB, p99",
    ];
    if !names.iter().any(|name| bench.wants(name)) {
        return Ok(());
    }
    bench.say(names[0]);
    let (mut shared, mut waits) = (Rounds::default(), Rounds::default());
    for _ in 0..bench.options.rounds {
        let path = bench.path().join("bare");
        let bare = sync_times(&path, &vec![7; 1 << 10], 300)?;
        waits.limit.push(quantile(&bare, 0.99));
        shared.limit.push(1.0);

        let dir = bench.path().join("bench-0");
        let dirty = DirtyBudget::new(DirtyBudget::BYTES_MAX_DEFAULT);
        let partition = partition(&dir, &dirty)?;
        let mut writers = tokio::task::JoinSet::new();
        for _ in 0..WRITERS {
            let partition = Arc::clone(&partition);
            writers.spawn(async move {
                let mut builder = BatchBuilder::new(Compression::None);
                builder.append(NOW, None, Some(&[7; 1 << 10]), &[]);
                let batch = [builder.build()];
                let mut times = Vec::new();
                for _ in 0..100 {
                    let start = Instant::now();
                    partition.append(&batch, Durability::Synced).await?;
                    times.push(start.elapsed().as_secs_f64() * 1000.0);
                }
                anyhow::Ok(times)
            });
        }
        let mut times = Vec::new();
        for writer in writers.join_all().await {
            times.extend(writer?);
        }
        shared
            .ours
            .push(times.len() as f64 / partition.sync_count() as f64);
        waits.ours.push(quantile(&times, 0.99));
        drop(partition);
        DiskVfs.remove_dir_all(&dir)?;
    }
    bench.beside(names[0], "", &shared, "one sync each", Some((20.0, false)));
    bench.beside(
        names[1],
        "ms",
        &waits,
        "p99 of one write and fdatasync",
        Some((3.0, true)),
    );
    Ok(())
}

/// 1 GiB per minute for five minutes: how long an append takes, and how much is not yet synced.
async fn steady(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let name = "steady 1 GiB a minute, append p99";
    if !bench.wants(name) {
        return Ok(());
    }
    bench.say(name);
    let dir = bench.path().join("bench-0");
    let dirty = DirtyBudget::new(DirtyBudget::BYTES_MAX_DEFAULT);
    let partition = partition(&dir, &dirty)?;
    let batch = [batch(Compression::None, 64 << 10, 100)];
    let gap = Duration::from_secs_f64(60.0 * batch[0].bytes().len() as f64 / f64::from(1 << 30));
    let (begin, mut times) = (Instant::now(), Vec::new());
    let (mut dirtiest, mut kernel) = (0, 0);
    let mut due = begin;
    while begin.elapsed() < Duration::from_secs(300) {
        tokio::time::sleep_until(due.into()).await;
        let start = Instant::now();
        partition.append(&batch, Durability::Written).await?;
        times.push(start.elapsed().as_secs_f64() * 1000.0);
        dirtiest = dirtiest.max(dirty.bytes());
        if times.len().is_multiple_of(64) {
            kernel = kernel.max(files::dirty_bytes().unwrap_or(0));
        }
        due += gap;
    }
    let mebi = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let p99 = Rounds {
        ours: vec![quantile(&times, 0.99)],
        limit: vec![1.0],
    };
    bench.beside(name, "ms", &p99, "1 ms", Some((5.0, true)));
    let unsynced = Rounds {
        ours: vec![mebi(dirtiest)],
        limit: vec![1.0],
    };
    bench.beside(
        "steady 1 GiB a minute, unsynced at most",
        "MiB",
        &unsynced,
        "1 MiB",
        Some((64.0, true)),
    );
    bench.globals.note(format_args!(
        "median append {:.3} ms; dirty pages of the whole system: at most {:.0} MiB",
        median(&times),
        mebi(kernel)
    ));
    drop(partition);
    DiskVfs.remove_dir_all(&dir)?;
    Ok(())
}
