//! Query 11, *user sessions*: how many bids each bidder makes without a pause of ten seconds.
//! Session windows.
//!
//! Two bids of a bidder are in one session if no more than 10 s lie between them, exactly 10 s
//! included, as in Flink. A session starts with its first bid and ends 10 s after its last one, as
//! published.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{TEN_SECONDS_MS, bids, sorted};
use crate::generator::Arrival;

/// The pause that ends a session must be longer than this.
pub(crate) const GAP_MS: i64 = TEN_SECONDS_MS;

/// A session.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Row {
    /// The person who bids.
    pub bidder: u64,
    /// The bids in the session.
    pub bids: u64,
    /// The time of the first.
    pub start_ms: i64,
    /// The time of the last, and 10 s more.
    pub end_ms: i64,
}

impl Row {
    fn of(bidder: u64, session: &[i64]) -> Option<Self> {
        Some(Self {
            bidder,
            bids: session.len() as u64,
            start_ms: *session.first()?,
            end_ms: session.last()?.saturating_add(GAP_MS),
        })
    }
}

/// One row for each bidder and session.
pub fn rows(arrivals: &[Arrival]) -> Vec<Row> {
    let mut bidders = BTreeMap::<u64, Vec<i64>>::new();
    for bid in bids(arrivals) {
        bidders
            .entry(bid.bidder)
            .or_default()
            .push(bid.date_time_ms);
    }
    sorted(bidders.into_iter().flat_map(|(bidder, mut times)| {
        times.sort_unstable();
        let sessions = times.chunk_by(|a, b| b.abs_diff(*a) <= GAP_MS.unsigned_abs());
        let rows: Vec<_> = sessions.filter_map(|s| Row::of(bidder, s)).collect();
        rows
    }))
}
