//! Query 1, prices in euros: one step, no state. See [`crate::batch::q1`].

use brooklet_engine::App;
use brooklet_engine::codec::json;

use super::Topics;
use super::input::{events, of_bids};
use crate::batch::q1::{EURO_THOUSANDTHS, Row};
use crate::binary::{BidView, DecodeError, text};

pub(super) fn declare(app: &App, topics: Topics<'_>) {
    events(app, topics.events, of_bids(row)).to(topics.rows, |_| None, json());
}

fn row(bid: &BidView<'_>) -> Result<Row, DecodeError> {
    Ok(Row {
        auction: bid.auction,
        bidder: bid.bidder,
        price_thousandths: bid.price.saturating_mul(EURO_THOUSANDTHS),
        date_time_ms: bid.date_time_ms,
        extra: text(bid.extra)?,
    })
}
