//! Sets of numbers as ranges: of lines, of offsets.
//!
//! ```text
//!   17,23-40,100-      17, 23 to 40, and all from 100 on, as in `cut`
//! ```

use std::fmt::{self, Display};
use std::str::FromStr;

/// Ranges that are written out; more would not help.
const SHOWN_MAX: usize = 100;

/// A set of numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ranges {
    /// First and last, ascending, with a gap between each two.
    ranges: Vec<(u64, u64)>,
}

impl Ranges {
    /// Whether it is empty.
    pub(crate) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// How many numbers it has; only meaningful if no range is open.
    pub(crate) fn count(&self) -> u64 {
        let counts = self.ranges.iter();
        let counts = counts.map(|(first, last)| (last - first).saturating_add(1));
        counts.fold(0, u64::saturating_add)
    }

    /// Whether a number is in it.
    pub(crate) fn contains(&self, number: u64) -> bool {
        let after = self.ranges.partition_point(|(_, last)| *last < number);
        self.ranges
            .get(after)
            .is_some_and(|(first, _)| *first <= number)
    }

    /// The lowest number in it that is at least `from`.
    pub(crate) fn next(&self, from: u64) -> Option<u64> {
        let after = self.ranges.partition_point(|(_, last)| *last < from);
        self.ranges.get(after).map(|(first, _)| (*first).max(from))
    }

    /// The numbers that are in both.
    pub(crate) fn and(&self, other: &Self) -> Self {
        let mut both = Self::default();
        for (first, last) in &self.ranges {
            for (f, l) in &other.ranges {
                let (first, last) = ((*first).max(*f), (*last).min(*l));
                if first <= last {
                    both.insert_range(first, last);
                }
            }
        }
        both
    }

    /// The numbers that are in at least one.
    pub(crate) fn or(&self, other: &Self) -> Self {
        let mut either = self.clone();
        for (first, last) in &other.ranges {
            either.insert_range(*first, *last);
        }
        either
    }

    /// Adds a number.
    pub(crate) fn insert(&mut self, number: u64) {
        self.insert_range(number, number);
    }

    /// Adds all numbers from `first` on.
    pub(crate) fn insert_from(&mut self, first: u64) {
        self.insert_range(first, u64::MAX);
    }

    /// Adds the numbers from `first` to `last`.
    pub(crate) fn insert_range(&mut self, first: u64, last: u64) {
        // Ranges that touch it are joined with it.
        let begin = self
            .ranges
            .partition_point(|(_, l)| l.saturating_add(1) < first);
        let end = self
            .ranges
            .partition_point(|(f, _)| *f <= last.saturating_add(1));
        let touched = &self.ranges[begin..end.max(begin)];
        let first = touched.first().map_or(first, |(f, _)| first.min(*f));
        let last = touched.last().map_or(last, |(_, l)| last.max(*l));
        self.ranges.splice(begin..end.max(begin), [(first, last)]);
    }
}

impl Display for Ranges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (first, last)) in self.ranges.iter().take(SHOWN_MAX).enumerate() {
            let comma = if index > 0 { "," } else { "" };
            match *last {
                u64::MAX => write!(f, "{comma}{first}-")?,
                last if last == *first => write!(f, "{comma}{first}")?,
                last => write!(f, "{comma}{first}-{last}")?,
            }
        }
        match self.ranges.len().saturating_sub(SHOWN_MAX) {
            0 => Ok(()),
            more => write!(f, ",.. ({more} more ranges)"),
        }
    }
}

impl FromStr for Ranges {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut ranges = Self::default();
        for part in text.split(',') {
            let expected = || format!("expected numbers such as 17,23-40,100-, found '{part}'");
            let number = |text: &str| text.parse::<u64>().map_err(|_| expected());
            let (first, last) = match part.split_once('-') {
                None => (number(part)?, number(part)?),
                Some((first, "")) => (number(first)?, u64::MAX),
                Some((first, last)) => (number(first)?, number(last)?),
            };
            if first > last {
                return Err(expected());
            }
            ranges.insert_range(first, last);
        }
        Ok(ranges)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_become_ranges_and_are_read_again() {
        let mut ranges = Ranges::default();
        for number in [17, 25, 23, 24, 17, 3] {
            ranges.insert(number);
        }
        assert_eq!(ranges.to_string(), "3,17,23-25");
        assert_eq!(ranges.count(), 5);
        ranges.insert_from(24);
        assert_eq!(ranges.to_string(), "3,17,23-");
        assert_eq!("3,17,23-".parse(), Ok(ranges));
        for wrong in ["", "a", "5-3", "-3", "1,,2", "1-2-3", "-"] {
            assert!(wrong.parse::<Ranges>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_in_two_sets_is_in_both() {
        let set = |text: &str| text.parse::<Ranges>().unwrap();
        assert_eq!(
            set("3,10-20,30-").and(&set("1-4,15-35")),
            set("3,15-20,30-35")
        );
        assert!(set("3").and(&set("4-")).is_empty());
    }

    #[test]
    fn a_long_list_is_cut() {
        let mut ranges = Ranges::default();
        (0..SHOWN_MAX as u64 + 7).for_each(|number| ranges.insert(number * 2));
        assert!(
            ranges.to_string().ends_with("196,198,.. (7 more ranges)"),
            "{ranges}"
        );
    }

    proptest! {
        #[test]
        fn they_are_a_set(numbers in prop::collection::vec((0_u64..60, 0_u64..4), 0..30)) {
            let (mut ranges, mut set) = (Ranges::default(), BTreeSet::new());
            for (first, more) in numbers {
                ranges.insert_range(first, first + more);
                set.extend(first..=first + more);
            }
            prop_assert_eq!(ranges.count(), set.len() as u64);
            for pair in ranges.ranges.windows(2) {
                prop_assert!(pair[0].1 + 1 < pair[1].0);
            }
            if !set.is_empty() {
                prop_assert_eq!(ranges.to_string().parse(), Ok(ranges.clone()));
            }
            for number in 0..70 {
                prop_assert_eq!(ranges.contains(number), set.contains(&number));
                prop_assert_eq!(ranges.next(number), set.range(number..).next().copied());
            }
        }
    }
}
