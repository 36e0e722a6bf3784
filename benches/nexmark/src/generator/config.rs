//! What can be chosen about the events.

use thiserror::Error;

use super::SHUFFLE_STEP;

/// The largest average size: what is made of it fits the binary encoding's texts.
const BYTES_MAX: u32 = 32 << 10;

/// What events are made by. The defaults are the published ones, except for the seed and the time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Another seed makes other events.
    pub seed: u64,
    /// The time of event 0; by default midnight UTC at the beginning of 2024.
    pub base_time_ms: i64,
    /// How many events have their time in one second.
    pub events_per_second: u32,
    /// How many events are shuffled among themselves; 1: none.
    pub out_of_order_group: u32,
    /// How many ids after the last that exists may be referred to.
    pub id_lead: u32,
    /// From how many of the latest auctions bids that are not hot choose.
    pub in_flight_auctions: u32,
    /// From how many of the latest persons bids and auctions that are not hot choose.
    pub active_persons: u32,
    /// All bids but one in this many are for a hot auction.
    pub hot_auction_ratio: u32,
    /// All auctions but one in this many are by a hot seller.
    pub hot_seller_ratio: u32,
    /// All bids but one in this many are by a hot bidder.
    pub hot_bidder_ratio: u32,
    /// The average size of a person.
    pub person_bytes: u32,
    /// The average size of an auction.
    pub auction_bytes: u32,
    /// The average size of a bid, channel and URL not counted.
    pub bid_bytes: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            seed: 0,
            base_time_ms: 1_704_067_200_000,
            events_per_second: 10_000,
            out_of_order_group: 1,
            id_lead: 10,
            in_flight_auctions: 100,
            active_persons: 1000,
            hot_auction_ratio: 2,
            hot_seller_ratio: 4,
            hot_bidder_ratio: 4,
            person_bytes: 200,
            auction_bytes: 500,
            bid_bytes: 100,
        }
    }
}

/// Why there can be no events of a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum InvalidConfig {
    /// Nothing can be divided by it.
    #[error("{0} is 0, expected at least 1")]
    Zero(&'static str),
    /// Some numbers would arrive twice and others never.
    #[error("out_of_order_group is {0}, expected no multiple of 953")]
    Group(u32),
    /// The texts would exceed what the binary encoding can hold.
    #[error("{0} is more than 32768")]
    TooLarge(&'static str),
}

impl Config {
    /// Whether there can be such events.
    pub(super) fn check(&self) -> Result<(), InvalidConfig> {
        let at_least_one = [
            ("events_per_second", self.events_per_second),
            ("out_of_order_group", self.out_of_order_group),
            ("active_persons", self.active_persons),
            ("hot_auction_ratio", self.hot_auction_ratio),
            ("hot_seller_ratio", self.hot_seller_ratio),
            ("hot_bidder_ratio", self.hot_bidder_ratio),
        ];
        if let Some((name, _)) = at_least_one.iter().find(|(_, value)| *value == 0) {
            return Err(InvalidConfig::Zero(name));
        }
        if self.out_of_order_group.is_multiple_of(SHUFFLE_STEP) {
            return Err(InvalidConfig::Group(self.out_of_order_group));
        }
        let sizes = [
            ("person_bytes", self.person_bytes),
            ("auction_bytes", self.auction_bytes),
            ("bid_bytes", self.bid_bytes),
        ];
        if let Some((name, _)) = sizes.iter().find(|(_, bytes)| *bytes > BYTES_MAX) {
            return Err(InvalidConfig::TooLarge(name));
        }
        Ok(())
    }
}
