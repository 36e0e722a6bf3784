//! `log index`: the entries of the indexes, and the steps of a search.
//!
//! Without an option it lists every entry of a segment's files:
//!
//! ```text
//! BASE.index      (last offset of a batch, byte where the batch begins)    sparse, 8 bytes each
//! BASE.timeindex  (time, last offset of the batch that first reached it)   sparse, 12 bytes each
//! BASE.txnindex   aborted transactions, if there are any
//! BASE.snapshot   producers, if there is one
//! ```
//!
//! With `--find` it shows how the broker finds an offset, and with `--find-time` a time: a binary
//! search in the index, then a scan of batches from the position that it points to.
//!
//! ```text
//! offset 117 ─▶ BASE.index: nearest entry at or before it ─▶ byte 8192 ─▶ batch by batch ─▶ found
//! time       ─▶ BASE.timeindex: nearest entry at or before it ─▶ its offset ─▶ as above
//! ```
//!
//! An index is a hint: a missing one is reported, not an error, since the broker rebuilds it.

use std::path::{Path, PathBuf};

use brooklet_log::inspect::{
    IndexFile, SearchStep, SegmentFiles, SegmentScan, read_offset_index, read_snapshot,
    read_time_index, read_txn_index,
};
use brooklet_log::vfs::Vfs;
use brooklet_log::vfs::disk::DiskVfs;
use brooklet_protocol::{Offset, Timestamp};

use crate::exit::{CliError, Exit};
use crate::output::Output;
use crate::time;

/// Arguments of `log index`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  brooklet log index brooklet-data/clicks-0
  brooklet log index brooklet-data/clicks-0 --find 4096
  brooklet log index brooklet-data/clicks-0 --find-time 2013-03-08T12:00:00Z")]
pub(super) struct Args {
    /// A segment (BASE.log), or the directory of a partition
    #[arg(value_name = "DIR|SEGMENT")]
    path: PathBuf,
    /// Show how this offset is found
    #[arg(long, value_name = "OFFSET", conflicts_with = "find_time")]
    find: Option<i64>,
    /// Show how this time is found: milliseconds since 1970, or RFC 3339 with any offset
    #[arg(long, value_name = "TIME", value_parser = time::argument, allow_hyphen_values = true)]
    find_time: Option<Timestamp>,
}

pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    let mut output = Output::stdout(true);
    let segments = super::segments(&args.path)?;
    match (args.find, args.find_time) {
        (Some(offset), _) => {
            let below = segments.partition_point(|s| s.base_offset <= Offset(offset));
            let Some(segment) = below.checked_sub(1).map(|last| &segments[last]) else {
                let message = format!("offset {offset} is before the first segment");
                return Err(CliError::NotFound(message).into());
            };
            find_offset(segment, Offset(offset), &mut output)?;
        }
        (None, Some(time)) => {
            for segment in &segments {
                find_time(segment, time, &mut output)?;
            }
        }
        (None, None) => {
            for segment in &segments {
                list(segment, &mut output)?;
            }
        }
    }
    output.flush()?;
    Ok(Exit::Ok)
}

fn name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

