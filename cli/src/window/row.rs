//! A row: the fields that a query needs from one JSON value or one line of CSV, and the rules by
//! which they become times, keys and numbers.
//!
//! | a field is read as | it may be |
//! |---|---|
//! | time | RFC 3339, or a number in the chosen unit; also as a string, with blanks around it |
//! | key | anything except null: the characters of a string, the value of a number, else its JSON |
//! | number | a number, also as a string with blanks around it; null, absent, empty: none |
//!
//! A field that cannot be read is an error in words, with the field and what it contains.

use std::borrow::Cow;

use brooklet_protocol::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::number::{Decimal, Number, NumberError};
use crate::time;

/// Characters of a field that an error shows at most.
const SHOWN_CHARS: usize = 60;

/// The fields of a record, or of one line in it. The engine carries key and time separately.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Row {
    /// Event time. `None`: the record's timestamp; an error: why the time is invalid.
    #[serde(skip)]
    pub(super) time: Option<Result<Timestamp, String>>,
    /// The key: one part unchanged, several parts as a line of CSV, so that no two keys look alike.
    #[serde(skip)]
    pub(super) key: String,
    /// In the order of the query's numbers; `None` if absent.
    pub(super) numbers: Vec<Option<Number>>,
    /// The text that it was read from, if the query keeps it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) original: Option<String>,
}

