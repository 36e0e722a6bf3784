//! Query 0: every bid, as it is. It measures what an engine costs that does nothing.

use serde::{Deserialize, Serialize};

use super::{bids, sorted};
use crate::generator::Arrival;
use crate::model::Bid;

/// A bid without its channel.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Row {
    /// The auction.
    pub auction: u64,
    /// The person who bids.
    pub bidder: u64,
    /// The price.
    pub price: u64,
    /// When the bid was made.
    pub date_time_ms: i64,
    /// Filling.
    pub extra: String,
}

impl Row {
    /// The row of a bid.
    pub fn of(bid: &Bid) -> Self {
        Self {
            auction: bid.auction,
            bidder: bid.bidder,
            price: bid.price,
            date_time_ms: bid.date_time_ms,
            extra: bid.extra.clone(),
        }
    }
}

/// One row for each bid.
pub fn rows(arrivals: &[Arrival]) -> Vec<Row> {
    sorted(bids(arrivals).map(Row::of))
}
