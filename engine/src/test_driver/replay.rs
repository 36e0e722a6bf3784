//! The law of replay, as a check for any program: the same input yields the same output,
//! whatever the number of tasks, however batches are cut and tasks take turns, and wherever the
//! program is killed.
//!
//! ```
//! use brooklet_engine::codec::{json, text};
//! use brooklet_engine::test_driver::{Input, assert_replay_equal};
//! use brooklet_engine::time::{Timestamp, seconds};
//! use brooklet_engine::{App, Tumbling};
//!
//! fn words() -> App {
//!     let app = App::new("words");
//!     let counts = app
//!         .stream("lines", text())
//!         .flat_map(|line| line.split(' ').map(str::to_owned).collect::<Vec<_>>())
//!         .key_by("by-word", |word: &String| word.clone(), text())
//!         .window(Tumbling::of(seconds(1)).grace(seconds(1)))
//!         .count("count");
//!     counts.finals().to("counts", |count| Some(count.key.clone().into()), json());
//!     app
//! }
//!
//! let mut input = Input::new(2);
//! for (partition, time, line) in [(0, 5, "to be"), (1, 1500, "or not"), (0, 990, "to be")] {
//!     input.pipe("lines", partition, None, Some(line.as_bytes()), Timestamp(time));
//! }
//! assert_replay_equal(words, &input, &[1, 2, 8]);
//! ```

use brooklet_protocol::Timestamp;
use bytes::Bytes;

use super::TestDriver;
use crate::dsl::App;

/// How many schedules are tried for each number of tasks.
const SCHEDULES: u64 = 8;

/// A record of the input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piped {
    /// Its topic.
    pub topic: String,
    /// Its partition.
    pub partition: i32,
    /// Its key.
    pub key: Option<Bytes>,
    /// Its value.
    pub value: Option<Bytes>,
    /// Its timestamp.
    pub timestamp: Timestamp,
}

/// The input of a program: records in the order in which they are written to their partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    partitions: i32,
    records: Vec<Piped>,
}

impl Input {
    /// No records yet; the topics have this many partitions.
    pub fn new(partitions: i32) -> Self {
        Self {
            partitions,
            records: Vec::new(),
        }
    }

    /// Adds a record, as [`TestDriver::pipe`] takes it.
    pub fn pipe(
        &mut self,
        topic: &str,
        partition: i32,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        timestamp: Timestamp,
    ) {
        self.records.push(Piped {
            topic: topic.to_owned(),
            partition,
            key: key.map(Bytes::copy_from_slice),
            value: value.map(Bytes::copy_from_slice),
            timestamp,
        });
    }

    fn play(&self, mut driver: TestDriver) -> Vec<String> {
        for record in &self.records {
            let (key, value) = (record.key.as_deref(), record.value.as_deref());
            let (topic, partition) = (&record.topic, record.partition);
            driver.pipe(topic, partition, key, value, record.timestamp);
        }
        driver.end();
        let mut lines = Vec::new();
        for topic in driver.topics() {
            for record in driver.read(&topic) {
                let (key, value) = (record.key, record.value);
                lines.push(format!("{topic} {} {key:?} {value:?}", record.timestamp.0));
            }
        }
        // Tasks that write to one topic interleave as they come.
        lines.sort_unstable();
        lines
    }
}

/// Runs a program over an input with each of these numbers of tasks behind its repartitions, under
/// several schedules, with and without crashes; all must write the same.
///
/// # Panics
/// When they do not, with what differs; when the program is not well declared.
pub fn assert_replay_equal(program: impl Fn() -> App, input: &Input, tasks: &[i32]) {
    let driver = |tasks| {
        let driver = TestDriver::with_tasks(program(), input.partitions, tasks);
        driver.expect("the program is well declared")
    };
    let expected = input.play(driver(None));
    for tasks in tasks {
        for seed in 0..SCHEDULES {
            let plain = driver(Some(*tasks)).scheduled(seed);
            let killed = driver(Some(*tasks)).scheduled(seed).crashing();
            for (driver, how) in [(plain, "undisturbed"), (killed, "killed now and then")] {
                let found = input.play(driver);
                let differs = || expected.iter().zip(&found).find(|(a, b)| a != b);
                assert!(
                    found == expected,
                    "{tasks} tasks, schedule {seed}, {how}: expected {} records, found {}; first \
                     difference: {:?}",
                    expected.len(),
                    found.len(),
                    differs(),
                );
            }
        }
    }
}
