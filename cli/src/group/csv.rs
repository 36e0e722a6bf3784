//! Committed offsets as text: the form that Kafka's `kafka-consumer-groups.sh --reset-offsets`
//! writes with `--export` and reads with `--from-file` (KIP-122, KIP-222).
//!
//! ```text
//!   clicks,0,117              TOPIC,PARTITION,OFFSET          of one group
//!   readers,clicks,0,117      GROUP,TOPIC,PARTITION,OFFSET    of any number of groups
//!   "a reader",clicks,0,117   quoted: a quote inside is written twice
//! ```
//!
//! There is no header. Lines are split first and fields after, so that no field holds a line break.
//! Kafka's library (Jackson) chooses which names are quoted ([`needs_quotes`]); both tools read
//! names with and without quotes. Stricter than Kafka's reader: a line with too few fields is
//! refused, where Kafka takes 0 for the ones that are missing.

use std::fmt::Write as _;

use brooklet_protocol::{Offset, PartitionId, TopicName, TopicPartition};
use thiserror::Error;

/// Longer names are always quoted; in UTF-16 units, as Java counts.
const UNQUOTED_LENGTH_MAX: usize = 24;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// `None` in a file of one group.
    pub(super) group: Option<String>,
    pub(super) partition: TopicPartition,
    pub(super) offset: Offset,
}

/// A line that cannot be read, counted from 1.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{line}: {reason}")]
pub(super) struct BadLine {
    pub(super) line: usize,
    pub(super) reason: String,
}

/// Appends a row as a line. The group's name must not contain a line break; a topic's never does.
pub(super) fn write(row: &Row, text: &mut String) {
    if let Some(group) = &row.group {
        write_name(group, text);
        text.push(',');
    }
    write_name(row.partition.topic.as_str(), text);
    let (partition, offset) = (row.partition.partition.0, row.offset.0);
    writeln!(text, ",{partition},{offset}").expect("a String takes all");
}

fn write_name(name: &str, text: &mut String) {
    if needs_quotes(name) {
        text.push('"');
        text.push_str(&name.replace('"', "\"\""));
        text.push('"');
    } else {
        text.push_str(name);
    }
}

/// Whether Jackson's `CsvEncoder` quotes a name: if it is long, or has a character up to the comma.
fn needs_quotes(name: &str) -> bool {
    name.encode_utf16().count() > UNQUOTED_LENGTH_MAX || name.chars().any(|c| c <= ',')
}

/// Reads a file of either form, each row with the number of its line; blank lines are skipped.
///
/// # Errors
/// The first line that is in neither form, or in a different form from the lines before it.
pub(super) fn read(text: &[u8]) -> Result<Vec<(usize, Row)>, BadLine> {
    let mut rows: Vec<(usize, Row)> = Vec::new();
    for (line, bytes) in (1..).zip(text.split(|byte| *byte == b'\n')) {
        let bad = |reason| BadLine { line, reason };
        let words = std::str::from_utf8(bytes).map_err(|_| bad("not UTF-8".to_owned()))?;
        let words = words.strip_suffix('\r').unwrap_or(words);
        if words.trim().is_empty() {
            continue;
        }
        let row = read_row(words).map_err(bad)?;
        if let Some((first, before)) = rows.first()
            && before.group.is_some() != row.group.is_some()
        {
            let reason = format!(
                "expected {1} as in line {first}, found {0}",
                form(&row),
                form(before)
            );
            return Err(bad(reason));
        }
        rows.push((line, row));
    }
    Ok(rows)
}

fn form(row: &Row) -> &'static str {
    match row.group {
        Some(_) => "GROUP,TOPIC,PARTITION,OFFSET",
        None => "TOPIC,PARTITION,OFFSET",
    }
}

fn read_row(line: &str) -> Result<Row, String> {
    let fields = fields(line)?;
    let (group, [topic, partition, offset]) = match &fields[..] {
        [topic, partition, offset] => (None, [topic, partition, offset]),
        [group, topic, partition, offset] => (Some(group), [topic, partition, offset]),
        _ => {
            let count = fields.len();
            return Err(format!(
                "expected TOPIC,PARTITION,OFFSET or GROUP,TOPIC,PARTITION,OFFSET, found {count} fields"
            ));
        }
    };
    if group.is_some_and(String::is_empty) {
        return Err("expected the name of a group, found none".to_owned());
    }
    let topic = TopicName::new(topic).map_err(|error| error.to_string())?;
    let partition = number(partition)
        .and_then(|n| i32::try_from(n).ok())
        .ok_or_else(|| format!("expected a partition from 0 to 2147483647, found '{partition}'"))?;
    let offset =
        number(offset).ok_or_else(|| format!("expected an offset from 0 on, found '{offset}'"))?;
    Ok(Row {
        group: group.cloned(),
        partition: TopicPartition::new(topic, PartitionId(partition)),
        offset: Offset(offset),
    })
}

/// A number from 0 on, with or without blanks around it.
fn number(text: &str) -> Option<i64> {
    text.trim().parse().ok().filter(|number| *number >= 0)
}

/// The fields of a line, without their quotes.
fn fields(line: &str) -> Result<Vec<String>, String> {
    let mut fields = Vec::new();
    let mut rest = line;
    loop {
        let (field, behind) = if let Some(quoted) = rest.strip_prefix('"') {
            quoted_field(quoted)?
        } else {
            let end = rest.find(',').unwrap_or(rest.len());
            (rest[..end].to_owned(), &rest[end..])
        };
        fields.push(field);
        match behind.strip_prefix(',') {
            Some(next) => rest = next,
            None if behind.is_empty() => return Ok(fields),
            None => return Err(format!("expected a comma, found '{behind}'")),
        }
    }
}

