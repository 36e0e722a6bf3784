//! Query 2, bids for some auctions: a filter. See [`crate::batch::q2`].

use brooklet_engine::App;
use brooklet_engine::codec::json;

use super::Topics;
use super::input::{events, of_bids};
use crate::batch::q2::{Row, SELECTED_EVERY};
use crate::binary::BidView;

pub(super) fn declare(app: &App, topics: Topics<'_>) {
    let row = |bid: &BidView<'_>| {
        Ok(Row {
            auction: bid.auction,
            price: bid.price,
        })
    };
    events(app, topics.events, of_bids(row))
        .filter(|row| row.auction.is_multiple_of(SELECTED_EVERY))
        .to(topics.rows, |_| None, json());
}
