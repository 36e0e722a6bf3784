//! A row: what a query needs of one JSON value or of one line of CSV, and the rules by which its fields
//! become times, keys and numbers.
//!
//! | a field is asked for as | it may be |
//! |---|---|
//! | time | RFC 3339, or a number in the unit that was named; as a string, too, with blanks around it |
//! | key | anything but null: of a string its characters, of a number its value, else its JSON |
//! | number | a number, also as a string with blanks around it; null, absent or an empty cell is none |
//!
//! What cannot be read is an error in words, with the field and what was found in it.

use std::borrow::Cow;

use brooklet_protocol::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::number::{Decimal, Number, NumberError};
use crate::time;

/// Characters of a field that an error shows.
const SHOWN_CHARS: usize = 60;

/// What is left of a record, or of one line in it. Key and time travel beside it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Row {
    /// Event time; `None`: the record's timestamp, an error: why it cannot be one.
    #[serde(skip)]
    pub(super) time: Option<Result<Timestamp, String>>,
    /// The key's parts: one as it is, several as a line of CSV, so that no two keys look alike.
    #[serde(skip)]
    pub(super) key: String,
    /// In the order of the query's numbers; what is absent is `None`.
    pub(super) numbers: Vec<Option<Number>>,
    /// What it was read from, if that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) original: Option<String>,
}

/// A field that is there.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Cell<'a> {
    /// Characters: a cell of CSV, or a string of JSON.
    Text(Cow<'a, str>),
    /// A number of JSON, as it is spelled.
    Number(&'a str),
    /// Any other JSON.
    Other(&'a str),
}

impl<'a> Cell<'a> {
    /// A piece of JSON; null counts as absent.
    ///
    /// # Errors
    /// A string that stands for no characters, as half of a surrogate pair.
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

    /// A cell of CSV; an empty one counts as absent, with blanks in it or without.
    pub(super) fn of_csv(cell: Cow<'a, str>) -> Option<Self> {
        (!cell.trim().is_empty()).then_some(Self::Text(cell))
    }

    /// What is read where a number or a time is expected.
    fn literal(&self) -> &str {
        match self {
            Self::Text(text) => text.trim(),
            Self::Number(json) | Self::Other(json) => json,
        }
    }

    /// As an error shows it.
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

    /// Its part of the key.
    ///
    /// # Errors
    /// JSON with a number that is beyond all numbers.
    pub(super) fn key(self) -> Result<String, String> {
        Ok(match self {
            Self::Text(text) => text.into_owned(),
            // Without more digits than a number has, it is its own spelling.
            Self::Number(json) => Number::parse(json).map_or_else(|_| json.into(), String::from),
            // Names in order and no blanks: objects that mean the same are one key.
            Self::Other(json) => {
                let value: Value =
                    serde_json::from_str(json).map_err(|e| format!("not JSON: {e}"))?;
                value.to_string()
            }
        })
    }

    /// Its number.
    ///
    /// # Errors
    /// It has none, or one that would have to be rounded.
    pub(super) fn number(&self, field: &str) -> Result<Number, String> {
        Number::parse(self.literal()).map_err(|error| match error {
            NumberError::NotANumber => format!("{field} is {}, expected a number", self.shown()),
            NumberError::TooLarge => format!(
                "{field} is {}, beyond the largest numbers: integers up to 1.7e38, others up to 1.8e308",
                self.shown()
            ),
        })
    }

    /// Its time; the inner error is that of a time that windows cannot have.
    ///
    /// # Errors
    /// It is none.
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
                "{field} is {}, expected {}",
                self.shown(),
                unit.expected()
            )),
        }
    }
}

fn before_1970(what: &str, time: &str) -> String {
    format!("{what} is {time}, before 1970, where windows begin")
}

/// The unit of a time that is a number.
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

    /// The milliseconds of a number in this unit; none if a calendar does not have them.
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
    /// Windows cannot have it: it is before 1970, or so far away that the unit must be another one.
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
            "{what} is {number}, after the year 9999 if it is in {name}{advice}"
        ))
    }
}

/// Parts that hold a comma, a quote or a line break are quoted, unless there is only one.
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
        assert_eq!(wrong(text("NaN")), "price is \"NaN\", expected a number");
        assert_eq!(
            wrong(Cell::Other("true")),
            "price is true, expected a number"
        );
        assert!(wrong(Cell::Number("1e400")).starts_with("price is 1e400, beyond the largest"));
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
            "/at is 1782379000123456, after the year 9999 if it is in milliseconds; \
             in microseconds it is 2026-06-25T09:16:40.123Z: add --time-unit us"
        );
        assert!(words("1782379000123456789").ends_with("add --time-unit ns"));
        assert!(words("1e400").ends_with("if it is in milliseconds"));
        for past in ["-1", "-0.5", "-1e400", "-9223372036854775809"] {
            assert!(
                words(past).ends_with("before 1970, where windows begin"),
                "{past}"
            );
        }
        let date = text("1969-12-31T23:59:59.9999Z")
            .time("/at", Unit::Ms)
            .unwrap();
        assert!(date.unwrap_err().contains("before 1970"));
    }
}
