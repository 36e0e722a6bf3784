//! The fields that a query needs, and how they are read: JSON by pointers, CSV by column names.
//!
//! A JSON record is one row; a CSV record may be a whole file with its header. A row that cannot be
//! read is an error in words: the engine counts it as malformed, and the run goes on.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use brooklet_engine::codec::{Codec, DecodeError, EncodeError, json};
use brooklet_protocol::Timestamp;
use bytes::Bytes;

use super::account::Tally;
use super::json::Pointers;
use super::lines::Rows;
use super::row::{Cell, Row, Unit, joined};

/// The byte order mark that spreadsheets write before UTF-8 text.
const BOM: char = '\u{feff}';

/// The reason for skipping a line that repeats the column names.
const HEADER: &str = "a header line: it repeats the column names";

/// How values are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Json,
    /// CSV, with the column names in order.
    Csv(Vec<String>),
}

/// The fields that a query reads from each row.
#[derive(Clone, Debug)]
pub(super) struct Query {
    pub(super) format: Format,
    /// Event time; the record's timestamp when absent.
    pub(super) time: Option<String>,
    /// The unit of numeric times.
    pub(super) unit: Unit,
    /// The parts of the key.
    pub(super) by: Vec<String>,
    /// The numbers that are aggregated.
    pub(super) numbers: Vec<String>,
    /// Whether rows carry the text that they were read from.
    pub(super) keep_original: bool,
}

/// Reads rows from a topic's values.
#[derive(Clone, Debug)]
pub(super) struct Fields(Arc<Reader>);

#[derive(Debug)]
struct Reader {
    query: Query,
    places: Places,
    tally: Arc<Tally>,
}

/// Where the fields are, in the order of time, key and numbers.
#[derive(Debug)]
enum Places {
    Json(Pointers),
    /// Indexes of columns.
    Csv(Vec<usize>),
}

impl Query {
    /// All fields, in one order.
    fn fields(&self) -> impl Iterator<Item = &String> {
        self.time.iter().chain(&self.by).chain(&self.numbers)
    }

    fn places(&self) -> Result<Places, String> {
        match &self.format {
            Format::Json => {
                let mut pointers = Pointers::default();
                self.fields().try_for_each(|field| pointers.add(field))?;
                Ok(Places::Json(pointers))
            }
            Format::Csv(columns) => {
                let place = |field: &String| {
                    let index = columns.iter().position(|column| column == name(field));
                    index.ok_or_else(|| {
                        let columns = columns.join(", ");
                        format!("unknown column {field}; expected one of {columns}")
                    })
                };
                self.fields()
                    .map(place)
                    .collect::<Result<_, _>>()
                    .map(Places::Csv)
            }
        }
    }
}

/// The column of a field, with or without a leading slash.
pub(super) fn name(field: &str) -> &str {
    field.strip_prefix('/').unwrap_or(field)
}

impl Codec<Row> for Fields {
    fn decode(&self, bytes: &[u8]) -> Result<Row, DecodeError> {
        let mut first = None;
        self.decode_each(bytes, |row| {
            first.get_or_insert(row);
        });
        first.unwrap_or_else(|| Err(DecodeError("expected a row, found none".into())))
    }

    fn decode_each(&self, bytes: &[u8], mut take: impl FnMut(Result<Row, DecodeError>)) {
        self.read(bytes, |row| take(row.map_err(DecodeError)));
    }

    /// Rows are repartitioned as JSON, whatever they were read from.
    fn encode(&self, row: &Row) -> Result<Bytes, EncodeError> {
        json().encode(row)
    }
}

impl Fields {
    /// Finds where the fields are.
    ///
    /// # Errors
    /// In words: a JSON field that is not a pointer, a CSV column that does not exist.
    pub(super) fn new(query: Query, tally: Arc<Tally>) -> Result<Self, String> {
        let places = query.places()?;
        Ok(Self(Arc::new(Reader {
            query,
            places,
            tally,
        })))
    }

    /// A row's event time, given its record's timestamp.
    ///
    /// # Errors
    /// In words: the time is outside the range of windows.
    pub(super) fn event_time(&self, row: &Row, record: Timestamp) -> Result<Timestamp, String> {
        match &row.time {
            Some(time) => time.clone(),
            None if record == Timestamp::NONE => {
                Err("its record has no timestamp; name a field with --time".into())
            }
            None => {
                let number = record.0.to_string();
                self.0.query.unit.time("its timestamp", &number)
            }
        }
    }

