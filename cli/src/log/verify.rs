//! `log verify`: checks that the bytes on the disk are those that were written.

use std::path::{Path, PathBuf};

use brooklet_log::inspect::{Finding, LogSummary, SegmentFiles, Severity, verify_log};
use brooklet_log::vfs::Vfs;
use brooklet_log::vfs::disk::DiskVfs;
use brooklet_protocol::TopicPartition;
use serde_json::json;

use crate::exit::{CliError, Exit};
use crate::globals::Globals;
use crate::output::{Output, OutputFormat};

/// Arguments of `log verify`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  brooklet log verify brooklet-data
  brooklet log verify brooklet-data/clicks-0 -o json")]
pub(super) struct Args {
    /// A data directory, or the directory of a partition
    #[arg(value_name = "DIR", default_value = "brooklet-data")]
    dir: PathBuf,
    /// How to print; `json` and `jsonl` are the same here, one object per partition
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t)]
    output: OutputFormat,
}

pub(super) fn run(globals: &Globals, args: &Args) -> anyhow::Result<Exit> {
    let vfs = DiskVfs;
    if !vfs.exists(&args.dir) {
        let message = format!("{}: no such directory", args.dir.display());
        return Err(CliError::NotFound(message).into());
    }
    let dirs = partitions(&vfs, &args.dir)?;
    let mut output = Output::stdout(true);
    let mut worst = None;
    for dir in &dirs {
        let partition = super::partition(dir)?;
        let summary = verify_log(&vfs, &partition.dir, partition.start)?;
        worst = worst.max(summary.worst());
        print(args, dir, &summary, &mut output)?;
    }
    output.flush()?;
    match worst {
        Some(Severity::Corrupt) => globals.note(
            "found corruption. See what could be cut with: brooklet log repair DIR --dry-run",
        ),
        Some(Severity::Unreadable) => globals.note(
            "consumers fail at the batches named above. \
             Move a group past them with: brooklet group seek",
        ),
        _ => return Ok(Exit::Ok),
    }
    Ok(Exit::Corruption)
}

/// The directory itself, or the directories of the partitions in it.
fn partitions(vfs: &dyn Vfs, dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if !SegmentFiles::in_dir(vfs, dir)?.is_empty() {
        return Ok(vec![dir.to_owned()]);
    }
    let entries = vfs.read_dir(dir)?.into_iter();
    let partitions = entries
        .filter(|entry| entry.is_dir && TopicPartition::from_dir_name(&entry.name).is_some());
    let partitions: Vec<_> = partitions.map(|entry| dir.join(entry.name)).collect();
    if partitions.is_empty() {
        let message = format!(
            "{}: no partitions here. Expected a data directory or the directory of a partition",
            dir.display()
        );
        return Err(CliError::NotFound(message).into());
    }
    Ok(partitions)
}

fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Note => "note",
        Severity::Hint => "hint",
        Severity::TornTail => "torn tail",
        Severity::Unreadable => "UNREADABLE",
        Severity::Corrupt => "CORRUPT",
    }
}

fn print(args: &Args, dir: &Path, summary: &LogSummary, output: &mut Output) -> anyhow::Result<()> {
    let offset = |offset: Option<brooklet_protocol::Offset>| offset.map(|offset| offset.0);
    if args.output != OutputFormat::Table {
        let finding = |finding: &Finding| {
            json!({
                "severity": word(finding.severity),
                "file": finding.path,
                "position": finding.position,
                "words": finding.words,
            })
        };
        let findings: Vec<_> = summary.findings.iter().map(finding).collect();
        return Ok(output.json(&json!({
            "dir": dir,
            "segments": summary.segments,
            "batches": summary.batches,
            "records": summary.records,
            "bytes": summary.bytes,
            "start_offset": offset(summary.start_offset),
            "end_offset": offset(summary.end_offset),
            "findings": findings,
        }))?);
    }
    let verdict = summary.worst().map_or("ok", |worst| match worst {
        Severity::Note | Severity::Hint => "ok",
        worse => word(worse),
    });
    let range = match (summary.start_offset, summary.end_offset) {
        (Some(start), Some(end)) => format!("offsets {start}..{end}"),
        _ => "empty".into(),
    };
    output.line(format!(
        "{}  {verdict}  {range}  {} segments, {} batches, {} records, {} bytes",
        dir.display(),
        summary.segments,
        summary.batches,
        summary.records,
        summary.bytes
    ))?;
    for finding in &summary.findings {
        let name = finding
            .path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy();
        let at = finding
            .position
            .map(|p| format!(" byte {p}"))
            .unwrap_or_default();
        output.line(format!(
            "  {}: {name}{at}: {}",
            word(finding.severity),
            finding.words
        ))?;
    }
    Ok(())
}