/// A field that is present.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Cell<'a> {
    /// Characters: a CSV cell, or a JSON string.
    Text(Cow<'a, str>),
    /// A JSON number, as it is written.
    Number(&'a str),
    /// Any other JSON.
    Other(&'a str),
}

impl<'a> Cell<'a> {
    /// A piece of JSON; null counts as absent.
    ///
    /// # Errors
    /// A string that is not text, such as half of a surrogate pair.
    pub(super) fn of_json(json: &'a str) -> Result<Option<Self>, String> {
        Ok(match json.as_bytes().first() {
            Some(b'n') => None,
            Some(b'"') => {
                let text: String =
                    serde_json::from_str(json).map_err(|e| format!("not JSON: {e}"))?;
                Some(Self::Text(text.into()))
            }
            Some(b'-' | b'0'..=b'9') => Some(Self::Number(json)),
            _ => Some(Self::Other(json)),
        })
    }

    /// A CSV cell; an empty or blank one counts as absent.
    pub(super) fn of_csv(cell: Cow<'a, str>) -> Option<Self> {
        (!cell.trim().is_empty()).then_some(Self::Text(cell))
    }

    /// The text to read a number or a time from.
    fn literal(&self) -> &str {
        match self {
            Self::Text(text) => text.trim(),
            Self::Number(json) | Self::Other(json) => json,
        }
    }

    /// The field as an error shows it.
    fn shown(&self) -> String {
        let shown = match self {
            Self::Text(text) => Value::from(text.as_ref()).to_string(),
            Self::Number(json) | Self::Other(json) => (*json).to_owned(),
        };
        match shown.char_indices().nth(SHOWN_CHARS) {
            Some((end, _)) => format!("{}…", &shown[..end]),
            None => shown,
        }
    }

    /// The field as a part of the key.
    ///
    /// # Errors
    /// JSON with a number that is out of range.
    pub(super) fn key(self) -> Result<String, String> {
        Ok(match self {
            Self::Text(text) => text.into_owned(),
            // A number that cannot be read keeps its spelling.
            Self::Number(json) => Number::parse(json).map_or_else(|_| json.into(), String::from),
            // Sorted names and no blanks, so that equal objects are one key.
            Self::Other(json) => {
                let value: Value =
                    serde_json::from_str(json).map_err(|e| format!("not JSON: {e}"))?;
                value.to_string()
            }
        })
    }

    /// The field as a number.
    ///
    /// # Errors
    /// It is not a number, or would have to be rounded.
    pub(super) fn number(&self, field: &str) -> Result<Number, String> {
        Number::parse(self.literal()).map_err(|error| match error {
            NumberError::NotANumber => format!("{field} is {}: expected a number", self.shown()),
            NumberError::TooLarge => format!(
                "{field} is {}: expected an integer up to 1.7e38, or another number up to 1.8e308",
                self.shown()
            ),
        })
    }

    /// The field as a time; the inner error is that of a time outside the range of windows.
    ///
    /// # Errors
    /// It is not one.
    pub(super) fn time(
        &self,
        field: &str,
        unit: Unit,
    ) -> Result<Result<Timestamp, String>, String> {
        let literal = self.literal();
        if Decimal::parse(literal).is_some() {
            return Ok(unit.time(field, literal));
        }
        let date = match self {
            Self::Text(_) => time::parse_date(literal),
            Self::Number(_) | Self::Other(_) => None,
        };
        match date {
            Some(date) if date < Timestamp(0) => Ok(Err(before_1970(field, literal))),
            Some(date) => Ok(Ok(date)),
            None => Err(format!(
                "{field} is {}: expected {}",
                self.shown(),
                unit.expected()
            )),
        }
    }
}

fn before_1970(what: &str, time: &str) -> String {
    format!("{what} is {time}: expected 1970 or later, where windows start")
}

/// The unit of a numeric time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Unit {
    /// Seconds
    S,
    /// Milliseconds
    #[default]
    Ms,
    /// Microseconds
    Us,
    /// Nanoseconds
    Ns,
}

impl Unit {
    fn name(self) -> &'static str {
        match self {
            Self::S => "seconds",
            Self::Ms => "milliseconds",
            Self::Us => "microseconds",
            Self::Ns => "nanoseconds",
        }
    }

    fn expected(self) -> String {
        time::EXPECTED.replace("milliseconds", self.name())
    }

    /// The milliseconds of a number in this unit; `None` if the calendar does not have that time.
    fn millis(self, number: &str) -> Option<Timestamp> {
        let powers_of_ten = match self {
            Self::S => 3,
            Self::Ms => 0,
            Self::Us => -3,
            Self::Ns => -6,
        };
        let (millis, _) = Decimal::parse(number)?.floor(powers_of_ten)?;
        let time = Timestamp(i64::try_from(millis).ok()?);
        time::is_in_calendar(time).then_some(time)
    }

    /// The time that a number means.
    ///
    /// # Errors
    /// It is outside the range of windows: before 1970, or so far away that the unit must be wrong.
    pub(super) fn time(self, what: &str, number: &str) -> Result<Timestamp, String> {
        match self.millis(number) {
            Some(time) if time >= Timestamp(0) => return Ok(time),
            None if !number.starts_with('-') => {}
            _ => return Err(before_1970(what, number)),
        }
        let finer = [Self::Us, Self::Ns].into_iter();
        let mut finer = finer.filter_map(|unit| Some((unit, unit.millis(number)?)));
        let advice = finer.next().map_or_else(String::new, |(unit, time)| {
            let (name, time) = (unit.name(), time::to_text(time));
            let value = clap::ValueEnum::to_possible_value(&unit);
            let value = value.map_or(String::new(), |value| value.get_name().to_owned());
            format!("; in {name} it is {time}: add --time-unit {value}")
        });
        let name = self.name();
        Err(format!(
            "{what} is {number}: in {name}, that is after the year 9999{advice}"
        ))
    }
}