    /// Passes the rows of one value to `take`, at least one. Errors, in words: the value is not
    /// UTF-8, JSON or CSV; a field is missing, not a time, or not a number.
    fn read(&self, value: &[u8], mut take: impl FnMut(Result<Row, String>)) {
        let text = match str::from_utf8(value) {
            Ok(text) => text.strip_prefix(BOM).unwrap_or(text),
            Err(error) => return take(Err(format!("not UTF-8: {error}"))),
        };
        match (&self.0.query.format, &self.0.places) {
            (Format::Csv(columns), Places::Csv(places)) => {
                self.0.read_csv(text, (columns, places), take);
            }
            (_, Places::Json(pointers)) => take(self.0.read_json(text, pointers)),
            (Format::Json, Places::Csv(_)) => unreachable!("the places follow the format"),
        }
    }
}

impl Reader {
    fn read_json(&self, text: &str, pointers: &Pointers) -> Result<Row, String> {
        let found = pointers.find(text).map_err(|e| format!("not JSON: {e}"))?;
        let cells = found.into_iter().map(|json| match json {
            Some(json) => Cell::of_json(json),
            None => Ok(None),
        });
        self.row(cells, text)
    }

    fn read_csv(
        &self,
        text: &str,
        (columns, places): (&[String], &[usize]),
        mut take: impl FnMut(Result<Row, String>),
    ) {
        let mut count = 0;
        for row in Rows::of(text) {
            count += 1;
            let read = match row.fields {
                None => Err("not CSV: expected a closing quote, found the end of the text".into()),
                Some(fields) if is_header(&fields, columns) => {
                    self.tally.headers.fetch_add(1, Relaxed);
                    Err(HEADER.into())
                }
                Some(fields) if fields.len() != columns.len() => Err(format!(
                    "expected {} fields between commas, found {}",
                    columns.len(),
                    fields.len()
                )),
                Some(fields) => {
                    let cells = places.iter().map(|i| Ok(Cell::of_csv(fields[*i].clone())));
                    self.row(cells, row.text)
                }
            };
            take(read.map_err(|words| match count {
                1 => words,
                _ => format!("row {count}: {words}"),
            }));
        }
        if count == 0 {
            take(Err("expected a row, found an empty value".into()));
        }
    }

    /// Makes a row from the cells, which are in the order of [`Query::fields`].
    fn row<'a>(
        &self,
        cells: impl Iterator<Item = Result<Option<Cell<'a>>, String>>,
        original: &str,
    ) -> Result<Row, String> {
        let query = &self.query;
        let mut cells = query.fields().zip(cells);
        let mut next = || cells.next().expect("each field has a cell");
        let mut time = None;
        if query.time.is_some() {
            let (field, cell) = next();
            time = Some(
                cell?
                    .ok_or_else(|| missing(field))?
                    .time(field, query.unit)?,
            );
        }
        let mut parts = Vec::with_capacity(query.by.len());
        for _ in &query.by {
            let (field, cell) = next();
            parts.push(cell?.ok_or_else(|| missing(field))?.key()?);
        }
        let mut numbers = Vec::with_capacity(query.numbers.len());
        for _ in &query.numbers {
            let (field, cell) = next();
            let number = cell?.map(|cell| cell.number(field));
            numbers.push(number.transpose()?);
        }
        if time.as_ref().is_none_or(Result::is_ok) {
            self.tally.note_absent(&numbers);
        }
        Ok(Row {
            time,
            key: joined(parts),
            numbers,
            original: query.keep_original.then(|| original.to_owned()),
        })
    }
}

/// Whether a line repeats the column names.
fn is_header(fields: &[impl AsRef<str>], columns: &[String]) -> bool {
    let is_name = |(field, column): (&_, &String)| {
        AsRef::<str>::as_ref(field)
            .trim()
            .eq_ignore_ascii_case(column)
    };
    fields.len() == columns.len() && fields.iter().zip(columns).all(is_name)
}

