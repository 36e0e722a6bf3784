//! Lines for people: tables, and the text around them.
//!
//! A [`Text`] is made of lines and cells. Control characters in them, line breaks included, are
//! escaped on the way in, so that a name can neither move a cursor nor pretend to be two lines.

use crate::escape::printable;

/// Lines without control characters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Text {
    lines: Vec<String>,
}

impl Text {
    /// One line.
    pub(crate) fn line(line: impl AsRef<str>) -> Self {
        Self {
            lines: vec![printable(line.as_ref()).into_owned()],
        }
    }

    /// Lines with ANSI sequences of our own. For constants and numbers, never for names.
    pub(crate) fn styled(lines: Vec<String>) -> Self {
        Self { lines }
    }

    /// This text, followed by `below`.
    pub(crate) fn and(mut self, below: Self) -> Self {
        self.lines.extend(below.lines);
        self
    }

    /// Texts with an empty line between them.
    pub(crate) fn paragraphs(texts: impl IntoIterator<Item = Self>) -> Self {
        let mut all = Self::default();
        for text in texts {
            if !all.lines.is_empty() {
                all.lines.push(String::new());
            }
            all.lines.extend(text.lines);
        }
        all
    }

    /// The lines.
    pub(crate) fn lines(&self) -> &[String] {
        &self.lines
    }
}

/// Lines up columns: each as wide as its widest cell, two spaces between them, none at the end.
pub(crate) fn table(header: &[&str], rows: &[Vec<String>]) -> Text {
    let cells = |row: &Vec<String>| {
        row.iter()
            .map(|cell| printable(cell).into_owned())
            .collect()
    };
    let header: Vec<String> = header.iter().map(|cell| (*cell).to_owned()).collect();
    let rows: Vec<Vec<String>> = std::iter::once(header)
        .chain(rows.iter().map(cells))
        .collect();
    let mut widths = Vec::new();
    for row in &rows {
        widths.resize(widths.len().max(row.len()), 0);
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths);
        let padded: Vec<_> = cells
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        padded.join("  ").trim_end().to_owned()
    };
    Text {
        lines: rows.iter().map(line).collect(),
    }
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
            table(&["NAME", "N"], &rows).lines(),
            ["NAME    N", "a       3", "longer  12"]
        );
    }

    #[test]
    fn a_name_can_neither_move_the_cursor_nor_pretend_to_be_two_lines() {
        let evil = "\x1b[1Ax\nOK\t".to_owned();
        let shown = r"\u001b[1Ax\nOK\t";
        let rows = [vec![evil.clone(), "1".into()], vec!["b".into(), "2".into()]];
        let width = shown.len();
        let text = Text::line(&evil).and(table(&["NAME", "N"], &rows));
        let expected = [
            shown.to_owned(),
            format!("{:<width$}  N", "NAME"),
            format!("{shown}  1"),
            format!("{:<width$}  2", "b"),
        ];
        assert_eq!(text.lines(), expected);
    }

    #[test]
    fn paragraphs_have_an_empty_line_between_them() {
        let text = Text::paragraphs([Text::line("a"), Text::line("b").and(Text::line("c"))]);
        assert_eq!(text.lines(), ["a", "", "b", "c"]);
        assert!(Text::paragraphs([]).lines().is_empty());
    }
}
