//! Aggregates that are chosen at run time, combined into one for the engine.
//!
//! The engine folds one value per window and key. Here that value is a small vector: for each
//! `--agg` a count, a sum, a minimum or a maximum. A field that is null or absent contributes
//! nothing, as in SQL.
//!
//! Integers are summed exactly, in 128 bits, and apart from the floats, so that their order does
//! not matter and a sum of integers is an integer. Only if 128 bits are not enough does a sum
//! continue as a float, and its result says so.

use std::fmt;

use brooklet_engine::Aggregate;
use brooklet_engine::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::change::{Placed, Places};
use super::number::Number;
use super::row::Row;
use super::spec::{AggregateSpec, Function};

/// One part of an aggregate: the function, and the index of the row's number that it takes.
#[derive(Clone, Copy, Debug)]
struct Part {
    function: Function,
    number: Option<usize>,
}

/// All aggregates of a query.
#[derive(Clone, Debug)]
pub(super) struct Aggregates {
    parts: Vec<Part>,
    /// As in a plan: `count, sum:/v`.
    name: String,
    places: Places,
}

/// The state of one aggregate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Kept {
    /// No number has come.
    Nothing,
    /// The number of rows.
    Count(u64),
    /// The number of numbers, and their sum.
    Total(u64, Total),
    /// The smallest or the greatest number.
    Extreme(Number),
}

/// The sum of the integers, and that of the floats.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Total {
    whole: i128,
    /// `None`: all numbers were integers.
    float: Option<f64>,
    /// Whether the integers exceeded 128 bits, so that they are in the float.
    is_rounded: bool,
}

impl Total {
    fn of(number: Number) -> Self {
        let (whole, float) = match number {
            Number::Whole(whole) => (whole, None),
            Number::Float(float) => (0, Some(float)),
        };
        Self {
            whole,
            float,
            is_rounded: false,
        }
    }

    fn plus(self, later: Self) -> Self {
        let float = match (self.float, later.float) {
            (Some(a), Some(b)) => Some(a + b),
            (a, b) => a.or(b),
        };
        let is_rounded = self.is_rounded || later.is_rounded;
        match self.whole.checked_add(later.whole) {
            Some(whole) => Self {
                whole,
                float,
                is_rounded,
            },
            None => Self {
                whole: 0,
                float: Some(float.unwrap_or(0.0) + self.whole as f64 + later.whole as f64),
                is_rounded: true,
            },
        }
    }

    fn to_float(self) -> f64 {
        self.whole as f64 + self.float.unwrap_or(0.0)
    }

    fn to_number(self) -> Number {
        match self.float {
            None => Number::Whole(self.whole),
            Some(_) => Number::Float(self.to_float()),
        }
    }
}

/// The result of one aggregate; displays as JSON, with null for a missing or infinite number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Answer {
    /// No number has come.
    Nothing,
    /// A number.
    Number(Number),
    /// A sum of integers beyond 128 bits, as a float, or a mean of such a sum.
    Rounded(f64),
    /// A sum that became infinite.
    Overflow,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Rounded(float) => write!(f, "{}", Number::Float(*float)),
            Self::Nothing | Self::Overflow => f.write_str("null"),
        }
    }
}

impl Answer {
    fn of_float(float: f64, is_rounded: bool) -> Self {
        match (float.is_finite(), is_rounded) {
            (false, _) => Self::Overflow,
            (true, true) => Self::Rounded(float),
            (true, false) => Self::Number(Number::Float(float)),
        }
    }

    /// Whether a sum was too large to be exact.
    pub(super) fn is_too_large(self) -> bool {
        matches!(self, Self::Rounded(_) | Self::Overflow)
    }
}

impl Aggregates {
    /// The aggregates of these specifications, over rows with the numbers `fields`.
    pub(super) fn new(specs: &[AggregateSpec], fields: &[String], places: Places) -> Self {
        let part = |spec: &AggregateSpec| Part {
            function: spec.function,
            number: spec
                .field
                .as_ref()
                .and_then(|f| fields.iter().position(|g| f == g)),
        };
        let names: Vec<_> = specs.iter().map(ToString::to_string).collect();
        Self {
            parts: specs.iter().map(part).collect(),
            name: names.join(", "),
            places,
        }
    }
}

impl Part {
    fn lift(self, row: &Row) -> Kept {
        let number = self
            .number
            .and_then(|index| row.numbers.get(index).copied().flatten());
        match (self.function, number) {
            (Function::Count, _) => Kept::Count(1),
            (_, None) => Kept::Nothing,
            (Function::Sum | Function::Mean, Some(number)) => Kept::Total(1, Total::of(number)),
            (Function::Min | Function::Max, Some(number)) => Kept::Extreme(number),
        }
    }

    fn combine(self, earlier: Kept, later: Kept) -> Kept {
        match (earlier, later) {
            (Kept::Count(a), Kept::Count(b)) => Kept::Count(a + b),
            (Kept::Total(a, earlier), Kept::Total(b, later)) => {
                Kept::Total(a + b, earlier.plus(later))
            }
            (Kept::Extreme(a), Kept::Extreme(b)) => {
                let is_better = match self.function {
                    Function::Min => b < a,
                    _ => b > a,
                };
                Kept::Extreme(if is_better { b } else { a })
            }
            (Kept::Nothing, kept) | (kept, _) => kept,
        }
    }