fn head<E>(path: &Path, index: &IndexFile<E>, entry_bytes: u64) -> String {
    let used = index.entries.len() as u64 * entry_bytes;
    let (zeros, torn) = (index.bytes - index.torn_bytes - used, index.torn_bytes);
    let parts = [
        Some(format!(
            "{}  {} entries, {used} bytes",
            name(path),
            index.entries.len()
        )),
        (zeros > 0).then(|| format!("then {zeros} bytes of zeros, preallocated")),
        (torn > 0).then(|| format!("then {torn} bytes that are not an entry")),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn list(segment: &SegmentFiles, output: &mut Output) -> anyhow::Result<()> {
    list_offsets(segment, output)?;
    list_times(segment, output)?;
    list_aborted(segment, output)?;
    list_producers(segment, output)
}

fn missing(path: &Path) -> String {
    format!("{}  missing: it is rebuilt at first use", name(path))
}

fn list_offsets(segment: &SegmentFiles, output: &mut Output) -> anyhow::Result<()> {
    let path = segment.offset_index();
    if !DiskVfs.exists(&path) {
        return Ok(output.line(missing(&path))?);
    }
    let index = read_offset_index(&DiskVfs, &path, segment.base_offset)?;
    output.line(head(&path, &index, 8))?;
    for (number, entry) in index.entries.iter().enumerate() {
        let (last, position) = (entry.last_offset, entry.position);
        output.line(format!(
            "  {number:>6}  the batch that ends at offset {last} begins at byte {position}"
        ))?;
    }
    Ok(())
}

fn list_times(segment: &SegmentFiles, output: &mut Output) -> anyhow::Result<()> {
    let path = segment.time_index();
    if !DiskVfs.exists(&path) {
        return Ok(output.line(missing(&path))?);
    }
    let index = read_time_index(&DiskVfs, &path, segment.base_offset)?;
    output.line(head(&path, &index, 12))?;
    for (number, entry) in index.entries.iter().enumerate() {
        let (time, last) = (time::to_text(entry.timestamp), entry.last_offset);
        output.line(format!(
            "  {number:>6}  {time} is first reached by the batch that ends at offset {last}"
        ))?;
    }
    Ok(())
}

/// A segment without aborted transactions has no such file.
fn list_aborted(segment: &SegmentFiles, output: &mut Output) -> anyhow::Result<()> {
    let path = segment.txn_index();
    if !DiskVfs.exists(&path) {
        return Ok(());
    }
    let (entries, _) = read_txn_index(&DiskVfs, &path)?;
    let count = entries.len();
    output.line(format!("{}  {count} aborted transactions", name(&path)))?;
    for entry in entries {
        let (id, first, last) = (entry.producer_id.0, entry.first_offset, entry.last_offset);
        output.line(format!("          producer {id}  offsets {first}..={last}"))?;
    }
    Ok(())
}

/// Not every segment has a snapshot of the producers.
fn list_producers(segment: &SegmentFiles, output: &mut Output) -> anyhow::Result<()> {
    let path = segment.snapshot();
    if !DiskVfs.exists(&path) {
        return Ok(());
    }
    let states = match read_snapshot(&DiskVfs, &path)? {
        Ok(states) => states,
        Err(error) => {
            return Ok(output.line(format!("{}  not a snapshot: {error}", name(&path)))?);
        }
    };
    let mut states: Vec<_> = states.iter().collect();
    states.sort_by_key(|(id, _)| *id);
    output.line(format!("{}  {} producers", name(&path), states.len()))?;
    for (id, state) in states {
        let (id, epoch, last) = (id.0, state.epoch.0, state.last_sequence());
        output.line(format!(
            "          producer {id}  epoch {epoch}  last sequence {last}"
        ))?;
    }
    Ok(())
}

fn steps(
    steps: &[SearchStep],
    what: impl Fn(usize) -> String,
    output: &mut Output,
) -> anyhow::Result<()> {
    for step in steps {
        let (from, to) = step.range;
        let verdict = if step.is_at_or_before {
            "at or before: search to the right"
        } else {
            "after: search to the left"
        };
        output.line(format!(
            "  entries {from}..{to}  compare {}: {}  {verdict}",
            step.middle,
            what(step.middle)
        ))?;
    }
    Ok(())
}

fn find_offset(segment: &SegmentFiles, offset: Offset, output: &mut Output) -> anyhow::Result<()> {
    output.line(format!(
        "offset {offset} is in segment {}",
        name(&segment.log)
    ))?;
    let mut start = 0;
    let path = segment.offset_index();
    if DiskVfs.exists(&path) {
        let index = read_offset_index(&DiskVfs, &path, segment.base_offset)?;
        let (found, taken) = index.floor(|entry| entry.last_offset <= offset);
        let what = |n: usize| format!("offset {}", index.entries[n].last_offset);
        steps(&taken, what, output)?;
        if let Some(entry) = found {
            start = u64::try_from(entry.position).unwrap_or(0);
            output.line(format!(
                "  the nearest entry at or before it points to byte {start}"
            ))?;
        } else {
            output.line("  no entry is at or before it: the scan starts at byte 0")?;
        }
    }
    walk(segment, start, output, |batch| {
        batch.header.last_offset() >= offset
    })
}

fn find_time(segment: &SegmentFiles, time: Timestamp, output: &mut Output) -> anyhow::Result<()> {
    output.line(format!("segment {}", name(&segment.log)))?;
    let path = segment.time_index();
    if !DiskVfs.exists(&path) {
        return walk(segment, 0, output, |batch| {
            batch.header.max_timestamp >= time
        });
    }
    let index = read_time_index(&DiskVfs, &path, segment.base_offset)?;
    let (found, taken) = index.floor(|entry| entry.timestamp <= time);
    steps(
        &taken,
        |n| time::to_text(index.entries[n].timestamp),
        output,
    )?;
    if index
        .entries
        .last()
        .is_none_or(|last| last.timestamp < time)
    {
        return Ok(output
            .line("  the last entry is earlier: a sealed segment does not contain this time")?);
    }
    let from = found.map_or(segment.base_offset, |entry| entry.last_offset);
    output.line(format!(
        "  no batch before the one that ends at offset {from} reaches it"
    ))?;
    find_offset(segment, from, output)
}

/// Scans batches from byte `start` to the first for which `is_it` is true.
fn walk(
    segment: &SegmentFiles,
    start: u64,
    output: &mut Output,
    is_it: impl Fn(&brooklet_log::inspect::PlacedBatch) -> bool,
) -> anyhow::Result<()> {
    let mut scan = SegmentScan::open(&DiskVfs, &segment.log)?;
    while let Ok(batch) = scan.next_batch()? {
        if batch.position < start {
            continue;
        }
        let header = &batch.header;
        let range = format!("offsets {}..={}", header.base_offset, header.last_offset());
        if is_it(&batch) {
            return Ok(output.line(format!("  byte {}: {range}  found", batch.position))?);
        }
        output.line(format!("  byte {}: {range}  continue", batch.position))?;
    }
    Ok(output.line("  not in this segment")?)
}
