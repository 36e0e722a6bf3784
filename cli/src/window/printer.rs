//! How results are printed: as a table, as one JSON array, or one object per line.
//!
//! JSON has integers of any size; null stands for an aggregate without numbers.

use std::fmt::Write as _;

use brooklet_engine::Final;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::Notify;

use super::aggregate::Answer;
use super::number::Number;
use crate::escape::printable;
use crate::output::{Output, OutputError, OutputFormat};
use crate::time;

/// The width of the key's column, and the least width of an aggregate's.
const KEY_WIDTH: usize = 12;
const CELL_WIDTH_MIN: usize = 10;

/// The range in which two decimals are informative.
const PLAIN_MIN: f64 = 0.01;
const PLAIN_END: f64 = 1e15;

/// Prints finals in the chosen format; the engine's tasks call it.
#[derive(Debug)]
pub(super) struct Printer {
    state: Mutex<PrinterState>,
    failed: Notify,
    format: OutputFormat,
    columns: Vec<String>,
}

#[derive(Debug)]
struct PrinterState {
    output: Output,
    printed: u64,
    failure: Option<OutputError>,
}

impl Printer {
    /// Prints aggregates with these names; results leave at once unless they are `buffered`.
    pub(super) fn new(
        format: OutputFormat,
        columns: Vec<String>,
        buffered: bool,
    ) -> Result<Self, OutputError> {
        let mut output = Output::stdout(buffered && !matches!(format, OutputFormat::Table));
        match format {
            OutputFormat::Table => {
                let names: Vec<_> = columns.iter().map(|c| printable(c).into_owned()).collect();
                let header = table_line("WINDOW START", "WINDOW END", "KEY", &names, &names);
                output.line(header)?;
            }
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

    /// Prints one result.
    pub(super) fn print(&self, result: &Final<String, Vec<Answer>>) {
        let mut state = self.state.lock();
        if state.failure.is_some() {
            return;
        }
        let separator = if state.printed > 0 { "," } else { " " };
        let line = match self.format {
            OutputFormat::Table => table_row(result, &self.columns),
            OutputFormat::Json => format!("{separator}{}", object(result, &self.columns)),
            OutputFormat::Jsonl => object(result, &self.columns),
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

fn table_row(result: &Final<String, Vec<Answer>>, columns: &[String]) -> String {
    let cells: Vec<_> = result.value.iter().map(cell).collect();
    table_line(
        &time::to_short_text(result.window.start),
        &time::to_short_text(result.window.end),
        &printable(&result.key),
        &cells,
        columns,
    )
}

fn cell(answer: &Answer) -> String {
    match answer {
        Answer::Nothing => "-".into(),
        Answer::Overflow => "overflow".into(),
        Answer::Number(Number::Float(float)) => {
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

/// The fields in the order of the table's columns.
fn object(result: &Final<String, Vec<Answer>>, columns: &[String]) -> String {
    let text = |text: String| Value::from(text).to_string();
    let of_window = [
        ("window_start", text(time::to_text(result.window.start))),
        ("window_end", text(time::to_text(result.window.end))),
        ("key", text(result.key.clone())),
    ];
    let names = columns.iter().map(String::as_str);
    let answers = result.value.iter().map(ToString::to_string);
    let fields = of_window.into_iter().chain(names.zip(answers));
    let fields = fields.map(|(name, value)| format!("{}:{value}", Value::from(name)));
    format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
}

/// A line with the widths of the heading: results leave one by one, so that no column can wait for
/// its widest cell.
fn table_line(start: &str, end: &str, key: &str, cells: &[String], columns: &[String]) -> String {
    let mut line = format!("{start:<20}  {end:<20}  {key:<KEY_WIDTH$}");
    for (cell, column) in cells.iter().zip(columns) {
        let width = column.chars().count().max(CELL_WIDTH_MIN);
        write!(line, "  {cell:>width$}").expect("a String takes all");
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use brooklet_engine::{Window, time::Timestamp};

    fn result(key: &str, value: Vec<Answer>) -> Final<String, Vec<Answer>> {
        Final {
            key: key.into(),
            window: Window {
                start: Timestamp(0),
                end: Timestamp(i64::MAX),
            },
            value,
            timestamp: Timestamp(0),
            stream_time: Timestamp(0),
        }
    }

    #[test]
    fn a_result_is_printed_as_what_it_is() {
        let whole = Answer::Number(Number::Whole(18_014_398_509_481_986));
        let float = |float| Answer::Number(Number::Float(float));
        let answers = vec![whole, float(0.1 + 0.2), Answer::Nothing, Answer::Overflow];
        let columns = ["sum:/n", "sum:/f", "min:/x", "sum:/y"].map(String::from);
        assert_eq!(
            object(&result("é\0\n", answers.clone()), &columns),
            "{\"window_start\":\"1970-01-01T00:00:00.000Z\",\"window_end\":\"9223372036854775807\",\
             \"key\":\"é\\u0000\\n\",\"sum:/n\":18014398509481986,\
             \"sum:/f\":0.30000000000000004,\"min:/x\":null,\"sum:/y\":null}"
        );
        assert_eq!(
            table_row(&result("é\0\n", answers), &columns),
            "1970-01-01T00:00:00Z  9223372036854775807   é\\u0000\\n     18014398509481986  \
             0.30           -    overflow"
                .replace("  0.30", "        0.30")
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