/// A field whose first quote was read, and the text after its last.
fn quoted_field(text: &str) -> Result<(String, &str), String> {
    let mut field = String::new();
    let mut rest = text;
    loop {
        let (before, behind) = rest
            .split_once('"')
            .ok_or("expected a closing quote, found the end of the line")?;
        field.push_str(before);
        let Some(more) = behind.strip_prefix('"') else {
            return Ok((field, behind));
        };
        field.push('"');
        rest = more;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn row(group: Option<&str>, topic: &str, partition: i32, offset: i64) -> Row {
        Row {
            group: group.map(str::to_owned),
            partition: TopicPartition::new(TopicName::new(topic).unwrap(), PartitionId(partition)),
            offset: Offset(offset),
        }
    }

    fn written(row: &Row) -> String {
        let mut text = String::new();
        write(row, &mut text);
        text
    }

    #[test]
    fn names_are_quoted_as_kafka_quotes_them() {
        for (group, topic, line) in [
            (None, "clicks", "clicks,0,7\n"),
            (None, "a-b._c", "a-b._c,0,7\n"),
            (
                None,
                "a-name-of-24-characters-",
                "a-name-of-24-characters-,0,7\n",
            ),
            (
                None,
                "a-name-of-25-characters-.",
                "\"a-name-of-25-characters-.\",0,7\n",
            ),
            (Some("readers"), "clicks", "readers,clicks,0,7\n"),
            (Some("a reader"), "clicks", "\"a reader\",clicks,0,7\n"),
            (Some("a,b"), "clicks", "\"a,b\",clicks,0,7\n"),
            (Some("+1"), "clicks", "\"+1\",clicks,0,7\n"),
            (
                Some("say \"a\""),
                "clicks",
                "\"say \"\"a\"\"\",clicks,0,7\n",
            ),
            (Some("größe"), "clicks", "größe,clicks,0,7\n"),
        ] {
            assert_eq!(written(&row(group, topic, 0, 7)), line);
        }
    }

    #[test]
    fn a_file_of_each_form_is_read_with_its_lines() {
        let one = b"clicks,0,7\r\n\n\"views\", 11 ,\"8\"\n\n";
        let rows = vec![
            (1, row(None, "clicks", 0, 7)),
            (3, row(None, "views", 11, 8)),
        ];
        assert_eq!(read(one), Ok(rows));
        let many = b"g,clicks,0,7\n\"a,\"\"b\"\"\",clicks,2147483647,9223372036854775807";
        let last = row(Some("a,\"b\""), "clicks", i32::MAX, i64::MAX);
        let rows = vec![(1, row(Some("g"), "clicks", 0, 7)), (2, last)];
        assert_eq!(read(many), Ok(rows));
        assert_eq!(read(b""), Ok(vec![]));
        assert_eq!(read(b"\n \n"), Ok(vec![]));
    }

    #[test]
    fn a_bad_line_is_named() {
        for (line, words) in [
            (&b"clicks,7"[..], "found 2 fields"),
            (b"g,clicks,0,7,", "found 5 fields"),
            (
                b"g,clicks,0,7",
                "expected TOPIC,PARTITION,OFFSET as in line 1, found GROUP,TOPIC,PARTITION,OFFSET",
            ),
            (
                b"TOPIC,PARTITION,OFFSET",
                "expected a partition from 0 to 2147483647, found 'PARTITION'",
            ),
            (b"clicks,-1,7", "found '-1'"),
            (b"clicks,2147483648,7", "found '2147483648'"),
            (b"clicks,0,-1", "expected an offset from 0 on, found '-1'"),
            (
                b"clicks,0,9223372036854775808",
                "expected an offset from 0 on",
            ),
            (b"clicks,0,", "found ''"),
            (b"no/slash,0,7", "no/slash"),
            (b",0,7", "topic"),
            (b"\"clicks,0,7", "expected a closing quote"),
            (b"\"clicks\"s,0,7", "expected a comma, found 's,0,7'"),
            (b"clicks,0,\xff", "not UTF-8"),
        ] {
            let bad = read(&[b"clicks,0,7\n\n", line].concat()).unwrap_err();
            assert_eq!(bad.line, 3, "{bad}");
            assert!(bad.reason.contains(words), "{bad}");
        }
        let nobody = read(b",clicks,0,7").unwrap_err();
        assert_eq!(
            nobody.to_string(),
            "1: expected the name of a group, found none"
        );
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            groups in prop::option::of("[^\n]{1,40}"),
            rows in prop::collection::vec(("[a-zA-Z0-9_-]{1,40}", 0..=i32::MAX, 0..=i64::MAX), 0..8),
        ) {
            let row = |(topic, partition, offset): &(String, i32, i64)| {
                row(groups.as_deref(), topic, *partition, *offset)
            };
            let rows: Vec<_> = (1..).zip(rows.iter().map(row)).collect();
            let mut text = String::new();
            for (_, row) in &rows {
                write(row, &mut text);
            }
            prop_assert_eq!(read(text.as_bytes()), Ok(rows));
        }

        #[test]
        fn any_bytes_are_read_or_refused(text in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Err(bad) = read(&text) {
                prop_assert!((1..=64).contains(&bad.line));
            }
        }
    }
}
