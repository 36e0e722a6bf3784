//! `bench log`: how long it takes to open many partitions, and a large one after a kill, and how
//! much memory they take.

use std::path::Path;
use std::sync::Arc;

use brooklet_log::vfs::Vfs;
use brooklet_log::vfs::disk::DiskVfs;
use brooklet_log::{Log, LogConfig, RecoveryStart};
use brooklet_protocol::records::Compression;
use brooklet_protocol::{LeaderEpoch, Offset, Timestamp};

use super::disk::batch;
use super::{Bench, Rounds, files, timed};

const NOW: Timestamp = Timestamp(1_700_000_000_000);
const PARTITIONS: usize = 10_000;
/// Bytes above the recovery point when a broker is killed: it writes the point down every 256 MiB.
const UNSYNCED_BYTES: u64 = 256 << 20;

pub(super) fn run(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    many(bench)?;
    if bench.options.long {
        large(bench)?;
    }
    Ok(())
}

fn open(dir: &Path, start: RecoveryStart) -> anyhow::Result<Log> {
    let vfs: Arc<dyn Vfs> = Arc::new(DiskVfs);
    Ok(Log::open(vfs, dir, LogConfig::default(), start)?.0)
}

fn many(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let names = [
        "open of 10,000 logs with a record each",
        "memory of an idle log",
    ];
    if !names.iter().any(|name| bench.wants(name)) {
        return Ok(());
    }
    bench.say(names[0]);
    let dir = bench.path().join("many");
    let dir_of = |number: usize| dir.join(format!("t-{number}"));
    let batch = batch(Compression::None, 100, 50);
    for number in 0..PARTITIONS {
        let mut log = open(&dir_of(number), RecoveryStart::default())?;
        log.append(&batch, LeaderEpoch(0), NOW)?;
        log.close()?;
    }
    let end = i64::from(batch.header().last_offset_delta) + 1;
    let start = RecoveryStart {
        clean_shutdown: true,
        recovery_point: Offset(end),
        ..RecoveryStart::default()
    };
    let (mut seconds, mut memory) = (Rounds::default(), Rounds::default());
    for _ in 0..bench.options.rounds {
        let before = files::resident_bytes();
        let (logs, took) = timed(|| {
            (0..PARTITIONS)
                .map(|n| open(&dir_of(n), start))
                .collect::<anyhow::Result<Vec<_>>>()
        })?;
        seconds.ours.push(took.as_secs_f64());
        seconds.limit.push(1.0);
        if let Some((before, after)) = before.zip(files::resident_bytes()) {
            memory
                .ours
                .push((after.saturating_sub(before)) as f64 / PARTITIONS as f64);
            memory.limit.push(1.0);
        }
        drop(logs);
    }
    bench.beside(names[0], "s", &seconds, "1 s", Some((2.0, true)));
    if !memory.ours.is_empty() {
        // Only the first round: later ones reuse memory that was freed.
        memory.ours.truncate(1);
        bench.beside(names[1], "B", &memory, "1 B", Some((4096.0, true)));
    }
    DiskVfs.remove_dir_all(&dir)?;
    Ok(())
}

/// 10 GiB, of which all but the last [`UNSYNCED_BYTES`] are below the recovery point.
fn large(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let name = "reopen of 10 GiB after a kill";
    if !bench.wants(name) {
        return Ok(());
    }
    bench.say(name);
    let dir = bench.path().join("large-0");
    let batch = batch(Compression::None, 16 << 10, 100);
    let mut log = open(&dir, RecoveryStart::default())?;
    let (mut written, mut point) = (0, Offset::ZERO);
    let (all, mut next_sync) = (10_u64 << 30, 64_u64 << 20);
    while written < all {
        log.append(&batch, LeaderEpoch(0), NOW)?;
        written += batch.bytes().len() as u64;
        if written >= next_sync && written < all - UNSYNCED_BYTES {
            log.sync_handle().sync()?;
            point = log.sync_handle().settle()?;
            log.tend_producers(NOW, std::time::Duration::MAX);
            next_sync = written + (64 << 20);
        }
    }
    drop(log);
    let start = RecoveryStart {
        recovery_point: point,
        ..RecoveryStart::default()
    };
    let mut rounds = Rounds::default();
    for _ in 0..bench.options.rounds {
        let (log, took) = timed(|| open(&dir, start))?;
        rounds.ours.push(took.as_secs_f64());
        rounds.limit.push(1.0);
        drop(log);
    }
    bench.beside(name, "s", &rounds, "1 s", Some((1.0, true)));
    DiskVfs.remove_dir_all(&dir)?;
    Ok(())
}
