//! Query 18, the last bids: an operator of its own. See [`crate::batch::q18`].
//!
//! The published query emits a row whenever a bid replaces another; what it asks for is the last of
//! them. No window fits: a bid may be replaced after any time, and a bidder's bids would be in
//! several windows, with a row for each. So the operator keeps one bid for each key, and emits them
//! all when the input ends: that is what a deadline at the end of time means.
//!
//! A bid that is out of order is not late; it is compared like any other, so there is no grace. The
//! state has no bound but the number of bidders in all auctions.

use brooklet_engine::App;
use brooklet_engine::codec::{DecodeError, json};
use brooklet_engine::key::Key;
use brooklet_engine::operator::{Context, Operator, Record};
use brooklet_engine::time::Timestamp;
use bytes::Bytes;

use super::Topics;
use super::input::{compact, events, of_bids};
use crate::binary::{self, BidView, text};
use crate::model::Bid;

/// A bidder in an auction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct BidderAuction {
    bidder: u64,
    auction: u64,
}

/// Both numbers, big-endian.
impl Key for BidderAuction {
    fn to_bytes(&self) -> Bytes {
        let numbers = [self.bidder.to_be_bytes(), self.auction.to_be_bytes()];
        Bytes::copy_from_slice(numbers.as_flattened())
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let ([bidder, auction], []) = bytes.as_chunks() else {
            let found = bytes.len();
            return Err(DecodeError(format!("expected 16 bytes, found {found}")));
        };
        Ok(Self {
            bidder: u64::from_be_bytes(*bidder),
            auction: u64::from_be_bytes(*auction),
        })
    }
}

/// Keeps the last bid of each key until the input ends.
#[derive(Clone)]
struct LastBid;

impl Operator<BidderAuction, Bid> for LastBid {
    type State = Bid;
    type Out = Bid;
    type Side = ();

    fn process(
        &mut self,
        record: Record<'_, BidderAuction, Bid>,
        last: &mut Option<Bid>,
        context: &mut Context<'_, Bid, ()>,
    ) {
        let is_later = |last: &Bid| record.value.date_time_ms >= last.date_time_ms;
        if last.as_ref().is_none_or(is_later) {
            *last = Some(record.value.clone());
        }
        context.wake_at(Timestamp::MAX);
    }

    fn wake(
        &mut self,
        _: &BidderAuction,
        last: &mut Option<Bid>,
        context: &mut Context<'_, Bid, ()>,
    ) {
        if let Some(bid) = last.take() {
            context.emit(Timestamp(bid.date_time_ms), bid);
        }
    }

    fn name(&self) -> String {
        "last bid".to_owned()
    }
}

pub(super) fn declare(app: &App, topics: Topics<'_>) {
    let key = |bid: &Bid| BidderAuction {
        bidder: bid.bidder,
        auction: bid.auction,
    };
    events(app, topics.events, of_bids(bid))
        .key_by("q18-by-bidder-and-auction", key, compact())
        .operator("q18-last", LastBid)
        .results()
        .to(topics.rows, |_| None, json());
}

fn bid(bid: &BidView<'_>) -> Result<Bid, binary::DecodeError> {
    Ok(Bid {
        auction: bid.auction,
        bidder: bid.bidder,
        price: bid.price,
        channel: text(bid.channel)?,
        url: text(bid.url)?,
        date_time_ms: bid.date_time_ms,
        extra: text(bid.extra)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_and_its_bytes_are_one_to_one() {
        let (bidder, auction) = (0x0102, u64::MAX);
        let key = BidderAuction { bidder, auction };
        assert_eq!(&key.to_bytes()[6..9], [1, 2, 0xFF]);
        assert_eq!(BidderAuction::from_bytes(&key.to_bytes()), Ok(key));
        let error = BidderAuction::from_bytes(&[0; 17]).unwrap_err();
        assert_eq!(error.to_string(), "expected 16 bytes, found 17");
    }
}
