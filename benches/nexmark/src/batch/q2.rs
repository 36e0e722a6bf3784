//! Query 2, *selection*: bids for auctions whose id is a multiple of 123. A filter that drops
//! nearly everything.

use serde::{Deserialize, Serialize};

use super::{bids, sorted};
use crate::generator::Arrival;
use crate::model::Bid;

/// Auctions with multiples of this are selected.
pub(crate) const SELECTED_EVERY: u64 = 123;

/// What is asked of a bid.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Row {
    /// The auction.
    pub auction: u64,
    /// The price.
    pub price: u64,
}

impl Row {
    /// The row of a bid, if it is selected.
    pub fn of(bid: &Bid) -> Option<Self> {
        bid.auction.is_multiple_of(SELECTED_EVERY).then_some(Self {
            auction: bid.auction,
            price: bid.price,
        })
    }
}

/// One row for each bid that is selected.
pub fn rows(arrivals: &[Arrival]) -> Vec<Row> {
    sorted(bids(arrivals).filter_map(Row::of))
}
