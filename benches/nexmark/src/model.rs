//! The three kinds of events.
//!
//! In JSON an event is an object with one member, named after its kind; its fields have the
//! published names:
//!
//! ```text
//! {"bid":{"auction":1000,"bidder":1001,"price":2450,"channel":"Apple","url":"https://…",
//!         "dateTime":1704067200000,"extra":"…"}}
//! ```
//!
//! Times are milliseconds since the epoch. Prices are whole numbers, in cents. `extra` means
//! nothing: it brings an event to the size that its kind should have. [`crate::binary`] is the
//! other encoding.

use serde::{Deserialize, Serialize};

/// An event of the auction house.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Event {
    /// A person registers.
    Person(Person),
    /// A person puts an item up for auction.
    Auction(Auction),
    /// A person bids for an item.
    Bid(Bid),
}

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A new person.
    Person,
    /// A new auction.
    Auction,
    /// A bid.
    Bid,
}

/// A person, who may sell and bid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Person {
    /// Unique among persons.
    pub id: u64,
    /// First and last name.
    pub name: String,
    /// An address that nobody has.
    pub email_address: String,
    /// Four groups of four digits.
    pub credit_card: String,
    /// A city in one of the states, though not always in this one.
    pub city: String,
    /// Two letters.
    pub state: String,
    /// When the person registered.
    #[serde(rename = "dateTime")]
    pub date_time_ms: i64,
    /// Filling.
    pub extra: String,
}

/// An item for sale.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Auction {
    /// Unique among auctions.
    pub id: u64,
    /// The item.
    pub item_name: String,
    /// The item, in more words.
    pub description: String,
    /// The price to begin with.
    pub initial_bid: u64,
    /// The price from which on the item is sold.
    pub reserve: u64,
    /// When the auction was opened.
    #[serde(rename = "dateTime")]
    pub date_time_ms: i64,
    /// When it ends.
    #[serde(rename = "expires")]
    pub expires_ms: i64,
    /// The person who sells.
    pub seller: u64,
    /// One of five.
    pub category: u64,
    /// Filling.
    pub extra: String,
}

/// A bid in an auction.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Bid {
    /// The auction.
    pub auction: u64,
    /// The person who bids.
    pub bidder: u64,
    /// The price that is offered.
    pub price: u64,
    /// The site through which the bid came.
    pub channel: String,
    /// The page through which the bid came.
    pub url: String,
    /// When the bid was made.
    #[serde(rename = "dateTime")]
    pub date_time_ms: i64,
    /// Filling.
    pub extra: String,
}

impl Event {
    /// What the event is about.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Person(_) => Kind::Person,
            Self::Auction(_) => Kind::Auction,
            Self::Bid(_) => Kind::Bid,
        }
    }

    /// When it happened: the event time.
    pub fn date_time_ms(&self) -> i64 {
        match self {
            Self::Person(person) => person.date_time_ms,
            Self::Auction(auction) => auction.date_time_ms,
            Self::Bid(bid) => bid.date_time_ms,
        }
    }

    /// The bid, if it is one.
    pub fn bid(&self) -> Option<&Bid> {
        match self {
            Self::Bid(bid) => Some(bid),
            Self::Person(_) | Self::Auction(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_has_the_published_names() {
        let bid = Event::Bid(Bid {
            auction: 1000,
            bidder: 1001,
            price: 2450,
            channel: "Apple".into(),
            url: "https://www.nexmark.com/".into(),
            date_time_ms: 1_704_067_200_000,
            extra: "x".into(),
        });
        let json = concat!(
            r#"{"bid":{"auction":1000,"bidder":1001,"price":2450,"channel":"Apple","#,
            r#""url":"https://www.nexmark.com/","dateTime":1704067200000,"extra":"x"}}"#,
        );
        assert_eq!(serde_json::to_string(&bid).unwrap(), json);
        assert_eq!(serde_json::from_str::<Event>(json).unwrap(), bid);
    }
}
