//! Data on stdout: buffered, and quiet when the reader goes away.
//!
//! A verb appends to [`Output::buffer`] and says when a record is complete; bytes leave in large
//! writes, at the latest when the verb is about to wait.

use std::io::{self, Write};

use clap::ValueEnum;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use thiserror::Error;

/// Bytes that are collected before they are written.
const BUFFER_BYTES: usize = 64 * 1024;

/// How a verb prints what it found: for people, as one JSON object, or as one per line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputFormat {
    #[default]
    Table,
    Json,
    Jsonl,
}

/// Why stdout takes no more.
#[derive(Debug, Error)]
pub(crate) enum OutputError {
    /// The reader has gone: nobody is interested in the rest.
    #[error("stdout is closed")]
    Closed,
    /// Anything else, for instance a full disk behind `>`.
    #[error("cannot write to stdout: {0}")]
    Write(#[source] io::Error),
}

impl From<io::Error> for OutputError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::Closed,
            _ => Self::Write(error),
        }
    }
}

/// A buffered stdout.
#[derive(Debug)]
pub(crate) struct Output<W = io::Stdout> {
    sink: W,
    buffer: Vec<u8>,
    is_buffered: bool,
}

impl Output {
    /// Stdout; unbuffered means that every record leaves at once.
    pub(crate) fn stdout(is_buffered: bool) -> Self {
        Self::new(io::stdout(), is_buffered)
    }
}

impl<W: Write> Output<W> {
    /// Any sink.
    pub(crate) fn new(sink: W, is_buffered: bool) -> Self {
        Self {
            sink,
            buffer: Vec::new(),
            is_buffered,
        }
    }

    /// Where bytes are appended.
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Says that the buffer holds whole records, which may be written now.
    pub(crate) fn end_record(&mut self) -> Result<(), OutputError> {
        if !self.is_buffered || self.buffer.len() >= BUFFER_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    /// Appends a line.
    pub(crate) fn line(&mut self, line: impl AsRef<str>) -> Result<(), OutputError> {
        self.buffer.extend_from_slice(line.as_ref().as_bytes());
        self.buffer.push(b'\n');
        self.end_record()
    }

    /// Appends a line of JSON.
    pub(crate) fn json(&mut self, value: &impl Serialize) -> Result<(), OutputError> {
        let text = serde_json::to_string(value).expect("our own types have string keys");
        self.line(text)
    }

    /// Writes what was appended.
    pub(crate) fn flush(&mut self) -> Result<(), OutputError> {
        if !self.buffer.is_empty() {
            self.sink.write_all(&self.buffer)?;
            self.buffer.clear();
            self.sink.flush()?;
        }
        Ok(())
    }
}

/// Prints what a verb found as the user wants it: as `text` makes it, as one JSON object with a
/// schema and the items under `key`, or as one object per item.
pub(crate) fn print_all<T: Serialize, W: Write>(
    output: &mut Output<W>,
    (format, schema, key): (OutputFormat, u32, &'static str),
    items: &[T],
    text: impl Fn(&[T]) -> String,
) -> anyhow::Result<()> {
    match format {
        OutputFormat::Table => output.line(text(items))?,
        OutputFormat::Json => output.json(&Document { schema, key, items })?,
        OutputFormat::Jsonl => {
            for item in items {
                output.json(&Line { schema, item })?;
            }
        }
    }
    Ok(())
}

struct Document<'a, T> {
    schema: u32,
    key: &'static str,
    items: &'a [T],
}

impl<T: Serialize> Serialize for Document<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("schema", &self.schema)?;
        map.serialize_entry(self.key, self.items)?;
        map.end()
    }
}

#[derive(Serialize)]
struct Line<'a, T> {
    schema: u32,
    #[serde(flatten)]
    item: &'a T,
}

/// Lines up columns: each as wide as its widest cell, two spaces between them, none at the end.
pub(crate) fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = header.iter().map(|cell| cell.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let header = header.iter().map(|cell| (*cell).to_owned()).collect();
    let lines = std::iter::once(&header)
        .chain(rows)
        .map(|row: &Vec<String>| {
            let cells = row.iter().zip(&widths);
            let padded: Vec<_> = cells
                .map(|(cell, width)| format!("{cell:<width$}"))
                .collect();
            padded.join("  ").trim_end().to_owned()
        });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [
            vec!["a".into(), "3".into()],
            vec!["longer".into(), "12".into()],
        ];
        assert_eq!(
            table(&["NAME", "N"], &rows),
            "NAME    N\na       3\nlonger  12"
        );
    }

    #[test]
    fn items_are_printed_in_each_form() {
        #[derive(Serialize)]
        struct Item {
            name: &'static str,
        }
        let printed = |format| {
            let mut output = Output::new(Vec::new(), false);
            let items = [Item { name: "a" }, Item { name: "b" }];
            let text = |items: &[Item]| items.iter().map(|item| item.name).collect();
            print_all(&mut output, (format, 1, "items"), &items, text).unwrap();
            String::from_utf8(output.sink).unwrap()
        };
        assert_eq!(printed(OutputFormat::Table), "ab\n");
        let json = r#"{"schema":1,"items":[{"name":"a"},{"name":"b"}]}"#;
        assert_eq!(printed(OutputFormat::Json), format!("{json}\n"));
        let lines = "{\"schema\":1,\"name\":\"a\"}\n{\"schema\":1,\"name\":\"b\"}\n";
        assert_eq!(printed(OutputFormat::Jsonl), lines);
    }

    #[test]
    fn buffered_records_leave_together_and_unbuffered_ones_at_once() {
        let mut buffered = Output::new(Vec::new(), true);
        buffered.line("one").unwrap();
        assert!(buffered.sink.is_empty());
        buffered.flush().unwrap();
        assert_eq!(buffered.sink, b"one\n");

        let mut unbuffered = Output::new(Vec::new(), false);
        unbuffered.line("one").unwrap();
        assert_eq!(unbuffered.sink, b"one\n");
    }

    #[test]
    fn a_full_buffer_is_written() {
        let mut output = Output::new(Vec::new(), true);
        output.line("x".repeat(BUFFER_BYTES)).unwrap();
        assert_eq!(output.sink.len(), BUFFER_BYTES + 1);
    }

    #[test]
    fn a_broken_pipe_is_a_closed_stdout() {
        struct Broken;
        impl Write for Broken {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut output = Output::new(Broken, false);
        assert!(matches!(output.line("x"), Err(OutputError::Closed)));
    }
}
