//! A stream engine that reads the log: windowed analytics over event time, stragglers included.
//!
//! A program is written in the DSL ([`dsl`]) and run in one of two ways: [`App::run`] carries
//! records between a broker and the program's tasks, [`TestDriver`] carries them in memory. Between
//! them they share everything that matters:
//!
//! ```text
//! runtime, test_driver                 carry records: between broker and tasks, or in memory
//!        │
//! dsl ─▶ topology                      what a program declares; only describes, runs nothing
//!        │
//!       task ─▶ repartition            what runs, once per stage and partition; changing keys
//!        │
//!       operator ─▶ store              windows: classify a record, fold it, close what is over
//!        │      └─▶ window, aggregate  arithmetic and algebra, nothing else
//!       branch                         steps, terminals, ports, and the outbox with what comes out
//! ```
//!
//! A whole program: how late are flights, per airport and hour of *scheduled* departure? It waits
//! 45 minutes for stragglers, which is not enough for the one in the middle.
//!
//! ```
//! use brooklet_engine::codec::{json, text};
//! use brooklet_engine::time::{Timestamp, hours, minutes};
//! use brooklet_engine::{App, TestDriver, Tumbling};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Clone, Serialize, Deserialize)]
//! struct Flight { scheduled_at: i64, origin: String, delay_min: f64 }
//!
//! let app = App::new("delays");
//! let delays = app
//!     .stream("flights", json::<Flight>())
//!     .event_time(|flight| Timestamp(flight.scheduled_at))
//!     .key_by("by-origin", |flight| flight.origin.clone(), json())
//!     .window(Tumbling::of(hours(1)).grace(minutes(45)))
//!     .mean("mean-delay", |flight| flight.delay_min);
//! let lines = delays.finals().map(|f| format!("{} {} {:.1}", f.window.start, f.key, f.value));
//! lines.to("delays-per-hour", |_| None, text());
//! delays.late().map(|late| late.reason()).to("too-late", |_| None, text());
//!
//! // `app.run(&client, RunOptions::default()).await` runs it on a broker. A test needs none:
//! let mut driver = TestDriver::new(app, 1)?;
//! for (minute, origin, delay_min) in [(5, "JFK", 2.0), (110, "JFK", 8.0), (50, "JFK", 65.0)] {
//!     let scheduled_at = minute * 60_000;
//!     let flight = Flight { scheduled_at, origin: origin.into(), delay_min };
//!     let departed = Timestamp(scheduled_at + delay_min as i64 * 60_000);
//!     driver.pipe("flights", 0, None, Some(&serde_json::to_vec(&flight)?), departed);
//! }
//! driver.end();
//! let found = driver.read_values("delays-per-hour", text())?;
//! assert_eq!(found, ["0 JFK 2.0", "3600000 JFK 8.0"]);
//! assert_eq!(driver.read("too-late").len(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! One rule of time holds everywhere. *Stream time* is the highest event time a task has seen, the
//! record at hand included; behind a repartition it is the minimum over the senders. A window is
//! closed iff `stream_time >= end + grace`. It closes once, emits each result once, and never
//! reopens; a record too late for a window is counted and handed to the program with the reason.
//! The same input yields the same output.

// What a program declares.
pub mod dsl;
mod topology;

// What is computed: from the arithmetic up.
pub mod window;

pub mod aggregate;

pub mod operator;

mod store;

// What runs.
mod branch;

mod task;

pub mod runtime;

pub mod test_driver;

// What all of them use.
pub mod codec;
pub mod key;
pub mod metrics;
pub mod time;

#[cfg(test)]
mod replay;
#[cfg(test)]
mod vectors;

pub use aggregate::Aggregate;
pub use branch::outbox::OutRecord;
pub use brooklet_client::{self as client, Client};
pub use codec::Codec;
pub use dsl::{App, KeyedStream, Repartition, Stream, Windowed};
pub use key::Key;
pub use metrics::{Metrics, RunReport};
pub use operator::results::{Final, Late, Update};
pub use runtime::{Bound, RunError, RunOptions, Start};
pub use test_driver::TestDriver;
pub use topology::TopologyError;
pub use topology::describe::Plan;
pub use window::{Calendar, Cumulative, Hopping, Sessions, Sliding, Tumbling, Window};
