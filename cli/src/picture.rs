//! A picture of some lines on a terminal, drawn repeatedly over the last one.

use std::io::Write;

use crate::output::{Output, OutputError};
use crate::terminal;
use crate::text::Text;

/// What is on the terminal now.
#[derive(Debug, Default)]
pub(crate) struct Picture {
    lines_drawn: usize,
}

impl Picture {
    /// Draws lines over the last picture, as many and as much of each as fit.
    ///
    /// # Errors
    /// Stdout cannot be written to.
    pub(crate) fn draw<W: Write>(
        &mut self,
        text: &Text,
        output: &mut Output<W>,
    ) -> Result<(), OutputError> {
        // What has scrolled away cannot be drawn over.
        let rows = terminal::height_rows().saturating_sub(1);
        self.draw_in(text.lines(), (terminal::width_columns(), rows), output)
    }

    fn draw_in<W: Write>(
        &mut self,
        lines: &[String],
        (columns, rows): (usize, usize),
        output: &mut Output<W>,
    ) -> Result<(), OutputError> {
        if self.lines_drawn > 0 {
            // The terminal may have echoed ^C: back to the line's beginning first.
            let back = format!("\r\x1b[{}A\x1b[J", self.lines_drawn);
            output.buffer().extend_from_slice(back.as_bytes());
        }
        self.lines_drawn = lines.len().min(rows);
        let clipped = lines[..self.lines_drawn].iter();
        let clipped = clipped.map(|line| clip(line, columns)).collect();
        output.text(&Text::styled(clipped))?;
        output.flush()
    }

    /// Leaves the picture, because something was written below it; the next one is drawn there.
    pub(crate) fn leave(&mut self) {
        self.lines_drawn = 0;
    }
}

/// The part of a line that fits into `width` columns; ANSI sequences take no room and stay whole.
fn clip(line: &str, width: usize) -> String {
    let mut clipped = String::new();
    let (mut columns, mut in_sequence) = (0, false);
    for character in line.chars() {
        let visible = !in_sequence && character != '\x1b';
        in_sequence = if in_sequence {
            character != 'm'
        } else {
            character == '\x1b'
        };
        if visible {
            columns += 1;
        }
        if !visible || columns <= width {
            clipped.push(character);
        }
    }
    clipped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_drawn_over_the_one_before_until_it_is_left() {
        let mut printed = Vec::new();
        let mut output = Output::new(&mut printed, true);
        let mut picture = Picture::default();
        let lines = ["one", "two", "three"].map(str::to_owned);
        picture.draw_in(&lines, (80, 2), &mut output).unwrap();
        picture.draw_in(&lines[2..], (4, 9), &mut output).unwrap();
        picture.leave();
        picture.draw_in(&lines[..1], (80, 9), &mut output).unwrap();
        let expected = "one\ntwo\n\r\x1b[2A\x1b[Jthre\none\n";
        assert_eq!(String::from_utf8(printed).unwrap(), expected);
    }

    #[test]
    fn a_line_is_clipped_without_breaking_its_colours() {
        assert_eq!(clip("ab\x1b[2mcd\x1b[0mef", 3), "ab\x1b[2mc\x1b[0m");
        assert_eq!(clip("short", 80), "short");
    }
}
