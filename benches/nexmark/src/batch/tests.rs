//! A small input for each query, worked out by hand, and the fingerprints of a large one.

use super::*;
use crate::fingerprint;
use crate::generator::{Config, Generator};
use crate::model::{Auction, Event, Person};

fn at(timestamp_ms: i64, event: Event) -> Arrival {
    Arrival {
        timestamp_ms,
        event,
    }
}

/// A bid that arrives when it is made.
pub(crate) fn bid(auction: u64, bidder: u64, price: u64, date_time_ms: i64) -> Arrival {
    let bid = Bid {
        auction,
        bidder,
        price,
        channel: "Apple".into(),
        url: "u".into(),
        date_time_ms,
        extra: "x".into(),
    };
    at(date_time_ms, Event::Bid(bid))
}

pub(crate) fn person(id: u64, name: &str, date_time_ms: i64) -> Arrival {
    let person = Person {
        id,
        name: name.into(),
        email_address: String::new(),
        credit_card: String::new(),
        city: String::new(),
        state: "OR".into(),
        date_time_ms,
        extra: String::new(),
    };
    at(date_time_ms, Event::Person(person))
}

pub(crate) fn auction(id: u64, seller: u64, date_time_ms: i64) -> Arrival {
    let auction = Auction {
        id,
        item_name: String::new(),
        description: String::new(),
        initial_bid: 1,
        reserve: 2,
        date_time_ms,
        expires_ms: date_time_ms + 1,
        seller,
        category: 10,
        extra: String::new(),
    };
    at(date_time_ms, Event::Auction(auction))
}

#[test]
fn q0_keeps_every_bid_and_nothing_else() {
    let arrivals = [
        person(1, "a", 0),
        bid(5, 1, 70, 9),
        auction(5, 1, 0),
        bid(4, 1, 80, 9),
        bid(4, 1, 80, 9),
    ];
    let four = r#"{"auction":4,"bidder":1,"price":80,"date_time_ms":9,"extra":"x"}"#;
    let five = r#"{"auction":5,"bidder":1,"price":70,"date_time_ms":9,"extra":"x"}"#;
    assert_eq!(Query::Q0.lines(&arrivals), [four, four, five]);
}

#[test]
fn q1_turns_dollars_into_thousandths_of_euros() {
    let rows = q1::rows(&[bid(1, 1, 1000, 0), bid(2, 1, 1, 0), bid(3, 1, u64::MAX, 0)]);
    let prices: Vec<_> = rows.iter().map(|row| row.price_thousandths).collect();
    assert_eq!(prices, [908_000, 908, u64::MAX]);
}

#[test]
fn q2_selects_multiples_of_123() {
    let arrivals = [
        bid(124, 1, 1, 0),
        bid(246, 1, 2, 0),
        bid(123, 1, 3, 0),
        bid(1, 1, 4, 0),
    ];
    let (a, b) = (
        r#"{"auction":123,"price":3}"#,
        r#"{"auction":246,"price":2}"#,
    );
    assert_eq!(Query::Q2.lines(&arrivals), [a, b]);
}

#[test]
fn q5_finds_the_hottest_of_every_hop() {
    // At 11999 a bid is in the windows from 2, 4, 6, 8 and 10 s; at 12000 in those from 4 to 12 s.
    let arrivals = [
        bid(7, 1, 1, 11_999),
        bid(7, 1, 1, 12_000),
        bid(8, 1, 1, 12_000),
        // 8 and 9 are tied, except where 8 has a second bid.
        bid(8, 1, 1, 20_000),
        bid(9, 1, 1, 20_000),
        // The windows that would begin before 1970 do not exist.
        bid(3, 1, 1, 1_999),
        bid(3, 1, 1, -1),
    ];
    let rows = q5::rows(&arrivals);
    let found: Vec<_> = rows
        .iter()
        .map(|r| (r.window_start_ms / 1000, r.auction, r.bids))
        .collect();
    let expected = [
        (0, 3, 1),
        (2, 7, 1),
        (4, 7, 2),
        (6, 7, 2),
        (8, 7, 2),
        (10, 7, 2),
        (12, 8, 2),
        (14, 8, 1),
        (14, 9, 1),
        (16, 8, 1),
        (16, 9, 1),
        (18, 8, 1),
        (18, 9, 1),
        (20, 8, 1),
        (20, 9, 1),
    ];
    assert_eq!(found, expected);
}

