//! A stream engine that reads the log: windowed analytics over event time, stragglers included.
//!
//! A program is written in the DSL ([`dsl`]) and run in one of two ways: [`App::run`] carries
//! records between a broker and the program's tasks, [`TestDriver`] carries them in memory. Between
//! them they share everything that matters:
//!
//! ```text
//! dsl ──▶ topology ──▶ task ──▶ port ──▶ outbox        what is declared, what runs, what comes out
//!                       ├─▶ repartition ──▶ merge      changing keys without losing track of time
//!                       └─▶ operator ──▶ store         windows: judge, fold, close
//!                             └─▶ window, aggregate    arithmetic and algebra, nothing else
//! ```
//!
//! One rule of time holds everywhere. *Stream time* is the highest event time a task has seen, the
//! record at hand included; behind a repartition it is the minimum over the senders. A window is
//! closed iff `stream_time >= end + grace`. It closes once, gives each result once, and never
//! reopens; a record too late for a window is counted and handed to the program with the reason.
//! The same input gives the same output.

pub mod aggregate;
pub mod client;
pub mod codec;
pub mod dsl;
pub mod key;
mod merge;
pub mod metrics;
mod operator;
mod origin;
mod outbox;
mod port;
mod repartition;
mod results;
pub mod runtime;
mod store;
mod task;
pub mod test_driver;
pub mod time;
mod topology;
pub mod transport;
pub mod window;

#[cfg(test)]
mod replay;
#[cfg(test)]
mod vectors;

pub use aggregate::Aggregate;
pub use client::Client;
pub use codec::Codec;
pub use dsl::{App, KeyedStream, Repartition, Stream, Windowed};
pub use key::Key;
pub use metrics::{Metrics, RunReport};
pub use outbox::OutRecord;
pub use results::{Final, Late, Update};
pub use runtime::{Bound, RunError, RunOptions, Start};
pub use test_driver::TestDriver;
pub use topology::TopologyError;
pub use window::{Hopping, Tumbling, Window, Windows};
