//! Query 12, *processing time windows*: how many bids of each bidder are processed in each ten
//! seconds.
//!
//! Processing time is when the engine happens to read a bid, so that no two runs of the published
//! query agree. Ours takes the time of the arrival, which is the timestamp of its record, for the
//! processing time: it is what an engine would measure that keeps up with its input. Bids that are
//! out of order count where they arrive.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{TEN_SECONDS_MS, sorted, tumble};
use crate::generator::Arrival;

/// The bids of a bidder in a window.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Row {
    /// The person who bids.
    pub bidder: u64,
    /// The bids that arrived in the window.
    pub bids: u64,
    /// The start of the window.
    pub window_start_ms: i64,
    /// Its end, which is no longer in it.
    pub window_end_ms: i64,
}

/// One row for each window and bidder with bids in it.
pub fn rows(arrivals: &[Arrival]) -> Vec<Row> {
    let mut counts = BTreeMap::<(u64, i64), u64>::new();
    for Arrival {
        timestamp_ms,
        event,
    } in arrivals
    {
        if let (Some(bid), Some(start)) = (event.bid(), tumble(*timestamp_ms)) {
            *counts.entry((bid.bidder, start)).or_default() += 1;
        }
    }
    sorted(counts.into_iter().map(|((bidder, start), bids)| Row {
        bidder,
        bids,
        window_start_ms: start,
        window_end_ms: start.saturating_add(TEN_SECONDS_MS),
    }))
}
