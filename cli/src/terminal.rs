//! What the two output streams are connected to: a person's terminal or a pipe.
//!
//! Colour and progress are for people. `NO_COLOR` (any value) turns colour off, `CLICOLOR_FORCE`
//! (any value but 0) turns it on even in a pipe, and `NO_COLOR` wins.

use std::env;
use std::ffi::OsStr;
use std::io::{self, IsTerminal};

/// One of the two output streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    /// For data.
    Stdout,
    /// For everything else.
    Stderr,
}

/// Whether a person is looking at the stream.
pub(crate) fn is_terminal(stream: Stream) -> bool {
    match stream {
        Stream::Stdout => io::stdout().is_terminal(),
        Stream::Stderr => io::stderr().is_terminal(),
    }
}

/// Whether the stream should get ANSI colours.
pub(crate) fn color(stream: Stream) -> bool {
    let no_color = env::var_os("NO_COLOR");
    let force = env::var_os("CLICOLOR_FORCE");
    let dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
    wants_color(
        is_terminal(stream) && !dumb,
        no_color.as_deref(),
        force.as_deref(),
    )
}

fn wants_color(capable: bool, no_color: Option<&OsStr>, force: Option<&OsStr>) -> bool {
    if no_color.is_some_and(|value| !value.is_empty()) {
        return false;
    }
    capable || force.is_some_and(|value| value != "0" && !value.is_empty())
}

/// Columns of the terminal on stdout; 80 if it is not a terminal.
pub(crate) fn width_columns() -> usize {
    terminal_size::terminal_size().map_or(80, |(width, _)| usize::from(width.0))
}

/// Rows of the terminal on stdout; unlimited if it is not a terminal.
pub(crate) fn height_rows() -> usize {
    terminal_size::terminal_size().map_or(usize::MAX, |(_, height)| usize::from(height.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn color_follows_the_terminal_unless_the_environment_says_otherwise() {
        let on = Some(OsStr::new("1"));
        let off = Some(OsStr::new("0"));
        assert!(wants_color(true, None, None));
        assert!(!wants_color(false, None, None));
        assert!(wants_color(false, None, on));
        assert!(!wants_color(false, None, off));
        assert!(!wants_color(true, on, on));
        assert!(wants_color(true, Some(OsStr::new("")), None));
    }
}
