//! Query 7, the highest bids: a maximum over all keys, in two stages. See [`crate::batch::q7`].
//!
//! ```text
//!  bids ─ by auction ─▶ tumbling: max, ties ─ by window ─▶ tumbling: max, ties ─▶ rows
//! ```
//!
//! The highest bids of all are among the highest of each auction. The first stage runs in parallel
//! and leaves little for the second, in which one task has a whole window. A result of the first
//! has its event time in its window, so the same windows hold it again; it is not late, so the
//! second needs no grace.

use brooklet_engine::aggregate::{MaxBy, Ties};
use brooklet_engine::codec::json;
use brooklet_engine::time::seconds;
use brooklet_engine::{App, Final, Tumbling};
use serde::{Deserialize, Serialize};

use super::input::{compact, events, of_bids};
use super::{GRACE, TEN_SECONDS, Topics};
use crate::batch::q7::Row;
use crate::binary::{BidView, DecodeError, text};

/// What a row needs of a bid.
#[derive(Clone, Serialize, Deserialize)]
struct Bid {
    auction: u64,
    price: u64,
    bidder: u64,
    date_time_ms: i64,
    extra: String,
}

/// The highest bids of an auction in a window.
#[derive(Clone, Serialize, Deserialize)]
struct Highest {
    window_start_ms: i64,
    price: u64,
    bids: Vec<Bid>,
}

pub(super) fn declare(app: &App, topics: Topics<'_>) {
    let of_auction = MaxBy::of(usize::MAX, |bid: &Bid| bid.price, Bid::clone);
    let of_all = MaxBy::of(usize::MAX, |h: &Highest| h.price, |h| h.bids.clone());
    let windows = || Tumbling::of(TEN_SECONDS);
    events(app, topics.events, of_bids(bid))
        .key_by("q7-by-auction", |bid| bid.auction, compact())
        .window(windows().grace(GRACE))
        .aggregate("q7-max-of-auction", of_auction)
        .finals()
        .map(|highest| Highest {
            window_start_ms: highest.window.start.0,
            price: highest.value.value,
            bids: highest.value.items,
        })
        .key_by("q7-by-window", |h| h.window_start_ms, compact())
        .window(windows().grace(seconds(0)))
        .aggregate("q7-max", of_all)
        .finals()
        .flat_map(rows)
        .to(topics.rows, |_| None, json());
}

fn bid(bid: &BidView<'_>) -> Result<Bid, DecodeError> {
    Ok(Bid {
        auction: bid.auction,
        price: bid.price,
        bidder: bid.bidder,
        date_time_ms: bid.date_time_ms,
        extra: text(bid.extra)?,
    })
}

fn rows(highest: Final<i64, Ties<u64, Vec<Bid>>>) -> impl Iterator<Item = Row> {
    let window_start_ms = highest.key;
    let bids = highest.value.items.into_iter().flatten();
    bids.map(move |bid| Row {
        window_start_ms,
        auction: bid.auction,
        price: bid.price,
        bidder: bid.bidder,
        date_time_ms: bid.date_time_ms,
        extra: bid.extra,
    })
}
