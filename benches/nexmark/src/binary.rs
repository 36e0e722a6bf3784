//! The compact encoding of an event: numbers at fixed places, then texts.
//!
//! ```text
//! 0      1          9         in all kinds
//! ├──────┼──────────┼─────────┬─────────┬───────┐
//! │ kind │ dateTime │ numbers │ lengths │ texts │
//! │ u8   │ i64      │ 8 each  │ u16 each│       │
//!
//! kind        numbers from byte 9                                 lengths from   texts
//! 0 Person    id                                                  17             6, from 29
//! 1 Auction   id seller category initialBid reserve expires       57             3, from 63
//! 2 Bid       auction bidder price                                33             3, from 39
//!
//! texts of 0  name emailAddress creditCard city state extra
//!          1  itemName description extra
//!          2  channel url extra
//! ```
//!
//! Everything is little-endian. The kind and the event time have the same place in all events, and
//! what the queries compare and group by has a fixed place in its kind: a reader need not look at
//! the texts. A *view* borrows the encoded bytes and allocates nothing; its texts are bytes, which
//! are checked to be UTF-8 only when a view becomes an [`Event`].

use thiserror::Error;

use crate::model::{Auction, Bid, Event, Kind, Person};

/// The first byte of each kind.
const PERSON: u8 = 0;
const AUCTION: u8 = 1;
const BID: u8 = 2;

/// Why an event cannot be encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a text of {0} bytes, expected at most 65535")]
pub struct TextTooLong(pub usize);

/// Why bytes are not an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// The bytes end too early.
    #[error("expected {expected} more bytes, found {found}")]
    TooShort {
        /// How many the next field needs.
        expected: usize,
        /// How many there are.
        found: usize,
    },
    /// There are bytes after the end.
    #[error("{0} bytes after the event's end")]
    TooLong(usize),
    /// The first byte is not that of a kind.
    #[error("kind {0}, expected 0, 1 or 2")]
    UnknownKind(u8),
    /// A text is not UTF-8.
    #[error("a text is not UTF-8")]
    NotUtf8,
}

/// An event whose texts are where it was encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventView<'a> {
    /// A person registers.
    Person(PersonView<'a>),
    /// A person puts an item up for auction.
    Auction(AuctionView<'a>),
    /// A person bids for an item.
    Bid(BidView<'a>),
}

/// A [`Person`] that borrows its texts.
#[expect(missing_docs, reason = "the fields are those of Person")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PersonView<'a> {
    pub date_time_ms: i64,
    pub id: u64,
    pub name: &'a [u8],
    pub email_address: &'a [u8],
    pub credit_card: &'a [u8],
    pub city: &'a [u8],
    pub state: &'a [u8],
    pub extra: &'a [u8],
}

/// An [`Auction`] that borrows its texts.
#[expect(missing_docs, reason = "the fields are those of Auction")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuctionView<'a> {
    pub date_time_ms: i64,
    pub id: u64,
    pub seller: u64,
    pub category: u64,
    pub initial_bid: u64,
    pub reserve: u64,
    pub expires_ms: i64,
    pub item_name: &'a [u8],
    pub description: &'a [u8],
    pub extra: &'a [u8],
}

/// A [`Bid`] that borrows its texts.
#[expect(missing_docs, reason = "the fields are those of Bid")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BidView<'a> {
    pub date_time_ms: i64,
    pub auction: u64,
    pub bidder: u64,
    pub price: u64,
    pub channel: &'a [u8],
    pub url: &'a [u8],
    pub extra: &'a [u8],
}

/// Appends the event's encoding to `out`.
///
/// # Errors
/// A text is longer than 65535 bytes; then `out` holds nothing more than before.
pub fn encode(event: &Event, out: &mut Vec<u8>) -> Result<(), TextTooLong> {
    match event {
        Event::Person(p) => {
            let texts = [
                &p.name,
                &p.email_address,
                &p.credit_card,
                &p.city,
                &p.state,
                &p.extra,
            ];
            put(out, (PERSON, p.date_time_ms), [p.id], texts)
        }
        Event::Auction(a) => {
            let (ids, prices) = ([a.id, a.seller, a.category], [a.initial_bid, a.reserve]);
            let numbers = [
                ids[0],
                ids[1],
                ids[2],
                prices[0],
                prices[1],
                a.expires_ms as u64,
            ];
            put(
                out,
                (AUCTION, a.date_time_ms),
                numbers,
                [&a.item_name, &a.description, &a.extra],
            )
        }
        Event::Bid(b) => {
            let numbers = [b.auction, b.bidder, b.price];
            put(
                out,
                (BID, b.date_time_ms),
                numbers,
                [&b.channel, &b.url, &b.extra],
            )
        }
    }
}

