//! How results are printed: as a table, as one JSON array, or one object per line.
//!
//! JSON has integers of any size; null stands for an aggregate without numbers, and for all of a
//! retraction. If updates are printed, the first column says what each row is.

use std::fmt::Write as _;

use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::Notify;

use super::aggregate::Answer;
use super::change::Change;
use super::number::Number;
use crate::escape::printable;
use crate::output::{Output, OutputError, OutputFormat};
use crate::time;

/// The width of the key's column, and the least width of an aggregate's.
const KEY_WIDTH: usize = 12;
const CELL_WIDTH_MIN: usize = 10;

/// The widths of the times of windows, of whole seconds and of milliseconds, and of marks.
const SECOND_WIDTH: usize = 20;
const MILLI_WIDTH: usize = 24;
const MARK_WIDTH: usize = 10;

/// The range in which two decimals are informative.
const PLAIN_MIN: f64 = 0.01;
const PLAIN_END: f64 = 1e15;

/// The columns of results.
#[derive(Clone, Debug)]
pub(super) struct Columns {
    /// The aggregates.
    pub(super) names: Vec<String>,
    /// Whether each row says what it is.
    pub(super) has_marks: bool,
    /// Whether the times of windows are as fine as those of rows.
    pub(super) has_millis: bool,
}

/// Prints results in the chosen format; the engine's tasks call it.
#[derive(Debug)]
pub(super) struct Printer {
    state: Mutex<PrinterState>,
    failed: Notify,
    format: OutputFormat,
    columns: Columns,
}

#[derive(Debug)]
struct PrinterState {
    output: Output,
    printed: u64,
    failure: Option<OutputError>,
}

impl Printer {
    /// Prints these columns; results leave at once unless they are `buffered`.
    pub(super) fn new(
        format: OutputFormat,
        columns: Columns,
        buffered: bool,
    ) -> Result<Self, OutputError> {
        let mut output = Output::stdout(buffered && !matches!(format, OutputFormat::Table));
        match format {
            OutputFormat::Table => output.line(columns.header())?,
            OutputFormat::Json => output.line("[")?,
            OutputFormat::Jsonl => {}
        }
        let state = Mutex::new(PrinterState {
            output,
            printed: 0,
            failure: None,
        });
        Ok(Self {
            state,
            failed: Notify::new(),
            format,
            columns,
        })
    }

    /// Prints one row.
    pub(super) fn print(&self, change: &Change) {
        let mut state = self.state.lock();
        if state.failure.is_some() {
            return;
        }
        let separator = if state.printed > 0 { "," } else { " " };
        let line = match self.format {
            OutputFormat::Table => self.columns.table_row(change),
            OutputFormat::Json => format!("{separator}{}", self.columns.object(change)),
            OutputFormat::Jsonl => self.columns.object(change),
        };
        state.printed += 1;
        if let Err(error) = state.output.line(line) {
            state.failure = Some(error);
            self.failed.notify_one();
        }
    }

    /// Ready once stdout cannot be written to.
    pub(super) async fn failure(&self) -> OutputError {
        loop {
            self.failed.notified().await;
            if let Some(error) = self.state.lock().failure.take() {
                return error;
            }
        }
    }

    /// Prints the rest.
    pub(super) fn finish(&self) -> Result<(), OutputError> {
        let mut state = self.state.lock();
        if self.format == OutputFormat::Json && state.failure.is_none() {
            state.output.line("]")?;
        }
        state.output.flush()
    }
}

impl Columns {
    fn header(&self) -> String {
        let names = self.names.iter().map(|name| printable(name).into_owned());
        let names: Vec<_> = names.collect();
        self.table_line(["KIND", "WINDOW START", "WINDOW END", "KEY"], &names)
    }

    fn table_row(&self, change: &Change) -> String {
        let cells: Vec<_> = change.answers.iter().map(cell).collect();
        let start = time::to_short_text(change.window.start);
        let end = time::to_short_text(change.window.end);
        let key = printable(&change.key);
        self.table_line([change.mark.name(), &start, &end, &key], &cells)
    }

    /// A line with the widths of the heading: results leave one by one, so that no column can wait
    /// for its widest cell.
    fn table_line(&self, [mark, start, end, key]: [&str; 4], cells: &[String]) -> String {
        let mut line = String::new();
        if self.has_marks {
            write!(line, "{mark:<MARK_WIDTH$}  ").expect(ENOUGH);
        }
        let width = if self.has_millis {
            MILLI_WIDTH
        } else {
            SECOND_WIDTH
        };
        write!(line, "{start:<width$}  {end:<width$}  {key:<KEY_WIDTH$}").expect(ENOUGH);
        for (cell, name) in cells.iter().zip(&self.names) {
            let width = name.chars().count().max(CELL_WIDTH_MIN);
            write!(line, "  {cell:>width$}").expect(ENOUGH);
        }
        line
    }

