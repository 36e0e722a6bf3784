//! `log`: look at what is on the disk, without a broker.
//!
//! The files are those of a broker that is stopped or runs, or of Kafka's own; nothing is changed but
//! by `repair`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use brooklet_log::RecoveryStart;
use brooklet_log::checkpoint::{Checkpoints, Positions, UNKNOWN};
use brooklet_log::inspect::SegmentFiles;
use brooklet_log::vfs::Vfs;
use brooklet_log::vfs::disk::DiskVfs;
use brooklet_protocol::{Offset, TopicPartition};
use clap::Subcommand;

use crate::exit::{CliError, Exit};
use crate::globals::Globals;

mod dump;
mod index;
mod meaning;
mod repair;
mod verify;

/// Arguments of `log`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  brooklet log dump brooklet-data/clicks-0 --records
  brooklet log dump brooklet-data/clicks-0/00000000000000000000.log --hex --count 1
  brooklet log index brooklet-data/clicks-0 --find 4096
  brooklet log verify brooklet-data
  brooklet log repair brooklet-data/clicks-0 --dry-run")]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Print the batches of a segment or a directory, with their places and checksums
    Dump(dump::Args),
    /// Show the entries of the indexes, and how a search goes
    Index(index::Args),
    /// Check everything; exit code 5 on corruption
    Verify(verify::Args),
    /// Cut a damaged log where the damage begins, or rewrite partition.metadata; what was there is kept
    Repair(repair::Args),
}

pub(crate) fn run(globals: &Globals, args: Args) -> anyhow::Result<Exit> {
    match args.verb {
        Verb::Dump(args) => dump::run(&args),
        Verb::Index(args) => index::run(&args),
        Verb::Verify(args) => verify::run(globals, &args),
        Verb::Repair(args) => repair::run(globals, &args),
    }
}

/// The files of a path that is a segment or a directory with some.
fn segments(path: &Path) -> anyhow::Result<Vec<SegmentFiles>> {
    let vfs = DiskVfs;
    if !vfs.exists(path) {
        return Err(
            CliError::NotFound(format!("{}: no such file or directory", path.display())).into(),
        );
    }
    if let Some(segment) = SegmentFiles::of(path) {
        return Ok(vec![segment]);
    }
    let segments = SegmentFiles::in_dir(&vfs, path)
        .map_err(|error| CliError::Usage(format!("{}: {error}", path.display())))?;
    if segments.is_empty() {
        let message = format!(
            "{}: no segment here. Name a .log file or the directory of a partition",
            path.display()
        );
        return Err(CliError::NotFound(message).into());
    }
    Ok(segments)
}

/// The directory of a partition, and what the checkpoint files beside it say.
struct Partition {
    dir: PathBuf,
    id: Option<TopicPartition>,
    start: RecoveryStart,
}

/// The partition in `dir`; without checkpoint files everything counts as not synced.
fn partition(dir: &Path) -> anyhow::Result<Partition> {
    // The name of a relative path may be that of its parent's entry: `.` has none.
    let dir_name = std::path::absolute(dir)?;
    let name = dir_name
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    let id = TopicPartition::from_dir_name(name);
    let known = match (&id, dir_name.parent()) {
        (Some(id), Some(data_dir)) => positions(data_dir, id)?,
        _ => Positions::default(),
    };
    let start = RecoveryStart {
        clean_shutdown: false,
        // Where nobody knows it, whatever is bad is found all the same.
        recovery_point: (known.recovery_point)
            .filter(|point| *point != UNKNOWN)
            .unwrap_or(Offset::ZERO),
        log_start_offset: known.log_start,
        cleaned_below: known.cleaned_below,
        unchecked_below: known.unchecked_below,
    };
    Ok(Partition {
        dir: dir.to_owned(),
        id,
        start,
    })
}

fn positions(data_dir: &Path, id: &TopicPartition) -> anyhow::Result<Positions> {
    let vfs: Arc<dyn Vfs> = Arc::new(DiskVfs);
    let known = Checkpoints::new(&vfs, data_dir).read()?;
    Ok(known.get(id).copied().unwrap_or_default())
}
