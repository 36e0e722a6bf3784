use super::*;
use crate::binary::encode;
use crate::fingerprint;
use proptest::prelude::*;

fn generator(config: Config) -> Generator {
    Generator::new(config).unwrap()
}

fn seeded(seed: u64) -> Generator {
    generator(Config {
        seed,
        ..Config::default()
    })
}

fn bytes_of(events: impl Iterator<Item = Event>) -> Vec<u8> {
    let mut bytes = Vec::new();
    events.for_each(|event| encode(&event, &mut bytes).unwrap());
    bytes
}

fn count(events: &[Event], kind: Kind) -> u64 {
    events.iter().filter(|event| event.kind() == kind).count() as u64
}

#[test]
fn the_kinds_are_in_proportion() {
    let generator = generator(Config {
        out_of_order_group: 100,
        ..Config::default()
    });
    for n in [0, 100, 5_000, 20_000] {
        let events: Vec<_> = generator.arrivals(n).map(|arrival| arrival.event).collect();
        assert_eq!(count(&events, Kind::Person), n * PERSONS / PROPORTION);
        assert_eq!(count(&events, Kind::Auction), n * AUCTIONS / PROPORTION);
        assert_eq!(count(&events, Kind::Bid), n * BIDS / PROPORTION);
    }
}

/// What an event refers to must exist: before it, or at most `lead` ids later.
fn check_references(id_lead: u32) -> bool {
    let generator = generator(Config {
        id_lead,
        ..Config::default()
    });
    let (mut persons, mut auctions, mut is_ahead) = (0, 0, false);
    for number in 0..30_000 {
        let mut check = |id: u64, count: u64, what: &str| {
            assert!(id >= FIRST_ID, "{what} {id} of event {number}");
            let end = FIRST_ID + count;
            assert!(
                id < end + u64::from(id_lead),
                "{what} {id} of event {number}"
            );
            is_ahead |= id >= end;
        };
        match generator.event(number) {
            Event::Person(person) => {
                assert_eq!(person.id, FIRST_ID + persons, "no gaps");
                persons += 1;
            }
            Event::Auction(auction) => {
                assert_eq!(auction.id, FIRST_ID + auctions, "no gaps");
                auctions += 1;
                check(auction.seller, persons, "seller");
                assert!((10..15).contains(&auction.category));
                assert!(auction.expires_ms > auction.date_time_ms);
                assert!(auction.reserve > auction.initial_bid);
            }
            Event::Bid(bid) => {
                check(bid.auction, auctions, "auction");
                check(bid.bidder, persons, "bidder");
                assert!((100..=100_000_000).contains(&bid.price));
            }
        }
    }
    is_ahead
}

#[test]
fn ids_refer_to_what_exists_or_will_soon() {
    assert!(!check_references(0));
    assert!(check_references(10), "some refer to the future");
}

#[test]
fn an_event_depends_on_its_seed_and_number_alone() {
    let all: Vec<_> = (0..500).map(|number| seeded(7).event(number)).collect();
    let generator = seeded(7);
    let backwards: Vec<_> = (0..500)
        .rev()
        .map(|number| generator.event(number))
        .collect();
    assert!(all.iter().eq(backwards.iter().rev()));
    let other = bytes_of((0..500).map(|number| seeded(8).event(number)));
    assert_ne!(bytes_of(all.into_iter()), other);
}

/// If this changes, all published measurements are of other events.
#[test]
fn the_first_ten_thousand_events_stay_the_same() {
    let bytes = bytes_of((0..10_000).map(|number| seeded(0).event(number)));
    assert_eq!(
        (bytes.len(), fingerprint(bytes.iter().copied())),
        (1_996_637, 13_814_593_193_722_919_402)
    );
}

#[test]
fn time_is_exact_far_beyond_what_floats_can_hold() {
    let generator = generator(Config {
        base_time_ms: 5,
        events_per_second: 10_000_000,
        ..Config::default()
    });
    let time = |number| generator.event(number).date_time_ms();
    assert_eq!((time(9_999), time(10_000)), (5, 6));
    let late = 10_000_000 * 86_400 * 3650;
    assert_eq!(
        (time(late - 1), time(late)),
        (86_400_000 * 3650 + 4, 86_400_000 * 3650 + 5)
    );
    assert_eq!(time(u64::MAX), 5 + (u64::MAX / 10_000) as i64);
}

#[test]
fn sizes_are_as_published() {
    let generator = seeded(3);
    let events: Vec<_> = (0..20_000).map(|number| generator.event(number)).collect();
    let (mut sums, mut counts) = ([0; 3], [0; 3]);
    for event in &events {
        let size = match event {
            Event::Person(p) => {
                let texts = [&p.name, &p.email_address, &p.credit_card, &p.city, &p.state];
                8 + texts.iter().map(|text| text.len()).sum::<usize>() + p.extra.len()
            }
            Event::Auction(a) => 48 + a.item_name.len() + a.description.len() + a.extra.len(),
            Event::Bid(b) => 32 + b.extra.len(),
        };
        sums[event.kind() as usize] += size;
        counts[event.kind() as usize] += 1;
    }
    for (index, expected) in [200, 500, 100].into_iter().enumerate() {
        let mean = sums[index] / counts[index];
        assert!(mean.abs_diff(expected) <= expected / 50, "{index}: {mean}");
    }
}

