//! Printing: data on stdout, buffered, and quiet when the reader goes away; notes on stderr.
//!
//! A verb appends to [`Output::buffer`] and says when a record is complete; bytes leave in large
//! writes, at the latest when the verb is about to wait.
//!
//! Names come from outside: the name of a topic, a group or a setting may contain an escape
//! sequence. A terminal never gets one: every line, of text or of JSON, passes through
//! [`printable`], here and in [`Text`]. Only [`Output::buffer`] is raw, for the data of records,
//! and [`Text::styled`], for our own colours.

use std::io::{self, Write};

use clap::ValueEnum;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use thiserror::Error;

use crate::escape::printable;
use crate::terminal::{self, Stream};
use crate::text::Text;

/// Bytes that are buffered before they are written.
const BUFFER_BYTES: usize = 64 * 1024;

/// How a verb prints what it found: for people, as one JSON object, or as one per line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputFormat {
    #[default]
    Table,
    Json,
    Jsonl,
}

/// Stdout cannot be written to.
#[derive(Debug, Error)]
pub(crate) enum OutputError {
    /// The reader has gone, and does not want the rest.
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
    /// Stdout; if it is not buffered, every record leaves at once.
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

    /// The buffer to append bytes to.
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

    /// Appends one line; a line break inside it is printed as an escape.
    pub(crate) fn line(&mut self, line: impl AsRef<str>) -> Result<(), OutputError> {
        self.raw_line(&printable(line.as_ref()))
    }

    /// Appends lines.
    pub(crate) fn text(&mut self, text: &Text) -> Result<(), OutputError> {
        text.lines().iter().try_for_each(|line| self.raw_line(line))
    }

    fn raw_line(&mut self, line: &str) -> Result<(), OutputError> {
        self.buffer.extend_from_slice(line.as_bytes());
        self.buffer.push(b'\n');
        self.end_record()
    }

    /// Appends a line of JSON.
    pub(crate) fn json(&mut self, value: &impl Serialize) -> Result<(), OutputError> {
        let text = serde_json::to_string(value).expect("our own types have string keys");
        self.line(text)
    }

    /// Writes the buffer.
    pub(crate) fn flush(&mut self) -> Result<(), OutputError> {
        if !self.buffer.is_empty() {
            self.sink.write_all(&self.buffer)?;
            self.buffer.clear();
            self.sink.flush()?;
        }
        Ok(())
    }
}

/// Prints what a verb found in the format that the user chose: as `text` makes it, as one JSON
/// object with a schema and the items under `key`, or as one object per item.
pub(crate) fn print_all<T: Serialize, W: Write>(
    output: &mut Output<W>,
    (format, schema, key): (OutputFormat, u32, &'static str),
    items: &[T],
    text: impl Fn(&[T]) -> Text,
) -> anyhow::Result<()> {
    match format {
        OutputFormat::Table => output.text(&text(items))?,
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

/// Prints a line on stderr: everything that is not data.
pub(crate) fn say(line: impl AsRef<str>) {
    eprintln!("{}", printable(line.as_ref()));
}

/// Prints an error on stderr.
pub(crate) fn say_error(words: &str) {
    let (start, end) = if terminal::color(Stream::Stderr) {
        ("\x1b[1;31m", "\x1b[0m")
    } else {
        ("", "")
    };
    eprintln!("{start}error:{end} {}", printable(words));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_printed_in_each_form() {
        #[derive(Serialize)]
        struct Item {
            name: &'static str,
        }
        let printed = |format| {
            let mut output = Output::new(Vec::new(), false);
            let items = [Item { name: "a" }, Item { name: "b" }];
            let text =
                |items: &[Item]| Text::line(items.iter().map(|item| item.name).collect::<String>());
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
    fn a_name_is_never_obeyed_by_a_terminal_and_stays_the_same_in_json() {
        #[derive(Serialize)]
        struct Item {
            name: &'static str,
        }
        let evil = "\x1b[2J\u{9b}31m\n";
        let mut output = Output::new(Vec::new(), false);
        output.line(evil).unwrap();
        output.json(&Item { name: evil }).unwrap();
        let printed = String::from_utf8(output.sink).unwrap();
        let shown = r"\u001b[2J\u009b31m\n";
        assert_eq!(printed, format!("{shown}\n{{\"name\":\"{shown}\"}}\n"));
        let json: serde_json::Value =
            serde_json::from_str(printed.lines().nth(1).unwrap()).unwrap();
        assert_eq!(json["name"], evil);
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
