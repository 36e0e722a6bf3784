//! `log repair`: cuts a damaged log where the damage begins, so that the broker can serve the rest.
//!
//! First a plan is written to a file beside the log. What is cut is kept in side files. Both are
//! for people: the broker never reads them.
//!
//! A directory that does not say which topic it belongs to is not served either; its topic's id is
//! written to it again ([`identity`]).

use std::fmt::Write as _;
use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use brooklet_log::checkpoint::Checkpoints;
use brooklet_log::inspect::{Finding, Severity, verify_log};
use brooklet_log::vfs::disk::DiskVfs;
use brooklet_log::vfs::{OpenMode, Vfs};
use brooklet_log::{Log, LogConfig, RecoveryStart, forget_synced};
use brooklet_protocol::{Offset, TopicPartition};

use crate::exit::{CliError, Exit};
use crate::globals::Globals;
use crate::output::Output;

mod identity;

/// Arguments of `log repair`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  brooklet log repair brooklet-data/clicks-0 --dry-run
  brooklet log repair brooklet-data/clicks-0 --yes")]
pub(super) struct Args {
    /// The directory of a partition, inside its data directory
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Show what would be done, and change nothing
    #[arg(long, required_unless_present = "yes", conflicts_with = "yes")]
    dry_run: bool,
    /// Make the repair
    #[arg(long)]
    yes: bool,
}

pub(super) fn run(globals: &Globals, args: &Args) -> anyhow::Result<Exit> {
    let vfs: Arc<dyn Vfs> = Arc::new(DiskVfs);
    if !vfs.exists(&args.dir) {
        let message = format!("{}: no such directory", args.dir.display());
        return Err(CliError::NotFound(message).into());
    }
    let partition = super::partition(&args.dir)?;
    let dir = std::path::absolute(&args.dir)?;
    let (Some(id), Some(data_dir)) = (&partition.id, dir.parent()) else {
        let message = format!(
            "{}: not the directory of a partition, which is named TOPIC-PARTITION",
            args.dir.display()
        );
        return Err(CliError::Usage(message).into());
    };
    let lock_path = data_dir.join(".lock");
    let _lock = vfs.lock(&lock_path).with_context(|| {
        let path = lock_path.display();
        format!("{path}: a broker may be using it: stop the broker before you repair its log")
    })?;
    let identity = identity::plan(&*vfs, data_dir, &dir, id)?;
    let summary = verify_log(&*vfs, &dir, partition.start)?;
    let mut output = Output::stdout(true);
    let unreadable = say_unreadable(&summary.findings, &mut output)?;
    let can_be_cut =
        |finding: &&Finding| matches!(finding.severity, Severity::TornTail | Severity::Corrupt);
    let damage = summary.findings.iter().find(can_be_cut);
    let cut_plan = damage.map(|damage| plan(damage, &summary.findings));
    let cut_plan = cut_plan.transpose()?;
    if identity.is_none() && cut_plan.is_none() {
        let exit = if unreadable > 0 {
            Exit::Corruption
        } else {
            output.line(format!("{id}: nothing to repair"))?;
            Exit::Ok
        };
        output.flush()?;
        return Ok(exit);
    }
    for words in identity.iter().map(|plan| &plan.words).chain(&cut_plan) {
        words.lines().try_for_each(|line| output.line(line))?;
    }
    output.flush()?;
    if args.dry_run {
        globals.note("nothing was changed: to make these changes, use --yes");
        return Ok(Exit::Corruption);
    }
    if let Some(identity) = identity {
        identity.write(globals, &*vfs, &dir)?;
    }
    if let Some(plan) = cut_plan {
        let written = write_down(&*vfs, &dir, &plan)?;
        globals.note(format_args!("wrote the plan to {}", written.display()));
        let end = cut(Arc::clone(&vfs), &dir, partition.start)?;
        note_end(&vfs, data_dir, id, end)?;
        globals.note(format_args!("{id} now ends at offset {end}"));
    }
    Ok(Exit::Ok)
}

/// Writes down that the log ends where it was cut, and that this was not a clean shutdown.
fn note_end(
    vfs: &Arc<dyn Vfs>,
    data_dir: &Path,
    id: &TopicPartition,
    end: Offset,
) -> anyhow::Result<()> {
    let checkpoints = Checkpoints::new(vfs, data_dir);
    // In this order; otherwise indexes that are built first would count as lost.
    checkpoints.make()?;
    // A missing line means that everything is scanned, which is right for the rest, and safe.
    checkpoints.recovery_points.retain(|known| known != id)?;
    checkpoints.recovery_points.raise(id, end)?;
    let mark = data_dir.join(".kafka_cleanshutdown");
    if vfs.exists(&mark) {
        vfs.remove_file(&mark)?;
        vfs.sync_dir(data_dir)?;
    }
    Ok(())
}

/// Names the batches that stay because their checksums are right; returns their number.
fn say_unreadable(findings: &[Finding], output: &mut Output) -> anyhow::Result<usize> {
    let unreadable = findings
        .iter()
        .filter(|f| f.severity == Severity::Unreadable);
    let mut count = 0;
    for finding in unreadable {
        let name = finding
            .path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy();
        let position = finding.position.unwrap_or(0);
        output.line(format!(
            "stays: {name} byte {position}: {}; its checksum is right, so nothing is cut. \
             Move a group past it with: brooklet group seek",
            finding.words
        ))?;
        count += 1;
    }
    Ok(count)
}

/// The damage, and what will be done about it.
fn plan(damage: &Finding, findings: &[Finding]) -> anyhow::Result<String> {
    let mut plan = String::new();
    let name = damage
        .path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy();
    writeln!(plan, "damage: {name}: {}", damage.words)?;
    match damage.position {
        Some(position) => writeln!(
            plan,
            "cut: {name} from byte {position} on, and every later segment; the bytes are kept as *.log.cut-N"
        )?,
        None => writeln!(
            plan,
            "cut: {name} and every later segment; the bytes are kept as *.log.cut-N"
        )?,
    }
    for other in findings
        .iter()
        .filter(|other| *other != damage && other.severity == Severity::Corrupt)
    {
        let name = other.path.file_name().unwrap_or_default().to_string_lossy();
        writeln!(plan, "this also cuts: {name}: {}", other.words)?;
    }
    Ok(plan)
}

fn write_down(vfs: &dyn Vfs, dir: &Path, plan: &str) -> anyhow::Result<PathBuf> {
    let free = |number: &u32| !vfs.exists(&dir.join(format!("repair-{number}.txt")));
    let number = (1..u32::MAX).find(free).expect("numbers do not end");
    let path = dir.join(format!("repair-{number}.txt"));
    let file = vfs.open(&path, OpenMode::CreateNew)?;
    file.append(&[IoSlice::new(plan.as_bytes())])?;
    file.sync_data()?;
    vfs.sync_dir(dir)?;
    Ok(path)
}

/// Recovers as if nothing had ever been synced, so that all damage is a torn tail. Returns the end
/// of the log.
fn cut(vfs: Arc<dyn Vfs>, dir: &Path, start: RecoveryStart) -> anyhow::Result<Offset> {
    // From here on, damage counts as bytes that were never synced.
    forget_synced(&*vfs, dir)?;
    let unsynced = RecoveryStart {
        recovery_point: Offset::ZERO,
        log_start_offset: Offset::ZERO,
        ..start
    };
    let (log, _) = Log::open(vfs, dir, LogConfig::default(), unsynced)?;
    Ok(log.close()?)
}