#[test]
fn hot_items_get_their_share() {
    let generator = seeded(4);
    let first = 50 * 5_000;
    let (mut bids, mut hot_auctions, mut hot_bidders) = (0_u32, 0_u32, 0_u32);
    for number in first..first + 20_000 {
        if let Event::Bid(bid) = generator.event(number) {
            bids += 1;
            let hot = last_auction(number) / 100 * 100 + FIRST_ID;
            hot_auctions += u32::from(bid.auction == hot);
            let hot = last_person(number) / 100 * 100 + 1 + FIRST_ID;
            hot_bidders += u32::from(bid.bidder == hot);
        }
    }
    // Others choose the hot one, too: an auction once in 111 times, a person once in 1010.
    let percent = |count| count * 100 / bids;
    assert!(
        (49..=51).contains(&percent(hot_auctions)),
        "{hot_auctions} of {bids}"
    );
    assert!(
        (74..=76).contains(&percent(hot_bidders)),
        "{hot_bidders} of {bids}"
    );
}

#[test]
fn channels_keep_their_pages() {
    let generator = seeded(6);
    let mut pages = std::collections::BTreeMap::new();
    for number in 0..50_000 {
        if let Event::Bid(bid) = generator.event(number) {
            let page = pages.entry(bid.channel).or_insert_with(|| bid.url.clone());
            assert_eq!(*page, bid.url);
        }
    }
    assert!(
        HOT_CHANNELS
            .iter()
            .all(|channel| pages.contains_key(*channel))
    );
    assert!(pages.len() > 8_000, "{}", pages.len());
    let with_id = pages
        .values()
        .filter(|url| url.contains("&channel_id="))
        .count();
    assert!(
        (88..92).contains(&(with_id * 100 / pages.len())),
        "{with_id}"
    );
}

#[test]
fn what_cannot_be_is_refused() {
    let refused = |config| Generator::new(config).unwrap_err().to_string();
    let default = Config::default;
    let rate = Config {
        events_per_second: 0,
        ..default()
    };
    assert_eq!(refused(rate), "events_per_second is 0, expected at least 1");
    let group = Config {
        out_of_order_group: 1906,
        ..default()
    };
    assert_eq!(
        refused(group),
        "out_of_order_group is 1906, expected no multiple of 953"
    );
    let size = Config {
        bid_bytes: 32_769,
        ..default()
    };
    assert_eq!(refused(size), "bid_bytes is more than 32768");
}

fn config() -> impl Strategy<Value = Config> {
    let ids = (any::<u32>(), any::<u32>(), 1..=u32::MAX);
    let ratios = (1..=u32::MAX, 1..=u32::MAX, 1..=u32::MAX);
    let sizes = (0..=32_768_u32, 0..=32_768_u32, 0..=32_768_u32);
    let order = (1..=u32::MAX).prop_filter("953", |group| !group.is_multiple_of(953));
    let time = (any::<i64>(), 1..=u32::MAX, order);
    (any::<u64>(), time, ids, ratios, sizes).prop_map(|(seed, time, ids, ratios, sizes)| Config {
        seed,
        base_time_ms: time.0,
        events_per_second: time.1,
        out_of_order_group: time.2,
        id_lead: ids.0,
        in_flight_auctions: ids.1,
        active_persons: ids.2,
        hot_auction_ratio: ratios.0,
        hot_seller_ratio: ratios.1,
        hot_bidder_ratio: ratios.2,
        person_bytes: sizes.0,
        auction_bytes: sizes.1,
        bid_bytes: sizes.2,
    })
}

proptest! {
    #[test]
    fn a_group_arrives_whole_and_not_too_late(group in 1..400_u32, first in 0..1_000_u64) {
        let generator = generator(Config {
            out_of_order_group: group,
            events_per_second: 1000,
            ..Config::default()
        });
        let group = u64::from(group);
        let positions = first * group..(first + 1) * group;
        let mut numbers: Vec<_> = positions.clone().map(|p| generator.number_at(p)).collect();
        numbers.sort_unstable();
        prop_assert!(numbers.iter().copied().eq(positions.clone()));
        for position in positions {
            let arrival = generator.arrival(position);
            // One event per millisecond: a group takes as many milliseconds as it has events.
            let apart = arrival.timestamp_ms.abs_diff(arrival.event.date_time_ms());
            prop_assert!(apart < group);
        }
    }

    #[test]
    fn any_number_under_any_configuration_has_an_event(config in config(), position: u64) {
        let arrival = generator(config).arrival(position);
        let mut bytes = Vec::new();
        prop_assert!(encode(&arrival.event, &mut bytes).is_ok());
    }
}