    fn lower(self, kept: Kept) -> Answer {
        match kept {
            Kept::Nothing => Answer::Nothing,
            Kept::Count(count) => Answer::Number(Number::Whole(count.into())),
            Kept::Extreme(number) => Answer::Number(number),
            Kept::Total(count, total) if self.function == Function::Mean => {
                Answer::of_float(total.to_float() / count as f64, total.is_rounded)
            }
            Kept::Total(_, total) => match total.to_number() {
                Number::Float(float) => Answer::of_float(float, total.is_rounded),
                whole @ Number::Whole(_) => Answer::Number(whole),
            },
        }
    }
}

impl Aggregate<Row> for Aggregates {
    type Acc = Vec<Kept>;
    type Out = Placed;

    fn lift(&self, row: &Row, _: Timestamp) -> Vec<Kept> {
        self.parts.iter().map(|part| part.lift(row)).collect()
    }

    fn combine(&self, earlier: &mut Vec<Kept>, later: &Vec<Kept>) {
        for ((part, earlier), later) in self.parts.iter().zip(earlier).zip(later) {
            *earlier = part.combine(*earlier, *later);
        }
    }

    fn lower(&self, acc: &Vec<Kept>) -> Placed {
        let all = self.parts.iter().zip(acc);
        self.places
            .place(all.map(|(part, kept)| part.lower(*kept)).collect())
    }

    fn name(&self) -> String {
        self.name.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The answers of these aggregates over rows of the numbers a, b and c, as JSON, and how many of
    /// them were too large.
    fn answers(specs: &[&str], rows: &[[Option<&str>; 3]]) -> (Vec<String>, usize) {
        let specs: Vec<AggregateSpec> = specs.iter().map(|s| s.parse().unwrap()).collect();
        let fields = ["a", "b", "c"].map(String::from);
        let aggregates = Aggregates::new(&specs, &fields, Places::default());
        let rows = rows.iter().map(|numbers| Row {
            time: None,
            key: String::new(),
            numbers: numbers
                .map(|n| n.map(|n| Number::parse(n).unwrap()))
                .to_vec(),
            original: None,
        });
        let lifted: Vec<_> = rows
            .map(|row| aggregates.lift(&row, Timestamp(0)))
            .collect();
        let mut acc = lifted[0].clone();
        for later in &lifted[1..] {
            aggregates.combine(&mut acc, later);
        }
        let found = aggregates.lower(&acc).answers;
        let too_large = found.iter().filter(|answer| answer.is_too_large()).count();
        (found.iter().map(ToString::to_string).collect(), too_large)
    }

    fn of_a(spec: &str, numbers: &[&str]) -> (String, usize) {
        let rows: Vec<_> = numbers.iter().map(|n| [Some(*n), None, None]).collect();
        let (mut found, too_large) = answers(&[spec], &rows);
        (found.remove(0), too_large)
    }

    #[test]
    fn a_plan_calls_them_as_they_were_written() {
        let specs = ["count", "sum:/v"].map(|spec| spec.parse().unwrap());
        let aggregates = Aggregates::new(&specs, &["/v".into()], Places::default());
        assert_eq!(aggregates.name(), "count, sum:/v");
    }

    #[test]
    fn each_aggregate_takes_its_own_field_and_skips_what_is_absent() {
        let specs = ["count", "sum:a", "mean:a", "min:b", "max:b", "mean:c"];
        let rows = [
            [Some("1"), None, None],
            [Some("2.0"), Some("-5.5"), None],
            [None, Some("7"), None],
        ];
        assert_eq!(
            answers(&specs, &rows).0,
            ["3", "3", "1.5", "-5.5", "7", "null"]
        );
    }

    #[test]
    fn integers_are_summed_to_the_last_digit_and_floats_as_floats() {
        let exact = |spec, numbers: &[&str], sum: &str| {
            assert_eq!(of_a(spec, numbers), (sum.to_owned(), 0), "{numbers:?}");
        };
        exact(
            "sum:a",
            &["9007199254740993", "9007199254740993"],
            "18014398509481986",
        );
        exact(
            "sum:a",
            &["9223372036854775807", "1"],
            "9223372036854775808",
        );
        exact(
            "sum:a",
            &["18446744073709551615", "-1"],
            "18446744073709551614",
        );
        exact(
            "max:a",
            &["9007199254740993", "9007199254740992"],
            "9007199254740993",
        );
        exact("sum:a", &["0.5", "1"], "1.5");
        exact("sum:a", &["0.5", "0.5"], "1.0");
        exact("mean:a", &["2", "4"], "3.0");
        exact("min:a", &["-0.0", "1e300"], "0");
    }

    #[test]
    fn what_is_too_large_says_so() {
        let most = i128::MAX.to_string();
        assert_eq!(
            of_a("sum:a", &[&most, &most]),
            ("3.402823669209385e+38".into(), 1)
        );
        assert_eq!(of_a("mean:a", &[&most, &most]).1, 1);
        assert_eq!(of_a("sum:a", &["1.7e308", "1.7e308"]), ("null".into(), 1));
        assert_eq!(of_a("mean:a", &["1.7e308", "1.7e308"]), ("null".into(), 1));
        assert_eq!(of_a("max:a", &["1.7e308", "1.7e308"]).1, 0);
    }

    proptest! {
        #[test]
        fn a_sum_of_integers_is_that_of_more_bits_in_any_order(numbers in proptest::collection::vec(any::<i64>(), 1..50)) {
            let sum: i128 = numbers.iter().map(|n| i128::from(*n)).sum();
            let mut texts: Vec<_> = numbers.iter().map(ToString::to_string).collect();
            for _ in 0..2 {
                let texts_now: Vec<_> = texts.iter().map(String::as_str).collect();
                prop_assert_eq!(of_a("sum:a", &texts_now), (sum.to_string(), 0));
                texts.reverse();
            }
        }
    }
}
