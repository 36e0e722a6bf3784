//! The ten queries as programs of the engine.
//!
//! Each finds the rows that its batch computation finds ([`crate::batch`]), if no event is out of
//! order by more than [`GRACE`]. It reads encoded events ([`crate::binary`]) from one topic and
//! writes each row as a line of JSON to another.
//!
//! ```text
//!  q0 q1 q2   events ─▶ map or filter ─▶ rows
//!  q5         events ─▶ by auction ─▶ hops: count ─▶ by window ─▶ hops: max, ties ─▶ rows
//!  q7         events ─▶ by auction ─▶ tumbling: max, ties ─▶ by window ─▶ the same ─▶ rows
//!  q8         events ─▶ by person ─▶ tumbling: both sides of the join ─▶ filter ─▶ rows
//!  q11        events ─▶ by bidder ─▶ sessions: count ─▶ rows
//!  q12        events ─▶ by bidder ─▶ tumbling, by arrival: count ─▶ rows
//!  q17        events ─▶ by auction ─▶ days: seven aggregates ─▶ rows
//!  q18        events ─▶ by bidder and auction ─▶ own operator: last ─▶ rows
//! ```
//!
//! Event time is that of the event, except in query 12: there it is that of the arrival. It
//! advances with all events, also with those of a kind that the query does not ask for.
//!
//! **Where a program and its batch computation may differ.** The engine has no time before 1970: it
//! skips and counts such events, which the batch computations of queries 0, 1, 2, 11, 17 and 18
//! take. The generator makes none unless it is asked to.

mod input;

mod q0;
mod q1;
mod q2;

mod q5;
mod q7;
mod q8;

mod q11;
mod q12;

mod q17;
mod q18;

use std::time::Duration;

use brooklet_engine::App;

use crate::batch::{Query, TEN_SECONDS_MS};

/// How long windows wait for events that are out of order: as long as the published watermark.
pub const GRACE: Duration = Duration::from_secs(4);

const TEN_SECONDS: Duration = Duration::from_millis(TEN_SECONDS_MS.unsigned_abs());

/// What a program reads and writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Topics<'a> {
    /// The events, in the encoding of [`crate::binary`].
    pub events: &'a str,
    /// The rows, in JSON.
    pub rows: &'a str,
}

impl Query {
    /// Adds this query to a program. Its operators are named after it, so that a program may have
    /// several queries, each once.
    ///
    /// ```
    /// use brooklet_engine::time::Timestamp;
    /// use brooklet_engine::{App, TestDriver};
    /// use brooklet_nexmark::batch::Query;
    /// use brooklet_nexmark::binary::encode;
    /// use brooklet_nexmark::generator::{Config, Generator};
    /// use brooklet_nexmark::queries::Topics;
    ///
    /// let app = App::new("nexmark");
    /// Query::Q2.declare(&app, Topics { events: "events", rows: "rows" });
    /// let mut driver = TestDriver::new(app, 1)?;
    /// let arrivals: Vec<_> = Generator::new(Config::default())?.arrivals(1000).collect();
    /// for arrival in &arrivals {
    ///     let mut event = Vec::new();
    ///     encode(&arrival.event, &mut event)?;
    ///     driver.pipe("events", 0, None, Some(&event), Timestamp(arrival.timestamp_ms));
    /// }
    /// driver.end();
    /// assert_eq!(driver.read("rows").len(), Query::Q2.lines(&arrivals).len());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn declare(self, app: &App, topics: Topics<'_>) {
        match self {
            Self::Q0 => q0::declare(app, topics),
            Self::Q1 => q1::declare(app, topics),
            Self::Q2 => q2::declare(app, topics),
            Self::Q5 => q5::declare(app, topics),
            Self::Q7 => q7::declare(app, topics),
            Self::Q8 => q8::declare(app, topics),
            Self::Q11 => q11::declare(app, topics),
            Self::Q12 => q12::declare(app, topics),
            Self::Q17 => q17::declare(app, topics),
            Self::Q18 => q18::declare(app, topics),
        }
    }
}

#[cfg(test)]
mod tests;
