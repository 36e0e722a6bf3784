//! Query 1, *currency conversion*: every bid, with its price in euros instead of dollars; a dollar
//! is 0.908 euros. A simple step, record by record.
//!
//! The published price is a decimal number with three places. Ours is the same number in
//! thousandths, so that it is whole.

use serde::{Deserialize, Serialize};

use super::{bids, sorted};
use crate::generator::Arrival;
use crate::model::Bid;

/// What a dollar is worth, in thousandths of a euro.
pub(crate) const EURO_THOUSANDTHS: u64 = 908;

/// A bid in euros.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Row {
    /// The auction.
    pub auction: u64,
    /// The person who bids.
    pub bidder: u64,
    /// The price in euros, times 1000.
    pub price_thousandths: u64,
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
            price_thousandths: bid.price.saturating_mul(EURO_THOUSANDTHS),
            date_time_ms: bid.date_time_ms,
            extra: bid.extra.clone(),
        }
    }
}

/// One row for each bid.
pub fn rows(arrivals: &[Arrival]) -> Vec<Row> {
    sorted(bids(arrivals).map(Row::of))
}
