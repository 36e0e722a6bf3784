//! What to measure, and under which load.

use std::collections::BTreeMap;
use std::time::Duration;

use brooklet_client::Acks;
use brooklet_protocol::records::Compression;
use thiserror::Error;

use crate::payload::{Content, STAMP_BYTES};
use crate::schedule::{Phases, Rate};

/// The load that every bench puts on a broker.
#[derive(Clone, Debug)]
pub struct Load {
    /// Bytes in the value of each record.
    pub value_bytes: usize,
    /// What the values hold.
    pub content: Content,
    /// How batches are compressed.
    pub compression: Compression,
    /// What a producer waits for.
    pub acks: Acks,
    /// Partitions of the topic.
    pub partitions: i32,
    /// Producers, each with a connection and a thread of its own.
    pub producers: u32,
    /// How long a batch waits for more records. `None`: the bench chooses.
    pub linger: Option<Duration>,
    /// Bytes that a batch may hold.
    pub batch_bytes: usize,
    /// Settings of the topic.
    pub topic_configs: BTreeMap<String, String>,
    /// How many times to measure.
    pub rounds: u32,
}

/// How long each round of a bench that sends takes.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// The length of a round; not zero.
    pub duration: Duration,
    /// The time before the first round; what is measured in it is discarded.
    pub warmup: Duration,
}

/// One of the three benches.
#[derive(Clone, Copy, Debug)]
pub enum Bench {
    /// Sends records: how many a broker takes, or how soon it confirms them.
    Produce {
        /// Records per second, from all producers together.
        rate: Rate,
        /// How long it takes.
        pace: Pace,
    },
    /// Reads stored records: how fast consumers catch up.
    Consume {
        /// Records to fill the topic with first.
        records: u64,
        /// Consumers, which share the partitions.
        consumers: u32,
    },
    /// Sends and reads records: how soon a record reaches a consumer.
    E2e {
        /// Records per second, from all producers together: it is always an open loop.
        per_second: u32,
        /// How long it takes.
        pace: Pace,
        /// Consumers, which share the partitions.
        consumers: u32,
    },
}

/// A load that a bench cannot produce.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum InvalidLoad {
    /// Some consumers would have nothing to read.
    #[error("{consumers} consumers need at least {consumers} partitions, found {partitions}")]
    TooFewPartitions {
        /// Consumers asked for.
        consumers: u32,
        /// Partitions of the topic.
        partitions: i32,
    },
    /// The time at which a record was due does not fit into its value.
    #[error("expected values of at least {STAMP_BYTES} bytes, found {found}")]
    ValueTooShort {
        /// Bytes of a value.
        found: usize,
    },
}

impl Load {
    /// Checks that `bench` can run under this load.
    ///
    /// # Errors
    /// It cannot.
    pub fn check(&self, bench: &Bench) -> Result<(), InvalidLoad> {
        let (consumers, is_stamped) = match *bench {
            Bench::Produce { .. } => (1, false),
            Bench::Consume { consumers, .. } => (consumers, false),
            Bench::E2e { consumers, .. } => (consumers, true),
        };
        let partitions = self.partitions;
        if consumers > partitions.unsigned_abs() {
            return Err(InvalidLoad::TooFewPartitions {
                consumers,
                partitions,
            });
        }
        let found = self.value_bytes;
        if is_stamped && found < STAMP_BYTES {
            return Err(InvalidLoad::ValueTooShort { found });
        }
        Ok(())
    }

    /// The load in words.
    pub(crate) fn words(&self) -> String {
        let acks = match self.acks {
            Acks::None => "0",
            Acks::Leader => "1",
            Acks::All => "all",
        };
        format!(
            "{} bytes of {}, codec {}, acks {acks}, {} partitions, {} producers, batches of {}",
            self.value_bytes,
            self.content.name(),
            self.compression,
            self.partitions,
            self.producers,
            self.batch_bytes,
        )
    }
}

impl Pace {
    pub(crate) fn phases(&self, load: &Load) -> Phases {
        Phases {
            warmup: self.warmup,
            duration: self.duration,
            rounds: load.rounds,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_fits_its_bench() {
        let load = |value_bytes, partitions| Load {
            value_bytes,
            content: Content::Noise,
            compression: Compression::None,
            acks: Acks::All,
            partitions,
            producers: 1,
            linger: None,
            batch_bytes: 16_384,
            topic_configs: BTreeMap::new(),
            rounds: 1,
        };
        let pace = Pace {
            duration: Duration::from_secs(1),
            warmup: Duration::ZERO,
        };
        let e2e = Bench::E2e {
            per_second: 1,
            pace,
            consumers: 2,
        };
        assert_eq!(load(8, 2).check(&e2e), Ok(()));
        let few = load(8, 1).check(&e2e).unwrap_err().to_string();
        assert_eq!(few, "2 consumers need at least 2 partitions, found 1");
        let short = load(7, 2).check(&e2e).unwrap_err().to_string();
        assert_eq!(short, "expected values of at least 8 bytes, found 7");
        let rate = Rate::Max;
        assert_eq!(load(0, 1).check(&Bench::Produce { rate, pace }), Ok(()));
    }
}
