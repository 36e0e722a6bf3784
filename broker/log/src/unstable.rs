//! What keeps records from being stable: transactions that are open, or whose end may yet be lost.
//!
//! ```text
//!  offset   3     5     8            9
//!           begin a     end a        watermark 8: a's end is not below it, so nothing from 3 on
//!                 begin b              is stable; watermark 9: nothing from 5 on
//! ```
//!
//! The watermark is the high watermark for consumers, and the synced end for compaction, which must
//! not take a transaction for committed if a power cut can undo its marker. An ended transaction
//! that a later one encloses does not matter any longer, so only the others are kept; both their
//! offsets ascend.

use std::collections::VecDeque;

use brooklet_protocol::Offset;

#[derive(Debug, Default)]
pub(super) struct Unstable {
    /// Where the oldest transaction that is open began.
    open: Option<Offset>,
    /// First and last offset of those that have ended.
    ended: VecDeque<(Offset, Offset)>,
}

impl Unstable {
    pub(super) fn set_open(&mut self, first: Option<Offset>) {
        self.open = first;
    }

    /// A transaction from `first` has ended with the marker at `last`, the newest record of all.
    pub(super) fn ended(&mut self, first: Offset, last: Offset) {
        let enclosed = self.ended.partition_point(|(other, _)| *other < first);
        self.ended.truncate(enclosed);
        self.ended.push_back((first, last));
    }

    /// No watermark will be less than this one.
    pub(super) fn forget_below(&mut self, watermark: Offset) {
        let passed = self.ended.partition_point(|(_, last)| *last < watermark);
        self.ended.drain(..passed);
    }

    /// Where the oldest transaction began that has no end below `watermark`.
    pub(super) fn first_open_at(&self, watermark: Offset) -> Option<Offset> {
        let passed = self.ended.partition_point(|(_, last)| *last < watermark);
        let ended = self.ended.get(passed).map(|(first, _)| *first);
        ended.into_iter().chain(self.open).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_counts_where_the_watermark_has_passed_it() {
        let mut unstable = Unstable::default();
        let at = |unstable: &Unstable, watermark| {
            unstable
                .first_open_at(Offset(watermark))
                .map(|first| first.0)
        };
        assert_eq!(at(&unstable, 9), None);
        unstable.set_open(Some(Offset(3)));
        assert_eq!(at(&unstable, 9), Some(3));
        unstable.ended(Offset(5), Offset(6));
        unstable.ended(Offset(3), Offset(8));
        unstable.ended(Offset(9), Offset(10));
        unstable.set_open(None);
        let firsts = [6, 7, 8, 9, 10, 11].map(|watermark| at(&unstable, watermark));
        assert_eq!(firsts, [Some(3), Some(3), Some(3), Some(9), Some(9), None]);
        unstable.forget_below(Offset(9));
        assert_eq!(unstable.ended, [(Offset(9), Offset(10))]);
    }
}
