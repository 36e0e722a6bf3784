//! Which bytes of a segment were verified since it was opened.

use std::ops::Range;

/// Ranges kept at most; what does not fit is verified again.
const RANGES_MAX: usize = 32;

/// Disjoint ranges of byte positions, ascending.
#[derive(Debug, Default)]
pub(super) struct VerifiedRanges {
    ranges: Vec<Range<u64>>,
}

impl VerifiedRanges {
    /// Whether all of `range` was verified.
    pub(super) fn contains(&self, range: &Range<u64>) -> bool {
        let after = self
            .ranges
            .partition_point(|known| known.start <= range.start);
        let before = after.checked_sub(1).map(|index| &self.ranges[index]);
        before.is_some_and(|known| range.end <= known.end)
    }

    /// Adds a range, joining it with those that it touches.
    pub(super) fn insert(&mut self, range: Range<u64>) {
        let first = self.ranges.partition_point(|known| known.end < range.start);
        let after = self
            .ranges
            .partition_point(|known| known.start <= range.end);
        let joined = if first < after {
            let start = self.ranges[first].start.min(range.start);
            start..self.ranges[after - 1].end.max(range.end)
        } else if self.ranges.len() < RANGES_MAX {
            range
        } else {
            return;
        };
        self.ranges.splice(first..after, [joined]);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn equals_a_set_of_positions(
            inserted in prop::collection::vec((0_u64..60, 1_u64..10), 0..20),
            (start, length) in (0_u64..60, 1_u64..10),
        ) {
            let mut verified = VerifiedRanges::default();
            let mut model = std::collections::BTreeSet::new();
            for (start, length) in inserted {
                verified.insert(start..start + length);
                model.extend(start..start + length);
            }
            let range = start..start + length;
            let expected = range.clone().all(|position| model.contains(&position));
            prop_assert_eq!(verified.contains(&range), expected);
            let joined = verified.ranges.windows(2).all(|pair| pair[0].end < pair[1].start);
            prop_assert!(joined);
        }
    }

    #[test]
    fn the_number_of_ranges_is_bounded() {
        let mut verified = VerifiedRanges::default();
        for index in 0..1000 {
            verified.insert(index * 10..index * 10 + 5);
        }
        assert_eq!(verified.ranges.len(), RANGES_MAX);
        assert!(verified.contains(&(0..5)));
        assert!(!verified.contains(&(9990..9995)));
    }
}