fn put<const N: usize, const T: usize>(
    out: &mut Vec<u8>,
    (kind, date_time_ms): (u8, i64),
    numbers: [u64; N],
    texts: [&String; T],
) -> Result<(), TextTooLong> {
    let mut lengths = [0; T];
    for (length, text) in lengths.iter_mut().zip(texts) {
        *length = u16::try_from(text.len()).map_err(|_| TextTooLong(text.len()))?;
    }
    out.push(kind);
    out.extend_from_slice(&date_time_ms.to_le_bytes());
    for number in numbers {
        out.extend_from_slice(&number.to_le_bytes());
    }
    for length in lengths {
        out.extend_from_slice(&length.to_le_bytes());
    }
    for text in texts {
        out.extend_from_slice(text.as_bytes());
    }
    Ok(())
}

/// Reads an event without copying it.
///
/// # Errors
/// The bytes are not one event, from their beginning to their end.
pub fn decode(bytes: &[u8]) -> Result<EventView<'_>, DecodeError> {
    let mut reader = Reader(bytes);
    let [kind] = reader.take()?;
    let date_time_ms = i64::from_le_bytes(reader.take()?);
    let view = match kind {
        PERSON => EventView::Person(reader.person(date_time_ms)?),
        AUCTION => EventView::Auction(reader.auction(date_time_ms)?),
        BID => EventView::Bid(reader.bid(date_time_ms)?),
        other => return Err(DecodeError::UnknownKind(other)),
    };
    match reader.0.len() {
        0 => Ok(view),
        left => Err(DecodeError::TooLong(left)),
    }
}

/// What is left to read.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(self.too_short(N))?;
        self.0 = rest;
        Ok(*taken)
    }

    fn numbers<const N: usize>(&mut self) -> Result<[u64; N], DecodeError> {
        let mut numbers = [0; N];
        for number in &mut numbers {
            *number = u64::from_le_bytes(self.take()?);
        }
        Ok(numbers)
    }

    /// The lengths, and after them the texts.
    fn texts<const T: usize>(&mut self) -> Result<[&'a [u8]; T], DecodeError> {
        let mut lengths = [0; T];
        for length in &mut lengths {
            *length = usize::from(u16::from_le_bytes(self.take()?));
        }
        let mut texts: [&[u8]; T] = [&[]; T];
        for (text, length) in texts.iter_mut().zip(lengths) {
            let (taken, rest) = self
                .0
                .split_at_checked(length)
                .ok_or(self.too_short(length))?;
            (*text, self.0) = (taken, rest);
        }
        Ok(texts)
    }

    fn too_short(&self, expected: usize) -> DecodeError {
        let found = self.0.len();
        DecodeError::TooShort { expected, found }
    }

    fn person(&mut self, date_time_ms: i64) -> Result<PersonView<'a>, DecodeError> {
        let [id] = self.numbers()?;
        let [name, email_address, credit_card, city, state, extra] = self.texts()?;
        Ok(PersonView {
            date_time_ms,
            id,
            name,
            email_address,
            credit_card,
            city,
            state,
            extra,
        })
    }

    fn auction(&mut self, date_time_ms: i64) -> Result<AuctionView<'a>, DecodeError> {
        let [id, seller, category, initial_bid, reserve, expires] = self.numbers()?;
        let [item_name, description, extra] = self.texts()?;
        Ok(AuctionView {
            date_time_ms,
            id,
            seller,
            category,
            initial_bid,
            reserve,
            expires_ms: expires as i64,
            item_name,
            description,
            extra,
        })
    }

    fn bid(&mut self, date_time_ms: i64) -> Result<BidView<'a>, DecodeError> {
        let [auction, bidder, price] = self.numbers()?;
        let [channel, url, extra] = self.texts()?;
        Ok(BidView {
            date_time_ms,
            auction,
            bidder,
            price,
            channel,
            url,
            extra,
        })
    }
}

impl EventView<'_> {
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

    /// Copies the event.
    ///
    /// # Errors
    /// A text is not UTF-8.
    pub fn to_event(&self) -> Result<Event, DecodeError> {
        Ok(match self {
            Self::Person(p) => Event::Person(Person {
                id: p.id,
                name: text(p.name)?,
                email_address: text(p.email_address)?,
                credit_card: text(p.credit_card)?,
                city: text(p.city)?,
                state: text(p.state)?,
                date_time_ms: p.date_time_ms,
                extra: text(p.extra)?,
            }),
            Self::Auction(a) => Event::Auction(Auction {
                id: a.id,
                item_name: text(a.item_name)?,
                description: text(a.description)?,
                initial_bid: a.initial_bid,
                reserve: a.reserve,
                date_time_ms: a.date_time_ms,
                expires_ms: a.expires_ms,
                seller: a.seller,
                category: a.category,
                extra: text(a.extra)?,
            }),
            Self::Bid(b) => Event::Bid(Bid {
                auction: b.auction,
                bidder: b.bidder,
                price: b.price,
                channel: text(b.channel)?,
                url: text(b.url)?,
                date_time_ms: b.date_time_ms,
                extra: text(b.extra)?,
            }),
        })
    }
}

