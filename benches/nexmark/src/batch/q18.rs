//! Query 18, *find last bid*: of each bidder in each auction the bid that was made last. One row is
//! kept for each key, and replaced.
//!
//! The last is the one with the highest time, and of several with that time the one that arrived
//! last. The published query leaves open which of them it is; at 10 000 events per second such ties
//! are common, because ten events share a millisecond and most bids are for a hot auction by a hot
//! bidder. A row is the state after the last event.
//!
//! Because of the ties, bids of one bidder for one auction must reach an engine in the order of
//! their arrival: they may not be spread over several partitions.

use std::collections::BTreeMap;

use super::{bids, sorted};
use crate::generator::Arrival;
use crate::model::Bid;

/// The bid itself.
pub type Row = Bid;

/// One row for each bidder and auction.
pub fn rows(arrivals: &[Arrival]) -> Vec<Row> {
    let mut last = BTreeMap::<(u64, u64), &Bid>::new();
    for bid in bids(arrivals) {
        let kept = last.entry((bid.bidder, bid.auction)).or_insert(bid);
        if bid.date_time_ms >= kept.date_time_ms {
            *kept = bid;
        }
    }
    sorted(last.into_values().cloned())
}
