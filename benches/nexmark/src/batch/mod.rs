//! The ten queries as computations over all events at once: what the engine must find.
//!
//! They are to be obviously right, not fast: each reads the arrivals in order and keeps what it
//! needs in maps. Each has a module that says what the query asks, what it is for, and where it
//! departs from the published one.
//!
//! | query | asks for |
//! |---|---|
//! | [`q0`] | every bid |
//! | [`q1`] | every bid, its price in euros |
//! | [`q2`] | bids for every 123rd auction |
//! | [`q5`] | the auctions with the most bids, in hopping windows |
//! | [`q7`] | the highest bids, in tumbling windows |
//! | [`q8`] | persons who register and open an auction in the same window |
//! | [`q11`] | bids of each bidder, in sessions |
//! | [`q12`] | bids of each bidder, in windows of processing time |
//! | [`q17`] | counts and prices of each auction and day |
//! | [`q18`] | the last bid of each bidder in each auction |
//!
//! What all have in common:
//! - rows come sorted, since an engine with several tasks has no order of its own; duplicates stay;
//! - no event is too late: a batch has them all. An engine finds the same if its grace is at least
//!   as long as events are out of order;
//! - windows are half-open, `[start, start + size)`, and begin at multiples of their advance,
//!   counted from 1970; none begins before 1970. Days begin at midnight UTC.

pub mod q0;
pub mod q1;
pub mod q2;

pub mod q5;
pub mod q7;
pub mod q8;

pub mod q11;
pub mod q12;

pub mod q17;
pub mod q18;

use serde::Serialize;

use crate::generator::Arrival;
use crate::model::Bid;

/// The size of most windows, and the gap that ends a session.
pub(crate) const TEN_SECONDS_MS: i64 = 10_000;

/// One of the ten.
#[expect(missing_docs, reason = "the module of the query describes it")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Query {
    Q0,
    Q1,
    Q2,
    Q5,
    Q7,
    Q8,
    Q11,
    Q12,
    Q17,
    Q18,
}

impl Query {
    /// All of them, in order.
    pub const ALL: [Self; 10] = [
        Self::Q0,
        Self::Q1,
        Self::Q2,
        Self::Q5,
        Self::Q7,
        Self::Q8,
        Self::Q11,
        Self::Q12,
        Self::Q17,
        Self::Q18,
    ];

    /// Its rows over these arrivals, each as a line of JSON.
    pub fn lines(self, arrivals: &[Arrival]) -> Vec<String> {
        match self {
            Self::Q0 => lines(&q0::rows(arrivals)),
            Self::Q1 => lines(&q1::rows(arrivals)),
            Self::Q2 => lines(&q2::rows(arrivals)),
            Self::Q5 => lines(&q5::rows(arrivals)),
            Self::Q7 => lines(&q7::rows(arrivals)),
            Self::Q8 => lines(&q8::rows(arrivals)),
            Self::Q11 => lines(&q11::rows(arrivals)),
            Self::Q12 => lines(&q12::rows(arrivals)),
            Self::Q17 => lines(&q17::rows(arrivals)),
            Self::Q18 => lines(&q18::rows(arrivals)),
        }
    }
}

/// Rows as lines of JSON, in their order.
pub fn lines<R: Serialize>(rows: &[R]) -> Vec<String> {
    let line = |row: &R| serde_json::to_string(row).expect("numbers and text are JSON");
    rows.iter().map(line).collect()
}

fn bids(arrivals: &[Arrival]) -> impl Iterator<Item = &Bid> {
    arrivals.iter().filter_map(|arrival| arrival.event.bid())
}

/// The start of the tumbling window that a time is in; `None` before 1970.
fn tumble(time_ms: i64) -> Option<i64> {
    (time_ms >= 0).then_some(time_ms / TEN_SECONDS_MS * TEN_SECONDS_MS)
}

fn sorted<R: Ord>(rows: impl IntoIterator<Item = R>) -> Vec<R> {
    let mut rows: Vec<_> = rows.into_iter().collect();
    rows.sort();
    rows
}

#[cfg(test)]
pub(crate) mod tests;