    /// The fields in the order of the table's columns.
    pub(super) fn object(&self, change: &Change) -> String {
        let text = |text: String| Value::from(text).to_string();
        let mark = self.has_marks.then(|| text(change.mark.name().into()));
        let of_window = [
            ("window_start", text(time::to_text(change.window.start))),
            ("window_end", text(time::to_text(change.window.end))),
            ("key", text(change.key.clone())),
        ];
        let names = self.names.iter().map(String::as_str);
        let answers = change.answers.iter().map(ToString::to_string);
        let fields = mark.into_iter().map(|mark| ("kind", mark));
        let fields = fields.chain(of_window).chain(names.zip(answers));
        let fields = fields.map(|(name, value)| format!("{}:{value}", Value::from(name)));
        format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
    }
}

const ENOUGH: &str = "a String takes all";

fn cell(answer: &Answer) -> String {
    match answer {
        Answer::Nothing => "-".into(),
        Answer::Overflow => "overflow".into(),
        Answer::Number(Number::Float(float)) | Answer::Rounded(float) => {
            let size = float.abs();
            if size == 0.0 || (PLAIN_MIN..PLAIN_END).contains(&size) {
                format!("{float:.2}")
            } else {
                format!("{float:.2e}")
            }
        }
        Answer::Number(whole) => whole.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::window::change::Mark;
    use brooklet_engine::{Window, time::Timestamp};

    fn change(mark: Mark, answers: Vec<Answer>) -> Change {
        Change {
            mark,
            key: "é\0\n".into(),
            window: Window {
                start: Timestamp(0),
                end: Timestamp(i64::MAX),
            },
            answers,
        }
    }

    fn columns<const N: usize>(names: [&str; N], has_marks: bool) -> Columns {
        Columns {
            names: names.map(String::from).to_vec(),
            has_marks,
            has_millis: has_marks,
        }
    }

    #[test]
    fn a_result_is_printed_as_what_it_is() {
        let whole = Answer::Number(Number::Whole(18_014_398_509_481_986));
        let float = |float| Answer::Number(Number::Float(float));
        let answers = vec![whole, float(0.1 + 0.2), Answer::Nothing, Answer::Overflow];
        let columns = columns(["sum:/n", "sum:/f", "min:/x", "sum:/y"], false);
        let result = change(Mark::Final, answers);
        assert_eq!(
            columns.object(&result),
            "{\"window_start\":\"1970-01-01T00:00:00.000Z\",\"window_end\":\"9223372036854775807\",\
             \"key\":\"é\\u0000\\n\",\"sum:/n\":18014398509481986,\
             \"sum:/f\":0.30000000000000004,\"min:/x\":null,\"sum:/y\":null}"
        );
        assert_eq!(
            columns.table_row(&result),
            "1970-01-01T00:00:00Z  9223372036854775807   é\\u0000\\n     18014398509481986  \
             0.30           -    overflow"
                .replace("  0.30", "        0.30")
        );
    }

    #[test]
    fn with_updates_each_row_says_what_it_is() {
        let columns = columns(["sum:/n"], true);
        let rounded = change(Mark::Update, vec![Answer::Rounded(3.5e38)]);
        assert!(
            columns
                .object(&rounded)
                .starts_with("{\"kind\":\"update\",\"window_start\"")
        );
        assert!(columns.object(&rounded).ends_with("\"sum:/n\":3.5e+38}"));
        let retraction = change(Mark::Retraction, vec![Answer::Nothing]);
        assert!(columns.object(&retraction).ends_with("\"sum:/n\":null}"));
        let lines = [
            columns.header(),
            columns.table_row(&rounded),
            columns.table_row(&retraction),
        ];
        let times = "1970-01-01T00:00:00Z      9223372036854775807       é\\u0000\\n     ";
        assert_eq!(
            lines,
            [
                "KIND        WINDOW START              WINDOW END                KEY               sum:/n"
                    .to_owned(),
                format!("update      {times}   3.50e38"),
                format!("retraction  {times}         -"),
            ]
        );
    }

    #[test]
    fn a_float_is_neither_hundreds_of_digits_nor_a_zero_that_it_is_not() {
        let shown = |float| cell(&Answer::Number(Number::Float(float)));
        for (float, text) in [
            (0.0, "0.00"),
            (-2.5, "-2.50"),
            (1e300, "1.00e300"),
            (-0.001, "-1.00e-3"),
        ] {
            assert_eq!(shown(float), text);
        }
    }
}
