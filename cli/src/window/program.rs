//! The query as a program of the engine.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use brooklet_engine::codec::{Codec, DecodeError, EncodeError, json};
use brooklet_engine::dsl::{Malformed, MalformedReason};
use brooklet_engine::{App, Final, Late, Repartition};
use brooklet_protocol::Timestamp;
use bytes::Bytes;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::account::Tally;
use super::aggregate::Aggregates;
use super::change::{Change, InOrder, Placed, Places};
use super::fields::Fields;
use super::kind::Kind;
use super::printer::Columns;
use super::row::Row;
use super::{Args, BY_KEY};
use crate::output::say;
use crate::time;

/// Malformed rows that are shown one by one; the others are only counted.
const MALFORMED_SHOWN_MAX: u32 = 3;

/// What a query is made of, besides its arguments.
#[derive(Debug)]
pub(super) struct Made {
    /// The decoder of rows.
    pub(super) fields: Fields,
    /// The fields of their numbers.
    pub(super) numbers: Vec<String>,
    /// The windows.
    pub(super) kind: Kind,
    /// The columns of results.
    pub(super) columns: Columns,
    /// Counts what the engine does not.
    pub(super) tally: Arc<Tally>,
}

/// Declares the query.
pub(super) fn program(
    name: &str,
    args: &Args,
    made: Made,
    mut print: impl FnMut(Change) + Send + 'static,
    malformed: impl Fn(&Malformed<'_>) + Send + Sync + 'static,
) -> App {
    let Made {
        fields,
        numbers,
        kind,
        columns,
        tally,
    } = made;
    let app = App::new(name);
    let times = fields.clone();
    let rows = app
        .stream(&args.topic, fields)
        .on_malformed(malformed)
        .try_event_time(move |row: &Row, record: Timestamp| times.event_time(row, record));
    let rows = match args.max_jump {
        Some(jump) => rows.max_jump(jump),
        None => rows,
    };
    // One partition: all keys meet in one task, and results have one order.
    let by_key = Repartition::named(BY_KEY).partitions(1);
    let keyed = rows.key_by(by_key, |row: &Row| row.key.clone(), json());
    let aggregates = Aggregates::new(&args.aggregates, &numbers, Places::default());
    let results = kind.aggregate(&keyed, "results", aggregates);
    let in_order = Arc::new(Mutex::new(InOrder::new(move |change| {
        tally.note_printed(&change);
        print(change);
    })));
    if args.updates {
        let in_order = Arc::clone(&in_order);
        let updates = results.updates();
        updates.for_each(move |update| in_order.lock().take_update(update));
    }
    if let Some(topic) = &args.to {
        let lines = results
            .finals()
            .map(move |result| Line::new(result, &columns));
        let key = |line: &Line| Some(Bytes::copy_from_slice(line.key.as_bytes()));
        lines.to(topic, key, LineCodec);
    }
    let finals = results.finals();
    finals.for_each(move |result| in_order.lock().take_final(result));
    if let Some(topic) = &args.late_to {
        let key = |late: &LateRecord| Some(Bytes::copy_from_slice(late.key.as_bytes()));
        let late = results.late().map(|late| LateRecord::new(&late));
        late.to(topic, key, json());
    }
    app
}

/// A result on its way to `--to`.
struct Line {
    key: String,
    object: String,
}

impl Line {
    fn new(result: Final<String, Placed>, columns: &Columns) -> Self {
        let change = Change::of_final(result);
        Self {
            object: columns.object(&change),
            key: change.key,
        }
    }
}

/// Writes the objects of lines; nothing reads them here.
#[derive(Clone, Copy)]
struct LineCodec;

impl Codec<Line> for LineCodec {
    fn decode(&self, _: &[u8]) -> Result<Line, DecodeError> {
        Err(DecodeError("results are only written".into()))
    }
    fn encode(&self, line: &Line) -> Result<Bytes, EncodeError> {
        Ok(Bytes::copy_from_slice(line.object.as_bytes()))
    }
}

/// Shows the first malformed rows on stderr.
pub(super) fn show_malformed(quiet: bool) -> impl Fn(&Malformed<'_>) + Send + Sync + 'static {
    let shown = AtomicU32::new(0);
    move |malformed| {
        if !quiet && shown.fetch_add(1, Relaxed) < MALFORMED_SHOWN_MAX {
            let (partition, offset) = (malformed.partition, malformed.offset);
            let reason = match &malformed.reason {
                MalformedReason::Value(words) => words.to_string(),
                other => other.to_string(),
            };
            say(format!(
                "skipped: partition {partition} offset {offset}: {reason}"
            ));
        }
    }
}

/// The record that `--late-to` gets for a row and a window that had closed before it.
#[derive(Debug, Serialize, Deserialize)]
struct LateRecord {
    key: String,
    event_time: String,
    window_start: String,
    window_end: String,
    closed_at: String,
    stream_time: String,
    late_by_ms: u64,
    reason: String,
    /// JSON unchanged, other text as a string.
    record: Box<RawValue>,
}

impl LateRecord {
    fn new(late: &Late<String, Row>) -> Self {
        let original = late.value.original.clone().unwrap_or_default();
        let as_text = |_| RawValue::from_string(Value::from(original.as_str()).to_string());
        let record = RawValue::from_string(original.clone()).or_else(as_text);
        Self {
            key: late.key.clone(),
            event_time: time::to_text(late.timestamp),
            window_start: time::to_text(late.window.start),
            window_end: time::to_text(late.window.end),
            closed_at: time::to_text(late.close_at),
            stream_time: time::to_text(late.stream_time),
            late_by_ms: u64::try_from(late.late_by().as_millis()).unwrap_or(u64::MAX),
            reason: late.reason(),
            record: record.expect("a string is JSON"),
        }
    }
}
