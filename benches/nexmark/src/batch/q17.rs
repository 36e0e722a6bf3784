//! Query 17, *auction statistics*: of each auction and day the number of bids, also by price band,
//! and the lowest, highest, mean and total price. A group that never ends, with several aggregates.
//!
//! The bands are below 10 000, below 1 000 000, and the rest. The mean is cut to a whole number, as
//! in SQL. A row is the state after the last event; an engine that emits a row for each change has
//! this one last.
//!
//! The published query names the day by its date, in the time zone of the session. Ours names the
//! midnight at which it begins, in UTC.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{bids, sorted};
use crate::generator::Arrival;

const DAY_MS: i64 = 86_400_000;

/// Where the second price band begins, and the third.
pub(crate) const BANDS_FROM: [u64; 2] = [10_000, 1_000_000];

/// The statistics of an auction on a day.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Row {
    /// The auction.
    pub auction: u64,
    /// The midnight at which the day begins.
    pub day_start_ms: i64,
    /// All bids.
    pub total_bids: u64,
    /// Bids below 10 000.
    pub rank1_bids: u64,
    /// Bids from 10 000, below 1 000 000.
    pub rank2_bids: u64,
    /// Bids from 1 000 000.
    pub rank3_bids: u64,
    /// The lowest price.
    pub min_price: u64,
    /// The highest price.
    pub max_price: u64,
    /// The mean price, cut to a whole number.
    pub avg_price: u64,
    /// The total of all prices.
    pub sum_price: u64,
}

impl Row {
    fn of((auction, day_start_ms): (u64, i64), prices: &[u64]) -> Option<Self> {
        let count = |is_meant: fn(u64) -> bool| {
            let those = prices.iter().filter(|price| is_meant(**price));
            those.count() as u64
        };
        let sum_price = prices
            .iter()
            .fold(0, |sum: u64, price| sum.saturating_add(*price));
        Some(Self {
            auction,
            day_start_ms,
            total_bids: count(|_| true),
            rank1_bids: count(|price| price < BANDS_FROM[0]),
            rank2_bids: count(|price| (BANDS_FROM[0]..BANDS_FROM[1]).contains(&price)),
            rank3_bids: count(|price| price >= BANDS_FROM[1]),
            min_price: *prices.iter().min()?,
            max_price: *prices.iter().max()?,
            avg_price: sum_price / prices.len() as u64,
            sum_price,
        })
    }
}

/// One row for each auction and day with bids.
pub fn rows(arrivals: &[Arrival]) -> Vec<Row> {
    let mut groups = BTreeMap::<(u64, i64), Vec<u64>>::new();
    for bid in bids(arrivals) {
        let day = bid.date_time_ms.div_euclid(DAY_MS).saturating_mul(DAY_MS);
        groups
            .entry((bid.auction, day))
            .or_default()
            .push(bid.price);
    }
    let rows = groups
        .iter()
        .filter_map(|(group, prices)| Row::of(*group, prices));
    sorted(rows)
}
