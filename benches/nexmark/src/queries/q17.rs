//! Query 17, auction statistics: several aggregates over days. See [`crate::batch::q17`].
//!
//! A group of the published query never ends: it emits a row whenever one changes. A day does end,
//! so that here it is a window, with one row when it closes. The last day closes with the input.

use brooklet_engine::aggregate::{Count, Max, Min, Sum};
use brooklet_engine::codec::json;
use brooklet_engine::{App, Calendar, Final};
use serde::{Deserialize, Serialize};

use super::input::{compact, events, of_bids};
use super::{GRACE, Topics};
use crate::batch::q17::{BANDS_FROM, Row};
use crate::binary::BidView;

/// What a row needs of a bid.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Bid {
    auction: u64,
    price: u64,
}

impl Bid {
    /// The price band, counted from 0.
    fn band(self) -> usize {
        BANDS_FROM.partition_point(|from| *from <= self.price)
    }
}

/// All bids, and those of each price band.
type Counts = (u64, i128, i128, i128);

pub(super) fn declare(app: &App, topics: Topics<'_>) {
    let of_band = |band| Sum::of(move |bid: &Bid| u8::from(bid.band() == band));
    let price = |bid: &Bid| bid.price;
    let statistics = (
        (Count, of_band(0), of_band(1), of_band(2)),
        Min::of(price),
        Max::of(price),
        Sum::of(price),
    );
    let bid = |bid: &BidView<'_>| {
        Ok(Bid {
            auction: bid.auction,
            price: bid.price,
        })
    };
    events(app, topics.events, of_bids(bid))
        .key_by("q17-by-auction", |bid| bid.auction, compact())
        .window(Calendar::days("UTC").grace(GRACE))
        .aggregate("q17-statistics", statistics)
        .finals()
        .map(row)
        .to(topics.rows, |_| None, json());
}

fn row(day: Final<u64, (Counts, u64, u64, i128)>) -> Row {
    let ((total_bids, rank1, rank2, rank3), min_price, max_price, sum) = day.value;
    let sum_price = saturated(sum);
    Row {
        auction: day.key,
        day_start_ms: day.window.start.0,
        total_bids,
        rank1_bids: saturated(rank1),
        rank2_bids: saturated(rank2),
        rank3_bids: saturated(rank3),
        min_price,
        max_price,
        avg_price: sum_price / total_bids.max(1),
        sum_price,
    }
}

/// A sum of numbers that are not negative.
fn saturated(sum: i128) -> u64 {
    u64::try_from(sum).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_band_begins_with_its_first_price() {
        let band = |price| Bid { auction: 1, price }.band();
        let prices = [0, 9_999, 10_000, 999_999, 1_000_000, u64::MAX];
        assert_eq!(prices.map(band), [0, 0, 1, 1, 2, 2]);
    }
}
