//! `log`: inspect the files of a log, without a broker.
//!
//! The broker may be running or stopped, and the files may be Apache Kafka's. Only `repair` changes
//! anything.

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
mod meaning;

mod index;

mod verify;

mod repair;

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
    /// Print the batches of a segment or a partition, with their positions and checksums
    Dump(dump::Args),
    /// Show the entries of the indexes, and the steps of a search
    Index(index::Args),
    /// Check every batch and index; exit code 5 on corruption
    Verify(verify::Args),
    /// Cut a damaged log where the damage begins, or rewrite partition.metadata; the old bytes are
    /// kept
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

/// The segment files at a path: that of a segment, or a directory.
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
            "{}: no segments here. Expected a .log file or the directory of a partition",
            path.display()
        );
        return Err(CliError::NotFound(message).into());
    }
    Ok(segments)
}

/// The directory of a partition, with the offsets in the checkpoint files beside it.
struct Partition {
    dir: PathBuf,
    id: Option<TopicPartition>,
    start: RecoveryStart,
}

/// The partition in `dir`. Without checkpoint files, everything counts as not synced.
fn partition(dir: &Path) -> anyhow::Result<Partition> {
    // A path such as `.` has no file name; its absolute form has one.
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
        // If it is unknown, damage is found all the same.
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
