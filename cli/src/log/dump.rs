//! `log dump`: the batches, records or bytes of a segment, with their positions.
//!
//! | option | prints |
//! |---|---|
//! | (none), `--batches` | a line per batch: position, offsets, sizes, codec, times, checksum |
//! | `--records` | also the records; the brokers' own are explained in words |
//! | `--hex` | also each field of the header: its bytes, and what they mean |
//!
//! A batch whose checksum is wrong is printed with both checksums, and the dump goes on. It stops
//! where batches cannot be told apart any longer, and says how many bytes follow. The exit code is
//! 5 if any corruption was found. Zeros at the end are preallocated space, not corruption.

use std::path::PathBuf;

use brooklet_log::inspect::{PlacedBatch, ScanEnd, SegmentScan};
use brooklet_log::vfs::disk::DiskVfs;
use brooklet_protocol::records::BatchHeader;
use brooklet_protocol::{Offset, ProducerId, Timestamp};
use serde_json::{Value, json};

use super::meaning::Meaning;
use crate::escape::printable;
use crate::exit::Exit;
use crate::output::{Output, OutputFormat};
use crate::time;

/// Bytes that a batch may have once it is decompressed.
const DECOMPRESSED_BYTES_MAX: usize = 256 << 20;

/// Arguments of `log dump`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  brooklet log dump brooklet-data/clicks-0
  brooklet log dump brooklet-data/clicks-0 --records --from 4096 --count 3
  brooklet log dump brooklet-data/__consumer_offsets-0 --records     groups and their offsets
  brooklet log dump brooklet-data/clicks-0/00000000000000000000.log --hex --count 1")]
pub(super) struct Args {
    /// A segment (BASE.log), or the directory of a partition
    #[arg(value_name = "DIR|SEGMENT")]
    path: PathBuf,
    /// Print one line per batch (the default)
    #[arg(long, conflicts_with_all = ["records", "hex"])]
    batches: bool,
    /// Print the records of each batch, too
    #[arg(long, conflicts_with = "hex")]
    records: bool,
    /// Print the bytes of each batch, field by field
    #[arg(long)]
    hex: bool,
    /// Start at the batch that contains this offset
    #[arg(long, value_name = "OFFSET", default_value_t = 0)]
    from: i64,
    /// Print at most this many batches
    #[arg(long, value_name = "N", default_value_t = u64::MAX, hide_default_value = true)]
    count: u64,
    /// How to print; `json` and `jsonl` are the same here, one object per batch
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t)]
    output: OutputFormat,
}

/// What was printed, and whether corruption was found.
#[derive(Debug, Default)]
struct Seen {
    batches: u64,
    is_corrupt: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    let mut output = Output::stdout(true);
    let mut seen = Seen::default();
    for segment in super::segments(&args.path)? {
        let mut scan = SegmentScan::open(&DiskVfs, &segment.log)?;
        if args.output == OutputFormat::Table {
            let name = segment
                .log
                .file_name()
                .unwrap_or_default()
                .to_string_lossy();
            output.line(format!("segment {name}  {} bytes", scan.size()))?;
        }
        loop {
            match scan.next_batch()? {
                Ok(batch) if batch.header.last_offset() < Offset(args.from) => {}
                Ok(_) if seen.batches >= args.count => break,
                Ok(batch) => {
                    seen.batches += 1;
                    seen.is_corrupt |= batch.crc.is_err();
                    print(args, &batch, &mut output)?;
                }
                Err(end) => {
                    seen.is_corrupt |= end.error.is_some();
                    print_end(args, &end, &mut output)?;
                    break;
                }
            }
        }
    }
    output.flush()?;
    Ok(if seen.is_corrupt {
        Exit::Corruption
    } else {
        Exit::Ok
    })
}

fn print(args: &Args, batch: &PlacedBatch, output: &mut Output) -> anyhow::Result<()> {
    if args.output != OutputFormat::Table {
        return Ok(output.json(&as_json(args, batch)?)?);
    }
    output.line(line(batch))?;
    if args.records {
        print_records(Meaning::of(&args.path), batch, output)?;
    }
    if args.hex {
        print_fields(batch, output)?;
    }
    Ok(())
}

