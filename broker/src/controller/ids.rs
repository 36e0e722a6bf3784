//! New ids for topics.
//!
//! Randomness is passed in: all ids of one run follow from its seed, so that a run can be repeated.

use uuid::Uuid;

use super::kafka_uuid;

/// A generator of ids that follow from a seed.
#[derive(Debug)]
pub(super) struct Ids {
    state: u128,
}

impl Ids {
    pub(super) fn new(seed: u128) -> Self {
        Self { state: seed }
    }

    /// A new id. Like Kafka, none whose text starts with `-`: it would look like an option.
    pub(super) fn next(&mut self) -> Uuid {
        loop {
            // A counter with an odd step visits every state, and mixing keeps them apart.
            self.state = self
                .state
                .wrapping_add(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
            let id = uuid::Builder::from_random_bytes(mixed(self.state).to_be_bytes()).into_uuid();
            if !kafka_uuid::to_text(id).starts_with('-') {
                return id;
            }
        }
    }
}

/// Every bit of the result depends on every bit of `bits`.
fn mixed(mut bits: u128) -> u128 {
    for factor in [
        0xbf58_476d_1ce4_e5b9_94d0_49bb_1331_11eb,
        0xd6e8_feb8_6659_fd93_2545_f491_4f6c_dd1d,
    ] {
        bits = (bits ^ (bits >> 67)).wrapping_mul(factor);
    }
    bits ^ (bits >> 67)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ids_follow_from_the_seed_and_differ() {
        let ids = |seed| {
            let mut ids = Ids::new(seed);
            (0..1000).map(move |_| ids.next()).collect::<Vec<_>>()
        };
        assert_eq!(ids(7), ids(7));
        let all: BTreeSet<_> = ids(7).into_iter().chain(ids(8)).collect();
        assert_eq!(all.len(), 2000);
        let dashed = |id: &Uuid| kafka_uuid::to_text(*id).starts_with('-');
        assert!(!all.iter().any(dashed));
        assert!(all.iter().all(|id| id.get_version_num() == 4));
    }
}
