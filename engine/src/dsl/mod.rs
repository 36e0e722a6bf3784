//! The language in which a program says what to do with its streams.
//!
//! ```
//! use brooklet_engine::codec::json;
//! use brooklet_engine::time::{Timestamp, hours, minutes};
//! use brooklet_engine::{App, TestDriver, Tumbling};
//!
//! #[derive(Clone, serde::Serialize, serde::Deserialize)]
//! struct Flight { scheduled_at: i64, origin: String, delay_min: f64 }
//!
//! let app = App::new("flights-demo");
//! let delays = app
//!     .stream("flights", json::<Flight>())
//!     .event_time(|flight| Timestamp(flight.scheduled_at))
//!     .key_by("by-origin", |flight| flight.origin.clone(), json())
//!     .window(Tumbling::of(hours(1)).grace(minutes(45)))
//!     .mean("mean-delay", |flight| flight.delay_min);
//! delays.finals().to("delays", |result| Some(result.key.clone().into()), json());
//! delays.late().for_each(|late| println!("{}: {}", late.key, late.reason()));
//!
//! let mut driver = TestDriver::new(app, 3).unwrap();
//! let flight = Flight { scheduled_at: 5, origin: "JFK".into(), delay_min: 12.0 };
//! let value = serde_json::to_vec(&flight).unwrap();
//! driver.pipe("flights", 0, Some(b"N14228"), Some(&value), Timestamp(9));
//! driver.end();
//! assert_eq!(driver.read("delays").len(), 1);
//! ```
//!
//! Handles are cheap and may be cloned: each terminal (`to`, `for_each`, `key_by`) on a clone makes
//! a branch of its own, with its own copy of the closures. Closures are synchronous; every task
//! owns its copy, so what a closure remembers is per task. The compiler fuses a branch into one
//! loop.
//!
//! The program names its operators, because topics and counters carry the names. Windows
//! without a grace do not compile.
//!
//! Left out: joins, tables, several topics in one stream, and closures that fail.

mod source;
mod stream;

mod keyed;
mod windowing;

use std::sync::Arc;

use parking_lot::Mutex;

use crate::codec::Codec;
use crate::metrics::Metrics;
use crate::topology::describe::Plan;
use crate::topology::{Registry, Shared};

pub use crate::branch::ops::{Filter, FlatMap, Identity, Map, Ops};
pub use crate::task::event_time::{ByBoth, ByEvent, ByRecord};
pub use crate::task::malformed::{Future, Malformed, MalformedReason};
pub use keyed::{Custom, KeyedStream, Windowed, WindowedStream};
pub use source::SourceRoot;
pub use stream::{PortRoot, Repartition, Root, Stream};
pub use windowing::Windowing;

/// A program: streams and what happens to them.
pub struct App {
    pub(crate) shared: Shared,
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "App({:?})", self.shared.lock().name)
    }
}

impl App {
    /// An empty program. The names of its own topics begin with its name, which is also its
    /// application id.
    pub fn new(name: &str) -> Self {
        Self {
            shared: Arc::new(Mutex::new(Registry::new(name))),
        }
    }

