//! The kinds of values that settings accept, of topics and of the broker; and the nearest name to
//! one that is unknown.

use std::fmt;
use std::str::FromStr;

/// The values that a setting accepts.
#[derive(Clone, Copy, Debug)]
pub enum ConfigKind {
    /// A whole number, both ends included.
    Number {
        /// The smallest.
        min: i64,
        /// The largest.
        max: i64,
    },
    /// A number from 0 to 1.
    Ratio,
    /// `true` or `false`.
    Boolean,
    /// One of these words.
    Word(&'static [&'static str]),
    /// Some of these words, separated by commas.
    Words(&'static [&'static str]),
    /// Text of a certain form.
    Text {
        /// The form, in words.
        form: &'static str,
        /// Whether a text has it.
        has_form: fn(&str) -> bool,
    },
}

impl fmt::Display for ConfigKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number { min, max } => write!(f, "a whole number from {min} to {max}"),
            Self::Ratio => f.write_str("a number from 0 to 1"),
            Self::Boolean => f.write_str("true or false"),
            Self::Word(words) => write!(f, "one of {}", words.join(", ")),
            Self::Words(words) => write!(f, "a list of {}", words.join(", ")),
            Self::Text { form, .. } => f.write_str(form),
        }
    }
}

impl ConfigKind {
    /// Whether it accepts this value. Space around it is ignored, and so is the case of a boolean.
    pub fn takes(self, value: &str) -> bool {
        match self {
            Self::Number { min, max } => parsed(value).is_some_and(|n| (min..=max).contains(&n)),
            Self::Ratio => parsed(value).is_some_and(|n| (0.0..=1.0).contains(&n)),
            Self::Boolean => ["true", "false"].contains(&&*value.trim().to_lowercase()),
            Self::Word(words) => words.contains(&value.trim()),
            Self::Words(words) => value.split(',').all(|word| words.contains(&word.trim())),
            Self::Text { has_form, .. } => has_form(value.trim()),
        }
    }
}

fn parsed<T: FromStr>(value: &str) -> Option<T> {
    value.trim().parse().ok()
}

/// A Java `long` of at least `min`.
pub(crate) const fn long(min: i64) -> ConfigKind {
    ConfigKind::Number { min, max: i64::MAX }
}

/// A Java `int` of at least `min`.
pub(crate) const fn int(min: i64) -> ConfigKind {
    number(min, i32::MAX as i64)
}

/// A number within these limits, both included.
pub(crate) const fn number(min: i64, max: i64) -> ConfigKind {
    ConfigKind::Number { min, max }
}

/// The name that differs from `name` by the fewest edits.
///
/// # Panics
/// Without any names.
pub(crate) fn nearest(name: &str, names: impl Iterator<Item = &'static str>) -> &'static str {
    // A name of any length may come from the wire; beyond this length it resembles none.
    let start: String = name.chars().take(64).collect();
    let nearest = names.min_by_key(|known| edits(&start, known));
    nearest.expect("there are names")
}

/// Levenshtein's distance, row by row.
fn edits(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, from) in (1..).zip(a.chars()) {
        let mut diagonal = row[0];
        row[0] = i;
        for (j, to) in (1..).zip(b.chars()) {
            let replaced = diagonal + usize::from(from != to);
            diagonal = row[j];
            row[j] = replaced.min(row[j] + 1).min(row[j - 1] + 1);
        }
    }
    row[b.chars().count()]
}
