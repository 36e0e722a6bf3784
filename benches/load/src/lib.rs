//! A load generator for any broker of the Kafka protocol, through our client.
//!
//! ```text
//!  create a topic ─▶ warm-up ─▶ rounds, one after the other ─▶ delete the topic ─▶ report
//! ```
//!
//! [`measure`] runs one [`Bench`] under one [`Load`] and returns a [`Report`]: the figures of the
//! rounds, and a verdict on whether they say anything about the broker. Nothing here parses
//! arguments or prints; the command line does both.
//!
//! **Open and closed loops.** With a rate the load is an *open loop*: each record is due at a fixed
//! time, and its latency counts from that time, so that a broker that stalls is charged for every
//! record that had to wait. Without a rate it is a *closed loop*: a slow broker is simply sent
//! less. It measures throughput; the only time it can measure is the *service time*, from sending
//! a record to its confirmation.
//!
//! **Invariants**
//! - A schedule never moves: a record that is sent late was still due when it was due.
//! - Percentiles are those of all records of a round, whichever worker sent them.
//! - All producers and consumers share this process and one clock, which starts with the load.
//! - A run whose generator fell behind, or that lost records, is not valid, and says why.
//!
//! **Duties of the caller**: check the load with [`Load::check`] before starting anything for it,
//! and let [`measure`] run to its end even after a signal, which is handed in as `stop`: it deletes
//! its topic after an error and after `stop`, too.
//!
//! **Left out**: several processes or machines that generate one load together.
#![forbid(unsafe_code)]

mod load;

mod schedule;

mod payload;

mod tally;

mod generator;

mod topic;

mod run;

mod produce;

mod consume;

mod e2e;

mod cpu;

mod verdict;

mod report;

pub mod statistics;

pub use load::{Bench, InvalidLoad, Load, Pace};
pub use payload::Content;
pub use report::Report;
pub use run::{Outcome, Target, measure};
pub use schedule::Rate;
pub use tally::Figure;
pub use verdict::Verdict;
