//! Times as people write them: RFC 3339, or milliseconds since 1970 as a number.
//!
//! A [`Timestamp`] is any `i64`. The calendar ends before that: a time after the year 9999 or
//! before the year -9999 is written as its number of milliseconds, which can be read again. So
//! every time can be printed, and means the same when it is read.
//!
//! Accepted are milliseconds, and RFC 3339 with any offset, in upper or lower case, with a blank
//! instead of the `T`, and with up to nine digits of a fraction of a second. Anything finer than a
//! millisecond is cut off, so that a time never moves into the next millisecond. A time without an
//! offset is refused, since it is a different moment in each time zone.

use brooklet_protocol::Timestamp;
use jiff::SignedDuration;
use jiff::civil::{self, DateTime};

/// The forms of a time, for error messages.
pub(crate) const EXPECTED: &str =
    "milliseconds since 1970, or a time with an offset, such as 2013-03-08T19:40:00Z";

const EPOCH: DateTime = civil::date(1970, 1, 1).at(0, 0, 0, 0);
const NANOS_PER_MILLI: i128 = 1_000_000;

/// `2013-03-08T19:40:00.000Z`, or a number of milliseconds if the calendar does not have the time.
pub(crate) fn to_text(time: Timestamp) -> String {
    match date(time) {
        Some(date) => format!("{date:.3}Z"),
        None => time.0.to_string(),
    }
}

/// As [`to_text`], without a fraction of zero.
pub(crate) fn to_short_text(time: Timestamp) -> String {
    to_text(time).replace(".000Z", "Z")
}

/// Whether the calendar has this time: the years -9999 to 9999.
pub(crate) fn is_in_calendar(time: Timestamp) -> bool {
    date(time).is_some()
}

fn date(time: Timestamp) -> Option<DateTime> {
    EPOCH.checked_add(SignedDuration::from_millis(time.0)).ok()
}

/// Reads a time in either form. `None`: it is not a time, or beyond the range of a [`Timestamp`].
pub(crate) fn parse(text: &str) -> Option<Timestamp> {
    match text.parse() {
        Ok(millis) => Some(Timestamp(millis)),
        Err(_) => parse_date(text),
    }
}

/// Reads RFC 3339.
pub(crate) fn parse_date(text: &str) -> Option<Timestamp> {
    let (local, offset) = split_offset(text)?;
    let (_, clock) = local.split_once(['T', 't', ' '])?;
    // The calendar accepts more than RFC 3339: dates alone, clocks without colons, zones in
    // brackets.
    let is_of_clock = |byte: u8| byte.is_ascii_digit() || matches!(byte, b':' | b'.');
    if !clock.contains(':') || !clock.bytes().all(is_of_clock) {
        return None;
    }
    let local: DateTime = local.parse().ok()?;
    let since_epoch = local.duration_since(EPOCH) - offset;
    let millis = since_epoch.as_nanos().div_euclid(NANOS_PER_MILLI);
    i64::try_from(millis).ok().map(Timestamp)
}

/// Splits `Z` or `+HH:MM` off the end.
fn split_offset(text: &str) -> Option<(&str, SignedDuration)> {
    if let Some(local) = text.strip_suffix(['Z', 'z']) {
        return Some((local, SignedDuration::ZERO));
    }
    let (local, offset) = text.split_at_checked(text.len().checked_sub(6)?)?;
    let sign = match offset.as_bytes()[0] {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, minutes) = offset[1..].split_once(':')?;
    let number = |digits: &str, most: i64| {
        let is_number = digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_digit());
        let number: i64 = is_number.then(|| digits.parse().ok())??;
        (number <= most).then_some(number)
    };
    let minutes = number(hours, 23)? * 60 + number(minutes, 59)?;
    Some((local, SignedDuration::from_mins(sign * minutes)))
}

/// A time on the command line.
///
/// # Errors
/// What was expected.
pub(crate) fn argument(text: &str) -> Result<Timestamp, String> {
    parse(text).ok_or_else(|| format!("expected {EXPECTED}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NINE_FIFTEEN: Timestamp = Timestamp(1_782_378_900_000);

    #[test]
    fn a_moment_has_many_spellings() {
        for text in [
            "2026-06-25T09:15:00Z",
            "2026-06-25T11:15:00+02:00",
            "2026-06-25T04:15:00-05:00",
            "2026-06-25T14:45:00+05:30",
            "2026-06-25T09:15:00+00:00",
            "2026-06-25T09:15:00-00:00",
            "2026-06-25t09:15:00z",
            "2026-06-25 09:15:00Z",
            "2026-06-25 11:15:00.000+02:00",
            "2026-06-25T09:15:00.000999999Z",
            "1782378900000",
        ] {
            assert_eq!(parse(text), Some(NINE_FIFTEEN), "{text}");
        }
        for text in [
            "",
            "noon",
            "2026-06-25",
            "2026-06-25T09:15:00",
            "2026-02-30T09:15:00Z",
            "2026-06-25T24:15:00Z",
            "2026-06-25T09:15:00+99:00",
            "2026-06-25T09:15:00Z[UTC]",
            "2026-06-25T09:15:00+02:00Z",
            "2026-06-25T09:15:00é02:00",
            "2026-06-25+02:00",
            "20260625T091500Z",
            "1782378900000.5",
            "9223372036854775808",
            " 5",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_time_is_never_moved_to_the_next_millisecond() {
        for (text, millis) in [
            ("2013-03-08T19:40:00.123999999Z", 1_362_771_600_123),
            ("1970-01-01T00:00:00.0009Z", 0),
            ("1969-12-31T23:59:59.9999Z", -1),
            ("1969-12-31T23:59:59.999Z", -1),
        ] {
            assert_eq!(parse(text), Some(Timestamp(millis)), "{text}");
        }
    }

    #[test]
    fn each_time_of_the_type_is_written() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_362_771_600_123, "2013-03-08T19:40:00.123Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (-1_362_771_600_123, "1926-10-26T04:19:59.877Z"),
            (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
            (253_402_300_800_000, "253402300800000"),
            (-377_705_116_800_000, "-009999-01-01T00:00:00.000Z"),
            (-377_705_116_800_001, "-377705116800001"),
            (1_782_379_000_123_456, "1782379000123456"),
            (i64::MAX, "9223372036854775807"),
            (i64::MIN, "-9223372036854775808"),
        ] {
            assert_eq!(to_text(Timestamp(millis)), text);
            assert_eq!(is_in_calendar(Timestamp(millis)), text.ends_with('Z'));
        }
        assert_eq!(to_short_text(Timestamp(0)), "1970-01-01T00:00:00Z");
        assert_eq!(to_short_text(Timestamp(1)), "1970-01-01T00:00:00.001Z");
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_again(millis: i64, bits in 0u32..64) {
            for millis in [millis, millis >> bits] {
                let text = to_text(Timestamp(millis));
                prop_assert_eq!(parse(&text), Some(Timestamp(millis)), "{}", text);
                prop_assert_eq!(text.ends_with('Z'), (-377_705_116_800_000..=253_402_300_799_999).contains(&millis));
            }
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[-+0-9TtZz:. \\[\\]]{0,40}") {
            if let Some(time) = parse(&text) {
                prop_assert_eq!(parse(&to_text(time)), Some(time));
            }
        }
    }
}
