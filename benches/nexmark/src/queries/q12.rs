//! Query 12, windows of processing time: a count by the time of the arrival. See
//! [`crate::batch::q12`].
//!
//! Arrivals are in order of their times in each partition, so no window waits.

use brooklet_engine::codec::json;
use brooklet_engine::time::seconds;
use brooklet_engine::{App, Final, Tumbling};

use super::input::{arrivals, compact, of_bids};
use super::{TEN_SECONDS, Topics};
use crate::batch::q12::Row;

pub(super) fn declare(app: &App, topics: Topics<'_>) {
    arrivals(app, topics.events, of_bids(|bid| Ok(bid.bidder)))
        .key_by("q12-by-bidder", |bidder| *bidder, compact())
        .window(Tumbling::of(TEN_SECONDS).grace(seconds(0)))
        .count("q12-count")
        .finals()
        .map(row)
        .to(topics.rows, |_| None, json());
}

fn row(count: Final<u64, u64>) -> Row {
    Row {
        bidder: count.key,
        bids: count.value,
        window_start_ms: count.window.start.0,
        window_end_ms: count.window.end.0,
    }
}