fn print_end(args: &Args, end: &ScanEnd, output: &mut Output) -> anyhow::Result<()> {
    let words = match &end.error {
        Some(error) => format!("{error}; {} bytes follow", end.rest),
        None if end.is_zeros => format!("{} bytes of zeros, preallocated", end.rest),
        None => return Ok(()),
    };
    if args.output != OutputFormat::Table {
        let end = json!({"position": end.position, "end": words, "corrupt": end.error.is_some()});
        return Ok(output.json(&end)?);
    }
    Ok(output.line(format!("{:>10}  {words}", end.position))?)
}

/// A batch on one line.
fn line(batch: &PlacedBatch) -> String {
    let header = &batch.header;
    let codec = header
        .compression()
        .map_or("unknown codec".into(), |c| format!("{c:?}").to_lowercase());
    let crc = match &batch.crc {
        Ok(()) => "crc ok".to_owned(),
        Err(error) => format!("CORRUPT: {error}"),
    };
    let mut words = vec![
        format!("{:>10}", batch.position),
        format!("offsets {}..={}", header.base_offset, header.last_offset()),
        format!("{} records", header.record_count),
        format!("{} bytes", header.size()),
        codec,
    ];
    words.extend(times(header));
    if header.producer_id != ProducerId::NONE {
        let (id, epoch) = (header.producer_id.0, header.producer_epoch.0);
        words.push(format!(
            "producer {id} epoch {epoch} sequence {}",
            header.base_sequence
        ));
    }
    words.extend(flags(header).iter().map(|flag| (*flag).to_owned()));
    words.push(crc);
    words.join("  ")
}

/// The times of a batch. In a batch that compaction has marked, the delete horizon replaces the
/// base timestamp, so that only the highest time of its records is known.
fn times(header: &BatchHeader) -> Vec<String> {
    let highest = time(header.max_timestamp);
    match header.delete_horizon() {
        Some(horizon) => vec![
            format!("time up to {highest}"),
            format!("delete horizon {}", time(horizon)),
        ],
        None => vec![format!("time {}..={highest}", time(header.base_timestamp))],
    }
}

fn flags(header: &BatchHeader) -> Vec<&'static str> {
    let all = [
        (header.is_transactional(), "transactional"),
        (header.is_control(), "control"),
        (header.is_log_append_time(), "log-append-time"),
        (header.delete_horizon().is_some(), "delete-horizon"),
    ];
    all.into_iter()
        .filter(|(is, _)| *is)
        .map(|(_, name)| name)
        .collect()
}

fn time(time: Timestamp) -> String {
    if time == Timestamp::NONE {
        return "none".into();
    }
    time::to_text(time)
}

fn print_records(meaning: Meaning, batch: &PlacedBatch, output: &mut Output) -> anyhow::Result<()> {
    let decoded = batch.batch().and_then(|batch| {
        let records = batch.records(DECOMPRESSED_BYTES_MAX)?;
        Ok((batch, records))
    });
    let (batch, records) = match decoded {
        Ok(decoded) => decoded,
        Err(error) => return Ok(output.line(format!("            {error}"))?),
    };
    for record in &records {
        let record = match record {
            Ok(record) => record,
            Err(error) => return Ok(output.line(format!("            {error}"))?),
        };
        let headers = record
            .headers()
            .map(|(name, value)| format!("  {name}={}", text(value)));
        let headers: Vec<_> = headers.collect();
        let words = meaning.words(&batch, &record);
        let words = words.map_or_else(String::new, |words| format!("  ({words})"));
        let line = format!(
            "            offset {}  time {}  key {}  value {}{}{words}",
            record.offset,
            time(record.timestamp),
            text(record.key),
            text(record.value),
            headers.concat()
        );
        output.line(printable(&line))?;
    }
    Ok(())
}