    /// A stream of a topic's values. Event time is the record's timestamp, unless
    /// [`Stream::event_time`] says otherwise.
    pub fn stream<T: Send + 'static, C: Codec<T>>(
        &self,
        topic: &str,
        codec: C,
    ) -> Stream<SourceRoot<T, C, ByRecord>, Identity> {
        let mut registry = self.shared.lock();
        let counters = registry.metrics.source(topic);
        let topic = registry.topic(topic);
        let index = topic.map(|topic| registry.source(&topic, Arc::clone(&counters)));
        let shared = Arc::clone(&self.shared);
        Stream::new(SourceRoot::new(shared, index, codec, counters))
    }

    /// What the program will do, as it is declared so far.
    pub fn describe(&self) -> Plan {
        self.shared.lock().plan()
    }

    /// The program's counters, also while it runs.
    pub fn metrics(&self) -> Metrics {
        self.shared.lock().metrics.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;
    use crate::codec::{DecodeError, EncodeError, int64, json, raw, text};
    use crate::time::{Timestamp, millis};
    use crate::topology::TopologyError;
    use crate::window::Tumbling;
    use crate::{OutRecord, TestDriver};

    type Nullable<'a> = Option<&'a [u8]>;

    fn values(records: Vec<OutRecord>) -> Vec<String> {
        let value = |record: OutRecord| String::from_utf8(record.value.unwrap().to_vec()).unwrap();
        records.into_iter().map(value).collect()
    }

    #[test]
    fn steps_chain_and_streams_branch() {
        let app = App::new("app");
        let numbers = app.stream("in", text()).map(|text| text.len() as i64);
        let pairs = numbers.clone().filter(|n| *n > 1).flat_map(|n| [n, -n]);
        pairs.to("pairs", |_| None, json());
        numbers.to("lengths", |n| Some(n.to_string().into()), json());
        let mut driver = TestDriver::new(app, 1).unwrap();
        for word in ["a", "bcd"] {
            driver.pipe("in", 0, None, Some(word.as_bytes()), Timestamp(7));
        }
        assert_eq!(values(driver.read("pairs")), ["3", "-3"]);
        let lengths = driver.read("lengths");
        assert_eq!(lengths[1].key.as_deref(), Some(&b"3"[..]));
        assert_eq!(lengths[1].timestamp, Timestamp(7));
        assert_eq!(driver.report().records_in(), 2);
    }

    #[test]
    fn branches_that_share_a_topic_keep_the_order_of_their_causes() {
        let app = App::new("app");
        let words = app.stream("in", text());
        words.clone().to("out", |_| None, text());
        words.map(|word| word + "!").to("out", |_| None, text());
        let mut driver = TestDriver::new(app, 1).unwrap().scheduled(3);
        for word in ["a", "b", "c"] {
            driver.pipe("in", 0, None, Some(word.as_bytes()), Timestamp(0));
        }
        driver.end();
        assert_eq!(
            values(driver.read("out")),
            ["a", "a!", "b", "b!", "c", "c!"]
        );
    }

    #[test]
    fn what_cannot_be_used_is_counted_once_and_shown() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let hook = Arc::clone(&seen);
        let app = App::new("app");
        let numbers = app
            .stream("in", int64())
            .event_time(|n| Timestamp(*n))
            .on_malformed(move |m| hook.lock().push(format!("{}: {}", m.offset, m.reason)));
        let counts = numbers.clone().keyed_by_record_key::<i64>();
        let counts = counts
            .window(Tumbling::of(millis(10)).grace(millis(0)))
            .count("n");
        counts.finals().for_each(|_| ());
        numbers.to("copy", |_| None, int64());
        let mut driver = TestDriver::new(app, 1).unwrap();
        let (key, value) = (1i64.to_be_bytes(), 5i64.to_be_bytes());
        let negative = (-5i64).to_be_bytes();
        let records: [(Nullable<'_>, Nullable<'_>); 6] = [
            (Some(&key), Some(b"not a number")),
            (Some(&key), None),
            (Some(&key), Some(&negative)),
            (None, Some(&value)),
            (Some(b"no key"), Some(&value)),
            (Some(&key), Some(&value)),
        ];
        for (key, value) in records {
            driver.pipe("in", 0, key, value, Timestamp(0));
        }
        driver.end();
        let counts = driver.report().sources["in"];
        assert_eq!(
            (counts.records, counts.malformed, counts.null_values),
            (6, 1, 1)
        );
        assert_eq!(
            (
                counts.impossible_times,
                counts.null_keys,
                counts.malformed_keys
            ),
            (1, 1, 1)
        );
        assert_eq!(driver.report().windows["n"].counts.records, 1);
        assert_eq!(driver.read("copy").len(), 3);
        assert_eq!(
            *seen.lock(),
            [
                "0: its value does not decode: expected 8 bytes, found 12",
                "1: it has no value",
                "2: its event time -5 is impossible",
            ]
        );
    }

    /// Numbers between blanks.
    #[derive(Clone)]
    struct Words;

    impl Codec<i64> for Words {
        fn decode(&self, bytes: &[u8]) -> Result<i64, DecodeError> {
            let word = text().decode(bytes)?;
            word.parse()
                .map_err(|_| DecodeError(format!("{word} is no number")))
        }
        fn decode_each(&self, bytes: &[u8], take: impl FnMut(Result<i64, DecodeError>)) {
            let words = bytes
                .split(|byte| *byte == b' ')
                .filter(|word| !word.is_empty());
            words.map(|word| self.decode(word)).for_each(take);
        }
        fn encode(&self, value: &i64) -> Result<bytes::Bytes, EncodeError> {
            text().encode(&value.to_string())
        }
    }

    #[test]
    fn a_record_may_hold_several_values_each_with_its_time() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let hook = Arc::clone(&seen);
        let app = App::new("app");
        let counts = app
            .stream("in", Words)
            .on_malformed(move |m| hook.lock().push(format!("{}: {}", m.offset, m.reason)))
            .try_event_time(|n, record| match n {
                0..50 => Ok(Timestamp(record.0 + n)),
                _ => Err(format!("{n} is too far")),
            })
            .key_by("by", |_| 0u32, json())
            .window(Tumbling::of(millis(10)).grace(millis(0)))
            .count("n");
        counts
            .finals()
            .map(|f| (f.window.start.0, f.value))
            .to("out", |_| None, json());
        counts
            .late()
            .map(|late| late.value)
            .to("late", |_| None, json());
        let mut driver = TestDriver::new(app, 1).unwrap().scheduled(5);
        for value in [&b"3 x 25 4"[..], b"", b"26 99"] {
            driver.pipe("in", 0, None, Some(value), Timestamp(100));
        }
        driver.end();
        assert_eq!(values(driver.read("out")), ["[100,1]", "[120,2]"]);
        assert_eq!(values(driver.read("late")), ["4"]);
        assert_eq!(
            *seen.lock(),
            [
                "0: its value does not decode: x is no number",
                "2: 99 is too far"
            ]
        );
        let counts = driver.report().sources["in"];
        assert_eq!((counts.records, counts.items), (3, 6));
        assert_eq!((counts.malformed, counts.impossible_times), (1, 1));
    }

    #[test]
    fn what_cannot_be_encoded_is_counted() {
        /// Refuses the letter x.
        #[derive(Clone)]
        struct NoX;
        impl Codec<String> for NoX {
            fn decode(&self, bytes: &[u8]) -> Result<String, DecodeError> {
                text().decode(bytes)
            }
            fn encode(&self, value: &String) -> Result<bytes::Bytes, EncodeError> {
                if value.contains('x') {
                    return Err(EncodeError("an x".to_owned()));
                }
                text().encode(value)
            }
        }

        let app = App::new("app");
        let words = app.stream("in", text());
        words.clone().to("out", |_| None, NoX);
        drop(words.key_by("by", |_| 0u32, NoX));
        let mut driver = TestDriver::new(app, 1).unwrap();
        for word in ["a", "x"] {
            driver.pipe("in", 0, None, Some(word.as_bytes()), Timestamp(0));
        }
        assert_eq!(values(driver.read("out")), ["a"]);
        assert_eq!(driver.report().unencodable, 2);
    }

    #[test]
    fn time_advances_with_what_a_filter_drops() {
        let app = App::new("app");
        let keyed = app.stream("in", text()).filter(|word| word != "tick");
        let keyed = keyed.keyed_by_record_key::<String>();
        let counts = keyed
            .window(Tumbling::of(millis(10)).grace(millis(0)))
            .count("n");
        counts.finals().to("out", |_| None, json());
        let mut driver = TestDriver::new(app, 1).unwrap();
        driver.pipe("in", 0, Some(b"k"), Some(b"a"), Timestamp(3));
        assert_eq!(driver.read("out").len(), 0);
        driver.pipe("in", 0, Some(b"k"), Some(b"tick"), Timestamp(10));
        assert_eq!(driver.read("out").len(), 1);
    }

    #[test]
    fn mistakes_are_told_when_the_program_runs() {
        let error = |app: App| TestDriver::new(app, 1).unwrap_err().to_string();
        assert_eq!(error(App::new("idle")), "the program 'idle' reads no topic");

        let app = App::new("app");
        app.stream("a/b", raw()).for_each(|_| ());
        assert!(error(app).starts_with("topic 'a/b': "));

        let app = App::new("app");
        let keyed = app.stream("in", raw()).keyed_by_record_key::<String>();
        let windows = Tumbling::of(millis(1)).grace(millis(0));
        keyed
            .window(windows)
            .count("same")
            .finals()
            .for_each(|_| ());
        keyed
            .window(windows)
            .count("same")
            .finals()
            .for_each(|_| ());
        assert_eq!(error(app), "the name 'same' is used by two operators");

        let app = App::new("app");
        let none = Repartition::named("by").partitions(0);
        drop(app.stream("in", raw()).key_by(none, |_| 0u32, raw()));
        let expected = TopologyError::Partitions {
            name: "by".to_owned(),
            partitions: 0,
        };
        assert_eq!(error(app), expected.to_string());

        let app = App::new("not a topic");
        let keyed = app.stream("in", raw()).key_by("by", |_| 0u32, raw());
        keyed.window(windows).count("n").finals().for_each(|_| ());
        assert!(error(app).starts_with("topic 'not a topic-by-repartition': "));
    }
}
