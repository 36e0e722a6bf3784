//! `bench log`: a partition under each flush policy, with batches of several sizes.
//!
//! | policy | a writer waits for a sync | the limit does the same |
//! |---|---|---|
//! | `acks=1` | never; a sync follows within a second or 8 MiB | CRC-32C and `write(2)` |
//! | `flush.messages` of ten batches | after each tenth batch | and `fdatasync` after each tenth |
//! | `acks=all` | each time | and `fdatasync` each time |

use std::hint::black_box;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use brooklet_broker::partition::{DirtyBudget, Durability, Partition, PartitionSetup};
use brooklet_log::clock::SystemClock;
use brooklet_log::vfs::Vfs;
use brooklet_log::vfs::disk::DiskVfs;
use brooklet_log::{LogConfig, RecoveryStart};
use brooklet_protocol::records::{Compression, RecordBatch};
use brooklet_protocol::{PartitionId, TopicName, TopicPartition};

use super::disk::batch;
use super::{Bench, Rounds, files, timed};

const MIB: u64 = 1 << 20;
/// Batches in a round of a policy that syncs.
const SYNCED_BATCHES: u64 = 400;
/// Batches in a round of the policy that never waits for a sync.
const WRITTEN_BATCHES: u64 = 100_000;

#[derive(Clone, Copy, Debug)]
enum Policy {
    Written,
    EveryTenth,
    Every,
}

impl Policy {
    fn words(self) -> &'static str {
        match self {
            Self::Written => "acks=1",
            Self::EveryTenth => "flush.messages of ten batches",
            Self::Every => "acks=all",
        }
    }

    fn limit(self) -> &'static str {
        match self {
            Self::Written => "bare loop of CRC-32C and write(2)",
            Self::EveryTenth => "and fdatasync after each tenth",
            Self::Every => "and fdatasync after each",
        }
    }

    /// How many batches there are per sync.
    fn interval(self) -> Option<u64> {
        match self {
            Self::Written => None,
            Self::EveryTenth => Some(10),
            Self::Every => Some(1),
        }
    }
}

pub(super) async fn run(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let sizes = [
        ("1 record of 100 B", 1),
        ("4 KiB", 4 << 10),
        ("64 KiB", 64 << 10),
        ("1 MiB", 1 << 20),
    ];
    for policy in [Policy::Written, Policy::EveryTenth, Policy::Every] {
        for (size, bytes) in sizes {
            let name = format!("{}, batches of {size}", policy.words());
            if bench.wants(&name) {
                bench.say(&name);
                let batch = batch(Compression::None, bytes, 100);
                let rounds = rounds(bench, policy, &batch).await?;
                bench.beside(&name, "batches/s", &rounds, policy.limit(), None);
            }
        }
    }
    Ok(())
}

async fn rounds(
    bench: &mut Bench<'_>,
    policy: Policy,
    batch: &RecordBatch,
) -> anyhow::Result<Rounds> {
    let most = match policy {
        Policy::Written => WRITTEN_BATCHES,
        Policy::EveryTenth | Policy::Every => SYNCED_BATCHES,
    };
    let count = (bench.bytes() / batch.bytes().len() as u64).clamp(1, most);
    let per_second = |took: Duration| count as f64 / took.as_secs_f64();
    let mut rounds = Rounds::default();
    for _ in 0..bench.options.rounds {
        let took = bare(&bench.path().join("bare"), policy, batch, count)?;
        rounds.limit.push(per_second(took));
        let dir = bench.path().join("bench-0");
        let took = ours(&dir, policy, batch, count).await?;
        rounds.ours.push(per_second(took));
        DiskVfs.remove_dir_all(&dir)?;
    }
    Ok(rounds)
}

fn bare(path: &Path, policy: Policy, batch: &RecordBatch, count: u64) -> anyhow::Result<Duration> {
    let mut file = files::create(path)?;
    let ((), took) = timed(|| {
        for number in 1..=count {
            black_box(brooklet_protocol::crc32c(batch.bytes()));
            file.write_all(batch.bytes())?;
            if (policy.interval()).is_some_and(|interval| number.is_multiple_of(interval)) {
                file.sync_data()?;
            }
        }
        Ok(())
    })?;
    files::remove(path)?;
    Ok(took)
}

async fn ours(
    dir: &Path,
    policy: Policy,
    batch: &RecordBatch,
    count: u64,
) -> anyhow::Result<Duration> {
    let vfs: Arc<dyn Vfs> = Arc::new(DiskVfs);
    let id = TopicPartition::new(TopicName::new("bench")?, PartitionId(0));
    let dirty = DirtyBudget::new(64 * MIB);
    let records = u64::try_from(batch.header().record_count)?;
    let config = match policy {
        Policy::EveryTenth => LogConfig {
            flush_messages: 10 * records,
            ..LogConfig::default()
        },
        Policy::Written | Policy::Every => LogConfig::default(),
    };
    let durability = match policy {
        Policy::Every => Durability::Synced,
        Policy::Written | Policy::EveryTenth => Durability::Written,
    };
    let (clock, start) = (Arc::new(SystemClock::new()), RecoveryStart::default());
    let (partition, _) = Partition::open(PartitionSetup {
        vfs,
        clock,
        id,
        dir,
        config,
        start,
        dirty: Some(&dirty),
    })?;
    let batches = [batch.clone()];
    let began = std::time::Instant::now();
    for _ in 0..count {
        batch.verify_crc()?;
        partition.append(&batches, durability).await?;
    }
    Ok(began.elapsed())
}
