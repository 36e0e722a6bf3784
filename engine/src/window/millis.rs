//! Spans of time as whole milliseconds: read from a [`Duration`], and written in words.

use std::time::Duration;

use super::WindowError;

/// Units from the longest, as people write them.
const UNITS: [(&str, i64); 5] = [
    ("d", 24 * 60 * 60 * 1000),
    ("h", 60 * 60 * 1000),
    ("m", 60 * 1000),
    ("s", 1000),
    ("ms", 1),
];

/// The span in milliseconds; `what` is its name, should there be none.
pub(super) fn whole_millis(what: &'static str, span: Duration) -> Result<i64, WindowError> {
    let millis = i64::try_from(span.as_millis()).ok();
    millis
        .filter(|_| span.subsec_nanos().is_multiple_of(1_000_000))
        .ok_or(WindowError::NotMillis { what, found: span })
}

/// As a person would write it: `1h 30m`.
pub(super) fn in_words(millis: i64) -> String {
    let (mut words, mut rest) = (Vec::new(), millis);
    for (unit, size) in UNITS {
        if rest >= size {
            words.push(format!("{}{unit}", rest / size));
            rest %= size;
        }
    }
    if words.is_empty() {
        words.push(format!("{rest}s"));
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{hours, millis, minutes, seconds};

    fn words(span: Duration) -> String {
        in_words(whole_millis("a span", span).unwrap())
    }

    #[test]
    fn a_span_is_written_in_its_own_units() {
        assert_eq!(words(minutes(1)), "1m");
        assert_eq!(words(minutes(90)), "1h 30m");
        assert_eq!(words(hours(24)), "1d");
        assert_eq!(words(seconds(61) + millis(5)), "1m 1s 5ms");
        assert_eq!(words(millis(0)), "0s");
        assert_eq!(
            words(millis(i64::MAX as u64)),
            "106751991167d 7h 12m 55s 807ms"
        );
    }

    #[test]
    fn nothing_is_rounded() {
        let found = Duration::from_micros(500);
        let error = whole_millis("the grace", found).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the grace must be a whole number of milliseconds below 2^63, found 500µs"
        );
        assert!(whole_millis("a span", millis(1 << 63)).is_err());
        assert_eq!(whole_millis("a span", millis((1 << 63) - 1)), Ok(i64::MAX));
    }
}