fn missing(field: &str) -> String {
    format!("field {field} is missing")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::window::number::Number;

    fn query(format: Format) -> Query {
        Query {
            format,
            time: Some("/at".into()),
            unit: Unit::Ms,
            by: vec!["/from".into(), "/seat".into()],
            numbers: vec!["/delay".into()],
            keep_original: false,
        }
    }

    fn columns() -> Format {
        Format::Csv(["at", "from", "seat", "delay"].map(String::from).to_vec())
    }

    fn read(format: Format, text: &str) -> Vec<Result<Row, String>> {
        let tally = Arc::new(Tally::new(&["/delay".to_owned()]));
        let fields = Fields::new(query(format), tally).unwrap();
        let mut rows = Vec::new();
        fields.read(text.as_bytes(), |row| rows.push(row));
        rows
    }

    fn row(delay: Option<Number>) -> Row {
        Row {
            time: Some(Ok(Timestamp(1500))),
            key: "EWR,7".into(),
            numbers: vec![delay],
            original: None,
        }
    }

    #[test]
    fn json_fields_are_found_by_pointer() {
        let delay = Some(Number::Float(-2.5));
        for text in [
            r#"{"at":1500,"from":"EWR","seat":7,"delay":-2.5}"#,
            r#"{"at":"1970-01-01T00:00:01.5Z","from":"EWR","seat":"7","delay":" -2.5 "}"#,
            "\u{feff}{\"at\":1500.0,\"from\":\"EWR\",\"seat\":7.0,\"delay\":-25e-1}\r\n",
        ] {
            assert_eq!(read(Format::Json, text), [Ok(row(delay))], "{text}");
        }
        let null = r#"{"at":1500,"from":"EWR","seat":7,"delay":null}"#;
        assert_eq!(read(Format::Json, null), [Ok(row(None))]);
    }

    #[test]
    fn a_field_that_no_value_can_have_is_refused_before_reading() {
        let refused = |format, field: &str| {
            let numbers = vec![field.to_owned()];
            let query = Query {
                numbers,
                ..query(format)
            };
            Fields::new(query, Arc::default()).err()
        };
        assert_eq!(refused(Format::Json, "/a/b"), None);
        assert!(
            refused(Format::Json, "a")
                .unwrap()
                .contains("such as /a, found a")
        );
        assert_eq!(refused(columns(), "/seat"), None);
        assert_eq!(
            refused(columns(), "seats").unwrap(),
            "unknown column seats; expected one of at, from, seat, delay"
        );
    }

    #[test]
    fn what_cannot_be_read_is_said_in_words() {
        let words = |text: &str| read(Format::Json, text)[0].clone().unwrap_err();
        assert!(words("{").starts_with("not JSON"));
        assert_eq!(words(r#"{"at":1}"#), "field /from is missing");
        assert_eq!(words(r#"{"from":"a"}"#), "field /at is missing");
        let noon = words(r#"{"at":"noon","from":"a","seat":1}"#);
        assert!(
            noon.contains("/at is \"noon\": expected milliseconds"),
            "{noon}"
        );
        let number = words(r#"{"at":1,"from":"a","seat":1,"delay":"x"}"#);
        assert_eq!(number, "/delay is \"x\": expected a number");
        let tally = Arc::new(Tally::default());
        let fields = Fields::new(query(Format::Json), tally).unwrap();
        fields.read(b"{\"at\":\"\xff\"}", |row| {
            assert!(row.unwrap_err().contains("not UTF-8"));
        });
    }

    #[test]
    fn a_record_of_csv_holds_any_number_of_rows() {
        let three = Some(Number::Whole(3));
        let text = "\u{feff}At, from ,SEAT,delay\r\n1500,EWR,7,3\r\n\r\n 1500 ,EWR,7, 3.0 \r\n1500,EWR,7,\r\n";
        let rows = read(columns(), text);
        assert_eq!(rows[0], Err(HEADER.into()));
        assert_eq!(rows[1..], [Ok(row(three)), Ok(row(three)), Ok(row(None))]);
        let words: Vec<_> = read(columns(), "1500,a\n1500,EWR,7,NaN\n1,\"a")
            .into_iter()
            .map(Result::unwrap_err)
            .collect();
        assert_eq!(
            words,
            [
                "expected 4 fields between commas, found 2",
                "row 2: /delay is \"NaN\": expected a number",
                "row 3: not CSV: expected a closing quote, found the end of the text"
            ]
        );
        assert_eq!(
            read(columns(), "\r\n"),
            [Err("expected a row, found an empty value".into())]
        );
        assert_eq!(
            read(columns(), "1500,\"a,b\",7,3")[0].clone().unwrap().key,
            "\"a,b\",7"
        );
    }
}
