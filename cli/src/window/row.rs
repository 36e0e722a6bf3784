//! Turns a record's value into the few fields that a windowed query needs.
//!
//! A value is JSON, addressed by JSON pointers (RFC 6901, `/delay_min`, `/route/from`), or a line of
//! CSV, addressed by column names. Whatever cannot be read is an error in words: the engine counts
//! the record as malformed, and the run goes on.

use brooklet_engine::codec::{Codec, DecodeError, EncodeError, json};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::time;

/// How values are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Json,
    /// With the names of the columns, in order.
    Csv(Vec<String>),
}

/// Which fields a query needs.
#[derive(Clone, Debug)]
pub(super) struct Fields {
    pub(super) format: Format,
    /// Event time; the record's timestamp when absent.
    pub(super) time: Option<String>,
    /// The parts of the key.
    pub(super) by: Vec<String>,
    /// The numbers that are aggregated.
    pub(super) numbers: Vec<String>,
    /// Whether rows carry the value they were read from.
    pub(super) keep_original: bool,
}

/// What is left of a record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Row {
    /// Milliseconds since the epoch; `None`: the record's timestamp.
    pub(super) time_ms: Option<i64>,
    /// The key's parts: one as it is, several as a line of CSV, so that no two keys look alike.
    pub(super) key: String,
    /// In the order of [`Fields::numbers`]; null and absent fields are `None`.
    pub(super) numbers: Vec<Option<f64>>,
    /// The value as it was, if it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) original: Option<String>,
}

/// Reads rows from a topic's values.
impl Codec<Row> for Fields {
    fn decode(&self, bytes: &[u8]) -> Result<Row, DecodeError> {
        self.read(bytes).map_err(DecodeError)
    }

    /// Rows travel as JSON, whatever they were read from.
    fn encode(&self, row: &Row) -> Result<Bytes, EncodeError> {
        json().encode(row)
    }
}

impl Fields {
    /// Says which field no value can have.
    ///
    /// # Errors
    /// In words: a JSON field that is no pointer, a CSV column that is not there.
    pub(super) fn check(&self) -> Result<(), String> {
        for field in self.time.iter().chain(&self.by).chain(&self.numbers) {
            match &self.format {
                Format::Json if field.is_empty() || field.starts_with('/') => {}
                Format::Json => {
                    return Err(format!(
                        "a field of JSON is named by a pointer: /{field}, not {field}"
                    ));
                }
                Format::Csv(columns) if columns.iter().any(|column| column == name(field)) => {}
                Format::Csv(columns) => {
                    let columns = columns.join(", ");
                    return Err(format!("there is no column {field}, only {columns}"));
                }
            }
        }
        Ok(())
    }

    /// Reads one value.
    ///
    /// # Errors
    /// In words: not JSON or CSV, a field that is missing, no time, no number.
    pub(super) fn read(&self, value: &[u8]) -> Result<Row, String> {
        let record = self.parse(value)?;
        let time_ms = match &self.time {
            Some(field) => Some(time_ms(
                record.get(field).ok_or_else(|| missing(field))?,
                field,
            )?),
            None => None,
        };
        let parts = self.by.iter().map(|field| match record.get(field) {
            Some(value) => Ok(text(&value)),
            None => Err(missing(field)),
        });
        let key = joined(parts.collect::<Result<Vec<_>, _>>()?);
        let numbers = self
            .numbers
            .iter()
            .map(|field| number(record.get(field), field));
        let original = self
            .keep_original
            .then(|| String::from_utf8_lossy(value).into_owned());
        Ok(Row {
            time_ms,
            key,
            numbers: numbers.collect::<Result<_, _>>()?,
            original,
        })
    }

    fn parse(&self, value: &[u8]) -> Result<Parsed<'_>, String> {
        match &self.format {
            Format::Json => serde_json::from_slice(value)
                .map(Parsed::Json)
                .map_err(|e| format!("not JSON: {e}")),
            Format::Csv(columns) => {
                let mut reader = csv::ReaderBuilder::new()
                    .has_headers(false)
                    .from_reader(value);
                let row = reader.records().next().ok_or("an empty line")?;
                let row = row.map_err(|e| format!("not CSV: {e}"))?;
                if row.len() != columns.len() {
                    return Err(format!("{} columns, expected {}", row.len(), columns.len()));
                }
                Ok(Parsed::Csv(columns, row))
            }
        }
    }
}

/// A parsed value, whose fields are looked up by name.
enum Parsed<'a> {
    Json(Value),
    Csv(&'a [String], csv::StringRecord),
}

impl Parsed<'_> {
    /// A JSON pointer, or a column's name with or without a leading slash. Null counts as absent.
    fn get(&self, field: &str) -> Option<Value> {
        match self {
            Self::Json(value) => value.pointer(field).filter(|v| !v.is_null()).cloned(),
            Self::Csv(columns, row) => {
                let index = columns.iter().position(|column| column == name(field))?;
                row.get(index).filter(|v| !v.is_empty()).map(Value::from)
            }
        }
    }
}

/// The column that a field names.
fn name(field: &str) -> &str {
    field.strip_prefix('/').unwrap_or(field)
}

fn missing(field: &str) -> String {
    format!("no field {field}")
}

