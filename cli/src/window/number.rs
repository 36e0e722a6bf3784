//! Numbers as records write them: whole ones exactly, all others as 64-bit floats.
//!
//! A number is *whole* by its value, not by its spelling: `7`, `7.0` and `70e-1` are all 7, and
//! `-0.0` is 0. Whole numbers have 128 bits, so that identifiers and sums of 64-bit integers are
//! exact. A number that fits neither kind, such as `1e400` or an integer of 50 digits, is refused
//! rather than rounded.

use std::cmp::Ordering;
use std::fmt;

use serde::{Deserialize, Serialize};

/// 2^127: a float of this size or more does not fit 128 bits.
const WHOLE_END: f64 = 1.701_411_834_604_692_3e38;

/// A number that can be summed and compared. It is serialized as its text.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub(super) enum Number {
    /// A whole number.
    Whole(i128),
    /// A finite number that is not whole or exceeds 128 bits.
    Float(f64),
}

/// Why a text cannot be read as a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NumberError {
    /// It is not one.
    NotANumber,
    /// It would have to be rounded or become infinite.
    TooLarge,
}

impl Number {
    /// Reads a decimal number, with an optional fraction and exponent.
    ///
    /// # Errors
    /// It is not a number, or it fits neither kind.
    pub(super) fn parse(text: &str) -> Result<Self, NumberError> {
        let decimal = Decimal::parse(text).ok_or(NumberError::NotANumber)?;
        if let Some((whole, true)) = decimal.floor(0) {
            return Ok(Self::Whole(whole));
        }
        let float = text.parse().ok().filter(|float: &f64| float.is_finite());
        match float {
            Some(float) if !decimal.is_plain => Ok(Self::from_float(float)),
            _ => Err(NumberError::TooLarge),
        }
    }

    /// Whether a float is a whole number: from 2^53 on, it has no fraction left, whatever its
    /// spelling.
    fn from_float(float: f64) -> Self {
        if float.fract() == 0.0 && float.abs() < WHOLE_END {
            Self::Whole(float as i128)
        } else {
            Self::Float(float)
        }
    }
}

/// Compares by value. An integer that is rounded for a comparison with a float is greater than all
/// floats with a fraction, so the order stays right.
impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        match (*self, *other) {
            (Self::Whole(a), Self::Whole(b)) => Some(a.cmp(&b)),
            (Self::Float(a), Self::Float(b)) => a.partial_cmp(&b),
            (Self::Whole(a), Self::Float(b)) => (a as f64).partial_cmp(&b),
            (Self::Float(a), Self::Whole(b)) => a.partial_cmp(&(b as f64)),
        }
    }
}

/// As JSON writes it.
impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(whole) => write!(f, "{whole}"),
            Self::Float(float) => match serde_json::Number::from_f64(*float) {
                Some(number) => write!(f, "{number}"),
                None => f.write_str("null"),
            },
        }
    }
}

impl From<Number> for String {
    fn from(number: Number) -> Self {
        number.to_string()
    }
}

impl TryFrom<String> for Number {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).map_err(|_| format!("expected a number, found {text:?}"))
    }
}

/// A number's digits, before and after the point, and its exponent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decimal<'a> {
    is_negative: bool,
    whole: &'a str,
    fraction: &'a str,
    exponent: i64,
    /// Whether it has neither a point nor an exponent.
    is_plain: bool,
}

impl<'a> Decimal<'a> {
    /// Reads `-12.5e3` and the like; at least one digit, and nothing else.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
        let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, Some(exponent)),
            None => (unsigned, None),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if !is_digits(whole) || !is_digits(fraction) || whole.len() + fraction.len() == 0 {
            return None;
        }
        Some(Self {
            is_negative: text.starts_with('-'),
            whole,
            fraction,
            exponent: exponent.map_or(Some(0), read_exponent)?,
            is_plain: exponent.is_none() && whole.len() == mantissa.len(),
        })
    }

    /// The greatest integer that is not above this number times ten to the power of `shift`, and
    /// whether it is equal. `None`: it does not fit 128 bits.
    pub(super) fn floor(self, shift: i64) -> Option<(i128, bool)> {
        let digits = self.whole.bytes().chain(self.fraction.bytes());
        let point = (self.whole.len() as i64 + shift).saturating_add(self.exponent);
        let mut number: i128 = 0;
        let mut is_equal = true;
        let mut index = 0;
        for digit in digits {
            if index < point {
                number = number.checked_mul(10)?.checked_add((digit - b'0').into())?;
            } else if digit != b'0' {
                is_equal = false;
            }
            index += 1;
        }
        // A number other than 0 overflows after some forty digits.
        while index < point && number != 0 {
            number = number.checked_mul(10)?;
            index += 1;
        }
        if self.is_negative {
            number = -number - i128::from(!is_equal);
        }
        Some((number, is_equal))
    }
}