/// A text of a view as text.
///
/// # Errors
/// It is not UTF-8.
pub(crate) fn text(bytes: &[u8]) -> Result<String, DecodeError> {
    let text = str::from_utf8(bytes).map_err(|_| DecodeError::NotUtf8)?;
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encoded(event: &Event) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode(event, &mut bytes).unwrap();
        bytes
    }

    fn bid(extra: &str) -> Event {
        Event::Bid(Bid {
            auction: 1000,
            bidder: 0x0102,
            price: 3,
            channel: "Ap".into(),
            url: "u".into(),
            date_time_ms: -1,
            extra: extra.into(),
        })
    }

    #[test]
    fn a_bid_byte_by_byte() {
        let mut expected = vec![2];
        expected.extend([0xFF; 8]);
        expected.extend([0xE8, 3, 0, 0, 0, 0, 0, 0]);
        expected.extend([2, 1, 0, 0, 0, 0, 0, 0]);
        expected.extend([3, 0, 0, 0, 0, 0, 0, 0]);
        expected.extend([2, 0, 1, 0, 3, 0]);
        expected.extend(b"Apuxyz");
        assert_eq!(encoded(&bid("xyz")), expected);
        assert_eq!(expected[33..39], [2, 0, 1, 0, 3, 0], "as drawn");
    }

    #[test]
    fn what_is_not_an_event_is_named() {
        let bytes = encoded(&bid("xyz"));
        for end in 0..bytes.len() {
            let error = decode(&bytes[..end]).unwrap_err();
            assert!(
                matches!(error, DecodeError::TooShort { .. }),
                "{end}: {error}"
            );
        }
        let longer = [&bytes[..], b"!"].concat();
        assert_eq!(decode(&longer), Err(DecodeError::TooLong(1)));
        let mut unknown = bytes.clone();
        unknown[0] = 3;
        assert_eq!(decode(&unknown), Err(DecodeError::UnknownKind(3)));
        let mut latin = bytes;
        *latin.last_mut().unwrap() = 0xE9;
        assert_eq!(
            decode(&latin).unwrap().to_event(),
            Err(DecodeError::NotUtf8)
        );
    }

    #[test]
    fn a_text_that_is_too_long_leaves_no_trace() {
        let mut bytes = vec![7];
        let error = encode(&bid(&"x".repeat(65_536)), &mut bytes);
        assert_eq!((error, bytes), (Err(TextTooLong(65_536)), vec![7]));
        assert_eq!(encoded(&bid(&"x".repeat(65_535))).len(), 42 + 65_535);
    }

    fn event() -> impl Strategy<Value = Event> {
        let numbers = any::<([u64; 5], i64, i64)>();
        let texts = prop::collection::vec(".{0,9}", 6);
        (0..3, numbers, texts).prop_map(|(kind, (n, at, expires), texts)| {
            let text = |index: usize| texts[index].clone();
            match kind {
                0 => Event::Person(Person {
                    id: n[0],
                    name: text(0),
                    email_address: text(1),
                    credit_card: text(2),
                    city: text(3),
                    state: text(4),
                    date_time_ms: at,
                    extra: text(5),
                }),
                1 => Event::Auction(Auction {
                    id: n[0],
                    item_name: text(0),
                    description: text(1),
                    initial_bid: n[1],
                    reserve: n[2],
                    date_time_ms: at,
                    expires_ms: expires,
                    seller: n[3],
                    category: n[4],
                    extra: text(2),
                }),
                _ => Event::Bid(Bid {
                    auction: n[0],
                    bidder: n[1],
                    price: n[2],
                    channel: text(0),
                    url: text(1),
                    date_time_ms: at,
                    extra: text(2),
                }),
            }
        })
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded(event in event()) {
            let bytes = encoded(&event);
            let view = decode(&bytes).unwrap();
            prop_assert_eq!(view.kind(), event.kind());
            prop_assert_eq!(view.date_time_ms(), event.date_time_ms());
            prop_assert_eq!(view.to_event().unwrap(), event.clone());
            let json = serde_json::to_vec(&event).unwrap();
            prop_assert_eq!(serde_json::from_slice::<Event>(&json).unwrap(), event);
        }

        #[test]
        fn any_bytes_decode_safely(kind in 0..4_u8, rest in prop::collection::vec(0..9_u8, 0..99)) {
            let bytes = [&[kind], &rest[..]].concat();
            if let Ok(view) = decode(&bytes) && let Ok(event) = view.to_event() {
                prop_assert_eq!(encoded(&event), bytes);
            }
        }
    }
}
