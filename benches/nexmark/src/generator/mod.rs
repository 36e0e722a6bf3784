//! The auction house's events, each a function of the seed and its number.
//!
//! ```text
//!  number  0 1 2 3 4 … 49  50 …       kind and ids follow from the number alone
//!  time    base + number / rate       in whole milliseconds
//!
//!  hot     of each hundred the first auction, the first person as a seller, the second as a bidder
//!  others  the latest 100 auctions or 1000 persons, or one of ten that do not exist yet
//! ```
//!
//! Invariants:
//! - of the events `0..n`, with `n` a multiple of 50, `n/50` are persons, `3n/50` auctions and
//!   `46n/50` bids;
//! - ids begin at 1000 and have no gaps: the persons and auctions of `0..n` have the lowest ids;
//! - the ids that an event refers to are at most [`Config::id_lead`] ahead of the last that exists.
//!   With a lead of 0 all of them exist already;
//! - nothing depends on floating-point functions, on a clock or on what was generated before: the
//!   same seed makes the same bytes on every machine.
//!
//! **Order.** Events *arrive* in order of their numbers, or, if [`Config::out_of_order_group`] is
//! more than 1, shuffled within groups of that many: within its group, position `i` holds number
//! `i * 953 mod n`. Every number arrives once, because 953 is prime and no divisor of `n`. The time
//! of an arrival is computed from its position as that of an event is from its number. So arrivals
//! are in order of their own times, and an event is out of order by less than the time that its
//! group takes.
//!
//! **Sizes.** `extra` fills an event to 200, 500 or 100 bytes on average, as published: counting 8
//! bytes for a number, and of a bid only its numbers. With channel and URL, bids are larger.

mod config;
mod prices;

pub use config::{Config, InvalidConfig};

use prices::Prices;

use crate::model::{Auction, Bid, Event, Kind, Person};
use crate::random::Random;

/// Of this many events …
pub const PROPORTION: u64 = 50;
/// … this many are persons,
pub const PERSONS: u64 = 1;
/// this many auctions,
pub const AUCTIONS: u64 = 3;
/// and this many bids.
pub const BIDS: u64 = 46;

/// The first person's id, and the first auction's.
pub const FIRST_ID: u64 = 1000;

/// Of this many persons or auctions one is hot.
const HOT_EVERY: u64 = 100;
const FIRST_CATEGORY: u64 = 10;
const CATEGORIES: u64 = 5;
/// The step by which groups are shuffled.
const SHUFFLE_STEP: u32 = 953;

const FIRST_NAMES: [&str; 10] = [
    "Ada", "Barbara", "Claude", "Donald", "Edgar", "Frances", "Grace", "Hedy", "Ivan", "Jim",
];
const LAST_NAMES: [&str; 9] = [
    "Allen", "Codd", "Gray", "Hopper", "Knuth", "Lamarr", "Liskov", "Lovelace", "Shannon",
];
const CITIES: [&str; 10] = [
    "Phoenix",
    "Tucson",
    "Fresno",
    "San Diego",
    "Boise",
    "Salem",
    "Eugene",
    "Seattle",
    "Tacoma",
    "Cheyenne",
];
/// Query 3 asks for three of them.
const STATES: [&str; 6] = ["AZ", "CA", "ID", "OR", "WA", "WY"];
/// Query 21 asks for them.
const HOT_CHANNELS: [&str; 4] = ["Google", "Facebook", "Baidu", "Apple"];
const CHANNELS: u64 = 10_000;
/// The page of a channel is a function of the channel: its numbers begin here.
const PAGES: u64 = 1 << 63;

/// An event as it reaches the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// When it arrives: the timestamp of its record. It never goes back, unlike the event's time.
    pub timestamp_ms: i64,
    /// The event.
    pub event: Event,
}

/// Makes events.
#[derive(Clone, Debug)]
pub struct Generator {
    config: Config,
    prices: Prices,
}

