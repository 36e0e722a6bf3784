//! Query 5, *hot items*: every two seconds, the auctions with the most bids in the last ten.
//! Hopping windows, and in each a maximum over all keys.
//!
//! A window is `[start, start + 10 s)`; windows start every 2 s. In each window that has bids, all
//! auctions with as many bids as the one with the most are rows: several if they are tied.
//!
//! The published rows are only auction and count. Ours name the window.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{TEN_SECONDS_MS, bids, sorted};
use crate::generator::Arrival;

/// How far apart windows start.
pub(crate) const ADVANCE_MS: i64 = 2_000;

/// A hot item.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Row {
    /// The start of the window.
    pub window_start_ms: i64,
    /// The auction.
    pub auction: u64,
    /// Its bids in the window.
    pub bids: u64,
}

/// One row for each window and auction with the most bids.
pub fn rows(arrivals: &[Arrival]) -> Vec<Row> {
    let mut windows = BTreeMap::<i64, BTreeMap<u64, u64>>::new();
    for bid in bids(arrivals) {
        for start in starts(bid.date_time_ms) {
            *windows
                .entry(start)
                .or_default()
                .entry(bid.auction)
                .or_default() += 1;
        }
    }
    sorted(windows.into_iter().flat_map(|(window_start_ms, counts)| {
        let most = counts.values().copied().max();
        let hot = counts
            .into_iter()
            .filter(move |(_, bids)| Some(*bids) == most);
        hot.map(move |(auction, bids)| Row {
            window_start_ms,
            auction,
            bids,
        })
    }))
}

/// The starts of the windows that hold a time, none of them before 1970.
fn starts(time_ms: i64) -> impl Iterator<Item = i64> {
    let last = (time_ms >= 0).then_some(time_ms / ADVANCE_MS * ADVANCE_MS);
    let all = std::iter::successors(last, |start| start.checked_sub(ADVANCE_MS));
    all.take_while(move |start| *start >= 0 && time_ms - start < TEN_SECONDS_MS)
}
