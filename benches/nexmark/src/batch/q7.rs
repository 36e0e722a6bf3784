//! Query 7, *highest bid*: the bids with the highest price in each ten seconds. A maximum over all
//! keys, joined with the bids that have it.
//!
//! Windows tumble. In each window that has bids, all bids with its highest price are rows: several
//! if they are tied.
//!
//! The published query joins with the window's end included, so that a bid exactly at the end, with
//! the same price by chance, is a row of both windows. Ours belongs to one window. It also names
//! it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{bids, sorted, tumble};
use crate::generator::Arrival;
use crate::model::Bid;

/// A bid with the highest price.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Row {
    /// The start of the window.
    pub window_start_ms: i64,
    /// The auction.
    pub auction: u64,
    /// The price.
    pub price: u64,
    /// The person who bids.
    pub bidder: u64,
    /// When the bid was made.
    pub date_time_ms: i64,
    /// Filling.
    pub extra: String,
}

impl Row {
    /// The row of a bid in a window.
    pub fn of(window_start_ms: i64, bid: &Bid) -> Self {
        Self {
            window_start_ms,
            auction: bid.auction,
            price: bid.price,
            bidder: bid.bidder,
            date_time_ms: bid.date_time_ms,
            extra: bid.extra.clone(),
        }
    }
}

/// One row for each window and bid with the highest price.
pub fn rows(arrivals: &[Arrival]) -> Vec<Row> {
    let mut windows = BTreeMap::<i64, Vec<&Bid>>::new();
    for bid in bids(arrivals) {
        if let Some(start) = tumble(bid.date_time_ms) {
            windows.entry(start).or_default().push(bid);
        }
    }
    sorted(windows.into_iter().flat_map(|(start, bids)| {
        let highest = bids.iter().map(|bid| bid.price).max();
        let those = bids
            .into_iter()
            .filter(move |bid| Some(bid.price) == highest);
        those.map(move |bid| Row::of(start, bid))
    }))
}