impl Generator {
    /// A generator of the events that the configuration describes.
    ///
    /// # Errors
    /// There can be no such events.
    pub fn new(config: Config) -> Result<Self, InvalidConfig> {
        config.check()?;
        let prices = Prices::new();
        Ok(Self { config, prices })
    }

    /// What arrives at a position.
    pub fn arrival(&self, position: u64) -> Arrival {
        Arrival {
            timestamp_ms: self.time_of(position),
            event: self.event(self.number_at(position)),
        }
    }

    /// The first arrivals.
    pub fn arrivals(&self, count: u64) -> impl Iterator<Item = Arrival> {
        (0..count).map(|position| self.arrival(position))
    }

    /// The number of the event that arrives at a position.
    pub fn number_at(&self, position: u64) -> u64 {
        let group = u64::from(self.config.out_of_order_group);
        let index = position % group;
        let shuffled = index * u64::from(SHUFFLE_STEP) % group;
        (position - index).saturating_add(shuffled)
    }

    /// The event of a number.
    pub fn event(&self, number: u64) -> Event {
        let mut random = Random::of(self.config.seed, number);
        match kind_of(number) {
            Kind::Person => Event::Person(self.person(number, &mut random)),
            Kind::Auction => Event::Auction(self.auction(number, &mut random)),
            Kind::Bid => Event::Bid(self.bid(number, &mut random)),
        }
    }

    fn time_of(&self, number: u64) -> i64 {
        let elapsed = u128::from(number) * 1000 / u128::from(self.config.events_per_second);
        let elapsed = i64::try_from(elapsed).unwrap_or(i64::MAX);
        self.config.base_time_ms.saturating_add(elapsed)
    }

    fn person(&self, number: u64, random: &mut Random) -> Person {
        let first_name = random.one_of(&FIRST_NAMES);
        let name = format!("{first_name} {}", random.one_of(&LAST_NAMES));
        let email_address = format!("{}@{}.com", random.words(7, '_'), random.words(5, '_'));
        let mut four_digits = || random.below(10_000);
        let digits = [four_digits(), four_digits(), four_digits(), four_digits()];
        let credit_card = digits.map(|four| format!("{four:04}")).join(" ");
        let (city, state) = (random.one_of(&CITIES), random.one_of(&STATES));
        let texts = [&*name, &email_address, &credit_card, city, state];
        let used = 8 + texts.iter().map(|text| text.len() as u64).sum::<u64>();
        Person {
            id: FIRST_ID + last_person(number),
            extra: extra(random, used, self.config.person_bytes),
            name,
            email_address,
            credit_card,
            city: city.to_owned(),
            state: state.to_owned(),
            date_time_ms: self.time_of(number),
        }
    }

    fn auction(&self, number: u64, random: &mut Random) -> Auction {
        let seller = if random.is_hot(self.config.hot_seller_ratio) {
            last_person(number) / HOT_EVERY * HOT_EVERY
        } else {
            self.any_person(number, random)
        };
        let category = FIRST_CATEGORY + random.below(CATEGORIES);
        let initial_bid = self.prices.any(random);
        let date_time_ms = self.time_of(number);
        let open_ms = 1 + random.below(self.auction_ms(number).saturating_mul(2).max(1));
        let (item_name, description) = (random.words(20, ' '), random.words(100, ' '));
        let reserve = initial_bid + self.prices.any(random);
        let used = 6 * 8 + (item_name.len() + description.len()) as u64;
        Auction {
            id: FIRST_ID + last_auction(number),
            extra: extra(random, used, self.config.auction_bytes),
            item_name,
            description,
            initial_bid,
            reserve,
            date_time_ms,
            expires_ms: date_time_ms.saturating_add_unsigned(open_ms),
            seller: FIRST_ID + seller,
            category,
        }
    }