#[test]
fn q7_finds_the_highest_bids_of_every_ten_seconds() {
    let arrivals = [
        bid(1, 1, 50, 10_000),
        bid(2, 2, 90, 19_999),
        bid(3, 3, 90, 12_000),
        // At the end of one window, with the price of that window: it is in the next.
        bid(4, 4, 90, 20_000),
        bid(5, 5, 91, 21_000),
    ];
    let rows = q7::rows(&arrivals);
    let found: Vec<_> = rows
        .iter()
        .map(|r| (r.window_start_ms, r.auction, r.price))
        .collect();
    assert_eq!(found, [(10_000, 2, 90), (10_000, 3, 90), (20_000, 5, 91)]);
}

#[test]
fn q8_finds_new_persons_who_sell_in_the_same_window() {
    let arrivals = [
        // Registers, then opens two auctions.
        person(1, "both", 10_000),
        auction(100, 1, 12_000),
        auction(101, 1, 19_999),
        // Opens an auction before registering.
        auction(102, 2, 11_000),
        person(2, "early", 18_000),
        // Opens one in the next window only.
        person(3, "next", 19_000),
        auction(103, 3, 20_000),
        // Never sells.
        person(4, "never", 10_001),
    ];
    let both = r#"{"id":1,"name":"both","window_start_ms":10000}"#;
    let early = r#"{"id":2,"name":"early","window_start_ms":10000}"#;
    assert_eq!(Query::Q8.lines(&arrivals), [both, early]);
}

#[test]
fn q11_ends_a_session_after_more_than_ten_seconds() {
    let arrivals = [
        bid(1, 1, 1, 30_001),
        bid(1, 1, 1, 0),
        bid(2, 1, 1, 10_000),
        // Exactly ten seconds later still belongs to the session, one more does not.
        bid(1, 1, 1, 20_000),
        bid(1, 2, 1, 5_000),
    ];
    let rows = q11::rows(&arrivals);
    let found: Vec<_> = rows
        .iter()
        .map(|r| (r.bidder, r.bids, r.start_ms, r.end_ms))
        .collect();
    let expected = [
        (1, 1, 30_001, 40_001),
        (1, 3, 0, 30_000),
        (2, 1, 5_000, 15_000),
    ];
    assert_eq!(found, expected);
}

#[test]
fn q12_counts_by_the_time_of_arrival() {
    let late = Arrival {
        timestamp_ms: 10_000,
        ..bid(1, 1, 1, 9_000)
    };
    let arrivals = [
        bid(1, 1, 1, 9_999),
        late,
        bid(1, 2, 1, 19_999),
        bid(3, 1, 1, 10_001),
    ];
    let rows = q12::rows(&arrivals);
    let found: Vec<_> = rows
        .iter()
        .map(|r| (r.bidder, r.window_start_ms, r.bids))
        .collect();
    assert_eq!(found, [(1, 0, 1), (1, 10_000, 2), (2, 10_000, 1)]);
    assert!(
        rows.iter()
            .all(|r| r.window_end_ms == r.window_start_ms + 10_000)
    );
}

