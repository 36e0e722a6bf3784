//! A small generator of chance: splitmix64, enough to pick faults and easy to replay.

/// A stream of numbers that follows from its seed.
#[derive(Clone, Debug)]
pub(super) struct Random {
    state: u64,
}

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    pub(super) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to `most`, both included.
    pub(super) fn up_to(&mut self, most: usize) -> usize {
        match (most as u64).checked_add(1) {
            Some(choices) => (self.next() % choices) as usize,
            None => self.next() as usize,
        }
    }

    pub(super) fn one_in(&mut self, chances: u64) -> bool {
        self.next().is_multiple_of(chances)
    }

    /// A generator of its own, so that what it is used for does not shift the others' numbers.
    pub(super) fn fork(&mut self) -> Self {
        Self::new(self.next())
    }
}