/// Bytes as text where they are text.
fn text(bytes: Option<&[u8]>) -> String {
    match bytes.map(str::from_utf8) {
        None => "null".into(),
        Some(Ok(text)) => format!("{text:?}"),
        Some(Err(_)) => format!("0x{}", hex(bytes.unwrap_or_default())),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect::<Vec<_>>()
        .concat()
}

/// The fields of a batch header: name, size, meaning.
fn fields(header: &BatchHeader) -> [(&'static str, usize, String); 13] {
    [
        ("base offset", 8, header.base_offset.to_string()),
        (
            "batch length",
            4,
            format!("{} bytes follow", header.batch_length),
        ),
        ("leader epoch", 4, header.leader_epoch.0.to_string()),
        ("magic", 1, header.magic.to_string()),
        ("crc", 4, "CRC-32C of all that follows".into()),
        ("attributes", 2, attributes(header)),
        (
            "last offset delta",
            4,
            format!(
                "{}, so the last offset is {}",
                header.last_offset_delta,
                header.last_offset()
            ),
        ),
        (base_timestamp_name(header), 8, time(header.base_timestamp)),
        ("max timestamp", 8, time(header.max_timestamp)),
        ("producer id", 8, header.producer_id.0.to_string()),
        ("producer epoch", 2, header.producer_epoch.0.to_string()),
        ("base sequence", 4, header.base_sequence.to_string()),
        ("record count", 4, header.record_count.to_string()),
    ]
}

/// The name of the field where the base timestamp usually is.
fn base_timestamp_name(header: &BatchHeader) -> &'static str {
    match header.delete_horizon() {
        Some(_) => "delete horizon",
        None => "base timestamp",
    }
}

fn attributes(header: &BatchHeader) -> String {
    let codec = header
        .compression()
        .map_or("unknown codec".into(), |c| format!("{c:?}").to_lowercase());
    let flags = flags(header).into_iter().map(|flag| format!(", {flag}"));
    format!(
        "{:#06x}: {codec}{}",
        header.attributes,
        flags.collect::<Vec<_>>().concat()
    )
}

fn print_fields(batch: &PlacedBatch, output: &mut Output) -> anyhow::Result<()> {
    let mut at = 0;
    for (name, length, words) in fields(&batch.header) {
        let (from, to) = (
            batch.position + at as u64,
            batch.position + (at + length) as u64,
        );
        let bytes = hex(&batch.bytes[at..at + length]);
        output.line(format!(
            "  {from:>10}..{to:<10}  {name:<18} {bytes:<16}  {words}"
        ))?;
        at += length;
    }
    let body = &batch.bytes[at..];
    for (number, chunk) in body.chunks(16).enumerate() {
        let from = batch.position + (at + number * 16) as u64;
        let shown = |byte: &u8| {
            if byte.is_ascii_graphic() || *byte == b' ' {
                *byte as char
            } else {
                '.'
            }
        };
        let text: String = chunk.iter().map(shown).collect();
        let name = if number == 0 { "records" } else { "" };
        let to = from + chunk.len() as u64;
        output.line(format!(
            "  {from:>10}..{to:<10}  {name:<18} {:<32}  {text}",
            hex(chunk)
        ))?;
    }
    Ok(())
}

fn as_json(args: &Args, batch: &PlacedBatch) -> anyhow::Result<Value> {
    let header = &batch.header;
    let mut value = json!({
        "position": batch.position,
        "base_offset": header.base_offset.0,
        "last_offset": header.last_offset().0,
        "records": header.record_count,
        "bytes": header.size(),
        "leader_epoch": header.leader_epoch.0,
        "compression": header.compression().map_or("unknown".into(), |c| format!("{c:?}").to_lowercase()),
        "base_timestamp": header.base_timestamp.0,
        "max_timestamp": header.max_timestamp.0,
        "delete_horizon": header.delete_horizon().map(|horizon| horizon.0),
        "producer_id": header.producer_id.0,
        "producer_epoch": header.producer_epoch.0,
        "base_sequence": header.base_sequence,
        "flags": flags(header),
        "corrupt": batch.crc.as_ref().err().map(ToString::to_string),
    });
    if args.records && batch.crc.is_ok() {
        let (batch, meaning) = (batch.batch()?, Meaning::of(&args.path));
        let records = batch.records(DECOMPRESSED_BYTES_MAX)?;
        let record = |record: brooklet_protocol::records::Record<'_>| {
            let mut value = json!({
                "offset": record.offset.0,
                "timestamp": record.timestamp.0,
                "key": record.key.map(String::from_utf8_lossy),
                "value": record.value.map(String::from_utf8_lossy),
            });
            if let Some(words) = meaning.words(&batch, &record) {
                value["meaning"] = Value::String(words);
            }
            value
        };
        let records: Result<Vec<_>, _> = records.iter().map(|r| r.map(record)).collect();
        value["content"] = Value::Array(records?);
    }
    if args.hex {
        value["hex"] = Value::String(hex(&batch.bytes));
    }
    Ok(value)
}