#[test]
fn q17_has_one_row_for_each_auction_and_day() {
    const DAY_MS: i64 = 86_400_000;
    let arrivals = [
        bid(1, 1, 9_999, DAY_MS),
        bid(1, 2, 10_000, DAY_MS + 1),
        bid(1, 3, 999_999, 2 * DAY_MS - 1),
        bid(1, 1, 1_000_000, DAY_MS + 2),
        bid(1, 1, 7, 2 * DAY_MS),
        bid(2, 1, 5, DAY_MS - 1),
    ];
    // 9 999 + 10 000 + 999 999 + 1 000 000 = 2 019 998; a quarter of it is 504 999.5.
    let rows = q17::rows(&arrivals);
    let bands = |r: &q17::Row| [r.total_bids, r.rank1_bids, r.rank2_bids, r.rank3_bids];
    let prices = |r: &q17::Row| [r.min_price, r.max_price, r.avg_price, r.sum_price];
    let found: Vec<_> = rows
        .iter()
        .map(|r| (r.auction, r.day_start_ms / DAY_MS, bands(r), prices(r)))
        .collect();
    let expected = [
        (1, 1, [4, 1, 2, 1], [9_999, 1_000_000, 504_999, 2_019_998]),
        (1, 2, [1, 1, 0, 0], [7, 7, 7, 7]),
        (2, 0, [1, 1, 0, 0], [5, 5, 5, 5]),
    ];
    assert_eq!(found, expected);
}

#[test]
fn q18_keeps_the_last_bid_and_of_equal_times_the_last_to_arrive() {
    let arrivals = [
        bid(1, 1, 10, 500),
        // Earlier, though it arrives later.
        bid(1, 1, 11, 400),
        bid(1, 2, 20, 100),
        bid(1, 2, 21, 100),
        bid(2, 1, 30, 1),
    ];
    let rows = q18::rows(&arrivals);
    let found: Vec<_> = rows
        .iter()
        .map(|r| (r.auction, r.bidder, r.price))
        .collect();
    assert_eq!(found, [(1, 1, 10), (1, 2, 21), (2, 1, 30)]);
}

/// 20 000 events in 40 s, from half a minute before midnight. They are shuffled in groups of 160,
/// some of which are on both sides of the border between two windows.
fn large() -> Vec<Arrival> {
    let config = Config {
        seed: 42,
        base_time_ms: 1_704_067_200_000 - 30_000,
        events_per_second: 500,
        out_of_order_group: 160,
        ..Config::default()
    };
    let generator = Generator::new(config).unwrap();
    generator.arrivals(20_000).collect()
}

#[test]
fn the_rows_of_a_large_input_stay_the_same() {
    let arrivals = large();
    let found = Query::ALL.map(|query| {
        let lines = query.lines(&arrivals);
        let bytes = lines.iter().flat_map(|line| line.bytes().chain([b'\n']));
        (query, lines.len(), fingerprint(bytes))
    });
    let expected = [
        (Query::Q0, 18_400, 15_107_188_183_552_350_757),
        (Query::Q1, 18_400, 6_757_177_654_975_132_941),
        (Query::Q2, 78, 239_327_271_929_517_483),
        (Query::Q5, 24, 9_650_465_343_134_332_961),
        (Query::Q7, 4, 3_554_487_558_230_151_231),
        (Query::Q8, 106, 640_711_087_980_200_800),
        (Query::Q11, 401, 17_328_738_286_600_428_729),
        (Query::Q12, 941, 7_046_799_457_575_495_153),
        (Query::Q17, 1_269, 16_829_760_413_560_308_568),
        (Query::Q18, 4_981, 2_726_876_124_107_893_206),
    ];
    assert_eq!(found, expected);
}

#[test]
fn rows_do_not_depend_on_order_except_where_arrival_decides() {
    let arrivals = large();
    let mut in_order = arrivals.clone();
    in_order.sort_by_key(|arrival| arrival.event.date_time_ms());
    for query in Query::ALL {
        // Query 12 counts by arrival, which sorting does not change; query 18 breaks ties by it.
        if query != Query::Q18 {
            assert_eq!(query.lines(&arrivals), query.lines(&in_order), "{query:?}");
        }
    }
}