fn read_exponent(text: &str) -> Option<i64> {
    /// More than any number has digits, and far from overflow.
    const EXPONENT_MAX: i64 = 1 << 40;
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let exponent = digits.parse().unwrap_or(EXPONENT_MAX).min(EXPONENT_MAX);
    Some(if text.starts_with('-') {
        -exponent
    } else {
        exponent
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn whole_numbers_are_whole_however_they_are_spelled() {
        for (text, whole) in [
            ("7", 7),
            ("7.0", 7),
            ("7.", 7),
            ("+7", 7),
            ("70e-1", 7),
            ("0.7E+1", 7),
            ("-0.0", 0),
            ("0e99999999999999999999", 0),
            ("1782379000123.000", 1_782_379_000_123),
            ("1.782379000123e12", 1_782_379_000_123),
            ("9007199254740993", 9_007_199_254_740_993),
            ("18446744073709551617", 18_446_744_073_709_551_617),
            ("-170141183460469231731687303715884105727", -i128::MAX),
        ] {
            assert_eq!(Number::parse(text), Ok(Number::Whole(whole)), "{text}");
        }
    }

    #[test]
    fn floats_are_floats_and_what_fits_nothing_is_refused() {
        for (text, float) in [
            ("1.5", 1.5),
            (".5", 0.5),
            ("-1e-3", -0.001),
            ("1e300", 1e300),
            (
                "170141183460469231731687303715884105728.0",
                1.701_411_834_604_692_3e38,
            ),
        ] {
            assert_eq!(Number::parse(text), Ok(Number::Float(float)), "{text}");
        }
        for (text, error) in [
            ("1e400", NumberError::TooLarge),
            ("-1e99999999999999999999", NumberError::TooLarge),
            (
                "170141183460469231731687303715884105728",
                NumberError::TooLarge,
            ),
            ("", NumberError::NotANumber),
            ("-", NumberError::NotANumber),
            (".", NumberError::NotANumber),
            ("e5", NumberError::NotANumber),
            ("1e", NumberError::NotANumber),
            ("1e5.0", NumberError::NotANumber),
            ("1.2.3", NumberError::NotANumber),
            ("0x10", NumberError::NotANumber),
            ("1,5", NumberError::NotANumber),
            ("1_000", NumberError::NotANumber),
            ("NaN", NumberError::NotANumber),
            ("inf", NumberError::NotANumber),
            (" 1", NumberError::NotANumber),
            ("٣", NumberError::NotANumber),
        ] {
            assert_eq!(Number::parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn a_floor_is_never_above() {
        let floor = |text, shift| Decimal::parse(text).unwrap().floor(shift);
        assert_eq!(
            floor("1782379000.1239", 3),
            Some((1_782_379_000_123, false))
        );
        assert_eq!(floor("-0.0001", 3), Some((-1, false)));
        assert_eq!(
            floor("1782379000123456", -3),
            Some((1_782_379_000_123, false))
        );
        assert_eq!(floor("-1500", -3), Some((-2, false)));
        assert_eq!(floor("5", -6), Some((0, false)));
        assert_eq!(floor("1e38", 3), None);
    }

    #[test]
    fn integers_and_floats_are_compared_by_value() {
        let near = 9_007_199_254_740_993;
        let in_order = [
            Number::Float(-1e300),
            Number::Whole(-i128::MAX),
            Number::Whole(-1),
            Number::Float(-0.5),
            Number::Whole(0),
            Number::Float(0.5),
            Number::Whole(1),
            Number::Whole(near),
            Number::Whole(near + 1),
            Number::Whole(i128::MAX),
            Number::Float(1e300),
        ];
        assert!(in_order.is_sorted_by(|a, b| a < b));
    }

    proptest! {
        #[test]
        fn a_number_survives_its_text(whole: i128, bits in 0u32..127, float: f64) {
            for number in [Number::Whole((whole >> 1) >> bits), Number::from_float(float)] {
                let is_finite = !matches!(number, Number::Float(float) if !float.is_finite());
                if is_finite {
                    prop_assert_eq!(Number::try_from(String::from(number)), Ok(number));
                }
            }
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[-+0-9.eE]{0,60}") {
            let read = Number::parse(&text);
            // Rust's own parser agrees on what is a number.
            prop_assert_eq!(read == Err(NumberError::NotANumber), text.parse::<f64>().is_err());
        }
    }
}