/// Quotes parts with a comma, a quote or a line break, unless there is only one part.
pub(super) fn joined(mut parts: Vec<String>) -> String {
    if parts.len() > 1 {
        for part in &mut parts {
            if part.contains([',', '"', '\n', '\r']) {
                *part = format!("\"{}\"", part.replace('"', "\"\""));
            }
        }
    }
    parts.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Cell<'_> {
        Cell::Text(text.into())
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
    fn keys_that_look_alike_are_one() {
        let key = |json| Cell::of_json(json).unwrap().unwrap().key().unwrap();
        for seven in ["7", "\"7\"", "7.0", "70e-1"] {
            assert_eq!(key(seven), "7");
        }
        assert_eq!(key("-0.0"), "0");
        assert_eq!(key("\"7.0\""), "7.0");
        assert_eq!(key("1e400"), "1e400");
        assert_eq!(key("18446744073709551617"), "18446744073709551617");
        assert_eq!(key("true"), "true");
        assert_eq!(key(r#"{"z":1,"y":[1, 2]}"#), r#"{"y":[1,2],"z":1}"#);
        assert_eq!(key(r#""\u00e9\u0000\n""#), "é\0\n");
        assert_eq!(Cell::of_json("null"), Ok(None));
        assert!(
            Cell::of_json(r#""\ud800""#)
                .unwrap_err()
                .contains("not JSON")
        );
    }

    #[test]
    fn a_number_may_be_in_quotes_and_between_blanks() {
        let number = |cell: Cell<'_>| cell.number("price").map(|n| n.to_string());
        assert_eq!(number(text(" 3\t")), Ok("3".into()));
        assert_eq!(number(text("2.50")), Ok("2.5".into()));
        assert_eq!(
            number(Cell::Number("9007199254740993")),
            Ok("9007199254740993".into())
        );
        let wrong = |cell| number(cell).unwrap_err();
        assert_eq!(wrong(text("NaN")), "price is \"NaN\": expected a number");
        assert_eq!(
            wrong(Cell::Other("true")),
            "price is true: expected a number"
        );
        assert!(wrong(Cell::Number("1e400")).starts_with("price is 1e400: expected an integer"));
        let long = "9".repeat(5000);
        assert!(wrong(text(&long)).len() < 200);
        assert_eq!(Cell::of_csv(" ".into()), None);
    }

    #[test]
    fn a_time_is_a_number_in_its_unit_or_a_date() {
        let moment = Ok(Ok(Timestamp(1_782_379_000_123)));
        for (cell, unit) in [
            (Cell::Number("1782379000123"), Unit::Ms),
            (Cell::Number("1782379000123.0"), Unit::Ms),
            (Cell::Number("1782379000123.9"), Unit::Ms),
            (Cell::Number("1.782379000123e12"), Unit::Ms),
            (text(" 1782379000123 "), Unit::Ms),
            (Cell::Number("1782379000.1239"), Unit::S),
            (Cell::Number("1782379000123456"), Unit::Us),
            (Cell::Number("1782379000123456789"), Unit::Ns),
            (text("2026-06-25T09:16:40.123Z"), Unit::Ns),
            (text(" 2026-06-25 11:16:40.1239+02:00\n"), Unit::S),
        ] {
            assert_eq!(cell.time("/at", unit), moment, "{cell:?}");
        }
        for cell in [
            text("noon"),
            Cell::Other("true"),
            Cell::Other("[1]"),
            text(""),
        ] {
            let words = cell.time("/at", Unit::Us).unwrap_err();
            assert!(
                words.contains("expected microseconds since 1970, or a time"),
                "{words}"
            );
        }
    }

    #[test]
    fn a_time_that_no_window_has_is_named_by_its_unit() {
        let words = |text: &str| Unit::Ms.time("/at", text).unwrap_err();
        assert_eq!(
            words("1782379000123456"),
            "/at is 1782379000123456: in milliseconds, that is after the year 9999; \
             in microseconds it is 2026-06-25T09:16:40.123Z: add --time-unit us"
        );
        assert!(words("1782379000123456789").ends_with("add --time-unit ns"));
        assert!(words("1e400").ends_with("in milliseconds, that is after the year 9999"));
        for past in ["-1", "-0.5", "-1e400", "-9223372036854775809"] {
            assert!(
                words(past).ends_with("expected 1970 or later, where windows start"),
                "{past}"
            );
        }
        let date = text("1969-12-31T23:59:59.9999Z")
            .time("/at", Unit::Ms)
            .unwrap();
        assert!(date.unwrap_err().contains("expected 1970 or later"));
    }
}