    fn bid(&self, number: u64, random: &mut Random) -> Bid {
        let auction = if random.is_hot(self.config.hot_auction_ratio) {
            last_auction(number) / HOT_EVERY * HOT_EVERY
        } else {
            self.any_auction(number, random)
        };
        let bidder = if random.is_hot(self.config.hot_bidder_ratio) {
            // The second of the hundred: bidders and sellers are not hot together.
            let second = last_person(number) / HOT_EVERY * HOT_EVERY + 1;
            second.min(last_person(number) + u64::from(self.config.id_lead))
        } else {
            self.any_person(number, random)
        };
        let price = self.prices.any(random);
        let (channel, url) = self.channel(random);
        Bid {
            auction: FIRST_ID + auction,
            bidder: FIRST_ID + bidder,
            price,
            channel,
            url,
            date_time_ms: self.time_of(number),
            extra: extra(random, 4 * 8, self.config.bid_bytes),
        }
    }

    /// One of the latest persons, or of the next, counted from 0.
    fn any_person(&self, number: u64, random: &mut Random) -> u64 {
        let persons = last_person(number) + 1;
        let active = persons.min(self.config.active_persons.into());
        persons - active + random.below(active + u64::from(self.config.id_lead))
    }

    /// One of the latest auctions, or of the next, counted from 0.
    fn any_auction(&self, number: u64, random: &mut Random) -> u64 {
        let last = last_auction(number);
        let first = last.saturating_sub(self.config.in_flight_auctions.into());
        first + random.below(last - first + 1 + u64::from(self.config.id_lead))
    }

    /// How long an auction is open on average: until as many others are as may be in flight.
    fn auction_ms(&self, number: u64) -> u64 {
        let events = u64::from(self.config.in_flight_auctions) * PROPORTION / AUCTIONS;
        let then = self.time_of(number.saturating_add(events));
        then.abs_diff(self.time_of(number))
    }

    /// A channel with its page: one of four, or, as often, one of many.
    fn channel(&self, random: &mut Random) -> (String, String) {
        let hot = random.is_hot(2);
        let page = |number| Random::of(self.config.seed, PAGES + number);
        if hot {
            let index = random.below(HOT_CHANNELS.len() as u64);
            let channel = HOT_CHANNELS[index as usize].to_owned();
            return (channel, url(&mut page(CHANNELS + index)));
        }
        let channel = random.below(CHANNELS);
        let mut page = page(channel);
        let mut url = url(&mut page);
        if page.is_hot(10) {
            url = format!("{url}&channel_id={}", page.below(1 << 31));
        }
        (format!("channel-{channel}"), url)
    }
}

/// What the event of a number is about.
pub fn kind_of(number: u64) -> Kind {
    match number % PROPORTION {
        0 => Kind::Person,
        1..=AUCTIONS => Kind::Auction,
        _ => Kind::Bid,
    }
}

/// The last person as of an event, itself included, counted from 0.
fn last_person(number: u64) -> u64 {
    number / PROPORTION
}

/// The last auction as of an event, itself included, counted from 0. For bids and auctions: there
/// is none yet as of event 0.
fn last_auction(number: u64) -> u64 {
    let before = number / PROPORTION * AUCTIONS;
    let in_group = (number % PROPORTION).min(AUCTIONS);
    (before + in_group).saturating_sub(1)
}

/// A page with three folders, for query 22.
fn url(random: &mut Random) -> String {
    let mut folder = || random.words(5, '_');
    let (a, b, c) = (folder(), folder(), folder());
    format!("https://www.nexmark.com/{a}/{b}/{c}/item.htm?query=1")
}

/// Brings an event that has `used` bytes to `average` bytes, a fifth more or less.
fn extra(random: &mut Random, used: u64, average: u32) -> String {
    let missing = u64::from(average).saturating_sub(used);
    let spread = (2 * missing + 5) / 10;
    let length = missing - spread + random.below(2 * spread);
    random.letters(length as usize)
}

#[cfg(test)]
mod tests;