/// Parts that hold a comma, a quote or a line break are quoted, unless there is only one.
fn joined(mut parts: Vec<String>) -> String {
    if parts.len() > 1 {
        for part in &mut parts {
            if part.contains([',', '"', '\n', '\r']) {
                *part = format!("\"{}\"", part.replace('"', "\"\""));
            }
        }
    }
    parts.join(",")
}

fn text(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

fn number(value: Option<Value>, field: &str) -> Result<Option<f64>, String> {
    let Some(value) = value else { return Ok(None) };
    let number = value
        .as_f64()
        .or_else(|| value.as_str()?.trim().parse().ok());
    match number {
        Some(number) if number.is_finite() => Ok(Some(number)),
        _ => Err(format!("{field} is {value}, expected a number")),
    }
}

/// A time is milliseconds since the epoch, or RFC 3339.
fn time_ms(value: Value, field: &str) -> Result<i64, String> {
    if let Some(ms) = value.as_i64().or_else(|| value.as_str()?.parse().ok()) {
        return Ok(ms);
    }
    let wrong =
        || format!("{field} is {value}, expected milliseconds or a time like 2013-03-08T19:40:00Z");
    time::parse(value.as_str().ok_or_else(wrong)?)
        .map(|t| t.0)
        .ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(format: Format) -> Fields {
        Fields {
            format,
            time: Some("/at".into()),
            by: vec!["/from".into(), "/seat".into()],
            numbers: vec!["/delay".into()],
            keep_original: false,
        }
    }

    #[test]
    fn json_fields_are_found_by_pointer() {
        let read = |json: &str| fields(Format::Json).read(json.as_bytes());
        let row = Row {
            time_ms: Some(1500),
            key: "EWR,7".into(),
            numbers: vec![Some(-2.5)],
            original: None,
        };
        assert_eq!(
            read(r#"{"at":1500,"from":"EWR","seat":7,"delay":-2.5}"#),
            Ok(row.clone())
        );
        let rfc = r#"{"at":"1970-01-01T00:00:01.5Z","from":"EWR","seat":7,"delay":"-2.5"}"#;
        assert_eq!(read(rfc), Ok(row.clone()));
        let null = r#"{"at":1500,"from":"EWR","seat":7,"delay":null}"#;
        assert_eq!(
            read(null),
            Ok(Row {
                numbers: vec![None],
                ..row
            })
        );
    }

    #[test]
    fn different_parts_make_different_keys() {
        let key = |parts: &[&str]| joined(parts.iter().map(ToString::to_string).collect());
        assert_eq!(key(&[]), "");
        assert_eq!(key(&["a,b"]), "a,b");
        assert_eq!(key(&["a", "b c"]), "a,b c");
        assert_eq!(key(&["a,b", "c"]), "\"a,b\",c");
        assert_eq!(key(&["a", "b,c"]), "a,\"b,c\"");
        assert_eq!(key(&["say \"a\"", ""]), "\"say \"\"a\"\"\",");
    }

    #[test]
    fn a_field_that_no_value_can_have_is_refused_before_reading() {
        let of = |format, name: &str| Fields {
            numbers: vec![name.into()],
            ..fields(format)
        };
        let columns = || Format::Csv(["at", "from", "seat"].map(String::from).to_vec());
        assert_eq!(of(Format::Json, "/a/b").check(), Ok(()));
        assert_eq!(
            of(Format::Json, "a").check().unwrap_err(),
            "a field of JSON is named by a pointer: /a, not a"
        );
        assert_eq!(of(columns(), "/seat").check(), Ok(()));
        assert_eq!(
            of(columns(), "seats").check().unwrap_err(),
            "there is no column seats, only at, from, seat"
        );
    }

    #[test]
    fn what_cannot_be_read_is_said_in_words() {
        let read = |json: &str| fields(Format::Json).read(json.as_bytes()).unwrap_err();
        assert!(read("{").starts_with("not JSON"));
        assert_eq!(read(r#"{"at":1}"#), "no field /from");
        assert_eq!(read(r#"{"from":"a"}"#), "no field /at");
        let time = read(r#"{"at":"noon","from":"a","seat":1}"#);
        assert!(
            time.contains("/at is \"noon\", expected milliseconds"),
            "{time}"
        );
        let number = read(r#"{"at":1,"from":"a","seat":1,"delay":"x"}"#);
        assert_eq!(number, "/delay is \"x\", expected a number");
    }

    #[test]
    fn csv_columns_are_found_by_name() {
        let columns = ["at", "from", "seat", "delay"].map(String::from).to_vec();
        let read = |line: &str| fields(Format::Csv(columns.clone())).read(line.as_bytes());
        let row = Row {
            time_ms: Some(1500),
            key: "\"a,b\",7".into(),
            numbers: vec![Some(3.0)],
            original: None,
        };
        assert_eq!(read("1500,\"a,b\",7,3"), Ok(row.clone()));
        assert_eq!(
            read("1500,\"a,b\",7,"),
            Ok(Row {
                numbers: vec![None],
                ..row
            })
        );
        assert_eq!(read("1500,a"), Err("2 columns, expected 4".into()));
        assert_eq!(read(""), Err("an empty line".into()));
    }
}
