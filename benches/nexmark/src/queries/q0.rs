//! Query 0, every bid: one step, no state. See [`crate::batch::q0`].

use brooklet_engine::App;
use brooklet_engine::codec::json;

use super::Topics;
use super::input::{events, of_bids};
use crate::batch::q0::Row;
use crate::binary::{BidView, DecodeError, text};

pub(super) fn declare(app: &App, topics: Topics<'_>) {
    events(app, topics.events, of_bids(row)).to(topics.rows, |_| None, json());
}

fn row(bid: &BidView<'_>) -> Result<Row, DecodeError> {
    Ok(Row {
        auction: bid.auction,
        bidder: bid.bidder,
        price: bid.price,
        date_time_ms: bid.date_time_ms,
        extra: text(bid.extra)?,
    })
}
